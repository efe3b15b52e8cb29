"""Lessons: agreement with teacher and truth, heads alone, the twin without a teacher, gain and price."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fabricate import distil, in_arm, make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Distilled
from vitbench.inference.metrics import wilson
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark

LABELS = [0] * 20 + [1] * 20 + [2] * 20


def wrong_on(*places: int) -> list[int]:
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(LABELS)]


TEACHER = wrong_on(*range(4))
PLAIN = wrong_on(*range(2, 12))
"""8 pictures wrong that the teacher has right; right on two that it has wrong."""
STUDENT = wrong_on(*range(3), 50)
CLS, DIST = wrong_on(*range(3), 50, 51), wrong_on(*range(4), 50)


def distilled_benchmark(
    folder: Path,
    students: Sequence[Sequence[int]] = (STUDENT,),
    token: bool = True,
    teacher_run: str = "net-s0",
) -> Benchmark:
    """A teacher, a plain vit in 10 s per epoch, and a distilled one in 15 s; a seed per student."""
    runs: dict[str, Sequence[int]] = {"net-s0": TEACHER}
    for seed, student in enumerate(students):
        runs |= {f"vit-s{seed}": PLAIN, f"distill-vit-s{seed}": student}
    benchmark = make_benchmark(folder, runs, LABELS)
    for run in benchmark.runs[1:]:
        if run.model == "vit":
            in_arm(run, "", "vit", seconds=10.0, seed=run.seed)
            continue
        in_arm(run, "distill", "vit", seconds=15.0, seed=run.seed)
        heads = {"cls": CLS, "dist": DIST} if token else {}
        distil(run, {**heads, "teacher": TEACHER}, teacher_run)
    return benchmark


def only(benchmark: Benchmark) -> Distilled:
    (distilled,) = compare(benchmark).distillation
    return distilled


def test_shares_are_counted_from_the_files(tmp_path: Path) -> None:
    """Each share is a count over 60 pictures with Wilson's interval."""
    distilled = only(distilled_benchmark(tmp_path / "b"))
    counted = {
        "right": 56,  # wrong on 0, 1, 2 and 50
        "agrees": 58,  # not on 3, where the teacher is wrong, nor on 50
        "cls_right": 55,
        "cls_agrees": 57,
        "dist_right": 55,
        "dist_agrees": 59,
        "teacher_right": 56,
        "baseline_right": 50,
        "baseline_agrees": 50,  # not on 0 and 1, nor on 4 to 11
    }
    for name, count in counted.items():
        share = getattr(distilled, name)
        assert share.value == pytest.approx(count / 60), name
        assert (share.low, share.high) == pytest.approx(wilson(count, 60)), name
    assert distilled.n == 60


def test_gain_and_price_are_against_the_twin(tmp_path: Path) -> None:
    """The gain is the arms' pair seen from the student; the price is seconds over seconds."""
    comparison = compare(distilled_benchmark(tmp_path / "b"))
    (distilled,), (pair,) = comparison.distillation, comparison.arms
    assert distilled.baseline == "vit"
    assert distilled.gain is not None
    assert (distilled.gain.value, distilled.gain.low, distilled.gain.high) == pair.gain_of("distill-vit")
    assert distilled.gain.value == pytest.approx(0.1)
    assert (distilled.seconds_per_epoch, distilled.baseline_seconds_per_epoch, distilled.price) == (
        15.0,
        10.0,
        1.5,
    )


def test_a_distillation_row_says_how_it_was_distilled(tmp_path: Path) -> None:
    """Teacher, its run, kind, weight and way come from recipe.json."""
    distilled = only(distilled_benchmark(tmp_path / "b"))
    assert (distilled.model, distilled.arm, distilled.of) == ("distill-vit", "distill", "vit")
    assert (distilled.teacher, distilled.teacher_run) == ("net-s0", "net-s0")
    assert (distilled.kind, distilled.alpha, distilled.through) == ("hard", 0.5, "token")


def test_a_student_without_a_token_has_no_heads_alone(tmp_path: Path) -> None:
    """Only its answer is there; a teacher from elsewhere has no run here."""
    distilled = only(distilled_benchmark(tmp_path / "b", token=False, teacher_run=""))
    assert (
        distilled.cls_right is distilled.cls_agrees is distilled.dist_right is distilled.dist_agrees is None
    )
    assert (distilled.through, distilled.teacher_run) == ("logits", "")
    assert distilled.agrees.value == pytest.approx(58 / 60)


