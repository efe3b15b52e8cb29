"""`--track`: a mirror of epochs.csv that changes nothing, and whose failure costs nothing."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from painted import TINY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vitbench.benchmark.train import probe, train
from vitbench.errors import UsageError
from vitbench.files import sha256_of
from vitbench.records import Benchmark, Run
from vitbench.records.watch import Watch
from vitbench.training.track import Watches, check, numbers


class Heard(Watch):
    """Keeps the messages; raises KeyboardInterrupt at a step, if one is given."""

    def __init__(self, stop: tuple[int, int] | None = None) -> None:
        self.stop = stop
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        if (epoch, step) == self.stop:
            raise KeyboardInterrupt


@pytest.fixture
def tracked(tmp_path: Path, coloured: Path) -> Callable[..., Benchmark]:
    """`tracked("wandb", name="a")` trains on `coloured` for three epochs."""

    def go(track: str | None, watch: Watch | None = None, *, name: str = "t", **more: Any) -> Benchmark:
        asked = {} if more.get("resume") else {**TINY, "epochs": 3}
        data = None if more.get("resume") else coloured
        place = {"name": name, "results": tmp_path / "results", "watch": watch, "track": track}
        return train(data, **place, **{**asked, **more})

    return go


Tracked = Callable[..., Benchmark]


def told(run: Run) -> list[tuple[int, dict[str, float]]]:
    """(epoch, values) of every row of epochs.csv."""
    return [(row.epoch, numbers(row)) for row in run.epochs()]


# --- tensorboard ----------------------------------------------------------------------------------


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value) pairs, as TensorBoard itself reads them."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def in_csv(run: Run) -> dict[str, list[tuple[int, float]]]:
    """The same from epochs.csv and metrics.json, in TensorBoard's 32-bit numbers."""
    rows = told(run)
    columns = {tag: [(epoch, values[tag]) for epoch, values in rows] for tag in rows[0][1]}
    metrics = run.metrics()
    columns |= {f"test_{name}": [(metrics["best_epoch"], metrics["test"][name])] for name in ("top1", "loss")}
    return {tag: [(step, float(np.float32(v))) for step, v in pairs] for tag, pairs in columns.items()}


@pytest.mark.slow
def test_tensorboard_shows_what_the_csv_says(tracked: Tracked) -> None:
    """Every column at every epoch, the test scores at the chosen one; stderr says where to look."""
    watch = Heard()
    benchmark = tracked("tensorboard", watch)
    (run,) = benchmark.runs
    assert events(benchmark.folder / "tensorboard" / run.name) == in_csv(run)
    assert f"epochs as they come: tensorboard --logdir {benchmark.folder / 'tensorboard'}" in watch.lines


@pytest.mark.slow
@pytest.mark.parametrize("before", ["tensorboard", None])
def test_an_interrupted_run_has_each_epoch_once(tracked: Tracked, before: str | None) -> None:
    """Stopped in the third epoch and resumed, tracked from the start or only then: the whole csv, once."""
    with pytest.raises(KeyboardInterrupt):
        tracked(before, Heard((3, 2)))
    benchmark = tracked("tensorboard", resume=True)
    (run,) = benchmark.runs
    found = events(benchmark.folder / "tensorboard" / run.name)
    assert [step for step, _ in found["val_loss"]] == [1, 2, 3]
    assert found == in_csv(run)


@pytest.mark.slow
def test_each_fold_is_a_run_of_its_own(tracked: Tracked) -> None:
    """Two folds, two folders of events, each with its fold's scores."""
    benchmark = tracked("tensorboard", folds=2, epochs=1)
    for fold in benchmark.runs[0].folds:
        assert events(benchmark.folder / "tensorboard" / fold.name) == in_csv(fold)


# --- wandb and trackio, by modules that only listen ------------------------------------------------


class Recorder:
    """A fake package: `init` gives a run; every call is kept."""

    def __init__(self, known_steps: int = 0, fails_at: str = "") -> None:
        self.calls: list[tuple[str, Any]] = []
        self.known_steps, self.fails_at = known_steps, fails_at

    def call(self, what: str, details: Any) -> None:
        print("noise on stdout")
        if what == self.fails_at:
            raise OSError("the tracker's disk is full\nand more")
        self.calls.append((what, details))

    def init(self, **asked: Any) -> SimpleNamespace:
        self.call("init", asked)
        summary = SimpleNamespace(update=lambda values: self.call("summary", values))
        return SimpleNamespace(log=self.log, finish=self.finish, summary=summary, step=self.known_steps)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.call("log", (step, values))

    def finish(self) -> None:
        self.call("finish", None)

    def named(self, what: str) -> list[Any]:
        return [details for name, details in self.calls if name == what]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorder]:
    """`installed("wandb")` puts a fake of it where `import` finds it."""

    def put(kind: str, **more: Any) -> Recorder:
        recorder, module = Recorder(**more), ModuleType(kind)
        for name, value in (("__version__", "1"), ("init", recorder.init), ("finish", recorder.finish)):
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, kind, module)
        return recorder

    return put


Installed = Callable[..., Recorder]


@pytest.mark.slow
def test_wandb_hears_every_epoch_and_the_scores(tracked: Tracked, installed: Installed) -> None:
    """One run of the project vitbench: a log per epoch, the test scores as summary, then its end."""
    heard = installed("wandb")
    benchmark = tracked("wandb")
    (run,) = benchmark.runs
    assert [what for what, _ in heard.calls] == ["init", "log", "log", "log", "summary", "finish"]
    assert heard.named("log") == told(run)
    test = run.metrics()["test"]
    assert heard.named("summary") == [{"test_top1": test["top1"], "test_loss": test["loss"]}]
    (asked,) = heard.named("init")
    assert (asked["project"], asked["name"], asked["group"]) == ("vitbench", "t/test_vit-s0", "t")
    assert asked["dir"] == str(benchmark.folder)


