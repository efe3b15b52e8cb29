"""What is known of a benchmark under way: a line per run, and what is left; drawn elsewhere."""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from vitbench.errors import Interrupted
from vitbench.launch import started
from vitbench.progress.clock import Clock
from vitbench.records import Benchmark, Epoch, Run, best_epoch, counted, duration, percent
from vitbench.records.commands import going_on
from vitbench.records.watch import Watch


@dataclass
class Task:
    """Something under way that is no training."""

    what: str
    done: int
    total: int
    began: float = field(default_factory=lambda: time.monotonic())
    first: int = 0
    """What was done when it began: of that nobody knows how long it took."""

    @property
    def left(self) -> float | None:
        """Seconds, by the speed so far; None where nobody knows."""
        if self.done <= self.first:
            return None
        took = time.monotonic() - self.began
        return took / (self.done - self.first) * (self.total - self.done)

    def told(self, what: str, done: int, total: int) -> "Task":
        """The same after more of it, or what has begun in its place."""
        if what != self.what or done < self.done:
            return Task(what, done, total, first=done)
        self.done, self.total = done, total
        return self

    def __str__(self) -> str:
        return f"{self.what}: {self.done} of {self.total}" if self.total else f"{self.what} …"


@dataclass(frozen=True)
class Line:
    """What stands in a line of the display."""

    name: str
    curve: tuple[float, ...] = ()
    """Val accuracy of each epoch (val loss in masked pre-training), NaN where there is none."""
    val: str = ""
    said: tuple[str, ...] = ()
    """The same ever shorter: the first that has room is shown."""
    time: str = ""


class RunWatch(Watch):
    """A run, or a part that is carried out by itself: hears of it and knows how far it is."""

    def __init__(self, board: "Board", name: str) -> None:
        self.board, self.name = board, name
        self.began = time.monotonic()
        self.seconds = math.nan
        self.result, self.failed = "", False
        self.stage = name
        """The part of it that trains now."""
        self.task: Task | None = None
        self.curve: list[float] = []
        self.val = ""
        self.epoch = self.epochs = self.steps = self.step_done = 0
        self.loss = self.speed = math.nan

    # --- what happens ---

    def message(self, text: str) -> None:
        self.board.message(text)

    def work(self, what: str, done: int, total: int) -> None:
        self.task = Task("", 0, 0) if self.task is None else self.task
        self.task = self.task.told(what, done, total)
        self.board.worked(self.task, self.name)

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.stage, self.task = run, None
        self.epoch, self.epochs, self.steps, self.step_done = epoch, epochs, steps, 0
        self.loss = self.speed = math.nan
        self.curve, self.val = [], ""
        self.judge(self.board.epochs_before(run, epoch))
        self.board.clock.step(run, (epoch - 1) * steps, epochs * steps)
        self.board.begun(self)

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        self.epoch, self.step_done, self.loss, self.speed = epoch, step, loss, images_per_second
        self.board.clock.step(self.stage, (epoch - 1) * self.steps + step, self.epochs * self.steps)
        self.board.changed()

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        self.loss, self.speed = row.train_loss, row.images_per_second
        self.curve.append(_score(row))
        self.val = _val(row)
        self.board.clock.step(run, row.epoch * self.steps, self.epochs * self.steps)
        self.board.epoch_done(self, row, best)

    def run_finished(self, run: str, text: str) -> None:
        self.board.run_finished(run, text)

    def run_failed(self, run: str, text: str) -> None:
        self.board.run_failed(run, text)

    def judge(self, rows: Sequence[Epoch]) -> None:
        """Take what val said from its table, if that has rows: the curve, and the chosen epoch's score."""
        if rows:
            self.curve, self.val = [_score(row) for row in rows], _val(best_epoch(rows))

    # --- how far it is ---

    @property
    def line(self) -> Line:
        """What is shown of it."""
        curve = tuple(self.curve)
        if self.result:
            took = "" if math.isnan(self.seconds) else duration(self.seconds)
            return Line(self.name, curve, self.val, (self.result,), took)
        if self.task is not None:
            said = (str(self.task), self.task.what)
            return Line(self.stage, curve, self.val, said, left_in_words(self.task.left))
        left = left_in_words(self.board.clock.left(self.stage))
        if not self.epochs:
            return Line(self.name, said=("begins",), time=left)
        return Line(self.stage, curve, self.val, self._said(), left)

    def _said(self) -> tuple[str, ...]:
        part = self.step_done / self.steps if self.steps else 0.0
        epoch, loss = f"{self.epoch}/{self.epochs}", f"{self.loss:.3f}"
        if math.isnan(self.speed):
            return (f"epoch {epoch}", epoch)
        return (
            f"epoch {epoch} {part:4.0%}  loss {loss}  {self.speed:.0f} images/s",
            f"epoch {epoch} {part:4.0%}  loss {loss}  {self.speed:.0f} img/s",
            f"epoch {epoch}  loss {loss}  {self.speed:.0f} img/s",
            f"{epoch}  loss {loss}  {self.speed:.0f} img/s",
            f"{epoch}  loss {loss}",
            epoch,
        )


