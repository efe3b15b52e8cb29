"""The gradients of several processes, added up: each picture of a global batch weighs the same."""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitbench.training.distributed.processes import Processes


def flatten(model: nn.Module, loss: Tensor, right: Tensor) -> Tensor:
    """Every gradient, then two scalars, then which parameters have one: one vector, to be summed."""
    parts = [
        torch.zeros(p.numel(), device=p.device, dtype=p.dtype) if p.grad is None else p.grad.reshape(-1)
        for p in _learning(model)
    ]
    device = parts[0].device
    has = torch.tensor([float(p.grad is not None) for p in _learning(model)], device=device)
    return torch.cat([*parts, loss.reshape(1), right.reshape(1), has])


def sum_gradients(processes: Processes, flat: Tensor, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Add up what `flatten` made in every process: the gradients into the model, and both scalars.

    It must follow a meeting of all processes at once, as every exchange.
    """
    processes.exchange(lambda: dist.all_reduce(flat))
    parameters = list(_learning(model))
    place, has = 0, flat[len(flat) - len(parameters) :]
    loss, right = flat[len(flat) - len(parameters) - 2 : len(flat) - len(parameters)]
    for parameter, present in zip(parameters, has.tolist(), strict=True):
        part = flat[place : place + parameter.numel()].view(parameter.shape)
        place += parameter.numel()
        if not present:  # nowhere: the optimiser leaves it alone
            continue
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(part)
    return loss, right


def _learning(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.requires_grad)
