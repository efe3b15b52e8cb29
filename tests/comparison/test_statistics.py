"""Each test and interval against a pinned example, a hand computation or an independent oracle."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vitbench.comparison.statistics import (
    holm,
    mcnemar,
    newcombe_paired,
    paired_difference,
    seeds_accuracy,
    seeds_difference,
    smallest_gap,
    smallest_net,
)
from vitbench.inference.metrics import wilson


def right(*counts: tuple[int, bool]) -> np.ndarray:
    return np.array([value for n, value in counts for _ in range(n)])


def test_the_pinned_example() -> None:
    """52 both right, 3 only A, 1 only B, 4 neither: +3.3 points, Newcombe [−4.8, +12.2], p = .625."""
    a = right((55, True), (5, False))
    b = right((52, True), (3, False), (1, True), (4, False))
    found = paired_difference(a, b)
    assert found.value == pytest.approx(2 / 60)
    assert (round(100 * found.low, 1), round(100 * found.high, 1)) == (-4.8, 12.2)
    assert found.p == 0.625


def test_newcombes_published_example() -> None:
    """Newcombe 1998, table II example (36, 12, 2, 0): method 10 gives .0569 to .3404."""
    assert newcombe_paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-4)


def test_newcombe_at_no_disagreement_is_not_a_point() -> None:
    """Two equal models on 60 pictures: 0 is inside an interval of width, where a bootstrap gives [0, 0]."""
    low, high = newcombe_paired(30, 0, 0, 30)
    assert low < 0 < high
    assert low == pytest.approx(-high)


@given(*[st.integers(0, 40)] * 4)
def test_newcombe_turns_with_its_models(both: int, a_only: int, b_only: int, neither: int) -> None:
    """Swapping A and B mirrors the interval, which holds the difference and stays in [−1, 1]."""
    low, high = newcombe_paired(both, a_only, b_only, neither)
    mirrored = newcombe_paired(both, b_only, a_only, neither)
    assert mirrored == pytest.approx((-high, -low))
    n = both + a_only + b_only + neither
    assert -1 <= low <= ((a_only - b_only) / n if n else 0) + 1e-12
    assert (a_only - b_only) / n - 1e-12 <= high <= 1 if n else high == 1


def test_mcnemar_by_hand() -> None:
    """5 against 0: two tails of ½⁵, 0.0625; no disagreement at all: 1."""
    assert mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert mcnemar(0, 0) == 1.0


def test_mcnemar_is_the_sign_test() -> None:
    """9 against 2: the sum of the binomial tails, counted out."""
    tail = sum(math.comb(11, k) for k in range(3)) / 2**11
    assert mcnemar(9, 2) == pytest.approx(2 * tail) == mcnemar(2, 9)


def test_holm_by_hand() -> None:
    """.01, .04, .03 become .03, .06, .06: times 3, 2, 1 in order, never falling, in the given order."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_stays_at_most_one() -> None:
    """Adjusted p-values are capped at 1; no pair, no values."""
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("pairs", "net"), [(1, 6), (3, 7), (15, 10)])
def test_smallest_net_is_where_mcnemar_first_reaches_the_limit(pairs: int, net: int) -> None:
    """6 net pictures for one pair, 7 for 3, 10 for 15; one fewer cannot reach .05 / pairs."""
    assert smallest_net(pairs) == net
    assert mcnemar(net, 0) <= 0.05 / pairs < mcnemar(net - 1, 0)


def test_smallest_gap() -> None:
    """10 points at 60 pictures, 11.7 for three pairs; five pictures can show nothing."""
    assert smallest_gap(60) == pytest.approx(0.10)
    assert smallest_gap(60, 3) == pytest.approx(7 / 60)
    assert smallest_gap(5) is None


def test_seeds_difference_by_hand() -> None:
    """Two seeds on four pictures, written out: variances of pictures and of each model's seeds add."""
    a = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    b = np.array([[1, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)
    images = np.var([0, 0.5, 1, 0.5], ddof=1) / 4
    seeds_a, seeds_b = np.var([0.75, 1], ddof=1) / 2, np.var([0.25, 0.5], ddof=1) / 2
    total = images + seeds_a + seeds_b
    freedom = total**2 / (images**2 / 3 + seeds_a**2 + seeds_b**2)
    found = seeds_difference(a, b)
    assert found.value == 0.5
    assert found.p == pytest.approx(2 * stats.t.sf(0.5 / math.sqrt(total), freedom))
    assert found.low == pytest.approx(max(-1, 0.5 - stats.t.ppf(0.975, freedom) * math.sqrt(total)))


def test_seeds_that_never_vary_say_what_one_seed_says() -> None:
    """Copies of one model: difference 0, p = 1, and Newcombe's interval instead of a point."""
    one = np.tile(right((50, True), (10, False)), (3, 1))
    assert seeds_difference(one, one) == paired_difference(one[0], one[0])
    all_right = np.ones((3, 20), dtype=bool)
    assert seeds_accuracy(all_right) == wilson(20, 20)


def test_seeds_difference_of_one_picture_claims_nothing() -> None:
    """n = 1 has no variance over pictures: one against zero is not proof."""
    found = seeds_difference(np.ones((2, 1), bool), np.zeros((2, 1), bool))
    assert found.p == 1.0
    assert found.low < 0


def test_seeds_intervals_cover_new_pictures_and_new_seeds() -> None:
    """On 400 made-up benchmarks (150 pictures, 4 seeds, seed effects) both intervals cover at least 93 %."""
    rng = np.random.default_rng(3)
    hits_one = hits_two = 0
    for _ in range(400):
        ease = rng.normal(1.0, 1.0, 150)

        def runs(skill: float, ease: np.ndarray = ease) -> np.ndarray:
            seed_effect = rng.normal(0, 0.25, (4, 1))
            return ease + skill + seed_effect + rng.normal(0, 0.7, (4, 150)) > 0

        truth = stats.norm.cdf(1.0 / math.sqrt(1 + 0.0625 + 0.49))
        a, b = runs(0.0), runs(0.0)
        low, high = seeds_accuracy(a)
        hits_one += low <= truth <= high
        found = seeds_difference(a, b)
        hits_two += found.low <= 0 <= found.high
    assert hits_one / 400 >= 0.93
    assert hits_two / 400 >= 0.93
