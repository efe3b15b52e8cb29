"""95 % intervals of loss, Brier score, macro-F1 and balanced accuracy, and of how two models differ in them.

A bootstrap over pictures (or their groups) says how much each score varies from test set to test set and
how far two models vary together; seeds add their own variance. The interval's form is the score
interval of a proportion (Wilson 1927), or of a total of rare costs, because a percentile of few resampled
pictures ends too early near a perfect score: at 30 pictures and 99 % accuracy it covers 20 to 65 %.
The figures are in `results/evidence/statistics.md`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vitbench.comparison.statistics import ALPHA, Part, effective_pictures, satterthwaite, seed_part
from vitbench.inference.metrics import Z95, brier_scores, wilson
from vitbench.records import Array, Predictions

SCORES = ("loss", "brier", "macro_f1", "balanced_accuracy")
LEAST_COST = {"loss": math.log(2), "brier": 0.5}
"""What a picture named wrong costs at the least: at most half of the probability is on its true class."""
CHUNK = 128
"""Resamples that are held at a time."""


@dataclass(frozen=True)
class Resamples:
    """Test sets drawn with replacement from n pictures, the same ones for every model that is given them."""

    n: int
    groups: Array | None = None
    """(n,) ints: pictures of one group are drawn together; None: each on its own."""
    repetitions: int = 2000
    seed: int = 0

    @property
    def units(self) -> int:
        """What is drawn: groups, or pictures."""
        return self.n if self.groups is None else len(np.unique(self.groups))

    def chunks(self) -> Iterator[Array]:
        """(n, ≤ 128) float64: how often each picture is in each of the next resamples."""
        rng = np.random.default_rng(self.seed)
        units = self.units
        members = None if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        for start in range(0, self.repetitions, CHUNK):
            size = min(CHUNK, self.repetitions - start)
            drawn = rng.integers(0, units, (size, units)) + units * np.arange(size)[:, None]
            times = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).T
            yield np.ascontiguousarray(times if members is None else times[members], dtype=float)


@dataclass(frozen=True, kw_only=True)
class Replicated:
    """One score of one model: as measured with each seed, and on every resample."""

    score: str
    """One of `SCORES`."""
    values: Array
    """(k,): on the test pictures, per seed."""
    replicates: Array
    """(k, B): on resample b, per seed."""
    units: int
    """Pictures, or their groups, that were resampled."""
    pictures: float
    """As many independent pictures would tell the score as well (`effective_pictures` of being right). Macro
    scores: C² / Σ 1 / n_c instead of n, as a class with few pictures weighs as much as any other."""
    seed: Part | None = None
    """How much one seed changes the score; None: as much as these seeds tell."""

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())

    @property
    def over_pictures(self) -> Array:
        """(B,): the mean over seeds on every resample."""
        return np.asarray(self.replicates.mean(axis=0))

    @property
    def parts(self) -> tuple[Part, Part]:
        """What makes the value uncertain: pictures, seeds."""
        seeds = self.seed.over(len(self.values)) if self.seed else seed_part(self.values)
        return _picture_part(self.over_pictures, self.units), seeds


def replicates(predictions: Sequence[Predictions], resamples: Resamples) -> dict[str, Replicated]:
    """The four `SCORES` of one model, one `Predictions` per seed, on the same N pictures in the same order.

    Equal to `inference.metrics.scores` on the pictures themselves. In a resample the macro scores are
    means over the classes that are in it. Memory: 128 · (N + classes · seeds) numbers at a time.
    """
    first = predictions[0]
    tally = Tally.of(predictions)
    chunks = [tally.scores(weights) for weights in resamples.chunks()]
    measured = tally.scores(np.ones((resamples.n, 1)))
    right = np.mean([p.correct for p in predictions], axis=0)  # (N,)
    pictures = effective_pictures(right, resamples.groups)
    per_class = np.unique(first.labels, return_counts=True)[1]
    balanced = pictures * len(per_class) ** 2 / float(np.sum(1 / per_class)) / resamples.n
    return {
        name: Replicated(
            score=name,
            values=measured[name][:, 0],
            replicates=np.concatenate([chunk[name] for chunk in chunks], axis=1),
            units=resamples.units,
            pictures=pictures if name in LEAST_COST else balanced,
        )
        for name in SCORES
    }


@dataclass(frozen=True)
class Tally:
    """What the scores of k seeds are sums of, ready to be weighted."""

    costs: Array
    """(2k, N): losses per seed, then Brier scores."""
    counted: Any
    """((1 + 2k) · C, N) sparse: which picture is of a class; per seed, which is named so, which rightly."""
    n_classes: int

    @classmethod
    def of(cls, predictions: Sequence[Predictions]) -> "Tally":
        from scipy.sparse import csr_array, vstack

        labels, n_classes = predictions[0].labels, len(predictions[0].classes)
        n = len(labels)
        picture = np.arange(n)

        def one_per_class(classes: Array, which: Array) -> Any:
            return csr_array((which.astype(float), (classes, picture)), shape=(n_classes, n))

        every = np.ones(n)
        named = [one_per_class(p.answers, every) for p in predictions]
        rightly = [one_per_class(labels, p.correct) for p in predictions]
        counted = vstack([one_per_class(labels, every), *named, *rightly], format="csr")
        costs = np.stack([p.losses for p in predictions] + [brier_scores(p) for p in predictions])
        return cls(costs, counted, n_classes)

    def scores(self, weights: Array) -> dict[str, Array]:
        """The four scores, (k, b) each, of pictures that count `weights` (N, b) times; no column all 0."""
        loss, brier = np.split(self.costs @ weights / weights.sum(axis=0), 2)
        counts = (self.counted @ weights).reshape(-1, self.n_classes, weights.shape[1])
        of_class, (named, rightly) = counts[0], np.split(counts[1:], 2)  # (C, b), (k, C, b) twice
        present = of_class > 0
        n_present = present.sum(axis=0)
        recall = rightly / np.where(present, of_class, 1.0)
        f1 = np.where(present, 2 * rightly / np.maximum(of_class + named, 1.0), 0.0)
        return {
            "loss": loss,
            "brier": brier,
            "macro_f1": f1.sum(axis=1) / n_present,
            "balanced_accuracy": recall.sum(axis=1) / n_present,
        }


Interval = tuple[float | None, float | None]


def score_interval(one: Replicated) -> Interval:
    """95 % interval of a score over new test pictures and, with several seeds, new seeds.

    V = bootstrap variance of the seeds' mean · units / (units − 1) + s²_seeds / k, t at Satterthwaite's
    degrees of freedom (units − 1 for the pictures). macro_f1, balanced_accuracy: Wilson's interval of as
    many pictures as have this V, (z / t)² · value · (1 − value) / V, but of no more than `pictures`. loss,
    brier: all μ with (value − μ)² ≤ c · μ, c = t² · V / value, whose variance grows with μ as that of a sum
    of rare costs (compound Poisson) does; c is at least z² · `LEAST_COST` / `pictures`, for the wrong
    answers that chance left out of a small test set. So neither has width 0 where all is right. (None, None)
    for loss and brier of a single picture or group: nothing says how much they vary.
    """
    variance, freedom = satterthwaite(one.parts)
    limits = _cost_limits if one.score in LEAST_COST else _fraction_limits
    return limits(one, variance, _t(freedom))


class Differing(NamedTuple):
    """Score of A − score of B and its 95 % interval; (None, None): not to be had from one picture."""

    value: float
    low: float | None
    high: float | None


def difference_interval(a: Replicated, b: Replicated) -> Differing:
    """95 % interval of a score's difference between two models on the same `Resamples`.

    loss, brier: difference ± t · √V, V = variance of the difference over pictures + s²_a / k_a + s²_b / k_b +
    (`LEAST_COST` / `pictures`)²; the last is one pseudo-picture that either model may have lost (in the
    manner of Agresti & Min 2005), so that a small test set without a disagreement claims no
    certainty. macro_f1, balanced_accuracy: Newcombe's way (1998, method 10) for any score (Zou & Donner
    2008, "MOVER"): the limits of both, as in `score_interval`, joined through their correlation φ, which
    is shrunk as Newcombe shrinks his. t for both: at Satterthwaite's degrees of freedom of the difference.
    (None, None) as there; ValueError where the two are different scores.
    """
    if a.score != b.score or a.replicates.shape[1] != b.replicates.shape[1]:
        raise ValueError(f"{a.score} and {b.score} of different resamples have no difference")
    value = a.value - b.value
    pictures = _picture_part(a.over_pictures - b.over_pictures, a.units)
    variance, freedom = satterthwaite([pictures, a.parts[1], b.parts[1]])
    t = _t(freedom)
    if a.score not in LEAST_COST:
        return Differing(value, *_joined_limits(a, b, t))
    if a.units < 2:
        return Differing(value, None, None)
    half = t * math.sqrt(variance + (LEAST_COST[a.score] / min(a.pictures, b.pictures)) ** 2)
    return Differing(value, value - half, value + half)


def _joined_limits(a: Replicated, b: Replicated, t: float) -> tuple[float, float]:
    """Limits of the difference of two macro scores."""
    variance_a, variance_b = satterthwaite(a.parts)[0], satterthwaite(b.parts)[0]
    low_a, high_a = _fraction_limits(a, variance_a, t)
    low_b, high_b = _fraction_limits(b, variance_b, t)
    phi = _correlation(a, b, variance_a * variance_b)

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low = a.value - b.value - joined(a.value - low_a, high_b - b.value)
    high = a.value - b.value + joined(high_a - a.value, b.value - low_b)
    return max(-1.0, low), min(1.0, high)


def _picture_part(over_pictures: Array, units: int) -> Part:
    """Squared standard error from (B,) replicates: their variance, as unbiased as that of a mean."""
    if units < 2:
        return Part(0.0, 0)
    spread = seed_part(over_pictures).variance * len(over_pictures)
    return Part(spread * units / (units - 1), units - 1)


def _t(freedom: float) -> float:
    """The two-sided 95 % point of Student's t; the normal's where nothing was estimated."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - ALPHA / 2)) if freedom else Z95


