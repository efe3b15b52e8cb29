"""Advice: which rule speaks, with which numbers, and when it keeps silent."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from fabricate import make_benchmark

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.power import safely_planned
from vitbench.narrative.narrate import narrate
from vitbench.narrative.words import rounded
from vitbench.records import Benchmark

N = 100
LABELS = [0] * N + [1] * N + [2] * N
"""300 test pictures: gaps from 2 points on can show, so that a test part is not what matters."""
TRAIN = [0] * 10 + [1] * 10 + [2] * 10


def wrong(count: int, start: int = 0, step: int = 3) -> list[int]:
    """Answers with `count` mistakes, spread over the classes; the next class is answered instead."""
    places = {start + k * step for k in range(count)}
    return [(label + 1) % 3 if i in places else label for i, label in enumerate(LABELS)]


def advice(folder: Path, runs: dict[str, Any], labels: list[int] = LABELS, **more: Any) -> str:
    return narrate(compare(make_benchmark(folder / "b", runs, labels, **{"train": TRAIN, **more}))).advice


def trained(benchmark: Benchmark, run: str, top1: float | None) -> None:
    """Write another training accuracy into a run."""
    path = benchmark.folder / run / "metrics.json"
    files.write_json(path, {**files.read_json(path), "train": {"loss": 0.1, "top1": top1}})


def test_no_advice_where_no_rule_applies(tmp_path: Path) -> None:
    """One model, nearly all right, on many pictures: nothing is said."""
    assert advice(tmp_path, {"vit-s0": wrong(2)}) == ""


def test_a_small_test_part_calls_for_folds(tmp_path: Path) -> None:
    """60 of 90 pictures tested: 10 points can show, --folds 5 would report on all 90."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    text = advice(tmp_path, {"vit-s0": labels}, labels)
    assert text == "60 test pictures can show no gap under 10 points: --folds 5 would report on all 90."


def test_folds_are_as_many_as_the_smallest_class_allows(tmp_path: Path) -> None:
    """Three groups of a class (training pictures of these tests are one group): --folds 4."""
    labels = [0] * 3 + [1] * 20 + [2] * 20
    assert "--folds 4 would report on all 73" in advice(tmp_path, {"vit-s0": labels}, labels)
    labels = [0] + [1] * 20 + [2] * 20
    assert "--folds" not in advice(tmp_path / "2", {"vit-s0": labels}, labels)


@pytest.mark.parametrize(
    ("more", "gap", "times"),
    [({"folds": 5}, 17, 2.25), ({"rule": "train/, val/ and test/ as they are on disk"}, 10, 1)],
)
def test_no_folds_where_there_are_folds_or_the_test_part_was_brought(
    tmp_path: Path, more: dict[str, Any], gap: int, times: float
) -> None:
    """More pictures are what is left: as many as 5 points take with 80 % power; of one model, no number."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    text = advice(tmp_path, {"vit-s0": labels}, labels, **more)
    assert text == f"60 test pictures can show no gap under {gap} points: more can show smaller ones."
    text = advice(tmp_path / "2", {"vit-s0": labels, "swin-s0": [1, *labels[1:]]}, labels, **more)
    need = rounded(round(times * (safely_planned(0.05, 1, 60) or 0)))
    assert f": about {need} independent ones show one of 5 points in 4 of 5 such comparisons. " in text


def test_no_gap_that_the_last_pair_could_show_is_called_impossible(tmp_path: Path) -> None:
    """Of three pairs the last needs 6 net pictures: 4.6 points of 130, enough; 5.5 of 110, not so."""
    labels = [0] * 40 + [1] * 40 + [2] * 50
    runs = {f"m{k}-s0": labels for k in range(3)}
    assert "no gap" not in advice(tmp_path / "130", runs, labels)
    fewer = {name: answers[20:] for name, answers in runs.items()}
    assert "no gap under 5.5 points" in advice(tmp_path / "110", fewer, labels[20:])


def test_no_picture_too_few_for_any_gap(tmp_path: Path) -> None:
    """Five test pictures show nothing, whatever they are."""
    labels = [0, 0, 1, 1, 2]
    assert "5 test pictures can show no gap between two models: " in advice(
        tmp_path, {"a-s0": labels}, labels
    )


def test_over_several_seeds_the_interval_is_named(tmp_path: Path) -> None:
    """The least gap of a McNemar test says nothing about several seeds."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    answers = [1, 1, *labels[2:]]
    found = compare(make_benchmark(tmp_path / "b", {"a-s0": labels, "a-s1": answers}, labels))
    (row,) = found.rows
    width = 100 * (row.top1_high - row.top1_low)  # type: ignore[operator]
    assert f"60 test pictures leave a an interval of {width:.0f} points: " in narrate(found).advice
    assert "gap" not in narrate(found).advice


