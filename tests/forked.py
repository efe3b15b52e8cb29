"""Real processes, forked from one that has loaded everything: they take no seconds to import it again.

`begin` forks that one from the tests' own process before the first test, while no thread computes. Whether
a program starts as its users start it is not to be learned here: that takes a process of its own.
"""

import contextlib
import io
import os
import select
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import IO, Any, NoReturn

NUMBER = struct.Struct("<i")
_server: "Connection[Any, Any] | None" = None


def begin() -> None:
    """Fork the process that all others come from; it ends with this one."""
    global _server
    mine, its = Pipe()
    if os.fork() == 0:
        mine.close()
        with contextlib.suppress(BaseException):
            _serve(its)
        os._exit(0)
    its.close()
    _server = mine


def _serve(asked: "Connection[Any, Any]") -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what the tests themselves talk over
        os.dup2(nothing, stream)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order = asked.recv()
        handles = [recv_handle(asked) for _ in range(4)]
        if os.fork() == 0:
            asked.close()
            with contextlib.suppress(BaseException):
                _keep(order, *handles)
            os._exit(0)
        for handle in handles:
            os.close(handle)


def _keep(order: tuple[Any, ...], told: int, *streams: int) -> None:
    """Fork the child, tell which it is, and in the end its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (child := os.fork()) == 0:
        os.close(told)
        _become(streams, *order)
    for stream in streams:
        os.close(stream)
    os.write(told, NUMBER.pack(child))
    os.write(told, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def _become(
    streams: Sequence[int], call: Callable[..., Any], given: Sequence[Any], cwd: str, environment: Any
) -> NoReturn:
    status: Any = 0
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (open(n, "wr"[n == 0], closefd=False) for n in range(3))  # noqa: SIM115
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        call(*given)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001  # told as a program's own end would be
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))


class Forked:
    """A child that calls a function, in a session of its own; it is asked as a `subprocess.Popen` is.

    The function and its arguments are pickled. `stdin`, `stdout`, `stderr`: a file, `subprocess.PIPE`, or
    None for nothing.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        *given: Any,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> None:
        assert _server is not None
        self.returncode: int | None = None
        self._ended, told = os.pipe()
        theirs = [told]
        self.stdin, handle = _stream(stdin, write=True)
        theirs.append(handle)
        self.stdout, handle = _stream(stdout)
        theirs.append(handle)
        self.stderr, handle = _stream(stderr)
        theirs.append(handle)
        _server.send(
            (call, given, str(cwd or Path.cwd()), dict(os.environ if environment is None else environment))
        )
        for handle in theirs:
            send_handle(_server, handle, 0)
            os.close(handle)
        (self.pid,) = NUMBER.unpack(os.read(self._ended, NUMBER.size))

    def poll(self) -> int | None:
        """Its status, the signal that ended it negative; None before."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its status when it has ended; `subprocess.TimeoutExpired` where it goes on."""
        if (status := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0)
        return status

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            (self.returncode,) = NUMBER.unpack(os.read(self._ended, NUMBER.size))
            os.close(self._ended)
        return self.returncode

    def kill(self) -> None:
        """End it, and what it started in its session."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()


def _stream(asked: int | IO[Any] | None, *, write: bool = False) -> tuple[io.BufferedIOBase | None, int]:
    """This side's end of a pipe, where one is asked for, and the child's handle."""
    if asked is None:
        return None, os.open(os.devnull, os.O_RDWR)
    if asked != subprocess.PIPE:
        return None, os.dup(asked if isinstance(asked, int) else asked.fileno())
    reads, writes = os.pipe()
    mine, its = (writes, reads) if write else (reads, writes)
    return open(mine, "wb" if write else "rb", buffering=-1), its  # noqa: PTH123
