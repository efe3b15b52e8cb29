"""What an epoch is: which views of which training originals, in which order."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from vitbench.data.views import KeyedRandom
from vitbench.records import Picture

PerClass = int | Literal["all"]


def view_epoch(epoch: int, fixed_views: bool) -> int:
    """The epoch that views are drawn for: 0 for a fixed set, the same in every epoch."""
    return 0 if fixed_views else epoch


def plan_epoch(
    train: Sequence[Picture],
    per_class: PerClass,
    seed: int,
    epoch: int,
    fixed_views: bool = False,
    repeats: int = 1,
) -> list[tuple[int, int]]:
    """(index into `train`, k) of every view of an epoch, in the order in which they are shown.

    `per_class` views of every class: each original gives floor or ceil of its share, and the remainder
    rotates, so that over n epochs a class's n originals are used equally. A class with more originals
    than that shows each once, and "all" shows every original once. `fixed_views` plans the same views
    in each epoch; the order still changes. Epochs count from 1.

    With `repeats` (repeated augmentation, Hoffer et al. 2020) an epoch has as many views, but so many
    different ones of a picture stand side by side, so that they fall into one batch but for those at a
    batch's edge; "all" with 3 shows a third of the originals three times, the next third in the next
    epoch. A class's n originals are used equally over n × repeats epochs, and at no time does one lead
    another by more than `repeats` views.
    """
    turn = view_epoch(epoch, fixed_views)
    groups: list[list[tuple[int, int]]] = []
    for label, members in _members(train).items():
        order = KeyedRandom("vitbench originals", seed, label).order(len(members))
        for place, sizes in enumerate(_groups(len(members), per_class, turn, repeats)):
            original, numbers = members[int(order[place])], itertools.count()
            groups += [[(original, k) for k in itertools.islice(numbers, size)] for size in sizes]
    shuffled = KeyedRandom("vitbench order", seed, epoch).order(len(groups))
    return [view for i in shuffled for view in groups[int(i)]]


def epoch_size(train: Sequence[Picture], per_class: PerClass) -> int:
    """Views in an epoch, whatever the repeats."""
    return sum(_views(len(members), per_class) for members in _members(train).values())


def balance_note(train: Sequence[Picture], per_class: PerClass) -> str:
    """One line on how `per_class` changes the class proportions; "" where it does not."""
    originals = {label: len(members) for label, members in _members(train).items()}
    shown = {label: _views(n, per_class) for label, n in originals.items()}
    before, after = sum(originals.values()), sum(shown.values())
    change = {label: shown[label] / after - originals[label] / before for label in originals}
    up, down = max(change, key=lambda c: change[c]), min(change, key=lambda c: change[c])
    if change[up] < 0.005:
        return ""
    return (
        f"{per_class} views per class change the class proportions: "
        + " and ".join(
            f"'{c}' goes from {100 * originals[c] / before:.0f} % of the training pictures to "
            f"{100 * shown[c] / after:.0f} % of what is shown"
            for c in (up, down)
        )
        + "; --per-class all keeps them"
    )


def shown_once_note(train: Sequence[Picture], per_class: PerClass) -> str:
    """One line on classes with more pictures than views were asked for; "" where there are none."""
    more = [
        label for label, members in _members(train).items() if _views(len(members), per_class) != per_class
    ]
    if per_class == "all" or not more:
        return ""
    have, shows = (
        ("1 class has", "it shows") if len(more) == 1 else (f"{len(more)} classes have", "they show")
    )
    return (
        f"{have} more training pictures than the {per_class} views of --per-class: {shows} each once an epoch"
    )


def _members(train: Sequence[Picture]) -> Mapping[str, list[int]]:
    """Indices into `train` by class, classes sorted by name."""
    members: dict[str, list[int]] = {label: [] for label in sorted({p.label for p in train})}
    for index, picture in enumerate(train):
        members[picture.label].append(index)
    return members


def _views(originals: int, per_class: PerClass) -> int:
    """How many views a class gives to an epoch."""
    return originals if per_class == "all" else max(originals, per_class)


def _groups(originals: int, per_class: PerClass, epoch: int, repeats: int) -> list[list[int]]:
    """For each of a class's originals, in a fixed order, how many views stand together, group by group.

    Epochs cut one endless tape of views, on which the originals follow one another again and again, each
    with `repeats` views; what a cut leaves of a group is a smaller one.
    """
    views = _views(originals, per_class)
    tape = np.arange((epoch - 1) * views, epoch * views) // repeats
    groups: list[list[int]] = [[] for _ in range(originals)]
    for place, size in zip(*np.unique(tape, return_counts=True), strict=True):
        groups[place % originals].append(int(size))
    return groups
