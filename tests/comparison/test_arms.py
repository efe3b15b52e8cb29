"""Arms: the same models trained in different ways, paired on their own model and grouped by model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fabricate import in_arm, make_benchmark, note, rewrite

from vitbench import files
from vitbench.comparison.arms import arm_by_arm, arm_means
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark, PlannedRun

LABELS = [0] * 20 + [1] * 20 + [2] * 20


def wrong_on(n: int, first: int = 0) -> list[int]:
    """Answers that are right except on n pictures."""
    return [(label + 1) % 3 if first <= i < first + n else label for i, label in enumerate(LABELS)]


def arms(folder: Path, answers: dict[str, Any], among: Sequence[str] = ("scratch", "distill")) -> Benchmark:
    """A benchmark in which each run of one of these arms says so."""
    benchmark = make_benchmark(folder, answers, LABELS)
    for run in benchmark.runs:
        arm, _, model = run.model.partition("-")
        if arm in among and run.status == "finished":
            in_arm(run, arm, model)
    return benchmark


BOTH = {
    "vit-s0": wrong_on(12),
    "swin-s0": wrong_on(14),
    "distill-vit-s0": wrong_on(2),
    "distill-swin-s0": wrong_on(6, 40),
    "teacher_net-s0": wrong_on(1),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(arms(tmp_path_factory.mktemp("arms") / "b", BOTH))


def test_rows_name_their_arm_and_what_it_trains(both: Comparison) -> None:
    """A run without an arm trains what it is called, one with an arm the model behind it."""
    assert [(row.model, row.arm, row.of) for row in both.rows] == [
        ("teacher_net", "", "teacher_net"),
        ("distill-vit", "distill", "vit"),
        ("distill-swin", "distill", "swin"),
        ("vit", "", "vit"),
        ("swin", "", "swin"),
    ]
    assert [both.rows[1].cells()[name] for name in ("arm", "trains")] == ["distill", "vit"]


def test_the_same_two_runs_have_one_p_value(both: Comparison) -> None:
    """One pair per model, none between models, each just as it stands among the table's ten."""
    assert {(pair.model_a, pair.model_b) for pair in both.arms} == {
        ("distill-vit", "vit"),
        ("distill-swin", "swin"),
    }
    assert len(both.pairs) == 10
    for pair in both.arms:
        among_all = next(p for p in both.pairs if (p.model_a, p.model_b) == (pair.model_a, pair.model_b))
        assert pair == among_all
        assert pair.family == 10


def test_no_page_says_both_better_and_not_distinguishable(tmp_path: Path) -> None:
    """Six net pictures among six pairs: p = .031 alone, and one verdict wherever the two arms are named."""
    told = {
        "vit-s0": wrong_on(6),
        "distill-vit-s0": wrong_on(0),
        "swin-s0": wrong_on(3, 30),
        "cait-s0": LABELS,
    }
    found = compare(arms(tmp_path / "b", told))
    (arm,) = found.arms
    twin = next(p for p in found.pairs if {p.model_a, p.model_b} == {"vit", "distill-vit"})
    assert (arm.kind, arm.p_adjusted) == (twin.kind, twin.p_adjusted)
    (sentence,) = narrate(found).arm_verdicts
    assert sentence.split(" on ")[0].endswith("better than plain") == (twin.kind == "better")


def test_verdicts_of_arms_name_model_and_arms(both: Comparison) -> None:
    """The model leads, then the two ways; the one without a name is plain."""
    told = zip(both.arms, narrate(both).arm_verdicts, strict=True)
    vit = next(sentence for pair, sentence in told if pair.model_b == "vit")
    assert vit.startswith(
        "vit: distill is better than plain on 60 test pictures: +17 points, 95 % interval ["
    )
    assert "; distill alone right on 10, plain alone on 0 (" in vit
    assert "corrected for 10 pairs" in vit


def test_best_is_said_only_where_it_is_shown(both: Comparison) -> None:
    """vit's distilled arm wins its pair and is best; swin's leads by 8 pictures (14 against 6) and is not."""
    best = {model.model: model.best for model in arm_by_arm(both.rows, both.arms)}
    assert best == {"vit": "distill", "swin": None}


def test_best_of_three_beats_both_others(tmp_path: Path) -> None:
    """An arm that leads one of two others only by luck is not the best one."""
    told = {
        "vit-s0": wrong_on(20),
        "scratch-vit-s0": wrong_on(4),
        "distill-vit-s0": wrong_on(3),
    }
    found = compare(arms(tmp_path / "b", told))
    assert len(found.arms) == 3
    assert [model.best for model in arm_by_arm(found.rows, found.arms)] == [None]


