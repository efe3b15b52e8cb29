"""Plans for pictures that stand in groups or in folds: as many as the design effect asks for."""

from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.inverted import Nets, inflated_p
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.power import pictures_needed, planned_pictures, smallest_gap, smallest_net
from vitbench.comparison.statistics import mcnemar, sign_flip
from vitbench.narrative.narrate import narrate

A = np.arange(400) >= 20
B = np.abs(np.arange(400) - 26) > 12
"""Of 400 pictures A gets the first 20 wrong, B those from 14 to 38: 14 right for B alone, 19 for A alone."""


def test_independent_pictures_are_planned_as_ever() -> None:
    """Groups of one: the plan of exact McNemar, whatever difference was measured."""
    nets = Nets.of(A, B, None)
    discordance = nets.disagreements / 400
    assert planned_pictures(nets, 0.05, 3) == pytest.approx(pictures_needed(0.05, discordance, 3), rel=0.01)


@pytest.mark.parametrize("copies", [2, 5, 10])
def test_copies_are_needed_as_often_as_there_are_copies(copies: int) -> None:
    """Five copies of each picture: five times the pictures, as many groups as pictures before."""
    alone = planned_pictures(Nets.of(A, B, None), 0.05)
    groups = np.arange(400).repeat(copies)
    of_copies = planned_pictures(Nets.of(A.repeat(copies), B.repeat(copies), groups), 0.05)
    assert of_copies == pytest.approx(copies * alone, rel=0.01)


def test_folds_need_as_many_more_as_their_variance() -> None:
    """Five folds: 2.25 times the pictures; 10 net pictures instead of 6 before a verdict is possible."""
    alone, folds = (planned_pictures(Nets.of(A, B, None, f), 0.05) for f in (1.0, 2.25))
    assert folds == pytest.approx(2.25 * alone, rel=0.01)
    net = smallest_net(1, 2.25)
    assert (net, smallest_gap(100, inflation=2.25)) == (10, 0.1)
    assert inflated_p(mcnemar(net, 0), 2.25) <= 0.05 < inflated_p(mcnemar(net - 1, 0), 2.25)


@pytest.mark.parametrize(("size", "alike"), [(5, 0.3), (10, 1.0)])
def test_the_planned_pictures_have_the_power(size: int, alike: float) -> None:
    """Groups drawn at the planned number find the ten points in 80 % of 400 test sets, give or take 6."""
    rng = np.random.default_rng(0)

    def drawn(n_groups: int) -> tuple[np.ndarray, np.ndarray]:
        groups = np.arange(n_groups).repeat(size)
        own, common = rng.standard_normal((2, len(groups))), rng.standard_normal((2, n_groups))[:, groups]
        a, b = np.sqrt(alike) * common + np.sqrt(1 - alike) * own > np.array([[-1.04], [-0.674]])
        return Nets.of(a, b, groups), groups

    pilot, _ = drawn(3000)
    needed = planned_pictures(pilot, 0.1)
    assert needed is not None
    found = [sign_flip(drawn(round(needed / size))[0].net) <= 0.05 for _ in range(400)]
    assert 0.74 < np.mean(found) < 0.88


def test_nothing_to_plan() -> None:
    """No difference, or one beyond ten million pictures; models that never disagree still have a plan."""
    nets = Nets.of(A, B, None)
    assert planned_pictures(nets, 0.0) is None
    assert planned_pictures(nets, 0.0001) is None
    assert planned_pictures(Nets.of(A, A, np.arange(400) // 4), 0.1) == 4 * (pictures_needed(0.1, 0.1) or 0)


def test_detect_counts_in_groups(tmp_path: Path) -> None:
    """Five copies of each of 60 pictures: five times the pictures that the 60 alone ask for, in groups."""
    labels = [0, 1, 2] * 20
    runs = {"a-s0": labels, "b-s0": [(x + 1) % 3 if i < 6 else x for i, x in enumerate(labels)]}
    copies = {name: np.repeat(answers, 5).tolist() for name, answers in runs.items()}
    groups = [str(i // 5) for i in range(300)]
    alone = compare(make_benchmark(tmp_path / "a", runs, labels), CompareOptions(detect=0.05))
    found = compare(
        make_benchmark(tmp_path / "g", copies, np.repeat(labels, 5).tolist(), groups=groups),
        CompareOptions(detect=0.05),
    )
    assert alone.plan is not None
    assert found.plan is not None
    assert alone.plan.groups is None
    assert found.plan.pictures == pytest.approx(5 * alone.plan.pictures, abs=5)
    assert found.plan.groups == pytest.approx(alone.plan.pictures, abs=1)
    assert "groups like those here, and there are 300 in 60" in narrate(found).detect
