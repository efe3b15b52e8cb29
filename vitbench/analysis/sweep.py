"""Accuracy over how much there is to learn from: the numbers of `sweep`, from the answers of its cells."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.learning import (
    Chance,
    Curve,
    difference,
    extrapolated,
    gain,
    level,
    level_interval,
    reached,
    replicates,
)
from vitbench.comparison.statistics import holm
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

CURVE: dict[str, Dtype] = {
    "model": "string", "shots": "string", "groups": "float64", "pictures": "float64", "draws": "Int64",
    "top1": "float64", "sd_draws": "float64", "se_pictures": "float64", "se_draws": "float64",
    "low": "float64", "high": "float64",
}  # fmt: skip
"""A row per model and size. groups, pictures: per class, val included, means over draws; top1: mean over
draws; sd_draws: of one draw, as measured; se_…: standard errors of top1 over test pictures, and over draws
with what they share by their pool; low, high: 95 % over both."""
GAINS: dict[str, Dtype] = {
    "model": "string", "shots": "string", "more_shots": "string", "more_pictures": "float64",
    "times": "float64", "gain": "float64", "se_pictures": "float64", "se_draws": "float64",
    "low": "float64", "high": "float64", "p": "float64", "last": "boolean",
}  # fmt: skip
"""What a size brings over the next smaller one, per model; more_pictures: per class; times: as many groups;
last: the last doubling, of the two sizes that are nearest to it."""
PAIRS: dict[str, Dtype] = {
    "shots": "string", "model_a": "string", "model_b": "string", "difference": "float64", "low": "float64",
    "high": "float64", "p": "float64", "p_adjusted": "float64", "draws": "Int64",
}  # fmt: skip
"""Two models on the same draws and pictures, model_a the more accurate; p_adjusted: Holm over all rows."""
REACH: dict[str, Dtype] = {
    "model": "string", "target": "float64", "groups": "float64", "low": "float64", "high": "float64",
    "pictures": "float64", "extrapolated": "boolean", "least": "boolean", "times_first": "float64",
    "times_low": "float64", "times_high": "float64",
}  # fmt: skip
"""Groups per class at which a model is at `target`, and pictures; missing: not within twice the largest size.
least: already at the smallest size. times_first: as many as the model that needs fewest."""
NEXT: dict[str, Dtype] = {
    "model": "string", "groups": "float64", "top1": "float64", "low": "float64", "high": "float64",
    "missed": "float64",
}  # fmt: skip
"""One doubling more, extrapolated; missed: what the same rule said too much (+) or too little of the largest
size from those up to about its half, which widens the interval."""


@dataclass(frozen=True)
class Cell:
    """One model that learned from one draw of one size, and what it answered."""

    model: str
    shots: str
    """ "16", "all"."""
    draw: int
    """From 1."""
    seed: int
    groups: float
    """Per class, mean."""
    pictures: float
    """Per class, mean; those that chose the epoch are among them."""
    right: str
    """A "1" or "0" per test picture, in the order of `tested.csv`."""


@dataclass(frozen=True)
class Sweep:
    """What was found, as frames; columns: `CURVE`, `GAINS`, `PAIRS`, `REACH`, `NEXT`."""

    curve: "DataFrame"
    gains: "DataFrame"
    pairs: "DataFrame"
    reach: "DataFrame"
    next: "DataFrame"
    target: float
    """The accuracy of `reach`."""
    n_test: int
    folds: int
    pool: float
    """Groups per class that were drawn from."""
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> "Mapping[str, DataFrame]":
        """By the name of the csv that they become."""
        return {
            "curve": self.curve, "gains": self.gains, "pairs": self.pairs, "reach": self.reach,
            "next": self.next,
        }  # fmt: skip


@dataclass(frozen=True)
class Tested:
    """The test pictures that all cells answered."""

    groups: Array | None
    """(n,) numbers of groups; None where each picture is its own."""
    folds: int
    """That they were tested in; 0: one split."""
    pool: float
    """Groups per class to draw from."""


def analysed(cells: Sequence[Cell], tested: Tested, target: float | None, notes: Sequence[str] = ()) -> Sweep:
    """The numbers of a sweep; target: an accuracy in [0, 1], None: the highest 5 % step that all reach."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    sized = {model: _by_size(cells, model) for model in models}
    curves = [_curve(model, sized[model], tested.pool) for model in models]
    inflation = fold_inflation(tested.folds)
    moved = replicates(curves, tested.groups, inflation)
    aim = _usual_target(curves) if target is None else target
    names = {(curve.name, size): name for curve in curves for size, name in _names(sized[curve.name])}
    told = [*itertools.chain.from_iterable(_curve_rows(c, sized[c.name], tested, inflation) for c in curves)]
    gains = [row for curve in curves for row in _gain_rows(curve, sized[curve.name], tested, inflation)]
    return Sweep(
        by_rows(CURVE, told),
        by_rows(GAINS, gains),
        by_rows(PAIRS, list(_pair_rows(curves, names, tested, inflation))),
        by_rows(REACH, _reach_rows(curves, sized, moved, aim)),
        by_rows(NEXT, [row for c, m in zip(curves, moved, strict=True) for row in _next_rows(c, m)]),
        aim,
        curves[0].right[0].shape[1],
        tested.folds,
        tested.pool,
        tuple(notes),
    )


