"""Where works are carried out: here, one after another, or elsewhere, several at a time.

A work is a picklable description; what comes of it is a finished folder, or a small picklable result. Whoever
hands works out (`grid.py`, `estimate.py`) knows nothing of processes. To add an engine, write a class with
the methods of `Engine` and let `engines.engine_for` choose it.
"""

import pickle
import queue
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol

from vitbench.benchmark import beside
from vitbench.benchmark.beside import Process
from vitbench.data.prefetch import cores
from vitbench.errors import DeviceLostError, Interrupted, KilledError
from vitbench.records.watch import Watch
from vitbench.training import signals


class Work(Protocol):
    """Something to be carried out, with all that it needs; it can be pickled."""

    @property
    def name(self) -> str:
        """What a reader calls it, such as the run's name."""

    def __call__(self, watch: Watch) -> Any:
        """Do it; the result can be pickled."""


@dataclass(frozen=True)
class Outcome:
    """What came of a work."""

    work: Work
    result: Any = None
    error: Exception | None = None
    """What it raised; a `KilledError` where its process was ended from outside."""
    beside: int = 0
    """How many others were being carried out at the same time when it ended."""


class Engine(Protocol):
    """Carries works out. Inside its `with`, a first call to stop lets all of them save what they have."""

    apart: bool
    """Works end without this process: a device that one of them lost is whole for the next."""
    most: int
    """Works at a time; may be lowered, for those to come."""

    @property
    def shares(self) -> bool:
        """Works may have one device, or one machine's memory, between them at the same time."""

    @property
    def busy(self) -> int:
        """Works that have begun and not ended."""

    @property
    def room(self) -> int:
        """How many works could begin now; 0 when a signal has asked to stop."""

    def begin(self, work: Work, watch: Watch) -> None:
        """Begin a work where there is room; `watch` hears of it while somebody waits."""

    def wait(self) -> Outcome | None:
        """What comes next of the works that have begun; Interrupted when all have saved and stopped.

        None: there is more room by now than when it was last asked for.
        """

    def stop(self) -> None:
        """Have all works save and stop, and wait for them; what comes of them is passed over."""

    def __enter__(self) -> "Engine": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InTurn:
    """In this process, one after another."""

    apart, most, shares = False, 1, False

    def __init__(self) -> None:
        self._next: tuple[Work, Watch] | None = None

    @property
    def busy(self) -> int:
        return int(self._next is not None)

    @property
    def room(self) -> int:
        return 1 - self.busy

    def begin(self, work: Work, watch: Watch) -> None:
        self._next = (work, watch)

    def wait(self) -> Outcome:
        assert self._next is not None
        (work, watch), self._next = self._next, None
        try:
            return Outcome(work, work(watch))
        except Exception as error:  # noqa: BLE001  # whoever handed it out knows what to do
            return Outcome(work, error=error)

    def stop(self) -> None:
        """There are no others."""

    def __enter__(self) -> "InTurn":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


LOOK_SECONDS = 0.2
"""How often it is looked whether a signal has come in, while nothing is told."""
NOBODYS_WISH = ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
"""What the kernel, or a fault in compiled code, ends a process with; other signals are meant."""


class Local:
    """In processes beside this one, each of which is kept for several works."""

    apart = True

    def __init__(self, most: int) -> None:
        self.most = most
        first = beside.spare()
        self._heard: beside.Heard = SimpleQueue() if first is None else first.heard
        self._all = [] if first is None else [first]
        self._stop, self._saved = 0, list[str]()

    @property
    def shares(self) -> bool:
        return self.most > 1

    @property
    def busy(self) -> int:
        return sum(one.work is not None for one in self._all)

    @property
    def room(self) -> int:
        self._pass_on()
        return 0 if self._stop else max(0, self.most - self.busy)

    def begin(self, work: Work, watch: Watch) -> None:
        """In a process that is idle, or a new one."""
        for one in [one for one in self._all if one.work is None]:
            if one.give(work, watch):
                return
        new = Process(self._heard)
        self._all.append(new)
        if not new.give(work, watch):
            raise RuntimeError(f"{work.name}: no process can be started for it (status {new.status()})")

    def wait(self) -> Outcome:
        while self.busy:
            self._pass_on()
            try:
                one, content = self._heard.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            outcome = self._ended(one) if content is None else self._told(one, pickle.loads(content))
            if outcome is not None:
                return outcome
        raise Interrupted(self._stop or signal.SIGTERM, "; ".join(self._saved))

    def stop(self) -> None:
        self._ask_to_stop(signal.SIGTERM)
        while self.busy:
            try:
                self.wait()
            except Interrupted:
                return

    def _told(self, one: Process, message: tuple[Any, ...]) -> Outcome | None:
        """What a process said: an event for whoever watches, or how its work ended."""
        kind, *details = message
        if kind == "event":
            name, *given = details
            getattr(one.watch, name)(*given)
            return None
        work, one.work = one.work, None
        if kind == "stopped":
            number, saved = details
            self._saved += [saved] if saved else []
            self._ask_to_stop(number)
            return None
        if kind == "error":
            error = pickle.loads(details[0])
            if isinstance(error, DeviceLostError):
                self._all.remove(one)
                one.end()
            return Outcome(work, error=error, beside=self.busy)
        return Outcome(work, details[0], beside=self.busy)

    def _ended(self, one: Process) -> Outcome | None:
        """A process has ended: what that means for what it carried out."""
        if one not in self._all:
            return None
        self._all.remove(one)
        work, one.work = one.work, None
        one.end()
        if work is None:
            return None
        wished = {-getattr(signal, name, 0) for name in NOBODYS_WISH}
        if one.status() < 0 and one.status() not in wished:
            self._ask_to_stop(-one.status())
        if self._stop:
            return None
        cause, way_out = beside.cause_of(one.status())
        error = KilledError(cause, way_out, memory_ended=beside.memory_kills() > one.memory_ended)
        return Outcome(work, error=error, beside=self.busy)

    def _pass_on(self) -> None:
        """Let the works know of a signal that has come in."""
        number, save = signals.told()
        if number:
            self._ask_to_stop(number)
        elif save:
            for one in self._all:
                one.pass_on(signal.SIGUSR1)

    def _ask_to_stop(self, number: int) -> None:
        if not self._stop:
            self._stop = number
            for one in self._all:
                one.pass_on(number)

    def __enter__(self) -> "Local":
        self._held = signals.passed_on()
        self._held.__enter__()
        # What each loads at first takes seconds: those for the second work on load while the plan is made.
        self._all += [Process(self._heard, beside.LOADED) for _ in range(min(self.most, cores()) - 1)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._all:
            one.end()
        self._held.__exit__(kind, error, trace)


def next_of(engine: Engine) -> Outcome:
    """What comes next, however much room there is."""
    while (outcome := engine.wait()) is None:
        pass
    return outcome


def each_of(works: Iterable[Work], engine: Engine, watch: Watch) -> Iterator[Outcome]:
    """What comes of each, in the order in which they end; as many at a time as there is room for."""
    todo = list(works)
    while todo or engine.busy:
        while todo and engine.room:
            engine.begin(todo.pop(0), watch)
        outcome = engine.wait()
        if outcome is not None:
            yield outcome
