"""Learning curves: chance apart and together, what draws share, crossings and powers by hand."""

import math

import numpy as np
import pytest
from simulated_curves import WORLDS, covered

from vitbench.comparison.learning import (
    Curve,
    difference,
    extrapolated,
    gain,
    level_interval,
    one_draw,
    reached,
)


def curve(*rows: list[list[int]], sizes: tuple[float, ...], pool: float = 100.0) -> Curve:
    return Curve("m", sizes, tuple(np.array(one, dtype=bool) for one in rows), pool)


def test_draws_of_most_of_a_pool_say_what_smaller_ones_say() -> None:
    """Half of the pool: twice the variance of its draws; all of it: that, halved once more."""
    values = [np.array([0.4, 0.6]), np.array([0.7])]
    first = one_draw(values, (5.0, 10.0), 10.0, 0)
    assert first.variance == pytest.approx(0.02 / 0.5)
    assert one_draw(values, (5.0, 10.0), 10.0, 1).variance == pytest.approx(0.02 / 0.5 / 2)


def test_answers_that_never_differ_prove_no_equality() -> None:
    """Equal models, and a gain of nothing, have intervals with a width, and so has one always right."""
    one = curve([[1, 1, 1, 1]] * 3, [[1, 1, 1, 1]] * 3, sizes=(1.0, 2.0))
    assert gain(one, 0, 1, None).half_width > 0
    assert difference(one, one, 1, None).half_width > 0
    low, high = level_interval(one, 1, None)
    assert low < 0.7
    assert high == 1.0


def test_where_a_curve_reaches_an_accuracy() -> None:
    """Half-way in log k between 4 and 16 is 8; before the first size is that one; far beyond is unknown."""
    sizes, accuracy = (4.0, 16.0), np.array([0.5, 0.7])
    assert reached(sizes, accuracy, 0.6) == (pytest.approx(8.0), False)
    assert reached(sizes, accuracy, 0.4) == (4.0, False)
    assert reached(sizes, accuracy, 0.99) == (math.inf, True)
    need, beyond = reached(sizes, accuracy, 0.72)
    assert beyond
    assert 16 < need < 32


def test_a_curve_that_hardly_rises_reaches_nothing() -> None:
    """The photos that its power law asks for are more than a number can hold."""
    assert reached([2, 4], np.array([0.5, 0.5 + 1e-9]), 0.9) == (math.inf, True)


def test_a_power_law_is_gone_on_with() -> None:
    """Error 0.8 / √k: at 64 it is 0.1."""
    sizes = (4.0, 8.0, 16.0, 32.0)
    accuracy = 1 - 0.8 / np.sqrt(np.array(sizes))
    assert extrapolated(sizes, accuracy, 64.0) == pytest.approx(0.9)


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_of_a_doubling_covers(world) -> None:  # type: ignore[no-untyped-def]
    """In 93 % of sweeps or more."""
    assert covered(world, 200) >= 0.93
