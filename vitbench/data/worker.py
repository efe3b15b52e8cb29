"""A process that renders views into memory which it shares with the training that started it.

Neither torch nor the script that trains is imported: `workers` starts a fresh interpreter with this module's
`main`. It ends when its standard input does, which is when its parent ends, however that happens.
"""

import mmap
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from vitbench.data.store import Store
from vitbench.records import Array

IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""What a terminal or a scheduler sends to all processes of a group: the parent decides what follows."""
LOOK_SECONDS = 1.0


class Rendering(Protocol):
    """What a worker needs of `made.Views`."""

    @property
    def size(self) -> int:
        """px."""

    def view(self, turn: int, index: int, k: int, store: Store) -> Array:
        """uint8 (S, S, 3)."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first thing that a worker is sent."""

    parent: int
    """Its process id."""
    views: Rendering
    store: str
    workers: int
    """How many share the store's room."""
    memory: int | str
    """An open descriptor that was passed on; on Windows the name of the mapping."""
    length: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Task:
    """Views to render, one after the other, from `offset` on (bytes)."""

    offset: int
    turn: int
    planned: Sequence[tuple[int, int]]
    """Picture and k."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task, or of the start."""

    error: str = ""
    """Why it was not done, one line; the views are then made, and the error raised, in the parent."""
    complaint: str = ""
    """Of the store, as of `Store.complaint`."""


def main() -> None:
    """Render what comes on standard input, until it ends; say on standard output that it is done."""
    for name in IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints, it does not come between the answers
    try:
        start: Start = pickle.load(orders)
        threading.Thread(target=_end_with, args=(start.parent,), daemon=True).start()
        memory = _mapped(start.memory, start.length)
        store = Store(start.store, start.workers, time.time())
        _say(answers, Done())
        while True:
            _say(answers, _done(pickle.load(orders), start.views, memory, store))
    except (EOFError, pickle.UnpicklingError, OSError):
        return  # the parent has ended, perhaps in the middle of a task


def _done(task: Task, views: Rendering, memory: Array, store: Store) -> Done:
    length = 3 * views.size**2
    try:
        for place, (index, k) in enumerate(task.planned):
            begin = task.offset + place * length
            memory[begin : begin + length] = views.view(task.turn, index, k, store).reshape(-1)
    except Exception as error:  # noqa: BLE001  # the parent meets it again, and raises it
        return Done(f"{type(error).__name__}: {error}".splitlines()[0][:200], store.complaint())
    return Done("", store.complaint())


def _say(answers: BinaryIO, done: Done) -> None:
    pickle.dump(done, answers)
    answers.flush()


def _mapped(memory: int | str, length: int) -> Array:
    """(length,) uint8: the shared memory."""
    if isinstance(memory, str):
        mapped = mmap.mmap(-1, length, tagname=memory)  # type: ignore[call-arg,unused-ignore]
    else:
        mapped = mmap.mmap(memory, length)
        os.close(memory)
    return np.frombuffer(mapped, dtype=np.uint8)


def _end_with(parent: int) -> None:
    """End this process when the parent has ended, though somebody else may hold the other end of the pipe."""
    while os.getppid() == parent or sys.platform == "win32":
        time.sleep(LOOK_SECONDS)
    os._exit(0)