def _fraction_limits(one: Replicated, variance: float, t: float) -> tuple[float, float]:
    """Wilson's limits of a macro score with this squared standard error, at this t."""
    value, n = one.value, one.pictures
    if variance > 0:
        n = min(n, value * (1 - value) / variance * (Z95 / t) ** 2)
    return wilson(value * n, n)


def _cost_limits(one: Replicated, variance: float, t: float) -> Interval:
    """The limits of loss or brier with this squared standard error, at this t."""
    if one.units < 2:
        return None, None
    value, least = one.value, LEAST_COST[one.score]
    c = max(t**2 * variance / value if value > 0 else 0.0, Z95**2 * least / one.pictures)
    centre, half = value + c / 2, math.sqrt(value * c + c**2 / 4)
    most = 2.0 if one.score == "brier" else math.inf
    return max(0.0, centre - half), min(most, centre + half)


def _correlation(a: Replicated, b: Replicated, product: float) -> float:
    """φ of two models' values, whose variances have this product; pictures alone make them vary together."""
    if product <= 0 or a.units < 2:
        return 0.0
    together = float(np.cov(a.over_pictures, b.over_pictures)[0, 1]) * a.units / (a.units - 1)
    phi = min(1.0, together / math.sqrt(product))
    if phi <= 0:
        return phi
    spread = math.sqrt(a.value * (1 - a.value) * b.value * (1 - b.value))
    return max(0.0, phi - 1 / (2 * a.pictures * spread))
