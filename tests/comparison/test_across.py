"""Several data sets: matched by model name, tested from six sets up."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark
from scipy import stats

from vitbench.comparison.across import compare_across, wilcoxon
from vitbench.errors import UsageError
from vitbench.narrative.across import narrate_across
from vitbench.records import Benchmark, Fingerprints, Picture
from vitbench.records.fingerprints import TESTED_ON

LABELS = [0, 1, 2] * 20

C45 = (0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957)
C45_M = (0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978)
"""Demšar 2006, table 2: accuracies on 14 data sets."""


def wrong(n: int) -> list[int]:
    return [(label + 1) % 3 if i < n else label for i, label in enumerate(LABELS)]


def some_sets(folder: Path, wrong_a: list[int], wrong_b: list[int]) -> list[Benchmark]:
    """A benchmark per data set; a and b wrong on so many of 60 pictures."""
    return [
        make_benchmark(folder / f"set{i}", {"a-s0": wrong(x), "b-s0": wrong(y)}, LABELS, data_digest=str(i))
        for i, (x, y) in enumerate(zip(wrong_a, wrong_b, strict=True))
    ]


def test_wilcoxon_on_demsars_example() -> None:
    """The smaller rank sum is 12 of 105, zeros share their ranks; z = −2.54 there, and about the same p."""
    differences = [b - a for a, b in zip(C45, C45_M, strict=True)]
    assert wilcoxon(differences) == pytest.approx(2 * stats.norm.sf(2.54), abs=0.004)


def test_wilcoxon_equals_scipys_exact_test_without_ties() -> None:
    """Eight different differences: scipy counts the same sign patterns."""
    d = [0.031, -0.012, 0.044, 0.009, 0.027, -0.003, 0.018, 0.052]
    assert wilcoxon(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    assert wilcoxon([-x for x in d]) == wilcoxon(d)


def test_wilcoxon_of_equal_models_is_one() -> None:
    """No difference anywhere is no evidence."""
    assert wilcoxon([0.0] * 6) == 1.0


def test_six_sets_all_won_are_enough(tmp_path: Path) -> None:
    """2 · ½⁶ = .031 for one pair."""
    found = compare_across(some_sets(tmp_path, [1, 2, 3, 1, 2, 3], [5, 7, 9, 6, 8, 10]))
    (pair,) = found.pairs
    assert pair.p == pytest.approx(2 / 2**6)
    assert (pair.model_a, pair.wins, pair.losses, pair.n_sets) == ("a", 6, 0, 6)
    assert (
        narrate_across(found)
        .verdicts[0]
        .startswith("a is better than b over 6 data sets: +9.2 points in the mean")
    )
    assert narrate_across(found).answer == "Over 6 data sets a is better than b."


def test_five_sets_are_a_table_without_a_test(tmp_path: Path) -> None:
    """No pair is tested, and the answer says from when on it would be."""
    found = compare_across(some_sets(tmp_path, [0] * 5, [9] * 5))
    assert found.pairs == ()
    assert narrate_across(found).answer.startswith(
        "5 data sets cannot say more together than each by itself: that takes 6"
    )
    assert found.means == (1.0, pytest.approx(51 / 60))


def test_six_sets_that_do_not_settle_it_say_what_would(tmp_path: Path) -> None:
    """Wins and losses in turn: not distinguishable, and 6 sets is the least for one pair."""
    found = compare_across(some_sets(tmp_path, [1, 9, 1, 9, 1, 9], [9, 1, 9, 1, 9, 1]))
    assert not found.pairs[0].distinguishable
    assert narrate_across(found).answer.endswith("with 1 pair that takes at least 6 sets, all won.")


def test_a_model_that_lacks_a_set_has_no_mean(tmp_path: Path) -> None:
    """It keeps its cells; a note says so."""
    sets = some_sets(tmp_path, [1, 2], [3, 4])
    sets.append(make_benchmark(tmp_path / "set9", {"a-s0": wrong(1)}, LABELS, data_digest="9"))
    found = compare_across(sets)
    assert found.models == ("a", "b")
    assert found.means[1] is None
    assert "b: not tested on every set, so without a mean" in narrate_across(found).notes


def test_one_data_set_twice_is_refused(tmp_path: Path) -> None:
    """Two benchmarks on the same pictures are one piece of evidence."""
    sets = [make_benchmark(tmp_path / name, {"a-s0": LABELS}, LABELS) for name in ("one", "two")]
    with pytest.raises(UsageError, match="one and two have the same pictures"):
        compare_across(sets)


def test_shared_test_pictures_are_noted(tmp_path: Path) -> None:
    """Twenty of sixty in both, ten of them as copies: not independent, and said."""
    sets = some_sets(tmp_path, [1, 2], [3, 4])
    mark_tested(sets[0], range(60))
    mark_tested(sets[1], [*range(10), *range(100, 150)], prints=[*range(20), *range(100, 140)])
    found = compare_across(sets)
    assert any(
        note.startswith("20 test pictures are in set0 and in set1") for note in narrate_across(found).notes
    )


def test_copies_of_one_data_set_are_refused(tmp_path: Path) -> None:
    """The same pictures encoded again: other files, the same fingerprints."""
    sets = some_sets(tmp_path, [1, 2], [3, 4])
    mark_tested(sets[0], range(60))
    mark_tested(sets[1], range(100, 160), prints=range(60))
    with pytest.raises(UsageError, match="set0 and set1 share 60 of 60 test pictures"):
        compare_across(sets)


def mark_tested(benchmark: Benchmark, contents: Iterable[int], prints: Iterable[int] | None = None) -> None:
    """Give a made-up benchmark test pictures by numbers that stand for their bytes and for what they show."""
    contents = list(contents)
    Fingerprints.of(
        ("test", Picture("", "", None, f"{content:064x}"[::-1], "", 1, 1, fingerprint=shown(what)))
        for content, what in zip(contents, contents if prints is None else prints, strict=True)
    ).write(benchmark.folder / TESTED_ON)


def shown(number: int) -> bytes:
    """32 random bytes: unlike the others by about 128 of 256 bits."""
    return np.random.default_rng(number).bytes(32)
