"""What is kept of accuracy: by hand where that can be done, its interval and its test on drawn answers."""

import numpy as np
import pytest

from vitbench.analysis.conditions import Answers
from vitbench.analysis.kept import kept_of
from vitbench.comparison.opened import TestSet
from vitbench.records import Array, Predictions


def pictures(n: int, per_group: int = 1) -> TestSet:
    """So many pictures, alone or in groups."""
    names = tuple(f"{i:04}" for i in range(n))
    return TestSet(names, ("a",) * n, names, tuple(f"g{i // per_group:04}" for i in range(n)))


def said(right: Array) -> Predictions:
    """Answers that are right just there; the class is always the first."""
    p = np.where(right, 0.9, 0.1)
    labels = np.zeros(len(right), dtype=np.int64)
    return Predictions(
        ("a", "b"), tuple(f"{i:04}" for i in range(len(right))), labels, np.stack([p, 1 - p], 1)
    )


def model(name: str, clean: Array, damaged: Array) -> Answers:
    return Answers(name, {"clean": (said(clean),), "jpeg-1": (said(damaged),)}, "none", 32)


def test_it_is_the_ratio_of_two_accuracies() -> None:
    """8 of 10 right, 6 under damage: 0.75; a model that loses nothing has an interval all the same."""
    clean = np.arange(10) < 8
    models = [model("a", clean, np.arange(10) < 6), model("b", clean, clean)]
    found = kept_of(models, {"jpeg": ["jpeg-1"]}, pictures(10), 1.0)
    assert found["a", "jpeg"].value == pytest.approx(0.75)
    one = found["b", "jpeg"]
    assert one.value == 1
    assert one.low < 0.75 < 1 < one.high


def test_intervals_cover_and_tests_hold_their_level_where_groups_answer_alike() -> None:
    """80 pairs of equal models on 40 groups of 3: 93 % cover, 8 % at most are told apart by chance."""
    draws = np.random.default_rng(0)
    covered = apart = 0
    for _ in range(80):
        hard = draws.random((40, 1)) < 0.3
        clean = np.broadcast_to(draws.random((40, 1)) < 0.9, (40, 3)).ravel()

        def damaged(clean: Array = clean, hard: Array = hard) -> Array:
            return clean & ~(np.broadcast_to(hard & (draws.random((40, 1)) < 0.8), (40, 3)).ravel())

        models = [model(name, clean, damaged()) for name in "ab"]
        found = kept_of(models, {"jpeg": ["jpeg-1"]}, pictures(120, 3), 1.0)
        one = found["a", "jpeg"]
        covered += one.low <= 1 - 0.3 * 0.8 <= one.high
        apart += found["a", "jpeg"].minus(found["b", "jpeg"])[3] <= 0.05
    assert covered / 80 >= 0.93
    assert apart / 80 <= 0.08
