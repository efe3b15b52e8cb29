"""Rows, pairs, ranks and notes of made-up benchmarks."""

import json
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark, said

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import read_results
from vitbench.errors import UsageError
from vitbench.narrative.narrate import narrate
from vitbench.narrative.words import p_text, points
from vitbench.records import Predictions
from vitbench.reports.write import answers_frame

LABELS = [0] * 20 + [1] * 20 + [2] * 20


def wrong_on(*places: int) -> list[int]:
    """Answers that are right except on these pictures."""
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(LABELS)]


def pinned(folder: Path) -> Comparison:
    """52 both right, 3 only vit, 1 only swin, 4 neither."""
    runs = {"swin-s0": wrong_on(*range(7)), "vit-s0": wrong_on(*range(4), 7)}
    return compare(make_benchmark(folder / "b", runs, LABELS))


def test_verdict_of_the_pinned_example(tmp_path: Path) -> None:
    """Difference, interval, test, p-value and counts stand in one sentence; the better one comes first."""
    (pair,) = pinned(tmp_path).pairs
    assert said(pair) == (
        "vit and swin cannot be told apart on 60 test pictures: +3 points, 95 % interval [−5, +12]; "
        "vit alone right on 3, swin alone on 1 (exact McNemar p = 0.62)"
    )
    assert (pair.both, pair.a_only, pair.b_only, pair.neither) == (52, 3, 1, 4)


def test_indistinguishable_models_share_their_ranks(tmp_path: Path) -> None:
    """A tie is 1–2 for both, and the answer calls nobody best."""
    found = pinned(tmp_path)
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2)]
    assert narrate(found).answer.startswith(
        "vit and swin cannot be told apart on 60 test pictures: 88 to 92 % right"
    )


def test_a_clear_winner_is_named_with_whom_it_beats(tmp_path: Path) -> None:
    """20 net pictures: p < .001, ranks 1 and 2, and the answer says so."""
    found = compare(
        make_benchmark(tmp_path / "b", {"vit-s0": wrong_on(*range(20)), "swin-s0": LABELS}, LABELS)
    )
    assert narrate(found).answer == (
        "swin names 60 of 60 test pictures right (100 %, 95 % interval 94 to 100 %). "
        "It is better than vit by 33 points."
    )
    assert [row.rank for row in found.rows] == [(1, 1), (2, 2)]
    assert "swin is better than vit on 60 test pictures: +33 points" in narrate(found).verdicts[0]


def test_the_corrected_p_decides(tmp_path: Path) -> None:
    """Six net pictures win alone (p = .031) and not among fifteen pairs: borderline, said so."""
    two = {"a-s0": LABELS, "b-s0": wrong_on(*range(6))}
    assert compare(make_benchmark(tmp_path / "two", two, LABELS)).pairs[0].distinguishable
    others = {f"{m}-s0": wrong_on(*range(10 * i, 10 * i + 4)) for i, m in enumerate("cdef", 1)}
    six = compare(make_benchmark(tmp_path / "six", {**two, **others}, LABELS))
    pair = next(p for p in six.pairs if (p.model_a, p.model_b) == ("a", "b"))
    assert pair.p == pytest.approx(2 / 2**6)
    assert 0.05 < pair.p_adjusted < 15 * pair.p
    assert not pair.distinguishable
    assert pair.borderline
    assert said(pair).endswith("; borderline: this pair alone would be told apart, among all pairs it is not")


def test_rank_leaves_open_what_pairs_leave_open(tmp_path: Path) -> None:
    """A beats C, B ties with both: ranks 1–2, 1–3, 2–3."""
    runs = {"a-s0": LABELS, "b-s0": wrong_on(*range(5)), "c-s0": wrong_on(*range(10))}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    assert [row.rank for row in found.rows] == [(1, 2), (1, 3), (2, 3)]
    assert "It is better than c; from b these pictures cannot tell it apart." not in narrate(found).answer
    assert narrate(found).answer.startswith("a and b cannot be told apart")
    assert "; c did worse than at least one of them" in narrate(found).answer


