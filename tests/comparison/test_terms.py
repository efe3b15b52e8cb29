"""On what terms models are compared: margin, baseline, a named difference, groups of pictures."""

from pathlib import Path

import pytest
from fabricate import make_benchmark, said

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.power import pictures_needed
from vitbench.errors import UsageError
from vitbench.narrative.narrate import narrate
from vitbench.narrative.words import rounded
from vitbench.records import Benchmark, Predictions

LABELS = [0, 1, 2] * 100


def wrong_on(*places: int, labels: list[int] = LABELS) -> list[int]:
    """Answers that are right except on these pictures."""
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(labels)]


def three(folder: Path) -> Benchmark:
    """a is right on all 300, b on 299, c on 270."""
    runs = {"a-s0": LABELS, "b-s0": wrong_on(0), "c-s0": wrong_on(*range(30))}
    return make_benchmark(folder / "b", runs, LABELS)


@pytest.mark.slow
def test_equivalent_needs_a_margin(tmp_path: Path) -> None:
    """a and b differ by .3 points: not distinguishable as such, equivalent within ±3 points."""
    benchmark = three(tmp_path)
    plain, margin = compare(benchmark).pairs[0], compare(benchmark, CompareOptions(margin=0.03)).pairs[0]
    assert (plain.kind, margin.kind) == ("not distinguishable", "equivalent")
    assert said(margin).startswith(
        "a and b are as good as one another, within ±3 points, on 300 test pictures: +0.3 points"
    )


def test_an_interval_that_leaves_the_margin_is_no_equivalence(tmp_path: Path) -> None:
    """The interval of a − b reaches past half a point."""
    pair = compare(three(tmp_path), CompareOptions(margin=0.005)).pairs[0]
    assert pair.high > 0.005
    assert pair.kind == "not distinguishable"


def test_better_stays_better_inside_the_margin(tmp_path: Path) -> None:
    """Ten points with p < .001 under a margin of 20: p decides, and the smallness is said."""
    pair = next(p for p in compare(three(tmp_path), CompareOptions(margin=0.2)).pairs if p.model_b == "c")
    assert pair.kind == "better"
    assert said(pair).endswith("yet by less than the margin of 20 points")


def test_a_baseline_shows_its_own_pairs_and_corrects_for_all(tmp_path: Path) -> None:
    """Two of three pairs, with the p-values and ranks that they have without it; the answer is about it."""
    benchmark = three(tmp_path)
    found, whole = compare(benchmark, CompareOptions(baseline="b")), compare(benchmark)
    assert found.pairs == tuple(pair for pair in whole.pairs if "b" in (pair.model_a, pair.model_b))
    assert len(found.pairs) == 2
    assert found.family == 3
    assert [row.rank for row in found.rows] == [row.rank for row in whole.rows]
    assert narrate(found).answer.endswith(
        "Against it: worse is c (−10 points); not to be told apart from it is a (+0.3 points)."
    )
    assert any("corrected for all pairs of the table" in note for note in narrate(found).notes)


def test_unknown_baseline_is_refused_with_the_models_there(tmp_path: Path) -> None:
    """One line that names what could be meant."""
    with pytest.raises(UsageError, match=r"--baseline d: not a tested model here \(there: a, b, c\)"):
        compare(three(tmp_path), CompareOptions(baseline="d"))


def test_terms_outside_0_to_100_points_are_refused() -> None:
    """A margin of 0 and a difference of 150 points mean nothing."""
    with pytest.raises(UsageError, match="--margin 0"):
        CompareOptions(margin=0)
    with pytest.raises(UsageError, match="--detect 150"):
        CompareOptions(detect=1.5)


@pytest.mark.slow
def test_detect_says_how_many_pictures(tmp_path: Path) -> None:
    """3 points at 10 % disagreement and three pairs: the number of the power calculation, in a sentence."""
    found = compare(three(tmp_path), CompareOptions(detect=0.03))
    needed = rounded(pictures_needed(0.03, 29 / 300, 3) or 0)
    assert f"takes about {needed} independent test pictures, and there are 300" in narrate(found).detect
    assert narrate(compare(three(tmp_path / "again"))).detect == ""


