"""Works carried out by Ray: each is a core task, with the CPUs and the share of a GPU that its plan gives it.

Whoever is lost (a worker, a machine, one that is taken away) is replaced by a task that goes on from what
was saved. Ray's own retries are off: it would hand the same task out again without what has come back of it.
"""

import contextlib
import dataclasses
import pickle
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from vitbench import files
from vitbench.benchmark import afar, beside
from vitbench.benchmark.engine import LOOK_SECONDS, Outcome, Work
from vitbench.benchmark.moving import at_absolute_places, needs_of, parcel_of, run_of
from vitbench.benchmark.parcels import DamagedError, Parcel, pack, unpack
from vitbench.benchmark.rays import Rays, Rooms, Share, connect
from vitbench.benchmark.tasks import OVER, STATE, TOKEN, Returned, Target, Task
from vitbench.errors import Interrupted, KilledError, UsageError, VitbenchError, first_line
from vitbench.locks import locked
from vitbench.records import Machine
from vitbench.records.watch import Watch
from vitbench.training import signals
from vitbench.training.environment import MATTER

LOSSES = 3
"""A work may be lost so many times without an epoch in between."""
ANSWER_SECONDS = 60
"""So long Ray may take to answer."""


@dataclass
class _Going:
    """A work that has been handed out."""

    work: Work
    watch: Watch
    task: Task
    begun: str = ""
    """The machine that carries it out; "": it waits for one."""
    lost: int = 0
    sent: dict[str, Any] = field(default_factory=dict)
    """Ray's references to what it lacked there."""


