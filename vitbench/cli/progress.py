"""Progress on stderr: one live display on a terminal, a line per epoch in a pipe."""

import math
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from vitbench import files
from vitbench.cli import supervise
from vitbench.cli.options import RESULTS
from vitbench.errors import Interrupted, StoppedError, VitbenchError
from vitbench.files import shown
from vitbench.records import Benchmark, Epoch, duration, percent
from vitbench.records.commands import going_on
from vitbench.training.launch import started
from vitbench.training.watch import Watch

SLOW_SECONDS = 2.0
WIDE = 110
"""Columns from which a terminal has room for a bar."""


class _Clock:
    """What is left of a benchmark: estimates for runs to come, measured speed for the current one."""

    def __init__(self) -> None:
        self.estimates: dict[str, float] = {}
        self.run = ""
        self.started = 0.0
        self.first = 0
        self.total = 1

    def begin(self, run: str, first_step: int, total_steps: int) -> None:
        self.run, self.first, self.total = run, first_step, total_steps
        self.started = time.monotonic()

    def left(self, step: int) -> tuple[float, float]:
        """Seconds left for the current run and for the benchmark; `step` counts from the run's start."""
        done = max(1, step - self.first)
        mine = (time.monotonic() - self.started) / done * (self.total - step)
        names = list(self.estimates)
        later = names[names.index(self.run) + 1 :] if self.run in names else []
        return mine, mine + sum(
            self.estimates[name] for name in later if not math.isnan(self.estimates[name])
        )


class LineWatch(Watch):
    """A line per event, for pipes and logs."""

    def __init__(self, results: Path = RESULTS, **options: Any) -> None:
        """`options`: what the command that goes on has to say besides the benchmark."""
        self.results, self.options = results, options
        self.clock = _Clock()
        self.benchmark = ""
        self.steps = 1
        self.epochs = 1
        self.last_check = time.monotonic()

    def __enter__(self) -> "LineWatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ctrl-C, SIGTERM and what the system refuses become a line that says how to go on."""
        if isinstance(error, OSError) and self.benchmark and (line := files.fault_line(error)):
            raise VitbenchError(f"{line}; then `{self.way_on}` goes on, what is finished is kept") from error
        if not isinstance(error, KeyboardInterrupt):
            return
        number = error.signal if isinstance(error, Interrupted) else int(signal.SIGINT)
        saved = (error.saved if isinstance(error, Interrupted) else "") or "what is finished is saved"
        later = f"{saved}; `{self.way_on}` goes on" if self.benchmark else "nothing was written"
        raise StoppedError(f"stopped; {later}", number) from None

    @property
    def way_on(self) -> str:
        """The command that goes on with the benchmark."""
        _, count = started()
        together = f"torchrun --nproc_per_node {count} -m " if count > 1 else ""
        return together + going_on(Benchmark(self.results / self.benchmark), **self.options)

    def show(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def checking(self, done: int, total: int) -> None:
        if time.monotonic() - self.last_check > SLOW_SECONDS:
            self.last_check = time.monotonic()
            self.show(f"checked {done} of {total} pictures")

    def features(self, run: str, done: int, total: int) -> None:
        if time.monotonic() - self.last_check > SLOW_SECONDS:
            self.last_check = time.monotonic()
            self.show(f"{run}: features of {done} of {total} pictures")

    def heads(self, run: str, done: int, total: int) -> None:
        if time.monotonic() - self.last_check > SLOW_SECONDS:
            self.last_check = time.monotonic()
            self.show(f"{run}: {done} of {total} heads fitted")

    def message(self, text: str) -> None:
        self.show(shown(text))

    def timing(self, model: str) -> None:
        supervise.tell(timing=model)

    def benchmark_started(self, name: str, seconds: Mapping[str, float]) -> None:
        self.benchmark = name
        supervise.tell(benchmark=str((self.results / name).resolve()))
        self.clock.estimates = dict(seconds)

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.steps, self.epochs = steps, epochs
        self.clock.begin(run, (epoch - 1) * steps, epochs * steps)
        if epoch > 1:
            self.show(f"{run}: going on at epoch {epoch} of {epochs}")

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        mine, whole = self.clock.left(row.epoch * self.steps)
        self.show(
            f"{run}: epoch {row.epoch}/{self.epochs}  train loss {row.train_loss:.3f}  "
            f"{_top1('train', row.train_top1)}{_judged(row, best)}  "
            f"{row.images_per_second:.0f} images/s  left: {duration(mine)}, all {duration(whole)}"
        )

    def run_finished(self, run: str, text: str) -> None:
        self.show(f"{run}: {text}")


def _judged(row: Epoch, best: bool) -> str:
    if row.val_loss is None:
        return "no val"
    score = f"val loss {row.val_loss:.3f}  {_top1('val', row.val_top1)}".rstrip()
    return f"{score} (best so far)" if best and row.val_top1 is not None else score


def _top1(part: str, score: float | None) -> str:
    """ "" where nothing is answered: under mixup, and in masked pre-training."""
    return "" if score is None else f"{part} top-1 {percent(score)} %  "


class LiveWatch(LineWatch):
    """One live line: model, epoch, step, loss, val accuracy, images/s, time left; events above it."""

    def __init__(self, results: Path = RESULTS, **options: Any) -> None:
        super().__init__(results, **options)
        console = Console(stderr=True)
        bar = [BarColumn(bar_width=20)] if console.width >= WIDE else []
        self.progress = Progress(
            TextColumn("{task.description}"),
            *bar,
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None
        self.val = "–"

    def __enter__(self) -> "LiveWatch":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        super().__exit__(kind, error, trace)

    def show(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)

    def checking(self, done: int, total: int) -> None:
        self._bar("checking pictures", done, total, "")

    def features(self, run: str, done: int, total: int) -> None:
        self._bar(f"{run} features", done, total, "")

    def heads(self, run: str, done: int, total: int) -> None:
        self._bar(f"{run} heads", done, total, "")

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        super().run_started(run, epochs, steps, epoch)
        self.val = "–"

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        mine, whole = self.clock.left((epoch - 1) * self.steps + step)
        self._bar(
            f"{self.clock.run} epoch {epoch}/{self.epochs}",
            step,
            self.steps,
            f"loss {loss:.3f}  val {self.val}  {images_per_second:.0f} img/s  "
            f"left {duration(mine)}, all {duration(whole)}",
        )

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if row.val_loss is not None:
            self.val = f"{row.val_loss:.3f}" if row.val_top1 is None else f"{percent(row.val_top1)} %"
        super().epoch_finished(run, row, best)

    def _bar(self, description: str, done: int, total: int, detail: str) -> None:
        if self.task is None:
            self.task = self.progress.add_task(description, total=total, detail=detail)
        self.progress.update(self.task, description=description, completed=done, total=total, detail=detail)


def watch(results: Path = RESULTS, **options: Any) -> LineWatch:
    """The display that fits stderr, for a benchmark in the folder `results`."""
    return (LiveWatch if sys.stderr.isatty() else LineWatch)(results, **options)
