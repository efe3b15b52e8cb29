"""What an epoch is: which views of which training originals, in which order."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from vitbench.data.views import Dice
from vitbench.records import Picture

PerClass = int | Literal["all"]


def view_epoch(epoch: int, fixed_views: bool) -> int:
    """The epoch that views are drawn for: 0 for a fixed set, the same in every epoch."""
    return 0 if fixed_views else epoch


def plan_epoch(
    train: Sequence[Picture], per_class: PerClass, seed: int, epoch: int, fixed_views: bool = False
) -> list[tuple[int, int]]:
    """(index into `train`, k) of every view of an epoch, in the order in which they are shown.

    `per_class` views of every class: each original gives floor or ceil of its share, and the remainder
    rotates, so that over n epochs a class's n originals are used equally. A class with more originals
    than that shows each once, and "all" shows every original once. `fixed_views` plans the same views
    in each epoch; the order still changes. Epochs count from 1.
    """
    turn = view_epoch(epoch, fixed_views)
    views: list[tuple[int, int]] = []
    for label, members in _members(train).items():
        order = Dice("vitbench originals", seed, label).order(len(members))
        for place, count in enumerate(_counts(len(members), per_class, turn)):
            views += [(members[int(order[place])], k) for k in range(count)]
    shuffled = Dice("vitbench order", seed, epoch).order(len(views))
    return [views[int(i)] for i in shuffled]


def epoch_size(train: Sequence[Picture], per_class: PerClass) -> int:
    """Views in an epoch."""
    return sum(sum(_counts(len(members), per_class, 1)) for members in _members(train).values())


def balance_note(train: Sequence[Picture], per_class: PerClass) -> str:
    """One line on how `per_class` changes the class proportions; "" where it does not."""
    originals = {label: len(members) for label, members in _members(train).items()}
    shown = {label: sum(_counts(n, per_class, 1)) for label, n in originals.items()}
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


def _members(train: Sequence[Picture]) -> Mapping[str, list[int]]:
    """Indices into `train` by class, classes sorted by name."""
    members: dict[str, list[int]] = {label: [] for label in sorted({p.label for p in train})}
    for index, picture in enumerate(train):
        members[picture.label].append(index)
    return members


def _counts(originals: int, per_class: PerClass, epoch: int) -> list[int]:
    """How many views each of a class's originals gives; the originals in a fixed order."""
    if per_class == "all" or originals >= per_class:
        return [1] * originals
    share, rest = divmod(per_class, originals)
    first = (epoch - 1) * rest % originals
    counts = np.full(originals, share)
    counts[(first + np.arange(rest)) % originals] += 1
    return [int(count) for count in counts]
