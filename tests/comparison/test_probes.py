"""Probes beside fine-tuned models, probes alone, and folds: rows, pairs and notes."""

import json
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark, note, write_recipe

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import read_results
from vitbench.comparison.seeds import NO_SEED, seed_parts, seeds_difference
from vitbench.narrative.narrate import narrate
from vitbench.narrative.resolution import parts_text
from vitbench.records import Benchmark
from vitbench.reports.write import answers_frame

LABELS = [0] * 20 + [1] * 20 + [2] * 20


def wrong_on(*places: int) -> list[int]:
    """Answers that are right except on these pictures."""
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(LABELS)]


MODELS = {"vit-s0": wrong_on(*range(4), 7), "swin-s0": wrong_on(*range(10))}
BESIDE = {"vit-probe-s0": wrong_on(*range(12)), "swin-probe-s0": LABELS}
"""vit gains 7 pictures over its probe, swin loses 10."""


def both(folder: Path) -> Comparison:
    return compare(make_benchmark(folder / "both", {**BESIDE, **MODELS}, LABELS))


def test_probes_do_not_change_the_main_question(tmp_path: Path) -> None:
    """Pairs, ranks, answer and smallest gap are those of the benchmark without its probes."""
    with_probes, without = both(tmp_path), compare(make_benchmark(tmp_path / "b", MODELS, LABELS))
    assert with_probes.pairs == without.pairs
    assert with_probes.gaps == without.gaps
    assert narrate(with_probes).answer == narrate(without).answer
    ranks = {row.model: row.rank for row in without.rows}
    assert {row.model: row.rank for row in with_probes.rows if not row.probe_of} == ranks
    assert without.probes == ()


def test_a_probe_stands_below_its_model_without_a_rank(tmp_path: Path) -> None:
    """The rows are by accuracy of the models; each probe follows its own, with its scores."""
    rows = both(tmp_path).rows
    assert [row.model for row in rows] == ["vit", "vit-probe", "swin", "swin-probe"]
    assert [row.probe_of for row in rows] == ["", "vit", "", "swin"]
    assert [row.rank for row in rows[1::2]] == [None, None]
    assert [row.correct for row in rows] == [55, 48, 50, 60]
    assert rows[1].seconds_per_epoch is None
    assert rows[1].train_loss is None


def test_each_model_meets_its_own_probe(tmp_path: Path) -> None:
    """Exact McNemar on the same pictures; the better one first; corrected over these two pairs alone."""
    found = both(tmp_path)
    assert [(pair.model_a, pair.model_b) for pair in found.probes] == [
        ("vit", "vit-probe"),
        ("swin-probe", "swin"),
    ]
    vit, swin = found.probes
    assert (vit.both, vit.a_only, vit.b_only, vit.neither) == (48, 7, 0, 5)
    assert vit.p == 2 / 2**7
    assert (vit.family, vit.correction) == (2, "step-down sign flips")
    assert vit.p_adjusted == vit.p  # the larger of the two
    assert swin.p <= swin.p_adjusted <= 2 * swin.p
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["probes"][1]["p"] == swin.p


def test_a_model_that_loses_to_its_probe_is_seen(tmp_path: Path) -> None:
    """Ten pictures behind: the sentence begins with that and ends with what to do."""
    assert narrate(both(tmp_path)).probe_verdicts[1] == (
        "swin is worse than its own frozen probe on 60 test pictures: −17 points, 95 % interval [−28, −7]; "
        "swin-probe alone right on 10, swin alone on 0 (exact McNemar p = 0.002, the same corrected for 2 "
        "pairs); "
        "the probe learned from val, too; use the probe, or tune (--tune 3)"
    )


def test_a_model_that_gains_over_its_probe_is_better(tmp_path: Path) -> None:
    """The difference is the fine-tuned model's gain."""
    verdict = narrate(both(tmp_path)).probe_verdicts[0]
    assert verdict.startswith("vit is better than its own frozen probe on 60 test pictures: +12 points, ")


@pytest.mark.parametrize(("probe", "gain"), [(LABELS, "−2"), (wrong_on(0, 1, 2), "+3"), (wrong_on(0), "0")])
def test_a_tie_with_the_probe_says_what_is_not_shown(tmp_path: Path, probe: list[int], gain: str) -> None:
    """Not distinguishable, whoever leads: the gain with its sign, and that it may not pay."""
    runs = {"vit-probe-s0": probe, "vit-s0": wrong_on(0)}
    (told,) = narrate(compare(make_benchmark(tmp_path / "b", runs, LABELS))).probe_verdicts
    start = f"vit cannot be told apart from its own frozen probe on 60 test pictures: {gain} points, "
    assert told.startswith(start)
    assert told.endswith("; fine-tuning has not been shown to pay here")


