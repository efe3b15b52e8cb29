"""What training tells whoever watches: the command line draws it, a script may stay silent."""

from collections.abc import Callable, Mapping
from typing import Any

from vitbench.records import Epoch


class Watch:
    """Hears of every event and ignores it; subclass and override what you want to show."""

    width = 80
    """Columns that a table in messages may have."""

    def work(self, what: str, done: int, total: int) -> None:
        """`done` of `total` pieces of something are done that is no training, such as "checking pictures".

        A total of 0: nobody knows how many; it ends when something else begins.
        """

    def message(self, text: str) -> None:
        """One line for the user: a warning, a fallback, a step taken."""

    def among(self, run: str) -> "Watch":
        """A run is taken up, or a part of one ("vit-s0/fold-1"); who hears of it: this one, of all alike."""
        return self

    def ended(self, run: str) -> None:
        """What `among` named is not under way any more, however it ended."""

    def benchmark_started(self, name: str, seconds: Mapping[str, float], at_once: int = 1) -> None:
        """The benchmark's folder is there; the estimated seconds of every run still to do, in their order.

        So many of them go on at the same time.
        """

    def machines(self, text: str, at_once: int) -> None:
        """Which machines of a grid there are by now, in a few words, and for how many runs they have room."""

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        """A run begins (or goes on) at `epoch`, from 1; each epoch has `steps` optimiser steps."""

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        """`step` steps of `epoch` are done; `loss` is the running mean."""

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        """An epoch was trained, evaluated on val and is being saved; `best`: it is the chosen one so far."""

    def run_finished(self, run: str, text: str) -> None:
        """A run, or a part of one, ended well; `text` says how, in one line."""

    def run_failed(self, run: str, text: str) -> None:
        """A run, or a part of one, came to nothing here; `text` says why, in one line."""
        self.run_finished(run, text)


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
