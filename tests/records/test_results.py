"""What a run's folder says: looks at its test pictures, its answers on val."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vitbench.errors import VitbenchError
from vitbench.files import append_row
from vitbench.records import Predictions, Run, TestEvaluation

COLUMNS = [field.name for field in dataclasses.fields(TestEvaluation)]


def looked(run: Run, time: str, by: str, pictures: int) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    append_row(run.folder / "test_evaluations.csv", COLUMNS, {"time": time, "by": by, "pictures": pictures})


def test_a_look_is_noted_with_its_time(tmp_path: Path) -> None:
    """One line with the offset from UTC, the command and the pictures; a run without any has none."""
    run = Run(tmp_path / "vit-s0")
    assert run.evaluations() == ()
    run.folder.mkdir()
    run.add_evaluation("predict", 12)
    (look,) = run.evaluations()
    assert (look.by, look.pictures) == ("predict", 12)
    assert look.when().tzinfo is not None
    header, line = (run.folder / "test_evaluations.csv").read_text().splitlines()
    assert header == "time,by,pictures"
    assert line == f"{look.time},predict,12"


def test_five_folds_trained_once_are_one_look(tmp_path: Path) -> None:
    """5 × 40 pictures are one look of 200, at the time of the last fold."""
    run = Run(tmp_path / "vit-s0")
    for number in range(1, 6):
        looked(run.part(f"fold-{number}"), f"2025-11-03T10:0{number}:00+01:00", "train", 40)
    assert run.evaluations() == (TestEvaluation("2025-11-03T10:05:00+01:00", "train", 200),)


def test_looks_of_a_fold_and_of_the_run_stand_in_the_order_of_their_times(tmp_path: Path) -> None:
    """A fold tested twice (killed between) is a second look, predict on a fold is one too; UTC decides."""
    run = Run(tmp_path / "vit-s0")
    looked(run.part("fold-1"), "2025-11-03T10:00:00+01:00", "train", 40)
    looked(run.part("fold-1"), "2025-11-03T10:10:00+01:00", "train", 40)
    looked(run.part("fold-2"), "2025-11-03T10:20:00+01:00", "train", 39)
    looked(run.part("fold-2"), "2025-11-03T10:05:00+00:00", "predict", 3)  # 11:05 there
    looked(run, "2025-11-03T10:30:00+01:00", "predict", 7)
    assert [(look.by, look.pictures) for look in run.evaluations()] == [
        ("train", 40), ("train", 79), ("predict", 7), ("predict", 3),
    ]  # fmt: skip


def test_within_one_second_the_training_looked_first(tmp_path: Path) -> None:
    """Times are whole seconds; nobody can ask a model before it is trained."""
    run = Run(tmp_path / "vit-s0")
    for fold in ("fold-1", "fold-2"):
        looked(run.part(fold), "2025-11-03T10:00:00+01:00", "train", 12)
    looked(run.part("fold-2"), "2025-11-03T10:00:00+01:00", "predict", 1)
    assert [(look.by, look.pictures) for look in run.evaluations()] == [("train", 24), ("predict", 1)]


def test_a_torn_look_is_passed_over_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    """A line cut by a power loss is no look; one that somebody changed is an error that names the file."""
    run = Run(tmp_path / "vit-s0")
    looked(run, "2025-11-03T10:00:00+01:00", "train", 40)
    with (run.folder / "test_evaluations.csv").open("a") as stream:
        stream.write("2025-11-03T10:00:00+01:00,predict,4")
    assert [look.pictures for look in run.evaluations()] == [40]
    with (run.folder / "test_evaluations.csv").open("a") as stream:
        stream.write("x\n")
    with pytest.raises(VitbenchError, match=r"test_evaluations\.csv: damaged"):
        run.evaluations()


def test_answers_on_val_are_there_or_none(tmp_path: Path) -> None:
    """val_predictions.csv as predictions.csv; None where the file is not there."""
    run = Run(tmp_path)
    assert run.val_predictions() is None
    said = Predictions(("a", "b"), ("a/1.png",), np.array([0]), np.array([[0.75, 0.25]]))
    said.write(tmp_path / "val_predictions.csv")
    found = run.val_predictions()
    assert found is not None
    assert found.probabilities.tolist() == [[0.75, 0.25]]