def test_smallest_gap_counts_the_pairs_of_the_table(tmp_path: Path) -> None:
    """6 of 60 pictures; among three pairs up to 7, where all three take part in the correction."""
    assert "10 points or more (6 pictures)" in narrate(pinned(tmp_path)).gap
    runs = {"a-s0": LABELS, "b-s0": LABELS, "c-s0": LABELS}
    three = compare(make_benchmark(tmp_path / "three", runs, LABELS))
    assert "10 to 12 points or more (6 to 7 pictures)" in narrate(three).gap
    assert three.smallest_gap == pytest.approx(6 / 60)


def test_two_copies_tie(tmp_path: Path) -> None:
    """The same answers twice: difference 0, p = 1, an interval around 0, no winner."""
    (pair,) = compare(make_benchmark(tmp_path / "b", {"a-s0": LABELS, "b-s0": LABELS}, LABELS)).pairs
    assert (pair.difference, pair.p, pair.distinguishable) == (0.0, 1.0, False)
    assert pair.low < 0 < pair.high


def test_scores_can_be_recomputed_from_the_csv(tmp_path: Path) -> None:
    """Each row's scores are those of predictions.csv, read by the csv module alone."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": wrong_on(0, 25, 50, 51)}, LABELS)
    row = compare(benchmark).rows[0]
    table = files.read_csv(benchmark.folder / "vit-s0" / "predictions.csv")
    assert row.correct == sum(int(line["correct"]) for line in table) == 56
    assert row.metrics["loss"].value == pytest.approx(np.mean([float(line["loss"]) for line in table]))
    assert row.metrics["balanced_accuracy"].value == pytest.approx((19 / 20 + 19 / 20 + 18 / 20) / 3)


def test_failed_model_keeps_a_row_with_its_reason(tmp_path: Path) -> None:
    """The others are compared; the failed one stands last, named in the notes and in its CSV cell."""
    runs = {"vit-s0": "failed: out of memory; try --image-size 96", "swin-s0": LABELS}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    assert [(row.model, row.status) for row in found.rows] == [("swin", "finished"), ("vit", "failed")]
    assert [found.rows[1].cells()[name] for name in ("status", "reason")] == [
        "failed",
        "out of memory; try --image-size 96",
    ]
    assert found.rows[1].top1 is None
    assert found.pairs == ()
    assert any(note.startswith("vit failed: ") for note in narrate(found).notes)


def test_interrupted_and_new_runs_say_so(tmp_path: Path) -> None:
    """An interrupted run names its last epoch and the way on; a new one says that it was not started."""
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": "interrupted", "b-s0": "new"}, LABELS))
    assert [row.status for row in found.rows] == ["interrupted", "new"]
    assert "interrupted after epoch 3" in found.rows[0].reason
    assert "--resume" in found.rows[0].reason
    assert narrate(found).answer == "No model has a score yet: there is nothing to compare."


def test_damaged_predictions_fail_their_own_run_only(tmp_path: Path) -> None:
    """A finished run whose predictions lack a picture or are gone is named and not scored."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": LABELS, "b-s0": LABELS, "c-s0": LABELS}, LABELS)
    whole = benchmark.runs[0].predictions()
    cut = Predictions(whole.classes, whole.paths[1:], whole.labels[1:], whole.probabilities[1:])
    cut.write(benchmark.folder / "a-s0" / "predictions.csv")
    (benchmark.folder / "b-s0" / "predictions.csv").unlink()
    by_model = {row.model: row for row in compare(benchmark).rows}
    assert by_model["c"].top1 == 1.0
    assert "59 pictures of 60, 1 missing" in by_model["a"].reason
    assert "it is missing" in by_model["b"].reason


