"""Progress on stderr: one live display on a terminal, a line per epoch in a pipe."""

import copy
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
from vitbench.benchmark.schedule import wall_clock
from vitbench.cli.options import RESULTS
from vitbench.errors import Interrupted, StoppedError, VitbenchError
from vitbench.files import printable
from vitbench.launch import started
from vitbench.records import Benchmark, Epoch, duration, percent
from vitbench.records.commands import going_on
from vitbench.records.watch import Watch

SLOW_SECONDS = 2.0
WIDE = 110
"""Columns from which a terminal has room for a bar."""


class _Clock:
    """What is left of a benchmark: estimates for runs to come, measured speed for those under way."""

    def __init__(self) -> None:
        self.to_come: dict[str, float] = {}
        self.at_once = 1
        self.under_way: dict[str, tuple[float, int, int]] = {}
        """When each began, the first of its steps and how many there are."""
        self.ends: dict[str, float] = {}
        """When each of these is thought to end."""

    def expect(self, seconds: Mapping[str, float], at_once: int) -> None:
        self.to_come, self.at_once = dict(seconds), at_once

    def begin(self, run: str, first_step: int, total_steps: int) -> None:
        self.ends[run] = time.monotonic() + _known(self.to_come.pop(run, 0.0))
        self.under_way[run] = (time.monotonic(), first_step, total_steps)

    def finish(self, run: str) -> None:
        """A run has ended, or a part of one; what it did not come to is not to come any more."""
        for name in [name for name in self.to_come if name == run or name.startswith(f"{run}/")]:
            del self.to_come[name]
        self.under_way.pop(run, None)
        self.ends.pop(run, None)

    def left(self, run: str, step: int) -> tuple[float, float]:
        """Seconds left for a run and for the benchmark; `step` counts from the run's start."""
        now = time.monotonic()
        started, first, total = self.under_way.get(run, (now, 0, 1))
        mine = (now - started) / max(1, step - first) * (total - step)
        self.ends[run] = now + mine
        under_way = [max(0.0, end - now) for end in self.ends.values()]
        return mine, wall_clock(under_way, map(_known, self.to_come.values()), self.at_once)


def _known(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else seconds


class LineWatch(Watch):
    """A line per event, for pipes and logs."""

    def __init__(self, results: Path = RESULTS, **options: Any) -> None:
        """`options`: what the command that goes on has to say besides the benchmark."""
        self.results, self.options = results, options
        self.clock = _Clock()
        self.benchmark = ""
        self.run = ""
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
        self.show(printable(text))

    def benchmark_started(self, name: str, seconds: Mapping[str, float], at_once: int = 1) -> None:
        self.benchmark = name
        self.clock.expect(seconds, at_once)

    def among(self, run: str) -> "LineWatch":
        """What is shown of one of several runs: its own steps and line, on the same display."""
        return copy.copy(self)

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.run, self.steps, self.epochs = run, steps, epochs
        self.clock.begin(run, (epoch - 1) * steps, epochs * steps)
        if epoch > 1:
            self.show(f"{run}: going on at epoch {epoch} of {epochs}")

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        mine, whole = self.clock.left(run, row.epoch * self.steps)
        self.show(
            f"{run}: epoch {row.epoch}/{self.epochs}  train loss {row.train_loss:.3f}  "
            f"{_top1('train', row.train_top1)}{_judged(row, best)}  "
            f"{row.images_per_second:.0f} images/s  left: {duration(mine)}, all {duration(whole)}"
        )

    def run_finished(self, run: str, text: str) -> None:
        self.clock.finish(run)
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

    def among(self, run: str) -> "LiveWatch":
        self._clear()
        return copy.copy(self)

    def _clear(self) -> None:
        """What is shown of now is over."""
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = None

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
        mine, whole = self.clock.left(self.run, (epoch - 1) * self.steps + step)
        self._bar(
            f"{self.run} epoch {epoch}/{self.epochs}",
            step,
            self.steps,
            f"loss {loss:.3f}  val {self.val}  {images_per_second:.0f} img/s  "
            f"left {duration(mine)}, all {duration(whole)}",
        )

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if row.val_loss is not None:
            self.val = f"{row.val_loss:.3f}" if row.val_top1 is None else f"{percent(row.val_top1)} %"
        super().epoch_finished(run, row, best)

    def run_finished(self, run: str, text: str) -> None:
        super().run_finished(run, text)
        self._clear()

    def _bar(self, description: str, done: int, total: int, detail: str) -> None:
        if self.task is None:
            self.task = self.progress.add_task(description, total=total, detail=detail)
        self.progress.update(self.task, description=description, completed=done, total=total, detail=detail)


def watch(results: Path = RESULTS, **options: Any) -> LineWatch:
    """The display that fits stderr, for a benchmark in the folder `results`."""
    return (LiveWatch if sys.stderr.isatty() else LineWatch)(results, **options)
