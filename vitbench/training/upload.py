"""Batches on their way to a CUDA device, beside the steps that work on those before."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

AHEAD = 2
"""Batches that are under way to a card, or made there, while one is worked on."""

Images = Tensor | Callable[[], Tensor]
"""A batch's images in the host's memory, or what makes them on the device."""


def uploaded(
    batches: Iterable[tuple[Images, Tensor]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, on a CUDA device; elsewhere as they are.

    Each is copied, or made, on a stream of its own while those before are worked on, so the host waits for
    nothing: from pinned memory a copy is asynchronous, and torch takes that memory for another batch only
    when the copy is done.
    """
    if device.type != "cuda":
        for images, labels in batches:
            yield images() if callable(images) else images, labels
        return
    side = side_stream(device)
    waiting: deque[tuple[tuple[Tensor, Tensor], torch.cuda.Event]] = deque()
    for images, labels in batches:
        with torch.cuda.stream(side):
            there = images() if callable(images) else images.to(device, non_blocking=True)
            waiting.append(((there, labels.to(device, non_blocking=True)), side.record_event()))
        if len(waiting) > AHEAD:
            yield _handed_over(*waiting.popleft(), device)
        if not callable(images):
            waiting[-1][1].synchronize()  # long done; worker processes will write there again
    while waiting:
        yield _handed_over(*waiting.popleft(), device)


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream for this: what lies on the device from one epoch to the next was made on it too."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _handed_over(
    batch: tuple[Tensor, Tensor], copied: torch.cuda.Event, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A batch for the device's current stream, which waits for the copy; the host does not."""
    stream = torch.cuda.current_stream(device)
    stream.wait_event(copied)
    for tensor in batch:
        tensor.record_stream(stream)  # made on the other stream: its memory is this one's until it is done
    return batch
