"""Intervals that agree with the test that decides, where pictures depend on each other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vitbench.comparison.inverted import Nets, fold_inflation, inflated_p, stricter_level
from vitbench.comparison.statistics import newcombe_paired, paired_difference

GROUPED = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)).filter(any), min_size=2, max_size=25
)
"""Per group: pictures that only A got right, that only B did, that both did."""


def answers(counts: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a = [right for x, y, z in counts for right in [True] * x + [False] * y + [True] * z]
    b = [right for x, y, z in counts for right in [False] * x + [True] * y + [True] * z]
    groups = np.repeat(np.arange(len(counts)), [sum(one) for one in counts])
    return np.array(a), np.array(b), groups


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(GROUPED, st.sampled_from([1.0, 2.25]))
def test_interval_and_test_agree(counts: list[tuple[int, int, int]], inflation: float) -> None:
    """p ≤ .05 just where the interval leaves out 0; it holds the difference; swapping mirrors it."""
    a, b, groups = answers(counts)
    found = paired_difference(a, b, groups, inflation)
    assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)
    assert -1 <= found.low <= found.value <= found.high <= 1
    swapped = paired_difference(b, a, groups, inflation)
    assert (swapped.value, swapped.p) == pytest.approx((-found.value, found.p))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=1e-6)


def test_a_significant_difference_of_groups_leaves_out_0() -> None:
    """Six bursts of ten that lean one way by six each: p = .031, and 0 lies outside."""
    a, b, groups = answers([(6, 0, 4)] * 6 + [(0, 0, 10)] * 34)
    found = paired_difference(a, b, groups)
    assert found.p == pytest.approx(2 * 0.5**6)
    assert 0 < found.low < 36 / 400 < found.high


def test_copies_give_what_their_originals_give() -> None:
    """Five copies of each of 60 pictures: p of the 60, and limits within a point of Newcombe's on them."""
    rng = np.random.default_rng(0)
    a, b = rng.random(60) < 0.9, rng.random(60) < 0.6
    once, copies = (
        paired_difference(a, b),
        paired_difference(a.repeat(5), b.repeat(5), np.arange(60).repeat(5)),
    )
    assert copies.p == pytest.approx(once.p)
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high), abs=0.015)


def test_the_score_is_tangos() -> None:
    """Its variance has the likeliest chances under the difference, found here by trying 100,000 of them."""
    nets, n, a_only, b_only = Nets(np.array([1] * 7 + [-1] * 3 + [0] * 40), np.ones(50, int), 10), 50, 7, 3
    for difference in (-0.05, 0.0, 0.08, 0.2):
        q = np.linspace(max(0, -difference), (1 - difference) / 2, 100_001)[1:-1]  # chance of B alone
        likelihood = a_only * np.log(q + difference) + b_only * np.log(q)
        q = q[np.argmax(likelihood + (n - 10) * np.log(1 - 2 * q - difference))]
        expected = (4 - n * difference) ** 2 / (n * (2 * q + difference - difference**2))
        assert nets.scores(np.array([difference]))[0] == pytest.approx(expected, rel=1e-3)


def test_no_disagreement_is_not_a_point() -> None:
    """Twelve groups of five on which both are right: as wide as 12 pictures leave it, z² / (12 + z²)."""
    a, b, groups = answers([(0, 0, 5)] * 12)
    found = paired_difference(a, b, groups)
    z2 = stats.norm.ppf(0.975) ** 2
    assert (found.low, found.high) == pytest.approx((-z2 / (12 + z2), z2 / (12 + z2)), abs=1e-4)
    assert found.high == pytest.approx(newcombe_paired(12, 0, 0, 0)[1], abs=0.01)


def test_folds_inflate_the_variance() -> None:
    """Nadeau & Bengio: five folds 1 + 5 · ¼ = 2.25; p by its normal quantile over 1.5."""
    assert [fold_inflation(k) for k in (0, 3, 5, 10)] == pytest.approx([1, 2.5, 2.25, 1 + 10 / 9])
    z = stats.norm.isf(0.01 / 2)
    assert inflated_p(0.01, 2.25) == pytest.approx(2 * stats.norm.sf(z / 1.5))
    assert inflated_p(stricter_level(0.05, 2.25), 2.25) == pytest.approx(0.05)
    assert inflated_p(1.0, 2.25) == 1.0


def test_inflation_widens_by_about_its_root() -> None:
    """200 pictures, 5 points apart, five folds: 1.5 times as wide as without."""
    a, b = np.arange(200) >= 20, (np.arange(200) >= 30) | (np.arange(200) < 5)
    plain, folds = paired_difference(a, b), paired_difference(a, b, inflation=2.25)
    assert folds.value == plain.value
    assert (folds.high - folds.low) / (plain.high - plain.low) == pytest.approx(1.5, abs=0.2)
    assert folds.p == pytest.approx(inflated_p(plain.p, 2.25))


def test_design_effect_by_hand() -> None:
    """Nets of 3, −1 and 0 from 4 disagreements: (9 + 1) / 4; copies of a picture in fives: 5."""
    assert Nets(np.array([3, -1, 0]), np.array([5, 5, 5]), 4).design_effect() == pytest.approx(2.5)
    assert Nets(np.array([5, -5]), np.array([5, 5]), 10).design_effect() == pytest.approx(5)
    assert Nets(np.array([0, 0]), np.array([4, 2]), 0).design_effect() == pytest.approx(20 / 6)
    assert math.isclose(Nets(np.array([1, 0]), np.array([9, 9]), 5).design_effect(), 1.0)
