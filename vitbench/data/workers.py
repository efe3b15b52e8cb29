"""Processes that render views into shared memory: started beside the training, told what, waited for.

For threads share one interpreter's lock with the thread that launches a device's kernels, and each slows the
other. The memory has no name (Linux, macOS) or goes with the last process that uses it (Windows), so none is
left behind; the processes end when their standard input does (`worker`).
"""

import contextlib
import itertools
import mmap
import os
import pickle
import secrets
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from vitbench.data.prefetch import AHEAD, even_slices
from vitbench.data.worker import Done, Rendering, Start, Task
from vitbench.records import Array

SLOTS = AHEAD + 2
"""Batches in shared memory: those that are prepared ahead, the one being asked for, and the one before it."""
BOOTSTRAP = "import sys; sys.path[:] = sys.argv[1:]; from vitbench.data.worker import main; main()"
"""Not `-m`, which would look for modules in the folder that the user works in first."""
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PATIENCE_SECONDS = 10.0
"""A worker that is to end has so long for it."""


class WorkersError(Exception):
    """The worker processes cannot go on, or never began: why, one line. What they had is made elsewhere."""


@dataclass(slots=True)
class Ticket:
    """A batch that workers are about."""

    slot: int
    length: int
    """Views."""
    asked: list[int]
    """The workers that have a part of it."""


