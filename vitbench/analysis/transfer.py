"""What a trained network loses at another size and with other windows, and what a short training brings back.

The paper's question: does a bias that is computed from log-spaced offsets carry over to larger windows where
a table of biases breaks (Liu et al. 2022, "Swin Transformer V2", the table on window resolution)?
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vitbench.comparison.opened import TestSet
from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import (
    ALPHA,
    Difference,
    holm,
    mean_interval,
    paired_difference,
    runs_accuracy,
    sign_flip,
)
from vitbench.models.transfer import Way
from vitbench.records import Array, Predictions
from vitbench.records.frames import Dtype, by_rows, frame

if TYPE_CHECKING:
    from pandas import DataFrame

SCORES: dict[str, Dtype] = {
    "model": "string", "way": "string", "image_size": "Int64", "window": "Int64", "windows": "string",
    "scale": "float64", "tuned_epochs": "Int64", "seeds": "Int64", "n_test": "Int64", "correct": "float64",
    "top1": "float64", "top1_low": "float64", "top1_high": "float64", "published_bias": "string",
    "published": "float64",
}  # fmt: skip
"""A row per cell. way: "own" at the size that a model was trained at; window: of the first stage; windows:
of every stage; scale: image_size over the model's own; correct: a mean over seeds; published_…: the paper's
row and its top-1 on ImageNet-1k for this scale, a fraction."""
DIFFERENCES: dict[str, Dtype] = {
    "question": "string", "model": "string", "way": "string", "other_model": "string", "other_way": "string",
    "image_size": "Int64", "window": "Int64", "tuned_epochs": "Int64", "difference": "float64",
    "low": "float64", "high": "float64", "p": "float64", "p_adjusted": "float64", "decided": "boolean",
}  # fmt: skip
"""A row per paired difference on the same test pictures. question: a key of `QUESTIONS`; p_adjusted: Holm
over all rows of the same question; decided: that is ≤ .05."""
REFUSED: dict[str, Dtype] = {
    "model": "string", "image_size": "Int64", "window": "Int64", "reason": "string",
}  # fmt: skip

Question = Literal["size", "size tuned alike", "way", "models"]
QUESTIONS: dict[Question, str] = {
    "size": "Its top-1 there minus that at its own size, as it was trained.",
    "size tuned alike": "Its top-1 there minus that at its own size, both after the same further training.",
    "way": "One way to resize what it knows of positions minus another one, at the same size.",
    "models": "How one model changes with the size minus how another one does, each by the paper's way.",
}

PUBLISHED_CELLS = ("W8 I256", "W12 I384", "W16 I512", "W20 I640", "W24 I768")
PUBLISHED_SCALES = (1.0, 1.5, 2.0, 2.5, 3.0)
PUBLISHED: dict[str, tuple[tuple[float | None, float | None], ...]] = {
    "parameterised": ((81.7, None), (79.4, 82.7), (77.2, 83.0), (73.2, 83.2), (68.7, 83.2)),
    "linear-spaced CPB": ((81.7, None), (82.0, 82.9), (81.2, 83.3), (79.8, 83.6), (77.6, 83.7)),
    "log-spaced CPB": ((81.8, None), (82.4, 83.2), (81.7, 83.8), (80.4, 84.0), (79.1, 84.2)),
}
"""Swin-T on ImageNet-1k, top-1 in percent without and with fine-tuning, by the scale of size and window."""


@dataclass(frozen=True)
class Cell:
    """One model at one size with one window, with or without further training there."""

    model: str
    way: str
    """Name of a `Way`; `OWN` at its own size."""
    title: str
    """The way in tables."""
    size: int
    """px"""
    window: int
    """Of the first stage; 0: it has none."""
    windows: str
    """Of every stage, in words."""
    own_size: int
    published_bias: str
    """The paper's row that its way is; "" for none."""
    tuned: int
    """Epochs of further training; 0: none."""

    @property
    def scale(self) -> float:
        return self.size / self.own_size

    @property
    def published(self) -> float | None:
        """The paper's top-1 for its bias and scale, a fraction; None where it has none."""
        row = PUBLISHED.get(self.published_bias)
        if row is None or self.scale not in PUBLISHED_SCALES:
            return None
        value = row[PUBLISHED_SCALES.index(self.scale)][bool(self.tuned)]
        return None if value is None else value / 100

    @property
    def place(self) -> tuple[int, int, bool]:
        """Where it stands in a model's row: size, window, further training."""
        return self.size, self.window, bool(self.tuned)


