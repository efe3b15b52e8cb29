"""The interval of a paired difference that holds 0 just where the test that decides does not reject it.

For one run per model where pictures depend on each other: in groups, or through folds that share training
pictures. Pictures that stand each for itself have exact McNemar and Newcombe's interval (`statistics`).
"""

import math
from dataclasses import dataclass

import numpy as np

from vitbench.inference.metrics import Z95
from vitbench.records import Array

STEPS, HALVINGS = 64, 20
"""Differences that are tried on each side of the measured one, then how often the place is halved."""


def inflated_p(p: float, inflation: float) -> float:
    """A two-sided p-value where the variance is `inflation` times what the test took it for.

    Its normal quantile over √inflation; 1 stays 1.
    """
    from scipy.special import ndtr, ndtri

    return p if inflation == 1 or p >= 1 else float(2 * ndtr(ndtri(p / 2) / math.sqrt(inflation)))


def stricter_level(alpha: float, inflation: float) -> float:
    """The level at which a p-value must be for `inflated_p` of it to be at `alpha`."""
    return inflated_p(alpha, 1 / inflation)


def fold_inflation(folds: int) -> float:
    """How much larger the variance of a k-fold estimate is than that of as many independent answers.

    1 + k · n_test / n_train = 1 + k / (k − 1): Nadeau & Bengio 2003 (Machine Learning 52:239) put
    1 / k + n_test / n_train in place of 1 / k, since the training parts of two folds overlap. 1 for no folds.
    """
    return 1 + folds / (folds - 1) if folds > 1 else 1.0


@dataclass(frozen=True)
class Nets:
    """How two models with one run each differ, group by group."""

    net: Array
    """(G,) int: pictures of a group that only A got right minus those that only B did."""
    sizes: Array
    """(G,) pictures of a group."""
    disagreements: int
    """Pictures that only one of the two got right."""
    inflation: float = 1.0

    @classmethod
    def of(cls, a: Array, b: Array, groups: Array | None, inflation: float = 1.0) -> "Nets":
        """a, b (n,) bool; groups (n,) numbers from 0 without gaps, None: each picture is its own."""
        net = a.astype(np.int64) - b
        where = np.arange(len(net)) if groups is None else groups
        per_group = np.bincount(where, weights=net).round().astype(np.int64)
        return cls(per_group, np.bincount(where), int(np.abs(net).sum()), inflation)

    @property
    def difference(self) -> float:
        return float(self.net.sum() / self.sizes.sum())

    def design_effect(self, difference: float = 0.0) -> float:
        """Variance of the net over groups, over what independent pictures would have, were this the truth.

        Σ over groups (net − difference · size)² / Σ over pictures (net − difference)², at least 1; times the
        inflation. At 0 its root is what the sign-flip test stands on. Where the models never disagree:
        Σ size² / n, as if a group held copies, because nothing is known of how alike they are.
        """
        return float(self._design(np.array([difference]))[0])

    def _design(self, at: Array) -> Array:
        n, total = self.sizes.sum(), self.net.sum()
        over_groups = np.square(self.net - at[:, None] * self.sizes).sum(axis=1)  # (D,)
        over_pictures = self.disagreements - 2 * at * total + n * at**2
        copies = np.square(self.sizes).sum() / n
        known = over_pictures > 1e-12
        ratio = np.where(known, over_groups / np.where(known, over_pictures, 1.0), copies)
        return np.asarray(np.maximum(ratio, 1.0) * self.inflation)

    def scores(self, at: Array) -> Array:
        """(D,) squared distance of the measured net from each difference, in its own standard errors.

        Tango 1998 (Statistics in Medicine 17:891): variance by the likeliest chances under that difference,
        here times `design_effect`. At 0, without inflation: (Σ net)² / Σ net².
        """
        n, net = float(self.sizes.sum()), float(self.net.sum())
        a_only, b_only = (self.disagreements + net) / 2, (self.disagreements - net) / 2
        linear = (2 * n - a_only + b_only) * at - a_only - b_only
        root = np.sqrt(np.maximum(linear**2 + 8 * n * b_only * at * (1 - at), 0.0))
        variance = n * (2 * (root - linear) / (4 * n) + at * (1 - at))
        off = np.square(net - n * at)
        spread = np.maximum(self._design(at) * variance, 1e-300)
        return np.asarray(np.where(off < 1e-18, 0.0, off / spread))


def inverted_interval(nets: Nets, p: float) -> tuple[float, float]:
    """95 % interval of a difference, (low, high): the differences that `Nets.scores` puts within 1.96².

    p: of "no difference", of the test that decides. Where the score at 0 and p fall on different sides of
    their limits (few groups: the test counts ways to flip, the score takes them for a normal variable), the
    limit of the score is moved to where it has this p. So p ≤ .05 just where 0 is outside.
    """
    if nets.net.sum() < 0:
        mirrored = Nets(-nets.net, nets.sizes, nets.disagreements, nets.inflation)
        low, high = inverted_interval(mirrored, p)
        return -high, -low
    from scipy.special import ndtri

    at_zero, z = math.sqrt(float(nets.scores(np.zeros(1))[0])), -float(ndtri(p / 2))
    rejected, limit = z >= Z95, Z95
    if rejected != (at_zero > limit):
        limit = at_zero * Z95 / max(z, 0.1)
    low, high = (_edge(nets, end, limit**2) for end in (-1.0, 1.0))
    return (low if rejected else min(low, 0.0)), high


def _edge(nets: Nets, end: float, limit: float) -> float:
    """How far from the measured difference towards `end` scores stay within `limit`."""
    tried = nets.difference + (end - nets.difference) * np.linspace(0, 1, STEPS + 1)
    outside = np.flatnonzero(nets.scores(tried) > limit)
    if len(outside) == 0:
        return end
    inside, beyond = tried[max(outside[0] - 1, 0)], tried[outside[0]]
    for _ in range(HALVINGS):
        middle = (inside + beyond) / 2
        if nets.scores(np.array([middle]))[0] > limit:
            beyond = middle
        else:
            inside = middle
    return float(inside)
