"""Folds: every picture is tested once, by a model that saw neither it nor its group; resume; what answers."""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painted import TINY, paint_folder
from PIL import Image
from scipy.stats import binom

from vitbench.benchmark.predict import model_set_for
from vitbench.benchmark.train import train
from vitbench.errors import UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.inference.metrics import scores
from vitbench.records import Benchmark, Split
from vitbench.records.watch import Watch
from vitbench.training import trainer

pytestmark = pytest.mark.slow
Trained = Callable[..., Benchmark]
FOLDS = 3


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A finished benchmark with three folds; do not change it."""
    root = tmp_path_factory.mktemp("folded")
    data = paint_folder(root / "data")
    return train(data, name="folded", results=root / "results", **{**TINY, "folds": FOLDS, "epochs": 3})


def test_every_picture_is_answered_once_by_its_fold(folded: Benchmark) -> None:
    """predictions.csv has each picture of split.csv once, from the model of the fold it is tested in."""
    run = folded.runs[0]
    whole = run.predictions()
    fold_of = {row["path"]: int(row["fold"]) for row in folded.split_rows()}
    assert sorted(whole.paths) == sorted(fold_of)
    assert len(whole.paths) == 36
    assert whole.folds is not None
    assert {p: int(f) for p, f in zip(whole.paths, whole.folds, strict=True)} == fold_of
    for number in range(1, FOLDS + 1):
        alone = run.part(f"fold-{number}").predictions()
        assert {fold_of[path] for path in alone.paths} == {number}
        rows = [whole.paths.index(path) for path in alone.paths]
        assert np.array_equal(whole.probabilities[rows], alone.probabilities)


def test_the_table_counts_all_pictures(folded: Benchmark) -> None:
    """One row over all 36 pictures; its scores are those of the out-of-fold predictions."""
    row = read_csv(folded.folder / "comparison.csv")[0]
    assert int(row["n_test"]) == 36
    expected = scores(folded.runs[0].predictions())
    assert float(row["top1"]) == expected["top1"]
    assert float(row["loss"]) == expected["loss"]
    metrics = [fold.metrics() for fold in folded.runs[0].folds]
    middle = statistics.median(one["best_epoch"] for one in metrics)
    assert folded.runs[0].metrics()["best_epoch"] == round(middle)


def test_no_picture_trains_its_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop reads for a fold holds no picture of the fold's test part, nor a member of its group."""
    data = scenes(tmp_path / "data", classes=3, each=4)
    seen: list[Split] = []
    real = trainer.train_batches

    def spying(split: Split, *more: Any) -> Iterator[Any]:
        seen.append(split)
        return real(split, *more)

    monkeypatch.setattr(trainer, "train_batches", spying)
    asked = {**TINY, "epochs": 1, "folds": FOLDS, "group": r"scene\d+"}
    train(data, name="g", results=tmp_path / "results", **asked)
    assert len(seen) == FOLDS
    tested: list[str] = []
    for split in seen:
        groups = {p.group for p in split.test}
        assert not groups & {p.group for p in (*split.train, *split.val)}
        assert not {scene_of(p.path) for p in split.test} & {scene_of(p.path) for p in split.train}
        tested += [p.path for p in split.test]
    assert sorted(tested) == sorted(p.relative_to(data).as_posix() for p in data.rglob("*.png"))


