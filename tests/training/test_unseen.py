"""Test pictures: read once, when the weights are chosen, counted, and nothing is chosen on them."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painted import COLOURS, TINY, StopAt, paint

from vitbench.benchmark.train import train
from vitbench.files import sha256_of
from vitbench.records import Benchmark, Picture, Predictions, Split
from vitbench.training import loop, runs

pytestmark = pytest.mark.usefixtures("no_reports")

Trained = Callable[..., Benchmark]
PROBE = {key: TINY[key] for key in ("models", "weights", "image_size", "workers")} | {"recipe": "probe"}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {**TINY, "epochs": 3, "patience": 1, "ema": 0.9},
    "tuned": {**TINY, "tune": 2},
    "probe": PROBE,
}


def weights_of(benchmark: Benchmark) -> dict[str, str]:
    found = sorted(benchmark.folder.rglob("*.safetensors"))
    return {path.relative_to(benchmark.folder).as_posix(): sha256_of(path) for path in found}


def parted(root: Path, other_test: bool) -> Path:
    """train/, val/ and test/ of three colours; with `other_test` the pictures of test/ change classes."""
    names = list(COLOURS)
    for place, (name, rgb) in enumerate(COLOURS.items()):
        for part, first, count in (("train", 0, 8), ("val", 20, 3), ("test", 40, 4)):
            label = names[(place + 1) % 3] if other_test and part == "test" else name
            for number in range(first, first + count):
                paint(root / part / label / f"{name}-{number}.png", rgb, 1000 * place + number)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_other_labels_of_test_pictures_change_no_weights(tmp_path: Path, way: str) -> None:
    """Two folders that differ in the labels of test/ alone: other scores, the same bytes of weights."""
    one, other = (
        train(parted(tmp_path / name, name == "other"), name=name, results=tmp_path / "r", **WAYS[way])
        for name in ("one", "other")
    )
    scored = [benchmark.runs[0].metrics()["test"]["loss"] for benchmark in (one, other)]
    assert scored[0] != scored[1]
    assert weights_of(one)
    assert weights_of(one) == weights_of(other)


@pytest.mark.slow
def test_what_folds_say_about_test_pictures_chooses_nothing(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds, tuned and retrained, with their test answers turned over: the same bytes of every model."""
    asked = {"folds": 3, "tune": 2, "final": "retrain"}
    one = trained(name="one", **asked)
    real = loop.evaluate

    def turned(trainer: loop.Trainer, part: str, **more: Any) -> Predictions:
        found = real(trainer, part, **more)
        if part != "test":
            return found
        return dataclasses.replace(found, probabilities=np.roll(found.probabilities, 1, axis=1))

    monkeypatch.setattr(runs, "evaluate", turned)
    other = trained(name="other", **asked)
    assert one.runs[0].metrics()["test"]["correct"] != other.runs[0].metrics()["test"]["correct"]
    assert len(weights_of(one)) == 5  # the folds', the retrained one, and its copy as the run's own
    assert weights_of(one) == weights_of(other)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"tune": 2}, {"folds": 3, "tune": 2, "final": "retrain"}])
def test_each_test_picture_is_read_once_and_counted(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Whatever is tried: a model answers for its test pictures once, which is one look; tries have none."""
    read: Counter[str] = Counter()
    real = loop.predict_pictures

    def counting(model: Any, split: Split, pictures: Sequence[Picture], *rest: Any) -> Predictions:
        read.update(picture.path for picture in pictures if picture in split.test)
        return real(model, split, pictures, *rest)

    monkeypatch.setattr(loop, "predict_pictures", counting)
    benchmark = trained(**more)
    (run,) = benchmark.runs
    tested = [row["path"] for row in benchmark.rows_of("test")]
    assert read == dict.fromkeys(tested, 1)
    assert [(look.by, look.pictures) for look in run.evaluations()] == [("train", len(tested))]
    assert {path.parent.name for path in run.folder.rglob("test_evaluations.csv")} == {
        part.folder.name for part in run.folds or (run,)
    }


@pytest.mark.slow
@pytest.mark.parametrize("folds", [None, 3])
def test_a_probe_looks_once(trained: Trained, folds: int | None) -> None:
    """One look by "probe" at all test pictures, folds or not; a probe has no val to speak of."""
    benchmark = trained(recipe="probe", **({"folds": folds} if folds else {}))
    (run,) = benchmark.runs
    assert [(look.by, look.pictures) for look in run.evaluations()] == [
        ("probe", len(benchmark.rows_of("test")))
    ]
    assert run.val_predictions() is None


def test_the_look_is_noted_before_anybody_can_see_the_scores(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the first file with test answers is written: the look is counted, and so is the second."""
    real = Predictions.write

    def dying(self: Predictions, path: Path) -> None:
        if path.name == "predictions.csv":
            raise KeyboardInterrupt
        real(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(Predictions, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            trained()
    run = trained(resume=True).runs[0]
    assert [look.by for look in run.evaluations()] == ["train", "train"]


@pytest.mark.slow
def test_the_chosen_weights_answer_on_val(trained: Trained) -> None:
    """val_predictions.csv: val's pictures, and the loss and accuracy of the chosen epoch in epochs.csv."""
    benchmark = trained(epochs=3)
    (run,) = benchmark.runs
    found = run.val_predictions()
    assert found is not None
    assert list(found.paths) == [row["path"] for row in benchmark.rows_of("val")]
    best = run.metrics()["val"]
    assert float(found.correct.mean()) == best["top1"]
    assert float(found.losses.mean()) == pytest.approx(best["loss"], rel=1e-6)


@pytest.mark.slow
def test_each_fold_answers_on_its_own_val(trained: Trained) -> None:
    """A file in each fold, on the pictures that chose its epoch; none in the run and the retrained one."""
    benchmark = trained(folds=3, final="retrain")
    (run,) = benchmark.runs
    for number, fold in enumerate(run.folds, start=1):
        found = fold.val_predictions()
        assert found is not None
        inside = [row["path"] for row in benchmark.split_rows() if str(number) in row["val_in"].split()]
        assert sorted(found.paths) == sorted(inside)
    assert run.val_predictions() is None
    assert run.part("final").val_predictions() is None


@pytest.mark.slow
def test_an_interrupted_run_gives_the_same_bytes_on_val(trained: Trained) -> None:
    """Stopped in an epoch and resumed: val_predictions.csv is equal to the byte, and there is one look."""
    asked: dict[str, Any] = {"epochs": 3, "drop_path": 0.2, "ema": 0.9}
    whole = trained(name="whole", **asked).runs[0]
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 2), name="cut", **asked)
    cut = trained(name="cut", resume=True).runs[0]
    one, other = ((run.folder / "val_predictions.csv").read_bytes() for run in (whole, cut))
    assert one == other
    assert [look.by for look in cut.evaluations()] == ["train"]
