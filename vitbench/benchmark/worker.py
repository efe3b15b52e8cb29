"""The inside of a process that carries works out, one after another, and tells of them.

Works and signals come in on its stdin, what is said of them goes out on its stdout, a length before each.
When the process that started it has gone, stdin ends, and so does this one, whatever it is at: what it has
saved counts.
"""

import os
import pickle
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import Any, BinaryIO

from vitbench.errors import Interrupted, packed
from vitbench.training import signals

LENGTH = struct.Struct("<Q")
SIGNAL = b"signal "
"""Begins a message that passes a signal's number on; others are pickled works."""


def messages(stream: BinaryIO) -> Iterator[bytes]:
    """What comes in, until the other side has ended; half a message is none."""
    while len(head := stream.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        content = stream.read(length)
        if len(content) < length:
            return
        yield content


def send(stream: BinaryIO, content: bytes) -> None:
    """Send a message; OSError where nobody listens any more."""
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def main(*loading: str) -> None:
    """Carry works out until there is nobody to give one; first load modules, while nobody waits."""
    told = os.fdopen(os.dup(1), "wb")
    given = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # whatever prints there would break what is told
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    if hasattr(signal, "pthread_sigmask"):  # who started it may have kept signals from it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
    works: SimpleQueue[bytes] = SimpleQueue()
    try:
        with signals.handling():
            threading.Thread(target=_take, args=(given, works), daemon=True).start()
            for name in loading:
                import_module(name)
            while carry_out(works.get(), told):
                pass
    except Interrupted as error:
        sys.exit(128 + error.signal)


def _take(stream: BinaryIO, works: "SimpleQueue[bytes]") -> None:
    """Put works where the main thread takes them; heed a signal at once."""
    for content in messages(stream):
        if content.startswith(SIGNAL):
            signals.ask(int(content.removeprefix(SIGNAL)))
        else:
            works.put(content)
    os._exit(1)


def carry_out(content: bytes, stream: BinaryIO) -> bool:
    """Carry a pickled work out and tell what comes of it; False where it was asked to stop.

    What is told: ("event", its name, its details), then ("result", value), ("error", pickled) or
    ("stopped", signal, how far it is saved).
    """
    from vitbench.records.watch import Relay

    lock = threading.Lock()

    def tell(kind: str, *details: Any) -> None:
        with lock:
            send(stream, pickle.dumps((kind, *details)))

    try:
        tell("result", pickle.loads(content)(Relay(partial(tell, "event"))))
    except Interrupted as error:
        tell("stopped", error.signal, error.saved)
        return False
    except Exception as error:  # noqa: BLE001  # whoever handed it out knows what to do
        tell("error", packed(error, "in a process beside this one"))
    return True
