"""Shifts with real content: a larger cut of each picture, crops at offsets around its centre.

No border is invented and no seam rolled in. Consistency is Zhang's (2019, arXiv 1904.11486): how often two
shifts of a picture get the same answer; the worst case is Ding et al.'s (2023, arXiv 2306.07470): pictures
that are named right at every shift. Labels are coarse, so the total variation of probabilities stands beside.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vitbench.analysis.conditions import Answers, Ground, Offset, difference
from vitbench.comparison.seeds import half_width, p_value
from vitbench.comparison.statistics import holm, image_part, inflated, runs_accuracy, seed_part, telling
from vitbench.records import Array, Preprocessing
from vitbench.records.frames import Dtype

DEFAULT = (1, 8)
"""Distances, px."""
WIDER = 8 / 7
"""How much larger than the input the picture is loaded, as 256 px for 224."""
SHIFTS: dict[str, Dtype] = {
    "model": "string", "down": "Int64", "right": "Int64", "n": "Int64", "accuracy": "float64",
    "accuracy_low": "float64", "accuracy_high": "float64", "same_answer": "float64",
    "same_answer_low": "float64", "same_answer_high": "float64", "total_variation": "float64",
    "total_variation_low": "float64", "total_variation_high": "float64",
}  # fmt: skip
"""A row per model and offset, px. same_answer, total_variation (½ Σ |p − p₀|): to the crop at the centre."""
MEASURES = ("centre", "worst", "lost", "consistency", "total_variation")
SHIFT_MODELS: dict[str, Dtype] = {
    "model": "string", "measure": "string", "offsets": "Int64", "value": "float64", "low": "float64",
    "high": "float64", "p": "float64", "p_adjusted": "float64",
}  # fmt: skip
"""measure: accuracy at the centre; at the worst of all offsets, picture by picture; their difference, with p
(Holm over models); share of pairs of offsets with the same answer; mean total variation to the centre."""
SHIFT_PAIRS: dict[str, Dtype] = {
    "model_a": "string", "model_b": "string", "measure": "string", "difference": "float64", "low": "float64",
    "high": "float64", "p": "float64", "p_adjusted": "float64",
}  # fmt: skip
"""A − B on the same pictures; p_adjusted: Holm over pairs, each measure by itself."""
SHIFT_FRAMES = {"shifts": SHIFTS, "shift_models": SHIFT_MODELS, "shift_pairs": SHIFT_PAIRS}


def wider(way: Preprocessing) -> tuple[Preprocessing, int]:
    """How the larger cut is made, alike for all models of a size, and how far it reaches on each side, px."""
    margin = (round(way.size * WIDER) - way.size) // 2
    return dataclasses.replace(way, size=way.size + 2 * margin, crop_pct=1.0, crop_mode="center"), margin


def offsets_of(distances: Sequence[int]) -> tuple[Offset, ...]:
    """The centre, then for each distance the eight offsets around it; () for no distance."""
    if not distances:
        return ()
    around = [
        Offset(down, right)
        for far in sorted(set(distances))
        for down, right in itertools.product((-far, 0, far), repeat=2)
        if down or right
    ]
    return (Offset(0, 0), *around)


def crop(wide: Array, offset: Offset, size: int) -> Array:
    """(size, size, 3) of a larger cut, at an offset from its centre."""
    first = (len(wide) - size) // 2
    return wide[first + offset.down :, first + offset.right :][:size, :size]


# --- numbers --------------------------------------------------------------------------------------


def shift_rows(
    models: Sequence[Answers], offsets: Sequence[Offset], ground: Ground
) -> dict[str, list[list[Any]]]:
    """Rows of `SHIFT_FRAMES`."""
    measured = {one.model: _measures(one, offsets) for one in models}
    return {
        "shifts": [row for one in models for row in _by_offset(one, offsets, ground)],
        "shift_models": _models(measured, len(offsets), ground),
        "shift_pairs": _pairs(measured, ground),
    }


def _stack(one: Answers, offsets: Sequence[Offset], what: str) -> Array:
    """(k, offsets, n, …): an attribute of what was said, per seed and offset."""
    return np.stack(
        [np.stack([getattr(said, what) for said in one.said[offset.name]]) for offset in offsets], axis=1
    )


def _measures(one: Answers, offsets: Sequence[Offset]) -> dict[str, Array]:
    """(k, n) each: what every picture adds to a measure."""
    right, named = _stack(one, offsets, "correct"), _stack(one, offsets, "answers")
    said = _stack(one, offsets, "probabilities")
    pairs = [named[:, a] == named[:, b] for a, b in itertools.combinations(range(len(offsets)), 2)]
    return {
        "centre": right[:, 0],
        "worst": right.all(axis=1),
        "consistency": np.mean(pairs, axis=0),
        "total_variation": _variation(said[:, 1:], said[:, :1]).mean(axis=1),
    }


def _variation(said: Array, centre: Array) -> Array:
    return np.asarray(np.abs(said - centre).sum(axis=-1) / 2)


def mean_of(values: Array, ground: Ground) -> tuple[float, float | None, float | None, float]:
    """Mean of (k, n) values, its 95 % interval over pictures (or groups) and seeds, and p of "0"."""
    mean = float(values.mean())
    parts = [
        inflated(image_part(values.mean(axis=0), telling(ground.groups())), ground.inflation),
        seed_part(values.mean(axis=1)),
    ]
    if not parts[0].freedom:
        return mean, None, None, 1.0
    half = half_width(parts)
    return mean, mean - half, mean + half, p_value(mean, parts) if half else float(mean == 0)


def _share(right: Array, ground: Ground) -> tuple[float, float, float]:
    return float(right.mean()), *runs_accuracy(right, ground.groups(), ground.inflation)


def _by_offset(one: Answers, offsets: Sequence[Offset], ground: Ground) -> Iterator[list[Any]]:
    said, named = _stack(one, offsets, "probabilities"), _stack(one, offsets, "answers")
    right = _stack(one, offsets, "correct")
    for place, offset in enumerate(offsets):
        row = [one.model, offset.down, offset.right, ground.n, *_share(right[:, place], ground)]
        if place:
            varied = _variation(said[:, place], said[:, 0])
            row += [*_share(named[:, place] == named[:, 0], ground), *mean_of(varied, ground)[:3]]
        yield [*row, *[None] * (len(SHIFTS) - len(row))]


def _models(measured: Mapping[str, Mapping[str, Array]], offsets: int, ground: Ground) -> list[list[Any]]:
    lost = {
        model: difference(of["worst"], of["centre"], ground.groups(), ground.inflation, own=True)
        for model, of in measured.items()
    }
    adjusted = dict(zip(lost, holm([one.p for one in lost.values()]), strict=True))
    rows: list[list[Any]] = []
    for model, of in measured.items():
        for measure in MEASURES:
            cells: list[float | None]
            if measure == "lost":
                cells = [*lost[model], adjusted[model]]
            elif of[measure].dtype == bool:
                cells = [*_share(of[measure], ground), None, None]
            else:
                cells = [*mean_of(of[measure], ground)[:3], None, None]
            rows.append([model, measure, offsets, *cells])
    return rows


def _pairs(measured: Mapping[str, Mapping[str, Array]], ground: Ground) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for measure in ("worst", "consistency", "total_variation"):
        found: list[list[Any]] = []
        for a, b in itertools.combinations(measured, 2):
            one, other = measured[a][measure], measured[b][measure]
            if one.dtype == bool:
                found.append([a, b, measure, *difference(one, other, ground.groups(), ground.inflation)])
            else:
                found.append([a, b, measure, *_mean_difference(one, other, ground)])
        for row, p in zip(found, holm([row[-1] for row in found]), strict=True):
            rows.append([*row, p])
    return rows


def _mean_difference(a: Array, b: Array, ground: Ground) -> tuple[float, float | None, float | None, float]:
    """Of (k, n) values each; one run each: over pictures alone."""
    mean = float(a.mean() - b.mean())
    images = image_part(a.mean(axis=0) - b.mean(axis=0), telling(ground.groups()))
    parts = [inflated(images, ground.inflation), seed_part(a.mean(axis=1)), seed_part(b.mean(axis=1))]
    if not images.freedom:
        return mean, None, None, 1.0
    half = half_width(parts)
    return mean, mean - half, mean + half, p_value(mean, parts) if half else float(mean == 0)
