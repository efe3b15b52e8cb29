"""Which test pictures tell most about several runs: those on which they disagree."""

from collections.abc import Sequence

import numpy as np

from vitbench.records import Array, Predictions


def most_telling(predictions: Sequence[Predictions]) -> tuple[Array, Array]:
    """Places of the pictures, the most telling first, and (n,) bool by place: disputed.

    Disputed before others, of those such on which some runs are right and some wrong; then wrong, then least
    sure. `predictions`: of the same pictures in the same order.
    """
    sure = np.stack([p.probabilities.max(axis=1) for p in predictions])  # (runs, n)
    answers = np.stack([p.answers for p in predictions])
    correct = np.stack([p.correct for p in predictions]).mean(axis=0)
    disputed = (answers != answers[0]).any(axis=0)
    split = np.minimum(correct, 1 - correct)
    return np.lexsort((sure.mean(axis=0), correct, -split, ~disputed)), disputed
