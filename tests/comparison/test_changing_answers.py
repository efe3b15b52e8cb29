"""What would let a smaller gap show, and what that takes, against numbers counted by hand."""

from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark
from scipy import stats

from vitbench.comparison.compare import compare
from vitbench.comparison.inverted import Nets
from vitbench.comparison.nouns import Outlook, Remedy
from vitbench.comparison.power import seeds_smallest_gap, telling_gap
from vitbench.comparison.seeds import difference_parts, luck_in_images, parts_with_seeds
from vitbench.comparison.statistics import mcnemar
from vitbench.narrative.outlook import remedy_outcome
from vitbench.records import Array

LABELS = [0, 1, 2] * 20
TRAIN = [0, 1, 2] * 47  # 141 and 60 pictures: 201


def wrong_on(*places: int) -> list[int]:
    return [(x + 1) % 3 if i in places else x for i, x in enumerate(LABELS)]


def outlook(folder: Path, runs: dict[str, object], **more: object) -> Outlook:
    found = compare(make_benchmark(folder / "b", runs, LABELS, train=TRAIN, **more)).outlook  # type: ignore[arg-type]
    assert found is not None
    return found


def ways(found: Outlook) -> dict[str, Remedy]:
    return {one.kind: one for one in found.remedies}


TWO = {"a-s0": wrong_on(*range(7)), "b-s0": wrong_on(*range(7, 20))}
"""7 wrong against 13, on 20 different pictures of 60: 10 points apart."""


def test_gap_of_models_that_disagree_on_20_of_60_pictures() -> None:
    """15 : 5 reaches p ≤ .05 and 14 : 6 does not: 10 net pictures of 60; of 120, 27 : 13, so 14."""
    right = np.arange(60)
    nets = Nets.of(right >= 7, (right < 7) | (right >= 20), None)
    assert mcnemar(15, 5) <= 0.05 < mcnemar(14, 6)
    assert telling_gap(nets) == pytest.approx(10 / 60)
    assert mcnemar(27, 13) <= 0.05 < mcnemar(26, 14)
    assert telling_gap(nets, times=2) == pytest.approx(14 / 120)


def test_gap_of_models_that_hardly_disagree_is_the_smallest_that_ever_shows() -> None:
    """Of 0 or 4 disagreements none is enough: 6 net pictures, as `smallest_gap` has it; on 5 nothing is."""
    right = np.arange(60)
    assert telling_gap(Nets.of(right >= 2, right >= 2, None)) == pytest.approx(6 / 60)
    assert telling_gap(Nets.of(right >= 2, right < 58, None)) == pytest.approx(6 / 60)
    assert telling_gap(Nets.of(np.arange(5) > 0, np.arange(5) < 4, None)) is None


def test_gap_over_groups_falls_with_the_root_of_their_number() -> None:
    """20 groups of 3 that lean by 3 each: 1.96 · √(20 · 9) of 60 pictures; of twice as many √2 as much."""
    a = np.repeat([True, False] * 10, 3)
    nets = Nets.of(a, ~a, np.repeat(np.arange(20), 3))
    assert telling_gap(nets) == pytest.approx(1.96 * np.sqrt(180) / 60, rel=1e-4)
    assert telling_gap(nets, times=2) == pytest.approx(1.96 * np.sqrt(360) / 120, rel=1e-4)


def test_more_pictures_folds_and_seeds_of_two_runs(tmp_path: Path) -> None:
    """Gaps as McNemar has them at the expected disagreements, minutes by runs of 3 epochs of 12 s each."""
    found = outlook(tmp_path, TWO)
    assert (found.model_a, found.model_b, found.apart) == ("a", "b", False)
    assert found.difference == pytest.approx(6 / 60)
    assert found.gap == pytest.approx(10 / 60)
    more = ways(found)
    assert (more["pictures"].n, more["pictures"].helps) == (120, True)
    assert more["pictures"].gap == pytest.approx(14 / 120)
    assert more["pictures"].minutes == pytest.approx(2 * 36 / 60)
    # 5 folds on 201 pictures: 67 disagreements, p at a normal quantile of 1.96 · √2.25
    strict = 2 * stats.norm.cdf(-1.959964 * 1.5)
    losing = max(k for k in range(34) if 2 * stats.binom.cdf(k, 67, 0.5) <= strict)
    assert (more["folds"].number, more["folds"].n) == (5, 201)
    assert more["folds"].gap == pytest.approx((67 - 2 * losing) / 201)
    assert more["folds"].minutes == pytest.approx(5 * 2 * 36 / 60)
    seeds = more["seeds"]
    assert (seeds.number, seeds.gap, seeds.helps, seeds.obstacle) == (3, None, None, "one training")
    assert seeds.minutes == pytest.approx(2 * 2 * 36 / 60)


