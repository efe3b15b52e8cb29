"""An exported model against the network that it came from: the same test pictures, answered by both."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vitbench.data.batches import Evaluation
from vitbench.data.cuts import cut_in_batches
from vitbench.errors import VitbenchError
from vitbench.files import printable
from vitbench.inference.forward import answering, probabilities
from vitbench.inference.stream import batch_size
from vitbench.models.folder import LoadedModel
from vitbench.records import Array, Preprocessing

LIMIT = 1e-4
"""A probability that differs by more is another model's: fp32 in another order of sums stays below 1e-5."""
CPU = torch.device("cpu")

Answering = Callable[[Array], tuple[Array, Array | None]]
"""From pixels, uint8 (B, S, S, 3), to (B, C) and, of several models, (B, models, C)."""


@dataclass(frozen=True)
class TestPictures:
    """The pictures that are answered again."""

    __test__ = False  # not a test, whatever pytest makes of its name

    root: Path
    paths: tuple[str, ...]
    contents: tuple[str, ...]
    """sha256 of each file."""
    folds: Array | None = None
    """(n,) int64: the fold, from 1, whose model did not learn from it; None without folds."""


@dataclass
class Answers:
    """What one model said, and how it differs from the network."""

    told: list[Array] = field(default_factory=list)
    """Of each batch (B, C); of folds what the model said that did not learn from the picture."""
    agreed: int = 0
    largest: float = 0.0
    """Difference of a probability."""
    picture: str = ""
    """That of the largest difference."""

    @property
    def probabilities(self) -> Array:
        """(n, C)"""
        return np.concatenate(self.told)


def network_answers(models: Sequence[LoadedModel]) -> Answering:
    """What `predict` says: each network by torch, on inputs that timm's transform normalised."""
    evaluation = Evaluation(models[0].preprocessing)

    def answers(pixels: Array) -> tuple[Array, Array]:
        inputs = evaluation.inputs(list(torch.from_numpy(pixels)), CPU)
        each = np.stack([probabilities(model.module, [inputs], CPU) for model in models], axis=1)
        return each.mean(axis=1), each

    return answers


def answer_again(
    pictures: TestPictures,
    way: Preprocessing,
    network: Answering,
    exported: Mapping[str, Answering],
    limits: Mapping[str, float],
    progress: Callable[[int, int], None],
) -> dict[str, Answers]:
    """Every picture, decoded once, answered by the network and by each exported model.

    Raises VitbenchError, the picture named, as soon as a probability of an exported model differs by more
    than its limit; one without a limit may differ.
    """
    found = {name: Answers() for name in exported}
    done = 0
    every = cut_in_batches(pictures.root, pictures.paths, pictures.contents, way, batch_size(way.size))
    for places, pixels in every:
        mean, each = network(pixels)
        folds = None if pictures.folds is None else pictures.folds[places]
        for name, answers in exported.items():
            _add(found[name], (mean, each), answers(pixels), folds, [pictures.paths[i] for i in places])
            _refuse_difference(name, found[name], limits.get(name))
        done += len(places)
        progress(done, len(pictures.paths))
    return found


def _add(
    found: Answers,
    network: tuple[Array, Array | None],
    exported: tuple[Array, Array | None],
    folds: Array | None,
    paths: Sequence[str],
) -> None:
    mean, each = network
    told, parts = exported
    difference = np.abs(told - mean).max(axis=1)
    if parts is not None and each is not None:
        difference = np.maximum(difference, np.abs(parts - each).max(axis=(1, 2)))
        if folds is not None:
            rows = np.arange(len(paths))
            mean, told = each[rows, folds - 1], parts[rows, folds - 1]
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not found.picture or not difference[worst] <= found.largest:  # NaN is no small difference
        found.largest, found.picture = float(difference[worst]), paths[worst]
    found.agreed += int((told.argmax(axis=1) == mean.argmax(axis=1)).sum())
    found.told.append(told)


def _refuse_difference(name: str, found: Answers, limit: float | None) -> None:
    if limit is not None and not found.largest <= limit:
        raise VitbenchError(
            f"{printable(found.picture)}: {name} differs from torch by {found.largest:.2g} in a probability, "
            f"more than {limit:g}, so nothing was written; another version of onnxruntime or torch may do"
        )


# --- time -----------------------------------------------------------------------------------------

BATCHES = (1, 16)
LEAST_PASSES, MOST_PASSES, SECONDS = 3, 30, 4.0


def latencies(passes: Mapping[str, Callable[[Array], object]], size: int) -> dict[str, dict[int, float]]:
    """Median milliseconds of a pass by batch size, of several models in turn: each has the same weather.

    Of at most 30 passes each, as many as fit into four seconds, at least 3, after one that warms up.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in passes}
    for batch in BATCHES:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        times: dict[str, list[float]] = {name: [] for name in passes}
        for answers in passes.values():
            answers(pixels)
        began = time.perf_counter()
        for number in range(MOST_PASSES):
            if number >= LEAST_PASSES and time.perf_counter() - began > SECONDS * len(times):
                break
            for name, answers in passes.items():
                started = time.perf_counter()
                answers(pixels)
                times[name].append(time.perf_counter() - started)
        for name, each in times.items():
            found[name][batch] = 1000 * float(np.median(each))
    return found


def torch_pass(module: torch.nn.Module) -> Callable[[Array], object]:
    """One forward pass of a `Graph` by torch, as timm runs it."""

    def answers(pixels: Array) -> object:
        with answering(module):
            return module(torch.from_numpy(pixels))

    return answers
