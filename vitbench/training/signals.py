"""Ctrl-C, SIGTERM and SIGUSR1 while a benchmark is carried out.

The first SIGINT or SIGTERM lets the optimiser step end and its state be saved, then raises `Interrupted`;
where nothing is being trained it raises at once. A second one raises at once anywhere. SIGUSR1, as
schedulers send it before they take a machine away, saves and goes on.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from vitbench.errors import Interrupted

TWICE_SECONDS = 0.3
"""A terminal and a launcher may both pass one Ctrl-C on; nobody presses it twice so quickly."""


@dataclass
class _Asked:
    """What the signals that came in ask for; there is one of it, as there is one process."""

    stop: int = 0
    """The number of the signal that asked to stop; 0: none did."""
    since: float = 0.0
    save: bool = False
    deferred: bool = False


_asked = _Asked()


@contextlib.contextmanager
def handling(*, here: bool = True) -> Iterator[None]:
    """Inside, the signals mean what this module says; not `here`: nothing, for another process heeds them.

    Nothing happens off the main thread, and a handler that the program has set itself stays.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name, handler in (("SIGINT", _stop), ("SIGTERM", _stop), ("SIGUSR1", _save)):
            number = getattr(signal, name, None)  # Windows has no SIGUSR1
            usual = (signal.SIG_DFL, signal.default_int_handler)
            if number is not None and signal.getsignal(number) in usual:
                before[number] = signal.signal(number, handler if here else signal.SIG_IGN)
    if before:
        _asked.__init__()  # type: ignore[misc]  # as if nothing had ever come in
    try:
        yield
    finally:
        for number, usual_handler in before.items():
            signal.signal(number, usual_handler)
        if before or not here:
            _asked.__init__()  # type: ignore[misc]  # nor is anything left for who comes next


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, a first call to stop waits for `raise_if_stopped`, and at the latest for the end."""
    _asked.deferred = True
    try:
        yield
    finally:
        _asked.deferred = False
    raise_if_stopped()


@contextlib.contextmanager
def immediate() -> Iterator[None]:
    """A part of `deferred` in which a call to stop is obeyed at once."""
    raise_if_stopped()
    _asked.deferred = False
    try:
        yield
    finally:
        _asked.deferred = True


@contextlib.contextmanager
def passed_on() -> Iterator[None]:
    """Inside, a first call to stop is only noted, for whoever lets others know of it (`told`)."""
    _asked.deferred = True
    try:
        yield
    finally:
        _asked.deferred = False


def told() -> tuple[int, bool]:
    """The signal that asked to stop, 0 for none; whether one has asked to save since the last call."""
    save, _asked.save = _asked.save, False
    return _asked.stop, save


def ask(number: int) -> None:
    """As if this signal had come in, told by another thread; nothing where one has asked to stop already."""
    if number == getattr(signal, "SIGUSR1", None):
        _asked.save = True
    elif _asked.stop:
        return
    elif hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # also where it waits for a lock
    else:
        signal.raise_signal(number)


def heed(number: int) -> None:
    """As if this signal had come in, which another process has heard; 0: none has."""
    if number == getattr(signal, "SIGUSR1", None):
        _asked.save = True
    elif number:
        _asked.stop = number


def pending() -> int:
    """The signal for which the state is to be saved after this step, to stop then or to go on; 0: none."""
    return _asked.stop or (int(signal.SIGUSR1) if _asked.save else 0)


def raise_if_stopped(saved: str = "") -> None:
    """Raise Interrupted, `saved` in it, where a signal asked to stop; a wish to save is now fulfilled."""
    _asked.save = False
    if _asked.stop:
        raise Interrupted(_asked.stop, saved)


def _stop(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _asked.stop and now - _asked.since < TWICE_SECONDS:
        return
    first = not _asked.stop
    _asked.stop, _asked.since = number, now
    if not (first and _asked.deferred):
        raise Interrupted(number)


def _save(number: int, frame: FrameType | None) -> None:
    _asked.save = True
