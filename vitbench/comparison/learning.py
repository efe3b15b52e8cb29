"""Learning curves: accuracy over how much there was to learn from, and what chance does to it.

Two sources of chance stand apart: which pictures were drawn to learn from, and which were tested. Draws from
one pool share pictures, the more so the larger they are: 20 draws of 32 out of 45 differ little, and say so
little of what another 32 pictures would give. For a mean that is linear in its pictures (Hájek's projection)
draws of k out of K vary 1 − k / K times as much as independent ones, which is undone here, and their mean
keeps the k / K that all of them have in common.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitbench.comparison.bootstrap import Resamples
from vitbench.comparison.seeds import half_width, p_value
from vitbench.comparison.statistics import (
    Part,
    above_rounding,
    accuracy_interval,
    image_part,
    inflated,
    satterthwaite,
    telling,
    wilson_of,
)
from vitbench.records import Array

MOST_SHARED = 0.75
"""Draws of a larger part of the pool say nothing of their own of how much other draws vary."""
OVERLAP = 0.1
"""Of the share of the pool that a draw takes: what its gain keeps in common with other draws. A gain is a
difference within one draw, so most of what they share falls out of it; by simulation
(`tests/evidence/simulated_curves.py`)."""
FITTED = 3
"""Sizes that a power law is laid through."""
REPLICATES = 1000


@dataclass(frozen=True)
class Curve:
    """What one model answered on n test pictures, per size and draw; the draws are those of all models."""

    name: str
    sizes: tuple[float, ...]
    """Groups per class, rising."""
    right: tuple[Array, ...]
    """Per size (d, n) bool; where all of the pool is taken there is one draw."""
    pool: float
    """Groups per class that are drawn from."""

    @property
    def accuracy(self) -> Array:
        """(S,) means over draws and pictures."""
        return np.array([right.mean() for right in self.right])

    def draws(self, place: int) -> Array:
        """(d,) accuracies at a size."""
        return np.asarray(self.right[place].mean(axis=1))

    def only(self, sizes: Sequence[float]) -> "Curve":
        """The curve at those of its sizes that are among `sizes`."""
        kept = [place for place, size in enumerate(self.sizes) if size in sizes]
        return replace(
            self, sizes=tuple(self.sizes[i] for i in kept), right=tuple(self.right[i] for i in kept)
        )


@dataclass(frozen=True)
class Chance:
    """An estimate with its two sources of chance."""

    value: float
    pictures: Part
    draws: Part

    @property
    def half_width(self) -> float:
        """Of the 95 % interval over both."""
        return half_width([self.pictures, self.draws])

    @property
    def p(self) -> float:
        """Of "it is 0"."""
        return p_value(self.value, [self.pictures, self.draws])


def one_draw(values: Sequence[Array], sizes: Sequence[float], pool: float, place: int) -> Part:
    """Variance of what one fresh draw of a size gives, and its freedom; values: per size (d,).

    From the draws of that size, or, where they are one or take most of the pool, from those of the next
    smaller size that tells: the variance falls as 1 / k. (0, 0) where no size does.
    """
    for at in range(place, -1, -1):
        share = sizes[at] / pool
        if len(values[at]) > 1 and share <= MOST_SHARED:
            variance = float(np.var(values[at], ddof=1)) / (1 - share)
            return Part(above_rounding(variance * sizes[at] / sizes[place]), len(values[at]) - 1)
    return Part(0.0, 0)


def mean_of_draws(values: Sequence[Array], sizes: Sequence[float], pool: float, place: int) -> Part:
    """Squared error of the mean over the draws of a size: what all share by the pool, and each one's own."""
    one = one_draw(values, sizes, pool, place)
    share = min(1.0, sizes[place] / pool)
    return Part(one.variance * (share + (1 - share) / len(values[place])), one.freedom)


def level(curve: Curve, place: int, groups: Array | None, inflation: float = 1.0) -> Chance:
    """A model's mean accuracy at a size."""
    values = [curve.draws(at) for at in range(len(curve.sizes))]
    draws = mean_of_draws(values, curve.sizes, curve.pool, place)
    pictures = inflated(image_part(curve.right[place].mean(axis=0), telling(groups)), inflation)
    return Chance(float(curve.right[place].mean()), pictures, draws)


def level_interval(
    curve: Curve, place: int, groups: Array | None, inflation: float = 1.0
) -> tuple[float, float]:
    """95 % interval of `level` over both chances, in Wilson's form, which bends away from 0 and 1.

    Where no picture and no draw differs: that of one draw (`accuracy_interval`).
    """
    chance = level(curve, place, groups, inflation)
    variance, freedom = satterthwaite([chance.pictures, chance.draws])
    if not variance or chance.value in (0.0, 1.0):
        return accuracy_interval(curve.right[place][0], groups, inflation)
    return wilson_of(chance.value, variance, freedom)


def gain(curve: Curve, before: int, after: int, groups: Array | None, inflation: float = 1.0) -> Chance:
    """Accuracy at one size less that at a smaller one, each draw by itself: the smaller lies in the larger.

    In simulation the 95 % interval of `Chance` covers the gain between fresh training sets on fresh test
    pictures in 95 to 99 % of sweeps (`tests/evidence/simulated_curves.py`).
    """
    small, large = curve.right[before], curve.right[after]
    values = large.mean(axis=1) - small.mean(axis=1)  # one draw of all stands beside each of the smaller
    pictures = _between(large.mean(axis=0), small.mean(axis=0), groups, inflation)
    shared = OVERLAP * min(1.0, curve.sizes[after] / curve.pool)
    count = len(values)
    variance = above_rounding(float(np.var(values, ddof=1))) if count > 1 else 0.0
    draws = Part(variance * (1 / count + shared), count - 1)
    return Chance(float(large.mean() - small.mean()), pictures, draws)


