"""Conditions under which models answer the same pictures: nouns, and how two of them are compared.

A picture under several severities is a cluster: its answers are resampled and sign-flipped together, as those
of a group are. So every interval and test is the comparison's own, over pictures or their groups.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitbench.comparison.opened import TestSet
from vitbench.comparison.pairs import MCNEMAR, OVER_GROUPS
from vitbench.comparison.seeds import NO_SEED, seeds_difference
from vitbench.comparison.statistics import Difference, Part, paired_difference
from vitbench.records import Array, Augment, Predictions

CLEAN, ALL = "clean", "all"
"""Beside the names of corruptions: the pictures as they are; the mean over all corruptions asked for."""


@dataclass(frozen=True)
class Offset:
    """How far a crop lies from the centre, px of the model's input."""

    down: int
    right: int

    @property
    def name(self) -> str:
        """Of the condition."""
        return f"shift{self.down:+d}{self.right:+d}"


@dataclass(frozen=True)
class Cell:
    """What was done to the pictures that one part of a run was given."""

    pixels: str
    """sha256 of all of them, in order."""
    change: float
    """Mean |change| of a value, of 255."""


@dataclass(frozen=True)
class Answers:
    """What one model says of the same pictures under every condition."""

    model: str
    said: Mapping[str, tuple[Predictions, ...]]
    """Condition ("clean", "gaussian-3", "shift+8-8") → per seed, in the order of the test set."""
    augment: Augment
    image_size: int
    cells: Mapping[str, Cell] = field(default_factory=dict)
    """Of its first seed, by condition."""
    equivariance: tuple[tuple[Any, ...], ...] = ()
    """Rows of `equivariance.EQUIVARIANCE` behind the model, of its first seed."""

    def right(self, conditions: Sequence[str]) -> Array:
        """(k, n · conditions) bool: all pictures under the first, then under the next."""
        return np.concatenate(
            [np.stack([one.correct for one in self.said[name]]) for name in conditions], axis=1
        )


@dataclass(frozen=True)
class Asked:
    """Which conditions are looked at."""

    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    offsets: tuple[Offset, ...] = ()
    """The centre first; () without shifts."""

    def scopes(self) -> dict[str, list[str]]:
        """The conditions that each row without a severity is the mean of."""
        found = {name: [f"{name}-{severity}" for severity in self.severities] for name in self.corruptions}
        if len(found) > 1:
            found[ALL] = list(itertools.chain.from_iterable(found.values()))
        return found


@dataclass(frozen=True)
class Ground:
    """What all numbers stand on."""

    test: TestSet
    inflation: float = 1.0
    """Of variances over pictures, with folds."""

    @property
    def n(self) -> int:
        return len(self.test.paths)

    def groups(self, times: int = 1) -> Array | None:
        """(n · times,): pictures that hang together, each under so many conditions; None: none do."""
        own = self.test.group_numbers
        if own is None and times == 1:
            return None
        return np.tile(np.arange(self.n) if own is None else own, times)

    def method(self, seeds: int, times: int) -> str:
        """What tests and intervals of a difference are called."""
        over = "images" if self.test.group_numbers is None else "groups"
        exact = MCNEMAR if over == "images" and times == 1 and self.inflation == 1 else OVER_GROUPS
        name = f"t over {over} × seeds" if seeds > 1 else exact
        return name + (", corrected for folds" if self.inflation > 1 else "")


def difference(
    a: Array, b: Array, groups: Array | None, inflation: float = 1.0, *, own: bool = False
) -> Difference:
    """Mean of a − mean of b, (k, n) bool each: exact for one run each, else t over pictures × seeds.

    own: both are the same runs, so that a seed's chance is in their difference alone.
    """
    if len(a) == len(b) == 1:
        return paired_difference(a[0], b[0], groups, inflation)
    if not own:
        return seeds_difference(a, b, groups, None, inflation)
    per_seed = a.mean(axis=1) - b.mean(axis=1)
    seeds = Part(float(np.var(per_seed, ddof=1)), len(per_seed) - 1), NO_SEED
    return seeds_difference(a, b, groups, seeds, inflation)