OWN = "own"


def cell_of(
    model: str, way: Way, own_size: int, place: tuple[int, int, str], tuned: int, *, own: bool
) -> Cell:
    """place: size, window of the first stage, windows of every stage; own: as it was trained."""
    size, window, windows = place
    name = OWN if own else way.name
    return Cell(model, name, way.title, size, window, windows, own_size, way.published, tuned)


class Score(NamedTuple):
    """The top-1 of a cell, a fraction, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Transfer:
    """What all cells answered on the same test pictures."""

    benchmark: str
    test: TestSet
    answers: Mapping[Cell, tuple[Predictions, ...]]
    """By cell, one per seed, all in the order of the test pictures."""
    paper_ways: Mapping[str, str]
    """By model, the way that its paper takes, or its only one."""
    refused: tuple[tuple[str, int, int, str], ...]
    """(model, size, window, why not, one line)."""
    epochs: int
    """Of further training; 0: none was asked for."""
    notes: tuple[str, ...] = ()

    def right(self, cell: Cell) -> Array:
        """(k, n) bool: per seed and picture."""
        return np.stack([one.correct for one in self.answers[cell]])

    def score(self, cell: Cell) -> Score:
        right = self.right(cell)
        low, high = runs_accuracy(right, self.test.group_numbers)
        return Score(float(right.mean()), low, high)

    def own(self, model: str, *, tuned: bool) -> Cell | None:
        """A model's cell at its own size."""
        cells = (cell for cell in self.answers if (cell.model, cell.way) == (model, OWN))
        return next((cell for cell in cells if bool(cell.tuned) == tuned), None)

    @property
    def frames(self) -> "Mapping[str, DataFrame]":
        """By the name of the csv that they become."""
        return {
            "scores": by_rows(SCORES, (self._score_row(cell) for cell in self.answers)),
            "differences": differences(self),
            "right": self._right(),
            "published": published_frame(),
            "refused": by_rows(REFUSED, self.refused),
        }

    def _score_row(self, cell: Cell) -> list[Any]:
        right, score = self.right(cell), self.score(cell)
        return [
            cell.model, cell.way, cell.size, cell.window or None, cell.windows, cell.scale, cell.tuned,
            len(right), right.shape[1], float(right.sum(axis=1).mean()), *score, cell.published_bias,
            cell.published,
        ]  # fmt: skip

    def _right(self) -> "DataFrame":
        """A row per test picture, a column per cell and seed: 1 where it was named right."""
        columns: dict[str, tuple[Dtype, Any]] = {
            "path": ("string", self.test.paths),
            "label": ("string", self.test.labels),
            "group": ("string", self.test.groups),
        }
        for cell in self.answers:
            for number, right in enumerate(self.right(cell).astype(int), start=1):
                columns[f"{column_of(cell)} run {number}"] = ("Int64", right)
        return frame(
            {name: dtype for name, (dtype, _) in columns.items()}, [cells for _, cells in columns.values()]
        )


def column_of(cell: Cell) -> str:
    """ "swin bicubic I64 W8 tuned 3": how `right.csv` names a cell."""
    window = f" W{cell.window}" if cell.window else ""
    return f"{cell.model} {cell.way} I{cell.size}{window} tuned {cell.tuned}"


def published_frame() -> "DataFrame":
    """The paper's table: a row per bias, size and window, percent as it prints them."""
    columns: dict[str, Dtype] = {
        "bias": "string", "cell": "string", "scale": "float64", "without_fine_tuning": "float64",
        "with_fine_tuning": "float64",
    }  # fmt: skip
    rows = (
        [bias, cell, scale, *values]
        for bias, row in PUBLISHED.items()
        for cell, scale, values in zip(PUBLISHED_CELLS, PUBLISHED_SCALES, row, strict=True)
    )
    return by_rows(columns, rows)


# --- differences ----------------------------------------------------------------------------------


