"""Progress in a pipe or a log: a line per event, no escape codes."""

import sys
import time
from typing import Any

from vitbench.files import printable
from vitbench.progress.board import Board, RunWatch, Task, left_in_words
from vitbench.records import Epoch, duration, percent

SLOW_SECONDS = 2.0
"""What takes longer than that says how far it is, so often."""


class LineDisplay(Board):
    """A line per epoch on stderr, and one every few seconds for whatever else takes long."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.shown_at = time.monotonic()

    def show(self, text: str) -> None:
        self.shown_at = time.monotonic()
        print(printable(text), file=sys.stderr, flush=True)

    def worked(self, task: Task, run: str = "") -> None:
        if task.done < task.total and time.monotonic() - max(task.began, self.shown_at) > SLOW_SECONDS:
            name, left = f"{run}: " if run else "", left_in_words(task.left)
            self.show(f"{name}{task}{', ' if left else ''}{left}")

    def begun(self, run: RunWatch) -> None:
        if run.epoch > 1:
            self.show(f"{run.stage}: going on at epoch {run.epoch} of {run.epochs}")

    def epoch_done(self, run: RunWatch, row: Epoch, best: bool) -> None:
        left = self.clock.left(run.stage) or 0.0
        self.show(
            f"{run.stage}: epoch {row.epoch}/{run.epochs}  train loss {row.train_loss:.3f}  "
            f"{_top1('train', row.train_top1)}{_judged(row, best)}  "
            f"{row.images_per_second:.0f} images/s  left: {duration(left)}, all {duration(self.clock.whole)}"
        )

    def ended_as(self, run: str, text: str, *, failed: bool) -> None:
        self.show(f"{run}: {text}")


def _judged(row: Epoch, best: bool) -> str:
    if row.val_loss is None:
        return "no val"
    score = f"val loss {row.val_loss:.3f}  {_top1('val', row.val_top1)}".rstrip()
    return f"{score} (best so far)" if best and row.val_top1 is not None else score


def _top1(part: str, score: float | None) -> str:
    """ "" where nothing is answered: under mixup, and in masked pre-training."""
    return "" if score is None else f"{part} top-1 {percent(score)} %  "
