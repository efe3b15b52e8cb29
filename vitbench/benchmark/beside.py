"""A process beside this one that carries works out (`worker.py`), seen from here.

It is worth a process of its own: what the kernel kills when memory ends, what a fault in compiled code or a
lost device ends, ends there, and this one knows which work it was. Nothing here loads torch, so that the
command line can start one before it does.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from vitbench.benchmark.worker import SIGNAL, messages, send

Heard = SimpleQueue[tuple["Process", bytes | None]]
"""What processes say, each with who says it; None: it has ended."""


class Process:
    """A process beside this one, which imports from where this one does."""

    def __init__(
        self,
        heard: Heard,
        *loading: str,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`loading`: modules that it is to load at once; others it loads when a work needs them.

        It takes `arguments` and `environment` for its own; None: those of this process.
        """
        self.heard = heard
        self.work: Any = None
        """What it carries out."""
        self.watch: Any = None
        """Who hears of that."""
        self.memory_ended = 0
        words = [f"-W{option}" for option in sys.warnoptions]
        begin = f"from vitbench.benchmark.worker import main; main(*{loading!r})"
        called = list(sys.argv if arguments is None else arguments)
        code = f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {called!r}; {begin}"
        self._process = subprocess.Popen(
            [sys.executable, *words, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for content in messages(self._process.stdout):  # type: ignore[arg-type]
            self.heard.put((self, content))
        self.heard.put((self, None))

    def give(self, work: Any, watch: Any) -> bool:
        """Have it carry a work out; False where it has ended meanwhile."""
        if not self._send(pickle.dumps(work)):
            return False
        self.work, self.watch, self.memory_ended = work, watch, memory_kills()
        return True

    def pass_on(self, number: int) -> None:
        """Let it heed a signal; one that it has heard itself, as from a terminal, does not count twice."""
        self._send(SIGNAL + str(int(number)).encode())

    def _send(self, content: bytes) -> bool:
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, content)  # type: ignore[arg-type]
        except OSError:
            return False
        return True

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def status(self) -> int:
        """Of a process that has ended; the signal that ended it, negative."""
        return self._process.wait()

    def end(self) -> None:
        """End it at once, and wait until it has."""
        self._process.kill()
        self._process.wait()
        self._listening.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def memory_kills() -> int:
    """How many processes the kernel has ended for want of memory, here and in this control group."""
    count = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with contextlib.suppress(OSError, ValueError):
            rows = (line.split() for line in path.read_text().splitlines())
            count += sum(int(row[1]) for row in rows if row[0] == "oom_kill")
    return count


# --- one that is started early --------------------------------------------------------------------

COMMANDS = ("train", "probe", "pretrain", "demo")
"""Those that carry works out."""
HELP = frozenset({"-h", "--help"})
NOT_CARRIED_OUT = HELP | {"--dry-run"}
LOADED = "vitbench.benchmark.grid"
"""What works are made of: the module that a process loads at first."""
_spare: Process | None = None
_apart = False


@contextlib.contextmanager
def ready(arguments: list[str]) -> Iterator[None]:
    """Inside, where the command line is one that carries works out, a process for them is being started.

    Not for a test or a program that calls `main` itself, nor for what torchrun has started.
    """
    global _spare, _apart
    started_so = sys.orig_argv[len(sys.orig_argv) - len(arguments) :] == arguments
    trains = bool(arguments) and arguments[0] in COMMANDS and not HELP.intersection(arguments)
    _apart = started_so and trains and "RANK" not in os.environ
    elsewhere = {"ray", "--engine=ray"}.intersection(arguments)
    _spare = Process(SimpleQueue(), LOADED) if _apart and not elsewhere else None
    try:
        yield
    finally:
        if _spare is not None:
            _spare.end()


def apart() -> bool:
    """Whether works are carried out beside this process even where there is one at a time."""
    return _apart


def spare() -> Process | None:
    """The process that was started early, to whoever asks first."""
    global _spare
    taken, _spare = _spare, None
    return taken


# --- how one ended ---------------------------------------------------------------------------------


def cause_of(status: int) -> tuple[str, str]:
    """What a process's status tells of why it ended, and what helps."""
    if status >= 0:
        return f"ended with status {status}", "its last lines above say why"
    name = {number.value: number.name for number in signal.Signals}.get(-status, f"signal {-status}")
    killed = f"was killed by the system ({name})"
    if -status == getattr(signal, "SIGKILL", None):
        needs_less = "a smaller --image-size, --micro-batch or model needs less"
        return f"{killed}, most likely because memory ran out", needs_less
    way_out = "another --image-size, --device or version of torch may do, or leave the model out"
    return f"{killed}: a fault in torch's compiled code for this network on this machine", way_out
