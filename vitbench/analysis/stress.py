"""What models answer under corruptions and shifts, as numbers: accuracy, what of it is kept, tests.

Every interval and test is the comparison's own, over pictures or their groups.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.analysis.conditions import ALL, CLEAN, Answers, Asked, Ground, difference
from vitbench.analysis.corruptions import CORRUPTIONS
from vitbench.analysis.equivariance import EQUIVARIANCE
from vitbench.analysis.kept import Kept, kept_of
from vitbench.analysis.shifts import SHIFT_FRAMES, shift_rows
from vitbench.comparison.statistics import Difference, holm, runs_accuracy
from vitbench.records.frames import Dtype, by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

ACCURACY: dict[str, Dtype] = {
    "model": "string", "corruption": "string", "severity": "Int64", "n": "Int64", "groups": "Int64",
    "seeds": "Int64", "accuracy": "float64", "accuracy_low": "float64", "accuracy_high": "float64",
    "difference": "float64", "difference_low": "float64", "difference_high": "float64", "p": "float64",
    "p_adjusted": "float64", "method": "string", "kept": "float64", "kept_low": "float64",
    "kept_high": "float64", "trained_with": "boolean",
}  # fmt: skip
"""A row per model and condition; no severity: the mean over those asked for. difference: to clean pictures;
kept: accuracy over that on them. p_adjusted: Holm over models × corruptions; of "all", over models."""
PAIRS: dict[str, Dtype] = {
    "model_a": "string", "model_b": "string", "corruption": "string", "difference": "float64",
    "difference_low": "float64", "difference_high": "float64", "p": "float64", "p_adjusted": "float64",
    "method": "string", "kept_difference": "float64", "kept_low": "float64", "kept_high": "float64",
    "kept_p": "float64", "kept_p_adjusted": "float64",
}  # fmt: skip
"""Accuracy of A − accuracy of B on the same pictures, the mean over severities, and the same of what is kept.
p_adjusted: Holm over pairs × corruptions; of "clean" and of "all", over pairs."""
CHANGES: dict[str, Dtype] = {
    "corruption": "string", "severity": "Int64", "constant": "string", "image_size": "Int64",
    "mean_change": "float64", "pixels": "string", "models": "string",
}  # fmt: skip
"""What was done to the pictures. constant: as ImageNet-C has it; mean_change: |change| of a value, of 255, on
the mean over the test pictures; pixels: sha256 of what the models were given, equal for those in `models`."""


@dataclass(frozen=True)
class Stress:
    """What was found, as frames; columns: `ACCURACY`, `PAIRS`, `CHANGES`, `SHIFT_FRAMES`, `EQUIVARIANCE`."""

    frames: "Mapping[str, DataFrame]"
    """By the name of the csv that they become."""
    asked: Asked
    notes: tuple[str, ...] = ()
    """What to know of the numbers, one line each."""


def stressed(models: Sequence[Answers], asked: Asked, ground: Ground, notes: Sequence[str] = ()) -> Stress:
    """The numbers of models that answered the same pictures under the same conditions."""
    kept = kept_of(models, asked.scopes(), ground.test, ground.inflation) if asked.corruptions else {}
    frames = {
        "accuracy": by_rows(ACCURACY, _accuracy(models, asked, ground, kept)),
        "pairs": by_rows(PAIRS, _pairs(models, asked, ground, kept)),
        "changes": by_rows(CHANGES, list(_changes(models, asked))),
    }
    shifts = shift_rows(models, asked.offsets, ground) if asked.offsets else {}
    frames |= {name: by_rows(columns, shifts.get(name, [])) for name, columns in SHIFT_FRAMES.items()}
    blocks = [(one.model, *row) for one in models for row in one.equivariance]
    frames["equivariance"] = by_rows(EQUIVARIANCE, blocks)
    return Stress(frames, asked, tuple(notes))


def _accuracy(
    models: Sequence[Answers], asked: Asked, ground: Ground, kept: Mapping[tuple[str, str], Kept]
) -> list[list[Any]]:
    rows: list[dict[str, Any]] = []
    for one in models:
        rows.append(_row(one, CLEAN, None, [CLEAN], ground))
        for name, conditions in asked.scopes().items():
            if name != ALL:
                rows += [
                    _row(one, name, severity, [condition], ground)
                    for severity, condition in zip(asked.severities, conditions, strict=True)
                ]
            row = _row(one, name, None, conditions, ground)
            found = kept[one.model, name]
            rows.append({**row, **_tested(one, conditions, ground), "kept": found.value,
                         "kept_low": found.low, "kept_high": found.high})  # fmt: skip
    for overall in (True, False):
        family = [row for row in rows if "p" in row and (row["corruption"] == ALL) is overall]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = p
    return [[row.get(column) for column in ACCURACY] for row in rows]


def _row(
    one: Answers, name: str, severity: int | None, conditions: Sequence[str], ground: Ground
) -> dict[str, Any]:
    right, times = one.right(conditions), len(conditions)
    low, high = runs_accuracy(right, ground.groups(times), ground.inflation)
    trained = CORRUPTIONS[name].trained_with(one.augment) if name in CORRUPTIONS else None
    groups = ground.test.group_numbers
    accuracy, clean = float(right.mean()), float(one.right([CLEAN]).mean())
    return {
        "model": one.model, "corruption": name, "severity": severity, "n": ground.n,
        "groups": None if groups is None else len(np.unique(groups)), "seeds": len(right),
        "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high, "trained_with": trained,
        "difference": None if name == CLEAN else accuracy - clean,
    }  # fmt: skip


def _tested(one: Answers, conditions: Sequence[str], ground: Ground) -> dict[str, Any]:
    """The same runs under the conditions and on the clean pictures."""
    times = len(conditions)
    a, b = one.right(conditions), one.right([CLEAN] * times)
    found = difference(a, b, ground.groups(times), ground.inflation, own=True)
    return _cells(found, ground.method(len(a), times))


def _cells(found: Difference, method: str) -> dict[str, Any]:
    return {
        "difference": found.value, "difference_low": found.low, "difference_high": found.high, "p": found.p,
        "method": method,
    }  # fmt: skip


def _pairs(
    models: Sequence[Answers], asked: Asked, ground: Ground, kept: Mapping[tuple[str, str], Kept]
) -> list[list[Any]]:
    rows = []
    for name, conditions in {CLEAN: [CLEAN], **asked.scopes()}.items():
        times = len(conditions)
        for a, b in itertools.combinations(models, 2):
            right = a.right(conditions), b.right(conditions)
            found = difference(*right, ground.groups(times), ground.inflation)
            method = ground.method(max(map(len, right)), times)
            row = {"model_a": a.model, "model_b": b.model, "corruption": name, **_cells(found, method)}
            if name != CLEAN:
                value, low, high, p = kept[a.model, name].minus(kept[b.model, name])
                row |= {"kept_difference": value, "kept_low": low, "kept_high": high, "kept_p": p}
            rows.append(row)
    for own in ((CLEAN,), (ALL,), asked.corruptions):
        family = [row for row in rows if row["corruption"] in own]
        for tested in ("p", "kept_p"):
            having = [row for row in family if tested in row]
            for row, adjusted in zip(having, holm([row[tested] for row in having]), strict=True):
                row[f"{tested}_adjusted"] = adjusted
    return [[row.get(column) for column in PAIRS] for row in rows]


def _changes(models: Sequence[Answers], asked: Asked) -> Iterator[list[Any]]:
    for name, severity in itertools.product(asked.corruptions, asked.severities):
        key = f"{name}-{severity}"
        alike: dict[str, list[Answers]] = {}
        for one in models:
            alike.setdefault(one.cells[key].pixels, []).append(one)
        for pixels, those in alike.items():
            change, constant = those[0].cells[key].change, CORRUPTIONS[name].constant(severity)
            named = " ".join(one.model for one in those)
            yield [name, severity, constant, those[0].image_size, change, pixels, named]
