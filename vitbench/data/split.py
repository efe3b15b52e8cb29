"""Which pictures train, which choose the epoch, which are reported on.

Decided on originals, before any view is drawn, from (seed, content) alone: file names, the order of
folders and the platform play no part. Groups (copies of one picture, and what `data.groups` joined) stay
whole, in a split and in folds.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Literal

from vitbench import files
from vitbench.data.classes import can_choose
from vitbench.data.deal import (
    AUTO_FOLDS,
    LEAST_AUTO_FOLDS,
    apart,
    deal,
    deal_folds,
    groups_by_class,
    groups_holding,
    is_joined,
)
from vitbench.data.duplicates.likeness import leaks
from vitbench.data.folders import distinct_name, new_folder
from vitbench.data.groups import copies_notes
from vitbench.data.walk import class_name
from vitbench.errors import UsageError, VitbenchError
from vitbench.files import printable
from vitbench.records import ImageSet, Picture, Split

THREE_WAY = (70, 15, 15)
"""Percent for train, val, test where the user brought no split."""
VAL_FROM_TRAIN = (85, 15)
"""Percent of train/ for train and val where only the test pictures are given."""
LEAST_LOOSE = 10
"""Different pictures that masked pre-training needs: below, nothing is learnt of pictures."""
SMALL_TEST = 100
"""Pictures: a test part below this tells models apart only where they are far apart."""


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
        return dataclasses.replace(split, proposals=(_no_folds_note(image_set, brought[0], split),))
    if brought or folds == "never" or (len(split.test) >= SMALL_TEST and folds != "always"):
        return split
    if folds is None:
        return dataclasses.replace(split, proposals=(_small_test_note(image_set, split),))
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
            f"{printable(out)}: {len(split.folds)} folds cannot be written as train/, val/ and test/; "
            "leave the folder away, or --folds"
        )
    with new_folder(out, apart_from=split.root) as folder:
        rows = []
        taken: dict[Path, dict[str, int]] = {}
        for (part, picture), row in zip(split.assigned(), split.rows(), strict=False):
            place = folder / part / picture.label
            place.mkdir(parents=True, exist_ok=True)
            target = place / distinct_name(Path(picture.path).name, taken.setdefault(place, {}))
            _copy(split.root / picture.path, target, picture.sha256)
            rows.append({**row, "path": target.relative_to(folder).as_posix(), "source": picture.path})
        files.write_csv(folder / "split.csv", [*Split.COLUMNS, "source"], rows)
    return len(rows)


# --- one split ------------------------------------------------------------------------------------


def _one_split(image_set: ImageSet, seed: int) -> Split:
    """The split by the layout's rule, without folds."""
    parts = {name: image_set.part(name) for name in ("train", "val", "test")}
    notes: list[str] = []
    test_drawn = image_set.layout == "flat" or not (parts["val"] or parts["test"])
    drawn = parts["train"]
    left_out: list[Picture] = []
    if test_drawn:
        drawn = image_set.pictures
        (train, val, test), left_out = deal(image_set, drawn, THREE_WAY, str(seed))
        rule = f"70 / 15 / 15 % of {_source(image_set)}, stratified, seed {seed}"
    elif not parts["test"]:
        (train, val), left_out = deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
        test = list(parts["val"])
        rule = f"15 % of train/ as val, stratified, seed {seed}; reported on val/, for there is no test/"
        notes.append("no test/: the scores are on val/, and the epoch is chosen on 15 % of train/")
    elif can_choose(p.label for p in parts["val"]):
        train, val, test = (list(parts[name]) for name in ("train", "val", "test"))
        drawn = ()
        rule = "train/, val/ and test/ as they are on disk, no seed"
    else:
        (train, val), left_out = deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
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
        test_drawn=test_drawn,
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
        (train, val), left_out = deal(image_set, drawn, VAL_FROM_TRAIN, str(seed))
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
            f"{printable(root)}: {groups} different {'picture' if groups == 1 else 'pictures'} to learn "
            f"from, masked pre-training needs {LEAST_LOOSE}; add pictures"
        )


def _source(image_set: ImageSet) -> str:
    return "the class folders" if image_set.layout == "flat" else "train/"


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
    for number, test in enumerate(deal_folds(image_set, count, seed), start=1):
        tested = set(test)
        (rest, test), beside = apart(image_set, [[p for p in pictures if p not in tested], test])
        (train, val), between = deal(image_set, rest, VAL_FROM_TRAIN, f"{seed} fold {number}")
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


def _refuse_folds(image_set: ImageSet, folds: int, brought: Sequence[str]) -> None:
    """Raise where folds cannot be meant."""
    if folds < 2:
        raise UsageError(f"--folds {folds}: a number from 2, or auto")
    if brought:
        raise UsageError(
            f"{printable(image_set.root)}: --folds {folds} would mix {brought[0]}/ with train/; name "
            f"{printable(_train_folder(image_set))} to cross-validate inside it, or leave --folds away"
        )


def _train_folder(image_set: ImageSet) -> Path:
    """Where the class folders of train/ lie: in training_set/training_set/ they have two folders above."""
    picture = image_set.part("train")[0]
    names = Path(picture.path).parts
    depth = next((i for i in range(1, len(names)) if class_name(Path(names[i])) == picture.label), 1)
    return image_set.root.joinpath(*names[:depth])


# --- notes ----------------------------------------------------------------------------------------


def _small_test_note(image_set: ImageSet, split: Split) -> str:
    """What folds would do where the test part drawn here is small."""
    holding = groups_holding(groups_by_class(image_set.pictures))
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
        f"with train/; name {printable(_train_folder(image_set))} to cross-validate inside it"
    )


def _on_two_sides(used: Sequence[Picture]) -> list[str]:
    """Notes on groups kept together that the user's own split has parted; the scan tells of copies."""
    parts: dict[str, set[str]] = {}
    for picture in used:
        if picture.part and is_joined([picture]):
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
    notes = [] if any(is_joined([p]) for p in drawn) else copies_notes(drawn)
    if not left_out:
        return [f"{note}; each stays on the side of its original" for note in notes]
    cut, gone = len({p.group for p in left_out}), {p.path for p in left_out}
    each = "a series of near-copies is" if cut == 1 else f"{cut} series of near-copies are"
    return [
        *notes,
        f"{each} too long for one side and cut; the {len(gone)} pictures nearest to the cuts are left out "
        f"(e.g. {printable(Path(min(gone)))}), so that no side has a near-copy of another one's pictures; "
        "--group keeps a whole film together",
    ]


def _sorted(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    return tuple(sorted(pictures, key=lambda p: (p.label, p.sha256, p.path)))


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy one file and prove that it is the one that was scanned."""
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise VitbenchError(f"{printable(source)}: gone since the folder was read; run it again") from error
    if files.sha256_of(target) != sha256:
        raise VitbenchError(f"{printable(source)}: changed since the folder was read; run it again")