def test_what_cannot_be_done_says_so(tmp_path: Path) -> None:
    """Folds of a test part of one's own, and of few pictures; what has folds has all pictures tested."""
    brought = outlook(tmp_path / "1", TWO, rule="train/ and test/")
    assert ways(brought)["folds"].obstacle == "own test part"
    folded = outlook(tmp_path / "2", TWO, folds=5)
    assert ways(folded)["folds"].obstacle == "folds already"
    assert remedy_outcome(ways(folded)["folds"], folded) == "would not help: every picture is tested already"


def test_a_probe_has_no_luck_that_seeds_would_average(tmp_path: Path) -> None:
    """Its gap stays, it takes no training, and the table says why."""
    found = outlook(tmp_path, TWO, probe=True)
    seeds = ways(found)["seeds"]
    assert (seeds.gap, seeds.helps, seeds.minutes, seeds.obstacle) == (found.gap, False, None, "no luck")
    assert ways(found)["pictures"].minutes is None


def test_one_model_has_no_outlook(tmp_path: Path) -> None:
    """Nothing hangs on a gap."""
    assert compare(make_benchmark(tmp_path / "b", {"a-s0": LABELS}, LABELS)).outlook is None


def test_luck_in_images_by_hand() -> None:
    """Two runs differ on 2 of 4 pictures, variance ½ on each: (½ + ½) / 2 / 16 · 4/3."""
    runs = np.array([[1, 0, 1, 0], [1, 1, 0, 0]])
    assert luck_in_images(runs) == pytest.approx(1 / 24)
    assert luck_in_images(runs[:1]) == 0


def seeded(rng: np.random.Generator, n: int, k: int, luck: float) -> dict[str, list[int]]:
    """Runs of two models: a picture's ease, a lean of its own of each model, and luck of each run on it."""
    ease = rng.normal(1, 0.8, n)
    runs = {}
    for model, skill in (("a", 0.15), ("b", 0.0)):
        lean = rng.normal(0, 1 - luck, n)
        for seed in range(k):
            right: Array = ease + skill + lean + rng.normal(0, luck, n) > 0
            runs[f"{model}-s{seed}"] = [x if right[i] else (x + 1) % 3 for i, x in enumerate(LABELS[:n])]
    return runs


def test_seeds_help_where_trainings_differ_and_not_where_pictures_do(tmp_path: Path) -> None:
    """All luck of training: six runs bring the gap down; none: they do not, and the table says so."""
    lucky = outlook(tmp_path / "1", seeded(np.random.default_rng(1), 60, 3, luck=1.0))
    fixed = outlook(tmp_path / "2", seeded(np.random.default_rng(1), 60, 3, luck=0.02))
    assert ways(lucky)["seeds"].number == 6
    assert ways(lucky)["seeds"].helps
    assert not ways(fixed)["seeds"].helps
    assert ways(fixed)["pictures"].helps
    assert remedy_outcome(ways(fixed)["seeds"], fixed) == (
        "would not help: what varies from picture to picture outweighs luck of training"
    )


def test_the_gap_that_more_seeds_are_said_to_have_is_what_they_have() -> None:
    """Of 200 worlds with 3 runs each the mean of what 6 are said to need is within 5 % of what 6 need."""
    rng = np.random.default_rng(5)
    said, seen = [], []
    for _ in range(200):
        ease, lean = rng.normal(1, 0.7, 300), rng.normal(0, 0.5, (2, 1, 300))
        right = ease + lean + rng.normal(0, 0.5, (2, 6, 300)) + rng.normal(0, 0.05, (2, 6, 1)) > 0
        few = difference_parts(*right[:, :3])
        said.append(seeds_smallest_gap(parts_with_seeds(few, (right[0, :3], right[1, :3]), 6)))
        seen.append(seeds_smallest_gap(difference_parts(*right)))
    assert np.mean(said) == pytest.approx(np.mean(seen), rel=0.05)