def _score(row: Epoch) -> float:
    score = row.val_loss if row.val_top1 is None else row.val_top1
    return math.nan if score is None else score


def _val(row: Epoch) -> str:
    if row.val_top1 is None:
        return "" if row.val_loss is None else f"{row.val_loss:.3f}"
    return f"{percent(row.val_top1)} %"


class Board(Watch):
    """Hears of everything; a display is one that draws it. Draws itself inside its `with`."""

    def __init__(self, results: Path, python: bool = False, **options: object) -> None:
        """`options`: what the command that goes on has to say besides the benchmark.

        With `python` what goes on is a call of `vitbench.train`.
        """
        self.results, self.python, self.options = results, python, options
        self.clock = Clock()
        self.benchmark = ""
        self.grid = ""
        """The machines that there are, in a few words; "": this one alone."""
        self.task: Task | None = None
        self.runs: dict[str, RunWatch] = {}
        """By name, in the order in which they were taken up."""
        self.wanted: tuple[str, ...] = ()
        self._since: dict[str, float] = {}

    # --- how it is drawn ---

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is drawn any more."""

    def show(self, text: str) -> None:
        """A line that stays."""

    def changed(self) -> None:
        """Something that is drawn is another now."""

    def worked(self, task: Task, run: str = "") -> None:
        """Something that is no training has come so far."""
        self.changed()

    def begun(self, run: RunWatch) -> None:
        """A training begins, or goes on."""
        self.changed()

    def epoch_done(self, run: RunWatch, row: Epoch, best: bool) -> None:
        """An epoch has ended."""
        self.changed()

    # --- what happens ---

    def message(self, text: str) -> None:
        self.show(text)

    def work(self, what: str, done: int, total: int) -> None:
        self.task = (self.task or Task("", 0, 0)).told(what, done, total)
        self.worked(self.task)
        if 0 < total <= done:
            self.task = None

    def benchmark_started(self, name: str, seconds: Mapping[str, float], at_once: int = 1) -> None:
        self.benchmark, self.task = name, None
        self.wanted = tuple(dict.fromkeys(stage.partition("/")[0] for stage in seconds))
        self.clock.expect(seconds, at_once)

    def machines(self, text: str, at_once: int) -> None:
        self.grid, self.clock.at_once = text, at_once
        self.show(text)
        self.changed()

    def among(self, run: str) -> RunWatch:
        self._since.setdefault(run.partition("/")[0], time.monotonic())
        self.clock.begin(run)
        self.runs.pop(run, None)
        self.runs[run] = RunWatch(self, run)
        self.changed()
        return self.runs[run]

    def ended(self, run: str) -> None:
        if run in self.runs and not self.runs[run].result:
            del self.runs[run]
        self.changed()

    def run_finished(self, run: str, text: str) -> None:
        self._end(run, text, failed=False)

    def run_failed(self, run: str, text: str) -> None:
        self._end(run, text, failed=True)

    def _end(self, run: str, text: str, *, failed: bool) -> None:
        self.clock.finish(run)
        if "/" not in run:
            one = self.runs.setdefault(run, RunWatch(self, run))
            one.result, one.failed = text, failed
            since = self._since.get(run)
            one.seconds = math.nan if since is None else time.monotonic() - since
            one.judge(self.epochs_before(run))
        self.ended_as(run, text, failed=failed)
        self.changed()

    def ended_as(self, run: str, text: str, *, failed: bool) -> None:
        """A run has ended, or a part of one."""

    def epochs_before(self, run: str, epoch: int | None = None) -> list[Epoch]:
        """The epochs of a run that stand in its folder, those before `epoch`; [] where there are none."""
        if epoch == 1:
            return []
        with contextlib.suppress(OSError, ValueError, KeyError):
            rows = Run(self.results / self.benchmark / run).epochs()
            return rows if epoch is None else rows[: epoch - 1]
        return []

    # --- how far it is ---

    @property
    def finished(self) -> list[RunWatch]:
        return [one for one in list(self.runs.values()) if one.result]

    def lines(self, most: int | None = None) -> list[Line]:
        """Runs that have ended, then those under way; of more than `most` the first fold into a count."""
        done = [one.line for one in self.finished]
        under_way = [one.line for one in list(self.runs.values()) if not one.result]
        if most is None or len(done) + len(under_way) <= most:
            return done + under_way
        if done:
            hidden = len(done) - max(0, most - len(under_way) - 1)
            done = [Line(f"{counted(hidden, 'run')} ended"), *done[hidden:]]
        found = done + under_way
        more = len(found) - (most - 1)
        return found if more < 2 else [*found[: most - 1], Line(f"and {more} more")]

    @property
    def summary(self) -> tuple[str, ...]:
        """The benchmark in a line, ever shorter; () before it has begun."""
        if not self.benchmark:
            return ()
        done = self.finished
        failed = sum(one.failed for one in done)
        total = len({*self.wanted, *(one.name for one in done)})
        short = f"{len(done)} of {total} ended" + (f", {failed} failed" if failed else "")
        if len(done) == total:
            return (short,)
        left = left_in_words(self.clock.whole)
        short = f"{short}; {left}" if left else short
        short = f"{short}; {self.grid}" if self.grid else short
        come = [name for name in self.wanted if name not in self._since and name not in self.runs]
        then = f"; then {', '.join(come[:2])}" if come else ""
        more = f" and {len(come) - 2} more" if len(come) > 2 else ""
        stop = "; Ctrl-C saves and stops"
        return (f"{short}{then}{more}{stop}", f"{short}{then}{more}", f"{short}{stop}", short)

    def way_on(self) -> str:
        """What goes on with the benchmark: a command, or a call; "" before it is there."""
        if not self.benchmark:
            return ""
        if self.python:
            where = "" if self.results == Path("results") else f", results={str(self.results)!r}"
            return f"vitbench.train(name={self.benchmark!r}, resume=True{where})"
        _, count = started()
        together = f"torchrun --nproc_per_node {count} -m " if count > 1 else ""
        return together + going_on(Benchmark(self.results / self.benchmark), **self.options)

    def stopped(self, error: KeyboardInterrupt) -> str:
        """How far it is saved, and how to go on."""
        saved = error.saved if isinstance(error, Interrupted) else ""
        saved = saved or ("what is finished is saved" if self.benchmark else "nothing was written")
        return f"stopped; {saved}" + (f"; `{self.way_on()}` goes on" if self.benchmark else "")


def left_in_words(seconds: float | None) -> str:
    """ "12 min left"; "" where nobody knows, or it should be over."""
    return f"{duration(seconds)} left" if seconds else ""
