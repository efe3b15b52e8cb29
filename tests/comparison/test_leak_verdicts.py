"""Leaks reach the verdict: where the leak-free pictures say otherwise, that is said first."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fabricate import make_benchmark, said
from test_leaks import vars_of

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.measured import CompareOptions
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.records.pictures import Leak

LABELS = [0, 1, 2] * 66 + [0, 1]


def wrong_on(places: Sequence[int]) -> list[int]:
    return [(x + 1) % 3 if i in places else x for i, x in enumerate(LABELS)]


def leaking(folder: Path, runs: dict[str, list[int]], known: int, **more: object) -> Benchmark:
    """200 test pictures of which training knows the first ones."""
    benchmark = make_benchmark(folder / "b", runs, LABELS, **more)  # type: ignore[arg-type]
    rows = [row for row in benchmark.split_rows() if row["split"] == "test"][:known]
    leaks = [Leak(row["path"], "test", "t0.jpg", "train", "near", "mirrored") for row in rows]
    files.write_csv(benchmark.folder / "leaks.csv", Leak.columns(), (vars_of(leak) for leak in leaks))
    return benchmark


VIT_BY_HEART = {"vit-s0": wrong_on(range(80, 105)), "swin-s0": wrong_on([*range(45), *range(80, 90)])}
"""80 known ones: vit right on all, swin on 35. On the other 120 swin leads by 15."""


def test_leaks_that_turn_the_verdict_are_said_first(tmp_path: Path) -> None:
    """On all 200 vit leads by 30, on the 120 clean ones swin is better: that is the answer."""
    found = compare(leaking(tmp_path, VIT_BY_HEART, 80))
    (pair,) = found.pairs
    assert (pair.kind, pair.model_a, pair.difference) == ("better", "vit", pytest.approx(0.15))
    assert pair.clean is not None
    assert (pair.clean.kind, pair.clean.model_a, pair.clean.n) == ("better", "swin", 120)
    assert not pair.stands
    assert not pair.distinguishable
    assert narrate(found).answer.startswith(
        "Training knows copies of 80 of the 200 test pictures; the other 120 decide. swin names 110 of 120 "
        "test pictures right"
    )
    assert narrate(found).answer.endswith(
        "What all 200 say does not stand: vit better than swin (+15 points)."
    )
    assert said(pair).startswith("Without 80 pictures that training knows: swin is better than vit")
    assert "cannot be told apart" not in narrate(found).advice


def test_ranks_rest_on_what_both_say(tmp_path: Path) -> None:
    """In the table nobody leads; among the clean pictures swin does."""
    found = compare(leaking(tmp_path, VIT_BY_HEART, 80))
    assert [(row.model, row.rank) for row in found.rows] == [("vit", (1, 2)), ("swin", (1, 2))]
    assert [(one.model, one.rank) for one in found.leak_free] == [("swin", (1, 1)), ("vit", (2, 2))]


def test_a_lead_that_the_clean_pictures_cannot_show_is_no_lead(tmp_path: Path) -> None:
    """All 20 on which vit leads are known: the other 120 are equal, so they cannot decide."""
    found = compare(leaking(tmp_path, {"vit-s0": LABELS, "swin-s0": wrong_on(range(20))}, 80))
    (pair,) = found.pairs
    assert (pair.kind, pair.stands) == ("better", False)
    assert (
        "the other 120 decide. vit and swin cannot be told apart on 120 test pictures"
        in narrate(found).answer
    )
    assert found.rows[0].rank == (1, 2)


def test_a_verdict_that_stands_is_left_alone(tmp_path: Path) -> None:
    """20 leads known and 30 more that are not: better both ways; the answer is the one of all pictures."""
    found = compare(leaking(tmp_path, {"vit-s0": LABELS, "swin-s0": wrong_on(range(60, 110))}, 80))
    (pair,) = found.pairs
    assert pair.stands
    assert pair.distinguishable
    assert narrate(found).answer.startswith("vit names 200 of 200 test pictures right")
    assert [row.rank for row in found.rows] == [(1, 1), (2, 2)]


def test_leaks_that_hide_a_lead(tmp_path: Path) -> None:
    """Ten behind on known pictures, ten ahead on the others: the clean ones say better, and are heard."""
    runs = {"vit-s0": wrong_on(range(10)), "swin-s0": wrong_on(range(100, 110))}
    found = compare(leaking(tmp_path, runs, 80))
    (pair,) = found.pairs
    assert (pair.kind, pair.stands) == ("not distinguishable", False)
    assert "the other 120 decide. vit names 120 of 120" in narrate(found).answer
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2)]


def test_where_training_knows_every_picture_nothing_is_decided(tmp_path: Path) -> None:
    """No picture is left: no verdict, and that is the answer's first word."""
    found = compare(leaking(tmp_path, {"vit-s0": LABELS, "swin-s0": wrong_on(range(20))}, 200))
    assert not found.pairs[0].distinguishable
    assert narrate(found).answer.startswith("No verdict: training knows copies of all 200 test pictures.")
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2)]


def test_a_baseline_is_judged_by_the_clean_pictures_too(tmp_path: Path) -> None:
    """vit against its baseline swin: worse on the clean ones, said first."""
    found = compare(leaking(tmp_path, VIT_BY_HEART, 80), CompareOptions(baseline="swin"))
    assert "Against it: worse is vit (−12 points)." in narrate(found).answer.split(" What all 200 say")[0]


def test_a_probe_that_only_leaks_beat_is_not_beaten(tmp_path: Path) -> None:
    """Fine-tuned and its own probe are a pair as any."""
    runs = {"vit-s0": LABELS, "vit-probe-s0": wrong_on(range(20)), "swin-s0": LABELS}
    found = compare(leaking(tmp_path, runs, 80))
    (pair,) = found.probes
    assert (pair.kind, pair.distinguishable) == ("better", False)
    (told,) = narrate(found).probe_verdicts
    assert told.startswith("Without 80 pictures that training knows: vit cannot be told apart from its")


def test_over_seeds_and_folds_the_same_procedure_judges(tmp_path: Path) -> None:
    """Three seeds: t on the clean pictures, with their own seeds."""
    runs = {f"vit-s{s}": wrong_on(range(180 + s, 195)) for s in range(3)}
    runs |= {f"swin-s{s}": wrong_on([*range(60), *range(190 + s, 196)]) for s in range(3)}
    (pair,) = compare(leaking(tmp_path, runs, 80)).pairs
    assert pair.kind == "better"
    assert pair.clean is not None
    assert (pair.clean.method, pair.clean.n) == ("t over images × seeds", 120)
    assert not pair.distinguishable
