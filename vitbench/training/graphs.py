"""Forward and backward of a micro-batch as a CUDA graph: one launch where there were some thousand.

A network's work on a batch of one size is recorded once and replayed on others of that size, which are
copied to where the recorded one lay. Kernels, their order and so the result are the same; what is drawn on
the device (drop path, dropout) is drawn anew by the generator's seed at each replay.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.errors import first_line
from vitbench.records import Machine, Technique

RECORDING: Technique = "cuda_graphs"
"""What `--without` calls it."""
WARM_UP = 3
"""Passes before the recording, in which libraries choose their algorithms and take their workspaces."""

Outputs = tuple[Tensor, ...]


def records_steps(machine: Machine) -> str | bool:
    """Whether forward and backward are recorded on a machine; in words, why not though they could be."""
    if torch.device(machine.device).type != "cuda" or RECORDING in machine.without:
        return False
    # Their exchange would have to be waited for by all, also where one of them cannot record.
    return "not with several processes" if machine.processes > 1 else True


@dataclass(frozen=True)
class _Recorded:
    """A graph, and the tensors that it reads and writes whenever it is replayed."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: Outputs
    gradients: list[tuple[nn.Parameter, Tensor]]


class Graphs:
    """The recorded work of one module, by what tells its sizes apart.

    All share one pool of memory, in which a replay may overwrite what another one left: outputs and gradients
    are read, or copied elsewhere, before the next one is begun.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module, self.device = module, device
        self.trouble = ""
        """Why nothing is recorded any more; "": nothing is wrong."""
        self._told = False
        self._recorded: dict[Hashable, _Recorded] = {}
        self._learning = [one for one in module.parameters() if one.requires_grad]
        self._sums: dict[nn.Parameter, Tensor] = {}
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    @property
    def sizes(self) -> list[Hashable]:
        """What is recorded so far."""
        return list(self._recorded)

    def complaint(self) -> str:
        """The trouble, said once; "" without any."""
        said, self._told = ("" if self._told else self.trouble), bool(self.trouble)
        return said

    def run(self, key: Hashable, work: Callable[..., Outputs], inputs: tuple[Tensor, ...]) -> Outputs:
        """What `work(*inputs)` returns, valid until the next run; it also adds to the parameters' gradients.

        Equal keys: equal shapes, and all else that `work` does otherwise than by its inputs. Where it cannot
        be recorded it is done as it is, then and from then on, and `trouble` says why. What `work` raises by
        itself is raised.
        """
        if key not in self._recorded and not self.trouble:
            self._record(key, work, inputs)
        if self.trouble:
            return work(*inputs)
        recorded = self._recorded[key]
        for place, given in zip(recorded.inputs, inputs, strict=True):
            place.copy_(given)
        recorded.graph.replay()
        self._add(recorded.gradients)
        return recorded.outputs

    def forget(self) -> None:
        """Record anew from now on: what was recorded is not what is to be done any more."""
        self._recorded.clear()

    def _add(self, gradients: list[tuple[nn.Parameter, Tensor]]) -> None:
        """Add a replay's gradients to the parameters', out of the memory that other replays write to."""
        fresh = [(one, gradient) for one, gradient in gradients if one.grad is None]
        begun = [(one.grad, gradient) for one, gradient in gradients if one.grad is not None]
        for one, gradient in fresh:
            if one not in self._sums:
                self._sums[one] = torch.empty_like(gradient)
            one.grad = self._sums[one]
        if fresh:
            torch._foreach_copy_([self._sums[one] for one, _ in fresh], [gradient for _, gradient in fresh])
        if begun:
            torch._foreach_add_([total for total, _ in begun], [gradient for _, gradient in begun])

    def _record(self, key: Hashable, work: Callable[..., Outputs], inputs: tuple[Tensor, ...]) -> None:
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()
        places = tuple(given.clone() for given in inputs)
        with torch.cuda.device(self.device), self._untouched():
            now = torch.cuda.current_stream()
            self._stream.wait_stream(now)
            # Around the recording too: where its end fails, it leaves its stream the current one.
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    work(*places)
                    self._without_gradients()
                graph = torch.cuda.CUDAGraph()
                try:
                    # Other threads go on with what a recording forbids, such as taking pinned memory.
                    with torch.cuda.graph(
                        graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                    ):
                        outputs = work(*places)
                except RuntimeError as error:
                    self._give_up(error)
                    graph.reset()  # or the memory that it took stays with it
            now.wait_stream(self._stream)
            if self.trouble:
                return
            gradients = [(one, one.grad) for one in self._learning if one.grad is not None]
        self._recorded[key] = _Recorded(graph, places, outputs, gradients)

    def _give_up(self, error: RuntimeError) -> None:
        cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
        self.trouble = first_line(cause)
        self._recorded.clear()

    def _without_gradients(self) -> None:
        for one in self._learning:
            one.grad = None

    @contextlib.contextmanager
    def _untouched(self) -> Iterator[None]:
        """What passes inside change is afterwards as before: gradients, batch statistics, generators."""
        held = [(one, one.grad) for one in self._learning]
        buffers = [(one, one.clone()) for one in self.module.buffers()]
        cards = [self.device] if self.device.type == "cuda" else []
        self._without_gradients()
        try:
            with torch.random.fork_rng(devices=cards):
                yield
        finally:
            for one, gradient in held:
                one.grad = gradient
            for buffer, before in buffers:
                buffer.copy_(before)
