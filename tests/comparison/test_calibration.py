"""Calibration error by hand, its null band by simulation, temperatures that are known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm
from sklearn.metrics import log_loss

from vitbench.comparison.calibration import (
    ece_null,
    expected_calibration_error,
    fit_temperature,
    tempered,
)


def test_ece_by_hand() -> None:
    """(.4, .6] holds .55 right and .6 wrong, (.8, 1] holds .9 right: (|1 − 1.15| + |1 − .9|) / 3."""
    probabilities = np.array([[0.55, 0.45], [0.6, 0.4], [0.1, 0.9]])
    labels = np.array([0, 1, 1])
    assert expected_calibration_error(probabilities, labels, bins=5) == pytest.approx((0.15 + 0.1) / 3)


def test_ece_of_the_surest() -> None:
    """Certain and right: 0; certain and wrong: 1."""
    certain = np.eye(3)
    assert expected_calibration_error(certain, np.arange(3)) == 0
    assert expected_calibration_error(certain, np.array([1, 2, 0])) == 1


def confidences(n: int) -> np.ndarray:
    """Two-class answers with confidences spread evenly over [.5, 1]."""
    top = np.linspace(0.5, 1, n)
    return np.stack([top, 1 - top], axis=1)


@pytest.mark.parametrize("n", [60, 1000])
def test_ece_null_is_where_a_calibrated_model_stays_below_19_times_in_20(n: int) -> None:
    """Labels drawn with the model's own probabilities: 5 % of ECEs lie above the band."""
    probabilities = confidences(n)
    band = ece_null(probabilities)
    rng = np.random.default_rng(1)
    errors = [
        expected_calibration_error(probabilities, (rng.random(n) > probabilities[:, 0]).astype(int))
        for _ in range(1000)
    ]
    assert np.mean(np.array(errors) > band) == pytest.approx(0.05, abs=0.03)


def test_a_calibrated_model_never_scores_zero() -> None:
    """About .09 at 60 pictures and .02 at 1,000, of a model that is mostly sure; the band lies above."""
    rng = np.random.default_rng(2)
    for n, expected in ((60, 0.086), (1000, 0.022)):
        top = rng.beta(6, 1.5, n) / 2 + 0.5
        probabilities = np.stack([top, 1 - top], axis=1)
        errors = [
            expected_calibration_error(probabilities, (rng.random(n) > top).astype(int)) for _ in range(300)
        ]
        assert np.mean(errors) == pytest.approx(expected, rel=0.25)
        assert ece_null(probabilities) > np.mean(errors)


@pytest.mark.parametrize(("alike", "least"), [(1.0, 0.02), (0.5, 0.0)])
def test_ece_null_counts_groups(alike: float, least: float) -> None:
    """Calibrated on 40 bursts of 10 that err together: 5 % above the band at most, most of all without it."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 10)
    top = np.clip(rng.uniform(0.5, 1, 40)[groups] + rng.normal(0, 0.01, 400), 0.5, 1)
    probabilities = np.stack([top, 1 - top], axis=1)
    band, plain = ece_null(probabilities, groups), ece_null(probabilities)
    errors = []
    for _ in range(500):
        common, own = rng.standard_normal(40)[groups], rng.standard_normal(400)
        chance = norm.cdf(np.sqrt(alike) * common + np.sqrt(1 - alike) * own)
        errors.append(expected_calibration_error(probabilities, (chance > top).astype(int)))
    assert least <= np.mean(np.array(errors) > band) <= 0.07
    assert np.mean(np.array(errors) > plain) > 0.6


def test_ece_null_of_groups_of_one_is_the_plain_one() -> None:
    """A group per picture changes nothing but the draws."""
    probabilities = confidences(300)
    assert ece_null(probabilities, np.arange(300)) == pytest.approx(ece_null(probabilities), rel=0.05)


def test_ece_null_is_reproducible_and_zero_for_certainty() -> None:
    """A seed names the draws; a model that is certain may not err once."""
    assert ece_null(confidences(50), seed=1) == ece_null(confidences(50), seed=1)
    assert ece_null(np.eye(4)) == 0


def overconfident(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from calibrated probabilities, which are then made surer by a known temperature."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1.5, (n, 4))
    true = softmax(logits, axis=1)
    labels = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    return softmax(logits * temperature, axis=1), np.minimum(labels, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_finds_what_was_done(temperature: float) -> None:
    """Sharpened by 3, mended by 3; calibrated: 1."""
    probabilities, labels = overconfident(temperature)
    found = fit_temperature(probabilities, labels)
    assert found.value == pytest.approx(temperature, rel=0.06)
    assert found.shown == (temperature != 1)


def test_temperature_is_the_least_log_loss_and_prior() -> None:
    """The same minimum by another optimiser over sklearn's log loss, and a loss below that of T = 1."""
    probabilities, labels = overconfident(2.0, 300)
    found = fit_temperature(probabilities, labels)

    def penalised(log_t: np.ndarray) -> float:
        loss = log_loss(labels, tempered(probabilities, float(np.exp(log_t[0]))), normalize=False)
        return float(loss + log_t[0] ** 2 / (2 * 0.5**2))

    other = minimize(penalised, [0.0], method="Nelder-Mead")
    assert found.value == pytest.approx(float(np.exp(other.x[0])), rel=1e-3)
    assert log_loss(labels, tempered(probabilities, found.value)) < log_loss(labels, probabilities)


@pytest.mark.parametrize("right", [2, 5, 20])
def test_a_few_right_answers_are_no_proof_of_another_temperature(right: int) -> None:
    """20 right at 90 % lose 20 · .105 = 2.1 nats at T = 1, under 3.3: T = 1, and it is said."""
    probabilities = np.tile([0.9, 0.1], (right, 1))
    assert fit_temperature(probabilities, np.zeros(right, int)) == (1.0, False)


def test_separable_answers_do_not_run_to_the_bound() -> None:
    """500 right at 90 %: T where 500 · (− dloss / dlog T) meets the prior's 4 · log T, not .05."""
    found = fit_temperature(np.tile([0.9, 0.1], (500, 1)), np.zeros(500, int))
    assert found.shown
    margin = np.log(9) / found.value  # log p of the answer − log p of the other, at T
    slope = 500 * margin / (1 + np.exp(margin))  # of the total loss, by log T
    assert slope == pytest.approx(-4 * np.log(found.value), rel=1e-2)
    assert 0.25 < found.value < 0.6


def test_all_wrong_does_not_run_to_the_bound() -> None:
    """Twenty answers of 90 %, all wrong: hotter, as far as they reach; a certain and wrong answer too."""
    assert 2 < fit_temperature(np.tile([0.9, 0.1], (20, 1)), np.ones(20, int)).value < 20
    assert fit_temperature(np.eye(2), np.array([1, 0])).shown


def test_tempered_by_hand() -> None:
    """T = ½ squares, T = 2 takes roots, T = 1 changes nothing; rows sum to 1, certainty survives."""
    p = np.array([[0.8, 0.2], [1.0, 0.0]])
    assert tempered(p, 0.5)[0] == pytest.approx([0.64 / 0.68, 0.04 / 0.68])
    assert tempered(p, 2.0)[0] == pytest.approx([2 / 3, 1 / 3])
    assert tempered(p, 1.0) == pytest.approx(p)
    assert tempered(p, 0.5)[1] == pytest.approx([1, 0])
