"""Probes as runs: alone, and beside fine-tuned models; heads that start from them; tuning on val."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted import TINY, paint_folder
from safetensors.torch import save_file

from vitbench.benchmark.compare import compare
from vitbench.benchmark.plan import make_plan
from vitbench.benchmark.train import train
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images, write_split
from vitbench.errors import RunFailedError, UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.inference.forward import predict_pictures
from vitbench.models.create import create
from vitbench.models.folder import load_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Machine, Recipe, Settings
from vitbench.records.watch import Watch
from vitbench.training import loop

Trained = Callable[..., Benchmark]
PROBED: dict[str, Any] = {
    "recipe": "probe", **{key: TINY[key] for key in ("models", "weights", "image_size", "workers")}
}  # fmt: skip


@pytest.fixture
def learned(tmp_path: Path) -> str:
    """A weights file of test_vit, which stands for a pretrained one."""
    path = tmp_path / "test_vit.safetensors"
    model = create(plan_model("test_vit", 32), 7, RANDOM, seed=3)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return str(path)


@pytest.mark.slow
def test_a_probe_is_a_benchmark_and_its_models_answer(trained: Trained) -> None:
    """`recipe="probe"`: table, files and saved models as of any benchmark; the models say what it says."""
    benchmark = trained(recipe="probe", models=("test_vit", "test_efficientnet"), folds=3)
    assert [run.status for run in benchmark.runs] == ["finished", "finished"]
    rows = read_csv(benchmark.folder / "comparison.csv")
    assert {row["recipe"] for row in rows} >= {"probe"}
    assert all(float(row["train_images_per_second"]) > 0 for row in rows if row["recipe"] == "probe")
    assert (benchmark.folder / "report.html").exists()
    # A probe's model has its head fitted to all pictures: it answers those well that it was fitted to.
    for run in benchmark.runs:
        assert run.predictions().folds is not None
        assert load_model(run.model_folder).classes == benchmark.classes


@pytest.mark.slow
def test_the_saved_head_gives_the_probes_answers(tmp_path: Path, coloured: Path) -> None:
    """Where DATA brings test/, there are no folds: the saved network gives predictions.csv."""
    data = tmp_path / "split"
    write_split(split_images(scan_folder(coloured)), data)
    benchmark = train(data, name="p", results=tmp_path / "results", **PROBED)
    run = benchmark.runs[0]
    assert benchmark.folds == 0
    plan = make_plan(benchmark.settings, data, Watch(), benchmark=benchmark)
    model = load_model(run.model_folder)
    machine = Machine("cpu", "CPU", 16, 16, torch.get_num_threads(), 0)
    said = predict_pictures(model.module, plan.split, plan.split.test, model.preprocessing, machine)
    assert np.allclose(said.probabilities, run.predictions().probabilities, atol=1e-4)


@pytest.mark.slow
def test_features_are_kept_between_benchmarks(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second probe of the same pictures sends none of them through the network, and says the same."""
    first = trained(name="first", recipe="probe")
    heard: list[int] = []

    class Listening(Watch):
        def work(self, what: str, done: int, total: int) -> None:
            heard.extend([total] * (what == "features"))

    second = trained(Listening(), name="second", recipe="probe")
    assert heard == []
    assert np.array_equal(
        first.runs[0].predictions().probabilities, second.runs[0].predictions().probabilities
    )
    trained(Listening(), name="larger", recipe="probe", image_size=48)
    assert set(heard) == {36}


