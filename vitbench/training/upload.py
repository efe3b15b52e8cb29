"""Batches on their way to a CUDA device, beside the step that works on the one before."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]


def uploaded(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, on a CUDA device; elsewhere as they are.

    Each is copied on a stream of its own while the one before is worked on, so the host waits for nothing:
    from pinned memory such a copy is asynchronous, and torch takes that memory for another batch only when
    the copy is done.
    """
    if device.type != "cuda":
        yield from batches
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for images, labels in batches:
        with torch.cuda.stream(side):
            batch = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            copied = side.record_event()
        if waiting is not None:
            yield _handed_over(*waiting, device)
        waiting = batch, copied
    if waiting is not None:
        yield _handed_over(*waiting, device)


def _handed_over(batch: Batch, copied: torch.cuda.Event, device: torch.device) -> Batch:
    """A batch for the device's current stream, which waits for the copy; the host does not."""
    stream = torch.cuda.current_stream(device)
    stream.wait_event(copied)
    for tensor in batch:
        tensor.record_stream(stream)  # made on the other stream: its memory is this one's until it is done
    return batch