class Workers:
    """Some processes, and the memory that they share with this one; they start in the background.

    `begin` and `end` keep the order: the oldest batch is ended first. After a `WorkersError` nothing more
    can be had from them.
    """

    def __init__(self, views: Rendering, store: str, count: int, rows: int) -> None:
        """For batches of at most `rows` views; `store`: the folder of decoded pictures, "" for none."""
        self.views, self.store, self.count, self.rows = views, store, count, rows
        self.memory: Array = np.zeros(0, dtype=np.uint8)
        """(slots, rows, S, S, 3) uint8, once they are `ready`."""
        self.locked: bool | None = None
        """Whether the memory is pinned; None: nobody tried."""
        self.unlock: Callable[[], None] = lambda: None
        """To be done before the memory goes."""
        self.complaint = ""
        """Of the store, said by one of them."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `_end`
        self._numbers = itertools.count()
        self._under_way: deque[Ticket] = deque()
        self._trouble = ""
        self._end = weakref.finalize(self, _end, self._processes, self._said, kill=True)
        self._starting = threading.Thread(target=self._start, name="workers start", daemon=True)
        self._starting.start()

    @property
    def ready(self) -> bool:
        """They can be told what to do; raises WorkersError where that will never be."""
        if self._starting.is_alive():
            return False
        self._refuse_trouble()
        return True

    @property
    def busy(self) -> bool:
        """Whether batches were begun that are not ended."""
        return bool(self._under_way)

    def wait(self) -> None:
        """Until they are ready; raises WorkersError where that will never be."""
        self._starting.join()
        self._refuse_trouble()

    def begin(self, turn: int, planned: Sequence[tuple[int, int]]) -> Ticket:
        """Have a batch rendered into the next slot, a part by each worker."""
        self._refuse_trouble()
        number = next(self._numbers)
        slot, row = number % SLOTS, self.memory.strides[1]
        parts = even_slices(len(planned), -(-len(planned) // self.count)) if planned else []
        # Not always the same ones have the smaller parts.
        ticket = Ticket(slot, len(planned), [(number + place) % self.count for place in range(len(parts))])
        for worker, part in zip(ticket.asked, parts, strict=True):
            task = Task(slot * self.memory.strides[0] + part.start * row, turn, planned[part])
            try:
                _send(self._processes[worker], pickle.dumps(task))
            except OSError:
                raise self._failed(self._how_ended(worker)) from None
            except BaseException:
                self._trouble = "they were interrupted"  # half a task may be on its way
                raise
        self._under_way.append(ticket)
        return ticket

    def end(self, ticket: Ticket) -> Array:
        """(B, S, S, 3) uint8: the oldest batch; written over when the second after it is asked for."""
        self._refuse_trouble()
        assert ticket is self._under_way[0], "the oldest batch is ended first"
        for worker in ticket.asked:
            try:
                done = _answer(self._processes[worker])
            except (OSError, EOFError, pickle.UnpicklingError):
                raise self._failed(self._how_ended(worker)) from None
            except BaseException:
                self._trouble = "they were interrupted"  # half an answer may have been read
                raise
            self.complaint = self.complaint or done.complaint
            if done.error:
                raise self._failed(done.error)
        self._under_way.popleft()
        return self.memory[ticket.slot, : ticket.length]

    def serves(self, views: Rendering, store: str, rows: int) -> bool:
        """Whether these can make such batches."""
        return (views, store) == (self.views, self.store) and rows <= self.rows

    def close(self) -> None:
        """End the processes, whatever they are about."""
        idle = not (self._trouble or self.busy or self._starting.is_alive())
        self._trouble = self._trouble or "they were ended"
        for process in () if idle else tuple(self._processes):
            process.kill()
        self._starting.join()
        self.unlock()
        self._end.detach()
        _end(self._processes, self._said, kill=not idle)
        self.memory = np.zeros(0, dtype=np.uint8)  # unmapped when nobody looks at a batch any more

    # --- starting -----------------------------------------------------------------------------------

    def _start(self) -> None:
        try:
            self._start_all()
        except WorkersError:
            return  # it is remembered
        except Exception as error:  # noqa: BLE001  # threads do as well, whatever it is
            self._trouble = self._trouble or f"{type(error).__name__}: {error}".splitlines()[0][:200]

    def _start_all(self) -> None:
        if "python" not in Path(sys.executable or "").name.lower():  # a program with vitbench inside
            raise self._failed("there is no Python to start them with")
        size = self.views.size
        shape = (SLOTS, self.rows, size, size, 3)
        length = int(np.prod(shape))
        mapped, handle = _shared(length)
        descriptors = (handle,) if isinstance(handle, int) else ()
        start = Start(os.getpid(), self.views, self.store, self.count, handle, length)
        try:
            first = pickle.dumps(start)
            for _ in range(self.count):
                if self._trouble:
                    return
                self._processes.append(_started(descriptors, self._said))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        for number, process in enumerate(self._processes):
            try:
                _send(process, first)
            except OSError:
                raise self._failed(self._how_ended(number)) from None
        for number, process in enumerate(self._processes):
            try:
                _answer(process)
            except (OSError, EOFError, pickle.UnpicklingError):
                raise self._failed(self._how_ended(number)) from None
        self.memory = np.frombuffer(mapped, dtype=np.uint8).reshape(shape)

    # --- failing ------------------------------------------------------------------------------------

    def _refuse_trouble(self) -> None:
        if self._trouble:
            raise WorkersError(self._trouble)

    def _failed(self, why: str) -> WorkersError:
        self._trouble = why
        return WorkersError(why)

    def _how_ended(self, worker: int) -> str:
        """Its last words where it had any; else by which signal, or with which status."""
        process = self._processes[worker]
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "one of them answers no more"
        self._said.seek(0)
        words = [line.strip() for line in self._said.read().decode(errors="replace").splitlines()]
        last = next((line for line in reversed(words) if line), "")
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"one of them ended, {how}" + (f": {last[:200]}" if last and status > 0 else "")


# --- processes ------------------------------------------------------------------------------------


def _started(descriptors: Sequence[int], said: IO[bytes]) -> subprocess.Popen[bytes]:
    """A fresh interpreter that finds modules where this one does; what is said on stderr is kept aside."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", BOOTSTRAP, *(path or str(Path.cwd()) for path in sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        env={**os.environ, **ALONE},
        pass_fds=descriptors,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _send(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.flush()


def _answer(process: subprocess.Popen[bytes]) -> Done:
    assert process.stdout is not None
    done: Done = pickle.load(process.stdout)
    return done


def _end(processes: Sequence[subprocess.Popen[bytes]], said: IO[bytes], kill: bool) -> None:
    """End processes by closing their standard input, and `kill` them where they may be about something."""
    for process in processes:
        assert process.stdin is not None
        if kill:
            process.kill()
        with contextlib.suppress(OSError):  # what was still to be sent reaches nobody
            process.stdin.close()
    for process in processes:
        assert process.stdout is not None
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
    said.close()


# --- memory ---------------------------------------------------------------------------------------


def _shared(length: int) -> tuple[mmap.mmap, int | str]:
    """New shared memory, and by what another process finds it; OSError where there is no room."""
    if sys.platform == "win32":
        name = f"vitbench-{os.getpid()}-{secrets.token_hex(8)}"
        return mmap.mmap(-1, length, tagname=name), name
    if hasattr(os, "memfd_create"):  # not bound by the size of /dev/shm, 64 MB in a container
        descriptor = os.memfd_create("vitbench")
    else:
        with tempfile.TemporaryFile() as file:  # it has no name any more
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, length)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, length)  # now, not at the first touch, which could only crash
        return mmap.mmap(descriptor, length), descriptor
    except BaseException:
        os.close(descriptor)
        raise
