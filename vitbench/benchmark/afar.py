"""A work as it is carried out on a machine of a grid: where its files lie there, and what is told of it.

Where the results folder is the same one there, a run is written in place. Elsewhere, and wherever
$VITBENCH_SCRATCH says so, it is written in a folder of that machine's own, and sent back when it ends.
Nothing here loads torch: the work itself goes to a process beside this one (`beside.py`), so that what the
kernel ends is one work, and its signals, threads and niceness are its own.
"""

import contextlib
import dataclasses
import os
import pickle
import queue
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from vitbench.benchmark import beside
from vitbench.benchmark.parcels import Parcel, pack, unpack
from vitbench.benchmark.tasks import OVER, SCRATCH, STATE, Need, Progress, Returned, Target, Task
from vitbench.errors import RefusedError, UsageError
from vitbench.launch import NICENESS
from vitbench.locks import locked
from vitbench.training.environment import MATTER

TOLD_SECONDS = 0.4
"""How often a work is told of, and asks whether it is to stop."""
SENT_SECONDS = 300.0
"""How often the state of a training is sent from a machine that may be lost with it."""
TURN_SECONDS = 60.0
"""So long the next one waits for who carried the same work out before to be gone."""


# --- where its files lie here ---------------------------------------------------------------------


def scratch() -> Path:
    """The folder in which this machine keeps what it carries out."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    return Path(os.environ.get(SCRATCH) or tempfile.gettempdir()) / f"vitbench-{owner}"


@dataclass(frozen=True)
class Here:
    """Where a task's files lie on this machine."""

    moves: Mapping[str, Path]
    """Of what does not lie where it did: the kind → its place."""
    run: Path | None = None
    """The run's folder; None: the work leaves none."""
    away: bool = False
    """It has to be sent back."""


def placed(task: Task, fetched: Mapping[str, Callable[[], Parcel]]) -> Here | list[str]:
    """Where everything is; or what has to be sent first, by its kind."""
    moves: dict[str, Path] = {}
    lacking = []
    target = task.target
    away = target is not None and not target.is_here()
    for need in task.needs:
        if need.is_here():
            continue
        place = scratch() / task.session / need.key
        if need.kind == "teacher" and target is not None and need.place.parent == target.benchmark:
            place = scratch() / target.key / need.place.name
        if _received(need, place, fetched.get(need.kind)):
            moves[need.kind] = place
        else:
            lacking.append(need.kind)
    if target is None:
        return lacking or Here(moves)
    if not away:
        return lacking or Here(moves, target.benchmark / target.run)
    run = scratch() / target.key / target.run
    moves["results"] = run.parent
    if progress(run / target.part) < task.progress:
        if STATE in fetched:
            unpack(fetched[STATE](), run / target.part)
        else:
            lacking.append(STATE)
    return lacking or Here(moves, run, away=True)


