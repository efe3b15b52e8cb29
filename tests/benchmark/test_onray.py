"""The grid on Ray: two machines on this one, what is lost goes on, and the bytes are those without it."""

import contextlib
import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from leaving import processes
from painted import TINY, ListeningToRuns, paint_folder

from vitbench.benchmark import onray
from vitbench.benchmark.parcels import Parcel, unpack
from vitbench.benchmark.rays import patiently, tried
from vitbench.benchmark.sweep import sweep
from vitbench.benchmark.tasks import SCRATCH, TOKEN
from vitbench.benchmark.train import train
from vitbench.files import sha256_of
from vitbench.records import Benchmark, Epoch

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

ASKED: dict[str, Any] = {
    **TINY,
    "models": ("test_vit", "test_vit2", "test_efficientnet"),
    "seeds": (0, 1, 2),
    "epochs": 20,
    "per_class": 24,
}
OBJECTS = 80 * 2**20


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_folder(tmp_path_factory.mktemp("grid") / "coloured")


@pytest.fixture(scope="module")
def plain(photos: Path) -> list[list[str]]:
    """What the runs come to one after the other in this process, with a thread each."""
    return outcomes(train(photos, name="plain", results=photos.parent / "results", progress=False, **ASKED))


def outcomes(benchmark: Benchmark) -> list[list[str]]:
    kept = ("model/model.safetensors", "predictions.csv", "val_predictions.csv")
    return [[run.name, *(sha256_of(run.folder / name) for name in kept)] for run in benchmark.runs]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray whose first machine carries nothing out; tests add machines of one core."""
    for name, value in (("RAY_AUTH_MODE", "disabled"), ("RAY_USAGE_STATS_ENABLED", "0")):
        os.environ[name] = value  # read where Ray is loaded
    pytest.importorskip("ray")
    services: Any = __import__("ray._private.services", fromlist=["get_node"])
    services.get_node = patiently(services.get_node)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECTS}
    made = tried(lambda: Cluster(initialize_head=True, head_node_args=head))
    yield made
    made.shutdown()


@pytest.fixture
def machine(cluster: Any) -> Iterator[Callable[..., Any]]:
    """`machine(SCRATCH=…)` adds one with that in its environment; it goes with the test."""
    added = []

    def add(**environment: str) -> Any:
        own = {"object_store_memory": OBJECTS, "env_vars": environment}
        node = tried(lambda: cluster.add_node(num_cpus=1, **own))
        added.append(node)
        return node

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


class Kills(ListeningToRuns):
    """In the middle of a run kills who trains it, in the middle of a later one its whole machine."""

    def __init__(self, kill_machine: Callable[[str], bool]) -> None:
        super().__init__()
        self.kills = [self.kill_worker, kill_machine]
        self.grid: list[str] = []

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if self.kills and row.epoch <= ASKED["epochs"] / 2 and self.kills[0](run):
            self.kills.pop(0)

    def machines(self, text: str, at_once: int) -> None:
        self.grid.append(text)

    def kill_worker(self, run: str) -> bool:
        return any(_killed(process) for process in processes() if carries(process, run))


def _killed(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        process.kill()
        return True
    return False


def carries(process: psutil.Process, run: str) -> bool:
    """Whether a Ray worker has this run in hand."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[:1] == [f"ray::{run}"]
    return False


def left_over() -> list[str]:
    """Processes that carry works out for a Ray worker, or for nobody any more."""
    found = []
    for process in processes():
        with contextlib.suppress(psutil.Error):
            call, parent = " ".join(process.cmdline()), process.parent()
            mine = parent is None or parent.pid == 1 or "ray" in parent.name()
            if "vitbench.benchmark.worker" in call and mine:
                found.append(call[:200])
    return found


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that nobody has asked for its status has."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(holds: Callable[[], Any], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_worker_and_a_lost_machine_cost_no_byte(
    cluster: Any, machine: Callable[..., Any], photos: Path, plain: list[list[str]], tmp_path: Path
) -> None:
    """kill -9 of who trains, then of a machine in the middle: the runs go on, and nobody is left."""
    machine()
    second = machine()

    def kill_machine(run: str) -> bool:
        raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
        has_it = any(carries(process, run) for process in raylet.children(recursive=True))
        if has_it:
            cluster.remove_node(second, allow_graceful=False)
        return has_it

    watch = Kills(kill_machine)
    results = tmp_path / "results"
    grid = train(
        photos, name="grid", results=results, watch=watch, engine="ray", address=cluster.address, **ASKED
    )
    assert outcomes(grid) == plain
    assert not watch.kills
    assert sum("it goes on in another one" in line for line in watch.heard) >= 2
    assert watch.grid[0] == "3 machines, room for 2 runs at a time"
    assert sum("test pictures right" in line for line in watch.heard) == len(plain)
    assert not (grid.folder / TOKEN).exists()
    wait_until(lambda: not left_over())


