"""Works for processes beside a test's, in a module that loads no torch."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench.errors import DeviceLostError, UsageError
from vitbench.records.watch import Watch
from vitbench.training import signals


@dataclass(frozen=True)
class Does:
    """A work that calls a function of this module."""

    name: str
    what: Callable[[Watch, Path], Any]
    place: Path = Path()

    def __call__(self, watch: Watch) -> Any:
        return self.what(watch, self.place)


def greets(watch: Watch, place: Path) -> int:
    """Says who it is, and prints where only what is told may stand."""
    print("noise")
    os.write(1, b"more noise")
    watch.message(f"{place}: {sys.argv}")
    return os.getpid()


def dies(watch: Watch, place: Path) -> None:
    """As the kernel kills, unless it is tried again."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(watch: Watch, place: Path) -> None:
    """What a user can mend."""
    raise UsageError("--epochs 0: no")


def loses(watch: Watch, place: Path) -> None:
    """A device that can do nothing more."""
    raise DeviceLostError("cuda: gone")


def saves(watch: Watch, place: Path) -> None:
    """Works until it is asked to stop, and needs a moment to save."""
    place.with_suffix(".pid").write_text(str(os.getpid()))
    with signals.deferred():
        while not signals.pending():
            time.sleep(0.01)
        if not place.name.startswith("hasty"):
            time.sleep(0.2)
        place.touch()
        signals.raise_if_stopped(f"{place.name} is saved")
        place.with_suffix(".again").touch()
        while not signals.pending():
            time.sleep(0.01)
