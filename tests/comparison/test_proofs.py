"""What advice rests on: exact tests against their formulas, and silence where nothing is proven."""

import numpy as np
import pytest
from scipy import stats

from vitbench.comparison.evidence import behind, chance_p, mixed_up, most_right


def answers_of(counts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and answers from a table of counts, rows true."""
    cells = [(i, j) for i, row in enumerate(counts) for j, k in enumerate(row) for _ in range(k)]
    labels, answers = np.array(cells).T
    return labels, answers


def test_the_worst_class_by_fishers_exact_test_times_the_classes() -> None:
    """10 of 20 against 38 of 40, three classes: scipy's Fisher, times 3."""
    labels, answers = answers_of([[10, 10, 0], [1, 19, 0], [1, 0, 19]])
    found = behind(labels, answers, 3, 0.2)
    assert found is not None
    assert found.place == 0
    assert found.p == pytest.approx(3 * stats.fisher_exact([[10, 10], [38, 2]], "less").pvalue)


def test_a_worst_class_that_chance_explains_is_none() -> None:
    """2 of 4 against 8 of 8; one class alone; a gap of 10 points that is sure, but small."""
    assert behind(*answers_of([[2, 2, 0], [0, 4, 0], [0, 0, 4]]), 3, 0.2) is None
    assert behind(np.zeros(9, int), np.zeros(9, int), 3, 0.2) is None
    assert behind(*answers_of([[890, 110], [10, 990]]), 2, 0.2) is None


def test_mistakes_between_two_classes_by_a_binomial_test_times_the_pairs() -> None:
    """12 of 12 mistakes of two of three classes, chance ½, and ⅔ with the third's: over three pairs."""
    labels, answers = answers_of([[20, 6, 0], [6, 20, 0], [0, 0, 20]])
    found = mixed_up(labels, answers, 3)
    assert found is not None
    assert found[:4] == (0, 1, 12, 12)
    assert found.p == pytest.approx(3 * 0.5**12)


def test_a_class_that_is_answered_for_everything_is_no_pair() -> None:
    """Each class is taken for the first one alike: no two are mixed up with each other in particular."""
    assert mixed_up(*answers_of([[20, 0, 0], [10, 10, 0], [10, 0, 10]]), 3) is None


def test_two_classes_have_no_pair_to_single_out() -> None:
    """All mistakes are between them by necessity; a single mistake proves nothing either."""
    assert mixed_up(*answers_of([[5, 15], [15, 5]]), 2) is None
    assert mixed_up(*answers_of([[9, 1, 0], [0, 9, 0], [0, 0, 9]]), 3) is None


def test_exact_upper_limit() -> None:
    """0 of 1: 99 %; 0 of 3: 1 − .01^(1/3); all right: 1; else where so few have a chance of 1 %."""
    assert most_right(0, 1) == pytest.approx(0.99)
    assert most_right(0, 3) == pytest.approx(1 - 0.01 ** (1 / 3))
    assert most_right(7, 7) == most_right(0, 0) == 1
    assert stats.binom.cdf(80, 100, most_right(80, 100)) == pytest.approx(0.01)


def test_chance_by_every_permutation() -> None:
    """Four of four right: one of the six ways to deal two and two labels."""
    labels = np.array([0, 0, 1, 1])
    assert chance_p(labels, labels[None]) == pytest.approx(1 / 6, abs=0.03)


def test_naming_one_class_or_having_one_proves_nothing() -> None:
    """Always the most frequent class, 95 % accurate; one class in the test part; one picture."""
    labels = np.array([0] * 95 + [1] * 5)
    assert chance_p(labels, np.zeros((2, 100), int)) == 1
    assert chance_p(np.zeros(5, int), np.zeros((1, 5), int)) == 1
    assert chance_p(np.array([1]), np.array([[1]])) == 1


def test_seeds_are_judged_together() -> None:
    """A run that learned beside one that says one class: their mean is still above chance."""
    labels = np.array([0, 1] * 20)
    assert chance_p(labels, np.stack([labels, np.zeros(40, int)])) == 0.001
