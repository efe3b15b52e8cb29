"""Draws of k groups per class: what a model may learn from, at each size, with the test pictures fixed.

A draw is a prefix of one order of each class's groups, so the smaller sizes lie inside the larger ones, and
every model gets the same. What chooses an epoch is taken out of the k, never from beside them.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vitbench.data.deal import Group, groups_by_class, order_key, quota
from vitbench.errors import ClassesError, UsageError
from vitbench.files import printable
from vitbench.records import Picture, Split

Shots = int | Literal["all"]
"""Groups per class: copies of one picture, a burst, what `--group` joins count as one."""
LEAST_TO_CHOOSE = 4
"""Groups per class from which on 15 % of them choose the epoch; below, it is the recipe's last one."""
CHOOSING = (85, 15)
"""Percent of a draw for train and val."""


@dataclass(frozen=True)
class Pool:
    """What one part of a split, or one fold, has to learn from: the groups of each class, test left out."""

    part: Split
    groups: Mapping[str, Sequence[Group]]

    @classmethod
    def of(cls, part: Split) -> "Pool":
        """ClassesError where a class has no group that counts for it."""
        groups = groups_by_class((*part.train, *part.val))
        for label in part.classes:
            if not groups.get(label):
                raise ClassesError(
                    f"{printable(part.root)}: class '{printable(label)}' has no pictures of its own to learn "
                    "from, all are kept together with those of other classes; make the groups smaller"
                )
        return cls(part, groups)

    @property
    def least(self) -> int:
        """Groups of the smallest class."""
        return min(map(len, self.groups.values()))

    @property
    def mean(self) -> float:
        """Groups per class."""
        return sum(map(len, self.groups.values())) / len(self.groups)

    def draw(self, shots: Shots, key: str) -> dict[str, list[Group]]:
        """The first `shots` groups of each class in the order that `key` and their contents decide."""
        ordered = {
            label: sorted(groups, key=lambda group: order_key(key, group))
            for label, groups in self.groups.items()
        }
        return {label: groups if shots == "all" else groups[:shots] for label, groups in ordered.items()}

    def drawn(self, shots: Shots, key: str, *, choosing: bool) -> Split:
        """The split of a draw: test as it is; with `choosing`, 15 % of the groups of each class are val.

        At least one of each class, from `LEAST_TO_CHOOSE` groups on; with fewer, val is empty.
        """
        groups = self.draw(shots, key)
        learn = [group for some in groups.values() for group in some]
        judge: list[Group] = []
        if choosing and min(map(len, groups.values())) >= LEAST_TO_CHOOSE:
            ends = {label: quota(len(some), CHOOSING)[0] for label, some in groups.items()}
            learn = [group for label, some in groups.items() for group in some[: ends[label]]]
            judge = [group for label, some in groups.items() for group in some[ends[label] :]]
        return dataclasses.replace(
            self.part,
            train=_flat(learn),
            val=_flat(judge),
            rule=f"{shots} groups per class, drawn by {key}",
            notes=(),
            folds=(),
            left_out=(),
        )


def sizes_of(pools: Sequence[Pool], asked: Iterable[Shots]) -> tuple[dict[str, float], list[str]]:
    """The sizes that all pools have, by name, as groups per class, rising; and what is left out, in lines.

    UsageError where none is left.
    """
    least = min(pool.least for pool in pools)
    everything = sum(pool.mean for pool in pools) / len(pools)
    asked = set(asked)
    numbers = sorted(one for one in asked if one != "all")
    found = {str(one): float(one) for one in numbers if one <= least and one < everything}
    if "all" in asked or everything in numbers:
        found["all"] = everything
    notes = []
    if too_many := [str(one) for one in numbers if one > least]:
        pool = min(pools, key=lambda one: one.least)
        label = min(pool.groups, key=lambda one: (len(pool.groups[one]), one))
        notes.append(
            f"{', '.join(too_many)} per class left out: class '{printable(label)}' has {least} to learn from"
        )
    if not found:
        raise UsageError(f"--shots: {notes[0] if notes else 'names nothing'}; ask for fewer, or all")
    return found, notes


def _flat(groups: Iterable[Group]) -> tuple[Picture, ...]:
    pictures = [picture for group in groups for picture in group]
    return tuple(sorted(pictures, key=lambda p: (p.label, p.sha256, p.path)))
