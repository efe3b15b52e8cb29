"""95 % intervals of the metrics that are no shares of pictures, and of how two models differ in them.

A bootstrap over pictures (or their groups) says how much each score varies from test set to test set and
how far two models vary together; seeds add their own variance. The interval's form is the score
interval of a proportion (Wilson 1927), or of a sum of rare costs, because a percentile of few resampled
pictures ends too early near a perfect score: at 30 pictures and 99 % accuracy it covers 20 to 65 %.
The figures are in `results/evidence/statistics.md`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vitbench.comparison.statistics import (
    ALPHA,
    Part,
    effective_pictures,
    satterthwaite,
    seed_part,
    upper_limit,
)
from vitbench.inference.metrics import METRICS, Z95, Cost, Macro, Share, wilson
from vitbench.records import Array, Predictions

RESAMPLED = {metric.name: metric for metric in METRICS if not isinstance(metric.kind, Share)}
"""Metrics whose intervals come from a bootstrap."""
COSTS = {name: metric.kind for name, metric in RESAMPLED.items() if isinstance(metric.kind, Cost)}
"""Means over pictures; the others are means over classes."""
MACROS = {name: metric.kind for name, metric in RESAMPLED.items() if isinstance(metric.kind, Macro)}
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
    """One of `RESAMPLED`."""
    values: Array
    """(k,): on the test pictures, per seed."""
    replicates: Array
    """(k, B): on resample b, per seed."""
    units: int
    """Pictures, or their groups, that were resampled."""
    pictures: float
    """As many independent pictures would tell the score as well (`effective_pictures` of being right). Macro
    scores: C² / Σ 1 / n_c instead of n, as a class with few pictures weighs as much as any other."""
    mistake: float = 0.0
    """Of loss and brier: what a picture costs if it is named wrong (`mistake_costs`)."""
    reach: tuple[float, float] = (0.0, 0.0)
    """Of the macro scores: how far the pictures' chance reaches below and above the value (`class_reach`)."""
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
    """The `RESAMPLED` scores of one model, one `Predictions` per seed, on N pictures in one order.

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
    mistakes, reach = mistake_costs(predictions), class_reach(predictions, resamples.groups)
    return {
        name: Replicated(
            score=name,
            values=measured[name][:, 0],
            replicates=np.concatenate([chunk[name] for chunk in chunks], axis=1),
            units=resamples.units,
            pictures=pictures if name in COSTS else balanced,
            mistake=mistakes.get(name, 0.0),
            reach=reach.get(name, (0.0, 0.0)),
        )
        for name in RESAMPLED
    }


def mistake_costs(predictions: Sequence[Predictions]) -> dict[str, float]:
    """What a mistake costs, on the mean over pictures and seeds, by how sure the answers are.

    With confidence p at most 1 − p is left for the true class: loss −log(1 − p), Brier p² + p². If the
    mistakes that were made cost more on the mean, what they cost.
    """
    table = np.concatenate([np.sort(p.probabilities, axis=1) for p in predictions])  # (k n, C)
    rest = table[:, :-1].sum(axis=1)  # 1 − p, which is 0 to sixteen digits where the sum is not
    wrong = ~np.concatenate([p.correct for p in predictions])
    found = {}
    for name, cost in COSTS.items():
        stated = float(cost.mistake(table[:, -1], rest).mean())
        made = np.concatenate([cost.per_picture(p) for p in predictions])[wrong]
        found[name] = max(stated, float(made.mean()) if wrong.any() else 0.0)
    return found


def class_reach(predictions: Sequence[Predictions], groups: Array | None) -> dict[str, tuple[float, float]]:
    """How far below and above the macro scores chance reaches, from exact limits of each class by itself.

    Squares of the distances of all classes add up (Zou, Huang & Zhang 2009, "MOVER", for a sum of
    proportions); so a class of few pictures, or with none wrong, has the doubt that it deserves, where
    resampling has none. The proportion of a class is its recall; for F1 it is right answers among all that
    are of the class or named so, J, with F1 = 2 J / (1 + J), and the squares count twice, because a
    mistake is one in two classes. Pictures count as `effective_pictures`.
    """
    labels = predictions[0].labels
    reached: dict[str, Array] = {name: np.zeros(2) for name in MACROS}
    classes = np.unique(labels)
    for place in classes.tolist():
        truly = labels == place
        named = [p.answers == place for p in predictions]
        right = np.mean([truly & said for said in named], axis=0)
        union = truly | np.any(named, axis=0)
        weight = float(np.mean([np.count_nonzero(truly | said) for said in named]))
        recall = _exact(right[truly], None if groups is None else groups[truly])
        shares = _exact(right[union], None if groups is None else groups[union], weight)
        for name, macro in MACROS.items():
            value, below, above = (macro.from_share(one) for one in (shares if macro.of_union else recall))
            reached[name] += (2 if macro.of_union else 1) * np.square([value - below, above - value])
    return {name: tuple(np.sqrt(sums) / len(classes)) for name, sums in reached.items()}


def _exact(right: Array, groups: Array | None, n: float | None = None) -> tuple[float, float, float]:
    """Share of (m,) right, in [0, 1], and its exact limits (Clopper & Pearson 1934) on effective pictures.

    n: so many of the m count, as other runs have other ones among theirs.
    """
    from scipy.special import betaincinv

    share = float(right.sum()) / (n or len(right))
    effective = effective_pictures(right, groups) * (n or len(right)) / len(right)
    yes, no = share * effective, (1 - share) * effective
    low = float(betaincinv(yes, no + 1, ALPHA / 2)) if yes > 0 else 0.0
    return share, low, upper_limit(yes, no, 1 - ALPHA / 2)


@dataclass(frozen=True)
class Tally:
    """What the scores of k seeds are sums of, ready to be weighted."""

    costs: Array
    """(costs · k, N): those of `COSTS` in turn, per seed."""
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
        costs = np.stack([cost.per_picture(p) for cost in COSTS.values() for p in predictions])
        return cls(costs, counted, n_classes)

    def scores(self, weights: Array) -> dict[str, Array]:
        """The scores, (k, b) each, of pictures that count `weights` (N, b) times; no column all 0."""
        means = np.split(self.costs @ weights / weights.sum(axis=0), len(COSTS))
        counts = (self.counted @ weights).reshape(-1, self.n_classes, weights.shape[1])
        of_class, (named, rightly) = counts[0], np.split(counts[1:], 2)  # (C, b), (k, C, b) twice
        present = of_class > 0
        n_present = present.sum(axis=0)
        each = {name: macro.per_class(of_class, named, rightly) for name, macro in MACROS.items()}
        macros = {name: np.where(present, one, 0.0).sum(axis=1) / n_present for name, one in each.items()}
        return {**dict(zip(COSTS, means, strict=True)), **macros}


Interval = tuple[float | None, float | None]


def score_interval(one: Replicated) -> Interval:
    """95 % interval of a score over new test pictures and, with several seeds, new seeds.

        V = bootstrap variance of the seeds' mean · units / (units − 1) + s²_seeds / k, t at Satterthwaite's
        degrees of freedom (units − 1 for the pictures). macro_f1, balanced_accuracy: Wilson's interval of as
        many pictures as have this V, (z / t)² · value · (1 − value) / V, but of no more than `pictures`; the
    pictures' part of its distances is at least `reach`. loss, brier: the gamma interval of Fay & Feuer (1997,
    Statistics in Medicine 16:791) of a weighted sum of rare events with this mean and (t / z)² · V, in which
    one more mistake, `mistake` / `pictures`, is reckoned with above. So none has width 0 where all is right.
    (None, None) for loss and brier of a single picture or group: nothing says how much they vary.
    """
    variance, freedom = satterthwaite(one.parts)
    limits = _cost_limits if one.score in COSTS else _reaching_limits
    return limits(one, variance, _t(freedom))


class Differing(NamedTuple):
    """Score of A − score of B and its 95 % interval; (None, None): not to be had from one picture."""

    value: float
    low: float | None
    high: float | None


def difference_interval(a: Replicated, b: Replicated) -> Differing:
    """95 % interval of a score's difference between two models on the same `Resamples`.

    loss, brier: difference ± t · √V, V = variance of the difference over pictures + s²_a / k_a + s²_b / k_b +
    (`mistake` / `pictures`)²; the last is one pseudo-picture that either model may have lost (in the
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
    if a.score not in COSTS:
        return Differing(value, *_joined_limits(a, b, t))
    if a.units < 2:
        return Differing(value, None, None)
    half = t * math.sqrt(variance + max(one.mistake / one.pictures for one in (a, b)) ** 2)
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


def _reaching_limits(one: Replicated, variance: float, t: float) -> tuple[float, float]:
    """`_fraction_limits`, in which the pictures' part of the distance is at least `reach`."""
    value, pictures = one.value, _fraction_limits(one, one.parts[0].variance, t)
    below, above = (
        math.sqrt((whole - value) ** 2 + max(0.0, reach**2 - (part - value) ** 2))
        for whole, part, reach in zip(_fraction_limits(one, variance, t), pictures, one.reach, strict=True)
    )
    return max(0.0, value - below), min(1.0, value + above)


def _cost_limits(one: Replicated, variance: float, t: float) -> Interval:
    """The limits of loss or brier with this squared standard error, at this t."""
    from scipy.special import gammaincinv

    if one.units < 2:
        return None, None

    def gamma(mean: float, spread: float, quantile: float) -> float:
        return float(spread / mean * gammaincinv(mean**2 / spread, quantile))

    value, unseen, spread = one.value, one.mistake / one.pictures, variance * (t / Z95) ** 2
    low = gamma(value, spread, ALPHA / 2) if value > 0 and spread > 0 else 0.0
    high = gamma(value + unseen, spread + unseen**2, 1 - ALPHA / 2)
    return min(low, value), min(max(high, value), COSTS[one.score].most)


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
