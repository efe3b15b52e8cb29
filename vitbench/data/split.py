"""Which pictures train, which choose the epoch, which are reported on.

Decided on originals, before any view is drawn, from (seed, content) alone: file names, the order of
folders and the platform play no part. Groups (copies of one picture, and what `data.groups` joined) stay
whole, in a split and in folds.
"""

import dataclasses
import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Literal

from vitbench import files
from vitbench.data import series
from vitbench.data.classes import can_choose
from vitbench.data.folders import distinct_name, new_folder
from vitbench.data.groups import TOGETHER, copies_notes
from vitbench.data.likeness import leaks
from vitbench.data.walk import class_name, shown
from vitbench.errors import ClassesError, UsageError, VitbenchError
from vitbench.records import ImageSet, Picture, Split

THREE_WAY = (70, 15, 15)
"""Percent for train, val, test where the user brought no split."""
VAL_FROM_TRAIN = (85, 15)
"""Percent of train/ for train and val where only the test pictures are given."""
LEAST_LOOSE = 10
"""Different pictures that masked pre-training needs: below, nothing is learnt of pictures."""
AUTO_FOLDS = 5
"""Folds of `--folds auto`, fewer where a class is too small for them."""
LEAST_AUTO_FOLDS = 3
SMALL_TEST = 100
"""Pictures: a test part below this tells models apart only where they are far apart."""
NUMBER_WORDS = {2: "two", 3: "three"}

Group = list[Picture]


def split_images(
    image_set: ImageSet, seed: int = 0, folds: int | Literal["auto", "always", "never"] | None = None
) -> Split:
    """The split of an image set by the rule for its layout; equal content and seed give equal splits.

    Stratified by class; a group stays on one side of what is drawn here. A class gets its share by largest
    remainder, at least one picture a side. A split that the user brought is taken as it is. Raises
    `ClassesError` where a class has too few different pictures, or groups, for that. A loose folder has no
    test part, except its own test/.

    `folds`: so many folds, or up to `AUTO_FOLDS` where the test part would be drawn here, with "auto" only
    if that had fewer than `SMALL_TEST` pictures, with "always" whatever its size, with "never" in no case.
    Each fold tests its own pictures, and 15 % of the others choose its epoch. `UsageError` for a number of
    folds where the user brought val or test pictures, for folds would mix them in.

    `Split.leaks` lists the pictures that show the same on two sides.
    """
    split = _without_leaks(image_set, seed, folds)
    folded = tuple(dataclasses.replace(fold, pixel_range=image_set.pixel_range) for fold in split.folds)
    return dataclasses.replace(
        split, folds=folded, leaks=leaks(split, image_set.alike), pixel_range=image_set.pixel_range
    )


def _without_leaks(
    image_set: ImageSet, seed: int, folds: int | Literal["auto", "always", "never"] | None
) -> Split:
    """The split, its leaks not looked up yet."""
    if image_set.layout == "loose":
        return _loose_split(image_set, seed)
    brought = [name for name in ("test", "val") if any(p.part == name for p in image_set.pictures)]
    if isinstance(folds, int):
        _refuse_folds(image_set, folds, brought)
        return _cross_validation(image_set, seed, folds)
    split = _one_split(image_set, seed)
    if brought and folds == "auto" and len(split.test) < SMALL_TEST:
        return dataclasses.replace(split, notes=(*split.notes, _no_folds_note(image_set, brought[0], split)))
    if brought or folds == "never" or (len(split.test) >= SMALL_TEST and folds != "always"):
        return split
    if folds is None:
        return dataclasses.replace(split, notes=(*split.notes, _small_test_note(image_set, split)))
    for count in range(AUTO_FOLDS, LEAST_AUTO_FOLDS - 1, -1):
        with suppress(VitbenchError):
            return _cross_validation(image_set, seed, count)
    few = f"a class has too few different pictures for {LEAST_AUTO_FOLDS} folds: one split"
    return dataclasses.replace(split, notes=(*split.notes, few))


