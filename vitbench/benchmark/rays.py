"""Ray itself: found, or started here; whatever it prints, sets and leaves is kept from the user."""

import contextlib
import importlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vitbench.data.prefetch import cores
from vitbench.errors import RefusedError, UsageError, VitbenchError, first_line
from vitbench.locks import locked
from vitbench.records import Machine, counted
from vitbench.records.watch import Watch

OBJECTS_BYTES = 128 * 2**20
"""Shared memory of a Ray that is started here: little, for its runs are written in place."""
START_SECONDS, START_TRIES = 60.0, 5
"""So long Ray may take to start, and how often: its helpers have 15 seconds, too few on a busy machine."""
COUNT_SECONDS = 2.0
"""How often the machines are counted."""
FOLDER, LEFT_SECONDS = "vitbench-ray-", 60.0
"""What the folder of a Ray that is started here begins with; so old it is locked, if its process lives."""
HERE = "local"
"""The address of a Ray of one's own, whatever else there is."""


def refuse_absent() -> None:
    """UsageError where Ray is not installed; it is not loaded for that, for it reads the environment then."""
    try:
        version("ray")
    except PackageNotFoundError as error:
        raise UsageError("--engine ray: needs `pip install 'vitbench[ray]'`") from error


@dataclass
class Rays:
    """A Ray that this process is connected to."""

    ray: Any
    address: str
    folder: str = ""
    """Where one that was started here keeps its sockets and logs."""
    before: dict[str, str | None] = field(default_factory=dict)
    """What the environment held before."""
    mine: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """The lock on the folder, as long as this process lives."""

    def task(self, function: Callable[..., Any]) -> Any:
        """The function as a task of Ray's."""
        return self.ray.remote(function)

    def actor(self, kind: type) -> Any:
        """One of these, living beside this process: whoever is lost elsewhere, it is not."""
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        if not self.address.startswith("ray://"):
            options["scheduling_strategy"] = self._on(self.ray.get_runtime_context().get_node_id(), soft=True)
        return self.ray.remote(kind).options(**options).remote()

    def _on(self, node: str, *, soft: bool) -> Any:
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        return strategies.NodeAffinitySchedulingStrategy(node, soft=soft)

    def machines(self) -> list[Mapping[str, float]]:
        """What each machine that is there has: CPU, GPU, memory."""
        return [dict(node["Resources"]) for node in self.ray.nodes() if node["Alive"]]

    def on_each_machine(self, function: Callable[..., Any], *given: Any) -> None:
        """Call a function on every machine, as far as they answer."""
        nodes = [node["NodeID"] for node in self.ray.nodes() if node["Alive"]]
        task = self.ray.remote(num_cpus=0, max_retries=0)(function)
        called = [
            task.options(scheduling_strategy=self._on(node, soft=False)).remote(*given) for node in nodes
        ]
        self.ray.wait(called, num_returns=len(called), timeout=10)

    def close(self) -> None:
        """Leave it; one that was started here ends."""
        with _usual_signals():
            if self.ray is not None:
                self.ray.shutdown()
        self.mine.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Share:
    """What one work takes of a machine."""

    threads: int = 1
    cpus: int = 1
    gpus: float = 0.0

    @classmethod
    def of(cls, machine: Machine | None) -> "Share":
        """A CPU for each thread; on cards one, and with `--jobs` a part of one."""
        if machine is None:
            return cls()
        if machine.device.startswith("cuda"):
            return cls(machine.threads, 1, 1 / machine.jobs)
        return cls(machine.threads, machine.threads)

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many such works a machine has room for."""
        cpus = int(resources.get("CPU", 0) / self.cpus)
        return min(cpus, int(resources.get("GPU", 0) / self.gpus + 1e-6)) if self.gpus else cpus


class Rooms:
    """For how many works the machines that are there have room."""

    def __init__(self, rays: Rays, share: Share, watch: Watch) -> None:
        """UsageError where no machine that is there could ever carry one out; `watch` hears of changes."""
        self.rays, self.share, self.watch = rays, share, watch
        self._counted, self._number, self._said = 0.0, 1, ""
        machines = rays.machines()
        largest = int(max((one.get("CPU", 0) for one in machines), default=0))
        if 0 < largest < share.cpus:
            raise UsageError(
                f"--engine ray: a run takes {share.cpus} threads, as on this machine, and the largest one "
                f"there has {largest}; set OMP_NUM_THREADS={largest}, or give more --jobs"
            )
        if machines and share.gpus and not any(one.get("GPU") for one in machines):
            raise UsageError("--engine ray: no machine there has a GPU; add --device cpu")

    def number(self) -> int:
        """At least 1: a machine may still come."""
        if time.monotonic() - self._counted > COUNT_SECONDS:
            machines = self.rays.machines()
            room = sum(map(self.share.fits, machines))
            self._number, self._counted = max(1, room), time.monotonic()
            said = f"{counted(len(machines), 'machine')}, room for {counted(room, 'run')} at a time"
            if said != self._said:
                self._said = said
                self.watch.machines(said, self._number)
        return self._number


def connect(address: str | None) -> Rays:
    """The Ray at an address; without one the one that is there, or else one that is started here.

    VitbenchError where there is none at that address.
    """
    refuse_absent()
    with _usual_signals():
        if address == HERE or (address is None and not _is_there()):
            return _started()
        wanted = address or "auto"
        try:
            return Rays(_loaded(address=wanted), wanted)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise VitbenchError(
                f"--address {wanted}: no Ray answers there ({first_line(error)}); start it with "
                "`ray start --head`, or give --address local for one of this machine alone"
            ) from error


def _is_there() -> bool:
    """Whether the environment names a Ray, or one was started on this machine and answers."""
    if os.environ.get("RAY_ADDRESS"):
        return True
    noted = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
    try:
        host, _, port = noted.read_text().strip().rpartition(":")
        with socket.create_connection((host, int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _loaded(**how: Any) -> Any:
    """Ray, connected."""
    ray = importlib.import_module("ray")
    # What it tells a driver of dying workers goes to stdout, among results; the engine says it itself.
    worker: Any = importlib.import_module("ray._private.worker")
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *given, **options: None
    services: Any = importlib.import_module("ray._private.services")
    if hasattr(services, "get_node"):
        services.get_node = patiently(services.get_node)
    ray.init(**how, log_to_driver=False, logging_level="CRITICAL")
    return ray


def patiently(asked: Callable[..., Any]) -> Callable[..., Any]:
    """A question that is asked again until there is an answer, or for `START_SECONDS`."""

    def asking(*given: Any, **named: Any) -> Any:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                return asked(*given, **named)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)

    return asking


def _started() -> Rays:
    """A Ray of this machine's cores and cards, for this process alone: nobody else can use it.

    Its workers have their full share of the processor, for speeds are measured; it reports nothing to anyone.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    # Read where Ray is loaded; a program that has loaded it before decides this itself.
    if "ray" not in sys.modules and not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & os.environ.keys():
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    # The paths of its sockets may have 107 characters at most.
    short = "/tmp" if os.name == "posix" and len(tempfile.gettempdir()) > 30 else None
    _remove_left(Path(short or tempfile.gettempdir()))
    folder = tempfile.mkdtemp(prefix=FOLDER, dir=short)
    mine = contextlib.ExitStack()
    mine.enter_context(locked(Path(folder)))
    rays = Rays(None, HERE, folder, before, mine)
    how = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": OBJECTS_BYTES}
    try:
        rays.ray = tried(lambda: _loaded(address=HERE, _temp_dir=folder, **how))
    except BaseException as error:
        rays.close()
        if isinstance(error, Exception):
            raise VitbenchError(f"Ray could not be started here ({first_line(error)})") from error
        raise
    return rays


def _remove_left(parent: Path) -> None:
    """Remove what Rays of killed processes left: the folders that nobody has locked for a while."""
    for folder in parent.glob(f"{FOLDER}*"):
        with contextlib.suppress(OSError, RefusedError):
            if time.time() - folder.stat().st_mtime > LEFT_SECONDS:
                with locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def tried(start: Callable[[], Any]) -> Any:
    """What Ray is started by, tried several times."""
    for left in reversed(range(START_TRIES)):
        try:
            return start()
        except Exception:  # Ray's own says no more than that
            if not left:
                raise
    raise AssertionError


@contextlib.contextmanager
def _usual_signals() -> Iterator[None]:
    """What Ray does with SIGINT and SIGTERM is undone: they mean what `training.signals` says."""
    mine = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if mine else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
