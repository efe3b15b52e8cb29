"""`pretrain`: encoders from any pictures, and the training that goes on from them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painted import TINY, StopAt, paint, paint_folder
from typer.testing import CliRunner

from vitbench import files
from vitbench.benchmark import folder
from vitbench.benchmark import train as train_module
from vitbench.benchmark.compare import compare
from vitbench.benchmark.plan import Plan
from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import TrainRequest, prepare, pretrain, train
from vitbench.cli.app import app
from vitbench.errors import UsageError, VitbenchError, WeightsError
from vitbench.files import sha256_of
from vitbench.models.tensors import tensor_names
from vitbench.records import Benchmark, Settings
from vitbench.records.watch import Watch
from vitbench.reports.pretrained import encoders, reconstructions_of

Trained = Callable[..., Benchmark]
QUICKLY: dict[str, Any] = {
    key: value for key, value in TINY.items() if key in Settings.known_to("pretrain") - {"weights"}
}


def heap(root: Path, count: int = 14) -> Path:
    """Pictures that lie flat, and one folder of them."""
    for number in range(count):
        folder = root / "trip" if number % 3 == 0 else root
        paint(folder / f"{number:02d}.png", (17 * number % 255, 100, 200), number)
    return root


@pytest.fixture
def pretrained(tmp_path: Path, coloured: Path) -> Trained:
    """`pretrained(name="a", epochs=3)` pre-trains on `coloured` and returns the benchmark."""

    def go(watch: Watch | None = None, *, data: Path = coloured, **asked: Any) -> Benchmark:
        return pretrain(
            data, results=tmp_path / "results", watch=watch, **{"name": "first", **QUICKLY, **asked}
        )

    return go


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Two encoders, `first` in a results folder of its own; do not change it."""
    root = tmp_path_factory.mktemp("module")
    asked = {**QUICKLY, "models": ("test_vit", "test_vit2")}
    return pretrain(paint_folder(root / "coloured"), results=root / "results", name="first", **asked)


@pytest.fixture(autouse=True)
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons are not what is tested here, and take long."""
    monkeypatch.setattr(train_module, "write_reports", lambda *_: [])


def planned(first: Benchmark, coloured: Path, **asked: Any) -> Plan:
    """What `train` would do beside the benchmark `first`."""
    usual = {**TINY, "with_probe": False}
    request = TrainRequest(Settings.of({**usual, **asked}), coloured, "then", first.folder.parent)
    return prepare(request, Watch(), dry_run=True)[0]


def encoder(benchmark: Benchmark) -> Path:
    return benchmark.runs[0].model_folder / "model.safetensors"


@pytest.mark.slow
def test_class_folders_leave_out_the_pictures_that_train_would_test_on(
    first: Benchmark, coloured: Path
) -> None:
    """Both commands make one split, and no test picture is in what was learnt from."""
    split = planned(first, coloured).split
    assert {(r["sha256"], r["split"]) for r in first.split_rows()} == {
        (picture.sha256, part) for part, picture in split.assigned()
    }
    learnt = {row["sha256"] for row in (*first.rows_of("train"), *first.rows_of("val"))}
    assert len(learnt) == 30
    assert not learnt & {picture.sha256 for picture in split.test}


def test_a_run_is_an_encoder_without_classes(first: Benchmark) -> None:
    """Called after its arm; no head, no class names, no test."""
    run = first.runs[0]
    assert (run.name, run.planned.arm, run.planned.network) == ("simmim-test_vit-s0", "simmim", "test_vit")
    assert not [name for name in tensor_names(encoder(first)) if name.startswith("head")]
    assert not files.read_json(run.model_folder / "config.json").get("label_names")
    assert run.recipe().classes == ()
    assert run.metrics()["test"] is None


def test_the_page_shows_what_is_rebuilt(first: Benchmark) -> None:
    """Every run's sheets, its loss on val from the first epoch to the last, and curves; no comparison."""
    page = (first.folder / "report.html").read_text(encoding="utf-8")
    for run in first.runs:
        assert [path.name for path in reconstructions_of(run)] == ["epoch-0001.npz", "epoch-0002.npz"]
        before, last = run.epochs()
        assert f"{run.name}: loss on val {before.val_loss:.3f} → {last.val_loss:.3f} over 2 epochs" in page
    assert page.count("data:image/jpeg") == 4
    assert (first.folder / "curves.png").exists()
    assert not (first.folder / "comparison.csv").exists()