def difference(a: Curve, b: Curve, place: int, groups: Array | None, inflation: float = 1.0) -> Chance:
    """Accuracy of A − accuracy of B at a size that both have, over the same draws and pictures.

    Where the two have unequally many draws, over those that both have.
    """
    values = [np.array(_common(a, b, at)).mean(axis=2) for at in range(len(a.sizes))]  # (2, d) each
    differences = [one[0] - one[1] for one in values]
    right_a, right_b = _common(a, b, place)
    pictures = _between(right_a.mean(axis=0), right_b.mean(axis=0), groups, inflation)
    draws = mean_of_draws(differences, a.sizes, a.pool, place)
    return Chance(float(right_a.mean() - right_b.mean()), pictures, draws)


def _between(a: Array, b: Array, groups: Array | None, inflation: float) -> Part:
    """Squared error over test pictures of the difference of two means of (n,).

    At least that of one picture, or group, on which they differ: answers that never do prove no equality.
    """
    part = image_part(a - b, telling(groups))
    return inflated(Part(max(part.variance, 1 / (part.freedom + 1) ** 2), max(part.freedom, 1)), inflation)


def _common(a: Curve, b: Curve, place: int) -> tuple[Array, Array]:
    count = min(len(a.right[place]), len(b.right[place]))
    return a.right[place][:count], b.right[place][:count]


# --- replicates -----------------------------------------------------------------------------------


def replicates(
    curves: Sequence[Curve], groups: Array | None, inflation: float = 1.0, count: int = REPLICATES
) -> list[Array]:
    """Per curve (count, S): its means as they might have come out, the same chance for all of them.

    Test pictures, in their groups, and draws are resampled together; what each source moves is scaled to
    the variance that `level` gives it.
    """
    n = curves[0].right[0].shape[1]
    weights = np.concatenate(list(Resamples(n, groups, count).chunks()), axis=1)  # (n, count)
    weights /= weights.sum(axis=0)
    most = max(len(right) for curve in curves for right in curve.right)
    chosen = np.random.default_rng(1).random((count, most))
    found = []
    for curve in curves:
        means = curve.accuracy
        pictures = np.stack([right.mean(axis=0) @ weights for right in curve.right], axis=1) - means
        moved = np.sqrt(inflation) * pictures + _moved_by_draws(curve, chosen)
        found.append(np.clip(means + moved, 0.0, 1.0))
    return found


def _moved_by_draws(curve: Curve, chosen: Array) -> Array:
    """(count, S): what other draws would change; sizes whose draws say nothing move as the one before.

    chosen (count, D): numbers in [0, 1) that pick draws, the same for all curves.
    """
    values = [curve.draws(place) for place in range(len(curve.sizes))]
    moved = np.zeros((len(chosen), len(curve.sizes)))
    unit = np.zeros(len(chosen))
    for place, (size, own) in enumerate(zip(curve.sizes, values, strict=True)):
        if len(own) > 1 and size / curve.pool <= MOST_SHARED:
            picked = (chosen[:, : len(own)] * len(own)).astype(int)
            unit = own[picked].mean(axis=1) - own.mean()
        spread = float(unit.std())
        target = mean_of_draws(values, curve.sizes, curve.pool, place).variance
        moved[:, place] = unit * (math.sqrt(target) / spread) if spread > 0 else 0.0
    return moved


# --- along the curve ------------------------------------------------------------------------------


def reached(sizes: Sequence[float], accuracy: Array, target: float) -> tuple[float, bool]:
    """The groups per class at which a curve is at `target`, and whether that lies beyond what was measured.

    Linear in log k between sizes, over the highest accuracy so far; beyond the last size by `power_law`, up
    to its double; inf where it is not reached there. At the first size: that size, for less was not tried.
    """
    best = np.maximum.accumulate(accuracy)
    at = int(np.searchsorted(best, target))
    if at == 0:
        return float(sizes[0]), False
    if at < len(best):
        part = (target - best[at - 1]) / (best[at] - best[at - 1])
        low, high = math.log(sizes[at - 1]), math.log(sizes[at])
        return math.exp(low + part * (high - low)), False
    if len(sizes) < 2:
        return math.inf, True
    scale, exponent = power_law(sizes, accuracy)
    if exponent <= 0 or target >= 1:
        return math.inf, True
    need = (scale - math.log(1 - target)) / exponent
    if need > math.log(2 * sizes[-1]):  # of a curve that hardly rises, beyond any number
        return math.inf, True
    # A flat fit may say less than what was tried without reaching it.
    return max(math.exp(need), float(sizes[-1])), True


def power_law(sizes: Sequence[float], accuracy: Array) -> tuple[float, float]:
    """log a and b of error = a · k^−b through the last sizes, least squares on logarithms.

    Two parameters: a third, the error that stays, does no better on so few sizes. Only the last sizes, for
    one power does not hold from one picture on (Jain et al. 2023, arXiv 2303.01598).
    """
    errors = np.log(np.maximum(1 - accuracy[-FITTED:], 1e-3))
    slope, scale = np.polyfit(np.log(np.array(sizes[-FITTED:])), errors, 1)
    return float(scale), float(-slope)


def extrapolated(sizes: Sequence[float], accuracy: Array, size: float) -> float:
    """The accuracy that `power_law` gives at a size."""
    scale, exponent = power_law(sizes, accuracy)
    return float(np.clip(1 - math.exp(scale) * size**-exponent, 0.0, 1.0))
