"""A whole training whose pictures worker processes prepare: killed, resumed, and without a main guard."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from painted import TINY

from vitbench.data.crew import Crew
from vitbench.records import Benchmark
from vitbench.training import loop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_reports", "nobody_left")]

SETTINGS = {**TINY, "epochs": 3, "per_class": 40, "batch_size": 8, "workers": 2, "augment": "strong"}
SCRIPT = """
import functools, json, sys
import vitbench
from vitbench.data.crew import Crew
from vitbench.training import loop
loop.Crew = functools.partial(Crew, processes=True)
asked = json.loads(sys.argv[2])
vitbench.train(sys.argv[1], name="cut", results="results", models=("test_vit",), **asked)
"""


def weights(benchmark: Benchmark) -> bytes:
    return (benchmark.runs[0].folder / "model" / "model.safetensors").read_bytes()


def log(folder: Path) -> str:
    path = folder / "test_vit-s0" / "log.txt"
    return path.read_text() if path.exists() else ""


def test_weights_do_not_depend_on_who_prepares(
    trained: Callable[..., Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads and processes: the same bytes; the log says who it was, and none is left afterwards."""
    threads = trained(name="threads", **SETTINGS)
    monkeypatch.setattr(loop, "Crew", partial(Crew, processes=True))
    processes = trained(name="processes", **SETTINGS)
    assert weights(processes) == weights(threads)
    assert re.search(r"\d+ threads? prepared the pictures", log(threads.folder))
    assert re.search(r"\d+ process(es)? prepared the pictures", log(processes.folder))
    assert not [one for one in psutil.Process().children() if "vitbench.data.worker" in str(one.cmdline())]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")
def test_a_killed_training_leaves_no_process_and_is_resumed(
    trained: Callable[..., Benchmark], coloured: Path, tmp_path: Path
) -> None:
    """`kill -9` of a script without `if __name__ == "__main__"`, in epoch 2: the same bytes in the end."""
    whole = trained(name="whole", **SETTINGS)
    settings = {name: value for name, value in SETTINGS.items() if name != "models"}
    command = [sys.executable, "-c", SCRIPT, str(coloured), json.dumps(settings)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=tmp_path, stdout=quiet)
    deadline = time.monotonic() + 120
    while not re.search(r"epoch 2 step [3-9]/", log(tmp_path / "results" / "cut")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert weights(trained(name="cut", resume=True)) == weights(whole)
