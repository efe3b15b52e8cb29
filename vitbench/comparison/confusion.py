"""Which class was taken for which: counts over a model's answers."""

from collections.abc import Sequence

import numpy as np

from vitbench.comparison.candidates import Candidate
from vitbench.records import Array, Predictions


def confusion_counts(candidate: Candidate) -> Array:
    """(C, C) int64: rows true, columns answered, summed over the model's tested seeds."""
    return np.asarray(sum(confusions(predictions) for predictions in candidate.predictions))


def confusions(predictions: Predictions) -> Array:
    """(C, C) int64: rows true, columns answered."""
    n = len(predictions.classes)
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (predictions.labels, predictions.answers), 1)
    return counts


def most_confused(counts: Array, classes: Sequence[str], limit: int) -> list[tuple[str, str, int]]:
    """(true class, answered class, how often) of the largest confusions, ties in class order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(flat), len(classes)) for flat in order]
    return [(classes[i], classes[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]