@pytest.mark.slow
@pytest.mark.usefixtures("timed")
def test_what_is_known_of_the_pictures_is_not_timed(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan of a second probe times no forward passes and announces none; of another size it does both."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    timed: list[int] = []

    def forward_speed(*given: object) -> float:
        timed.append(1)
        return 100.0

    monkeypatch.setattr("vitbench.benchmark.estimate.forward_speed", forward_speed)
    announced: list[str] = []

    class Listening(Watch):
        def work(self, what: str, done: int, total: int) -> None:
            announced.extend([what] * what.startswith("timing"))

    for name, size, passes in (("first", 32, 1), ("second", 32, 1), ("larger", 48, 2)):
        trained(Listening(), name=name, recipe="probe", image_size=size)
        assert len(timed) == len(announced) == passes


@pytest.mark.slow
def test_a_probe_stands_beside_a_model_that_learned_something(trained: Trained, learned: str) -> None:
    """with_probe adds `<model>-probe-s0`; not for random weights; never a competitor for a rank."""
    benchmark = trained(weights=(learned,), with_probe=True)
    assert [run.name for run in benchmark.runs] == ["test_vit-probe-s0", "test_vit-s0"]
    assert all(run.status == "finished" for run in benchmark.runs)
    found = compare(benchmark)
    assert found.pairs == ()
    assert [{pair.model_a, pair.model_b} for pair in found.probes] == [{"test_vit", "test_vit-probe"}]
    assert [run.name for run in trained(name="random", with_probe=True).runs] == ["test_vit-s0"]


@pytest.mark.slow
def test_a_probe_is_shown_where_it_costs_little(trained: Trained, learned: str) -> None:
    """36 forward passes beside 3 × 36 views × 20 epochs: shown unasked; beside one short epoch it is not."""
    cheap = trained(name="cheap", weights=(learned,), epochs=4)
    assert "test_vit-probe-s0" in [run.name for run in cheap.runs]
    short = trained(name="short", weights=(learned,), epochs=1)
    assert [run.name for run in short.runs] == ["test_vit-s0"]
    without = trained(name="without", weights=(learned,), epochs=4, with_probe=False)
    assert [run.name for run in without.runs] == ["test_vit-s0"]
    added = trained(name="without", weights=(learned,), epochs=4, with_probe=True)
    assert {run.name for run in added.runs} == {"test_vit-s0", "test_vit-probe-s0"}


@pytest.mark.slow
def test_fine_tuning_starts_from_the_probes_head(trained: Trained, learned: str) -> None:
    """From learned weights the head is fitted first, and a resumed run ends with the same bytes."""

    class Stop(Watch):
        def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
            if (epoch, step) == (1, 2):
                raise KeyboardInterrupt

    asked: dict[str, Any] = {"weights": (learned,), "with_probe": False, "epochs": 2}
    whole = trained(name="whole", **asked)
    assert whole.runs[0].recipe().head == "probe"
    with pytest.raises(KeyboardInterrupt):
        trained(Stop(), name="cut", **asked)
    cut = trained(name="cut", resume=True)
    digests = [sha256_of(b.runs[0].model_folder / "model.safetensors") for b in (whole, cut)]
    assert digests[0] == digests[1]
    assert trained(name="random").runs[0].recipe().head == "new"
    # Weights that bring a head for these very classes keep it.
    on = trained(name="on", **{**asked, "weights": (str(whole.runs[0].model_folder),)})
    assert on.runs[0].recipe().head == "new"


@pytest.mark.slow
def test_a_probe_that_failed_is_done_again(
    trained: Trained, learned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory at any size: the probe fails alone; --resume and further seeds come back to it."""
    asked: dict[str, Any] = {"weights": (learned,), "with_probe": True}

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("vitbench.training.probe.features_of", full)
        benchmark = trained(**asked)
    assert {run.name: run.status for run in benchmark.runs} == {
        "test_vit-probe-s0": "failed",
        "test_vit-s0": "finished",
    }
    assert "out of memory" in benchmark.runs[0].failure
    more = trained(**asked, seeds=(0, 1))
    assert [run.status for run in more.runs] == ["finished"] * 3
    assert more.runs[0].failure == ""


@pytest.mark.slow
def test_a_tuned_run_cut_off_at_its_end_goes_on(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the chosen model is saved: the run has the chosen recipe already, and resumes."""
    import vitbench.training.jobs as jobs

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for seed in (0, 1, 2):  # one of them chooses another setting than the first
        with monkeypatch.context() as killed:
            killed.setattr(jobs, "save_model", cut)
            with pytest.raises(KeyboardInterrupt):
                trained(name=f"cut{seed}", tune=3, augment="geometry", seeds=(seed,))
        assert trained(name=f"cut{seed}", resume=True).runs[0].status == "finished"


@pytest.mark.slow
def test_tuning_tries_settings_on_val_and_keeps_the_best(trained: Trained) -> None:
    """--tune 3: three learning rates, each listed; the run is the one that val likes best."""
    benchmark = trained(tune=3, augment="geometry")
    run = benchmark.runs[0]
    rows = read_csv(run.folder / "tuning.csv")
    lr = TINY["lr"]
    assert [float(row["lr"]) for row in rows] == pytest.approx([lr, lr / 3, lr * 3])
    assert {row["augment"] for row in rows} == {"geometry"}
    merit = [(float(row["val_top1"]), -float(row["val_loss"])) for row in rows]
    chosen = [row["chosen"] for row in rows].index("1")
    assert merit[chosen] == max(merit)
    assert run.recipe().lr == pytest.approx(float(rows[chosen]["lr"]))
    assert [row.val_top1 for row in run.epochs()] == [
        r.val_top1 for r in run.part(f"tune-{chosen + 1}").epochs()
    ]
    assert any("among 3 settings" in note for note in run.metrics()["notes"])
    assert not list(run.folder.rglob("checkpoint"))


@pytest.mark.slow
def test_tuning_resumes_where_it_was_stopped(trained: Trained) -> None:
    """Stopped in the second trial: the first is not trained again, and the end is the same."""

    class Stop(Watch):
        run = ""

        def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
            self.run = run

        def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
            if self.run.endswith("tune-2") and (epoch, step) == (2, 1):
                raise KeyboardInterrupt

    whole = trained(name="whole", tune=2)
    with pytest.raises(KeyboardInterrupt):
        trained(Stop(), name="cut", tune=2)
    cut = trained(name="cut", resume=True)
    for name in ("model/model.safetensors", "predictions.csv"):
        assert sha256_of(cut.runs[0].folder / name) == sha256_of(whole.runs[0].folder / name)


@pytest.mark.slow
def test_a_setting_that_fails_is_listed_and_the_others_decide(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that blows up is a failed row of tuning.csv; where all do, the run fails."""
    limit = 2 * TINY["lr"]

    def exploding(loss: float, epoch: int, step: int, recipe: Recipe) -> float:
        if recipe.lr > limit:
            raise RunFailedError("the loss is nan")
        return loss

    monkeypatch.setattr(loop, "_finite", exploding)
    run = trained(tune=3, augment="geometry").runs[0]
    rows = read_csv(run.folder / "tuning.csv")
    assert [row["status"] for row in rows] == ["finished", "finished", "failed"]
    assert [row["chosen"] for row in rows][2] == "0"
    none = trained(name="none", tune=3, augment="geometry", lr=10.0).runs[0]
    assert none.failure == "the loss is nan"


def test_settings_of_a_probe_cannot_meet_those_of_training(tmp_path: Path) -> None:
    """A probe has no epochs of its own, and its recipe names no head to start from."""
    data = paint_folder(tmp_path / "data")
    settings = Settings.of({**PROBED, "folds": 3})
    plan = make_plan(settings, data, Watch())
    assert [job.recipe.epochs for job in plan.jobs] == [0]
    assert plan.jobs[0].recipe.head == "new"
    benchmark = train(data, name="p", results=tmp_path / "results", **{**PROBED, "folds": 3})
    assert benchmark.runs[0].metrics()["epochs"] == 0
    for idle in ({"epochs": 3}, {"tune": 2}, {"seeds": (0, 1)}, {"final": "retrain"}):
        with pytest.raises(UsageError, match="is no option of vitbench probe"):
            train(data, name="q", results=tmp_path / "results", **{**PROBED, **idle})
    with pytest.raises(UsageError, match="benchmark of probes"):
        train(name="p", results=tmp_path / "results", models=("test_efficientnet",))


@pytest.mark.slow
def test_a_network_without_a_linear_classifier_trains_and_is_not_probed(
    coloured: Path, tmp_path: Path
) -> None:
    """levit's head normalises first: fine-tuning starts from a new head, and a probe of it is refused."""
    path = tmp_path / "levit.safetensors"
    plan = plan_model("levit_128s", 224)
    assert not plan.linear_head
    weights = create(plan, 7, RANDOM, seed=0).state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, path)
    asked = {"models": ("levit_128s",), "weights": (str(path),)}
    jobs = make_plan(Settings.of({**asked, "with_probe": True}), coloured, Watch()).jobs
    assert [(job.run_name, job.recipe.head) for job in jobs] == [("levit_128s-s0", "new")]
    with pytest.raises(UsageError, match="levit_128s"):
        make_plan(Settings.of({**asked, "recipe": "probe"}), coloured, Watch())