def differences(found: Transfer) -> "DataFrame":
    """Every paired difference, a row of `DIFFERENCES` each, adjusted within its question."""
    asked: dict[Question, Callable[[Transfer], Iterable[list[Any]]]] = {
        "size": _from_own,
        "size tuned alike": _from_own_tuned,
        "way": _between_ways,
        "models": _between_models,
    }
    rows: list[list[Any]] = []
    for question, measure in asked.items():
        each = [[question, *row] for row in measure(found)]
        adjusted = holm([row[-1] for row in each])
        rows += [[*row, p, p <= ALPHA] for row, p in zip(each, adjusted, strict=True)]
    return by_rows(DIFFERENCES, rows)


def _moved(found: Transfer) -> Iterator[Cell]:
    return (cell for cell in found.answers if cell.way != OWN)


def _row(cell: Cell, other_model: str, other_way: str, d: Difference) -> list[Any]:
    place = [cell.size, cell.window or None, cell.tuned]
    return [cell.model, cell.way, other_model, other_way, *place, d.value, d.low, d.high, d.p]


def _from_own(found: Transfer) -> Iterator[list[Any]]:
    for cell in _moved(found):
        if own := found.own(cell.model, tuned=False):
            yield _row(cell, cell.model, OWN, _paired(found, cell, own))


def _from_own_tuned(found: Transfer) -> Iterator[list[Any]]:
    for cell in _moved(found):
        if cell.tuned and (own := found.own(cell.model, tuned=True)):
            yield _row(cell, cell.model, OWN, _paired(found, cell, own))


def _between_ways(found: Transfer) -> Iterator[list[Any]]:
    for a, b in itertools.combinations(_moved(found), 2):
        if (a.model, a.place) == (b.model, b.place):
            yield _row(a, b.model, b.way, _paired(found, a, b))


def _between_models(found: Transfer) -> Iterator[list[Any]]:
    """Changes from each one's own size, where both were trained further from the own one trained alike."""
    cells = [cell for cell in _moved(found) if cell.way == found.paper_ways[cell.model]]
    for a, b in itertools.combinations(cells, 2):
        same = (a.size, bool(a.tuned)) == (b.size, bool(b.tuned))
        windows = not (a.window and b.window) or a.window == b.window
        if a.model == b.model or not same or not windows:
            continue
        own_a, own_b = (found.own(one.model, tuned=bool(one.tuned)) for one in (a, b))
        if own_a and own_b:
            yield _row(a, b.model, b.way, _difference_of_changes(found, (a, own_a), (b, own_b)))


def _paired(found: Transfer, a: Cell, b: Cell) -> Difference:
    right_a, right_b, groups = found.right(a), found.right(b), found.test.group_numbers
    if len(right_a) == len(right_b) == 1:
        return paired_difference(right_a[0], right_b[0], groups)
    return seeds_difference(right_a, right_b, groups)


def _difference_of_changes(found: Transfer, a: tuple[Cell, Cell], b: tuple[Cell, Cell]) -> Difference:
    """(top1 of a[0] − of a[1]) − (the same of b), picture by picture.

    Interval: t over pictures or their groups; p: exact sign flips over them. Both hold for these seeds: what
    other ones would do is not in them.
    """
    (one, one_own), (other, other_own) = (
        [found.right(cell).astype(float) for cell in pair] for pair in (a, b)
    )
    change_a, change_b = (x.mean(axis=0) - y.mean(axis=0) for x, y in ((one, one_own), (other, other_own)))
    each, groups = change_a - change_b, found.test.group_numbers
    whole = math.lcm(*(len(runs) for runs in (one, one_own, other, other_own)))
    units = np.arange(len(each)) if groups is None else groups
    p = sign_flip(np.bincount(units, weights=np.rint(each * whole)).round().astype(int))
    value, low, high = mean_interval(each, groups)
    if low is None or high is None or not np.ptp(each):  # pictures that all agree tell of no variance
        low, high = _joined(value, _paired(found, *a), _paired(found, *b))
    if p > ALPHA:
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, low, high, p)


def _joined(value: float, a: Difference, b: Difference) -> tuple[float, float]:
    """Limits of a difference of two that are taken as independent (Zou & Donner 2008, "MOVER")."""
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return value - below, value + above


def seed_words(cells: Sequence[tuple[Predictions, ...]]) -> str:
    """ "" for one run per model, else how many there are at most."""
    most = max((len(each) for each in cells), default=1)
    return "" if most == 1 else f"means over up to {most} seeds"
