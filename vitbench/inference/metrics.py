"""Scores of one model's answers, a row of `METRICS` each; all can be recomputed from `predictions.csv` alone.

What a metric is called, how it is shown and how its interval comes about follows from its row: CSV, JSON,
terminal, report and frame need nothing else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.records import Array, Predictions, decimals, percent

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""


def wilson(correct: float, n: float) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion, as two fractions; (0, 1) for n = 0.

    Counts may be effective ones, with fractions.

    Wilson 1927, without continuity correction; equal to scipy's
    `binomtest(correct, n).proportion_ci(method="wilson")`, written out because `predict` shows it
    and must not wait for scipy.
    """
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} right of {n} cannot be")
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == n else (centre + half) / scale
    return low, high


# --- what a metric is made of ---------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A share of the pictures. Its interval is that of a proportion, as accuracy has it."""

    right: Callable[[Predictions], Array]
    """(N,) bool."""
    most = 1.0


@dataclass(frozen=True)
class Cost:
    """A mean over pictures of what an answer costs; lower is better. A bootstrap gives its interval."""

    per_picture: Callable[[Predictions], Array]
    """(N,), ≥ 0."""
    mistake: Callable[[Array, Array], Array]
    """(N,): what a mistake costs at least, from the confidence p (N,), and 1 − p, which rounding spoils."""
    most: float
    """It is never more."""


@dataclass(frozen=True)
class Macro:
    """A mean over the classes that have a test picture. A bootstrap gives its interval.

    A class without one has no score, and leaving it out keeps the mean over the same classes for every
    model; an answer naming such a class still counts as a miss of the true one.
    """

    per_class: Callable[[Array, Array, Array], Array]
    """Of a class, in [0, 1], from three numbers of pictures: of the class, named so, both."""
    of_union: bool
    """It follows from the share of right answers among pictures of the class or named so; else among those of
    the class alone."""
    from_share: Callable[[float], float]
    """How it follows."""
    most = 1.0


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One score: a row of the table of all."""

    name: str
    """In files."""
    kind: Share | Cost | Macro
    """What it is made of, which decides how its interval comes about."""
    heading: str
    """Over its column on a screen, and its name in a sentence; without its unit."""
    title: str
    """In the report."""
    meaning: str
    """What the number is, one line that goes on from its name."""
    percent: bool = True
    """Shown in percent; else as it is."""
    least_classes: int = 0
    """With fewer it says nothing, and is left out."""

    @property
    def lower_is_better(self) -> bool:
        return isinstance(self.kind, Cost)

    @property
    def columns(self) -> tuple[str, str, str]:
        """In files: its own and those of the ends of its interval."""
        return self.name, f"{self.name}_low", f"{self.name}_high"

    def shown(self, value: float, n: int) -> str:
        """A value of it on n pictures, without the unit: to no more digits than so many are worth."""
        return percent(value, decimals(n)) if self.percent else f"{value:.{2 + decimals(n)}f}"

    def of(self, predictions: Predictions) -> float:
        """Its value; N ≥ 1 pictures."""
        if isinstance(self.kind, Macro):
            of_class, named, right = class_counts(predictions)
            return float(self.kind.per_class(of_class, named, right)[of_class > 0].mean())
        return float(self.per_picture(predictions).mean())

    def per_picture(self, predictions: Predictions) -> Array:
        """(N,): what it is the mean of; TypeError for one over classes."""
        if isinstance(self.kind, Macro):
            raise TypeError(f"{self.name} is no mean over pictures")
        return (
            self.kind.right(predictions)
            if isinstance(self.kind, Share)
            else self.kind.per_picture(predictions)
        )


def class_counts(predictions: Predictions) -> tuple[Array, Array, Array]:
    """Three times (C,): pictures of each class, named so, and both."""
    labels, answers, classes = predictions.labels, predictions.answers, len(predictions.classes)
    both = labels[predictions.correct]
    of_class, named, right = (np.bincount(which, minlength=classes) for which in (labels, answers, both))
    return of_class, named, right


# --- the metrics ----------------------------------------------------------------------------------


def brier_scores(predictions: Predictions) -> Array:
    """(N,) squared error of the probabilities, summed over classes: 0 (sure and right) to 2 (sure and wrong).

    Brier 1950, in its multi-class form; sklearn's `brier_score_loss` for two classes is half of it.
    """
    probabilities = predictions.probabilities
    of_true = probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * of_true + 1)


def among_first(predictions: Predictions, k: int) -> Array:
    """(N,) bool: the true class is one of the k most probable; of equal ones the first classes count."""
    probabilities, labels = predictions.probabilities, predictions.labels[:, None]
    of_true = np.take_along_axis(probabilities, labels, axis=1)
    ahead = (probabilities > of_true) | (
        (probabilities == of_true) & (np.arange(probabilities.shape[1]) < labels)
    )
    return np.asarray(ahead.sum(axis=1) < k)


LEAST = 1e-300
"""Probabilities are floored here, as in `Predictions.losses`."""

METRICS: tuple[Metric, ...] = (
    Metric(
        name="top1",
        kind=Share(lambda predictions: predictions.correct),
        heading="top-1",
        title="right",
        meaning="share of the test pictures named right (top-1 accuracy)",
    ),
    Metric(
        name="top5",
        kind=Share(lambda predictions: among_first(predictions, 5)),
        heading="top-5",
        title="right among the first five",
        meaning="share of the test pictures whose class is among the five most probable answers",
        least_classes=10,
    ),
    Metric(
        name="loss",
        kind=Cost(
            lambda predictions: predictions.losses,
            mistake=lambda sure, rest: -np.log(np.maximum(rest, LEAST)),
            most=math.inf,
        ),
        heading="loss",
        title="log loss",
        meaning="mean cross-entropy (log loss), lower is better: being sure and wrong costs most",
        percent=False,
    ),
    Metric(
        name="brier",
        kind=Cost(brier_scores, mistake=lambda sure, rest: 2 * sure**2, most=2.0),
        heading="Brier",
        title="Brier score",
        meaning="squared error of the probabilities, 0 to 2, lower is better",
        percent=False,
    ),
    Metric(
        name="macro_f1",
        kind=Macro(
            lambda of_class, named, right: 2 * right / np.maximum(of_class + named, 1),
            of_union=True,
            from_share=lambda share: 2 * share / (1 + share),
        ),
        heading="macro F1",
        title="macro F1",
        meaning="every class counts the same: found (recall) and not falsely named (precision) in one number",
    ),
    Metric(
        name="balanced_accuracy",
        kind=Macro(
            lambda of_class, named, right: right / np.maximum(of_class, 1),
            of_union=False,
            from_share=lambda share: share,
        ),
        heading="balanced",
        title="balanced accuracy",
        meaning="every class counts the same: mean of the shares named right, class by class",
    ),
)  # fmt: skip
"""Accuracy first, by which models are ranked; then as they are listed everywhere."""
BY_NAME = {metric.name: metric for metric in METRICS}


def metrics_for(classes: int) -> tuple[Metric, ...]:
    """Those that say something about so many classes."""
    return tuple(metric for metric in METRICS if classes >= metric.least_classes)


def scores(predictions: Predictions) -> dict[str, Any]:
    """n, correct, every metric by its name, top1_low and top1_high (Wilson, 95 %), of N ≥ 1 pictures."""
    n, correct = len(predictions.labels), int(predictions.correct.sum())
    low, high = wilson(correct, n)
    found = {metric.name: metric.of(predictions) for metric in metrics_for(len(predictions.classes))}
    return {"n": n, "correct": correct, **found, "top1_low": low, "top1_high": high}