def test_a_model_that_loses_to_its_probe_comes_first(tmp_path: Path) -> None:
    """Eight pictures of 60 behind: --tune 3, before all other advice."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    runs = {"vit-probe-s0": labels, "vit-s0": [1] * 8 + labels[8:]}
    text = advice(tmp_path, runs, labels)
    assert text.startswith("−13 points [−24, −5] (vit) against its own frozen probe: ")
    assert "--tune 3. 60 test pictures" in text


def test_no_gain_over_the_probe_is_said_where_its_interval_is_below_five_points(tmp_path: Path) -> None:
    """+1.0 points over the best model's own probe on 300 pictures, at most 4: said with the interval."""
    text = advice(tmp_path, {"a-probe-s0": wrong(3), "a-s0": wrong(0)})
    assert text.startswith(
        "+1 point [−0.4, +3] (a) against its own frozen probe, a gain under 5 points if any"
    )


def test_no_gain_over_the_probe_is_not_said_of_few_pictures(tmp_path: Path) -> None:
    """Nine pictures cannot tell a gain of 5 points from none."""
    labels = [0, 1, 2] * 3
    assert "probe" not in advice(tmp_path, {"a-probe-s0": labels, "a-s0": labels}, labels)


def test_few_training_pictures_are_told_of_where_the_class_is_answered_worse(tmp_path: Path) -> None:
    """4 against a median of 10, and 60 of 100 right against 200 of 200: add pictures; all right: silent."""
    roses = [*LABELS[:100], *([0] * 40), *LABELS[140:]]
    text = advice(tmp_path, {"vit-s0": roses}, train=[0] * 10 + [1] * 4 + [2] * 30)
    assert text.startswith(
        "60 of 100 pictures of roses right against 200 of 200 of the other classes, 40 of them taken for "
    )
    assert text.endswith("only 4 to train on against a median of 10 a class: add pictures there.")
    assert advice(tmp_path / "2", {"vit-s0": LABELS}, train=[0] * 10 + [1] * 4 + [2] * 30) == ""
    assert "median" not in advice(tmp_path / "5", {"vit-s0": roses}, train=[0] * 10 + [1] * 5 + [2] * 30)


def test_few_pictures_are_counted_over_all_folds(tmp_path: Path) -> None:
    """With folds every picture trains: 30 roses beside 100 and 200, ten of them wrong."""
    labels = [0] * 100 + [1] * 30 + [2] * 200
    text = advice(tmp_path, {"vit-s0": [*labels[:100], *[0] * 10, *labels[110:]]}, labels, folds=5)
    assert "only 30 to train on against a median of 100 a class" in text


def test_a_class_far_behind_is_named_with_what_it_is_taken_for(tmp_path: Path) -> None:
    """30 of 100 tulips taken for daisies, 5 for roses, the others right: counts of the best model."""
    answers = [*LABELS[:200], *([0] * 30), *([1] * 5), *([2] * 65)]
    text = advice(tmp_path, {"vit-s0": answers, "swin-s0": wrong(90)})
    assert (
        "65 of 100 pictures of tulips right against 200 of 200 of the other classes, 30 of them taken for "
        "daisy (vit; Fisher's exact p < 0.001 for the worst class)"
    ) in text


def test_the_worst_of_equally_hard_classes_is_left_alone(tmp_path: Path) -> None:
    """5 of 10 against 18 of 20 looks bad; Fisher's p = .03, times three classes it is .08."""
    labels = [0] * 10 + [1] * 10 + [2] * 10
    answers = [*([1] * 5), *labels[5:10], 0, *labels[11:20], 0, *labels[21:]]
    assert "daisy right against" not in advice(tmp_path, {"vit-s0": answers}, labels)


def test_two_classes_that_hold_most_mistakes_are_named(tmp_path: Path) -> None:
    """12 of 14 mistakes between daisy and roses, both ways, no class far behind."""
    answers = [*([1] * 6), *LABELS[6:100], *([0] * 6), *LABELS[106:200], 0, 1, *LABELS[202:]]
    text = advice(tmp_path, {"vit-s0": answers})
    assert "12 of the 14 mistakes of vit are between daisy and roses (binomial p" in text


def test_few_mistakes_are_left_alone(tmp_path: Path) -> None:
    """Two mistakes between two classes can be chance."""
    assert advice(tmp_path, {"vit-s0": [1, 1, *LABELS[2:]]}) == ""


