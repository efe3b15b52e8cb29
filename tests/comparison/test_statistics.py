"""Each test and interval against a pinned example, a hand computation or an independent oracle."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_oracle
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import (
    accuracy_interval,
    effective_pictures,
    holm,
    mcnemar,
    newcombe_paired,
    paired_difference,
    seeds_accuracy,
    sign_flip,
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


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_statsmodels(a_only: int, b_only: int) -> None:
    """The exact p-value of an independent implementation, for every table."""
    assert mcnemar(a_only, b_only) == pytest.approx(
        mcnemar_oracle([[9, a_only], [b_only, 3]], exact=True).pvalue if a_only + b_only else 1.0, abs=1e-12
    )


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flip_counts_every_way_to_flip(differences: list[int]) -> None:
    """All 2ᴳ signs written out: the share whose sum is as far from 0 as the one observed."""
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    share = np.mean([total >= abs(sum(differences)) for total in sums])
    assert sign_flip(np.array(differences, dtype=int)) == pytest.approx(share, abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 50))
def test_sign_flip_of_single_pictures_is_exact_mcnemar(a_only: int, b_only: int, ties: int) -> None:
    """Groups of one picture: the two tests are the same test."""
    single = np.repeat([1, -1, 0], [a_only, b_only, ties])
    assert sign_flip(single) == pytest.approx(mcnemar(a_only, b_only), abs=1e-12)


def test_sign_flip_of_thousands_of_groups_agrees_with_the_normal() -> None:
    """6,000 groups of mixed size, net +250: where the exact sum is hopeless by hand, z is close."""
    sizes = np.repeat([1, 2, 3, 7], [3000, 2000, 900, 100])
    signs = np.where(np.arange(6000) % 2, 1, -1)
    signs[np.flatnonzero((signs < 0) & (sizes == 1))[:125]] = 1
    z = 249 / math.sqrt(float(sizes @ sizes))  # 250 less half a step of the lattice, which is 2
    assert (signs * sizes).sum() == 250
    assert sign_flip(signs * sizes) == pytest.approx(2 * stats.norm.sf(z), rel=0.01)


def test_a_burst_counts_once() -> None:
    """Ten right pictures of one burst against none say what one picture says: p = 1, not .002."""
    a, b = right((10, True), (20, True)), right((10, False), (20, True))
    burst = np.r_[np.zeros(10, int), np.arange(1, 21)]
    assert paired_difference(a, b).p == pytest.approx(2 * 0.5**10)
    grouped = paired_difference(a, b, burst)
    assert grouped.p == 1.0
    assert grouped.value == pytest.approx(1 / 3)
    assert grouped.low < 0


def test_groups_of_one_picture_change_nothing() -> None:
    """Names of groups do not matter, and a group per picture is what no groups are."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 40)) < 0.8
    alone = rng.permutation(40) * 7
    assert paired_difference(a[0], b[0], alone) == paired_difference(a[0], b[0])
    assert accuracy_interval(a[0], alone) == accuracy_interval(a[0]) == wilson(int(a[0].sum()), 40)
    assert seeds_difference(a, b, alone) == seeds_difference(a, b)
    assert seeds_accuracy(a, alone) == seeds_accuracy(a)


def test_copies_of_pictures_add_nothing() -> None:
    """Every picture five times over tells the interval of the pictures, not of the copies."""
    once = right((30, True), (10, False))
    groups = np.repeat(np.arange(40), 5)
    copies = np.repeat(once, 5)
    low, high = accuracy_interval(copies, groups)
    plain = accuracy_interval(once)
    assert accuracy_interval(copies)[0] > plain[0] > low
    assert low == pytest.approx(plain[0], abs=0.01)
    assert high == pytest.approx(plain[1], abs=0.01)
    t = stats.t.ppf(0.975, 39)
    design = 5 * 40 / 39  # copies, and the variance of a sample for that of a population
    assert effective_pictures(copies, groups) == pytest.approx(200 / design * (1.959964 / t) ** 2)
    few = right((150, True), (50, False))[np.argsort(np.tile(np.arange(40), 5), kind="stable")]
    assert accuracy_interval(few, groups)[0] <= accuracy_interval(few)[0]


def test_where_nothing_varies_groups_are_the_pictures() -> None:
    """All right, or never in disagreement: as much as one picture per group would say."""
    groups = np.repeat(np.arange(12), 5)
    right_60 = np.ones(60, bool)
    assert accuracy_interval(right_60, groups) == wilson(12, 12)
    found = paired_difference(right_60, right_60, groups)
    assert (found.low, found.high) == pytest.approx(newcombe_paired(12, 0, 0, 0), abs=1e-6)
    assert accuracy_interval(right_60, np.zeros(60, int)) == wilson(1, 1)


@given(st.integers(0, 60), st.integers(1, 60))
def test_accuracy_interval_equals_statsmodels(correct: int, n: int) -> None:
    """Wilson's interval of an independent implementation."""
    correct = min(correct, n)
    found = accuracy_interval(right((correct, True), (n - correct, False)))
    assert found == pytest.approx(proportion_confint(correct, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 15])
def test_holm_equals_statsmodels(n: int) -> None:
    """Adjusted p-values of an independent implementation, ties among them."""
    p_values = (np.random.default_rng(n).random(n) ** 3).round(2).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_holm_by_hand() -> None:
    """.01, .04, .03 become .03, .06, .06: times 3, 2, 1 in order, never falling, in the given order."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_stays_at_most_one() -> None:
    """Adjusted p-values are capped at 1; no pair, no values."""
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_seeds_accuracy_by_hand() -> None:
    """Two seeds on four pictures: Wilson's form for as many pictures as have the variance, at t for z."""
    correct = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
    images, seeds = np.var([1, 1, 0.5, 0], ddof=1) / 4, np.var([0.75, 0.5], ddof=1) / 2
    total = images + seeds
    t = stats.t.ppf(0.975, total**2 / (images**2 / 3 + seeds**2))
    n, p = 0.625 * 0.375 / total, 0.625  # 3.4 pictures
    half = t * math.sqrt(p * (1 - p) / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
    centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    assert seeds_accuracy(correct) == pytest.approx((centre - half, centre + half))


def test_seeds_that_never_vary_say_what_one_seed_says() -> None:
    """Copies of one model: difference 0, p = 1, and Newcombe's interval instead of a point."""
    one = np.tile(right((50, True), (10, False)), (3, 1))
    assert seeds_difference(one, one) == paired_difference(one[0], one[0])
    all_right = np.ones((3, 20), dtype=bool)
    assert seeds_accuracy(all_right) == wilson(20, 20)


def test_seeds_difference_of_one_picture_or_group_claims_nothing() -> None:
    """One picture, or one burst, has no variance over pictures: right against wrong is not proof."""
    found = seeds_difference(np.ones((2, 1), bool), np.zeros((2, 1), bool))
    assert found.p == 1.0
    assert found.low < 0
    one_group = seeds_difference(np.ones((2, 9), bool), np.zeros((2, 9), bool), np.zeros(9, int))
    assert one_group.p == 1.0


@pytest.mark.slow
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