@pytest.mark.slow
def test_wandb_goes_on_under_the_same_id(tracked: Tracked, installed: Installed) -> None:
    """Interrupted when wandb had kept one epoch of two: the same id, and what it lacks."""
    first = installed("wandb")
    with pytest.raises(KeyboardInterrupt):
        tracked("wandb", Heard((3, 2)))
    assert [what for what, _ in first.calls][-1] == "finish"
    again = installed("wandb", known_steps=2)
    (run,) = tracked("wandb", resume=True).runs
    assert again.named("log") == told(run)[1:]
    assert again.named("init") == first.named("init")
    other = installed("wandb")
    tracked("wandb", name="other", epochs=1)
    assert other.named("init")[0]["id"] != first.named("init")[0]["id"]


@pytest.mark.slow
def test_trackio_hears_every_epoch_and_the_scores(tracked: Tracked, installed: Installed) -> None:
    """A log per epoch, the test scores at the chosen one, then the end; each fold is a run of its own."""
    heard = installed("trackio")
    (run,) = tracked("trackio", folds=2).runs
    one, other = run.folds
    expected = []
    for fold in (one, other):
        metrics = fold.metrics()
        scores = {f"test_{name}": metrics["test"][name] for name in ("top1", "loss")}
        expected += [*told(fold), (metrics["best_epoch"], scores)]
    assert heard.named("log") == expected
    assert [asked["name"] for asked in heard.named("init")] == [f"t/{fold.name}" for fold in (one, other)]
    assert len(heard.named("finish")) == 2


@pytest.mark.slow
def test_trackio_resumes_what_was_interrupted_only(tracked: Tracked, installed: Installed) -> None:
    """A run from the start never goes on with an older one of its name; a resumed one does."""
    first = installed("trackio")
    with pytest.raises(KeyboardInterrupt):
        tracked("trackio", Heard((2, 2)))
    again = installed("trackio")
    tracked("trackio", resume=True)
    assert first.named("init")[0]["resume"] == "never"
    assert again.named("init")[0]["resume"] == "allow"
    assert [step for step, _ in again.named("log")][:2] == [2, 3]


@pytest.mark.slow
def test_what_a_tracker_prints_stays_off_stdout(
    tracked: Tracked, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout is for results: `--json | jq` works whatever the tracker says."""
    installed("trackio")
    tracked("trackio", epochs=1)
    said = capsys.readouterr()
    assert said.out == ""
    assert "noise" in said.err


# --- it changes nothing, and costs nothing --------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails_at", "heard_before"), [("init", 0), ("log", 1), ("summary", 2), ("finish", 3)]
)
def test_a_tracker_that_fails_is_left_and_training_goes_on(
    tracked: Tracked, installed: Installed, fails_at: str, heard_before: int
) -> None:
    """Two models, a tracker that breaks: one line, no further call, both models finished."""
    heard = installed("wandb", fails_at=fails_at)
    watch = Heard()
    benchmark = tracked("wandb", watch, models=("test_vit", "test_efficientnet"), epochs=1)
    assert [run.status for run in benchmark.runs] == ["finished", "finished"]
    assert [line for line in watch.lines if "--track" in line] == [
        "--track wandb: no longer tracked, training goes on (the tracker's disk is full)"
    ]
    assert len(heard.calls) == heard_before


@pytest.mark.slow
def test_tracking_changes_neither_weights_nor_what_is_held_fast(tracked: Tracked) -> None:
    """The same bytes of weights, the same settings and recipe, with and without."""
    plain, seen = tracked(None, name="plain"), tracked("tensorboard", name="seen")
    assert plain.manifest["settings"] == seen.manifest["settings"]
    (one,), (other,) = plain.runs, seen.runs
    assert one.recipe() == other.recipe()
    weights = [sha256_of(run.model_folder / "model.safetensors") for run in (one, other)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_before_any_work(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One line with what to type; no folder is made."""
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(
        UsageError, match=rf"^--track {kind}: needs `pip install 'vitbench\[track\]'`"
    ) as error:
        tracked(kind)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_a_folder_called_wandb_is_not_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wandb leaves such folders behind, and Python imports a bare folder."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UsageError, match="needs `pip install"):
        check("wandb")


def test_other_names_and_probes_are_refused(coloured: Path, tmp_path: Path) -> None:
    """There are three trackers, and a probe has no epochs."""
    with pytest.raises(UsageError, match="--track excel: should be tensorboard, wandb or trackio"):
        train(coloured, results=tmp_path / "results", track="excel", **TINY)
    with pytest.raises(UsageError, match="--track tensorboard: a probe has no epochs"):
        probe(coloured, results=tmp_path / "results", track="tensorboard", models=("test_vit",))


def test_all_watches_hear_every_event() -> None:
    """Each event of `Watch` reaches each watch, in their order, with what it says."""
    heard: list[tuple[int, str, tuple[Any, ...]]] = []
    events = [name for name in vars(Watch) if not name.startswith("_") and name != "among"]

    def listening(number: int) -> Watch:
        def hearing(event: str) -> Callable[..., None]:
            return lambda self, *details: heard.append((number, event, details))

        kind = type("Listening", (Watch,), {event: hearing(event) for event in events})
        return kind()  # type: ignore[no-any-return]

    both = Watches(listening(1), listening(2))
    for event in events:
        getattr(both, event)(event, 1)
    assert len(events) >= 8
    assert heard == [(number, event, (event, 1)) for event in events for number in (1, 2)]