def without_labels(split: Split, image_set: ImageSet, with_test: bool) -> Split:
    """The split for masked pre-training; `with_test` takes the test pictures in, as train.

    Raises `VitbenchError` where fewer than `LEAST_LOOSE` different pictures are left to learn from.
    """
    if with_test:
        split = dataclasses.replace(
            split,
            train=_sorted([*split.train, *split.test]),
            test=(),
            rule=f"{split.rule}; test pictures taken in as train (--with-test)",
        )
        split = dataclasses.replace(split, leaks=leaks(split, image_set.alike))
    _refuse_few(split.root, [*split.train, *split.val])
    return split


def write_split(split: Split, out: Path) -> int:
    """Copy a split to OUT/train|val|test/<class>/ with OUT/split.csv; returns the number of files.

    Scanning and splitting OUT gives a split with the same digest. In `split.csv`, `path` is relative to
    OUT, `source` to the folder that was split. OUT must be empty or new, and outside the data. Raises
    `UsageError` for a split with folds, which are no folders.
    """
    if split.folds:
        raise UsageError(
            f"{shown(out)}: {len(split.folds)} folds cannot be written as train/, val/ and test/; "
            "leave the folder away, or --folds"
        )
    with new_folder(out, apart_from=split.root) as folder:
        rows = []
        taken: dict[Path, set[str]] = {}
        for (part, picture), row in zip(split.assigned(), split.rows(), strict=False):
            place = folder / part / picture.label
            place.mkdir(parents=True, exist_ok=True)
            target = place / distinct_name(Path(picture.path).name, taken.setdefault(place, set()))
            _copy(split.root / picture.path, target, picture.sha256)
            rows.append({**row, "path": target.relative_to(folder).as_posix(), "source": picture.path})
        files.write_csv(folder / "split.csv", [*Split.COLUMNS, "source"], rows)
    return len(rows)


# --- one split ------------------------------------------------------------------------------------


def _one_split(image_set: ImageSet, seed: int) -> Split:
    """The split by the layout's rule, without folds."""
    parts = {name: image_set.part(name) for name in ("train", "val", "test")}
    notes: list[str] = []
    drawn = parts["train"]
    left_out: list[Picture] = []
    if image_set.layout == "flat" or not (parts["val"] or parts["test"]):
        drawn = image_set.pictures
        (train, val, test), left_out = _deal(image_set, drawn, THREE_WAY, str(seed))
        rule = f"70 / 15 / 15 % of {_source(image_set)}, stratified, seed {seed}"
    elif not parts["test"]:
        (train, val), left_out = _deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
        test = list(parts["val"])
        rule = f"15 % of train/ as val, stratified, seed {seed}; reported on val/, for there is no test/"
        notes.append("no test/: the scores are on val/, and the epoch is chosen on 15 % of train/")
    elif can_choose(p.label for p in parts["val"]):
        train, val, test = (list(parts[name]) for name in ("train", "val", "test"))
        drawn = ()
        rule = "train/, val/ and test/ as they are on disk, no seed"
    else:
        (train, val), left_out = _deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
        test = list(parts["test"])
        rule = f"15 % of train/ as val, stratified, seed {seed}; test/ as it is on disk"
    notes += [*_repeats(drawn, left_out), *_on_two_sides([*train, *val, *test])]
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
        left_out=_sorted(left_out),
    )


def _loose_split(image_set: ImageSet, seed: int) -> Split:
    """15 % as val; val/ and test/ as they are where they lie beside train/."""
    parts = {name: image_set.part(name) for name in ("train", "val", "test")}
    brought = " and ".join(f"{name}/" for name in ("val", "test") if parts[name])
    drawn = parts["train"] or image_set.pictures
    source = "train/" if parts["train"] else "all pictures"
    left_out: list[Picture] = []
    as_it_is = f"; {brought} as on disk" if brought else ", no test"
    if parts["val"]:
        train, val = list(drawn), list(parts["val"])
        rule = f"{source}{as_it_is}, no seed"
    else:
        _refuse_few(image_set.root, drawn)
        (train, val), left_out = _deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
        rule = f"85 / 15 % of {source} as train and val, labels unread, seed {seed}{as_it_is}"
    return Split(
        root=image_set.root,
        classes=image_set.classes,
        train=_sorted(train),
        val=_sorted(val),
        test=_sorted(parts["test"]),
        rule=rule,
        seed=seed,
        data_digest=image_set.digest,
        notes=(*_repeats(drawn, left_out), *_on_two_sides(image_set.pictures)),
        left_out=_sorted(left_out),
    )