def test_training_goes_on_from_each_models_own_encoder(first: Benchmark, coloured: Path) -> None:
    """A benchmark hands each model its own, by its name alone; a run is called NAME/RUN."""
    models = ("test_vit", "test_vit2")
    for job in planned(first, coloured, models=models, weights=("first",)).jobs:
        assert job.begins_with == f"simmim first/simmim-{job.run_name}"
        assert (job.recipe.init.kind, job.recipe.init.base) == ("masked", "random")
    (job,) = planned(first, coloured, weights=("first/simmim-test_vit-s0",)).jobs
    assert job.begins_with == "simmim first/simmim-test_vit-s0"


def test_only_the_head_is_new(first: Benchmark, trained: Trained) -> None:
    """Every other tensor is the encoder's, and the run's notes say so."""
    then = trained(weights=(str(first.folder),), epochs=1, with_probe=False)
    assert re.search(
        r"tensors are those of the pre-trained encoder; new: head\.bias, head\.weight$",
        then.runs[0].about()["notes"][-1],
    )


@pytest.mark.slow
def test_flat_folder_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures without class folders: `pretrain DATA --json` prints the run and where its encoder lies."""
    heap(tmp_path / "heap")
    monkeypatch.chdir(tmp_path)
    words = "pretrain heap --models test_vit --image-size 32 --epochs 1 --name first --json"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == {"benchmark": "first", "runs": encoders(Benchmark(Path("results/first")))}
    (row,) = found["runs"]
    assert (row["run"], row["epochs"], row["status"]) == ("simmim-test_vit-s0", 1, "finished")
    assert Path(row["encoder"], "model.safetensors").exists()
    assert "next: vitbench train DATA --models test_vit --image-size 32 --weights first" in done.stderr
    manifest = Benchmark(tmp_path / "results" / "first").manifest
    assert (manifest["layout"], manifest["split"]["n_train"], manifest["split"]["n_val"]) == ("loose", 12, 2)
    assert any("heap: only class 'trip'" in note for note in manifest["notes"])


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(pretrained: Trained, tmp_path: Path) -> None:
    """A pre-training that is cut off in its third epoch ends as one that was not, sheets included."""
    whole = pretrained(name="whole", epochs=4, batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        pretrained(StopAt(3, 2), name="cut", epochs=4, batch_size=8)
    cut = train(name="cut", results=tmp_path / "results", resume=True)
    assert sha256_of(encoder(cut)) == sha256_of(encoder(whole))
    assert [e.val_loss for e in cut.runs[0].epochs()] == [e.val_loss for e in whole.runs[0].epochs()]
    sheets = [[sha256_of(path) for path in reconstructions_of(b.runs[0])] for b in (cut, whole)]
    assert sheets[0] == sheets[1] != []


@pytest.mark.slow
def test_test_pictures_on_request(pretrained: Trained) -> None:
    """`with_test` learns from all but val, and a benchmark keeps to what it was made with."""
    first = pretrained(with_test=True)
    assert first.manifest["split"]["n_test"] == 0
    assert first.manifest["split"]["n_train"] == 30
    with pytest.raises(UsageError, match="differs in with_test True → False"):
        pretrained(with_test=False)
    with pytest.raises(UsageError, match=r"mask_ratio 0\.6 → 0\.5"):
        pretrained(with_test=True, mask_ratio=0.5)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"models": ("test_efficientnet",)}, "test_efficientnet: masked pre-training needs patches"),
        ({"mask_size": 24}, "--mask-size 24 does not fit test_vit at 32 px"),
        ({"per_class": 20}, "--per-class: is no option of vitbench pretrain, only of train"),
        ({"folds": 5}, "--folds: is no option of vitbench pretrain, only of train"),
        ({"teacher": "resnet18"}, "--teacher: is no option of vitbench pretrain, only of train"),
        ({"mixup": 0.2}, "--mixup: is no option of vitbench pretrain, only of train"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything(
    pretrained: Trained, tmp_path: Path, asked: dict[str, Any], line: str
) -> None:
    """One line that names the option or the model; nothing is written."""
    with pytest.raises(UsageError) as caught:
        pretrained(**asked)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_an_arm_with_pretraining_is_checked_as_well(trained: Trained, tmp_path: Path) -> None:
    """A CNN cannot be masked in an arm either."""
    with pytest.raises(UsageError, match="test_efficientnet: masked pre-training needs patches"):
        trained(models=("test_efficientnet",), pretrain=True)
    assert not (tmp_path / "results").exists()


def test_two_pictures_are_one_line(pretrained: Trained, tmp_path: Path) -> None:
    """Too few to learn from, in one heap or in class folders."""
    paint(tmp_path / "two" / "a" / "1.png", (1, 2, 3), 1)
    paint(tmp_path / "two" / "b" / "2.png", (200, 2, 3), 2)
    with pytest.raises(
        VitbenchError, match=r"two: 2 different pictures to learn from, .* needs 10; add pictures$"
    ):
        pretrained(data=tmp_path / "two")


def test_small_classes_are_no_obstacle(pretrained: Trained, tmp_path: Path) -> None:
    """Where `train` could not divide the classes, labels are forgotten, and that is said."""
    paint_folder(tmp_path / "small", per_class=6)
    paint(tmp_path / "small" / "rare" / "1.png", (1, 2, 3), 99)
    first = pretrained(data=tmp_path / "small", epochs=1)
    assert first.manifest["layout"] == "loose"
    assert any("class 'rare' has 1 different image" in note for note in first.manifest["notes"])


def test_an_encoder_of_another_network_is_one_line(
    first: Benchmark, coloured: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which network it is of, and which it does not fit; nothing else on stderr."""
    with pytest.raises(
        WeightsError, match=r"of test_vit, which does not fit test_vit2 \(.*\); give test_vit2"
    ):
        planned(first, coloured, models=("test_vit2",), weights=("first/simmim-test_vit-s0",))
    assert capfd.readouterr().err == ""
    with pytest.raises(UsageError, match="one model's, but 2 are asked for"):
        planned(first, coloured, models=("test_vit", "test_vit2"), weights=("first/simmim-test_vit-s0",))
    with pytest.raises(WeightsError, match="has no run of deit"):
        planned(first, coloured, models=("deit",), weights=("first",))


