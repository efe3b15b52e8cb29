"""`train --track`: every row of `epochs.csv` also goes to TensorBoard, Weights & Biases or Trackio.

A mirror for watching: our csv stays the truth, no weight depends on it, and a tracker that fails is left
with one line while the training goes on. To add one, write a class with the methods of `Tracker` and
give it a row in `TRACKERS`.
"""

import contextlib
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from vitbench.errors import UsageError
from vitbench.options import fit
from vitbench.records import Benchmark, Epoch, Run
from vitbench.records.watch import Relay, Watch

PROJECT = "vitbench"


class Tracker(Protocol):
    """One training in a tracker, begun or gone on with at `epoch`, from 1."""

    def __init__(self, benchmark: Benchmark, run: Run, epoch: int) -> None: ...

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """What came of an epoch; its number is the step."""

    def summarise(self, values: Mapping[str, float], epoch: int) -> None:
        """Scores of the whole run, whose weights are those of `epoch`."""

    def close(self) -> None:
        """Nothing more comes."""


def check(kind: str) -> None:
    """Raise UsageError where there is no such tracker, or it is not installed."""
    fit("--track", Literal[tuple(TRACKERS)], kind)
    try:
        # A folder of that name, as wandb makes one, can be imported and is not the package.
        importlib.import_module(kind).__version__  # noqa: B018
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--track {kind}: needs `pip install 'vitbench[track]'` ({error})") from error


@contextlib.contextmanager
def tracked(kind: str | None, benchmark: Benchmark, watch: Watch) -> Iterator[Watch]:
    """A watch that tells `watch` and, where one is named, the tracker; what that has begun is closed."""
    if kind is None:
        yield watch
        return
    track = Track(kind, benchmark, watch.message)
    try:
        yield Watches(watch, track)
    finally:
        track.close()


def introduce(kind: str | None, benchmark: Benchmark, watch: Watch) -> None:
    """Say where to look, where that is not known already; a tracker that failed before is tried anew."""
    LEFT.discard((kind or "", benchmark.folder))
    if kind == "tensorboard":
        watch.message(f"epochs as they come: tensorboard --logdir {benchmark.folder / 'tensorboard'}")


LEFT: set[tuple[str, Path]] = set()
"""What has failed for which benchmark in this process, and is left for its further runs."""


class Watches(Relay):
    """Tells several watches of every event, in their order."""

    def __init__(self, *watches: Watch) -> None:
        def tell(event: str, *details: Any) -> None:
            for watch in watches:
                getattr(watch, event)(*details)

        super().__init__(tell)


class Track(Watch):
    """Forwards each training of a run to a tracker, until that fails."""

    def __init__(self, kind: str, benchmark: Benchmark, report: Callable[[str], None]) -> None:
        self.kind, self.benchmark, self.report = kind, benchmark, report
        self.run = ""
        self.open: Tracker | None = None

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.close()
        if (self.kind, self.benchmark.folder) not in LEFT:
            with self._safely():
                self.open = TRACKERS[self.kind](self.benchmark, self._run(run), epoch)
                self.run = run

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if self.open is not None:
            with self._safely():
                self.open.log(numbers(row), row.epoch)

    def run_finished(self, run: str, text: str) -> None:
        if self.open is None or run != self.run:
            return
        with self._safely():
            if self._run(run).status == "finished":
                metrics = self._run(run).metrics()
                test = metrics["test"]  # None after masked pre-training
                scores = {f"test_{name}": test[name] for name in ("top1", "loss")} if test else {}
                self.open.summarise(scores, metrics["best_epoch"])
        self.close()

    def close(self) -> None:
        """Close the training that is open, if one is."""
        if self.open is not None:
            with self._safely():
                self.open.close()
        self.open = None

    def _run(self, name: str) -> Run:
        return Run(self.benchmark.folder / name)

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        """What a tracker raises ends the tracking alone; what it prints goes to stderr."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # noqa: BLE001  (other people's code: whatever it raises, training goes on)
            self.open = None
            LEFT.add((self.kind, self.benchmark.folder))
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.report(f"--track {self.kind}: no longer tracked, training goes on ({reason})")


def numbers(row: Epoch) -> dict[str, float]:
    """What a row of `epochs.csv` says about its epoch, without empty cells."""
    values = {name: getattr(row, name) for name in Epoch.columns() if name != "epoch"}
    return {name: float(value) for name, value in values.items() if value is not None}


# --- the trackers ---------------------------------------------------------------------------------


class TensorBoard:
    """Event files in `<benchmark>/tensorboard/<run>/`; their numbers are 32-bit."""

    def __init__(self, benchmark: Benchmark, run: Run, epoch: int) -> None:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        # Everything from epoch 1 is told again, so that also a killed run has each epoch once.
        self.writer = writer(str(benchmark.folder / "tensorboard" / run.name), purge_step=1)
        for row in run.epochs()[: epoch - 1]:
            self.log(numbers(row), row.epoch)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    summarise = log

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of the project "vitbench", its files under the benchmark; `WANDB_MODE=offline` sends nothing."""

    def __init__(self, benchmark: Benchmark, run: Run, epoch: int) -> None:
        # Names repeat (another folder's demo-1): the time of the start tells benchmarks apart.
        key = f"{benchmark.manifest['created']} {benchmark.name} {run.name}"
        self.run = importlib.import_module("wandb").init(
            project=PROJECT,
            group=benchmark.name,
            name=f"{benchmark.name}/{run.name}",
            id=hashlib.sha256(key.encode()).hexdigest()[:16],
            resume="allow",
            dir=str(benchmark.folder),
            settings={"console": "off"},
        )
        # What a kill kept from it is told now; offline, where it knows of no earlier part, all of it.
        for row in run.epochs()[: epoch - 1]:
            if row.epoch >= self.run.step:
                self.log(numbers(row), row.epoch)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self.run.log(dict(values), step=epoch)

    def summarise(self, values: Mapping[str, float], epoch: int) -> None:
        self.run.summary.update(dict(values))

    def close(self) -> None:
        self.run.finish()


class Trackio:
    """A run of the project "vitbench" in Trackio's own store; a kill can cost it the last epoch before."""

    def __init__(self, benchmark: Benchmark, run: Run, epoch: int) -> None:
        self.trackio = importlib.import_module("trackio")
        self.run = self.trackio.init(
            project=PROJECT,
            group=benchmark.name,
            name=f"{benchmark.name}/{run.name}",
            resume="never" if epoch == 1 else "allow",
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self.run.log(dict(values), step=epoch)

    summarise = log

    def close(self) -> None:
        self.trackio.finish()  # its run's own `finish` would be called again at exit, and print on stdout


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}
