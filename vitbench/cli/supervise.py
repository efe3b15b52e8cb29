"""A light parent that survives when the kernel kills the process that trains.

Linux kills what uses most memory when none is left. `vitbench train`, `probe` and `pretrain` are therefore
two processes: the parent, which never loads torch, starts the same command again as its child and passes
signals on. When the child is killed inside a run, the parent notes in that run why it failed and
starts another child for the runs that are left; when it is killed while a model is timed for the plan,
another child makes the plan without that model. A parent that is killed takes its child with it.
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

from vitbench.errors import DeviceLostError

COMMANDS = ("train", "probe", "pretrain")
HELP = frozenset({"-h", "--help"})
NOT_CARRIED_OUT = HELP | {"--dry-run"}
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT) if sys.platform == "linux" else ()
"""What the kernel, or a fault in compiled code, ends a process with; other signals are somebody's wish."""
CHILD = "VITBENCH_CHILD"
"""In the child's environment: the pipe to its parent, and what an earlier child left, as JSON."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Inheritance:
    """What a child takes over from one that was killed."""

    benchmark: Path | None
    """None: it had none yet."""
    leave: tuple[str, ...]
    """The runs inside which children were killed."""
    crashed: dict[str, str]
    """The models whose timing killed children, each with what to say of it."""


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
        and not HELP.intersection(arguments)
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
    if told["benchmark"] or told["crashed"]:
        benchmark = Path(told["benchmark"]) if told["benchmark"] else None
        inherited = Inheritance(benchmark, tuple(told["leave"]), dict(told["crashed"]))


def tell(**news: str) -> None:
    """Let the parent, if there is one, know the `benchmark` being carried out, or the model in `timing`."""
    if _pipe is not None:
        os.write(_pipe, json.dumps(news).encode() + b"\n")


# --- in the parent --------------------------------------------------------------------------------


def run() -> int:
    """Carry the command out in children; the exit status of the last one."""
    benchmark: Path | None = None
    leave: tuple[str, ...] = ()
    crashed: dict[str, str] = {}
    while True:
        child, news = _start(benchmark, leave, crashed)
        benchmark = Path(news["benchmark"]) if "benchmark" in news else benchmark
        if child.returncode == DeviceLostError.exit_code and (run := news.get("lost")) not in (None, *leave):
            if run:  # which says itself why it failed
                leave = (*leave, run)
                continue
            if (model := news.get("timing")) and model not in crashed:
                crashed[model] = "its first steps made the device fail; leave it out, or try --device cpu"
                continue
        if child.returncode >= 0:
            return child.returncode
        if -child.returncode not in DEADLY:
            return 128 - child.returncode
        if sys.stderr.isatty():
            print("\x1b[?25h", file=sys.stderr)  # the cursor, which the child's display hid
        if (model := news.get("timing")) and model not in crashed:
            cause, way_out = _words(-child.returncode)
            crashed[model] = f"the process that timed its first steps {cause}; {way_out}"
            print(f"{model}: failed: {crashed[model]}", file=sys.stderr)
            continue
        killed = _note(child, benchmark)
        if killed is None:
            return 1
        leave = (*leave, killed)


def _words(number: int) -> tuple[str, str]:
    """What a signal that ends processes tells of the cause, and what helps."""
    killed = f"was killed by the system ({signal.Signals(number).name})"
    if number == signal.SIGKILL:
        needs_less = "a smaller --image-size, --micro-batch or model needs less"
        return f"{killed}, most likely because memory ran out", needs_less
    way_out = "another --image-size, --device or version of torch may do, or leave the model out"
    return f"{killed}: a fault in torch's compiled code for this network on this machine", way_out


def _start(
    benchmark: Path | None, leave: tuple[str, ...], crashed: dict[str, str]
) -> tuple["subprocess.Popen[bytes]", dict[str, str]]:
    """A child that has come to its end, and the last it told of each thing."""
    receiver, sender = os.pipe()
    told = {"parent": os.getpid(), "pipe": sender, "benchmark": str(benchmark or ""), "leave": leave}
    told["crashed"] = crashed
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
        said = stream.read().splitlines()
    return child, {key: value for line in said for key, value in json.loads(line).items()}


def _has_told(receiver: int) -> bool:
    return bool(select.select([receiver], [], [], 0)[0])


def _note(child: "subprocess.Popen[bytes]", benchmark: Path | None) -> str | None:
    """Write down why the run failed inside which the child was killed; None where it was in none."""
    from vitbench import files
    from vitbench.errors import RefusedError
    from vitbench.training.locks import holder, locked

    cause, way_out = _words(-child.returncode)
    folders = [] if benchmark is None else [path.parent for path in sorted(benchmark.glob("*/.lock.json"))]
    for folder in folders:
        if holder(folder).get("pid") == child.pid:
            reason = f"its process {cause}; {way_out}"
            try:
                with locked(folder):
                    files.write_json(folder / "failure.json", {"reason": reason})
            except RefusedError:  # somebody else has taken the run up already
                return folder.name
            print(f"{folder.name}: failed: {reason}", file=sys.stderr)
            return folder.name
    where = "before the first run" if benchmark is None else f"{benchmark.name}: outside of its runs"
    print(f"vitbench: {where}, its process {cause}; close other programs and call it again", file=sys.stderr)
    return None
