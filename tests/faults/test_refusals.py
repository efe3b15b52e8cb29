"""What the system refuses, signals, and several processes: real ones, from the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.processes import VITBENCH, finish, options, outcome, said, start, vitbench
from painted import paint_folder

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: mounts, limits, signals"),
]
ONE = ["test_vit-s0"]
BEGIN = ["train", "coloured", *options(models="test_vit"), "--name"]
ONE_LINE = "one line that names the file and what next, exit 1; nothing finished is lost, resume ends equal"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in it, and `results/whole`, which nothing disturbed."""
    folder = tmp_path_factory.mktemp("refusals")
    paint_folder(folder / "coloured")
    assert vitbench(folder, *BEGIN, "whole")[0] == 0, said(folder)
    return folder


@pytest.fixture(scope="module")
def whole(root: Path) -> dict[str, Any]:
    return outcome(root / "results" / "whole", ONE)


def in_mounts(root: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """A shell script that may mount; skips where no user may."""
    words = ["unshare", "-Urm", "bash", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*words, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode
    ):
        pytest.skip("nobody may mount here (unshare -Urm)")
    setting = f'set -u; v() {{ {" ".join(VITBENCH)} "$@" >/dev/null; }}\n'
    return subprocess.run(
        [*words, setting + script], cwd=root, capture_output=True, text=True, check=False, timeout=280
    )


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return next(line for line in reversed(done.stderr.splitlines()) if line.startswith("vitbench: "))


@pytest.mark.parametrize("size", ["60k", "600k", "3m", "9m", "12m"])
def test_a_full_disk(root: Path, whole: Any, record: Callable[..., None], size: str) -> None:
    """A tmpfs that ends inside the benchmark, the weights, the first and the second checkpoint."""
    words = " ".join(BEGIN)
    kept = root / f"full-{size}"
    done = in_mounts(
        root,
        f"mkdir -p small; mount -t tmpfs -o size={size} none small\n"
        f"v {words} full --results small; echo $?\n"
        "mount -o remount,size=200m small\n"
        f"if [ -e small/full/benchmark.json ]; then v train --resume --name full --results small; "
        f"else v {words} full --results small; fi; echo $?\n"
        f"cp -r small/full {kept}",
    )
    assert done.stdout.split() == ["1", "0"], done.stderr
    assert "no space left on its disk; make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert outcome(kept, ONE) == whole
    record(
        fault=f"full disk after {size}",
        cause=f"a tmpfs of {size} (unshare -Urm)",
        cases=1,
        promised=ONE_LINE,
        happened="as promised",
    )


def test_a_read_only_results_folder(root: Path, record: Callable[..., None]) -> None:
    """A new benchmark, and one to be gone on with, on a read-only mount: a line, exit 1."""
    done = in_mounts(
        root,
        "mkdir -p ro; cp -r results/whole ro/; rm ro/whole/test_vit-s0/metrics.json\n"
        "mount --bind ro ro; mount -o remount,ro,bind ro\n"
        f"v {' '.join(BEGIN)} new --results ro; echo $?\n"
        "v train --resume --name whole --results ro; echo $?",
    )
    assert done.stdout.split() == ["1", "1"], done.stderr
    assert "Traceback" not in done.stderr
    assert "ro/new: cannot be made (Read-only file system); choose another --results" in done.stderr
    assert "its file system is read-only" in last_line(done)
    record(
        fault="read-only results folder, new and begun benchmark",
        cause="mount -o remount,ro,bind (unshare -Urm)",
        cases=2,
        promised="one line, exit 1, nothing changed",
        happened="as promised",
    )


def test_too_many_open_files(root: Path, whole: Any, record: Callable[..., None]) -> None:
    """ulimit -n so low that the start, training or the reports cannot open what they need."""
    refused = []
    for limit in range(6, 12):
        name = f"open-{limit}"
        call = [*VITBENCH, "train", "coloured", *options(models="test_vit", workers="0"), "--name", name]
        words = f"ulimit -n {limit}; exec {' '.join(call)} </dev/null"
        done = subprocess.run(["bash", "-c", words], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        refused.append(limit)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert "too many open files; raise the limit (ulimit -n)" in last_line(done)
        begun = (root / "results" / name / "benchmark.json").exists()
        again = ["train", "--resume", "--name", name] if begun else [*BEGIN, name]
        assert vitbench(root, *again)[0] == 0, said(root)
        assert outcome(root / "results" / name, ONE) == whole
    assert refused
    record(
        fault=f"too many open files: at most {', '.join(str(limit) for limit in refused)}",
        cause="ulimit -n",
        cases=len(refused),
        promised=ONE_LINE,
        happened="as promised in all",
    )


def wait_for_text(path: Path, text: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm(
    root: Path, whole: Any, record: Callable[..., None], number: signal.Signals, status: int
) -> None:
    """To the process or to its whole group, as a terminal does: saved inside the epoch, the command said."""
    for group in (False, True):
        name = f"{number.name}-{group}"
        process = start(root, *BEGIN, name)
        wait_for_text(root / "results" / name / ONE[0] / "log.txt", "epoch 2 step 2/", process)
        os.killpg(process.pid, number) if group else process.send_signal(number)
        assert finish(process)[0] == status, said(root)
        assert "is saved" in said(root)[-1]
        assert f"`vitbench train --resume --name {name}` goes on" in said(root)[-1]
        assert vitbench(root, "train", "--resume", "--name", name)[0] == 0, said(root)
        assert outcome(root / "results" / name, ONE) == whole
    record(
        fault=f"{number.name} inside an epoch, to the process and to its group",
        cause=f"kill -{number.name[3:]}",
        cases=2,
        promised=f"the step ends, it is saved, exit {status} with the command to go on, which ends equal",
        happened="as promised",
    )


def test_a_notice_of_preemption(root: Path, whole: Any, record: Callable[..., None]) -> None:
    """SIGUSR1: saved and said, and the benchmark ends as if nothing had been."""
    process = start(root, *BEGIN, "warned")
    wait_for_text(root / "results" / "warned" / ONE[0] / "log.txt", "epoch 1 step 2/", process)
    process.send_signal(signal.SIGUSR1)
    assert finish(process)[0] == 0, said(root)
    assert any("test_vit-s0 is saved at step" in line for line in said(root))
    assert outcome(root / "results" / "warned", ONE) == whole
    record(
        fault="SIGUSR1 inside an epoch",
        cause="kill -USR1",
        cases=1,
        promised="saved, and it goes on",
        happened="as promised, equal bytes",
    )


def test_a_model_that_the_kernel_kills(root: Path, record: Callable[..., None]) -> None:
    """The child that trains is killed: its model fails with a reason, the other goes on, --json is whole."""
    process = start(root, "train", "coloured", *options(epochs="30"), "--name", "killed", "--json")
    run = root / "results" / "killed" / "test_vit-s0"
    wait_for_text(run / "log.txt", "epoch 2 step 2/", process)
    os.kill(json.loads((run / ".lock.json").read_text())["pid"], signal.SIGKILL)
    status, out = finish(process)
    assert status == 3, said(root)
    assert {row["model"]: row["status"] for row in json.loads(out)["rows"]} == {
        "test_vit": "failed",
        "test_efficientnet": "finished",
    }
    assert "most likely because memory ran out" in json.loads((run / "failure.json").read_text())["reason"]
    assert vitbench(root, "train", "--resume", "--name", "killed")[0] == 0, said(root)
    record(
        fault="one model's process killed by the kernel",
        cause="kill -9 of the process that holds the run's lock",
        cases=1,
        promised="it fails alone with a reason, the others go on, exit 3; --resume tries it again",
        happened="as promised",
    )


def test_two_shards_at_once_and_a_third_on_a_running_run(root: Path, record: Callable[..., None]) -> None:
    """Both start at the same moment on a benchmark that is not there yet; what runs is not touched."""
    asked = ["train", "coloured", *options(epochs="200"), "--name", "array", "--shard"]
    shards = [start(root, *asked, f"{number}/2", log=f"shard{number}") for number in (1, 2)]
    run = root / "results" / "array" / ONE[0]
    wait_for_text(run / "log.txt", "step 2/", shards[0])
    holder = json.loads((run / ".lock.json").read_text())["pid"]
    third = start(root, "train", "--resume", "--name", "array", "--shard", "1/2", log="third")
    finish(third)
    statuses = [finish(process)[0] for process in shards]
    assert statuses == [0, 0], (said(root, "shard1"), said(root, "shard2"))
    refused = [line for line in said(root, "third") if "not touched" in line]
    assert len(refused) == 1
    assert f"process {holder} on " in refused[0]
    missing = [line for log in ("shard1", "shard2") for line in said(root, log) if "still missing" in line]
    assert len(missing) <= 1
    assert (root / "results" / "array" / "comparison.csv").exists()
    assert vitbench(root, "compare", "array", "--json")[0] == 0
    record(
        fault="two shards of one benchmark started at the same moment, a third on a running run",
        cause="three processes",
        cases=1,
        promised="one benchmark, every run trained once; the third is told who holds the run",
        happened="as promised",
    )