def test_detect_of_one_model_says_why_not(tmp_path: Path) -> None:
    """There is no disagreement to go by."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": LABELS}, LABELS)
    assert narrate(compare(benchmark, CompareOptions(detect=0.03))).detect.startswith("One model alone")


@pytest.mark.slow
def test_detect_over_seeds(tmp_path: Path) -> None:
    """With seeds the number rests on measured variances; seeds that differ too much can't be outweighed."""
    runs = {f"{m}-s{s}": wrong_on(*range(9 * s + k)) for k, m in enumerate("ab") for s in range(3)}
    benchmark = make_benchmark(tmp_path / "b", runs, LABELS)
    assert "takes about " in narrate(compare(benchmark, CompareOptions(detect=0.3))).detect
    assert (
        "No number of test pictures shows a difference of 1 point in 4 of 5 such comparisons: the seeds "
        "differ too much; add some (a model has 3 seeds"
        in narrate(compare(benchmark, CompareOptions(detect=0.01))).detect
    )


def test_the_gap_over_seeds_is_worked_out(tmp_path: Path) -> None:
    """The smallest gap is t times the measured error; a pair at that gap is just distinguishable."""
    runs = {f"{m}-s{s}": wrong_on(*range(s + 30 * k)) for k, m in enumerate("ab") for s in range(3)}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    (pair,) = found.pairs
    assert found.smallest_gap == pytest.approx(pair.high - pair.difference)
    assert "only gaps of 3.5 points or more" in narrate(found).gap


GROUPED = [f"burst{i // 10}" for i in range(300)]


def test_groups_are_counted_and_widen_every_interval(tmp_path: Path) -> None:
    """300 pictures in 30 bursts, mistakes burst by burst: wider than 300 independent ones, and it is said."""
    runs = {"a-s0": wrong_on(*range(20)), "b-s0": wrong_on(*range(60))}
    alone = compare(make_benchmark(tmp_path / "alone", runs, LABELS))
    found = compare(make_benchmark(tmp_path / "groups", runs, LABELS, groups=GROUPED))
    assert (alone.groups, found.groups) == (None, 30)
    for name in ("top1", "loss", "brier", "macro_f1", "balanced_accuracy"):
        intervals = (one.rows[0].metrics[name] for one in (alone, found))
        narrow, wide = (one.high - one.low for one in intervals)  # type: ignore[operator]
        assert wide > 1.5 * narrow, name
    assert any("300 test pictures stand in 30 groups" in note for note in narrate(found).notes)
    assert "300 test pictures in 30 groups" in narrate(found).gap


def test_groups_are_what_is_tested(tmp_path: Path) -> None:
    """40 pictures of 4 bursts on one side: McNemar would say p < .001, four coins say p = .125."""
    runs = {"a-s0": wrong_on(*range(20)), "b-s0": wrong_on(*range(60))}
    (pair,) = compare(make_benchmark(tmp_path / "b", runs, LABELS, groups=GROUPED)).pairs
    assert (pair.method, pair.groups) == ("exact test over groups", 30)
    assert pair.p == pytest.approx(2 / 2**4)
    assert "on 300 test pictures in 30 groups" in said(pair)


def test_copies_in_the_test_part_are_groups_of_their_own(tmp_path: Path) -> None:
    """Each picture twice: 60 pictures count as 30."""
    labels = [0, 1, 2] * 10
    runs = {"a-s0": labels * 2}
    groups = [str(i % 30) for i in range(60)]
    found = compare(make_benchmark(tmp_path / "b", runs, labels * 2, groups=groups))
    single = compare(make_benchmark(tmp_path / "s", {"a-s0": labels}, labels))
    assert found.groups == 30
    assert found.rows[0].top1_low == pytest.approx(single.rows[0].top1_low, abs=0.02)


