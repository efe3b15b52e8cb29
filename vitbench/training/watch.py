"""What training tells whoever watches: the command line draws it, a script may stay silent."""

from collections.abc import Mapping

from vitbench.records import Epoch


class Watch:
    """Hears of every event and ignores it; subclass and override what you want to show."""

    def checking(self, done: int, total: int) -> None:
        """`done` of `total` picture files were decoded and checked."""

    def features(self, run: str, done: int, total: int) -> None:
        """`done` of `total` pictures went through a frozen model, for a run's probe or its first head."""

    def heads(self, run: str, done: int, total: int) -> None:
        """`done` of `total` linear heads of a probe are fitted, one a fold."""

    def message(self, text: str) -> None:
        """One line for the user: a warning, a fallback, a step taken."""

    def timing(self, model: str) -> None:
        """A few steps of a model are timed for the plan now; "": they are over."""

    def benchmark_started(self, name: str, seconds: Mapping[str, float]) -> None:
        """The benchmark's folder is there; the estimated seconds of every run still to do, in their order."""

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        """A run begins (or goes on) at `epoch`, from 1; each epoch has `steps` optimiser steps."""

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        """`step` steps of `epoch` are done; `loss` is the running mean."""

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        """An epoch was trained, evaluated on val and is being saved; `best`: it is the chosen one so far."""

    def run_finished(self, run: str, text: str) -> None:
        """A run ended; `text` says how, in one line."""
