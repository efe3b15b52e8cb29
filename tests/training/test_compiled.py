"""The compiled step: before the first one or not at all; a run goes on with what it began with."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import TINY

from vitbench.benchmark import compiling
from vitbench.benchmark.engine import InTurn
from vitbench.benchmark.estimate import Estimate
from vitbench.benchmark.plan import Plan, make_plan
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Settings
from vitbench.records.watch import Watch
from vitbench.training.compiled import Trial, _batches, compile_step, rehearse, tried
from vitbench.training.environment import NO_COMPILER, compiler
from vitbench.training.loop import build_trainer
from vitbench.training.machine import choose_machine
from vitbench.training.recipes import build_recipe
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_reports")  # no test here looks at them

Trained = Callable[..., Benchmark]
NO_CXX = pytest.mark.skipif(compiler() == NO_COMPILER, reason="this machine has no C++ compiler")


class Said(Watch):
    """Keeps what it is told; raises KeyboardInterrupt after so many epochs."""

    def __init__(self, epochs: int = 99) -> None:
        self.lines: list[str] = []
        self.left = epochs

    def message(self, text: str) -> None:
        self.lines.append(text)

    def epoch_finished(self, run: str, row: Any, best: bool) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without g++, for this process and for those that it starts."""
    import torch._inductor.config

    monkeypatch.setenv("CXX", "/nowhere/g++")
    with torch._inductor.config.patch({"cpp.cxx": (None, "/nowhere/g++")}):
        yield


def built(folder: Path, model: str = "test_vit", **asked: Any) -> Trainer:
    """A trainer by the settings that a call gives."""
    settings = Settings.of({**TINY, "models": (model,), "device": "cpu", **asked})
    split, plan = split_images(scan_folder(folder, near=False), 0), plan_model(model, 32)
    recipe = build_recipe(settings, plan, split, 0, RANDOM.origin, "fp32")
    network = create(plan, 3, RANDOM, 0, recipe.drop_path)
    machine = choose_machine(settings, torch.device("cpu"), recipe.batch_size)
    return build_trainer(network, recipe, split, machine)


# --- without a compiler -----------------------------------------------------------------------------


@pytest.mark.slow
def test_without_a_compiler_one_line_says_so_and_the_weights_are_those_of_other_runs(
    trained: Trained, no_compiler: None
) -> None:
    """It is said before the first step and in the run's files; the bytes are those of --no-compile."""
    said = Said()
    (asked,) = trained(said, name="asked", compile=True).runs
    (plain,) = trained(name="plain", compile=False).runs
    assert [line for line in said.lines if "could not be compiled" in line] == [
        f"test_vit-s0: its step could not be compiled ({NO_COMPILER}): trained as it is"
    ]
    assert asked.environment()["techniques"]["compiled"] is False
    assert any("could not be compiled" in note for note in asked.about()["notes"])
    assert sha256_of(asked.model_folder / "model.safetensors") == sha256_of(
        plain.model_folder / "model.safetensors"
    )


@pytest.mark.slow
def test_a_run_goes_on_with_the_step_it_began_with(trained: Trained) -> None:
    """Begun as it is, asked to be compiled when it is resumed: a line, and it stays as it is."""
    with pytest.raises(KeyboardInterrupt):
        trained(Said(epochs=1), compile=False)
    said = Said()
    (run,) = trained(said, resume=True, compile=True).runs
    assert "test_vit-s0: goes on with compiled False, as it started (not True)" in said.lines
    assert run.status == "finished"
    assert run.environment()["compiled"] is False


@pytest.mark.slow
def test_a_run_begun_compiled_is_refused_where_that_cannot_be_had(
    trained: Trained, no_compiler: None, tmp_path: Path
) -> None:
    """Another compiler gives other last bits: the difference is named, and can be accepted."""
    with pytest.raises(KeyboardInterrupt):
        trained(Said(epochs=1))
    folder = tmp_path / "results" / "tiny" / "test_vit-s0"
    for name, change in (("recipe.json", ("machine",)), ("environment.json", ())):
        written = json.loads((folder / name).read_text())
        place = written[change[0]] if change else written
        place |= {"compiled": True, "compiler": "g++ version 1.0"}
        (folder / name).write_text(json.dumps(written))
    with pytest.raises(UsageError, match=re.escape(f"(g++ version 1.0 → {NO_COMPILER}); go on")):
        trained(resume=True)
    accepted = Said()
    (run,) = trained(accepted, resume=True, allow_changed=True).runs
    assert run.status == "finished"
    assert any("other last bits" in line for line in accepted.lines)


# --- rehearsing -------------------------------------------------------------------------------------


def test_rehearsing_leaves_nothing_behind(coloured: Path) -> None:
    """Weights, running statistics and gradients are afterwards what they were."""
    trainer = built(coloured, "test_efficientnet", micro_batch=6)
    before = {name: tensor.clone() for name, tensor in trainer.objective.state_dict().items()}
    rehearse(trainer, 16)
    after = trainer.objective.state_dict()
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(one.grad is None for one in trainer.model.parameters())


def test_every_size_of_batch_is_rehearsed(coloured: Path) -> None:
    """48 views in batches of at most 13 are four of 12; 45 are of 12 and 11: those, and no others."""
    for per_class, sizes in ((16, {12}), (15, {12, 11})):
        trainer = built(coloured, per_class=per_class, batch_size=13)
        assert {len(labels) for _, labels in trainer.batches(1)} == sizes
        assert set(_batches(trainer)) == sizes


