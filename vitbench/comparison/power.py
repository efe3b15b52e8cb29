"""How small a gap between two models a test set can show, and how many pictures a gap needs.

Differences are fractions. `pairs`: pairs of models in the table; α is shared among them (Holm's first step).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from vitbench.comparison.discrete import binomial_cdf, binomial_pmf, binomial_quantile
from vitbench.comparison.inverted import Nets, stricter_level
from vitbench.comparison.seeds import half_width
from vitbench.comparison.statistics import ALPHA, Part, upper_limit
from vitbench.records import Array

MOST_PICTURES = 10_000_000
"""More are never asked for."""
POWER = 0.8
"""The chance of a verdict that is planned for."""
STEPS = 8
"""So many pictures ahead are tried for a step down in power."""
OUTSIDE = 1e-12
"""Chance of so few or so many disagreements that `power` leaves them out, on each side."""


def smallest_net(pairs: int = 1, inflation: float = 1.0) -> int:
    """Net pictures by which one model must lead before exact McNemar can reach p ≤ .05 among `pairs` pairs.

    The most telling outcome has no picture on the other side: p = 2 · ½ᵈ ≤ .05 / pairs (Holm's first
    step). 6 for one pair, 7 for 3, 10 for 15, whatever the size of the test set; 10 for
    one pair of five folds.
    """
    return math.ceil(math.log2(2 / stricter_level(ALPHA / max(pairs, 1), inflation)))


def smallest_gap(n: int, pairs: int = 1, groups: int | None = None, inflation: float = 1.0) -> float | None:
    """The smallest accuracy gap that n pictures could ever show among `pairs` pairs; None: no gap could.

    groups: how many the pictures stand in. A group's sign counts once, so as many groups as net pictures
    must lean one way, each by one picture at least.
    """
    net = smallest_net(pairs, inflation)
    return net / n if net <= (n if groups is None else min(n, groups)) else None


def power(n: int, difference: float, discordance: float, pairs: int = 1) -> float:
    """Chance that exact McNemar finds p ≤ .05 / pairs on n pictures; exact, both sides counted.

    difference: accuracy of A − accuracy of B, in [−1, 1]; discordance: share of pictures that only one of
    the two gets right, in (0, 1], raised to |difference| where it is less. The number of disagreements is
    binomial(n, discordance), A's share of them binomial at (1 + difference / discordance) / 2 (Miettinen
    1968, unconditional power). 0 for n = 0.
    """
    discordance = _possible(difference, discordance)
    low, high = binomial_quantile([OUTSIDE, 1 - OUTSIDE], n, discordance)
    d = np.arange(max(low, 1.0), high + 1)  # disagreements, (D,)
    if len(d) == 0:
        return 0.0
    critical = _critical(d, ALPHA / max(pairs, 1))
    share = (1 + difference / discordance) / 2
    found = binomial_cdf(critical, d, 1 - share) + binomial_cdf(critical, d, share)
    return float(min(1.0, binomial_pmf(d, n, discordance) @ found))


def _critical(d: Array, level: float) -> Array:
    """Per number of disagreements the most of the losing side with which p ≤ level; −1: none will do."""
    most = binomial_quantile(level / 2, d, 0.5)
    return np.where(binomial_cdf(most, d, 0.5) > level / 2, most - 1, most)


def telling_gap(
    nets: Nets, pairs: int = 1, times: float = 1.0, inflation: float | None = None
) -> float | None:
    """The measured gap that reaches p ≤ .05 / pairs between models that disagree as often as those of `nets`.

    On `times` as many pictures, in groups like theirs; inflation: another one than theirs. Exact McNemar at
    the expected number of disagreements; over groups z · √Σ net². At least `smallest_gap`, None as there.
    A true gap of this size is found in about half of such comparisons.
    """
    from scipy.special import ndtri

    inflation = nets.inflation if inflation is None else inflation
    n, level = round(nets.sizes.sum() * times), stricter_level(ALPHA / max(pairs, 1), inflation)
    if len(nets.sizes) == nets.sizes.sum():
        groups, d = None, round(nets.disagreements * times)
        net = d - 2 * max(float(_critical(np.array([float(d)]), level)[0]), 0.0) if d else 0
    else:
        groups = round(len(nets.sizes) * times)
        net = -float(ndtri(level / 2)) * math.sqrt(float(np.square(nets.net).sum()) * times)
    least = smallest_gap(n, pairs, groups, inflation)
    return None if least is None else max(net / n, least)


def pictures_needed(
    difference: float, discordance: float, pairs: int = 1, target: float = POWER
) -> int | None:
    """The fewest pictures from which `power` is at least `target`; None: over 10 million, or no difference.

    Bisection of the exact power, started at the normal approximation of Connor 1987 (Biometrics 43:207,
    after Miettinen 1968). Power steps down a little where one more disagreement changes the critical
    count: the answer lies behind such steps (those of a discordance near 1, where the number of
    disagreements hardly varies, go on for long and are of a tenth of a point).
    """
    if difference == 0:
        return None
    discordance = _possible(difference, discordance)

    def enough(n: int) -> bool:
        return power(n, difference, discordance, pairs) >= target

    high = max(2, _connor(difference, discordance, pairs, target))
    while not enough(high):
        high = math.ceil(high * 1.1) + 1
        if high > MOST_PICTURES:
            return None
    high = _bisected(0, high, enough)
    ahead = range(high, high + STEPS)
    return max((n + 1 for n in ahead if not enough(n)), default=high)


def planned_pictures(nets: Nets, difference: float, pairs: int = 1, target: float = POWER) -> int | None:
    """The fewest pictures, in groups like those of `nets`, from which `target` power finds a difference.

    `pictures_needed` times a design effect, of z_α · √null + z_β · √noise as Connor adds them up: `noise`
    is that of the measured nets about their mean, `null` the one under which the test judges this difference,
    in which every group leans one way by its size. In simulation 78 to 95 %, most where few groups suffice.
    """
    from scipy.special import ndtri

    if difference == 0:
        return None
    n = int(nets.sizes.sum())
    discordance = _possible(difference, nets.disagreements / n)
    alone = pictures_needed(difference, discordance, pairs, target)
    if alone is None:
        return None
    noise = nets.design_effect(nets.difference)
    leaning = difference**2 / discordance
    null = noise * (1 - leaning) + leaning * nets.inflation * float(np.square(nets.sizes).sum()) / n
    z_alpha, z_beta = -float(ndtri(ALPHA / 2 / max(pairs, 1))), float(ndtri(target))
    root = (z_alpha * math.sqrt(null) + z_beta * math.sqrt(noise)) / (z_alpha + z_beta)
    needed = math.ceil(alone * root**2)
    return needed if needed <= MOST_PICTURES else None


def safely_planned(difference: float, disagreed: int, n: int, pairs: int = 1) -> int | None:
    """`pictures_needed` for `difference`, for models that disagreed in being right on so many of n.

    With the upper one-sided 80 % limit (Clopper & Pearson 1934) of that share: of plans by a share as it was
    found half have less than the planned power (Browne 1995, Statistics in Medicine 14:1933).
    """
    return pictures_needed(difference, upper_limit(disagreed, n - disagreed, POWER), pairs)


def _connor(difference: float, discordance: float, pairs: int, target: float) -> int:
    """Connor's number of pictures for the normal approximation of the test, at most `MOST_PICTURES`."""
    from scipy.special import ndtri

    z_alpha, z_beta = -float(ndtri(ALPHA / 2 / max(pairs, 1))), float(ndtri(target))
    spread = math.sqrt(max(0.0, discordance - difference**2))
    root = (z_alpha * math.sqrt(discordance) + z_beta * spread) / difference
    return int(min(root**2, MOST_PICTURES)) + 1


