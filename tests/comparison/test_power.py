"""Power against a count of every outcome, and the number of pictures against the power it promises."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import power_proportions_2indep

from vitbench.comparison.power import (
    pictures_needed,
    power,
    seeds_pictures_needed,
    seeds_smallest_gap,
    smallest_gap,
    smallest_net,
)
from vitbench.comparison.seeds import difference_parts, seeds_difference
from vitbench.comparison.statistics import Part, mcnemar


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


def test_smallest_gap_needs_as_many_groups_as_net_pictures() -> None:
    """60 pictures in 6 groups can show 10 points to one pair, and nothing to three pairs or in 5 groups."""
    assert smallest_gap(60, groups=6) == pytest.approx(0.10)
    assert smallest_gap(60, 3, groups=6) is None
    assert smallest_gap(60, groups=5) is None


@pytest.mark.parametrize(
    ("n", "difference", "discordance", "pairs"),
    [(30, 0.2, 0.4, 1), (25, 0.3, 0.3, 3), (40, 0.0, 0.5, 1), (20, -0.5, 1.0, 1), (5, 1.0, 1.0, 1)],
)
def test_power_counts_every_outcome(n: int, difference: float, discordance: float, pairs: int) -> None:
    """The chances of all (A only, B only, neither) counts that exact McNemar calls significant, summed."""
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    total = sum(
        stats.multinomial.pmf([a, b, n - a - b], n, shares)
        for a in range(n + 1)
        for b in range(n + 1 - a)
        if mcnemar(a, b) <= 0.05 / pairs
    )
    assert power(n, difference, discordance, pairs) == pytest.approx(total, abs=1e-10)


def test_power_of_a_huge_test_set_meets_the_normal_approximation() -> None:
    """100,000 pictures, half a point at a discordance of .12: (√n δ − z √ψ) / √(ψ − δ²) on the normal."""
    z = (math.sqrt(100_000) * 0.005 - 1.96 * math.sqrt(0.12)) / math.sqrt(0.12 - 0.005**2)
    assert power(100_000, 0.005, 0.12) == pytest.approx(stats.norm.cdf(z), abs=0.005)


@pytest.mark.parametrize(
    ("difference", "discordance", "pairs"), [(0.03, 0.1, 1), (0.1, 0.2, 3), (-0.1, 0.2, 3), (0.5, 0.5, 15)]
)
def test_pictures_needed_is_where_power_reaches_the_target(
    difference: float, discordance: float, pairs: int
) -> None:
    """Power is 80 % there and for the next 40 numbers, and not with one picture fewer."""
    n = pictures_needed(difference, discordance, pairs)
    assert n is not None
    assert power(n - 1, difference, discordance, pairs) < 0.8
    assert min(power(n + more, difference, discordance, pairs) for more in range(40)) >= 0.8


def test_pictures_needed_is_near_the_published_formula() -> None:
    """Connor 1987: (1.96 √ψ + .8416 √(ψ − δ²))² / δ² for the approximate test; exact needs some more."""
    connor = (1.96 * math.sqrt(0.1) + 0.8416 * math.sqrt(0.1 - 0.03**2)) ** 2 / 0.03**2
    found = pictures_needed(0.03, 0.1)
    assert found is not None
    assert connor < found < connor * 1.1


def test_paired_pictures_need_fewer_than_two_test_sets_would() -> None:
    """90 against 85 %, few disagreements: fewer than statsmodels asks of two independent samples."""
    paired = pictures_needed(0.05, 0.09)
    assert paired is not None
    independent = power_proportions_2indep(0.05, 0.85, paired, return_results=False)
    assert power(paired, 0.05, 0.09) >= 0.8 > independent


@pytest.mark.slow
def test_what_cannot_be_asked_for() -> None:
    """No difference, or one too small for 10 million pictures: None; a discordance below it is raised."""
    assert pictures_needed(0.0, 0.1) is None
    assert pictures_needed(0.0001, 0.3) is None
    assert pictures_needed(0.1, 0.02) == pictures_needed(0.1, 0.1)
    with pytest.raises(ValueError, match="discordance"):
        power(10, 0.0, 1.5)


def runs(gap: float, n: int, seeds: float = 0.1, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of two models on n pictures, k seeds each, the second one `gap` probits worse."""
    rng = np.random.default_rng(4)
    ease = rng.normal(1, 1, n)
    a, b = (ease - g + rng.normal(0, seeds, (k, 1)) + rng.normal(0, 0.7, (k, n)) > 0 for g in (0, gap))
    return a, b