def test_several_seeds_meet_the_probe_as_a_mean(tmp_path: Path) -> None:
    """Both seeds count, and their spread widens the interval; the probe has none, for it has no seed."""
    runs = {"vit-probe-s0": LABELS, "vit-s0": wrong_on(*range(4)), "vit-s1": wrong_on(0, 1)}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    (pair,) = found.probes
    assert pair.method == "t over images × seeds"
    assert pair.difference == pytest.approx(3 / 60)
    tuned = np.ones((2, 60), dtype=bool)
    tuned[0, :4] = tuned[1, :2] = False
    expected = seeds_difference(np.ones((1, 60), dtype=bool), tuned, seeds=(NO_SEED, *seed_parts([tuned])))
    assert (pair.low, pair.high, pair.p) == (expected.low, expected.high, expected.p)
    assert "−5 points" in narrate(found).probe_verdicts[0]
    assert not any("one training only" in note for note in narrate(found).notes)


def test_notes_beside_probes_make_sense(tmp_path: Path) -> None:
    """One note says what a probe is; none takes it for a model trained otherwise, or names it twice."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-probe-s0": LABELS, "vit-s0": LABELS}, LABELS)
    for name in ("vit-probe-s0", "vit-s0"):
        path = benchmark.folder / name / "metrics.json"
        files.write_json(path, {**files.read_json(path), "notes": ["windows of 4"]})
    notes = narrate(compare(benchmark)).notes
    text = "\n".join(notes)
    assert sum(note.startswith("A probe ranks frozen features") for note in notes) == 1
    assert "One training each" in text
    assert "vit: windows of 4" in notes
    assert not any(word in text for word in ("Trained with different", "differ in recipe", "vit-probe"))


def test_a_probe_without_its_model_keeps_its_row(tmp_path: Path) -> None:
    """The fine-tuned run failed: nothing to compare, the probe's scores stand below it."""
    runs = {"vit-probe-s0": LABELS, "vit-s0": "failed: x"}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    assert [(row.model, row.top1) for row in found.rows] == [("vit", None), ("vit-probe", 1.0)]
    assert found.probes == found.pairs == ()
    assert narrate(found).answer.startswith("No model has a score yet")
    assert narrate(found).advice == ""


@pytest.mark.parametrize("state", ["new", "failed: no memory", "interrupted"])
def test_a_probe_that_has_not_ended_is_no_competitor(tmp_path: Path, state: str) -> None:
    """Without a recipe on disk the name tells: its row is the probe's, with its state."""
    runs = {"vit-probe-s0": state, "vit-s0": LABELS}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS))
    assert [(row.model, row.probe_of) for row in found.rows] == [("vit", ""), ("vit-probe", "vit")]
    assert found.rows[1].status == state.partition(":")[0]
    assert "epoch" not in found.rows[1].reason


def test_a_model_that_is_only_called_so_competes(tmp_path: Path) -> None:
    """What is noted of it decides: a fine-tuned model of that name is ranked."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-probe-s0": LABELS, "vit-s0": LABELS}, LABELS)
    write_recipe(benchmark.folder / "vit-probe-s0", benchmark.classes)
    note(benchmark.runs[0], network="vit-probe", probe_of="")
    found = compare(benchmark)
    assert found.probes == ()
    assert len(found.pairs) == 1


def test_two_benchmarks_keep_probes_with_their_models(tmp_path: Path) -> None:
    """Names that occur twice carry their benchmark, the probe's too."""
    a = make_benchmark(tmp_path / "a", {"vit-probe-s0": LABELS, "vit-s0": LABELS}, LABELS)
    b = make_benchmark(tmp_path / "b", {"vit-s0": wrong_on(0)}, LABELS)
    found = compare([a, b])
    assert [row.model for row in found.rows] == ["a/vit", "a/vit-probe", "b/vit"]
    assert [(pair.model_a, pair.model_b) for pair in found.probes] == [("a/vit", "a/vit-probe")]
    assert len(found.pairs) == 1


