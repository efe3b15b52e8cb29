"""Draws of k groups per class: what a model may learn from, at each size, with the test pictures fixed.

A draw takes each class's first groups in one order, so the smaller sizes lie inside the larger ones, and
every model gets the same. What chooses an epoch is taken out of the k, never from beside them.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vitbench.data.deal import Group, groups_by_class, groups_holding, order_key, quota
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
    """What one part of a split, or one fold, has to learn from, test left out."""

    part: Split
    groups: Mapping[str, Sequence[Group]]
    """Those that bring a class; one of several classes, kept together, stands under each of them."""

    @classmethod
    def of(cls, part: Split) -> "Pool":
        """ClassesError where nothing brings a class."""
        groups = groups_holding(groups_by_class((*part.train, *part.val)))
        for label in part.classes:
            if not groups.get(label):
                raise ClassesError(
                    f"{printable(part.root)}: class '{printable(label)}' has no pictures of its own to learn "
                    "from, all are copies of those of other classes; sort them out first"
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

    def draw(self, shots: Shots, key: str) -> list[tuple[Group, frozenset[str]]]:
        """Groups with the classes that they bring, in the order that `key` and their contents decide.

        A group is taken where one of its classes has fewer than `shots` so far: of each class the first
        `shots`, and more of one whose groups bring others too. So a small draw lies in every larger one.
        """
        brings: dict[str, set[str]] = {}
        by_name: dict[str, Group] = {}
        for label, groups in self.groups.items():
            for group in groups:
                by_name[group[0].group] = group
                brings.setdefault(group[0].group, set()).add(label)
        have: Counter[str] = Counter()
        taken = []
        for name in sorted(by_name, key=lambda name: order_key(key, by_name[name])):
            labels = frozenset(brings[name])
            if shots == "all" or any(have[label] < shots for label in labels):
                have.update(labels)
                taken.append((by_name[name], labels))
        return taken

    def drawn(self, shots: Shots, key: str, *, choosing: bool) -> Split:
        """The split of a draw: test as it is; with `choosing`, 15 % of the groups of each class are val.

        At least one of each class, from `LEAST_TO_CHOOSE` groups on; with fewer, val is empty.
        """
        taken = self.draw(shots, key)
        judge = _judging(taken) if choosing else []
        return dataclasses.replace(
            self.part,
            train=_flat(group for group, _ in taken if group not in judge),
            val=_flat(judge),
            rule=f"{shots} groups per class, drawn by {key}",
            notes=(),
            folds=(),
            left_out=(),
        )


def _judging(taken: Sequence[tuple[Group, frozenset[str]]]) -> list[Group]:
    """The last groups of each class, 15 % of them, so that each class keeps some to learn from."""
    left = Counter(label for _, labels in taken for label in labels)
    if min(left.values()) < LEAST_TO_CHOOSE:
        return []
    wanting = {label: quota(count, CHOOSING)[1] for label, count in left.items()}
    judge = []
    for group, labels in reversed(taken):
        if any(wanting[label] > 0 for label in labels) and all(left[label] > 1 for label in labels):
            judge.append(group)
            left.subtract(labels)
            for label in labels:
                wanting[label] -= 1
    return judge


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
