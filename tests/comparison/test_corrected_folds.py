"""What folds share is counted in, and what one training set cannot tell is said."""

from pathlib import Path

import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.inverted import inflated_p
from vitbench.comparison.statistics import mcnemar
from vitbench.inference.metrics import wilson
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark

LABELS = [0, 1, 2] * 40
ONE_SET = "One training set: other training pictures can turn a verdict"


def two(folder: Path, folds: int) -> Benchmark:
    """a is right on all 120; b is wrong on eight."""
    runs = {"a-s0": LABELS, "b-s0": [(x + 1) % 3 if i < 8 else x for i, x in enumerate(LABELS)]}
    return make_benchmark(folder / f"folds{folds}", runs, LABELS, folds=folds)


def test_folds_weaken_a_verdict(tmp_path: Path) -> None:
    """8 against 0 is p = .008 on a test part of its own; five folds have 2.25 times the variance: p = .08."""
    (alone,), (folds,) = (compare(two(tmp_path, k)).pairs for k in (0, 5))
    assert (alone.kind, alone.method) == ("better", "exact McNemar")
    assert (folds.kind, folds.method) == ("not distinguishable", "exact McNemar, corrected for folds")
    assert folds.p == pytest.approx(inflated_p(mcnemar(8, 0), 2.25)) == pytest.approx(0.077, abs=1e-3)
    assert folds.low <= 0 < alone.low


def test_folds_widen_every_interval(tmp_path: Path) -> None:
    """b's accuracy has Wilson's interval of 120 / 2.25 pictures; the others are 1.5 times as wide."""
    alone, folds = compare(two(tmp_path, 0)), compare(two(tmp_path, 5))
    plain, row = alone.rows[1], folds.rows[1]
    assert (row.top1_low, row.top1_high) == pytest.approx(wilson(112 / 2.25, 120 / 2.25))
    assert row.interval == "Wilson, corrected for folds"
    for name in ("loss", "brier", "macro_f1", "balanced_accuracy"):
        wide, narrow = row.metrics[name], plain.metrics[name]
        assert wide.low is not None
        assert narrow.low is not None
        assert wide.value - wide.low == pytest.approx(1.5 * (wide.value - narrow.low)), name
    differences = folds.pairs[0].differences, alone.pairs[0].differences
    for wide, narrow in zip(*(one.values() for one in differences), strict=True):
        assert wide.high - wide.low == pytest.approx(1.5 * (narrow.high - narrow.low))


def test_several_seeds_over_folds(tmp_path: Path) -> None:
    """The part of the pictures is 2.25 times as large; the method says so."""
    runs = {
        f"{m}-s{s}": [(x + 1) % 3 if i < n + s else x for i, x in enumerate(LABELS)]
        for m, n in (("a", 0), ("b", 6))
        for s in range(3)
    }
    (alone,), (folds,) = (
        compare(make_benchmark(tmp_path / f"k{k}", runs, LABELS, folds=k)).pairs for k in (0, 5)
    )
    assert folds.method == "t over images × seeds, corrected for folds"
    assert 1.3 < (folds.high - folds.low) / (alone.high - alone.low) < 1.5


def test_what_one_training_set_cannot_tell_is_said(tmp_path: Path) -> None:
    """One line where there are no folds and two models; none with folds."""
    alone, folds = (narrate(compare(two(tmp_path, k))).notes for k in (0, 5))
    assert sum(note.startswith(ONE_SET) for note in alone) == 1
    assert not any(note.startswith(ONE_SET) for note in folds)