class Post:
    """Lives in Ray, and passes on what tasks tell and what they are asked."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, tuple[Any, ...]]] = []
        self.number = self.saves = 0
        self.tries: dict[str, int] = {}

    def tell(self, name: str, tries: int, events: list[tuple[Any, ...]]) -> tuple[int, int]:
        """What a task tells; the signal that asks it to stop, 0 for none, and how often to save was asked."""
        if tries < self.tries.setdefault(name, tries):
            return OVER, 0
        self.tries[name] = tries
        self.events += [(name, tries, event) for event in events]
        return self.number, self.saves

    def collect(self, number: int, saves: int, tries: Mapping[str, int]) -> list[Any]:
        """What has been told since the last call; from now on these signals hold, and these tries."""
        self.number, self.saves = number, saves
        self.tries.update(tries)
        told, self.events = self.events, []
        return told


def _carried_out(task: Task, post: Any, sent: Mapping[str, Any]) -> Returned:
    """A task, where Ray has put it."""
    import ray  # type: ignore[import-not-found,unused-ignore]

    def tell(*details: Any) -> Any:
        return ray.get(post.tell.remote(*details), timeout=120)

    tell(task.name, task.tries, [("begun", ray.util.get_node_ip_address())])
    fetched = {kind: (lambda reference=reference: ray.get(reference)) for kind, reference in sent.items()}
    return afar.carry_out(task, tell, fetched)


class OnRay:
    """In tasks of a Ray cluster: of one that is there, or of one that is started here and ends with this."""

    apart = True

    def __init__(self, address: str | None, machine: Machine | None, watch: Watch) -> None:
        """`machine`: how each run is to be carried out; it decides how many have room."""
        self._address, self._watch = address, watch
        self._share = Share.of(machine)
        self._cap: int | None = None
        self._going: dict[Any, _Going] = {}
        self._stop = self._saves = 0
        self._saved: list[str] = []
        self._session = f"session-{secrets.token_hex(8)}"
        self._parcels: dict[str, Any] = {}
        self._tokens: dict[Path, str] = {}
        self._away: set[str] = set()

    # --- what an engine does ---

    @property
    def shares(self) -> bool:
        """Whether several works may have one device, or one machine's memory, between them."""
        return self._share.gpus < 1 and self.most > 1

    @property
    def most(self) -> int:
        """As many works as the machines have room for."""
        slots = self._rooms.number()
        return slots if self._cap is None else min(self._cap, slots)

    @most.setter
    def most(self, number: int) -> None:
        self._cap = number

    @property
    def busy(self) -> int:
        return len(self._going)

    @property
    def room(self) -> int:
        self._pass_on()
        return 0 if self._stop else max(0, self.most - self.busy)

    def begin(self, work: Work, watch: Watch) -> None:
        """Hand it to Ray."""
        placed = at_absolute_places(work)
        task = Task(
            content=pickle.dumps(placed),
            name=work.name,
            tries=0,
            threads=self._share.threads,
            needs=needs_of(placed),
            target=self._target(placed),
            session=self._session,
            versions={name: version(name) for name in MATTER},
            arguments=tuple(sys.argv),
        )
        self._submit(_Going(work, watch, task))

    def wait(self) -> Outcome | None:
        before = self.room
        while self._going:
            if self.room > before:
                return None
            done, _ = self._ray.ray.wait(list(self._going), timeout=LOOK_SECONDS)
            self._hear()
            if done and (outcome := self._ended(done[0])) is not None:
                return outcome
        raise Interrupted(self._stop or signal.SIGTERM, "; ".join(self._saved))

    def stop(self) -> None:
        self._ask_to_stop(signal.SIGTERM)
        with contextlib.suppress(Interrupted):
            while self.busy:
                self.wait()

    def __enter__(self) -> "OnRay":
        self._held = signals.passed_on()
        self._held.__enter__()
        try:
            self._ray: Rays = connect(self._address)
            self._rooms = Rooms(self._ray, self._share, self._watch)
            self._task, self._post = self._ray.task(_carried_out), self._ray.actor(Post)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rays = getattr(self, "_ray", None)
        if rays is not None:
            if kind is None:
                rays.on_each_machine(afar.tidy, self._session, sorted(self._away))
            rays.close()
        for folder in self._tokens if kind is None else ():
            with contextlib.suppress(OSError):
                (folder / TOKEN).unlink()
        self._held.__exit__(kind, error, trace)

    # --- handed out ---

    def _target(self, work: Any) -> Target | None:
        run = run_of(work)
        if run is None:
            return None
        folder = run.folder.parent
        token = self._tokens.get(folder) or self._token(folder)
        identity = sha256(f"{folder} {token}".encode("utf-8", "replace")).hexdigest()
        key = f"{folder.name}-{identity[:16]}"
        return Target(folder, key, run.folder.name, getattr(work, "part", ""), token)

    def _token(self, folder: Path) -> str:
        """What a benchmark is known by elsewhere; one that was left undone keeps it, and what is there."""
        token = ""
        with contextlib.suppress(OSError):
            token = (folder / TOKEN).read_text()
        if not token:
            token = secrets.token_hex(16)
            files.write_text(folder / TOKEN, token)
        self._tokens[folder] = token
        return token

    def _submit(self, going: _Going) -> None:
        """Have Ray carry a work out, with how far it has come here."""
        target = going.task.target
        if target is not None:
            folder = target.benchmark / target.run / target.part
            going.task = dataclasses.replace(going.task, progress=afar.progress(folder))
        options = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus, "max_retries": 0}
        reference = self._task.options(**options, name=going.task.name, scheduling_strategy="SPREAD").remote(
            going.task, self._post, going.sent
        )
        going.begun = ""
        self._going[reference] = going

    def _again(self, going: _Going) -> None:
        """Hand it out anew: who carried it out before is not heard any more."""
        going.task = dataclasses.replace(going.task, tries=going.task.tries + 1)
        self._submit(going)

    def _send(self, going: _Going, kinds: tuple[str, ...]) -> None:
        """Put what a machine lacks where all machines find it, and hand the work out again."""
        placed = at_absolute_places(going.work)
        for kind in kinds:
            if kind == STATE:
                target = going.task.target
                assert target is not None
                state = pack(target.benchmark / target.run / target.part)
                going.sent[kind] = self._ray.ray.put(state)
                continue
            need = next(need for need in going.task.needs if need.kind == kind)
            if need.key not in self._parcels:
                going.watch.message(f"sending {kind} to machines that have not the same folders …")
                self._parcels[need.key] = self._ray.ray.put(parcel_of(need, placed))
            going.sent[kind] = self._parcels[need.key]
        self._again(going)

    # --- what comes of it ---

    def _hear(self) -> None:
        """Pass on what the tasks tell."""
        by_name = {going.task.name: going for going in self._going.values()}
        tries = {name: going.task.tries for name, going in by_name.items()}
        collected = self._post.collect.remote(self._stop, self._saves, tries)
        try:
            told = self._ray.ray.get(collected, timeout=ANSWER_SECONDS)
        except self._ray.ray.exceptions.RayError as error:
            self._going.clear()
            if self._stop:
                return
            raise VitbenchError(f"Ray has gone ({first_line(error)}); what is finished is kept") from error
        for name, tried, event in told:
            going = by_name.get(name)
            if going is None or tried != going.task.tries:
                continue
            kind, *details = event
            if kind == "begun":
                going.begun = details[0]
            elif kind == STATE:
                with contextlib.suppress(DamagedError):
                    self._take_in(going, *details)
            else:
                if kind == "epoch_finished":
                    going.lost = 0
                getattr(going.watch, kind)(*details)

    def _ended(self, reference: Any) -> Outcome | None:
        """What a task that is over means; None: it goes on."""
        going = self._going.pop(reference)
        errors = self._ray.ray.exceptions
        try:
            returned: Returned = self._ray.ray.get(reference)
        except errors.TaskCancelledError:
            return None
        except errors.OutOfMemoryError:
            killed = KilledError(*beside.cause_of(-signal.SIGKILL), memory_ended=True)
            return None if self._stop else Outcome(going.work, error=killed, beside=self.busy)
        except errors.RayTaskError as error:
            if isinstance(error.cause, UsageError):
                return Outcome(going.work, error=error.cause, beside=self.busy)
            return self._lost(going, f"failed ({error.cause})")
        except errors.RayError as error:
            return self._lost(
                going, "machine was lost" if "ode" in type(error).__name__ else "worker was lost"
            )
        if returned.kind == "lacks":
            if not self._stop:
                self._send(going, returned.details)
            return None
        if returned.parcel is not None:
            try:
                self._take_in(going, returned.parcel, returned.identity)
            except DamagedError as error:
                return self._lost(going, f"result came back damaged ({error})")
        return self._outcome(going, returned)

    def _outcome(self, going: _Going, returned: Returned) -> Outcome | None:
        details = returned.details
        if returned.kind == "stopped":
            self._saved += [details[1]] if details[1] else []
            self._ask_to_stop(details[0])
            return None
        if returned.kind == "error":
            return Outcome(going.work, error=pickle.loads(details[0]), beside=self.busy)
        if returned.kind == "killed":
            status, memory_ended = details
            cause, way_out = beside.cause_of(status)
            if memory_ended or going.lost >= LOSSES:
                error = KilledError(cause, way_out, memory_ended=memory_ended)
                return None if self._stop else Outcome(going.work, error=error, beside=self.busy)
            return self._lost(going, f"process {cause}")
        return Outcome(going.work, pickle.loads(details[0]), beside=self.busy)

    def _lost(self, going: _Going, what: str) -> Outcome | None:
        """A work whose task came to nothing: another one goes on with it, unless that has been in vain."""
        if self._stop:
            return None
        going.lost += 1
        where = f" on {going.begun}" if going.begun else ""
        if going.lost > LOSSES:
            cause = f"{what}{where}, {going.lost} times in a row"
            return Outcome(going.work, error=KilledError(cause, "the last lines of its log.txt may say why"))
        target = going.task.target
        line = afar.last_line(None if target is None else target.benchmark / target.run / target.part)
        log = f"; its log ends: {line}" if line else ""
        going.watch.message(f"{going.task.name}: its {what}{where}; it goes on in another one{log}")
        self._again(going)
        return None

    def _take_in(self, going: _Going, parcel: Parcel, identity: Mapping[str, bytes]) -> None:
        """Put what has come back of a run into the benchmark; DamagedError where it is not what was sent."""
        target = going.task.target
        assert target is not None
        self._away.add(target.key)
        run = target.benchmark / target.run
        place = run / target.part
        place.mkdir(parents=True, exist_ok=True)
        with locked(place, wait_seconds=60):
            unpack(parcel, place)
        for name, content in identity.items():
            if not (run / name).exists():
                files.write_bytes(run / name, content)

    # --- signals ---

    def _pass_on(self) -> None:
        number, save = signals.told()
        self._saves += save
        if number:
            self._ask_to_stop(number)

    def _ask_to_stop(self, number: int) -> None:
        """Those that carry something out save and stop; those that wait for a machine are taken back."""
        if self._stop:
            return
        self._stop = number
        self._hear()
        for reference, going in list(self._going.items()):
            if not going.begun:
                self._ray.ray.cancel(reference)