# --- where nobody has said --------------------------------------------------------------------------


@pytest.fixture
def plan(coloured: Path) -> Plan:
    """Two models, whose trainings are said to take as long as a test says."""
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "seeds": (0, 1), "device": "cpu"}
    return make_plan(Settings.of({**asked, "with_probe": False, "near_duplicates": False}), coloured, Watch())


def taking(plan: Plan, seconds: float) -> dict[str, Estimate]:
    return {job.run_name: Estimate(1.0, seconds, 1.0, 1.0) for job in plan.jobs}


@NO_CXX
@pytest.mark.parametrize(
    ("seconds", "gain", "compiling_seconds", "tries", "wanted"),
    [
        (600, 2.0, 20, 0, False),  # too short for a trial
        (1200, 1.24, 100, 2, True),
        (1200, 1.02, 100, 2, False),  # no gain worth its name
        (1200, 1.24, 130, 2, False),  # nine times as long as compiling
        (float("nan"), 2.0, 20, 0, False),  # nobody knows how long
    ],
)
def test_long_trainings_are_compiled_where_the_timed_steps_gain(
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    gain: float,
    compiling_seconds: float,
    tries: int,
    wanted: bool,
) -> None:
    """One trial per model serves all its seeds."""
    asked: list[Any] = []
    monkeypatch.setattr(
        compiling, "tried", lambda trainer: asked.append(trainer) or Trial(gain, compiling_seconds)
    )
    chosen = compiling.choose_compiled(plan, taking(plan, seconds), (), InTurn(), Watch())
    assert [job.machine.compiled for job in chosen.jobs] == [wanted] * 4
    assert len(asked) == tries


def test_what_was_begun_or_said_is_not_tried(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A begun run keeps what it has; --compile and --no-compile are no question."""
    monkeypatch.setattr(compiling, "_pays", lambda *given: pytest.fail("tried"))
    begun = [job.run_name for job in plan.jobs]
    assert compiling.choose_compiled(plan, taking(plan, 1e5), begun, InTurn(), Watch()) == plan
    said = make_plan(
        Settings.of({**TINY, "compile": True, "near_duplicates": False}), plan.images.root, Watch()
    )
    assert compiling.choose_compiled(said, taking(said, 1e5), (), InTurn(), Watch()) == said


# --- really compiled --------------------------------------------------------------------------------


@NO_CXX
@pytest.mark.slow
def test_a_compiled_step_draws_and_learns_as_the_other_one(coloured: Path) -> None:
    """Drop path and accumulation on: losses within 1e-4, equal names, nothing compiled later."""
    from torch._dynamo.utils import counters

    asked = {"drop_path": 0.3, "micro_batch": 9, "per_class": 16}
    plain, compiled = (built(coloured, **asked) for _ in range(2))
    assert compile_step(compiled) == ""
    graphs = counters["stats"]["unique_graphs"]
    for step, (images, labels) in enumerate(plain.batches(1)):
        one, _ = train_step(plain, images, labels, step)
        two, _ = train_step(compiled, images, labels, step)
        assert abs(float(one) - float(two)) < 1e-4
    assert counters["stats"]["unique_graphs"] == graphs
    assert list(plain.objective.state_dict()) == list(compiled.objective.state_dict())


@NO_CXX
@pytest.mark.slow
def test_a_trial_tells_gain_and_time(coloured: Path) -> None:
    """Both positive numbers, no trouble."""
    trial = tried(built(coloured))
    assert trial.trouble == ""
    assert trial.gain > 0.1
    assert trial.seconds > 0


@NO_CXX
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX process groups")
@pytest.mark.timeout(1800)
def test_kill_9_and_resume_give_the_same_bytes(tmp_path: Path, coloured: Path) -> None:
    """Another process, with nothing to take from torch's cache, compiles the same code: equal weights."""
    options = shlex.split(
        "--models test_vit --weights random --image-size 32 --epochs 6 --per-class 60 --batch-size 16 "
        "--drop-path 0.2 --ema 0.9 --compile --no-probe"
    )
    call = [sys.executable, "-m", "vitbench", "train", str(coloured), *options, "--results", str(tmp_path)]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*call, "--name", "whole"], check=True, **quiet)
    saving = {**os.environ, "VITBENCH_SAVE_SECONDS": "0"}
    cut = subprocess.Popen([*call, "--name", "cut"], env=saving, start_new_session=True, **quiet)
    log = tmp_path / "cut" / "test_vit-s0" / "log.txt"
    while not (log.exists() and re.search(r"epoch 3 step", log.read_text())):
        assert cut.poll() is None
        time.sleep(0.02)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    afresh = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    subprocess.run([*call, "--name", "cut", "--resume"], check=True, env=afresh, **quiet)
    one, two = (tmp_path / name / "test_vit-s0" for name in ("whole", "cut"))
    assert sha256_of(one / "model" / "model.safetensors") == sha256_of(two / "model" / "model.safetensors")
    assert [row["train_loss"] for row in read_csv(one / "epochs.csv")] == [
        row["train_loss"] for row in read_csv(two / "epochs.csv")
    ]
    assert json.loads((two / "environment.json").read_text())["techniques"]["compiled"] is True
