"""A light parent that survives when the kernel kills the process that trains.

Linux kills what uses most memory when none is left. `vitbench train`, `probe` and `pretrain` are therefore
two processes: the parent, which never loads torch, starts the same command again as its child and passes
signals on. When the child is killed inside a run, the parent notes in that run why it failed and
starts another child for the runs that are left. A parent that is killed takes its child with it.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

COMMANDS = ("train", "probe", "pretrain")
NOT_CARRIED_OUT = frozenset({"-h", "--help", "--dry-run"})
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT) if sys.platform == "linux" else ()
"""What the kernel, or a fault in compiled code, ends a process with; other signals are somebody's wish."""
CHILD = "VITBENCH_CHILD"
"""In the child's environment: the pipe to its parent, and what an earlier child left, as JSON."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Inheritance:
    """What a child takes over from one that was killed."""

    benchmark: Path
    leave: tuple[str, ...]
    """The runs inside which children were killed."""


_pipe: int | None = None
inherited: Inheritance | None = None
"""In a child that follows a killed one; else None."""


def wanted(arguments: list[str]) -> bool:
    """Whether this process is to be a parent: Linux, a command that trains, and not a child or a rank."""
    started_so = sys.orig_argv[len(sys.orig_argv) - len(arguments) :] == arguments
    return (
        sys.platform == "linux"
        and bool(arguments)
        and arguments[0] in COMMANDS
        and not NOT_CARRIED_OUT.intersection(arguments)
        and started_so  # a test, or a program that calls `main` itself, is not
        and CHILD not in os.environ
        and "RANK" not in os.environ
    )


# --- in the child ---------------------------------------------------------------------------------


def begin() -> None:
    """Where this process is a child: die with the parent, and take over what an earlier child left."""
    global _pipe, inherited
    told = json.loads(os.environ.pop(CHILD, "null"))
    if told is None:
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != told["parent"]:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)
    _pipe = told["pipe"]
    os.set_inheritable(told["pipe"], False)
    if told["benchmark"]:
        inherited = Inheritance(Path(told["benchmark"]), tuple(told["leave"]))


def tell(benchmark: Path) -> None:
    """Let the parent, if there is one, know which benchmark is being carried out."""
    if _pipe is not None:
        os.write(_pipe, os.fsencode(benchmark.resolve()))


# --- in the parent --------------------------------------------------------------------------------


def run() -> int:
    """Carry the command out in children; the exit status of the last one."""
    benchmark: Path | None = None
    leave: tuple[str, ...] = ()
    while True:
        child, told = _start(benchmark, leave)
        benchmark = told or benchmark
        if child.returncode >= 0:
            return child.returncode
        if -child.returncode not in DEADLY:
            return 128 - child.returncode
        if sys.stderr.isatty():
            print("\x1b[?25h", file=sys.stderr)  # the cursor, which the child's display hid
        killed = _note(child, benchmark)
        if killed is None:
            return 1
        leave = (*leave, killed)


def _start(benchmark: Path | None, leave: tuple[str, ...]) -> tuple["subprocess.Popen[bytes]", Path | None]:
    """A child that has come to its end, and the benchmark that it told of."""
    receiver, sender = os.pipe()
    told = {"parent": os.getpid(), "pipe": sender, "benchmark": str(benchmark or ""), "leave": leave}
    environment = {**os.environ, CHILD: json.dumps(told)}
    early: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif number != signal.SIGUSR1 or _has_told(receiver):  # before that there is nothing to save
            child.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {
        number: signal.signal(number, pass_on)
        for number in numbers
        if signal.getsignal(number) != signal.SIG_IGN  # as behind nohup
    }
    child = subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=environment, pass_fds=(sender,))
    for number in early:
        pass_on(number, None)
    child.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(sender)
    with open(receiver, "rb") as stream:  # noqa: PTH123  # a descriptor
        said = stream.read()
    return child, Path(os.fsdecode(said)) if said else None


def _has_told(receiver: int) -> bool:
    return bool(select.select([receiver], [], [], 0)[0])


def _note(child: "subprocess.Popen[bytes]", benchmark: Path | None) -> str | None:
    """Write down why the run failed inside which the child was killed; None where it was in none."""
    from vitbench import files
    from vitbench.errors import RefusedError
    from vitbench.training.locks import holder, locked

    name = signal.Signals(-child.returncode).name
    killed = f"its process was killed by the system ({name})"
    if -child.returncode == signal.SIGKILL:
        killed += ", most likely because memory ran out"
    folders = [] if benchmark is None else [path.parent for path in sorted(benchmark.glob("*/.lock.json"))]
    for folder in folders:
        if holder(folder).get("pid") == child.pid:
            reason = f"{killed}; a smaller --image-size, --micro-batch or model needs less"
            try:
                with locked(folder):
                    files.write_json(folder / "failure.json", {"reason": reason})
            except RefusedError:  # somebody else has taken the run up already
                return folder.name
            print(f"{folder.name}: failed: {reason}", file=sys.stderr)
            return folder.name
    where = "before the first run" if benchmark is None else f"{benchmark.name}: outside of its runs"
    print(f"vitbench: {where}, {killed}; close other programs and call it again", file=sys.stderr)
    return None
