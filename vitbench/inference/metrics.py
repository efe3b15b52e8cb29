"""Scores of one model's answers: each can be recomputed from its `predictions.csv` alone."""

import math
from typing import Any

import numpy as np

from vitbench.records import Array, Predictions

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


def brier_scores(predictions: Predictions) -> Array:
    """(N,) squared error of the probabilities, summed over classes: 0 (sure and right) to 2 (sure and wrong).

    Brier 1950, in its multi-class form; sklearn's `brier_score_loss` for two classes is half of it.
    """
    probabilities = predictions.probabilities
    of_true = probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * of_true + 1)


def scores(predictions: Predictions) -> dict[str, Any]:
    """n, correct, top1, top1_low, top1_high, loss, brier, macro_f1, balanced_accuracy of N ≥ 1 pictures.

    Fractions in [0, 1]; loss is mean plain cross-entropy in nats, brier the mean of `brier_scores`. The
    interval is Wilson's, 95 %.
    macro_f1 and balanced_accuracy are means over the classes that have a test picture: a class
    without one has no recall, and leaving it out keeps the mean over the same classes for every
    model. An answer naming such a class still counts as a miss of the true one. F1 of a class that
    was never answered is 0. Equal to sklearn's `f1_score(average="macro")` and
    `balanced_accuracy_score` wherever every class has a test picture.
    """
    from sklearn.metrics import f1_score, recall_score

    labels, answers = predictions.labels, predictions.answers
    n, correct = len(labels), int(predictions.correct.sum())
    present = np.unique(labels)
    low, high = wilson(correct, n)
    macro = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "n": n,
        "correct": correct,
        "top1": correct / n,
        "top1_low": low,
        "top1_high": high,
        "loss": float(predictions.losses.mean()),
        "brier": float(brier_scores(predictions).mean()),
        "macro_f1": float(f1_score(labels, answers, **macro)),
        "balanced_accuracy": float(recall_score(labels, answers, **macro)),
    }