def _possible(difference: float, discordance: float) -> float:
    """The discordance, raised to the least that the difference needs; ValueError outside [0, 1]."""
    discordance = max(discordance, abs(difference))
    if not 0 < discordance <= 1:
        raise ValueError(f"discordance {discordance}: must be above 0 and at most 1")
    return discordance


def seeds_smallest_gap(parts: Sequence[Part], pairs: int = 1) -> float | None:
    """The gap at which two models with several runs would have reached p ≤ .05 / pairs.

    parts: `difference_parts` of the two. Their `half_width` as measured, at most 1. None where the error is
    not known: nothing varies, one picture, one group.
    """
    if parts[0].freedom == 0 or not any(part.variance for part in parts):
        return None
    gap = half_width(parts, ALPHA / max(pairs, 1))
    return gap if gap <= 1 else None


def seeds_pictures_needed(parts: Sequence[Part], n_now: int, difference: float, pairs: int = 1) -> int | None:
    """The fewest pictures on which two models with several runs would show `difference` at 80 % power.

    parts: their `difference_parts` on n_now pictures. The fewest n with half width(n) at
    .05 / pairs + half width(n) at .4 (the t of 80 % power) ≤ difference: the seeds' variances as measured,
    that of the pictures (in groups of this size) in proportion to 1 / n. None where no n up to 10 million
    does, because the seeds alone vary too much: only more seeds would help. None, too, where the error is
    not known. A plan from two or three seeds is rough: they tell their own variance badly.
    """
    images, *of_seeds = parts
    if images.freedom == 0 or not any(part.variance for part in parts):
        return None

    def enough(n: int) -> bool:
        freedom = max(1, round((images.freedom + 1) * n / n_now) - 1)
        parts = [Part(images.variance * n_now / n, freedom), *of_seeds]
        needed = half_width(parts, ALPHA / max(pairs, 1)) + half_width(parts, 2 * (1 - POWER))
        return needed <= abs(difference)

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_PICTURES:
            return None
    return _bisected(max(high // 2, 1), high, enough)


def _bisected(low: int, high: int, enough: Callable[[int], bool]) -> int:
    """The n in (low, high] from which `enough` holds, where it does not at `low` and does at `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