def _refuse_few(root: Path, pictures: Sequence[Picture]) -> None:
    """Raise where pictures are too few for masked pre-training."""
    groups = len({p.group for p in pictures})
    if groups < LEAST_LOOSE:
        raise VitbenchError(
            f"{shown(root)}: {groups} different {'picture' if groups == 1 else 'pictures'} to learn from, "
            f"masked pre-training needs {LEAST_LOOSE}; add pictures"
        )


def _source(image_set: ImageSet) -> str:
    return "the class folders" if image_set.layout == "flat" else "train/"


def _deal(
    image_set: ImageSet, pictures: Sequence[Picture], shares: Sequence[int], draw: str
) -> tuple[list[list[Picture]], list[Picture]]:
    """`pictures` dealt to as many sides as there are shares (percent), class by class, groups kept whole.

    But for series that no side can hold: they are cut (`data.series`), and the second value is what is left
    out for that. `draw` is the key of the draw: another one deals other pictures.
    """
    root, by_class = image_set.root, _groups_by_class(pictures)
    _cut_series(by_class, shares, image_set)
    holding = _groups_holding(by_class)
    sides: list[list[Picture]] = [[] for _ in shares]
    for label, members in by_class.items():
        if len(holding[label]) < len(shares):
            need = f"{NUMBER_WORDS[len(shares)]} splits need {len(shares)}"
            raise ClassesError(f"{_has(root, label, holding[label])}, {need}; add images or drop the class")
        members.sort(key=lambda group: _order_key(draw, group))
        for side, groups in zip(sides, _share_out(members, shares), strict=True):
            side += [picture for group in groups for picture in group]
    _refuse_missing(root, holding, sides)
    return _apart(image_set, sides)


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


# --- folds ----------------------------------------------------------------------------------------


def _cross_validation(image_set: ImageSet, seed: int, count: int) -> Split:
    """A split with `count` folds; each fold's val is drawn from what it doesn't test."""
    pictures = image_set.pictures
    rule = f"of {_source(image_set)}, stratified, seed {seed};"
    whole = Split(
        root=image_set.root,
        classes=image_set.classes,
        train=_sorted(pictures),
        val=(),
        test=_sorted(pictures),
        rule=f"{count} folds {rule} in each, 15 % of the rest as val",
        seed=seed,
        data_digest=image_set.digest,
    )
    folds: list[Split] = []
    left_out: list[Picture] = []
    for number, test in enumerate(_deal_folds(image_set, count, seed), start=1):
        tested = set(test)
        (rest, test), beside = _apart(image_set, [[p for p in pictures if p not in tested], test])
        (train, val), between = _deal(image_set, rest, VAL_FROM_TRAIN, f"{seed} fold {number}")
        left_out += [*between, *beside]
        fold = dataclasses.replace(
            whole,
            train=_sorted(train),
            val=_sorted(val),
            test=_sorted(test),
            rule=f"fold {number} of {count} {rule} 15 % of the rest as val",
            notes=(),
            left_out=_sorted([*between, *beside]),
        )
        folds.append(fold)
    return dataclasses.replace(whole, folds=tuple(folds), notes=tuple(_repeats(pictures, left_out)))


