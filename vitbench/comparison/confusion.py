"""Which class was taken for which, and how many pictures of each class are named right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vitbench.comparison.statistics import runs_accuracy
from vitbench.records import Array, Predictions


def confusion_counts(predictions: Sequence[Predictions]) -> Array:
    """(C, C) int64: rows true, columns answered, summed over one model's seeds."""
    return np.asarray(sum(confusions(one) for one in predictions))


def confusions(predictions: Predictions) -> Array:
    """(C, C) int64: rows true, columns answered."""
    return tallied(predictions.labels, predictions.answers, len(predictions.classes))


def tallied(labels: Array, answers: Array, n_classes: int) -> Array:
    """(C, C) int64 from (n,) class indices: rows true, columns answered."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (labels, answers), 1)
    return counts


def most_confused(counts: Array, classes: Sequence[str], limit: int) -> list[tuple[str, str, int]]:
    """(true class, answered class, how often) of the largest confusions, ties in class order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(flat), len(classes)) for flat in order]
    return [(classes[i], classes[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


class ClassRecall(NamedTuple):
    """How many of a class's test pictures a model names right, with the 95 % interval of the share."""

    place: int
    """Of the class, from 0."""
    n: int
    correct: float
    """A mean over seeds where there are several."""
    recall: float
    low: float
    high: float


def recalls(
    predictions: Sequence[Predictions], groups: Array | None = None, inflation: float = 1.0
) -> list[ClassRecall]:
    """Recall of every class with test pictures, in class order, of one model (one `Predictions` per seed).

    Intervals on that class's pictures alone: `runs_accuracy`;
    groups (n,), inflation as there. Each stands for itself: among twenty, one is expected to miss the truth.
    """
    labels = predictions[0].labels
    correct = np.stack([p.correct for p in predictions])  # (k, n)
    found = []
    for place in np.unique(labels).tolist():
        of_class = labels == place
        right = correct[:, of_class]
        within = None if groups is None else groups[of_class]
        limits = runs_accuracy(right, within, inflation)
        n, mean = right.shape[1], float(right.mean())
        found.append(ClassRecall(place, n, mean * n, mean, *limits))
    return found
