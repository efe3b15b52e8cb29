"""How much a seed changes a model, and the test over images × seeds: by hand, and on made-up benchmarks."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricate import make_benchmark
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.seeds import NO_SEED, half_width, p_value, seed_parts, seeds_difference
from vitbench.comparison.statistics import Part
from vitbench.narrative.narrate import narrate

A = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
B = np.array([[1, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)


def test_seeds_difference_by_hand() -> None:
    """Two seeds on four pictures: t of 3 degrees of freedom for pictures, of 2 for both pairs of seeds."""
    images = np.var([0, 0.5, 1, 0.5], ddof=1) / 4
    seeds = 2 * np.var([0.75, 1], ddof=1) / 2  # b's seeds lie as far apart as a's
    found = seeds_difference(A, B)
    assert found.value == 0.5
    half = math.sqrt(stats.t.ppf(0.975, 3) ** 2 * images + stats.t.ppf(0.975, 2) ** 2 * seeds)
    assert found.low == pytest.approx(max(-1, 0.5 - half))
    at_p = stats.t.isf(found.p / 2, 3) ** 2 * images + stats.t.isf(found.p / 2, 2) ** 2 * seeds
    assert math.sqrt(at_p) == pytest.approx(0.5)


def test_groups_make_the_image_part() -> None:
    """Two groups of two pictures, deviations −½ and +½ in sum: on one degree of freedom, a larger p."""
    groups = np.array([5, 5, 9, 9])
    images, seeds = 2 * (0.5**2 + 0.5**2) / 16, 2 * 0.125**2
    found = seeds_difference(A, B, groups)
    at_p = stats.t.isf(found.p / 2, 1) ** 2 * images + stats.t.isf(found.p / 2, 2) ** 2 * seeds
    assert math.sqrt(at_p) == pytest.approx(0.5)
    assert found.p > seeds_difference(A, B).p


def means(*values: float) -> np.ndarray:
    """Runs with these accuracies on one "picture"."""
    return np.array(values)[:, None]


def test_a_model_is_never_steadier_than_all_together() -> None:
    """Variances 0, .02 and .04 of two seeds each: .02 on 3 for the first two; .04 on less for the third."""
    steady, middle, wild = means(0.5, 0.5), means(0.4, 0.6), means(0.5, 0.5 + math.sqrt(0.08))
    a, b, c = seed_parts([steady, middle, wild])
    assert a == b == Part(pytest.approx(0.02), 3)  # type: ignore[arg-type]
    assert c.variance == pytest.approx(0.04)
    assert c.freedom == pytest.approx(1 + 2 * 0.5**4)


def test_a_single_run_has_the_variance_of_the_others() -> None:
    """.02 on one degree of freedom from the model with two seeds; nothing is known where all have one run."""
    one, two = seed_parts([means(0.9), means(0.4, 0.6)])
    assert one == two == Part(pytest.approx(0.02), 1)  # type: ignore[arg-type]
    assert seed_parts([means(0.9), means(0.4)]) == [NO_SEED, NO_SEED]


def test_p_is_where_the_interval_ends_at_0() -> None:
    """Whatever the parts: at the level p the half width is the value itself."""
    parts = (Part(0.01, 2), Part(0.02, 50), NO_SEED)
    assert half_width(parts, p_value(0.4, parts)) == pytest.approx(0.4)
    assert p_value(0.0, parts) == 1.0
    assert p_value(half_width(parts), parts) == pytest.approx(0.05)


# --- in tables ------------------------------------------------------------------------------------

LABELS = [0, 1, 2] * 40


def wrong(n: int, first: int = 0) -> list[int]:
    """Answers that are right except on n of the 120 pictures."""
    return [(label + 1) % 3 if first <= i < first + n else label for i, label in enumerate(LABELS)]


def contradictions(found: Comparison) -> list[str]:
    """Where ranks, pairs and the smallest gap of a table do not fit the means that it shows."""
    shown = {row.model: row.top1 or 0.0 for row in found.tested}
    ranks = [row.rank for row in found.tested if row.rank]
    said = [
        f"{pair.model_a} before {pair.model_b}"
        for pair in found.pairs
        if shown[pair.model_a] < shown[pair.model_b] - 1e-12
        or abs(shown[pair.model_a] - shown[pair.model_b] - pair.difference) > 1e-12
    ]
    said += ["a rank falls back"] * (ranks != sorted(ranks))
    said += [
        f"{pair.model_a}: better by less than the smallest gap"
        for pair in found.pairs
        if pair.distinguishable and found.smallest_gap and pair.difference < found.smallest_gap - 1e-12
    ]
    return said


def test_unequal_numbers_of_seeds_are_compared_by_all_of_them(tmp_path: Path) -> None:
    """b's one run beats a's first one by 24 pictures and a's mean beats b: a is first, nobody better."""
    runs = {"a-s0": wrong(40), "a-s1": wrong(0), "a-s2": wrong(1), "b-s0": wrong(16)}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    (pair,) = found.pairs
    assert (pair.model_a, pair.method, pair.kind) == ("a", "t over images × seeds", "not distinguishable")
    assert pair.difference == pytest.approx((16 - 41 / 3) / 120)
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2)]
    assert any(
        note.startswith("b: one training only; how much another seed") for note in narrate(found).notes
    )
    assert contradictions(found) == []


TABLES = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.integers(0, 60), min_size=1, max_size=3), min_size=2, max_size=5
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(TABLES, st.integers(0, 2**16))
def test_no_table_contradicts_the_means_that_it_shows(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, list[int]], seed: int
) -> None:
    """Whatever runs the models have: order, differences, ranks and the smallest gap fit the shown means."""
    rng = np.random.default_rng(seed)
    runs: dict[str, Any] = {}
    for model, each in told.items():
        for i, n in enumerate(each):
            places = set(rng.permutation(120)[:n].tolist())
            runs[f"{model}-s{i}"] = [(y + 1) % 3 if at in places else y for at, y in enumerate(LABELS)]
    found = compare(make_benchmark(tmp_path_factory.mktemp("t") / "b", runs, LABELS))
    assert contradictions(found) == []


def test_a_probe_has_no_seed_that_could_vary(tmp_path: Path) -> None:
    """Beside models of several seeds a probe's one run borrows no variance, and no note says it does."""
    tuned = {f"a-s{i}": wrong(8 * i) for i in range(3)} | {"b-s0": wrong(30)}
    probed = make_benchmark(tmp_path / "p", {"c-s0": wrong(30)}, LABELS, probe=True)
    found = compare([make_benchmark(tmp_path / "t", tuned, LABELS), probed])
    width = {p.model_b: p.high - p.low for p in found.pairs if p.model_a == "a"}
    assert width["c"] < width["b"]
    assert any(note.startswith("b: one training only") for note in narrate(found).notes)
