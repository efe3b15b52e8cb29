"""One optimiser step on a global batch, whatever the number of micro-batches and processes."""

import contextlib
import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from vitbench.data.prefetch import even_slices
from vitbench.training.distributed.gradients import flatten, sum_gradients
from vitbench.training.graphs import records_steps
from vitbench.training.trainer import Trainer


def seed_step(seed: int, epoch: int, step: int, first: int = 0) -> None:
    """Set every global generator from (seed, epoch, step), and the first picture of a micro-batch."""
    key = hashlib.sha256(f"step {seed} {epoch} {step}{f' {first}' if first else ''}".encode()).digest()
    torch.manual_seed(int.from_bytes(key[:8], "big") >> 1)
    np.random.seed(int.from_bytes(key[8:12], "big"))  # timm's mixup draws here


def train_step(trainer: Trainer, images: Tensor, labels: Tensor, update: int) -> tuple[Tensor, Tensor]:
    """One optimiser step on a global batch, in micro-batches; `update` counts all steps from 0.

    images uint8 (B, 3, H, W), of several processes what `Trainer.batches` gives each; labels int64 (B,), all
    of them. Returns the batch's mean loss and the number of right answers (always 0 where they are not
    counted), both scalars on the device. Everything drawn depends on (seed, epoch, step, picture) only.
    """
    recipe, processes = trainer.recipe, trainer.processes
    if trainer.scheduler is not None:
        trainer.scheduler.step_update(update)
    trainer.optimizer.zero_grad(set_to_none=True)
    own = processes.share(len(labels))
    parts = len(even_slices(own.stop - own.start, trainer.machine.micro_batch))
    with processes.together(), scaled_bn_momentum(trainer.model, parts):
        total, right = gradients(trainer, images, labels, update)
        flat = None if processes.count == 1 else flatten(trainer.model, total, right)
    if flat is not None:
        total, right = sum_gradients(processes, flat, trainer.model)
    trainer.scaler.unscale_(trainer.optimizer)
    if recipe.clip_grad is not None:
        nn.utils.clip_grad_norm_(trainer.parameters, recipe.clip_grad)
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    if trainer.ema is not None:
        trainer.ema.update(trainer.model, step=update)
    return total, right


def gradients(trainer: Trainer, images: Tensor, labels: Tensor, update: int) -> tuple[Tensor, Tensor]:
    """Add up this process's part of the global batch's gradient, and its part of loss and right answers."""
    device, recipe, count = trainer.device, trainer.recipe, len(labels)
    epoch, step = divmod(update, trainer.steps_per_epoch)
    seed_step(recipe.seed, epoch + 1, step + 1)
    images = images.to(device, non_blocking=True).contiguous(memory_format=trainer.memory_format)
    pixels = images.float().div_(255)
    labels = labels.to(device, non_blocking=True)
    own = trainer.processes.share(count)
    work = partial(_micro_batch, trainer, count)
    if trainer.mix is not None:
        pixels, targets = trainer.mix(pixels, labels)
        pixels = pixels[own]
    else:
        targets = trainer.objective.targets(labels)
    labels, targets = labels[own], targets[own]
    total = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    for part in even_slices(len(labels), trainer.machine.micro_batch):
        if first := own.start + part.start:
            seed_step(recipe.seed, epoch + 1, step + 1, first)
        inputs = pixels[part], targets[part], labels[part]
        if trainer.graphs is None:
            loss, correct = work(*inputs)
        else:
            # Weight of the loss and momentum of batch normalisation hang on the global batch as well.
            loss, correct = trainer.graphs.run((len(inputs[0]), count), work, inputs)
        total += loss
        right += correct
    return total, right


def _micro_batch(
    trainer: Trainer, count: int, pixels: Tensor, targets: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward and backward of some of a global batch's `count` pictures: loss and right ones."""
    precision = trainer.recipe.precision
    with torch.autocast(
        trainer.device.type,
        dtype=torch.bfloat16 if precision == "bf16" else torch.float16,
        enabled=precision != "fp32",
    ):
        result = trainer.objective(pixels, targets)
    # Each micro-batch weighs as many pictures as it has: the sum is the global batch's mean.
    loss = result["loss"] * (len(labels) / count)
    trainer.scaler.scale(loss).backward()
    if not trainer.counts_right:
        return loss.detach(), labels.new_zeros(())
    return loss.detach(), (result["output"].detach().argmax(dim=1) == labels).sum()


@contextlib.contextmanager
def scaled_bn_momentum(model: nn.Module, parts: int) -> Iterator[None]:
    """Inside, so many micro-batches move batch normalisation's running statistics as far as one batch does.

    A momentum m becomes 1 − (1 − m)^(1 / parts): after all of them what was there before weighs 1 − m.
    """
    layers = [
        (module, module.momentum)
        for module in (model.modules() if parts > 1 else ())
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None
    ]
    try:
        for module, momentum in layers:
            module.momentum = 1 - (1 - momentum) ** (1 / parts)
        yield
    finally:
        for module, momentum in layers:
            module.momentum = momentum


def memory_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels last for convolutional networks (1.7 times as fast on a CPU), as it is for the others.

    Also as it is, on a CPU, for those that hold a convolution which crashes so (`crashes_channels_last`).
    """
    convolutional = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    fatal = device.type == "cpu" and any(map(crashes_channels_last, model.modules()))
    return torch.channels_last if convolutional and not fatal else torch.contiguous_format


def crashes_channels_last(module: nn.Module) -> bool:
    """Whether torch 2.14's CPU code for this layer's gradient writes outside of its memory in channels last.

    1 × 1, a stride, fewer than 16 input channels, neither groups nor padding; whatever the output channels,
    the batch and the picture's size: below about 80 px it mostly survives what it destroys. Found by
    trying, which `tests/training/test_channels_last.py` does again.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels < 16
        and module.groups == 1
        and module.padding in ((0, 0), "valid")
    )


def techniques(trainer: Trainer) -> dict[str, str | bool]:
    """What makes this trainer's steps fast, by name; what each brings stands in results/evidence."""
    attention = [m.fused_attn for m in trainer.model.modules() if hasattr(m, "fused_attn")]
    cuda = trainer.device.type == "cuda"
    graphs = trainer.graphs
    failed = f"could not be recorded: {graphs.trouble}" if graphs is not None and graphs.trouble else ""
    return {
        "fused_optimizer": bool(trainer.optimizer.param_groups[0].get("fused")),
        "channels_last": trainer.memory_format is torch.channels_last,
        "fused_attention": all(attention) if attention else "none in this model",
        "precision": trainer.recipe.precision,
        "tf32": "convolutions" if cuda and "tf32" not in trainer.machine.without else False,
        "deterministic": torch.are_deterministic_algorithms_enabled() or not cuda,
        "compiled": bool(trainer.machine.compiled),
        "device_views": trainer.making.views is not None,
        "cuda_graphs": failed or records_steps(trainer.machine),
    }