def _received(need: Need, place: Path, fetch: Callable[[], Parcel] | None) -> bool:
    """Whether what is sent once to every machine is there; unpacked by one task, the others wait."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.parent, wait_seconds=600):
        moved = dataclasses.replace(need, place=place)
        if (place.exists() and not need.sample) or moved.is_here():
            return True
        if fetch is not None:
            unpack(fetch(), place)
        return fetch is not None


def progress(run: Path) -> Progress:
    """How far a folder shows a run, or a part of it, to have come."""
    every = [path.relative_to(run).as_posix() for path in run.rglob("*")]
    checkpoints = [name for name in every if "/epoch-" in f"/{name}" and name.endswith(".json")]
    ended = [name for name in every if name.rpartition("/")[2] == "metrics.json"]
    return "metrics.json" in every, len(ended), max((c.rpartition("/")[2] for c in checkpoints), default="")


def packed(here: Here, target: Target) -> tuple[Parcel, dict[str, bytes]]:
    """What is sent back of a run; and with a part of it what the run itself is."""
    assert here.run is not None
    identity = {}
    for name in ("recipe.json", "environment.json") if target.part else ():
        with contextlib.suppress(FileNotFoundError):
            identity[name] = (here.run / name).read_bytes()
    return pack(here.run / target.part), identity


def tidy(session: str, keys: list[str]) -> None:
    """Remove from this machine what was sent to it, and the runs that have been sent back."""
    for name in (session, *filter(None, keys)):
        shutil.rmtree(scratch() / name, ignore_errors=True)


# --- carried out ----------------------------------------------------------------------------------


def refuse_other_versions(task: Task) -> None:
    """UsageError where this machine has not the packages that decide the weights as the asking one has."""
    other = [f"{name} {version(name)}" for name in MATTER if version(name) != task.versions[name]]
    if other:
        asked = ", ".join(f"{one.split()[0]} {task.versions[one.split()[0]]}" for one in other)
        raise UsageError(
            f"{os.uname().nodename}: has {', '.join(other)}, this machine {asked}: the runs would not be "
            "alike; install the same on all machines of the grid"
        )


_kept: dict[int, beside.Process] = {}
"""A process that has carried a task out and waits for the next one, by its number of threads."""


def carry_out(task: Task, tell: Callable[..., tuple[int, int]], fetched: Mapping[str, Any]) -> Returned:
    """Carry a task out here.

    `tell` sends events, and brings the signal that asks to stop and how often saving was asked for.
    `fetched`: what was sent, by its kind.
    """
    refuse_other_versions(task)
    found = placed(task, fetched)
    if isinstance(found, list):
        return Returned("lacks", tuple(found))
    if task.target is not None and found.run is not None:
        _await_turn(found.run / task.target.part)
    process = _process(task)
    try:
        process.give(_Moved(task.content, found.moves), None)
        returned = _followed(process, task, found, tell)
    except BaseException:
        process.end()
        raise
    if returned.kind in ("result", "error") and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        _kept[task.threads] = process
    else:
        process.end()
    return returned


def _await_turn(run: Path) -> None:
    """Wait until whoever carried a run out before is gone; if it stays, the work itself says who has it."""
    with contextlib.suppress(RefusedError, FileNotFoundError), locked(run, TURN_SECONDS):
        pass


def _process(task: Task) -> beside.Process:
    """A process for a work: its threads pinned, this one's niceness undone where that is allowed."""
    kept = _kept.pop(task.threads, None)
    for other in (*_kept.values(), *([kept] if kept is not None and not kept.alive() else [])):
        other.end()
    _kept.clear()
    if kept is not None and kept.alive():
        return kept
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(task.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        NICENESS: str(_undone_niceness()),
    }
    return beside.Process(SimpleQueue(), arguments=task.arguments, environment=environment)


def _undone_niceness() -> int:
    """What is left of it."""
    if not hasattr(os, "setpriority"):
        return 0
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    return max(0, os.getpriority(os.PRIO_PROCESS, 0))


def _followed(
    process: beside.Process, task: Task, here: Here, tell: Callable[..., tuple[int, int]]
) -> Returned:
    """How a work ended; meanwhile its events go out and signals come in."""
    events: list[tuple[Any, ...]] = []
    told, sent, asked, saves = 0.0, time.monotonic(), 0, 0
    while True:
        ended = None
        with contextlib.suppress(queue.Empty):
            _, content = process.heard.get(timeout=TOLD_SECONDS)
            if content is None:
                ended = ("killed", process.status(), beside.memory_kills() > process.memory_ended)
            else:
                kind, *details = pickle.loads(content)
                if kind == "event":
                    events.append(tuple(details))
                else:
                    ended = (kind, *details)
        now = time.monotonic()
        if here.away and task.target is not None and now - sent > SENT_SECONDS:
            events.append((STATE, *packed(here, task.target)))
            sent = now
        if ended or now - told > TOLD_SECONDS:
            number, wished = tell(task.name, task.tries, _thinned(events, here))
            events, told = [], now
            if number == OVER:
                raise RuntimeError(f"{task.name}: somebody else carries it out by now")
            if number and number != asked:
                process.pass_on(number)
            elif wished > saves:
                process.pass_on(signal.SIGUSR1)
            asked, saves = number, wished
        if ended:
            kind, *details = ended
            parcel = packed(here, task.target) if here.away and task.target is not None else (None, {})
            return Returned(kind, tuple(details), *parcel)


def _thinned(events: list[tuple[Any, ...]], here: Here) -> list[tuple[Any, ...]]:
    """The events, of steps in a row the last one; a failure with the last line of the run's log."""
    found = []
    for place, event in enumerate(events):
        following = events[place + 1][0] if place + 1 < len(events) else ""
        if event[0] in ("step", "work") and event[0] == following:
            continue
        if event[0] == "run_failed" and (line := last_line(here.run)):
            event = (*event[:2], f"{event[2]}; its log ends: {line}")
        found.append(event)
    return found


def last_line(run: Path | None) -> str:
    """The last line of a run's log; "" where there is none."""
    with contextlib.suppress(OSError):
        if run is not None:
            lines = (run / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
    return ""


@dataclass(frozen=True)
class _Moved:
    """A work whose files lie elsewhere: knows it only in the process that carries it out."""

    content: bytes
    moves: Mapping[str, Path]

    def __call__(self, watch: Any) -> bytes:
        """What comes of it, pickled: who hands it on need not know what it is made of."""
        from vitbench.benchmark.moving import moved

        return pickle.dumps(moved(pickle.loads(self.content), self.moves)(watch))
