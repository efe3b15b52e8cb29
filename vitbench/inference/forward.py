"""Forward passes: pictures through a model, probabilities out. Always evaluation mode, always fp32."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitbench.data.batches import Share, eval_batches
from vitbench.data.prefetch import even_slices, whole
from vitbench.data.store import open_store
from vitbench.records import Array, Machine, Picture, Predictions, Preprocessing, Split, label_indices

LATENCY_PASSES = 30
FINE_CLOCK = time.get_clock_info("thread_time").resolution < 1e-4
"""Whether a thread's own time is told in less than a pass takes; on Windows it is not."""
_backends: Any = torch.backends
FP32 = (_backends.cudnn.conv, _backends.cuda.matmul, _backends.mkldnn.conv, _backends.mkldnn.matmul)
"""Where torch can compute fp32 in less, each by its `fp32_precision`; older names, such as `allow_tf32`, are
not to be mixed with these.
"""


@contextlib.contextmanager
def answering(model: nn.Module) -> Iterator[None]:
    """Inside, a model answers: evaluation mode, in which it is left, no gradients, true fp32."""
    model.eval()
    with fp32(), torch.inference_mode():
        yield


@contextlib.contextmanager
def fp32() -> Iterator[None]:
    """Inside, fp32 is fp32: cuDNN's convolutions would be TF32 by torch's default, some 1e-3 from a CPU's."""
    usual = [unit.fp32_precision for unit in FP32]
    for unit in FP32:
        unit.fp32_precision = "ieee"
    try:
        yield
    finally:
        for unit, before in zip(FP32, usual, strict=True):
            unit.fp32_precision = before


def probabilities(model: nn.Module, batches: Iterable[Tensor], device: torch.device) -> Array:
    """(N, C) float64 softmax of the model's logits over batches (B, 3, H, W) of normalised pictures.

    The model is put into evaluation mode and left there.
    """
    found = []
    with answering(model):
        for batch in batches:
            logits = model(batch.to(device, non_blocking=True))
            found.append(logits.float().cpu().double().softmax(dim=1).numpy())
    return np.concatenate(found)


def predict_pictures(
    model: nn.Module,
    split: Split,
    pictures: Sequence[Picture],
    preprocessing: Preprocessing,
    machine: Machine,
    share: Share = whole,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """The model's answers on pictures of a split, in their order.

    With `share`, on the pictures in that part of the batches, which are the same for any share.
    `on_progress(done, total)` counts them.
    """
    parts = even_slices(len(pictures), machine.eval_batch)
    mine = [picture for part in parts[share(len(parts))] for picture in pictures[part]]
    store, device = open_store(machine.store), torch.device(machine.device)
    batches = eval_batches(
        split.root, pictures, preprocessing, machine.eval_batch, machine.workers, share, store, device
    )

    def told() -> Iterator[Tensor]:
        done = 0
        for batch in batches:
            yield batch
            done += len(batch)
            on_progress(done, len(mine))

    found = np.zeros((0, len(split.classes)))
    return Predictions(
        classes=split.classes,
        paths=tuple(p.path for p in mine),
        labels=label_indices(mine, split.classes),
        probabilities=probabilities(model, told(), device) if mine else found,
    )


def latency_ms(model: nn.Module, size: int, device: torch.device) -> tuple[float, float]:
    """Median and 95th percentile of one forward pass, batch 1, ms; decoding and transforms left out.

    After three warm-up passes, `LATENCY_PASSES` timed ones or as many as fit into five seconds, at least 5.
    One thread of a CPU is timed by its own clock, which other work does not lengthen.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone and FINE_CLOCK else time.perf_counter
    picture = torch.zeros(1, 3, size, size, device=device)
    times: list[float] = []
    with answering(model):
        for _ in range(3):
            model(picture).cpu()
        while len(times) < 5 or (len(times) < LATENCY_PASSES and sum(times) < 5):
            started = clock()
            model(picture).cpu()  # the copy waits for the device
            times.append(clock() - started)
    p50, p95 = np.percentile(times, [50, 95])
    return float(p50) * 1000, float(p95) * 1000
