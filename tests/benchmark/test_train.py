"""`train` as a whole: the files it promises, what it refuses, what one failure costs."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from painted import TINY, paint_folder
from sklearn.metrics import balanced_accuracy_score, f1_score

from vitbench.benchmark import folder
from vitbench.benchmark.train import TrainRequest, prepare, train
from vitbench.errors import UsageError, VitbenchError, WeightsError
from vitbench.files import read_csv, sha256_of
from vitbench.models.folder import load_model
from vitbench.records import Benchmark, Settings
from vitbench.records.watch import Watch

Trained = Callable[..., Benchmark]

RUN_FILES = {
    "recipe.json", "epochs.csv", "predictions.csv", "val_predictions.csv", "test_evaluations.csv",
    "metrics.json", "model", "environment.json", "log.txt",
}  # fmt: skip
BENCHMARK_FILES = {
    "benchmark.json", "split.csv", "leaks.csv", "predictions.csv", "comparison.csv", "comparison.md",
    "comparison.json",
    "curves.svg", "curves.png", "cost.svg", "cost.png", "confusion.svg", "confusion.png", "report.html",
    "report.json", "photos.zip", "test.prints",
}  # fmt: skip


def visible(path: Path) -> set[str]:
    return {p.name for p in path.iterdir() if not p.name.startswith(".")}


def test_every_file_is_there_and_no_checkpoint_is_left(two_models: Benchmark) -> None:
    """A finished benchmark holds exactly the documented files."""
    runs = {run.name for run in two_models.runs}
    assert visible(two_models.folder) == BENCHMARK_FILES | runs
    for run in two_models.runs:
        assert visible(run.folder) == RUN_FILES


def test_scores_can_be_recomputed_from_the_csv(two_models: Benchmark) -> None:
    """top1, loss, macro-F1 and balanced accuracy of each row, from predictions.csv alone, by plain csv."""
    with (two_models.folder / "comparison.csv").open(encoding="utf-8") as stream:
        rows = {row["model"]: row for row in csv.DictReader(stream)}
    for run in two_models.runs:
        with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
            found = list(csv.DictReader(stream))
        truth, said = [r["label"] for r in found], [r["prediction"] for r in found]
        loss = -sum(math.log(float(r["p_" + r["label"].lstrip("'")])) for r in found) / len(found)
        row = rows[run.model]
        assert float(row["top1"]) == sum(t == s for t, s in zip(truth, said, strict=True)) / len(found)
        assert float(row["loss"]) == pytest.approx(loss, abs=1e-9)
        assert float(row["macro_f1"]) == pytest.approx(f1_score(truth, said, average="macro"))
        assert float(row["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(truth, said))


def test_same_pictures_for_every_model(two_models: Benchmark) -> None:
    """All runs report on the same test pictures, which are split.csv's, in one order."""
    test = [row["path"] for row in two_models.split_rows() if row["split"] == "test"]
    assert [list(run.predictions().paths) for run in two_models.runs] == [test, test]


def test_class_names_in_any_script_travel_to_the_end(two_models: Benchmark) -> None:
    """Hangul, emoji and a name that looks like a formula: the same in the folder, the csv and the model."""
    names = ("=green", "blue", "빨강 🔴")
    assert two_models.classes == names
    assert two_models.runs[0].predictions().classes == names
    assert load_model(two_models.runs[0].model_folder).classes == names
    assert "빨강" in (two_models.folder / "report.html").read_text(encoding="utf-8")


