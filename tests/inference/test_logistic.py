"""The solver of the linear heads: against scikit-learn's, fitted one by one, and against calculus."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from vitbench.inference.logistic import Regressions
from vitbench.records import Array


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products: ten times slower in two threads."""
    with threadpool_limits(1, user_api="blas"):
        yield


def overlapping(n: int, classes: int, dimensions: int, apart: float = 0.5) -> tuple[Array, Array]:
    """Features (n, D) of classes that overlap, and their labels."""
    draw = np.random.default_rng(1)
    labels = np.arange(n) % classes
    centres = draw.normal(0, apart, (classes, dimensions))
    return centres[labels] + draw.normal(size=(n, dimensions)), labels


def answered(rows: Array, solution: Array, part: int) -> Array:
    """Probabilities (N, C) of one regression, from its weights and biases by hand."""
    odds = np.exp(rows @ solution[:-1, part] + solution[-1, part])
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("classes", [2, 4])
def test_each_regression_is_the_one_fitted_alone(classes: int) -> None:
    """Three solved together answer as scikit-learn's three, fitted to their own pictures one by one."""
    rows, labels = overlapping(60, classes, 15)
    parts = np.arange(60) // classes % 3 != np.arange(3)[:, None]
    solved = Regressions.on(rows, labels, parts)
    solution, found = solved.solve(0.3, solved.zeros, 1e-8)
    assert found
    for place, part in enumerate(parts):
        alone = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10).fit(rows[part], labels[part])
        expected = alone.predict_proba(rows)
        assert np.abs(answered(rows, solution, place) - expected).max() < 1e-7
        held_out = log_loss(labels[~part], expected[~part], labels=range(classes))
        assert solved.losses(solution)[place] == pytest.approx(held_out, abs=1e-6)


def test_the_solution_does_not_depend_on_where_it_began() -> None:
    """From nothing, or from the solution for a strength a thousand times as large: the same to 1e-7."""
    rows, labels = overlapping(50, 3, 80)
    solved = Regressions.on(rows, labels, np.ones((1, 50)))
    far, _ = solved.solve(100.0, solved.zeros, 1e-7)
    one, two = (solved.solve(0.1, start, 1e-7)[0] for start in (solved.zeros, far))
    assert np.abs(one - far).max() > 0.1
    assert np.abs(one - two).max() < 1e-7


def test_many_pictures_do_not_hide_the_end_of_the_way() -> None:
    """A loss of some thousands is rounded to more than is left to gain; the minimum is found all the same."""
    rows, labels = overlapping(4000, 3, 10, apart=0.2)
    solved = Regressions.on(rows, labels, np.ones((1, 4000)))
    solution, found = solved.solve(10.0, solved.zeros, 1e-7)
    assert found
    wrong = answered(rows, solution, 0) - np.eye(3)[labels]
    assert np.abs(rows.T @ wrong + solution[:-1, 0] / 10).max() < 1e-5  # the gradient, by hand
    assert np.abs(wrong.sum(axis=0)).max() < 1e-5


def test_sure_answers_and_axes_without_a_spread_are_solved_too() -> None:
    """Classes far apart, an axis of zeros and a weak pull: finite, found, and every picture right."""
    rows, labels = overlapping(40, 2, 5, apart=30)
    rows[:, 0] = 0
    solved = Regressions.on(rows, labels, np.ones((1, 40)))
    solution, found = solved.solve(10.0, solved.zeros, 1e-7)
    assert found
    assert (answered(rows, solution, 0).argmax(axis=1) == labels).all()
    assert (solution[0] == 0).all()
