"""Tests and intervals for models that answered the same pictures: pure functions on counts and arrays.

Accuracies and differences are fractions; intervals are two-sided 95 %.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vitbench.inference.metrics import wilson
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
    from scipy.stats import binomtest

    if a_only + b_only == 0:
        return 1.0
    return float(binomtest(a_only, a_only + b_only).pvalue)


def newcombe_paired(both: int, a_only: int, b_only: int, neither: int) -> tuple[float, float]:
    """95 % interval of the difference of two paired proportions, (both + a_only) − (both + b_only) over n.

    Hybrid-score interval with the continuity-corrected φ (Newcombe 1998, Statistics in Medicine
    17:2635, method 10): Wilson limits of each proportion, joined through their correlation φ.
    (−1, 1) for n = 0.
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


def _corrected_phi(both: int, a_only: int, b_only: int, neither: int) -> float:
    """Correlation of two paired binary outcomes, shrunk by n / 2 in the numerator where positive."""
    n = both + a_only + b_only + neither
    margins = (both + a_only) * (b_only + neither) * (both + b_only) * (a_only + neither)
    if margins == 0:
        return 0.0
    cross = both * neither - a_only * b_only
    if cross > 0:
        return max(cross - n / 2, 0.0) / math.sqrt(margins)
    return cross / math.sqrt(margins)


def paired_difference(a: Array, b: Array) -> Difference:
    """Difference of two models with one run each: exact McNemar and Newcombe's paired interval.

    a, b (n,) bool: right or wrong on the same pictures, in the same order.
    """
    both, a_only = int((a & b).sum()), int((a & ~b).sum())
    b_only, neither = int((~a & b).sum()), int((~a & ~b).sum())
    low, high = newcombe_paired(both, a_only, b_only, neither)
    n = len(a)
    return Difference((a_only - b_only) / n if n else 0.0, low, high, mcnemar(a_only, b_only))


def seeds_difference(a: Array, b: Array) -> Difference:
    """Difference of two models with several runs each: two-way t over images × seeds.

    a (k_a, n), b (k_b, n) bool, k ≥ 2: right or wrong per seed and picture. Difference ± t · √(s²_images / n
    + s²_a / k_a + s²_b / k_b): s²_images is the variance of the seed-averaged differences per picture,
    s²_a and s²_b the variances of the seeds' accuracies; degrees of freedom by Satterthwaite 1946.
    It covers new pictures and new seeds; resampling only one of the two misleads. Where all three
    variances are 0 (or n = 1) the runs say no more than one each: `paired_difference` of the first ones.
    """
    from scipy.stats import t

    per_image = a.mean(axis=0) - b.mean(axis=0)  # (n,)
    value = float(per_image.mean())
    parts = [_part(per_image), _part(a.mean(axis=1)), _part(b.mean(axis=1))]
    variance, freedom = _satterthwaite(parts)
    if len(per_image) < 2 or variance == 0:
        return paired_difference(a[0], b[0])
    error = math.sqrt(variance)
    half = float(t.ppf(1 - ALPHA / 2, freedom)) * error
    p = float(2 * t.sf(abs(value) / error, freedom))
    return Difference(value, max(-1.0, value - half), min(1.0, value + half), p)


def seeds_accuracy(correct: Array) -> tuple[float, float]:
    """95 % interval of one model's accuracy over new pictures and new seeds, from (k, n) bool, k ≥ 2.

    Mean ± t · √(s²_images / n + s²_seeds / k), as in `seeds_difference`, cut to [0, 1]. Wilson on the
    pooled k · n answers would take them for independent, which they are not. Where both variances
    are 0 (or n = 1): Wilson of the first run.
    """
    from scipy.stats import t

    per_image = correct.mean(axis=0)
    variance, freedom = _satterthwaite([_part(per_image), _part(correct.mean(axis=1))])
    if len(per_image) < 2 or variance == 0:
        return wilson(int(correct[0].sum()), correct.shape[1])
    half = float(t.ppf(1 - ALPHA / 2, freedom)) * math.sqrt(variance)
    mean = float(per_image.mean())
    return max(0.0, mean - half), min(1.0, mean + half)


def _part(values: Array) -> tuple[float, int]:
    """Squared standard error of a mean and its degrees of freedom; (0, 0) for a single value."""
    n = len(values)
    if n < 2:
        return 0.0, 0
    # rounding of means that are equal in truth must not pass for variance
    variance = float(np.var(values, ddof=1))
    return (variance / n if variance > 1e-24 else 0.0), n - 1


def _satterthwaite(parts: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Sum of independent squared errors and its effective degrees of freedom (Satterthwaite 1946)."""
    total = sum(variance for variance, _ in parts)
    weight = sum(variance**2 / freedom for variance, freedom in parts if freedom)
    return total, (total**2 / weight if weight else 0.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order (Holm 1979); compare each with α itself."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def smallest_net(pairs: int = 1) -> int:
    """Net pictures by which one model must lead before exact McNemar can reach p ≤ .05 among `pairs` pairs.

    The most telling outcome has no picture on the other side: p = 2 · ½ᵈ ≤ .05 / pairs (Holm's first
    step). 6 for one pair, 7 for 3, 10 for 15, whatever the size of the test set.
    """
    return math.ceil(math.log2(2 * max(pairs, 1) / ALPHA))


def smallest_gap(n: int, pairs: int = 1) -> float | None:
    """The smallest accuracy gap that n pictures could ever show among `pairs` pairs; None: no gap could."""
    net = smallest_net(pairs)
    return net / n if net <= n else None