def test_encoders_answer_nothing(first: Benchmark, coloured: Path) -> None:
    """`compare`, `predict` and `train --name` say so in one line each, by benchmark, run and model folder."""
    results = first.folder.parent
    for call in (
        lambda: compare("first", results=results),
        lambda: compare(results=results),
        lambda: list(predict(coloured / "red" / "00.png", run="first", results=results)),
        lambda: list(predict(coloured / "red" / "00.png", run="first/simmim-test_vit-s0", results=results)),
        lambda: list(predict(coloured / "red" / "00.png", run=first.runs[0].model_folder)),
    ):
        with pytest.raises(
            UsageError, match=r"pre-trained encoders?, which names? no classes; next: vitbench train"
        ):
            call()
    with pytest.raises(
        UsageError, match="is a benchmark of encoders; `vitbench pretrain --models test_vit --name first"
    ):
        train(name="first", results=results, models=("test_vit",))


def test_the_newest_benchmark_is_one_that_answers(
    first: Benchmark, two_models: Benchmark, tmp_path: Path
) -> None:
    """A bare `compare` or `predict` after `pretrain` means the benchmark before it."""
    for benchmark, created in ((two_models, "2026-01-01"), (first, "2026-01-02")):
        copy = shutil.copytree(benchmark.folder, tmp_path / benchmark.name)
        files.write_json(copy / "benchmark.json", {**benchmark.manifest, "created": created})
    assert folder.newest(tmp_path).name == two_models.name


@pytest.mark.slow
def test_learned_test_pictures_are_said(first: Benchmark, coloured: Path, tmp_path: Path) -> None:
    """An encoder that saw the test pictures is warned of in the plan of what goes on from it."""
    assert planned(first, coloured, weights=("first",)).warnings == ()
    seen = pretrain(coloured, results=tmp_path, name="seen", with_test=True, **QUICKLY)
    (line,) = planned(first, coloured, weights=(str(seen.folder),)).warnings
    assert "learned from 6 of the 6 test pictures" in line
