"""What training tells whoever watches: the command line draws it, a script may stay silent."""

from collections.abc import Callable, Mapping
from typing import Any

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

    def among(self, run: str) -> "Watch":
        """Who hears of a run among several that go on at the same time: this one, of all of them alike."""
        return self

    def benchmark_started(self, name: str, seconds: Mapping[str, float], at_once: int = 1) -> None:
        """The benchmark's folder is there; the estimated seconds of every run still to do, in their order.

        So many of them go on at the same time.
        """

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        """A run begins (or goes on) at `epoch`, from 1; each epoch has `steps` optimiser steps."""

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        """`step` steps of `epoch` are done; `loss` is the running mean."""

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        """An epoch was trained, evaluated on val and is being saved; `best`: it is the chosen one so far."""

    def run_finished(self, run: str, text: str) -> None:
        """A run ended; `text` says how, in one line."""


class Relay(Watch):
    """Hands every event on: its name, then its details."""

    def __init__(self, hand: Callable[..., None]) -> None:
        self.hand = hand


def _handing(event: str) -> Callable[..., None]:
    def hand(self: Relay, *details: Any) -> None:
        self.hand(event, *details)

    return hand


for _event in [name for name in vars(Watch) if not name.startswith("_") and name != "among"]:
    setattr(Relay, _event, _handing(_event))