def test_seeds_share_one_teacher(tmp_path: Path) -> None:
    """Shares are means over images and seeds, the teacher's is one run's; a note says what is left out."""
    other = wrong_on(*range(3), 50, 51, 52)
    comparison = compare(distilled_benchmark(tmp_path / "b", students=(STUDENT, other)))
    (distilled,) = comparison.distillation
    assert distilled.one_teacher
    assert distilled.agrees.value == pytest.approx((58 + 56) / 120)
    row = next(row for row in comparison.rows if row.model == "distill-vit")
    assert distilled.right.value == pytest.approx(row.top1)
    assert (distilled.right.low, distilled.right.high) == (row.top1_low, row.top1_high)
    assert (distilled.teacher_right.low, distilled.teacher_right.high) == pytest.approx(wilson(56, 60))
    assert any("learned from one and the same teacher" in note for note in narrate(comparison).notes)


def test_the_twin_is_the_one_trained_most_alike(tmp_path: Path) -> None:
    """Of two runs without a teacher the one from random weights is the twin of a student from them."""
    runs = {"vit-s0": PLAIN, "scratch-vit-s0": PLAIN, "swin-s0": PLAIN, "distill-vit-s0": STUDENT}
    benchmark = make_benchmark(tmp_path / "b", runs, LABELS)
    in_arm(benchmark.runs[1], "scratch", "vit", init={"kind": "random"}, epochs=30)
    in_arm(benchmark.runs[3], "distill", "vit", init={"kind": "random"}, epochs=30)
    distil(benchmark.runs[3], {"teacher": TEACHER})
    assert only(benchmark).baseline == "scratch-vit"


def test_no_twin_no_gain(tmp_path: Path) -> None:
    """A distilled model alone, without any arm, is told without a comparison."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": STUDENT, "swin-s0": PLAIN}, LABELS)
    distil(benchmark.runs[0], {"teacher": TEACHER})
    distilled = only(benchmark)
    assert (distilled.baseline, distilled.gain, distilled.baseline_agrees, distilled.price) == (
        "",
        None,
        None,
        None,
    )


def test_order_of_the_heads_file_does_not_matter(tmp_path: Path) -> None:
    """Answers are found by path."""
    benchmark = distilled_benchmark(tmp_path / "b")
    path = benchmark.runs[2].folder / "heads.csv"
    before = only(benchmark)
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, *reversed(rows)]) + "\n", encoding="utf-8")
    assert only(benchmark) == before


@pytest.mark.parametrize("damage", ["missing", "short", "stranger"])
def test_without_a_fitting_heads_file_there_is_no_lesson(tmp_path: Path, damage: str) -> None:
    """The comparison stands, and a note says what is not shown."""
    benchmark = distilled_benchmark(tmp_path / "b")
    path = benchmark.runs[2].folder / "heads.csv"
    text = path.read_text(encoding="utf-8")
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_text("\n".join(text.splitlines()[:5]) + "\n", encoding="utf-8")
    else:
        path.write_text(text.replace("tulips", "orchids"), encoding="utf-8")
    comparison = compare(benchmark)
    assert comparison.distillation == ()
    assert len(comparison.arms) == 1
    assert any(
        note.startswith("distill-vit: heads.csv is missing or does not fit")
        for note in narrate(comparison).notes
    )


def test_groups_count_as_one(tmp_path: Path) -> None:
    """Pictures that stand together widen the interval of agreement as they do that of accuracy."""
    benchmark = make_benchmark(
        tmp_path / "b", {"vit-s0": STUDENT}, LABELS, groups=[str(i // 4) for i in range(60)]
    )
    distil(benchmark.runs[0], {"teacher": PLAIN})
    distilled = only(benchmark)
    low, high = wilson(round(60 * distilled.agrees.value), 60)
    assert distilled.agrees.high - distilled.agrees.low > high - low


def test_the_price_of_a_teacher_is_noted(tmp_path: Path) -> None:
    """Its forward passes are in the seconds per epoch, its training is not; said only with lessons."""
    assert any(
        note.startswith("A teacher is no free lunch")
        for note in narrate(compare(distilled_benchmark(tmp_path / "b"))).notes
    )
    plain = make_benchmark(tmp_path / "plain", {"vit-s0": PLAIN, "swin-s0": STUDENT}, LABELS)
    assert not any("teacher" in note for note in narrate(compare(plain)).notes)