def test_temperature_is_fitted_on_val_and_judged_on_test(tmp_path: Path) -> None:
    """A model that says 99 % and is right on 70 %: temperature over 1, and a lower loss on test."""
    labels = [0, 1] * 50
    sure = [[0.99, 0.01] if (label == 0) == (i % 10 >= 3) else [0.01, 0.99] for i, label in enumerate(labels)]
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": sure}, labels, classes=("no", "yes"), train=(0, 1))
    assert compare(benchmark).rows[0].temperature is None
    answers = Predictions.read(benchmark.folder / "a-s0" / "predictions.csv")
    answers.write(benchmark.folder / "a-s0" / "val_predictions.csv")
    row = compare(benchmark).rows[0]
    assert row.temperature is not None
    assert row.temperature > 3
    assert row.temperature_shown
    assert row.loss_tempered is not None
    assert row.loss_tempered < row.metrics["loss"].value - 0.3
    assert row.ece == pytest.approx(0.29)
    assert row.ece_null is not None
    assert row.ece > row.ece_null


def test_looks_are_counted_by_command(tmp_path: Path) -> None:
    """One look each at the end of training needs no names; a predict on test pictures is told of."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": LABELS, "b-s0": LABELS}, LABELS)
    columns = ("time", "by", "pictures")
    for name in ("a-s0", "b-s0"):
        row = {"time": "2026-01-01T00:00:00+00:00", "by": "train", "pictures": 300}
        files.append_row(benchmark.folder / name / "test_evaluations.csv", columns, row)
    assert (
        "Looks at the test pictures: one per model and seed, when it was finished"
        in narrate(compare(benchmark)).notes
    )
    row = {"time": "2026-01-02T00:00:00+00:00", "by": "predict", "pictures": 12}
    files.append_row(benchmark.folder / "a-s0" / "test_evaluations.csv", columns, row)
    found = compare(benchmark)
    assert [(look.model, look.by, look.times, look.pictures) for look in found.evaluations] == [
        ("a", "train", 1, 300),
        ("a", "predict", 1, 12),
        ("b", "train", 1, 300),
    ]
    assert any("a once (12 pictures) by predict" in note for note in narrate(found).notes)


def test_recall_per_class_has_an_interval(tmp_path: Path) -> None:
    """c misses 10 of each class's 100: 90 % within Wilson's limits; a class without pictures has no row."""
    found = compare(
        make_benchmark(
            tmp_path / "b", {"c-s0": wrong_on(*range(30))}, LABELS, classes=("x", "y", "z", "none")
        )
    )
    assert [(one.label, one.n, one.recall) for one in found.recalls] == [(name, 100, 0.9) for name in "xyz"]
    assert (found.recalls[0].low, found.recalls[0].high) == pytest.approx((0.8256, 0.9448), abs=1e-4)


def test_other_scores_differ_with_intervals(tmp_path: Path) -> None:
    """a's loss is lower than c's, and the interval of the difference leaves out 0."""
    pair = next(p for p in compare(three(tmp_path)).pairs if p.model_b == "c")
    loss = pair.differences["loss"]
    assert loss.low < loss.value < loss.high < 0


@pytest.mark.slow
def test_two_seeds_that_agree_by_luck_make_no_winner(tmp_path: Path) -> None:
    """Among three models the third's seeds lie 30 points apart: with two seeds each, that counts for all."""
    runs = {f"{m}-s{s}": wrong_on(*range(n)) for m, n in (("a", 5), ("b", 25)) for s in range(2)}
    (alone,) = compare(make_benchmark(tmp_path / "two", runs, LABELS)).pairs
    assert alone.distinguishable
    third = {"c-s0": wrong_on(*range(30)), "c-s1": wrong_on(*range(120))}
    found = compare(make_benchmark(tmp_path / "three", {**runs, **third}, LABELS))
    assert not next(p for p in found.pairs if p.model_b == "b").distinguishable
    assert any("is taken from all models together" in note for note in narrate(found).notes)
    assert any(note.startswith("Two or three seeds tell little") for note in narrate(found).notes)
