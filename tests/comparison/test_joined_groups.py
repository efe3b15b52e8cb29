"""Groups of test pictures decide in every comparison that holds them, in any order."""

from pathlib import Path

import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import read_results
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark

LABELS = [0, 1, 2] * 20
BURSTS = [f"burst{i // 10}" for i in range(60)]


def wrong_on(*places: int) -> list[int]:
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(LABELS)]


def plain_and_grouped(folder: Path) -> tuple[Benchmark, Benchmark]:
    """a is right on all 60 in one benchmark; b wrong on one burst of 10 in the other, which has bursts."""
    plain = make_benchmark(folder / "plain", {"a-s0": LABELS}, LABELS)
    paths = [f"q/{i}.jpg" for i in range(60)]
    grouped = make_benchmark(
        folder / "grouped", {"b-s0": wrong_on(*range(10))}, LABELS, groups=BURSTS, paths=paths
    )
    return plain, grouped


def test_the_order_of_benchmarks_changes_no_verdict(tmp_path: Path) -> None:
    """Ten pictures of one burst: p = 1 both ways round, where counting pictures would say .002 one way."""
    plain, grouped = plain_and_grouped(tmp_path)
    one, other = compare([plain, grouped]), compare([grouped, plain])
    assert one.groups == other.groups == 6
    assert one.pairs[0].p == other.pairs[0].p == 1.0
    assert one.pairs == other.pairs
    for row, same in zip(one.rows, other.rows, strict=True):
        assert row.rank == same.rank
        assert (row.top1_low, row.metrics["loss"].low) == pytest.approx(
            (same.top1_low, same.metrics["loss"].low)
        )


def test_groups_that_one_benchmark_does_not_know_are_told_of(tmp_path: Path) -> None:
    """Which benchmark has how many groups stands in the note."""
    found = compare(plain_and_grouped(tmp_path))
    assert any(
        "plain alone has 60 and grouped alone has 6), so their groups are joined" in n
        for n in narrate(found).notes
    )


def test_groups_are_joined_through_chains(tmp_path: Path) -> None:
    """0–1 in one benchmark and 1–2 in the other are one group; equal names join nothing."""
    one = make_benchmark(tmp_path / "a", {"a-s0": LABELS[:5]}, LABELS[:5], groups=["x", "x", "y", "z", "w"])
    two = make_benchmark(tmp_path / "b", {"b-s0": LABELS[:5]}, LABELS[:5], groups=["w", "x", "x", "y", "z"])
    groups = read_results([one, two]).joined_test.groups
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 3
    assert len(set(TestSet.of(one.split_rows()).groups)) == 4
