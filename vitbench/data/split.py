"""Which pictures train, which choose the epoch, which are reported on.

Decided on originals, before any view is drawn, from (seed, content) alone: file names, the order of
folders and the platform play no part.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vitbench import files
from vitbench.data.folders import distinct_name, new_folder
from vitbench.data.walk import shown
from vitbench.errors import VitbenchError
from vitbench.records import ImageSet, Picture, Split

THREE_WAY = (70, 15, 15)
"""Percent for train, val, test where the user brought no split."""
VAL_FROM_TRAIN = (85, 15)
"""Percent of train/ for train and val where only the test pictures are given."""
NUMBER_WORDS = {2: "two", 3: "three"}


def split_images(image_set: ImageSet, seed: int = 0) -> Split:
    """The split of an image set by the rule for its layout; equal content and seed give equal splits.

    Stratified by class; pictures with equal pixels stay on one side of what is drawn here. A class gets
    its share by largest remainder, at least one picture a side. Raises `VitbenchError` where a class has
    too few different pictures for that. A split that the user brought is taken as it is.
    """
    parts = {name: image_set.part(name) for name in ("train", "val", "test")}
    notes: list[str] = []
    drawn = parts["train"]
    if image_set.layout == "flat" or not (parts["val"] or parts["test"]):
        drawn = image_set.pictures
        source = "the class folders" if image_set.layout == "flat" else "train/"
        train, val, test = _deal(drawn, THREE_WAY, seed, image_set.root)
        rule = f"70 / 15 / 15 % of {source}, stratified, seed {seed}"
    elif not parts["test"]:
        train, val = _deal(drawn, VAL_FROM_TRAIN, seed, image_set.root)
        test = list(parts["val"])
        rule = f"15 % of train/ as val, stratified, seed {seed}; reported on val/, for there is no test/"
        notes.append("no test/: the scores are on val/, and the epoch is chosen on 15 % of train/")
    elif {p.label for p in parts["val"]} == set(image_set.classes):
        train, val, test = (list(parts[name]) for name in ("train", "val", "test"))
        drawn = ()
        rule = "train/, val/ and test/ as they are on disk, no seed"
    else:
        train, val = _deal(drawn, VAL_FROM_TRAIN, seed, image_set.root)
        test = list(parts["test"])
        rule = f"15 % of train/ as val, stratified, seed {seed}; test/ as it is on disk"
        notes += _unused_val(image_set, parts["val"])
    notes += _kept_together(drawn)
    return Split(
        root=image_set.root,
        classes=image_set.classes,
        train=_sorted(train),
        val=_sorted(val),
        test=_sorted(test),
        rule=rule,
        seed=seed,
        data_digest=image_set.digest,
        notes=tuple(notes),
    )


def write_split(split: Split, out: Path) -> int:
    """Copy a split to OUT/train|val|test/<class>/ with OUT/split.csv; returns the number of files.

    Scanning and splitting OUT gives a split with the same digest. In `split.csv`, `path` is relative to
    OUT, `source` to the folder that was split. OUT must be empty or new, and outside the data.
    """
    with new_folder(out, apart_from=split.root) as folder:
        rows = []
        taken: dict[Path, set[str]] = {}
        for (part, picture), row in zip(split.assigned(), split.rows(), strict=True):
            place = folder / part / picture.label
            place.mkdir(parents=True, exist_ok=True)
            target = place / distinct_name(Path(picture.path).name, taken.setdefault(place, set()))
            _copy(split.root / picture.path, target, picture.sha256)
            rows.append({**row, "path": target.relative_to(folder).as_posix(), "source": picture.path})
        files.write_csv(folder / "split.csv", [*Split.COLUMNS, "source"], rows)
    return len(rows)


def _deal(pictures: Sequence[Picture], shares: Sequence[int], seed: int, root: Path) -> list[list[Picture]]:
    """`pictures` dealt to as many sides as there are shares (percent), class by class, groups kept whole."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    by_class: dict[str, list[list[Picture]]] = {label: [] for label in sorted({p.label for p in pictures})}
    for group in groups.values():
        by_class[_group_label(group)].append(group)
    sides: list[list[Picture]] = [[] for _ in shares]
    for label, members in by_class.items():
        if len(members) < len(shares):
            raise VitbenchError(_too_few(root, label, len(members), len(shares)))
        members.sort(key=lambda group: _order_key(seed, group))
        first = 0
        for side, count in reversed(list(zip(sides, quota(len(members), shares), strict=True))):
            side += [picture for group in members[first : first + count] for picture in group]
            first += count
    for label in by_class:
        if any(label not in {p.label for p in side} for side in sides):
            raise VitbenchError(
                f"{shown(root)}: too many pictures of class '{label}' also lie in another class; "
                "sort them out first"
            )
    return sides


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


def _group_label(group: Sequence[Picture]) -> str:
    """The class that a group counts for: its most frequent one, the first by name on a tie."""
    counts = Counter(p.label for p in group)
    return min(counts, key=lambda label: (-counts[label], label))


def _order_key(seed: int, group: Sequence[Picture]) -> bytes:
    """A group's place in the draw: a keyed digest of its content."""
    content = min(p.sha256 for p in group)
    return hashlib.sha256(f"vitbench split {seed} {content}".encode()).digest()


def _too_few(root: Path, label: str, have: int, need: int) -> str:
    noun = "image" if have == 1 else "images"
    return (
        f"{shown(root)}: class '{label}' has {have} different {noun}, "
        f"{NUMBER_WORDS[need]} splits need {need}; add images or drop the class"
    )


def _unused_val(image_set: ImageSet, val: Sequence[Picture]) -> list[str]:
    """The note on a val/ that cannot choose the epoch, where there is one."""
    missing = sorted(set(image_set.classes) - {p.label for p in val})
    if not val:
        return []
    names = ", ".join(f"'{label}'" for label in missing)
    return [f"val/ lacks class {names}: its {len(val)} pictures are unused, 15 % of train/ takes its place"]


def _kept_together(drawn: Sequence[Picture]) -> list[str]:
    """The note on pictures with equal pixels that were dealt as one."""
    copies = len(drawn) - len({p.group for p in drawn})
    if not copies:
        return []
    noun = "picture repeats" if copies == 1 else "pictures repeat"
    return [f"{copies} {noun} another one (equal pixels); each stays on the side of its original"]


def _sorted(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    return tuple(sorted(pictures, key=lambda p: (p.label, p.sha256, p.path)))


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy one file and prove that it is the one that was scanned."""
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise VitbenchError(f"{shown(source)}: gone since the folder was read; run it again") from error
    if files.sha256_of(target) != sha256:
        raise VitbenchError(f"{shown(source)}: changed since the folder was read; run it again")