@pytest.mark.parametrize(("top1", "said"), [(1.0, True), (0.90, False), (None, False)])
def test_training_far_above_test_is_said(tmp_path: Path, top1: float | None, said: bool) -> None:
    """All right in training, 75 % on test: more pictures; 90 %, or unknown under mixup, is left alone."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": wrong(75, step=4)}, LABELS, train=TRAIN)
    trained(benchmark, "vit-s0", top1)
    start = "100 % right in training against 75 % on the test pictures (vit; exact 99 % limit 81): more"
    assert (start in narrate(compare(benchmark)).advice) == said


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_pictures_prove_no_learning_by_heart(tmp_path: Path, n: int) -> None:
    """100 % in training, 0 of 1 or 2 right: the exact limit is 99 or 90 %, and nothing is said of it."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": [1] * n}, [0] * n, train=TRAIN)
    trained(benchmark, "vit-s0", 1.0)
    assert (
        narrate(compare(benchmark)).advice
        == f"{n} test picture{'s' * (n > 1)} can show no gap between two models: more can."
    )


def test_models_that_cannot_be_told_apart_call_for_seeds(tmp_path: Path) -> None:
    """Two models, one seed each: the interval of their difference, no pictures that "settle" it."""
    text = advice(tmp_path, {"vit-s0": wrong(12), "swin-s0": wrong(6, start=1)})
    assert text.startswith(
        "2 models cannot be told apart after one training each (swin − vit +2 points [−1, +5]): "
        "--seeds 0,1,2 shows how much of their difference is luck of the training; or take vit, "
        "which computes least."
    )
    assert "settle" not in text


def test_a_tie_over_seeds_names_the_quicker_model(tmp_path: Path) -> None:
    """9 and 41 ms: vit, in other words than the answer's."""
    runs = {f"{m}-s{s}": wrong(s + 1, start=k) for k, m in enumerate(("vit", "swin")) for s in range(2)}
    found = compare(make_benchmark(tmp_path / "b", runs, LABELS, train=TRAIN))
    assert narrate(found).advice == (
        "2 models cannot be told apart, and of these vit is quickest with 9.0 ms a picture (41 the slowest)."
    )
    assert narrate(found).advice not in narrate(found).answer


def test_probes_alone_lead_to_fine_tuning(tmp_path: Path) -> None:
    """The leaders of a probe are named; nothing is said of seeds."""
    runs = {"vit-s0": wrong(2), "swin-s0": wrong(1), "deit-s0": wrong(90)}
    text = advice(tmp_path, runs, probe=True)
    assert "2 of 3 models lead as frozen features: " in text
    assert "fine-tune swin and vit to know more" in text
    assert "--seeds" not in text


def test_at_most_three_sentences_each_led_by_numbers(tmp_path: Path) -> None:
    """Everything is wrong at once: the first three rules speak."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    bad = [1] * 15 + labels[15:]
    runs = {"vit-probe-s0": labels, "vit-s0": bad, "swin-s0": bad, "swin-probe-s0": bad}
    text = advice(tmp_path, runs, labels, train=[0] * 20 + [1] * 20 + [2] * 2)
    sentences = text.removesuffix(".").split(". ")
    assert len(sentences) == 3
    assert all(re.match(r"[−+]?\d", sentence) for sentence in sentences)


def test_commands_in_advice_exist() -> None:
    """Every option that a rule names is one of `vitbench train`."""
    from typer.main import get_command

    from vitbench.cli.app import app
    from vitbench.narrative import advice as module

    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"--[a-z][a-z-]+", Path(module.__file__).read_text(encoding="utf-8")))
    assert {"--folds", "--seeds", "--tune"} <= named <= known


def test_a_note_is_said_whatever_its_words(tmp_path: Path) -> None:
    """What the split proposes is no note of it; a note that names an option stands there."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": labels}, labels, train=TRAIN)
    path = benchmark.folder / "benchmark.json"
    manifest = files.read_json(path)
    manifest["split"]["notes"] = ["one repeats; see --folds/"]
    files.write_json(path, manifest)
    found = compare(benchmark)
    assert "one repeats; see --folds/" in narrate(found).notes
    assert "--folds 5" in narrate(found).advice


def test_folds_that_would_not_help_are_not_advised(tmp_path: Path) -> None:
    """Where the outlook says that folds let no smaller lead show, more pictures are what is left."""
    labels = [0] * 20 + [1] * 20 + [2] * 20
    runs = {"vit-s0": labels, "swin-s0": [1, *labels[1:]]}
    found = compare(make_benchmark(tmp_path / "b", runs, labels, train=TRAIN))
    assert found.outlook is not None
    for helps in (True, False):
        remedies = tuple(dataclasses.replace(one, helps=helps) for one in found.outlook.remedies)
        outlook = dataclasses.replace(found.outlook, remedies=remedies)
        advised = narrate(dataclasses.replace(found, outlook=outlook)).advice
        assert ("--folds 5" in advised) == helps