def test_the_slide_has_the_probes_columns(tmp_path: Path) -> None:
    """predictions.csv of the benchmark has every tested run."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-probe-s0": LABELS, "vit-s0": LABELS}, LABELS)
    assert {"vit-s0", "vit-probe-s0"} <= set(answers_frame(read_results(benchmark)).columns)


# --- probes alone ---------------------------------------------------------------------------------


def alone(folder: Path, **more: object) -> Comparison:
    return compare(make_benchmark(folder / "alone", MODELS, LABELS, probe=True, **more))


def test_probes_alone_are_candidates_like_any(tmp_path: Path) -> None:
    """`vitbench probe`: ranks, pairs and an answer; nothing is beside anything."""
    found = alone(tmp_path)
    assert len(found.pairs) == 1
    assert found.probes == ()
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2)]
    assert narrate(found).answer.startswith("vit and swin cannot be told apart")


def test_notes_of_probes_alone_are_true(tmp_path: Path) -> None:
    """No seed variation is claimed to be missing, for a probe has no seed."""
    text = "\n".join(narrate(alone(tmp_path)).notes)
    assert "One training each" not in text
    assert "A probe has no seed of its own" in text
    assert "A probe ranks frozen features" in text
    assert "Trained with different" not in text


def test_a_probe_against_a_fine_tuned_model_of_another_benchmark(tmp_path: Path) -> None:
    """Two benchmarks on the same pictures: the recipes differ, said once, and no budget of 0 epochs."""
    probes = make_benchmark(tmp_path / "p", {"vit-s0": LABELS}, LABELS, probe=True)
    tuned = make_benchmark(tmp_path / "t", {"vit-s0": LABELS}, LABELS)
    text = "\n".join(narrate(compare([tuned, probes])).notes)
    assert "The models differ in recipe (finetune, probe)" in text
    assert "Trained with different" not in text


# --- folds ----------------------------------------------------------------------------------------


def folded(folder: Path, **more: object) -> Benchmark:
    return make_benchmark(folder / "folded", MODELS, LABELS, folds=5, **more)


def test_folds_are_counted_and_explained(tmp_path: Path) -> None:
    """All 60 pictures are reported on; one note says what that means, and how it is corrected."""
    found = compare(folded(tmp_path))
    assert (found.folds, found.n_test) == (5, 60)
    (note,) = [note for note in narrate(found).notes if "out-of-fold" in note]
    assert "Each of the 60 pictures was answered once" in note
    assert "A row is 5 models" in note
    assert "2.25 times as large" in note


def test_the_floor_of_folds_is_over_all_pictures(tmp_path: Path) -> None:
    """No row of split.csv says "train"; the majority is the most frequent class of all pictures."""
    labels = [0, 1, 1, 1, 2]
    runs = {"vit-s0": labels}
    majority = compare(make_benchmark(tmp_path / "b", runs, labels, folds=5)).majority
    assert majority is not None
    assert (majority.model, majority.correct) == ("majority (roses)", 3)


def test_which_pictures_were_trained_on_is_said_as_it_is(tmp_path: Path) -> None:
    """One split, folds, and probes: three different sentences, with the manifest's numbers."""
    split = {"rule": "r", "digest": "d", "notes": [], "n_train": 41, "n_val": 7, "n_test": 60}
    plain = compare(make_benchmark(tmp_path / "p", MODELS, LABELS, split=split))
    assert parts_text(plain) == (
        "Trained on 41 pictures, the epoch chosen on 7, reported on 60 that took no part in either"
    )
    folds = compare(folded(tmp_path, split={**split, "folds": 5}))
    assert parts_text(folds) == (
        "5 folds: each model trained on about 41 pictures, the epoch chosen on about 7; "
        "together they report on all 60, each picture once"
    )
    probes = alone(tmp_path, split=split)
    assert parts_text(probes) == (
        "Fitted to the frozen features of 48 pictures, reported on 60 that took no part in it"
    )


def test_an_interrupted_fold_is_named(tmp_path: Path) -> None:
    """The run's own epochs.csv is not there yet: the fold's tells how far it came."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": "interrupted"}, LABELS, folds=5)
    run = benchmark.runs[0].folder
    (run / "fold-1").mkdir()
    (run / "fold-2").mkdir()
    (run / "epochs.csv").rename(run / "fold-2" / "epochs.csv")
    assert "interrupted in fold 2 after epoch 3;" in compare(benchmark).rows[0].reason
