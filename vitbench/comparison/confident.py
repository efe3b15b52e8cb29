"""Which labels look wrong by one model's probabilities: confident learning, pure functions on arrays.

The probabilities must be those of a model that did not learn from the picture (a fold's, or on a test part):
what has been learned agrees with its label, right or wrong. Figures: `results/evidence/suspects.md`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vitbench.comparison.calibration import COLDEST, HOTTEST, PRIOR, tempered
from vitbench.inference.metrics import LEAST
from vitbench.records import Array

SLACK = 1e-6
"""A probability so far below a threshold counts as on it: sums of floats round."""
DRAWS, AT_MOST = 200, 50_000_000
"""Label sets drawn, and probabilities looked at for them; of large test sets fewer are drawn."""


def thresholds(probabilities: Array, labels: Array) -> Array:
    """(C,): the mean probability of class j over the pictures that are labelled j; inf where none is.

    probabilities (N, C), rows sum to 1; labels (N,), integers in [0, C). Eq. 2 of Northcutt, Jiang & Chuang
    2021 (JAIR 70:1373).
    """
    n_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=n_classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def doubted(probabilities: Array, labels: Array) -> Array:
    """(N,) bool: the model is confident of another class than the label, which it does not name either.

    Off the diagonal of the confident joint (eq. 1 there): of the classes that reach their `thresholds` the
    most probable one is not the label, nor is the most probable class of all.
    """
    confident = np.where(probabilities >= thresholds(probabilities, labels) - SLACK, probabilities, -1.0)
    some = confident.max(axis=1) > -1
    return np.asarray(some & (confident.argmax(axis=1) != labels) & (probabilities.argmax(axis=1) != labels))


def doubt_ranks(probabilities: Array, labels: Array) -> Array:
    """(N,) ranks from 1 by the probability of the label, the least probable first; equal ones share one."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(probabilities[np.arange(len(labels)), labels]))


class Doubts(NamedTuple):
    """How hard pictures are to a model, and how many labels are turned, told apart."""

    temperature: float
    """Over 1: the model is too sure of itself."""
    turned: float
    """The share of labels that are turned into another class, any of them as likely; in [0, 0.5]."""


def fit_doubts(probabilities: Array, labels: Array) -> Doubts:
    """The most probable temperature T and share e of turned labels, both at once.

    The chance of a label is (1 − e) q + e (1 − q) / (C − 1), q its softmax(log p / T): symmetric noise
    (Natarajan et al. 2013) over a tempered model, with the prior on T of `fit_temperature`. A temperature by
    itself would take wrong labels for hard pictures; a hard picture's label is merely improbable, that of a
    turned one all but impossible.
    """
    from scipy.optimize import minimize

    picture, others = np.arange(len(labels)), probabilities.shape[1] - 1

    def loss(place: Array) -> float:
        log_temperature, share = float(place[0]), _share(place[1])
        chance = tempered(probabilities, float(np.exp(log_temperature)))[picture, labels]
        seen = (1 - share) * chance + share * (1 - chance) / others
        return float(-np.log(np.maximum(seen, LEAST)).sum()) + log_temperature**2 / (2 * PRIOR**2)

    starts = [np.array([0.0, odds]) for odds in (-4.0, -1.0)]
    best = min(
        (minimize(loss, start, method="Nelder-Mead") for start in starts), key=lambda one: float(one.fun)
    )
    return Doubts(float(np.exp(np.clip(best.x[0], *np.log([COLDEST, HOTTEST])))), _share(best.x[1]))


def _share(odds: float) -> float:
    """In (0, 0.5), of any number."""
    return float(0.5 / (1 + np.exp(-np.clip(odds, -30, 30))))


def doubted_if_clean(
    each: Array, labels: Array, decide: Callable[[Array], Array], seed: int = 0
) -> tuple[float, float, float]:
    """How many labels would be named if all were right: mean, and the ends of 95 of 100 draws.

    each (M, N, C): what M models say of N pictures; `decide` makes (N,) bool of their (M, N) doubts. Each
    draw takes every picture's label from the models' mean probabilities at the temperature of `fit_doubts`,
    which wrong labels do not move, and names anew by the same models (a parametric bootstrap).
    """
    mean = each.mean(axis=0)
    steps = tempered(mean, fit_doubts(mean, labels).temperature).cumsum(axis=1)
    rng = np.random.default_rng(seed)
    counts = []
    for _ in range(int(np.clip(AT_MOST // each.size, 20, DRAWS))):
        drawn = (rng.random((len(mean), 1)) * steps[:, -1:] > steps).sum(axis=1)
        counts.append(int(decide(np.stack([doubted(one, drawn) for one in each])).sum()))
    low, high = np.quantile(counts, [0.025, 0.975])
    return float(np.mean(counts)), float(low), float(high)