def test_without_a_shared_folder_the_same_benchmark_comes_back(
    cluster: Any,
    machine: Callable[..., Any],
    photos: Path,
    plain: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each machine works in a folder of its own; a damaged archive is refused, and its task done anew."""
    for name in ("one", "other"):
        machine(**{SCRATCH: str(tmp_path / name)})
    damaged = []

    def damages_the_first(parcel: Parcel, place: Path) -> None:
        if not damaged:
            damaged.append(place.name)
            content = bytearray(parcel.content)
            content[len(content) // 2] ^= 1
            parcel = dataclasses.replace(parcel, content=bytes(content))
        unpack(parcel, place)

    monkeypatch.setattr(onray, "unpack", damages_the_first)
    watch = ListeningToRuns()
    grid = train(
        photos,
        name="grid",
        results=tmp_path / "results",
        watch=watch,
        engine="ray",
        address=cluster.address,
        **ASKED,
    )
    assert outcomes(grid) == plain
    (said,) = [line for line in watch.heard if "came back damaged" in line]
    assert said.startswith(f"{damaged[0]}: its result came back damaged (")
    # Both worked, and neither keeps anything.
    assert [list(path.iterdir()) for name in ("one", "other") for path in (tmp_path / name).iterdir()] == [
        [],
        [],
    ]


def test_a_sweep_is_carried_out_elsewhere(
    cluster: Any, machine: Callable[..., Any], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and trainings come from a machine with folders of its own; a killed worker costs none."""
    asked: dict[str, Any] = {
        **TINY,
        "shots": (1, 2),
        "draws": 2,
        "trained_shots": (2,),
        "trained_draws": 2,
        "epochs": 20,
        "folds": "none",
    }
    far, results = tmp_path / "far", tmp_path / "results"
    monkeypatch.setenv("VITBENCH_CACHE", str(far))
    machine(**{SCRATCH: str(far)})
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "here"))
    watch = Kills(lambda run: True)
    there = {"engine": "ray", "address": cluster.address, "watch": watch}
    sweep(photos, name="grid", arms=["finetune"], results=results, **there, **asked)
    assert list(far.rglob("*.safetensors"))
    assert not list((tmp_path / "here").rglob("*.safetensors"))
    sweep(photos, name="plain", arms=["finetune"], results=results, progress=False, **asked)
    assert not watch.kills
    grid, plain = (
        sorted((results / name / "cells.csv").read_text().splitlines()) for name in ("grid", "plain")
    )
    assert grid == plain
    assert len(grid) == 1 + 4 + 2


# --- calls from a shell ---------------------------------------------------------------------------


class Shell:
    """Starts calls; whatever they start is known by a mark in its environment, and ends with the test."""

    def __init__(self, place: Path, photos: Path) -> None:
        self.mark, self.place = secrets.token_hex(8), place
        options = [
            f"--{name.replace('_', '-')}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in ASKED.items()
        ]
        self.words = [sys.executable, "-m", "vitbench", "train", str(photos), "--name=grid", *options]
        self.folder = place / "results" / "grid"

    def train(self, *more: str, **environment: str) -> "subprocess.Popen[str]":
        """`vitbench train --engine ray`, with a thread for each run."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        own |= {"OMP_NUM_THREADS": "1", "HOME": str(self.place), "VITBENCH_MARK": self.mark, **environment}
        words = [*self.words, "--engine=ray", "--jobs=1", *more]
        heard: Any = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
        # What a shell has started in the background passes on that it ignores Ctrl-C.
        return subprocess.Popen(
            words, cwd=self.place, env=own, stderr=subprocess.PIPE, text=True, preexec_fn=heard
        )

    def until(self, pattern: str, call: "subprocess.Popen[str]") -> None:
        """Wait for files of the benchmark."""
        wait_until(lambda: list(self.folder.glob(pattern)) or call.poll() is not None)

    def left(self) -> list[psutil.Process]:
        """Processes that its calls have left."""
        found = []
        for process in processes():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("VITBENCH_MARK") == self.mark and lives(process):
                    found.append(process)
        return found

    def kill(self, call: "subprocess.Popen[str]") -> dict[Path, int]:
        """kill -9 of a call; which runs had finished by then, and when."""
        call.kill()
        call.communicate()
        return {path: path.stat().st_mtime_ns for path in self.folder.glob("*/metrics.json")}


@pytest.fixture
def shell(tmp_path: Path, photos: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, photos)
    yield made
    for process in made.left():
        with contextlib.suppress(psutil.Error):
            process.kill()


def test_a_stopped_and_a_killed_call_go_on(shell: Shell, plain: list[list[str]]) -> None:
    """Ctrl-C says how; after kill -9 nobody is left, and the same call goes on, in a Ray of its own."""
    first = shell.train("--address=local")
    shell.until("*/epochs.csv", first)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=600)
    assert first.returncode == 130, said
    line = said.strip().splitlines()[-1]
    assert line.startswith("vitbench: stopped; ")
    assert "`vitbench train --resume --name grid --jobs 1 --engine ray --address local` goes on" in line
    wait_until(lambda: not shell.left())

    second = shell.train("--address=local", "--resume")
    shell.until("*/metrics.json", second)
    assert len(shell.left()) > 4
    finished = shell.kill(second)
    assert finished
    wait_until(lambda: not shell.left())

    third = shell.train("--address=local", "--resume")
    _, said = third.communicate(timeout=1200)
    assert third.returncode == 0, said
    assert outcomes(Benchmark(shell.folder)) == plain
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    wait_until(lambda: not shell.left())
    assert not (shell.place / ".ray").exists()


def test_a_killed_call_leaves_a_cluster_nothing_and_goes_on_there(
    cluster: Any, machine: Callable[..., Any], shell: Shell, plain: list[list[str]]
) -> None:
    """kill -9 of the driver: the machines end what they did for it; the next call does what is left."""
    machine()
    machine()
    where = f"--address={cluster.address}"
    first = shell.train(where, RAY_AUTH_MODE="disabled")
    shell.until("*/metrics.json", first)
    finished = shell.kill(first)
    assert finished
    wait_until(lambda: not left_over())
    second = shell.train(where, "--resume", RAY_AUTH_MODE="disabled")
    _, said = second.communicate(timeout=1200)
    assert second.returncode == 0, said
    assert outcomes(Benchmark(shell.folder)) == plain
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert not (shell.folder / TOKEN).exists()
    wait_until(lambda: not left_over() and not shell.left())