def test_interrupted_inside_fold_3(trained: Trained) -> None:
    """Stopped in the third fold and resumed: the same bytes of every model and of the predictions."""

    class Stop(Watch):
        run = ""

        def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
            self.run = run

        def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
            if self.run.endswith("fold-3") and (epoch, step) == (2, 1):
                raise KeyboardInterrupt

    asked = {"folds": FOLDS, "drop_path": 0.2, "ema": 0.9, "final": "retrain"}
    whole = trained(name="whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        trained(Stop(), name="cut", **asked)
    before = (whole.folder.parent / "cut" / "test_vit-s0" / "fold-1" / "metrics.json").stat().st_mtime_ns
    cut = trained(name="cut", resume=True)
    assert models_of(cut) == models_of(whole)
    assert len(models_of(cut)) == FOLDS + 2  # the folds', the retrained one and its copy as the run's own
    predictions = [(b.runs[0].folder / "predictions.csv").read_bytes() for b in (whole, cut)]
    assert predictions[0] == predictions[1]
    assert (cut.runs[0].folder / "fold-1" / "metrics.json").stat().st_mtime_ns == before


def models_of(benchmark: Benchmark) -> dict[str, str]:
    found = benchmark.folder.rglob("model.safetensors")
    return {path.relative_to(benchmark.folder).as_posix(): sha256_of(path) for path in found}


def test_the_folds_models_answer_together_or_one_retrained_does(folded: Benchmark, trained: Trained) -> None:
    """--final folds: three models answer; retrain: one, on all pictures, for as long as the folds chose."""
    model_set = model_set_for(str(folded.folder), [], folded.folder.parent)
    assert [len(models) for models in model_set.models.values()] == [FOLDS]
    again = trained(name="again", folds=FOLDS, epochs=3, final="retrain")
    model_set = model_set_for(str(again.folder), [], again.folder.parent)
    assert [len(models) for models in model_set.models.values()] == [1]
    final = again.runs[0].part("final")
    best = [fold.metrics()["best_epoch"] for fold in again.runs[0].folds]
    assert final.recipe().last_epoch == round(statistics.median(best))
    assert len(final.epochs()) == final.recipe().last_epoch
    assert final.epochs()[-1].val_top1 is None
    # The schedule is the folds' own, left early: not a shorter one.
    assert final.epochs()[-1].lr == pytest.approx(again.runs[0].folds[0].epochs()[len(final.epochs()) - 1].lr)


def test_small_test_parts_are_said_and_auto_takes_folds(trained: Trained) -> None:
    """Three test pictures a class: a plain split proposes folds, `folds="auto"` takes them."""
    heard: list[str] = []
    watch = Watch()
    watch.message = heard.append  # type: ignore[method-assign]
    plain = trained(watch=watch, name="plain")
    assert any("--folds 5 would report on all" in line for line in heard)
    assert not any(
        "--folds" in note for note in (*plain.manifest["notes"], *plain.manifest["split"]["notes"])
    )
    auto = trained(name="auto", folds="auto", epochs=1)
    assert auto.folds == 5
    assert len(auto.rows_of("test")) == len(auto.rows_of("train")) == 36
    with pytest.raises(UsageError, match="folds"):
        trained(name="auto", folds=3)


# --- bursts ---------------------------------------------------------------------------------------

SHOTS = 3


def scenes(root: Path, classes: int, each: int) -> Path:
    """Bursts: `each` scenes a class, three shots of one scene that differ by a little noise.

    What a scene shows has nothing to do with its class: nothing can be learned but the scene itself.
    """
    for number in range(classes * each):
        dice = np.random.default_rng(number)
        scene = np.kron(dice.uniform(0, 255, (4, 4, 3)), np.ones((10, 10, 1)))
        for shot in range(SHOTS):
            pixels = np.clip(scene + dice.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
            path = root / f"class{number % classes}" / f"scene{number:02d}-{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root


def scene_of(path: str) -> str:
    return Path(path).name.partition("-")[0]


def test_bursts_inflate_what_groups_bring_down(tmp_path: Path) -> None:
    """150 pictures of 5 classes in bursts of three, labels that mean nothing.

    Without --group a scene's other shots give its label away; with it the score is chance.
    """
    data = scenes(tmp_path / "data", classes=5, each=10)
    asked = {key: TINY[key] for key in ("models", "weights", "image_size", "workers")}
    asked |= {"recipe": "probe", "folds": 5}
    inflated, honest = (
        train(data, name=name, results=tmp_path / "results", **asked, **group).runs[0].metrics()["test"]
        for name, group in (("plain", {"near_duplicates": False}), ("grouped", {"group": r"scene\d+"}))
    )
    assert inflated["n"] == honest["n"] == 150
    assert inflated["top1"] > 0.6
    # The shots of a scene answer alike: 50 independent pictures.
    assert honest["correct"] / SHOTS <= binom.ppf(0.9999, 50, 1 / 5)


def test_random_labels_stay_at_chance_in_all_folds(tmp_path: Path) -> None:
    """Single pictures with labels that mean nothing, trained with many views each: chance, out of fold."""
    data = tmp_path / "data"
    for number in range(60):
        pixels = np.random.default_rng(number).uniform(0, 255, (4, 4, 3))
        path = data / f"class{number % 3}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.kron(pixels, np.ones((10, 10, 1))).astype(np.uint8)).save(path)
    asked = {**TINY, "folds": FOLDS, "per_class": 200, "epochs": 6, "augment": "none"}
    run = train(data, name="r", results=tmp_path / "results", **asked).runs[0]
    assert run.metrics()["test"]["correct"] <= binom.ppf(0.9999, 60, 1 / 3)
    assert run.metrics()["train"]["top1"] > 0.5  # it did learn its training pictures by heart