def _deal_folds(image_set: ImageSet, count: int, seed: int) -> list[list[Picture]]:
    """A set's pictures dealt to folds, class by class, each group to the fold with the fewest of that class.

    Large groups go first; ties: the fold with the fewest pictures of all, then the draw. Every fold gets so
    many groups of a class that the other folds together keep two, for train and val.
    """
    root, by_class = image_set.root, _groups_by_class(image_set.pictures)
    least = 2 if count == 2 else 1
    _cut_series(by_class, [1] * least * count, image_set)
    holding = _groups_holding(by_class)
    folds: list[list[Picture]] = [[] for _ in range(count)]
    labels: list[Counter[str]] = [Counter() for _ in range(count)]
    for label, members in by_class.items():
        if len(holding[label]) < least * count:
            raise VitbenchError(_too_few_for_folds(root, label, holding[label], count, least * count))
        members.sort(key=lambda group: (-len(group), _order_key(f"{seed} folds", group)))
        wanting = [least] * count
        for left, group in zip(range(len(members), 0, -1), members, strict=True):
            fits = [i for i in range(count) if wanting[i] or left > sum(wanting)]
            i = min(fits or range(count), key=lambda i: (labels[i][label], len(folds[i]), i))
            folds[i] += group
            labels[i].update(p.label for p in group)
            wanting[i] = max(0, wanting[i] - 1)
    _refuse_missing(root, holding, folds)
    return folds


def _refuse_folds(image_set: ImageSet, folds: int, brought: Sequence[str]) -> None:
    """Raise where folds cannot be meant."""
    if folds < 2:
        raise UsageError(f"--folds {folds}: a number from 2, or auto")
    if brought:
        raise UsageError(
            f"{shown(image_set.root)}: --folds {folds} would mix {brought[0]}/ with train/; name "
            f"{shown(_train_folder(image_set))} to cross-validate inside it, or leave --folds away"
        )


def _train_folder(image_set: ImageSet) -> Path:
    """Where the class folders of train/ lie: in training_set/training_set/ they have two folders above."""
    picture = image_set.part("train")[0]
    names = Path(picture.path).parts
    depth = next((i for i in range(1, len(names)) if class_name(Path(names[i])) == picture.label), 1)
    return image_set.root.joinpath(*names[:depth])


def _too_few_for_folds(root: Path, label: str, have: Sequence[Group], folds: int, need: int) -> str:
    mend = f"use --folds {min(len(have), AUTO_FOLDS)}, add" if len(have) >= LEAST_AUTO_FOLDS else "add"
    return f"{_has(root, label, have)}, {folds} folds need {need}; {mend} images or drop the class"


# --- groups ---------------------------------------------------------------------------------------


def _groups_by_class(pictures: Sequence[Picture]) -> dict[str, list[Group]]:
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
    if _is_joined(group):
        return min(own, key=lambda label: (totals[label], label))
    return min(own, key=lambda label: (-own[label], label))


def _groups_holding(by_class: dict[str, list[Group]]) -> dict[str, list[Group]]:
    """The groups that bring a class to a side: those that count for it, and joined ones that hold it."""
    holding = {label: list(groups) for label, groups in by_class.items()}
    for label, groups in by_class.items():
        for group in filter(_is_joined, groups):
            for other in {p.label for p in group} - {label}:
                holding[other].append(group)
    return holding


def _is_joined(group: Sequence[Picture]) -> bool:
    """True for more than copies of one picture."""
    return group[0].group.startswith(TOGETHER)


def _weight(group: Group) -> int:
    """What a group counts for: each picture of a series or of what was joined, the copies of one as one."""
    if _is_joined(group):
        return len(group)
    return series.weight(group) if series.is_series(group) else 1


def _cut_series(by_class: dict[str, list[Group]], shares: Sequence[int], image_set: ImageSet) -> None:
    """Cut, in place, the series that no side can hold whole."""
    for label, groups in by_class.items():
        if any(map(series.is_series, groups)):
            near = series.near_of(image_set)
            by_class[label] = series.cut_series(groups, shares, [*map(_weight, groups)], near)


def _apart(
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
                f"{shown(image_set.root)}: class '{shown(label)}' is one series of near-copies, such as the "
                "frames of a film, and too short to be cut; add other pictures or drop the class"
            )
    return kept, left_out


