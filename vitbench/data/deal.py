"""Groups of pictures dealt to the sides of a split and to folds: class by class, groups kept whole.

From (seed, content) alone: file names, the order of folders and the platform play no part.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vitbench.data.duplicates import series
from vitbench.data.groups import TOGETHER
from vitbench.errors import ClassesError, VitbenchError
from vitbench.files import printable
from vitbench.records import ImageSet, Picture

AUTO_FOLDS = 5
"""Folds of `--folds auto`, fewer where a class is too small for them."""
LEAST_AUTO_FOLDS = 3
NUMBER_WORDS = {2: "two", 3: "three"}

Group = list[Picture]


def deal(
    image_set: ImageSet, pictures: Sequence[Picture], shares: Sequence[int], draw: str
) -> tuple[list[list[Picture]], list[Picture]]:
    """`pictures` dealt to as many sides as there are shares (percent), class by class, groups kept whole.

    But for series that no side can hold: they are cut (`duplicates.series`), and the second value is what is
    left out for that. `draw` is the key of the draw: another one deals other pictures.
    """
    root, by_class = image_set.root, groups_by_class(pictures)
    _cut_series(by_class, shares, image_set)
    holding = groups_holding(by_class)
    sides: list[list[Picture]] = [[] for _ in shares]
    for label, members in by_class.items():
        if len(holding[label]) < len(shares):
            need = f"{NUMBER_WORDS[len(shares)]} splits need {len(shares)}"
            raise ClassesError(f"{_has(root, label, holding[label])}, {need}; add images or drop the class")
        members.sort(key=lambda group: order_key(draw, group))
        for side, groups in zip(sides, _share_out(members, shares), strict=True):
            side += [picture for group in groups for picture in group]
    _refuse_missing(root, holding, sides)
    return apart(image_set, sides)


def _share_out(members: Sequence[Group], shares: Sequence[int]) -> list[list[Group]]:
    """A class's groups by percent shares, in the order given: the last side takes first, the first the rest.

    Each takes what brings it nearer to its quota, at least one group. Copies of one picture weigh as one.
    """
    if not members:  # all of them lie in groups that count for another class
        return [[] for _ in shares]
    targets = quota(sum(map(_weight, members)), shares)
    rest, sides = list(members), []
    for place in range(len(shares) - 1, 0, -1):
        taken: list[Group] = []
        left: list[Group] = []
        missing = targets[place]
        for group in rest:
            if _weight(group) < 2 * missing and len(rest) - len(taken) > place:
                missing -= _weight(group)
                taken.append(group)
            else:
                left.append(group)
        if not taken and len(rest) > place:
            taken.append(left.pop(min(range(len(left)), key=lambda i: _weight(left[i]))))
        rest = left
        sides.append(taken)
    return [rest, *reversed(sides)]


def quota(count: int, shares: Sequence[int]) -> list[int]:
    """`count` things divided by percent shares: largest remainder (ties to the later side), each at least 1.

    >>> quota(40, (70, 15, 15)), quota(10, (70, 15, 15)), quota(3, (70, 15, 15))
    ([28, 6, 6], [7, 1, 2], [1, 1, 1])
    """
    counts = [count * share // 100 for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (count * shares[i] % 100, i), reverse=True)
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    for i, got in enumerate(counts):
        if got == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts


def deal_folds(image_set: ImageSet, count: int, seed: int) -> list[list[Picture]]:
    """A set's pictures dealt to folds, class by class, each group to the fold with the fewest of that class.

    Large groups go first; ties: the fold with the fewest pictures of all, then the draw. Every fold gets so
    many groups of a class that the other folds together keep two, for train and val.
    """
    root, by_class = image_set.root, groups_by_class(image_set.pictures)
    least = 2 if count == 2 else 1
    _cut_series(by_class, [1] * least * count, image_set)
    holding = groups_holding(by_class)
    folds: list[list[Picture]] = [[] for _ in range(count)]
    labels: list[Counter[str]] = [Counter() for _ in range(count)]
    for label, members in by_class.items():
        if len(holding[label]) < least * count:
            raise VitbenchError(_too_few_for_folds(root, label, holding[label], count, least * count))
        members.sort(key=lambda group: (-len(group), order_key(f"{seed} folds", group)))
        wanting = [least] * count
        for left, group in zip(range(len(members), 0, -1), members, strict=True):
            fits = [i for i in range(count) if wanting[i] or left > sum(wanting)]
            i = min(fits or range(count), key=lambda i: (labels[i][label], len(folds[i]), i))
            folds[i] += group
            labels[i].update(p.label for p in group)
            wanting[i] = max(0, wanting[i] - 1)
    _refuse_missing(root, holding, folds)
    return folds


def _too_few_for_folds(root: Path, label: str, have: Sequence[Group], folds: int, need: int) -> str:
    mend = f"use --folds {min(len(have), AUTO_FOLDS)}, add" if len(have) >= LEAST_AUTO_FOLDS else "add"
    return f"{_has(root, label, have)}, {folds} folds need {need}; {mend} images or drop the class"


# --- groups ---------------------------------------------------------------------------------------


def groups_by_class(pictures: Sequence[Picture]) -> dict[str, list[Group]]:
    """The groups of each class, classes by name; a group of several classes counts for one of them."""
    groups: dict[str, Group] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    totals = Counter(p.label for p in pictures)
    by_class: dict[str, list[Group]] = {label: [] for label in sorted(totals)}
    for group in groups.values():
        by_class[_group_label(group, totals)].append(group)
    return by_class


def _group_label(group: Group, totals: Counter[str]) -> str:
    """The class that a group counts for.

    Of copies: their most frequent class. Of pictures kept together: the rarest of all, which needs it most.
    The first by name on a tie.
    """
    own = Counter(p.label for p in group)
    if is_joined(group):
        return min(own, key=lambda label: (totals[label], label))
    return min(own, key=lambda label: (-own[label], label))


def groups_holding(by_class: dict[str, list[Group]]) -> dict[str, list[Group]]:
    """The groups that bring a class to a side: those that count for it, and joined ones that hold it."""
    holding = {label: list(groups) for label, groups in by_class.items()}
    for label, groups in by_class.items():
        for group in filter(is_joined, groups):
            for other in {p.label for p in group} - {label}:
                holding[other].append(group)
    return holding


def is_joined(group: Sequence[Picture]) -> bool:
    """True for more than copies of one picture."""
    return group[0].group.startswith(TOGETHER)


def _weight(group: Group) -> int:
    """What a group counts for: each picture of a series or of what was joined, the copies of one as one."""
    if is_joined(group):
        return len(group)
    return series.weight(group) if series.is_series(group) else 1


def _cut_series(by_class: dict[str, list[Group]], shares: Sequence[int], image_set: ImageSet) -> None:
    """Cut, in place, the series that no side can hold whole."""
    if not any(series.is_series(group) for groups in by_class.values() for group in groups):
        return
    near = series.near_of(image_set)
    for label, groups in by_class.items():
        by_class[label] = series.cut_series(groups, shares, [*map(_weight, groups)], near)


def apart(
    image_set: ImageSet, sides: Sequence[Sequence[Picture]]
) -> tuple[list[list[Picture]], list[Picture]]:
    """The sides without the pictures next to the cuts of series, and these.

    ClassesError where nothing of a class is left on a side.
    """
    if not any(series.is_series([p]) for side in sides for p in side):
        return [list(side) for side in sides], []
    kept, left_out = series.apart(sides, series.near_of(image_set))
    for before, after in zip(sides, kept, strict=True):
        for label in sorted({p.label for p in before} - {p.label for p in after}):
            raise ClassesError(
                f"{printable(image_set.root)}: class '{printable(label)}' is one series of near-copies, such "
                "as the frames of a film, and too short to be cut; add other pictures or drop the class"
            )
    return kept, left_out


def order_key(draw: str, group: Group) -> bytes:
    """A group's place in the draw: a keyed digest of its content."""
    content = min(p.sha256 for p in group)
    return hashlib.sha256(f"vitbench split {draw} {content}".encode()).digest()


def _has(root: Path, label: str, have: Sequence[Group]) -> str:
    """How an error about a class with too few groups begins."""
    noun = "image" if len(have) == 1 else "images"
    what = f"different {noun}"
    if any(map(is_joined, have)):
        what = "group kept together" if len(have) == 1 else "groups kept together"
    return f"{printable(root)}: class '{printable(label)}' has {len(have)} {what}"


def _refuse_missing(root: Path, holding: dict[str, list[Group]], sides: Sequence[Sequence[Picture]]) -> None:
    """Raise where a class is missing on a side, for its pictures are bound to those of another class."""
    everywhere = set.intersection(*({p.label for p in side} for side in sides))
    for label in sorted(holding.keys() - everywhere):
        if any(map(is_joined, holding[label])):
            raise ClassesError(
                f"{printable(root)}: class '{printable(label)}' cannot be on every side, for its pictures "
                "are kept together with those of other classes; make the groups smaller or "
                "try another --split-seed"
            )
        raise ClassesError(
            f"{printable(root)}: too many pictures of class '{printable(label)}' also lie in another class; "
            "sort them out first"
        )
