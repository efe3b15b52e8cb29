"""The parent process: one model's death by the kernel is its own; signals and exit statuses pass through."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitbench.cli import supervise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no parent elsewhere")

STUB = """
import os, signal, sys, time
from pathlib import Path
from vitbench.cli import supervise
from vitbench.training.locks import locked
if supervise.wanted(["train"]):
    sys.exit(supervise.run())
supervise.begin()
results = Path(sys.argv[1])
supervise.tell(benchmark=str(results / "b"))
left = supervise.inherited
print("child after", list(left.leave) if left else None, flush=True)
for run in ("vit-s0", "swin-s0", "deit-s0"):
    if left and run in left.leave:
        continue
    (results / "b" / run).mkdir(parents=True, exist_ok=True)
    with locked(results / "b" / run):
        {body}
sys.exit(3)
"""


def start(tmp_path: Path, body: str) -> "subprocess.Popen[str]":
    """A supervised program whose child does `body` in every run."""
    (tmp_path / "stub.py").write_text(STUB.replace("{body}", body))
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "stub.py"), str(tmp_path), "train"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )


def test_a_killed_run_fails_alone(tmp_path: Path) -> None:
    """The kernel kills inside two of three runs: each says so, the third is reached, its status is kept."""
    body = "run == 'deit-s0' or os.kill(os.getpid(), signal.SIGKILL)"
    process = start(tmp_path, body)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out.splitlines() == [
        "child after None",
        "child after ['vit-s0']",
        "child after ['vit-s0', 'swin-s0']",
    ]
    for run in ("vit-s0", "swin-s0"):
        reason = json.loads((tmp_path / "b" / run / "failure.json").read_text())["reason"]
        assert "killed by the system (SIGKILL), most likely because memory ran out" in reason
        assert f"{run}: failed: {reason}" in err
    assert not (tmp_path / "b" / "deit-s0" / "failure.json").exists()


def test_a_model_whose_timing_kills_is_told_to_the_next_child(tmp_path: Path) -> None:
    """A SIGSEGV between "timing swin" and its end: the next child hears of swin, with the cause, once."""
    body = """pass
    break
if not (left and left.crashed):
    supervise.tell(timing="vit"); supervise.tell(timing=""); supervise.tell(timing="swin")
    os.kill(os.getpid(), signal.SIGSEGV)
print(left.crashed, left.benchmark, flush=True)
"""
    process = start(tmp_path, body)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    reason = "the process that timed its first steps was killed by the system (SIGSEGV): a fault in torch's"
    assert f"swin: failed: {reason}" in err
    assert out.splitlines()[-1].startswith(str({"swin": reason}).rstrip("'}\""))


def test_a_lost_device_is_left_to_another_child(tmp_path: Path) -> None:
    """A child that the device fails in one of three runs: the next one leaves that run, the rest is done."""
    body = "run == 'swin-s0' and (supervise.tell(lost=run), sys.exit(69))"
    process = start(tmp_path, body)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out.splitlines() == ["child after None", "child after ['swin-s0']"]


def test_a_device_lost_in_timing_is_told_to_the_next_child(tmp_path: Path) -> None:
    """The plan is made anew without that model; where it helps nothing, the status is the child's own."""
    body = """pass
    break
print(left.crashed if left else None, flush=True)
supervise.tell(timing="swin"); supervise.tell(lost=""); sys.exit(69)
"""
    process = start(tmp_path, body)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 69
    said = {"swin": "its first steps made the device fail; leave it out, or try --device cpu"}
    assert out.splitlines()[1::2] == ["None", str(said)]


def test_a_death_outside_of_all_runs_ends_it(tmp_path: Path) -> None:
    """Nothing is tried for ever: status 1 and a line."""
    process = start(tmp_path, "pass\n    os.kill(os.getpid(), signal.SIGKILL)")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "b: outside of its runs, its process was killed by the system (SIGKILL)" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_child(tmp_path: Path, number: signal.Signals) -> None:
    """Sent to the parent alone, each arrives once; the child's status is the parent's."""
    handle = f"signal.signal({int(number)}, lambda *given: sys.exit(42))"
    body = f"{handle}; print('ready', flush=True); time.sleep(9)"
    process = start(tmp_path, body)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 42


def test_a_killed_parent_takes_its_child_with_it(tmp_path: Path) -> None:
    """kill -9 on the process that was started leaves nobody behind who holds its lock."""
    process = start(tmp_path, "print(os.getpid(), flush=True); time.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("arguments", [["train", "--help"], ["compare"], []], ids=" ".join)
def test_what_trains_nothing_has_no_parent(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help and the other commands are one process; a dry run times models, so it has a parent."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vitbench", *arguments])
    assert not supervise.wanted(arguments)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vitbench", "train", "photos"])
    assert supervise.wanted(["train", "photos"])
    monkeypatch.setattr(sys, "orig_argv", ["vitbench", "train", "photos", "--dry-run"])
    assert supervise.wanted(["train", "photos", "--dry-run"])
    monkeypatch.setitem(os.environ, supervise.CHILD, "{}")
    assert not supervise.wanted(["train", "photos"])