def test_timm_alone_gives_our_probabilities(two_models: Benchmark) -> None:
    """`local-dir:` and timm's own transform, from the files: predictions.csv to 1e-6, without vitbench."""
    from PIL import Image

    root = Path(two_models.manifest["data"])
    for run in two_models.runs:
        model = timm.create_model(f"local-dir:{run.model_folder}", pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
        predictions = run.predictions()
        for path, row in zip(predictions.paths, predictions.probabilities, strict=True):
            with Image.open(root / path) as picture, torch.inference_mode():
                said = model(transform(picture.convert("RGB"))[None]).softmax(dim=1)[0].double()
            assert torch.allclose(said, torch.from_numpy(row), atol=1e-6)


@pytest.mark.slow
def test_adding_a_model_leaves_the_finished_one_alone(trained: Trained) -> None:
    """`train --name X --models other` adds a run on the same split; the first one keeps every byte."""
    first = trained()
    before = {p: sha256_of(p) for p in first.runs[0].folder.rglob("*") if p.is_file()}
    both = trained(models=("test_efficientnet",))
    assert [run.name for run in both.runs] == ["test_vit-s0", "test_efficientnet-s0"]
    assert both.runs[1].status == "finished"
    assert {p: sha256_of(p) for p in before} == before
    assert len(read_csv(both.folder / "comparison.csv")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 5}, "epochs 2 → 5"),
        ({"augment": "strong"}, "augment its default → strong"),
        ({"split_seed": 1}, "split_seed 0 → 1"),
    ],
)
def test_a_change_to_a_finished_run_is_refused(trained: Trained, change: dict[str, Any], named: str) -> None:
    """The difference is named, and nothing is touched."""
    first = trained()
    before = sha256_of(first.runs[0].model_folder / "model.safetensors")
    with pytest.raises(UsageError, match=named):
        trained(**change)
    assert sha256_of(first.runs[0].model_folder / "model.safetensors") == before


@pytest.mark.slow
def test_changed_data_are_refused(trained: Trained, coloured: Path) -> None:
    """A picture that is gone since the split is named; the benchmark is not silently another one."""
    trained()
    (coloured / "red" / "00.png").unlink()
    with pytest.raises(UsageError, match=r"1 pictures are gone \(first: red/00\.png\)"):
        trained(models=("test_efficientnet",))


@pytest.mark.slow
def test_a_run_names_the_techniques_of_its_steps(trained: Trained) -> None:
    """In environment.json: what made them fast, as it was."""
    assert trained().runs[0].environment()["techniques"] == {
        "fused_optimizer": True,
        "channels_last": False,
        "fused_attention": True,
        "precision": "fp32",
        "tf32": False,
        "deterministic": True,
        "compiled": False,
        "device_views": False,
        "cuda_graphs": False,
    }


@pytest.mark.slow
def test_interrupted_run_needs_resume(trained: Trained) -> None:
    """Without --resume an interrupted run is neither restarted nor continued by accident."""

    class Stop(Watch):
        def epoch_finished(self, run: str, row: Any, best: bool) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(Stop())
    with pytest.raises(UsageError, match="--resume"):
        trained()
    assert trained(name=None, resume=True).runs[0].status == "finished"


@pytest.mark.slow
def test_resume_with_nothing_to_do_is_an_error_that_says_so(trained: Trained) -> None:
    """All runs finished: `--resume` has nothing to go on with."""
    trained()
    with pytest.raises(VitbenchError, match="nothing to resume"):
        trained(name=None, resume=True)


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "c:x"])
def test_names_cannot_leave_the_results_folder(trained: Trained, tmp_path: Path, name: str) -> None:
    """A benchmark's name is one plain folder name."""
    with pytest.raises(UsageError, match="plain folder name"):
        trained(name=name)
    assert not (tmp_path / "results").exists()


def test_weights_not_to_be_had_leave_nothing_behind(coloured: Path, tmp_path: Path) -> None:
    """A weights file that is not there: one line, and no benchmark folder."""
    asked = {**TINY, "weights": (str(tmp_path / "none.safetensors"),)}
    with pytest.raises(WeightsError, match="no such file"):
        train(coloured, results=tmp_path / "results", **asked)
    assert not (tmp_path / "results").exists()


def test_names_count_up(tmp_path: Path) -> None:
    """`<folder>-<date>-<n>` takes the first free n."""
    results = tmp_path / "results"
    first = folder.fresh_name(tmp_path / "my photos", results)
    assert first.startswith("my_photos-")
    assert first.endswith("-1")
    (results / first).mkdir(parents=True)
    assert folder.fresh_name(tmp_path / "my photos", results) == first[:-1] + "2"


def test_a_dry_run_writes_nothing(coloured: Path, tmp_path: Path) -> None:
    """Pretrained weights are neither asked for nor needed; no folder appears."""
    request = TrainRequest(
        Settings.of({**TINY, "weights": ("pretrained",)}), data=coloured, results=tmp_path / "results"
    )
    plan, benchmark = prepare(request, Watch(), dry_run=True)
    assert benchmark is None
    # 36 forward passes beside 3 × 36 views × 2 epochs: its probe costs little, and comes first.
    assert [job.run_name for job in plan.jobs] == ["test_vit-probe-s0", "test_vit-s0"]
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_input_files_are_never_changed(trained: Trained, coloured: Path) -> None:
    """Every byte and name under DATA is the same after training."""
    before = {p: p.read_bytes() for p in sorted(coloured.rglob("*")) if p.is_file()}
    trained()
    assert {p: p.read_bytes() for p in sorted(coloured.rglob("*")) if p.is_file()} == before


