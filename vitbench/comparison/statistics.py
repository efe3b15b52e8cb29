"""Tests and intervals for models that answered the same pictures: pure functions on counts and arrays.

Accuracies and differences are fractions; intervals are two-sided 95 %. `groups` (n,) of ints says which
pictures stand together (a burst, copies of one picture): those of one group count as dependent, however
strongly. None, or a group of its own for each: every picture stands for itself. How often each interval
covers the truth is in `results/evidence/statistics.md`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vitbench.comparison.discrete import binomial_cdf, binomial_pmf
from vitbench.comparison.inverted import Nets, inflated_p, inverted_interval
from vitbench.inference.metrics import Z95, wilson
from vitbench.records import Array

ALPHA = 0.05


class Difference(NamedTuple):
    """Accuracy of A − accuracy of B, its 95 % interval, and the p-value of "no difference"."""

    value: float
    low: float
    high: float
    p: float


def mcnemar(a_only: int, b_only: int) -> float:
    """Exact two-sided McNemar p-value from the pictures that only one model got right.

    Binomial(a_only + b_only, ½); 1 when the models never disagree in being right
    (Fagerland, Lydersen & Laake 2013; scipy's `binomtest`).
    """
    return min(1.0, 2 * float(binomial_cdf(min(a_only, b_only), a_only + b_only, 0.5)))


def sign_flip(differences_per_group: Array) -> float:
    """Exact two-sided p-value of "exchanging the two models within any group changes nothing".

    differences_per_group (G,) int: pictures of a group that only A got right minus those that only B
    did. p is the share of the 2ᴳ ways to flip their signs whose sum is at least as far from 0 as the
    one observed; the distribution comes by convolution, not by drawing (Fisher 1935's randomisation
    test). Groups of one picture give exact McNemar. 1 where the sum is 0 or there is no group.
    """
    sizes, counts = np.unique(np.abs(differences_per_group), return_counts=True)
    sizes, counts = sizes[sizes > 0].astype(int), counts[sizes > 0]
    observed = abs(int(np.sum(differences_per_group)))
    if observed == 0:
        return 1.0
    # a flipped sum is 2 · (total of the positive ones) − all of them: only its lower tail is needed
    tail = (int(sizes @ counts) - observed) // 2
    chances = np.zeros(tail + 1)
    chances[0] = 1.0  # chances[s]: the positive ones among the sizes so far add up to s
    for size, count in zip(sizes, counts, strict=True):
        most = min(int(count), tail // int(size))
        weights = binomial_pmf(np.arange(most + 1), int(count), 0.5)
        before, chances = chances, np.zeros(tail + 1)
        for positive, weight in enumerate(weights):
            shift = positive * int(size)
            chances[shift:] += weight * before[: tail + 1 - shift]
    return min(1.0, 2 * float(chances.sum()))


def newcombe_paired(both: float, a_only: float, b_only: float, neither: float) -> tuple[float, float]:
    """95 % interval of the difference of two paired proportions, (both + a_only) − (both + b_only) over n.

    Hybrid-score interval with the continuity-corrected φ (Newcombe 1998, Statistics in Medicine
    17:2635, method 10): Wilson limits of each proportion, joined through their correlation φ.
    Counts may be effective ones, with fractions. (−1, 1) for n = 0.
    """
    n = both + a_only + b_only + neither
    if n == 0:
        return -1.0, 1.0
    p_a, p_b = (both + a_only) / n, (both + b_only) / n
    low_a, high_a = wilson(both + a_only, n)
    low_b, high_b = wilson(both + b_only, n)
    phi = _corrected_phi(both, a_only, b_only, neither)

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    difference = (a_only - b_only) / n
    low = difference - joined(p_a - low_a, high_b - p_b)
    high = difference + joined(high_a - p_a, p_b - low_b)
    return max(-1.0, low), min(1.0, high)


def _corrected_phi(both: float, a_only: float, b_only: float, neither: float) -> float:
    """Correlation of two paired binary outcomes, shrunk by n / 2 in the numerator where positive."""
    n = both + a_only + b_only + neither
    margins = (both + a_only) * (b_only + neither) * (both + b_only) * (a_only + neither)
    if margins == 0:
        return 0.0
    cross = both * neither - a_only * b_only
    if cross > 0:
        return max(cross - n / 2, 0.0) / math.sqrt(margins)
    return cross / math.sqrt(margins)


def paired_difference(a: Array, b: Array, groups: Array | None = None, inflation: float = 1.0) -> Difference:
    """Difference of two models with one run each: exact McNemar and Newcombe's paired interval.

    That reaches to 0 at least where p > .05, so that interval and test agree.

    a, b (n,) bool: right or wrong on the same pictures, in the same order. With groups p comes from
    `sign_flip` over them, and the interval from the inversion of that test (`inverted_interval`); the same
    where the variance is `inflation` times that of independent answers, as with folds. In simulation (10 to
    100 groups, dependence from none to full) it covers 97 % on average; Newcombe on the plain counts
    covers 83 and, at worst, 33 %.
    """
    n = len(a)
    groups = telling(groups)
    if n == 0 or (groups is None and inflation == 1):
        both, a_only, b_only, neither = (int(x.sum()) for x in (a & b, a & ~b, ~a & b, ~a & ~b))
        value = (a_only - b_only) / n if n else 0.0
        p, (low, high) = mcnemar(a_only, b_only), newcombe_paired(both, a_only, b_only, neither)
        if p > ALPHA:  # on 2 pictures Newcombe's may end at +7 points
            low, high = min(low, 0.0), max(high, 0.0)
        return Difference(value, low, high, p)
    nets = Nets.of(a, b, groups, inflation)
    p = inflated_p(sign_flip(nets.net), inflation)
    return Difference(nets.difference, *inverted_interval(nets, p), p)


def accuracy_interval(
    correct: Array, groups: Array | None = None, inflation: float = 1.0
) -> tuple[float, float]:
    """95 % interval of one run's accuracy from (n,) bool: Wilson, with groups on `effective_pictures`.

    inflation: of the variance, beside what groups do (`fold_inflation`); 1: none.

    Never narrower than plain Wilson. In simulation (10 to 100 groups, dependence from none to
    full) the mean coverage is 96 %, 84 % in the worst case (copies in groups of very unequal size);
    plain Wilson's is 80 % and 0 %. (0, 1) for n = 0.
    """
    groups = telling(groups)
    if len(correct) == 0:
        return 0.0, 1.0
    if groups is None and inflation == 1:
        return wilson(int(correct.sum()), len(correct))
    n = effective_pictures(correct, groups) / inflation
    return wilson(float(correct.mean()) * n, n)


def effective_pictures(values: Array, groups: Array | None) -> float:
    """How many independent pictures would tell the mean of `values` as well as these in their groups.

    values (n,): one number per picture. n over the design effect: the variance of the mean from group
    to group over the one that independent pictures would have, taken as at least 1 (Kish 1965).
    Times (z / t)² with t on groups − 1 degrees of freedom, because few groups tell their own variance
    badly (Korn & Graubard 1998); at least 1. The number of groups where all values are equal, and
    nothing is known of how alike a group's pictures are.
    """
    groups = telling(groups)
    n = len(values)
    if groups is None:
        return float(n)
    independent = float(np.var(values)) / n
    variance, freedom = image_part(values.astype(float), groups)
    if freedom == 0 or independent == 0:
        return freedom + 1.0
    from scipy.special import stdtrit

    few = Z95 / float(stdtrit(freedom, 1 - ALPHA / 2))
    return max(1.0, n / max(1.0, variance / independent) * few**2)


def telling(groups: Array | None) -> Array | None:
    """(n,) group numbers from 0 without gaps; None where each picture is a group of its own."""
    if groups is None:
        return None
    names, numbers = np.unique(groups, return_inverse=True)
    return None if len(names) == len(groups) else numbers


def seeds_accuracy(
    correct: Array, groups: Array | None = None, inflation: float = 1.0
) -> tuple[float, float]:
    """95 % interval of one model's accuracy over new pictures and new seeds, from (k, n) bool, k ≥ 2.

    Its variance is s²_images / n + s²_seeds / k and its t quantile that of Satterthwaite's degrees of
    freedom (Satterthwaite 1946); its form is Wilson's for as many pictures as would have this
    variance, so that it bends away from 0 and 1. (Mean ± t · error covers less often, in simulation 94 %
    against 96 % on average, and is no narrower near 1.) Wilson on the pooled k · n answers would take
    them for independent, which they are not. Where all variances are 0 (or there is one picture or
    group): `accuracy_interval` of the first run.
    """
    groups = telling(groups)
    per_image = correct.mean(axis=0)
    images = inflated(image_part(per_image, groups), inflation)
    variance, freedom = satterthwaite([images, seed_part(correct.mean(axis=1))])
    if images.freedom == 0 or variance == 0:
        return accuracy_interval(correct[0], groups, inflation)
    return wilson_of(float(per_image.mean()), variance, freedom)


def wilson_of(mean: float, variance: float, freedom: float) -> tuple[float, float]:
    """Wilson's interval of as many pictures as have this variance, at the t of its degrees of freedom."""
    from scipy.special import stdtrit

    few = Z95 / float(stdtrit(freedom, 1 - ALPHA / 2))
    n = mean * (1 - mean) / variance * few**2
    return wilson(mean * n, n)


def runs_accuracy(correct: Array, groups: Array | None = None, inflation: float = 1.0) -> tuple[float, float]:
    """95 % interval of accuracy, (k, n) bool: `accuracy_interval` of one run, `seeds_accuracy` of several."""
    if len(correct) == 1:
        return accuracy_interval(correct[0], groups, inflation)
    return seeds_accuracy(correct, groups, inflation)


def run_among_seeds(
    correct: Array, seed: "Part", groups: Array | None = None, inflation: float = 1.0
) -> tuple[float, float]:
    """95 % interval of one run's accuracy, (n,) bool, of which other models tell how much a seed changes it.

    `seeds_accuracy` with that variance; never narrower than `accuracy_interval`, which it is where all
    pictures are right, or none, or there is one picture or group.
    """
    groups, mean = telling(groups), float(correct.mean())
    alone = accuracy_interval(correct, groups, inflation)
    images = inflated(image_part(correct.astype(float), groups), inflation)
    variance, freedom = satterthwaite([images, seed])
    if images.freedom == 0 or variance == 0 or mean in (0.0, 1.0):
        return alone
    low, high = wilson_of(mean, variance, freedom)
    return min(low, alone[0]), max(high, alone[1])


class Part(NamedTuple):
    """One source of chance in a mean: its squared standard error, and the freedom it is known with."""

    variance: float
    freedom: float
    """Degrees of freedom."""

    def over(self, k: int) -> "Part":
        """That of a mean over k independent ones."""
        return Part(self.variance / k, self.freedom)


def inflated(part: Part, inflation: float) -> Part:
    """The part with so many times its variance."""
    return Part(part.variance * inflation, part.freedom)


def image_part(values: Array, groups: Array | None = None) -> Part:
    """Squared standard error of the mean of (n,) values, one per picture, over pictures or their groups."""
    if groups is None:
        return seed_part(values)
    n, n_groups = len(values), int(groups.max()) + 1
    sums = np.bincount(groups, weights=values - np.mean(values))
    variance = float(sums @ sums) / n**2
    if n_groups < 2:
        return Part(0.0, 0)
    return Part(above_rounding(n_groups / (n_groups - 1) * variance), n_groups - 1)


def mean_interval(values: Array, groups: Array | None = None) -> tuple[float, float | None, float | None]:
    """Mean of (n,) values, one per picture, and its 95 % interval over pictures or their groups, by t.

    (mean, None, None) from one picture or group, which does not tell how much they vary.
    """
    from scipy.special import stdtrit

    mean, part = float(np.mean(values)), image_part(values, telling(groups))
    if not part.freedom:
        return mean, None, None
    half = float(stdtrit(part.freedom, 1 - ALPHA / 2)) * math.sqrt(part.variance)
    return mean, mean - half, mean + half


def seed_part(values: Array) -> Part:
    """Squared standard error of the mean of independent values, one per seed; (0, 0) for a single one."""
    n = len(values)
    if n < 2:
        return Part(0.0, 0)
    return Part(above_rounding(float(np.var(values, ddof=1)) / n), n - 1)


def above_rounding(variance: float) -> float:
    """Rounding of means that are equal in truth must not pass for variance."""
    return variance if variance > 1e-24 else 0.0


def satterthwaite(parts: Sequence[Part]) -> tuple[float, float]:
    """Sum of independent squared errors and its effective degrees of freedom (Satterthwaite 1946)."""
    total = sum(part.variance for part in parts)
    weight = sum(part.variance**2 / part.freedom for part in parts if part.freedom)
    return total, (total**2 / weight if weight else 0.0)


def upper_limit(yes: float, no: float, level: float) -> float:
    """The one-sided exact upper limit of a share, `yes` of `yes` + `no` (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    return float(betaincinv(yes + 1, no, level)) if no > 0 else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order (Holm 1979); compare each with α itself."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted
