"""Nothing on a page speaks against anything else on it, nor against what it counts."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark
from test_leak_verdicts import LABELS, leaking, wrong_on

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.statistics import paired_difference
from vitbench.narrative.narrate import narrate
from vitbench.narrative.words import p_text, points


def test_an_end_of_an_interval_that_is_not_0_does_not_read_0() -> None:
    """0.02 points are "+0.02"; what is rounding alone is 0."""
    assert [points(x, 60) for x in (0.0002, -0.000004, 1e-17)] == ["+0.02", "−0.0004", "0"]


def test_a_p_beside_the_limit_shows_on_which_side_it_is() -> None:
    """.0503 is no "p = 0.05", which is a verdict; .0497 is."""
    assert [p_text(p) for p in (0.0503, 0.05, 0.0497)] == ["p = 0.0503", "p = 0.05", "p = 0.05"]


def test_two_pictures_leave_no_interval_without_0() -> None:
    """One model right on both and the other on none: p = .5, and 0 is in the interval."""
    found = paired_difference(np.array([True, True]), np.array([False, False]))
    assert (found.p, found.low, found.high) == (0.5, 0.0, 1.0)


def test_leaks_undo_a_verdict_on_loss(tmp_path: Path) -> None:
    """vit is right on the 80 that training knows, the two are equal on the other 120: no lower loss."""
    runs = {"vit-s0": wrong_on(range(80, 105)), "swin-s0": wrong_on(range(40, 105))}
    (pair,) = (found := compare(leaking(tmp_path, runs, 80))).pairs
    assert pair.loss is not None
    assert pair.loss.decided
    assert not pair.apart_in_loss
    assert narrate(found).loss == (
        "By log loss, which sees how sure every answer was (a test of its own, with and without the pictures "
        "that training knows), the two cannot be told apart."
    )


def test_seeds_that_vary_too_much_are_named_as_the_cause(tmp_path: Path) -> None:
    """Eight pictures, all or none right by seed: no gap could show, and not because six pictures are few."""
    labels = [0, 1, 2, 0, 1, 2, 0, 1]
    none = [(x + 1) % 3 for x in labels]
    runs = {"a-s0": labels, "a-s1": none, "b-s0": none, "b-s1": labels}
    assert narrate(compare(make_benchmark(tmp_path / "b", runs, labels))).gap == (
        "8 test pictures with these seeds can show no gap between two models, however large: too few "
        "pictures, or answers that vary too much over pictures and seeds for p ≤ 0.05."
    )


def test_advice_counts_the_pictures_that_its_test_looks_at(tmp_path: Path) -> None:
    """Twelve bursts of five daisies, the first of each wrong: 0 of 12, not 48 of 60, lie behind."""
    labels = [0] * 60 + [1, 2] * 12
    answers = [1 if i < 60 and i % 5 == 0 else label for i, label in enumerate(labels)]
    groups = [f"burst {i // 5}" if i < 60 else str(i) for i in range(84)]
    found = compare(make_benchmark(tmp_path / "b", {"vit-s0": answers}, labels, groups=groups))
    said = narrate(found).advice
    assert "0 of 12 pictures of daisy right against 24 of 24 of the other classes, " in said
    assert "(vit, one picture per group; Fisher's exact" in said


def test_one_page_has_one_plan(tmp_path: Path) -> None:
    """Where --detect plans for 5 points, advice does not name another number of pictures for them."""
    labels = [0, 1, 2] * 20
    runs = {"a-s0": labels, "b-s0": [(x + (i < 3)) % 3 for i, x in enumerate(labels)]}
    benchmark = make_benchmark(tmp_path / "b", runs, labels, rule="test/ as it was given")
    assert "independent ones show one of 5 points" in narrate(compare(benchmark)).advice
    planned = compare(benchmark, CompareOptions(detect=0.05))
    assert "4 of 5 such comparisons" in narrate(planned).detect
    assert "4 of 5 such comparisons" not in narrate(planned).advice


@pytest.mark.parametrize("known", [1, 2])
def test_one_of_anything_is_singular(tmp_path: Path, known: int) -> None:
    """One leaked picture, then a test set that is a single group."""
    runs = {"vit-s0": wrong_on(range(50, 60)), "swin-s0": LABELS}
    leaky = compare(leaking(tmp_path, runs, known))
    assert (
        narrate(leaky)
        .notes[0]
        .startswith(
            {1: "1 of 200 test pictures is a copy or", 2: "2 of 200 test pictures are copies or"}[known]
        )
    )
    groups = ["burst"] * 3 if known == 1 else ["burst", "burst", "other"]
    grouped = compare(
        make_benchmark(tmp_path / "g", {"a-s0": [0] * 3, "b-s0": [1] * 3}, [0] * 3, groups=groups)
    )
    assert f"on 3 test pictures in {'1 group' if known == 1 else '2 groups'}:" in narrate(grouped).verdicts[0]


def test_one_run_beside_seeds_has_an_interval_like_its_test(tmp_path: Path) -> None:
    """a's seeds differ by 60 points; b's one run stands far below with them: not told apart, and so are the
    intervals of the two."""
    labels = [0, 1, 2] * 40

    def right(n: int) -> list[int]:
        return [label if i < n else (label + 1) % 3 for i, label in enumerate(labels)]

    runs = {"a-s0": right(118), "a-s1": right(46), "b-s0": right(20)}
    found = compare(make_benchmark(tmp_path / "b", runs, labels))
    (pair,), (a, b) = found.pairs, found.rows
    assert (pair.kind, b.interval) == ("not distinguishable", "t over images × seeds")
    assert a.top1_low is not None
    assert b.top1_high is not None
    assert a.top1_low < b.top1_high
    alone = compare(make_benchmark(tmp_path / "alone", {"b-s0": right(20)}, labels)).rows[0]
    assert alone.top1_high is not None
    assert alone.top1_high < b.top1_high


def test_groups_of_several_classes_are_not_all_spoken_for_by_one(tmp_path: Path) -> None:
    """Thirty scenes with one picture of each class, all named right: proof of learning, and no class is
    mixed up with another."""
    labels = [i // 30 for i in range(90)]
    answers = [(label + (i % 10 == 0)) % 3 for i, label in enumerate(labels)]
    groups = [str(i % 30) for i in range(90)]
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": answers}, labels, groups=groups)
    rows = benchmark.split_rows()
    for row in rows:  # contents in no order of classes, as real ones are
        row["sha256"] = hashlib.sha256(row["path"].encode()).hexdigest()
    files.write_csv(benchmark.folder / "split.csv", list(rows[0]), rows)
    found = compare(benchmark)
    assert found.rows[0].chance_p == pytest.approx(0.001)
    assert not any("no proof" in note for note in narrate(found).notes)
    assert "mixed up" not in narrate(found).advice


def test_no_p_is_above_1(tmp_path: Path) -> None:
    """Two models that name one class whatever they see: each p = 1, not "1 or more"."""
    labels = [0, 1, 2] * 10
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": [0] * 30, "b-s0": [1] * 30}, labels))
    (note,) = (note for note in narrate(found).notes if "no proof" in note)
    assert note.endswith("(each p = 1)")
