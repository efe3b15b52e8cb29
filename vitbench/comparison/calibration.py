"""Whether a model's probabilities can be believed, and how far one number fitted on val mends them."""

import math
from typing import NamedTuple

import numpy as np

from vitbench.inference.metrics import LEAST
from vitbench.records import Array

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures tried."""
PRIOR = 0.5
"""Standard deviation of log T around 0 before any picture is seen: most networks lie between 0.4 and 2.7."""
PROOF = 3.317
"""Nats of likelihood, over all val pictures, that T = 1 must lose: a likelihood-ratio test at p = .01."""
AT_A_TIME = 4_000_000
"""Drawn answers that are held at once by `ece_null`."""


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, in [0, 1]; lower is better.

    probabilities (N, C), rows sum to 1; labels (N,), integers in [0, C); N ≥ 1. Of the most probable
    class; equal-width bins (low, high], empty ones skipped (Guo et al. 2017, eq. 3). A perfectly
    calibrated model does not score 0: see `ece_null`.
    """
    right = probabilities.argmax(axis=1) == labels
    confidence = probabilities.max(axis=1)
    gaps = np.bincount(_bins(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def ece_null(
    probabilities: Array, groups: Array | None = None, draws: int = 2000, seed: int = 0, bins: int = 15
) -> float:
    """What 95 of 100 perfectly calibrated models with these confidences stay below on so many pictures.

    probabilities (N, C), N ≥ 1. Each draw calls answer i right with the chance of its confidence
    (consistency resampling, Bröcker & Smith 2007), then takes `expected_calibration_error`. groups (N,)
    numbers from 0: one throw of chance decides a whole group, as if it held copies, so that calibrated models
    stay below at least as often however alike a group's pictures are.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    confidence = confidence[order]
    throws = np.arange(len(order)) if groups is None else groups[order]  # which throw decides a picture
    n_throws = int(throws.max()) + 1
    _, starts = np.unique(_bins(confidence, bins), return_index=True)
    rng = np.random.default_rng(seed)
    n = len(confidence)
    at_a_time = max(1, AT_A_TIME // n)
    errors = []
    for start in range(0, draws, at_a_time):
        chance = rng.random((min(at_a_time, draws - start), n_throws))
        right = chance[:, throws] < confidence
        gaps = np.add.reduceat(right - confidence, starts, axis=1)  # (draws, filled bins)
        errors.append(np.abs(gaps).sum(axis=1) / n)
    return float(np.quantile(np.concatenate(errors), 0.95))


def _bins(confidence: Array, bins: int) -> Array:
    """(N,) number of the equal-width bin (low, high] of each confidence."""
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1))


class Temperature(NamedTuple):
    """A temperature, and whether val had the evidence for one."""

    value: float
    """Over 1: the model is too sure of itself."""
    shown: bool
    """False: val cannot tell the best temperature from 1, and `value` is 1."""


def fit_temperature(probabilities: Array, labels: Array) -> Temperature:
    """The most probable temperature in [0.05, 20], or 1 where val cannot tell the two apart.

    probabilities (N, C) and labels (N,) of pictures that were not trained on: val, never test; N ≥ 1.
    Least total log loss of softmax(log p / T), which is convex in 1 / T (Guo et al. 2017, part 4.2), plus
    (log T)² / (2 · `PRIOR`²): without that prior the fit runs to a bound where every answer is right, or
    hardly one, as scikit-learn's own does (1.9, `CalibratedClassifierCV(method="temperature")`, plain
    likelihood). A likelihood-ratio test must reject T = 1 (`PROOF`), because a few pictures fit any
    temperature. What is lost and won against T = 1: `results/evidence/statistics.md`.
    """
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities, LEAST))  # (N, C)
    picture = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        highest = scaled.max(axis=1)
        total = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
        return float((total - scaled[picture, labels]).sum())

    def penalised(log_temperature: float) -> float:
        return loss(log_temperature) + log_temperature**2 / (2 * PRIOR**2)

    bounds = math.log(COLDEST), math.log(HOTTEST)
    found = float(minimize_scalar(penalised, bounds=bounds, method="bounded", options={"xatol": 1e-5}).x)
    shown = loss(0.0) - loss(found) >= PROOF
    return Temperature(math.exp(found) if shown else 1.0, shown)


def tempered(probabilities: Array, temperature: float) -> Array:
    """(N, C) softmax(log p / T) of (N, C) probabilities: the same answers, less sure for T > 1."""
    scaled = np.log(np.maximum(probabilities, LEAST)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