@pytest.mark.slow
def test_seeds_are_runs_of_one_row(trained: Trained) -> None:
    """Two seeds: two run folders, one row with both seeds in it."""
    benchmark = trained(seeds=(0, 1))
    assert [run.name for run in benchmark.runs] == ["test_vit-s0", "test_vit-s1"]
    (row,) = read_csv(benchmark.folder / "comparison.csv")
    assert row["seeds"] == "0 1"


@pytest.mark.slow
def test_a_split_folder_is_reported_on_its_test_part(tmp_path: Path) -> None:
    """With train/ and test/ on disk the scores are those of test/."""
    data = tmp_path / "data"
    paint_folder(data / "train")
    paint_folder(data / "test", per_class=2, names={"red": "red"})
    benchmark = train(data, name="s", results=tmp_path / "results", **TINY)
    assert {path.split("/")[0] for path in benchmark.runs[0].predictions().paths} == {"test"}
    assert json.loads((benchmark.folder / "benchmark.json").read_text())["split"]["n_test"] == 6


@pytest.mark.slow
def test_a_repeated_default_is_no_change(trained: Trained) -> None:
    """Naming a default that the benchmark was made with is not a difference."""
    trained()
    both = trained(models=("test_efficientnet",), mixup=0.0)
    assert both.runs[1].status == "finished"


@pytest.mark.slow
def test_seeds_of_one_model_share_their_first_weights(trained: Trained) -> None:
    """A further seed from other weights would be a row of two things: refused."""
    first = trained()
    with pytest.raises(UsageError, match="the same model from other weights"):
        trained(seeds=(1,), weights=(str(first.runs[0].model_folder),))


def test_a_device_that_is_not_here_leaves_the_run_alone(trained: Trained, tmp_path: Path) -> None:
    """A run that started on a GPU is not touched on a machine without; it can go on where it was."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")

    class Stop(Watch):
        def epoch_finished(self, run: str, row: Any, best: bool) -> None:
            raise KeyboardInterrupt

    heard: list[str] = []

    class Listening(Watch):
        def run_finished(self, run: str, text: str) -> None:
            heard.append(text)

    with pytest.raises(KeyboardInterrupt):
        trained(Stop())
    path = tmp_path / "results" / "tiny" / "test_vit-s0" / "recipe.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    benchmark = trained(Listening(), resume=True)
    assert benchmark.runs[0].status == "interrupted"
    assert "not touched" in heard[0]
    assert "cuda" in heard[0]


@pytest.mark.slow
def test_a_finished_run_is_never_trained_again(trained: Trained) -> None:
    """Two processes may have planned the same run: the later one finds it finished and leaves it."""
    from vitbench.benchmark.plan import make_plan
    from vitbench.training.runs import train_run

    benchmark = trained()
    before = (benchmark.runs[0].folder / "metrics.json").read_bytes()
    plan = make_plan(benchmark.settings, Path(benchmark.manifest["data"]), Watch())
    train_run(plan.jobs[0], benchmark.runs[0], plan.split, Watch())
    assert (benchmark.runs[0].folder / "metrics.json").read_bytes() == before


@pytest.mark.slow
def test_a_benchmark_of_failures_is_not_the_newest(trained: Trained, tmp_path: Path) -> None:
    """A later benchmark in which everything failed does not hide the good one from `predict`."""
    good = trained(name="good")
    failed = trained(name="failed", lr=1e30, recipe="slides")
    assert failed.runs[0].status == "failed"
    assert folder.newest(tmp_path / "results") == good


def test_one_name_stands_for_a_list_and_nothing_counts_twice(coloured: Path, tmp_path: Path) -> None:
    """The API takes models="x"; a seed named twice is one run; a misspelt setting is a UsageError."""
    asked = {**TINY, "models": "test_vit", "seeds": (0, 0), "epochs": 1}
    benchmark = train(coloured, name="n", results=tmp_path / "results", **asked)
    assert [run.name for run in benchmark.runs] == ["test_vit-s0"]
    with pytest.raises(UsageError, match="epoch"):
        train(coloured, results=tmp_path / "results", epoch=3)
