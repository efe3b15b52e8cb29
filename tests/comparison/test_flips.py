"""Sign flips over pictures: one pair is exact McNemar, many are corrected by what chance does to all."""

import time
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.flips import flip_ps, flipped_sums, step_down
from vitbench.comparison.statistics import holm, mcnemar
from vitbench.narrative.narrate import narrate

LABELS = [0, 1, 2] * 20


def test_flips_of_one_pair_are_exact_mcnemar() -> None:
    """9 against 2 of 40 pictures: the share of drawn flips as far from 0 is p = .065, as drawn."""
    a, b = np.zeros((2, 40))
    a[:9] = b[9:11] = 1
    sums = flipped_sums(np.array([a, b]), np.arange(40))
    assert flip_ps(sums[:, :1] - sums[:, 1:])[0, 0] == pytest.approx(mcnemar(9, 2), abs=0.006)


def test_flips_keep_groups_whole() -> None:
    """Two pictures of one group always flip together: their sum is never 0."""
    sums = flipped_sums(np.array([[1.0, 1.0, 0.0]]), np.array([0, 0, 1]), draws=50)
    assert set(sums[:, 0].tolist()) == {-2.0, 2.0}


def test_step_down_by_hand() -> None:
    """Four ways, two pairs: the smaller p counts the smaller of both, the larger one only its own."""
    ps = np.array([[0.25, 0.75], [0.5, 0.25], [0.75, 1.0], [1.0, 0.5]])
    assert step_down(ps, [0.0, 0.0]) == [0.0, 0.0]  # never above Holm's
    assert step_down(ps, [0.25, 0.75]) == pytest.approx([0.5, 0.75])
    assert step_down(ps[:, ::-1], [0.75, 0.25]) == pytest.approx([0.75, 0.5])


def test_corrected_ps_lie_between_their_own_and_holms() -> None:
    """Eight equal models: no corrected p is below the pair's own or above Holm's; some are below that."""
    right = np.random.default_rng(1).random((8, 200)) < 0.85
    pairs = list(combinations(range(8), 2))
    own = [mcnemar(int((right[i] & ~right[j]).sum()), int((~right[i] & right[j]).sum())) for i, j in pairs]
    sums = flipped_sums(right, np.arange(200), draws=999)
    a, b = np.array(pairs).T
    adjusted = step_down(flip_ps(sums[:, a] - sums[:, b]), own)
    bounds = holm(own)
    assert all(p <= q <= h for p, q, h in zip(own, adjusted, bounds, strict=True))
    assert np.mean(np.array(adjusted) < np.array(bounds)) > 0.2


def test_a_shift_of_loss_is_seen_where_accuracy_is_equal(tmp_path: Path) -> None:
    """Both are right on all 60 pictures, a is surer of each: accuracy ties, log loss decides."""
    sure, unsure = ([[p if c == y else (1 - p) / 2 for c in range(3)] for y in LABELS] for p in (0.9, 0.6))
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": sure, "b-s0": unsure}, LABELS))
    (pair,) = found.pairs
    loss = pair.loss
    assert (pair.kind, loss.decided) == ("not distinguishable", True)
    assert loss.p == loss.p_adjusted < 0.001
    assert narrate(found).loss.endswith("lower is a than b (−0.41, p < 0.001).")


def test_loss_over_seeds_is_tested_by_t(tmp_path: Path) -> None:
    """Two runs each that answer alike: the difference in loss stands on pictures and seeds."""
    runs = {
        f"{m}-s{s}": [[p if c == y else (1 - p) / 2 for c in range(3)] for y in LABELS]
        for (m, base), s in product({"a": 0.9, "b": 0.6}.items(), (0, 1))
        for p in [base + 0.02 * s]
    }
    loss = compare(make_benchmark(tmp_path / "b", runs, LABELS)).pairs[0].loss
    assert loss.p is not None
    assert 0 < loss.p < 0.05


@pytest.mark.slow
def test_twelve_models_on_three_thousand_pictures_take_a_second_or_two() -> None:
    """66 pairs in two scores at 19,999 flips: well under ten seconds of one slow core."""
    values = np.random.default_rng(0).random((24, 3000))
    start = time.process_time()
    sums = flipped_sums(values, np.arange(3000))
    a, b = np.array(list(combinations(range(12), 2))).T
    for half in np.split(sums, 2, axis=1):
        ps = flip_ps(half[:, a] - half[:, b])
        step_down(ps, ps[0].tolist())
    assert time.process_time() - start < 10
