"""One writer per folder: a lock that the kernel frees with its process, and who holds it.

Beside `.lock` lies `.lock.json` with the holder's pid, host and time. It is believed only while the lock
is held: what a killed process leaves behind means nothing.
"""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from vitbench.errors import RefusedError

HOLDER = ".lock.json"


@contextlib.contextmanager
def locked(folder: Path, wait_seconds: float = 0) -> Iterator[None]:
    """`folder`, which must be there, for this process alone.

    RefusedError, the holder named, where another process still has it after `wait_seconds`.
    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait_seconds)
    except filelock.Timeout as error:
        raise RefusedError(f"{folder}: {_in_words(holder(folder))} is writing it; wait for it") from error
    try:
        (folder / HOLDER).write_text(json.dumps(_myself()), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink()
        lock.release()


def holder(folder: Path) -> dict[str, Any]:
    """pid, host and since of the process that locked `folder` last; {} where that is not known."""
    try:
        return dict(json.loads((folder / HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it is about to be written, or just gone
        return {}


def _myself() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def _in_words(who: dict[str, Any]) -> str:
    if not who:
        return "another process"
    return f"process {who.get('pid')} on {who.get('host')} (since {who.get('since')})"