def _order_key(draw: str, group: Group) -> bytes:
    """A group's place in the draw: a keyed digest of its content."""
    content = min(p.sha256 for p in group)
    return hashlib.sha256(f"vitbench split {draw} {content}".encode()).digest()


def _has(root: Path, label: str, have: Sequence[Group]) -> str:
    """How an error about a class with too few groups begins."""
    noun = "image" if len(have) == 1 else "images"
    what = f"different {noun}"
    if any(map(_is_joined, have)):
        what = "group kept together" if len(have) == 1 else "groups kept together"
    return f"{shown(root)}: class '{shown(label)}' has {len(have)} {what}"


def _refuse_missing(root: Path, holding: dict[str, list[Group]], sides: Sequence[Sequence[Picture]]) -> None:
    """Raise where a class is missing on a side, for its pictures are bound to those of another class."""
    everywhere = set.intersection(*({p.label for p in side} for side in sides))
    for label in sorted(holding.keys() - everywhere):
        if any(map(_is_joined, holding[label])):
            raise ClassesError(
                f"{shown(root)}: class '{shown(label)}' cannot be on every side, for its pictures are kept "
                "together with those of other classes; make the groups smaller or try another --split-seed"
            )
        raise ClassesError(
            f"{shown(root)}: too many pictures of class '{shown(label)}' also lie in another class; "
            "sort them out first"
        )


# --- notes ----------------------------------------------------------------------------------------


def _small_test_note(image_set: ImageSet, split: Split) -> str:
    """What folds would do where the test part drawn here is small."""
    holding = _groups_holding(_groups_by_class(image_set.pictures))
    folds = min(AUTO_FOLDS, *map(len, holding.values()))
    few = f"only {len(split.test)} test {'picture' if len(split.test) == 1 else 'pictures'}"
    if folds < LEAST_AUTO_FOLDS:
        return f"{few}, and too few that are not alike for folds"
    return (
        f"{few}: --folds {folds} would report on all {len(image_set.pictures)} (--folds auto does so where "
        "the test part is small)"
    )


def _no_folds_note(image_set: ImageSet, brought: str, split: Split) -> str:
    """Why `--folds auto` makes none where the user brought a small test part."""
    return (
        f"--folds auto: no folds, though only {len(split.test)} test pictures, for they would mix {brought}/ "
        f"with train/; name {shown(_train_folder(image_set))} to cross-validate inside it"
    )


def _on_two_sides(used: Sequence[Picture]) -> list[str]:
    """Notes on groups kept together that the user's own split has parted; the scan tells of copies."""
    parts: dict[str, set[str]] = {}
    for picture in used:
        if picture.part and _is_joined([picture]):
            parts.setdefault(picture.group, set()).add(picture.part)
    notes = []
    for pair in combinations(("train", "val", "test"), 2):
        count = sum(set(pair) <= found for found in parts.values())
        if count:
            have = "group has" if count == 1 else "groups have"
            notes.append(
                f"{count} {have} pictures in both {pair[0]}/ and {pair[1]}/, as they are on disk: "
                "scores may be too good"
            )
    return notes


def _repeats(drawn: Sequence[Picture], left_out: Sequence[Picture]) -> list[str]:
    """The notes on copies that were dealt as one, and on series of them that were cut.

    Where groups were joined, `keep_together` has counted the copies before.
    """
    notes = [] if any(_is_joined([p]) for p in drawn) else copies_notes(drawn)
    if not left_out:
        return [f"{note}; each stays on the side of its original" for note in notes]
    cut, gone = len({p.group for p in left_out}), {p.path for p in left_out}
    each = "a series of near-copies is" if cut == 1 else f"{cut} series of near-copies are"
    return [
        *notes,
        f"{each} too long for one side and cut; the {len(gone)} pictures nearest to the cuts are left out "
        f"(e.g. {shown(Path(min(gone)))}), so that no side has a near-copy of another one's pictures; "
        "--group keeps a whole film together",
    ]


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