@pytest.mark.parametrize("name", ["metrics.json", "recipe.json"])
@pytest.mark.parametrize("content", ["", "{not JSON", "{}", "[1]"])
def test_damaged_json_fails_its_own_run_only(tmp_path: Path, name: str, content: str) -> None:
    """A finished run whose metrics or recipe are no such thing keeps a row whose reason names the file."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": LABELS, "b-s0": LABELS}, LABELS)
    (benchmark.folder / "a-s0" / name).write_text(content)
    last = compare(benchmark).rows[-1]
    assert (last.model, last.status, last.top1) == ("a", "failed", None)
    assert name in last.reason
    assert "\n" not in last.reason


def test_answers_are_joined_by_path_not_by_line(tmp_path: Path) -> None:
    """A run whose CSV has its lines and classes in another order gets the same row."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": wrong_on(0, 1), "b-s0": wrong_on(0, 1)}, LABELS)
    p = benchmark.runs[1].predictions()
    order, columns = np.arange(60)[::-1], [2, 0, 1]
    Predictions(
        tuple(p.classes[c] for c in columns),
        tuple(p.paths[i] for i in order),
        np.array([columns.index(int(label)) for label in p.labels[order]]),
        p.probabilities[order][:, columns],
    ).write(benchmark.folder / "b-s0" / "predictions.csv")
    found = compare(benchmark)
    assert found.pairs[0].both == 58
    assert found.rows[0].metrics["loss"].value == pytest.approx(found.rows[1].metrics["loss"].value)


def test_floor_is_the_most_frequent_training_class(tmp_path: Path) -> None:
    """Two of four training pictures are daisies: daisy is the majority, right on a third; loss of shares."""
    majority = pinned(tmp_path).majority
    assert majority is not None
    assert (majority.model, majority.correct) == ("majority (daisy)", 20)
    assert majority.metrics["loss"].value == pytest.approx(-(np.log(0.5) + 2 * np.log(0.25)) / 3)


def test_model_no_better_than_the_floor_is_named(tmp_path: Path) -> None:
    """Always answering one class proves nothing learned, and a note says so."""
    found = compare(make_benchmark(tmp_path / "b", {"vit-s0": [0] * 60, "swin-s0": LABELS}, LABELS))
    assert any(
        note.startswith("vit (33 %): no proof of having learned anything") for note in narrate(found).notes
    )


def test_a_model_that_finds_both_classes_of_an_uneven_test_part_has_learned(tmp_path: Path) -> None:
    """80 : 20 pictures, 80 % of each right: no more than always saying the first, and yet 80 % balanced."""
    labels = [0] * 80 + [1] * 20
    answers = [0] * 64 + [1] * 16 + [1] * 16 + [0] * 4
    found = compare(
        make_benchmark(tmp_path / "b", {"vit-s0": answers}, labels, classes=("a", "b"), train=labels)
    )
    assert found.majority is not None
    assert found.rows[0].top1 == found.majority.top1 == 0.8
    assert found.rows[0].chance_p == 0.001
    assert not any("no proof" in note for note in narrate(found).notes)


def test_several_seeds_give_means_and_the_two_way_interval(tmp_path: Path) -> None:
    """Three seeds: mean of the counts, standard deviation, t interval named, no exact counts in pairs."""
    runs = {f"a-s{s}": wrong_on(*range(s)) for s in range(3)} | {
        f"b-s{s}": wrong_on(*range(20)) for s in range(3)
    }
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    row = found.rows[0]
    assert (row.model, row.seeds, row.correct) == ("a", (0, 1, 2), 59.0)
    assert row.top1_std == pytest.approx(1 / 60)
    assert row.interval == found.pairs[0].method == "t over images × seeds"
    assert found.pairs[0].a_only is None
    assert found.pairs[0].distinguishable
    assert row.cells()["seeds"] == "0 1 2"


def test_missing_seed_makes_a_row_partial(tmp_path: Path) -> None:
    """One of two seeds failed: the row is scored on the other, and status and notes say so."""
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": LABELS, "a-s1": "failed: NaN loss"}, LABELS))
    row = found.rows[0]
    assert (row.status, row.seeds, row.reason) == ("partial", (0,), "seed 1: NaN loss")


def test_files_that_were_skipped_are_named(tmp_path: Path) -> None:
    """The first three with their reasons, the rest counted."""
    skipped = [{"path": f"daisy/{i}.jpg", "reason": "truncated"} for i in range(5)]
    found = compare(make_benchmark(tmp_path / "b", {"vit-s0": LABELS}, LABELS, skipped=skipped))
    named = ", ".join(f"daisy/{i}.jpg (truncated)" for i in range(3))
    assert (
        f"5 files were left out as unreadable: {named} and 2 more, all in benchmark.json"
        in narrate(found).notes
    )


