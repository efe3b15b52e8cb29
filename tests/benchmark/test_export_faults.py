"""`vitbench export` as a process of its own that is killed, or whose disk is full."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitbench.records import Benchmark

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs POSIX process groups")]
CLI = [sys.executable, "-m", "vitbench"]
EXPORT = ["export", "two/test_vit-s0", "--results"]
MADE = ["README.md", "export.json", "model.onnx", "predictions.csv", "reference.py", "test_vector.npz"]


@pytest.fixture
def root(tmp_path: Path, two_models: Benchmark) -> Path:
    """A folder with the benchmark in `results/two`, without what a training leaves to go on."""
    ignored = shutil.ignore_patterns("checkpoint")
    shutil.copytree(two_models.folder, tmp_path / "results" / "two", ignore=ignored)
    return tmp_path


def test_kill_9_and_again(root: Path) -> None:
    """Killed once the graph is written, it leaves no model; the same call then ends well, without a trace."""
    exports = root / "results" / "two" / "export"
    with (root / "killed.txt").open("w") as said:
        killed = subprocess.Popen(
            [*CLI, *EXPORT, "results"], cwd=root, stdout=said, stderr=said, start_new_session=True
        )
        while not list(exports.glob(".*/model.onnx")) and killed.poll() is None:
            time.sleep(0.01)
        os.killpg(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL, (root / "killed.txt").read_text()
    assert not [path for path in exports.iterdir() if not path.name.startswith(".")]
    again = subprocess.run(
        [*CLI, *EXPORT, "results", "--json"], cwd=root, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("{")
    assert again.stdout.count("\n") == 1
    (made,) = [path for path in exports.iterdir() if not path.name.startswith(".lock")]
    assert sorted(path.name for path in made.iterdir()) == MADE


def test_a_full_disk(root: Path) -> None:
    """A tmpfs with room for half of the model: one line, nothing half-made; with room again, all is well."""
    words = ["unshare", "-Urm", "bash", "-c"]
    there = sum(path.stat().st_blocks * 512 for path in (root / "results").rglob("*"))
    mount = f"mkdir -p small; mount -t tmpfs -o size={there // 1024 + 700}k none small"
    if shutil.which("unshare") is None or subprocess.run([*words, mount], cwd=root, check=False).returncode:
        pytest.skip("nobody may mount here (unshare -Urm)")
    script = (
        f"{mount}; cp -r results/two small; "
        f'"$@" small >out.txt; echo $?; wc -c <out.txt; ls -A small/two/export | grep -v lock; '
        'mount -o remount,size=200m small; "$@" small >out.txt; echo $?; ls small/two/export/*'
    )
    done = subprocess.run(
        [*words, script, "bash", *CLI, *EXPORT], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["1", "0", "0", *MADE], done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("vitbench: ")]
    assert len(lines) == 1
    assert "/small/two/export/test_vit-s0-onnx: no space left on its disk; make room" in lines[0]
    assert "Traceback" not in done.stderr
