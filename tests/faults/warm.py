"""A process that has loaded everything and forks a child per command, so that a case costs no import.

Reads one JSON object per line: {"root", "name", "call": "train" | "check", "whole": bool, "go": path}.
Answers {"pid"} at once, and {"status"} (of `waitpid`) when the child has ended. A child waits until the
file `go` is there (whoever traces it needs a moment to attach) and writes what it finds to `root`/said.json.
"""

import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from painted import TINY

from vitbench import files
from vitbench.benchmark import estimate, train
from vitbench.benchmark.folder import find
from vitbench.cli.progress import explaining
from vitbench.errors import VitbenchError
from vitbench.inference import features, linear, stream  # noqa: F401  # loaded before the first fork
from vitbench.models.folder import load_model
from vitbench.progress.lines import LineDisplay
from vitbench.records import Benchmark, Run, Settings
from vitbench.training import checkpoint

TINIEST = {**TINY, "epochs": 2, "device": "cpu", "near_duplicates": False}
TIMES = ("seconds", "images_per_second", "peak_memory_mb")


class Quiet(LineDisplay):
    """Says nothing, so that every `write` of the process is one to the benchmark."""

    def show(self, text: str) -> None:
        pass


def outcome(benchmark: Benchmark) -> dict[str, Any]:
    """What has to be equal, interrupted or not."""
    found: dict[str, Any] = {}
    for run in benchmark.runs:
        rows = files.read_csv(run.folder / "epochs.csv")
        found[run.name] = {
            "weights": files.sha256_of(run.model_folder / "model.safetensors"),
            "epochs": [{k: v for k, v in row.items() if k not in TIMES} for row in rows],
            "predictions": files.sha256_of(run.folder / "predictions.csv"),
        }
    return found


def broken(folder: Path) -> list[str]:
    """The files in a benchmark's folder that can be neither the old nor the new state."""
    found = []
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                files.read_json(path)
            elif path.suffix == ".csv" and path.name != "test_evaluations.csv":
                files.read_csv(path)
        except (OSError, ValueError, IndexError, VitbenchError) as error:
            found.append(f"{path.relative_to(folder)}: {error}")
    for run in [Run(path.parent) for path in folder.glob("*/recipe.json")]:
        said: list[str] = []
        checkpoint.load_newest(run.folder / "checkpoint", said.append)
        if run.model_folder.exists():
            load_model(run.model_folder)
        if run.status == "finished":
            run.predictions(), run.evaluations()
        found += said
    return found


def carry_out(command: dict[str, Any]) -> int:
    """`train` as the command line does it; 0 done, 1 one line said why not, 2 a traceback."""
    root = Path(command["root"])
    results = root / "results"
    there = (results / command["name"] / "benchmark.json").exists()
    asked = {} if there else TINIEST
    data = None if there else root / "coloured"
    request = train.TrainRequest(Settings.of(asked), data, command["name"], results, resume=there)
    if not command["whole"]:
        train.write_reports = lambda *given: None  # type: ignore[attr-defined]
    try:
        with explaining(Quiet(results)) as watch:
            train.carry_out(request, watch)
    except VitbenchError as error:
        print(f"vitbench: {error}")
        return 1
    except OSError as error:
        if not (line := files.fault_line(error)):
            raise
        print(f"vitbench: {line}")
        return 1
    return 0


def check(command: dict[str, Any]) -> int:
    """What is there, whether it is broken, and what a further call makes of it."""
    root = Path(command["root"])
    folder = root / "results" / command["name"]
    said: dict[str, Any] = {"there": (folder / "benchmark.json").exists()}
    said["broken"] = broken(folder) if folder.exists() else []
    said["status"] = carry_out(command)
    said["outcome"] = outcome(find(command["name"], root / "results")) if said["status"] == 0 else None
    (root / "said.json").write_text(json.dumps(said))
    return 0


def child(command: dict[str, Any]) -> int:
    """The exit status of one command."""
    root = Path(command["root"])
    handle = os.open(root / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    while not Path(command["go"]).exists():
        time.sleep(0.002)
    try:
        return carry_out(command) if command["call"] == "train" else check(command)
    except BaseException:  # noqa: BLE001  # whatever it is, it is the finding
        traceback.print_exc()
        return 2


def serve() -> None:
    """Answer commands until stdin ends."""
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os._exit(child(command))
            os._exit(2)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    estimate._time_model = lambda job, split: estimate._Timing(300_000, 64, 0.001, 0.001, 0.001)
    print(json.dumps({"ready": True}), flush=True)
    serve()
