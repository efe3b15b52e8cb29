"""No table holds a verdict that its own sentence about the smallest gap calls impossible."""

from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import narrate

LABELS = [0, 1, 2] * 67


def wrong_on(n: int, start: int = 0) -> list[int]:
    return [(x + 1) % 3 if start <= i < start + n else x for i, x in enumerate(LABELS)]


def test_the_last_pair_needs_less_than_the_first(tmp_path: Path) -> None:
    """a beats c by 30 and b by 24 of 201; then 6 pictures decide between b and c: +3.0 points, p = .031."""
    runs = {"a-s0": LABELS, "b-s0": wrong_on(24), "c-s0": wrong_on(30)}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    last = next(pair for pair in found.pairs if {pair.model_a, pair.model_b} == {"b", "c"})
    assert (last.kind, last.p_adjusted) == ("better", pytest.approx(0.03125))
    assert found.smallest_gap == pytest.approx(6 / 201) == pytest.approx(last.difference)
    assert found.gaps is not None
    assert found.gaps.most == pytest.approx(7 / 201)
    assert narrate(found).gap == (
        "201 test pictures can show only gaps of 3 to 3.5 points or more (6 to 7 pictures), depending on the "
        "other pairs: smaller ones miss p ≤ 0.05 corrected for 3 pairs."
    )


def random_table(folder: Path, seed: int) -> Comparison:
    """2 to 5 models of 1 to 3 seeds on 20 to 150 pictures, some in groups, some by folds."""
    rng = np.random.default_rng(seed)
    n, models = int(rng.integers(20, 150)), int(rng.integers(2, 6))
    labels = rng.integers(0, 3, n)
    hard = rng.random(n)
    size = int(rng.choice([1, 1, 2, 6]))
    hard = hard[np.arange(n) // size * size]
    seeds = [int(rng.integers(1, 4))] * models if rng.random() < 0.7 else rng.integers(1, 4, models).tolist()
    runs = {}
    for m, k in zip("abcde", seeds, strict=False):
        skill = rng.choice([0.95, 0.85, 0.7, 0.5])
        for s in range(k):
            wrong = np.where(rng.random(n) < 0.7, hard, rng.random(n)) > skill + rng.normal(0, 0.02)
            runs[f"{m}-s{s}"] = ((labels + wrong) % 3).tolist()
    groups = [str(i // size) for i in range(n)]
    folds = 5 if rng.random() < 0.3 else 0
    baseline = "a" if rng.random() < 0.2 else ""
    benchmark = make_benchmark(folder / f"b{seed}", runs, labels.tolist(), groups=groups, folds=folds)
    return compare(benchmark, CompareOptions(baseline=baseline))


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 30])
def test_no_verdict_lies_under_the_stated_gap(tmp_path: Path, start: int) -> None:
    """Random tables: every "better" is at least that far apart, and its interval leaves out 0; over several
    seeds every pair that is as far apart as the upper end is decided."""
    decided = 0
    for seed in range(start, start + 10):
        found = random_table(tmp_path, seed)
        assert found.gaps is not None
        for pair in found.pairs:
            if pair.kind == "better":
                decided += 1
                assert found.smallest_gap is not None
                assert pair.difference >= found.smallest_gap - 1e-9
                assert pair.low > 0
            elif pair.a_only is None and found.gaps.most is not None:
                assert pair.difference < found.gaps.most
    assert decided
