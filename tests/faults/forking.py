"""Cases forked from one process that has loaded everything (`warm.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from painted import paint_folder

TESTS = Path(__file__).parents[1]


class Warm:
    """The process of `warm.py`, and a folder of pictures for its cases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paint_folder(root / "coloured")
        paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(TESTS / "faults" / "warm.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self._answer() == {"ready": True}

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def call(self, what: str, name: str, whole: bool, tracing: list[str] | None = None) -> int:
        """`waitpid`'s status of a child that did "train" or "check", under strace where that is given."""
        go = self.root / "go"
        go.unlink(missing_ok=True)
        command = {"root": str(self.root), "name": name, "call": what, "whole": whole, "go": str(go)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        pid = self._answer()["pid"]
        tracer = None
        if tracing:
            words = ["strace", "-f", "-y", "-o", str(self.root / "trace.txt"), "-p", str(pid), *tracing]
            tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
        go.touch()
        status = int(self._answer()["status"])
        if tracer is not None:
            tracer.communicate()
        return status

    @property
    def said(self) -> dict[str, Any]:
        """What the last "check" found."""
        return dict(json.loads((self.root / "said.json").read_text()))

    @property
    def printed(self) -> str:
        return (self.root / "out.txt").read_text()

    def close(self) -> None:
        self.process.communicate()
