"""What is looked into and what is found there: numbers and maps alone. Drawing is the reports' work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vitbench.records import Array, Preprocessing, Split

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor, nn

Weights = Literal["random", "pretrained", "trained"]


@dataclass(frozen=True)
class Subject:
    """A network that is looked into."""

    name: str
    """Under which it stands in tables: its run's name, or what the user called it."""
    module: "nn.Module"
    """In evaluation mode, on the device that computes."""
    classes: tuple[str, ...]
    """In the order of the logits."""
    preprocessing: Preprocessing
    weights: Weights
    """Where they come from; statements about what was learned are refused for random ones."""
    before: "Callable[[], nn.Module | str]" = lambda: ""
    """The network before it was trained here; or why that is not to be had, one line, "" if it never was."""
    from_scratch: bool = False
    """It began from random weights here."""
    split: Split | None = None
    """The pictures that it learned from, was chosen by and is tested on, where they are known."""


@dataclass(frozen=True)
class Pictures:
    """Pictures as one network takes them, prepared when they are asked for."""

    names: tuple[str, ...]
    labels: Array
    """(N,) int64: class in the network's order; -1: not known, or none of its classes."""
    load: "Callable[[Sequence[int]], Tensor]"
    """Places → float (B, 3, S, S), normalised, on the network's device."""
    groups: Array | None = None
    """(N,) a number per group of pictures that show the same; None: each stands for itself."""

    def batches(self, size: int = 4) -> "Iterator[tuple[list[int], Tensor]]":
        """All of them in their order: places and pictures, so many at a time."""
        for start in range(0, len(self.names), size):
            places = list(range(start, min(start + size, len(self.names))))
            yield places, self.load(places)


@dataclass(frozen=True)
class Finding:
    """What one analysis found in one network."""

    frames: "Mapping[str, DataFrame]" = field(default_factory=dict)
    """By the name of the csv that they become; the networks stand below one another there."""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    """Maps: the last two axes are rows and columns; `axes` says what those before them are."""
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By array: names of the axes before the last two, such as ("picture", "head")."""
    notes: tuple[str, ...] = ()
    """Refusals and approximations, each one line."""


@dataclass(frozen=True)
class Analysis:
    """A row of `ANALYSES`: one way to look into a network."""

    name: str
    title: str
    sees: str
    """One sentence: what one sees."""
    does_not_prove: str
    """One sentence: what it does not prove."""
    applies: Callable[[Subject], str]
    """"" where it can be done, else the reason why not, one line."""
    look: Callable[[Subject, Pictures], Finding]
    over: Literal["shown", "test"] = "shown"
    """Which pictures it is given: the few that are shown, or all test pictures."""
    compares: bool = False
    """It finds the same in the network before it was trained here, beside it, where that is to be had."""