Sized = Mapping[str, Sequence[Cell]]
"""A model's cells by the name of their size, sizes rising, draws in their order."""


def _by_size(cells: Sequence[Cell], model: str) -> dict[str, list[Cell]]:
    mine = sorted((c for c in cells if c.model == model), key=lambda c: (c.groups, c.draw, c.seed))
    found: dict[str, list[Cell]] = {}
    for cell in mine:
        found.setdefault(cell.shots, []).append(cell)
    return found


def _curve(model: str, sized: Sized, pool: float) -> Curve:
    right = tuple(
        np.array([np.frombuffer(cell.right.encode(), dtype=np.uint8) == ord("1") for cell in cells])
        for cells in sized.values()
    )
    return Curve(model, tuple(_groups(cells) for cells in sized.values()), right, pool)


def _groups(cells: Sequence[Cell]) -> float:
    return float(np.mean([cell.groups for cell in cells]))


def _pictures(cells: Sequence[Cell]) -> float:
    return float(np.mean([cell.pictures for cell in cells]))


def _names(sized: Sized) -> Iterator[tuple[float, str]]:
    for name, cells in sized.items():
        yield _groups(cells), name


def _usual_target(curves: Sequence[Curve]) -> float:
    """The highest multiple of 5 % that every model reaches somewhere."""
    lowest = min(float(curve.accuracy.max()) for curve in curves)
    return max(0.05, math.floor(20 * lowest + 1e-9) / 20)


def _ends(chance: Chance) -> tuple[float, float]:
    return chance.value - chance.half_width, chance.value + chance.half_width


def _curve_rows(curve: Curve, sized: Sized, tested: Tested, inflation: float) -> Iterator[list[Any]]:
    for place, (name, cells) in enumerate(sized.items()):
        chance, own = level(curve, place, tested.groups, inflation), curve.draws(place)
        low, high = level_interval(curve, place, tested.groups, inflation)
        yield [
            curve.name, name, curve.sizes[place], _pictures(cells), len(cells), chance.value,
            float(own.std(ddof=1)) if len(own) > 1 else None,
            math.sqrt(chance.pictures.variance), math.sqrt(chance.draws.variance),
            low, high,
        ]  # fmt: skip


def _gain_rows(curve: Curve, sized: Sized, tested: Tested, inflation: float) -> Iterator[list[Any]]:
    """Each size over the one below it; where those are no doubling, the last doubling besides."""
    names = list(sized)
    last = last_doubling(curve.sizes)
    steps = [*itertools.pairwise(range(len(names))), *([last] if last else [])]
    for before, after in dict.fromkeys(steps):
        chance = gain(curve, before, after, tested.groups, inflation)
        more = _pictures(sized[names[after]]) - _pictures(sized[names[before]])
        yield [
            curve.name, names[before], names[after], more, curve.sizes[after] / curve.sizes[before],
            chance.value, math.sqrt(chance.pictures.variance), math.sqrt(chance.draws.variance),
            *_ends(chance), chance.p, (before, after) == last,
        ]  # fmt: skip