def test_means_stand_only_where_every_arm_has_every_model(both: Comparison, tmp_path: Path) -> None:
    """A plain mean over models; an arm without one of them, or a single model, has none."""
    means = arm_means(arm_by_arm(both.rows, both.arms))
    assert means == {"distill": pytest.approx((58 + 54) / 120), "": pytest.approx((48 + 46) / 120)}
    fewer = {**BOTH, "scratch-vit-s0": LABELS}
    missing = compare(arms(tmp_path / "fewer", fewer))
    assert arm_means(arm_by_arm(missing.rows, missing.arms)) == {}
    alone = {name: told for name, told in BOTH.items() if "swin" not in name}
    one = compare(arms(tmp_path / "alone", alone))
    assert arm_means(arm_by_arm(one.rows, one.arms)) == {}


def test_a_failed_arm_keeps_its_place(tmp_path: Path) -> None:
    """It is not paired, its row stands beside the others."""
    benchmark = arms(tmp_path / "b", {**BOTH, "scratch-vit-s0": "interrupted"})
    note(benchmark.runs[-1], arm="scratch", network="vit")
    found = compare(benchmark)
    assert len(found.arms) == 2
    vit = next(model for model in arm_by_arm(found.rows, found.arms) if model.model == "vit")
    assert vit.rows["scratch"].status == "interrupted"
    assert vit.best == "distill"


def test_a_name_that_folders_cannot_hold_is_the_same_model(tmp_path: Path) -> None:
    """Runs of a hub's model are called what it is called, whatever their folders are; they are paired."""
    runs = [PlannedRun.of("hf-hub:x/y", 0), PlannedRun.of("hf-hub:x/y", 0, "distill")]
    assert [run.name for run in runs] == ["hf-hub_x_y-s0", "distill-hf-hub_x_y-s0"]
    said = {runs[0].name: LABELS, runs[1].name: wrong_on(9)}
    rows = [dataclasses.asdict(run) for run in runs]
    benchmark = make_benchmark(tmp_path / "b", said, LABELS)
    files.write_json(benchmark.folder / "benchmark.json", {**benchmark.manifest, "runs": rows})
    assert [(pair.model_a, pair.model_b) for pair in compare(benchmark).arms] == [
        ("hf-hub:x/y", "distill-hf-hub:x/y")
    ]


def test_several_seeds_are_compared_over_images_and_seeds(tmp_path: Path) -> None:
    """Arm pairs use the method that is there for models."""
    seeds = {
        f"{name}-s{seed}": wrong_on(n + seed)
        for name, n in (("vit", 12), ("distill-vit", 2))
        for seed in (0, 1)
    }
    found = compare(arms(tmp_path / "b", seeds)).arms
    assert [pair.method for pair in found] == ["t over images × seeds"]


def test_benchmarks_with_the_same_arms_stay_apart(tmp_path: Path) -> None:
    """One benchmark's plain vit meets another's distilled one; the same arm twice is no pair of arms."""
    plain = make_benchmark(tmp_path / "plain", {"vit-s0": wrong_on(12)}, LABELS)
    taught = arms(tmp_path / "taught", {"distill-vit-s0": wrong_on(2)})
    again = arms(tmp_path / "again", {"distill-vit-s0": wrong_on(3), "vit-s0": wrong_on(9)})
    told = narrate(compare([plain, taught])).arm_verdicts
    assert [sentence[:31] for sentence in told] == ["vit: distill is better than pla"]
    apart = compare([plain, taught, again]).arms
    assert [(pair.model_a, pair.model_b) for pair in apart] == [("again/distill-vit", "again/vit")]
    assert compare(plain).arms == ()


def test_notes_say_what_arms_differ_in(tmp_path: Path) -> None:
    """What each arm has for itself is called part of the comparison; budgets that differ are still named."""
    benchmark = arms(tmp_path / "b", {name: BOTH[name] for name in list(BOTH)[:4]})
    for run in benchmark.runs[2:]:
        rewrite(run, about={}, recipe={"name": "deit", "epochs": 9})
    notes = narrate(compare(benchmark)).notes
    assert any(
        note.startswith("Arm against arm: the same model trained in different ways, 2 pairs")
        for note in notes
    )
    assert (
        "The arms differ in recipe (distill: deit, plain: finetune): part of what arm against arm compares"
        in notes
    )
    assert any(note.startswith("Trained with different epochs (vit and swin: 3") for note in notes)


def test_a_recipe_that_differs_inside_an_arm_is_no_mark_of_arms(tmp_path: Path) -> None:
    """Where two plain models have different recipes, the models differ, not the arms."""
    benchmark = arms(tmp_path / "b", BOTH)
    rewrite(benchmark.runs[0], about={}, recipe={"name": "deit"})
    notes = narrate(compare(benchmark)).notes
    assert any(note.startswith("The models differ in recipe (") for note in notes)
    assert not any(note.startswith("The arms differ") for note in notes)