def test_confounds_are_notes(tmp_path: Path) -> None:
    """Different pretraining pictures and a size off the native one are named, with the models."""
    notes = "\n".join(narrate(pinned(tmp_path)).notes)
    assert "swin on ImageNet-1k" in notes
    assert "vit on ImageNet-21k, then 1k" in notes
    assert "vit (64 px, made for 224)" in notes


@pytest.mark.parametrize("answers", [[0], [1]])
def test_one_test_picture(tmp_path: Path, answers: list[int]) -> None:
    """n = 1, right or wrong: a page of intervals, no gap that could show."""
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": answers, "b-s0": [0]}, [0]))
    assert found.smallest_gap is None
    assert "can show no gap between two models, however large" in narrate(found).gap
    assert found.pairs[0].p == 1.0
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["n_test"] == 1


def test_one_model_has_nothing_to_compare(tmp_path: Path) -> None:
    """The answer gives its score and says that there is no comparison."""
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": LABELS}, LABELS))
    assert narrate(found).answer.endswith("There is no other model to compare it with.")
    assert found.rows[0].rank == (1, 1)


def test_slide_rows_name_every_answer(tmp_path: Path) -> None:
    """predictions.csv of a benchmark: path, label, then answer and probability per tested run."""
    runs = {"vit-s0": wrong_on(0), "deit-s0": "failed: x", "swin-s0": LABELS}
    table = answers_frame(read_results(make_benchmark(tmp_path / "b", runs, LABELS)))
    assert list(table.columns) == [
        "path",
        "label",
        "vit-s0",
        "vit-s0_probability",
        "swin-s0",
        "swin-s0_probability",
    ]
    first = table.loc[0]
    assert first["label"] == first["swin-s0"] == "daisy"
    assert (first["vit-s0"], first["vit-s0_probability"]) == ("roses", 0.9)


def test_benchmarks_on_one_test_set_are_one_table(tmp_path: Path) -> None:
    """Names that occur twice carry their benchmark; pictures are matched by content, not by path."""
    a = make_benchmark(tmp_path / "a", {"vit-s0": wrong_on(0)}, LABELS)
    b = make_benchmark(
        tmp_path / "b", {"vit-s0": wrong_on(0)}, LABELS, paths=[f"q/{i}.jpg" for i in range(60)]
    )
    found = compare([a, b])
    assert [row.model for row in found.rows] == ["a/vit", "b/vit"]
    assert found.pairs[0].both == 59


def test_different_test_pictures_are_refused_with_the_difference(tmp_path: Path) -> None:
    """The message counts the pictures that only one of them has and names one."""
    a = make_benchmark(tmp_path / "a", {"vit-s0": LABELS}, LABELS)
    b = make_benchmark(tmp_path / "b", {"vit-s0": LABELS[:-1]}, LABELS[:-1])
    with pytest.raises(UsageError, match=r"1 of 60 only in a, such as tulips/59\.jpg; none of 59 only in b"):
        compare([a, b])


def test_different_classes_are_refused_by_name(tmp_path: Path) -> None:
    """The classes that only one of them has are named."""
    a = make_benchmark(tmp_path / "a", {"vit-s0": [0]}, [0])
    b = make_benchmark(tmp_path / "b", {"vit-s0": [0]}, [0], classes=("daisy", "roses", "cats"))
    with pytest.raises(UsageError, match=r"only a has 'tulips'; only b has 'cats'"):
        compare([a, b])


def test_numbers_in_words() -> None:
    """Signed points with a true minus; p-values to two digits."""
    assert [points(x, 60) for x in (0.0333, -0.048, 0.0, -0.0001)] == ["+3", "−5", "0", "−0.01"]
    assert [p_text(p) for p in (0.625, 1.0, 0.05, 0.0001)] == ["p = 0.62", "p = 1", "p = 0.05", "p < 0.001"]
