"""Models with several runs each: how much a seed changes a score, and a test over images × seeds.

Two or three seeds tell their own variance so badly that among many pairs some agree by luck alone. A model
therefore never counts as steadier than all models together, and no source of chance is let off its
own few degrees of freedom: see `seed_parts` and `half_width`.
"""

import math
from collections.abc import Sequence

import numpy as np

from vitbench.comparison.statistics import (
    ALPHA,
    Difference,
    Part,
    above_rounding,
    image_part,
    inflated,
    paired_difference,
    telling,
)
from vitbench.records import Array

NO_SEED = Part(0.0, 0)
"""Of a model in which no seed takes part, or of which none is known."""
LEAST_LOG_P, HALVINGS = -60.0, 50
"""Natural log of the smallest p-value that is told from 0; how often the place of one is halved."""


def seed_parts(models: Sequence[Array]) -> list[Part]:
    """Per model, (k, n) scores of its runs on the pictures: variance of one seed's mean, and its freedom.

    The variance pooled over all models, on freedom D = Σ (k − 1), or the model's own where that is larger;
    freedom then falls from D towards its own k − 1 with the share r = pooled / own: k − 1 + (D − k + 1) ·
    r^(4 / (k − 1)). So it is known as well as all are together while models vary alike, in the manner of
    Smyth's moderated variances (2004), and only as well as its own seeds tell where it is wilder. The power
    makes up for how often two seeds agree by luck; it was set by simulation
    (`results/evidence/statistics.md`, 2 to 12 models whose seeds vary alike or up to 15 times as much).
    A model with one run has the pooled variance of the others. `NO_SEED` for all where none has several.
    """
    freedoms = [len(model) - 1 for model in models]
    own = [float(np.var(m.mean(axis=1), ddof=1)) if len(m) > 1 else 0.0 for m in models]
    known = sum(freedoms)
    pooled = above_rounding(float(np.dot(own, freedoms)) / known) if known else 0.0
    if pooled == 0:
        return [NO_SEED] * len(models)
    found = []
    for variance, freedom in zip(own, freedoms, strict=True):
        if variance <= pooled:
            found.append(Part(pooled, known))
        else:
            found.append(Part(variance, freedom + (known - freedom) * (pooled / variance) ** (4 / freedom)))
    return found


Seeds = tuple[Part, Part]
"""The `seed_parts` of two models."""


def difference_parts(
    a: Array, b: Array, groups: Array | None = None, seeds: Seeds | None = None, inflation: float = 1.0
) -> tuple[Part, Part, Part]:
    """What makes the difference of two models' means uncertain: images, then the seeds of each.

    a (k_a, n), b (k_b, n): scores per run and picture; seeds None: as these two alone tell;
    inflation: of the variance over images, as with folds.
    """
    images = inflated(image_part(a.mean(axis=0) - b.mean(axis=0), telling(groups)), inflation)
    of_a, of_b = seeds or seed_parts([a, b])
    return images, of_a.over(len(a)), of_b.over(len(b))


def luck_in_images(model: Array, groups: Array | None = None) -> float:
    """How much of the variance over images one model's trainings bring, from (k, n) scores.

    By how its runs, each about its own mean, disagree on single pictures (or groups): it falls as 1 / k, the
    rest stays. 0 for one run.
    """
    k, n = len(model), model.shape[1]
    if k < 2:
        return 0.0
    centred = model - model.mean(axis=1, keepdims=True)
    where = np.arange(n) if groups is None else groups
    sums = np.stack([np.bincount(where, weights=row) for row in centred])  # (k, G)
    units = sums.shape[1]
    variance = float(np.var(sums, axis=0, ddof=1).sum()) / k / n**2
    return float(variance * units / max(units - 1, 1))


def parts_with_seeds(
    parts: Sequence[Part],
    runs: tuple[Array, Array],
    number: int,
    groups: Array | None = None,
    inflation: float = 1.0,
) -> list[Part]:
    """The `difference_parts` of two models, (k, n) runs each, as they would be with `number` runs each.

    Of the variance over images only what trainings bring falls; what the two models are on a picture stays.
    """
    images, *of_seeds = parts
    less, found = 0.0, []
    for model, part in zip(runs, of_seeds, strict=True):
        k = len(model)
        times = max(number / k, 1.0) if part.freedom else 1.0
        less += (1 - 1 / times) * luck_in_images(model, groups)
        found.append(Part(part.variance / times, part.freedom * (times * k - 1) / max(k - 1, 1)))
    return [Part(max(images.variance - inflation * less, 0.0), images.freedom), *found]


def half_width(parts: Sequence[Part], level: float = ALPHA) -> float:
    """How far an estimate with these sources of chance may lie from the truth by chance, at this level.

    √ Σ t² · variance, each source with the t quantile of its own freedom: never covers less than 1 − level
    (Banerjee 1961, Sankhyā A 23:359), whereas one t at Satterthwaite's freedom forgets a variance that two or
    three seeds made small by luck.
    """
    from scipy.special import stdtrit

    return math.sqrt(
        sum(float(stdtrit(one.freedom, 1 - level / 2)) ** 2 * one.variance for one in parts if one.variance)
    )


def p_value(value: float, parts: Sequence[Part]) -> float:
    """The level at which `half_width` is |value|, by halving; 1 for 0, never below e⁻⁶⁰."""
    if value == 0:
        return 1.0
    low, high = LEAST_LOG_P, 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if half_width(parts, math.exp(middle)) > abs(value):
            low = middle
        else:
            high = middle
    return math.exp(high)


def seeds_difference(
    a: Array, b: Array, groups: Array | None = None, seeds: Seeds | None = None, inflation: float = 1.0
) -> Difference:
    """Difference of two models' mean accuracies over all runs that each has: t over images × seeds.

    a (k_a, n), b (k_b, n) bool: right or wrong per run and picture; seeds: `seed_parts` of these two among
    all models of the table (None: these two are all). One run is enough where the others tell how much a seed
    changes. Interval and p-value are of one `half_width`, over new pictures (or groups) and new seeds;
    resampling only one of the two misleads. Where nothing varies the runs say no more than one each:
    `paired_difference`. Of one picture or one group the interval is [−1, 1] and p is 1.
    """
    value = float(a.mean() - b.mean())
    parts = difference_parts(a, b, groups, seeds, inflation)
    if parts[0].freedom == 0:
        return Difference(value, -1.0, 1.0, 1.0)
    if not any(part.variance for part in parts):
        return paired_difference(a[0], b[0], groups, inflation)
    half = half_width(parts)
    return Difference(value, max(-1.0, value - half), min(1.0, value + half), p_value(value, parts))