def last_doubling(sizes: Sequence[float]) -> tuple[int, int] | None:
    """The places of the largest size and of the one nearest to its half; None for a single size."""
    if len(sizes) < 2:
        return None
    after = len(sizes) - 1
    return min(range(after), key=lambda at: abs(math.log(sizes[after] / sizes[at] / 2))), after


def _pair_rows(
    curves: Sequence[Curve], names: Mapping[tuple[str, float], str], tested: Tested, inflation: float
) -> Iterator[list[Any]]:
    rows: list[list[Any]] = []
    for a, b in itertools.combinations(curves, 2):
        both = a.only(b.sizes), b.only(a.sizes)
        for place, size in enumerate(both[0].sizes):
            one, other = both
            if other.right[place].mean() > one.right[place].mean():
                one, other = other, one
            chance = difference(one, other, place, tested.groups, inflation)
            draws = min(len(one.right[place]), len(other.right[place]))
            rows.append(
                [names[one.name, size], one.name, other.name, chance.value, *_ends(chance), chance.p, draws]
            )
    for row, adjusted in zip(rows, holm([row[6] for row in rows]), strict=True):
        yield [*row[:7], adjusted, row[7]]


def _reach_rows(
    curves: Sequence[Curve], sized: Mapping[str, Sized], moved: Sequence[Array], target: float
) -> list[list[Any]]:
    needed = [reached(curve.sizes, curve.accuracy, target) for curve in curves]
    others = [
        np.array([reached(curve.sizes, row, target)[0] for row in rows])
        for curve, rows in zip(curves, moved, strict=True)
    ]
    first = min(range(len(curves)), key=lambda i: needed[i][0])
    found: list[list[Any]] = []
    for place, curve in enumerate(curves):
        groups, beyond = needed[place]
        ratio: list[float | None] = [None, None, None]
        if place != first and math.isfinite(needed[first][0]):
            with np.errstate(invalid="ignore"):
                times = others[place] / others[first]
            ratio = [groups / needed[first][0], *_middle(times[~np.isnan(times)])]
        each = _pictures_per_group(sized[curve.name])
        found.append([
            curve.name, target, _known(groups), *map(_known, _middle(others[place])), _known(groups * each),
            beyond and math.isfinite(groups), groups == curve.sizes[0], *map(_known, ratio),
        ])  # fmt: skip
    return found


def _middle(values: Array) -> list[float | None]:
    """The ends of the middle 95 %; (None, None) of nothing."""
    if not len(values):
        return [None, None]
    inside = np.sort(values)
    cut = int(0.025 * len(inside))
    return [float(inside[cut]), float(inside[len(inside) - 1 - cut])]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _pictures_per_group(sized: Sized) -> float:
    largest = list(sized.values())[-1]
    return _pictures(largest) / _groups(largest)


def _next_rows(curve: Curve, moved: Array) -> Iterator[list[Any]]:
    """From three sizes on: with two there is nothing to ask the rule about."""
    if len(curve.sizes) < 3:
        return
    size, last = 2 * curve.sizes[-1], curve.sizes[-1]
    value = extrapolated(curve.sizes, curve.accuracy, size)
    ends = _middle(np.array([extrapolated(curve.sizes, row, size) for row in moved]))
    before = [place for place, one in enumerate(curve.sizes) if one <= 0.75 * last]
    missed = None
    if len(before) >= 2:
        smaller = tuple(curve.sizes[i] for i in before)
        missed = extrapolated(smaller, curve.accuracy[before], last) - float(curve.accuracy[-1])
    low, high = (
        value + math.copysign(math.hypot(end - value, missed or 0.0), side)
        for end, side in zip(ends, (-1, 1), strict=True)
        if end is not None
    )
    yield [curve.name, size, value, max(0.0, low), min(1.0, high), missed]