def test_seeds_smallest_gap_is_where_p_is_at_the_limit() -> None:
    """A difference of just that size has p = .05 / pairs with the measured error."""
    a, b = runs(0.5, 200)
    found = seeds_difference(a, b)
    gap = seeds_smallest_gap(difference_parts(a, b))
    three = seeds_smallest_gap(difference_parts(a, b), 3)
    assert gap == pytest.approx((found.high - found.low) / 2)
    assert gap is not None
    assert three is not None
    assert three > gap
    groups = np.repeat(np.arange(20), 10)
    assert seeds_smallest_gap(difference_parts(a, b, groups)) == pytest.approx(
        seeds_difference(a, b, groups).high - found.value
    )


def test_pooled_seeds_count_in_the_gap_and_the_pictures() -> None:
    """The gap that `seeds_difference` needs with a pooled seed variance; more pictures than without."""
    a = np.array([[1, 1, 0, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0, 0, 1]], bool)
    b = np.array([[1, 0, 1, 0, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0, 0, 1]], bool)
    seeds = (Part(0.02**2, 8), Part(0.02**2, 8))
    found = seeds_difference(a, b, seeds=seeds)
    assert seeds_smallest_gap(difference_parts(a, b, seeds=seeds)) == pytest.approx(found.high - found.value)
    alone = seeds_pictures_needed(difference_parts(a, b), 8, 0.1)
    together = seeds_pictures_needed(difference_parts(a, b, seeds=seeds), 8, 0.1)
    assert alone is not None
    assert together is not None
    assert together > alone


def test_seeds_smallest_gap_is_unknown_where_nothing_varies() -> None:
    """Copies of one run, or one picture, tell no error."""
    same = np.ones((3, 20), bool)
    assert seeds_smallest_gap(difference_parts(same, same)) is None
    assert seeds_pictures_needed(difference_parts(same, same), 20, 0.1) is None
    assert seeds_smallest_gap(difference_parts(same[:, :1], ~same[:, :1])) is None


def test_seeds_pictures_needed_by_hand() -> None:
    """Seeds that agree in accuracy: (t + t)² · the pictures' variance / difference², as for any mean."""
    a = np.array([[1, 1, 0, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0, 0, 1]], bool)
    b = np.array([[1, 0, 1, 0, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0, 0, 1]], bool)
    variance = np.var(a.mean(0) - b.mean(0), ddof=1)
    n = seeds_pictures_needed(difference_parts(a, b), 8, 0.1)
    assert n is not None

    def needed(n: int) -> float:
        both = stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)
        return float(both**2 * variance / 0.1**2)

    assert needed(n) <= n
    assert needed(n - 1) > n - 1


def test_seeds_that_vary_too_much_are_not_cured_by_pictures() -> None:
    """Three points are below what these seeds tell apart; ten points are not."""
    a, b = runs(0.5, 200, seeds=0.3)
    assert seeds_pictures_needed(difference_parts(a, b), 200, 0.03) is None
    assert seeds_pictures_needed(difference_parts(*runs(0.5, 200, seeds=0.02)), 200, 0.1) is not None


def test_pictures_in_groups_are_needed_in_larger_number() -> None:
    """Copies in groups of five: five times as many pictures, about."""
    a, b = runs(0.5, 400, seeds=0.0)
    alone = seeds_pictures_needed(difference_parts(a, b), 400, 0.1)
    of_copies = difference_parts(a.repeat(5, 1), b.repeat(5, 1), np.arange(400).repeat(5))
    copies = seeds_pictures_needed(of_copies, 2000, 0.1)
    assert alone is not None
    assert copies == pytest.approx(5 * alone, rel=0.02)
