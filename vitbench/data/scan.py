"""From a folder to a checked `ImageSet`: classes, parts, and every picture decoded in full once."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vitbench.data.ahead import in_batches
from vitbench.data.bad import bad_message
from vitbench.data.decode import decode_bytes, picture_bytes
from vitbench.data.known import KnownPictures, Seen, known_pictures, settled, stamp_of
from vitbench.data.likeness import group_alike, near_notes, search_prints
from vitbench.data.near import Search
from vitbench.data.prints import Print, print_of
from vitbench.data.signs import name_notes
from vitbench.data.walk import (
    LINK_BACK,
    Walk,
    class_name,
    folders_in,
    is_folder,
    is_hidden,
    leads_back,
    shown,
    walk,
)
from vitbench.errors import ClassesError, UnreadableImageError, VitbenchError
from vitbench.records import BadFile, ImageSet, Part, Picture

Layout = Literal["auto", "flat", "split", "loose"]
Progress = Callable[[int, int], None]
Owner = tuple[Part | None, str, Path]
"""Part, class and path of a file."""

PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names of a split layout, in lower case."""
ONE_CLASS = "pictures"
"""The class of every picture of a loose folder."""

HOW_TO = (
    "make one folder of photos per class (cat/, dog/, …), or train/, val/ and test/ with such folders "
    "inside; built-in pictures to try: `vitbench demo`, `vitbench data demo`"
)
THREADS = min(8, os.cpu_count() or 1)
AT_ONCE = 16
"""Files that a thread takes at a time: small ones are read faster than a thread is woken."""


@dataclass
class _Plan:
    """The class folders found, before any picture is opened."""

    layout: Literal["flat", "split", "loose"]
    folders: list[tuple[Part | None, str, Path]] = field(default_factory=list)
    """(part, class, folder)"""
    walked: list[Path] = field(default_factory=list)
    """Folders that are read as wholes: links into them lead back."""
    notes: list[str] = field(default_factory=list)


def scan_folder(
    root: Path,
    layout: Layout = "auto",
    skip_bad: bool = False,
    on_progress: Progress | None = None,
    near: bool = True,
    remember: bool = True,
) -> ImageSet:
    """The pictures of an image folder, each decoded in full once; nothing in it is changed.

    `near`: near-copies are looked for (`data.near`) and put into one group. `remember`: what is learnt of
    a file is kept (`data.known`), and one that has not changed since is not read again. `layout` "loose"
    takes all pictures, however deep, as one class; folders train/, val/ and test/ are parts there too.
    `on_progress(done, total)` is called after each picture, from this thread. Raises `VitbenchError`
    where the folder is missing, or (without `skip_bad`) a file cannot be decoded: then more than ten bad
    files are listed in `bad-files.csv` (`data.bad`). `ClassesError` where it has no usable class folders, a
    class is empty, or train lacks a class.
    """
    found = Walk()
    plan, owners = _survey(root, layout, found)
    with known_pictures(remember) as known:
        pictures, prints, search, bad = _check(root, owners, known, on_progress, near)
        bad = sorted([*bad, *(_relative(entry, root) for entry in found.unusable)], key=lambda b: b.path)
        if bad and not skip_bad:
            raise VitbenchError(bad_message(root, bad, len(owners) + len(found.unusable)))
        notes = _check_classes(root, plan, pictures)
        digests = sorted({p.group for p in pictures}) if near else []
        if search is None:
            search = search_prints(digests, prints, THREADS)
            known.remember_search(digests, search)
    alike = group_alike(pictures, digests, search)
    warnings = (*duplicate_notes(pictures), *near_notes(alike), *name_notes(alike.pictures))
    return ImageSet(
        root=root,
        layout=plan.layout,
        classes=tuple(sorted({p.label for p in pictures})),
        pictures=tuple(sorted(alike.pictures, key=lambda p: p.path)),
        bad=tuple(bad),
        ignored=dict(sorted(found.ignored.items())),
        notes=(*plan.notes, *notes, *warnings),
        warnings=warnings,
        alike=alike.pairs,
        searched=alike.searched,
    )


def refuse_unusable(root: Path, layout: Layout = "auto") -> None:
    """Raise what `scan_folder` would say of the folder's shape alone, before any picture is opened."""
    _survey(root, layout, Walk())


def find_images(folder: Path) -> list[Path]:
    """The pictures in a folder and its sub-folders, sorted, by name only; hidden ones left out."""
    found = Walk()
    walk(folder, found)
    return sorted([*found.pictures, *(Path(entry.path) for entry in found.unusable)])


# --- folders --------------------------------------------------------------------------------------


def _survey(root: Path, layout: Layout, found: Walk) -> tuple[_Plan, list[Owner]]:
    """The class folders of `root` and the picture files in them."""
    if not os.path.exists(root):  # noqa: PTH110  (Path's own raises for a name that is too long)
        raise VitbenchError(f"{shown(root)}: no such folder; {HOW_TO}")
    if not os.path.isdir(root):  # noqa: PTH112
        raise VitbenchError(f"{shown(root)}: a file, not a folder; {HOW_TO}")
    plan = _plan_folders(root, layout, found)
    return plan, _collect(plan, found)


def _plan_folders(root: Path, layout: Layout, found: Walk) -> _Plan:
    """Which folders are classes of which part."""
    if layout == "loose":
        return _plan_loose(root, found)
    tops = _without_links_back(root, folders_in(root, found), found)
    if not tops:
        loose = found.ignored["picture in no class folder"]
        what = f"{loose} pictures but no class folders" if loose else "no class folders in it"
        unread = "; to learn from them without classes: `vitbench pretrain`" if loose else ""
        raise ClassesError(f"{shown(root)}: {what}; {HOW_TO}{unread}")
    parts = [top for top in tops if top.name.lower() in PART_NAMES]
    if layout == "auto":
        layout = "split" if _looks_split(root, tops, parts) else "flat"
    if layout == "flat":
        plan = _Plan("flat", [(None, class_name(top), top) for top in tops], [root])
    else:
        plan = _plan_parts(root, parts, found)
        others = [shown(Path(top.name)) for top in tops if top not in parts]
        if others:
            plan.notes.append(f"left out beside train/: {_some(others)}")
    _refuse_equal_names(root, plan)
    return plan


def _plan_loose(root: Path, found: Walk) -> _Plan:
    """The whole folder, or its train/, val/ and test/ as wholes, as one class."""
    beside = Walk()
    tops = _without_links_back(root, folders_in(root, beside), beside)
    parts = [(PART_NAMES[top.name.lower()], ONE_CLASS, top) for top in tops if top.name.lower() in PART_NAMES]
    if not any(part == "train" for part, _, _ in parts):
        return _Plan("loose", [(None, ONE_CLASS, root)], [root])
    found.ignored.update(beside.ignored)
    taken = [folder for _, _, folder in parts]
    others = [shown(Path(top.name)) for top in tops if top not in taken]
    notes = [f"left out beside train/: {_some(others)}"] if others else []
    return _Plan("loose", [*parts], taken, notes)


def holds_parts_without_classes(root: Path) -> bool:
    """True where pictures lie in train/ and val/ or test/ without class folders.

    As class folders they would be two classes, and most of the test pictures would be trained on.
    """
    tops = [top for top in folders_in(root, Walk()) if top.name.lower() in PART_NAMES]
    parts = {PART_NAMES[top.name.lower()] for top in tops}
    return "train" in parts and len(parts) > 1 and not any(map(_has_folders, tops))


def _looks_split(root: Path, tops: Sequence[Path], parts: Sequence[Path]) -> bool:
    """True where a train folder holds class folders; raises where only val or test are there."""
    if any(PART_NAMES[part.name.lower()] == "train" and _has_folders(part) for part in parts):
        return True
    if len(parts) == len(tops) and all(_has_folders(part) for part in parts):
        raise VitbenchError(
            f"{shown(root)}: {_some([shown(p.name) + '/' for p in parts])} without train/; add train/ with "
            "class folders, or pass --layout flat if these are class names"
        )
    return False


def _plan_parts(root: Path, parts: Sequence[Path], found: Walk) -> _Plan:
    plan = _Plan("split", walked=list(parts))
    taken: dict[Part, Path] = {}
    for folder in parts:
        part = PART_NAMES[folder.name.lower()]
        if part in taken:
            both = f"{taken[part].name}/ and {folder.name}/"
            raise VitbenchError(f"{shown(root)}: {both} both mean {part}; keep one of them")
        taken[part] = folder
        classes = _without_links_back(folder, folders_in(folder, found), found)
        if not classes and part != "train":
            plan.notes.append(f"{folder.name}/ has no class folders, so it cannot be scored: left out")
        plan.folders += [(part, class_name(path), path) for path in classes]
    if not any(part == "train" for part, _, _ in plan.folders):
        raise ClassesError(f"{shown(root)}: no train/ with class folders inside; {HOW_TO}")
    return plan


def _has_folders(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(is_folder(entry) and not is_hidden(entry.name) for entry in entries)
    except OSError as error:
        raise VitbenchError(
            f"{shown(folder)}: cannot be read ({error.strerror}); check its permissions"
        ) from error


def _without_links_back(parent: Path, folders: Sequence[Path], found: Walk) -> list[Path]:
    """`folders` of `parent` less the links to a neighbour or to something above."""
    places = [Path(os.path.realpath(parent))]
    kept = [f for f in folders if not (f.is_symlink() and leads_back(f, places))]
    if len(kept) < len(folders):
        found.ignored[LINK_BACK] += len(folders) - len(kept)
    return kept


def _refuse_equal_names(root: Path, plan: _Plan) -> None:
    """Raise where two class folders of one part have names that differ only in their Unicode form."""
    counts = Counter((part, label) for part, label, _ in plan.folders)
    for (part, label), count in counts.items():
        if count > 1:
            where = f"{part}/" if part else "the folder"
            raise ClassesError(
                f"{shown(root)}: {count} class folders in {where} are both named '{shown(label)}' (their "
                "Unicode forms differ); merge or rename them"
            )


def _collect(plan: _Plan, found: Walk) -> list[Owner]:
    """(part, class, file) of every file that looks like a picture."""
    owners: list[Owner] = []
    for part, label, folder in plan.folders:
        before = len(found.pictures)
        walk(folder, found, plan.walked)
        owners += [(part, label, path) for path in found.pictures[before:]]
    return owners


# --- pictures -------------------------------------------------------------------------------------


def _check(
    root: Path,
    owners: Sequence[Owner],
    known: KnownPictures,
    on_progress: Progress | None,
    near: bool,
) -> tuple[list[Picture], dict[str, Print], Search | None, list[BadFile]]:
    """What every file holds, in the order of `owners`: as it is known, or decoded, in threads.

    The near-copies of exactly these pictures too, where they are known; else, if `near`, the prints by pixel
    digest, to look for them.
    """
    stamps = [stamp_of(path) for _, _, path in owners]
    found = known.find([path for _, _, path in owners], stamps)
    prints: dict[str, Print] = {}
    search = known.search(_digests(found)) if near and all(found) else None
    if near and search is None:
        prints = known.prints(one for one in found if one)
        found = [one if one and (one.reason or one.pixels in prints) else None for one in found]
    new = [place for place, one in enumerate(found) if one is None]
    done = len(found) - len(new)
    if on_progress and done:
        on_progress(done, len(found))
    for place, (seen, printed, read_at) in zip(new, _read_all([owners[i][2] for i in new]), strict=True):
        path, stamp = owners[place][2], stamps[place]
        found[place] = seen
        if printed is not None and near:
            prints.setdefault(seen.pixels, printed)
        if stamp is not None and seen.lasting and settled(stamp, read_at) and stamp_of(path) == stamp:
            known.remember(path, stamp, seen, printed)
        done += 1
        if on_progress:
            on_progress(done, len(found))
    pictures, bad = _named(root, owners, found)
    return pictures, prints, search, bad


def _digests(found: Iterable[Seen | None]) -> list[str]:
    """The different pixel digests, sorted."""
    return sorted({one.pixels for one in found if one and one.pixels})


def _read_all(paths: Sequence[Path]) -> Iterator[tuple[Seen, Print | None, float]]:
    """`read_file` of each, in order, in threads (Pillow frees the GIL), a few files at a time.

    The last value is when its reading began, `time.time()`.
    """

    def read_some(some: Sequence[Path]) -> list[tuple[Seen, Print | None, float]]:
        return [(*read_file(path), began) for path in some for began in [time.time()]]

    handfuls = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    batches = (handfuls[start : start + THREADS] for start in range(0, len(handfuls), THREADS))
    for batch in in_batches(read_some, batches, THREADS):
        for read in batch:
            yield from read


def read_file(path: Path) -> tuple[Seen, Print | None]:
    """What a file holds, decoded in full, and its print; the reason where it cannot be read."""
    try:
        content = picture_bytes(path)
    except UnreadableImageError as error:
        return Seen(reason=str(error), lasting=False), None
    try:
        image = decode_bytes(content)
    except UnreadableImageError as error:
        return Seen(reason=str(error), lasting=not isinstance(error.__cause__, MemoryError)), None
    pixels = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    pixels.update(image.tobytes())
    sha256 = hashlib.sha256(content).hexdigest()
    return Seen(sha256, pixels.hexdigest(), image.width, image.height), print_of(image)


def _named(
    root: Path, owners: Sequence[Owner], found: Sequence[Seen | None]
) -> tuple[list[Picture], list[BadFile]]:
    """What was learnt of files, as the pictures and bad files of the set."""
    pictures: list[Picture] = []
    bad: list[BadFile] = []
    above = len(str(root / "x")) - 1  # of what stands before it; Path's own takes long
    for (part, label, path), seen in zip(owners, found, strict=True):
        name = str(path)[above:].replace(os.sep, "/")
        if seen is None or seen.reason:
            bad.append(BadFile(name, seen.reason if seen else ""))
            continue
        pictures.append(Picture(name, label, part, seen.sha256, seen.pixels, seen.width, seen.height))
    return pictures, bad


def _check_classes(root: Path, plan: _Plan, pictures: Sequence[Picture]) -> list[str]:
    """Notes on classes that val or test lack; raises where the classes cannot be trained or scored."""
    if plan.layout == "loose":
        return []
    main: Part | None = "train" if plan.layout == "split" else None
    classes = {label for part, label, _ in plan.folders if part == main}
    where = f"{shown(root)}{'/train' if main else ''}"
    empty = classes - {p.label for p in pictures if p.part == main}
    if empty:
        raise ClassesError(
            f"{where}: no readable picture of class {_quoted(empty)}; add some or remove the folder"
        )
    if len(classes) < 2:
        raise ClassesError(f"{where}: only class {_quoted(classes)}; a comparison needs two or more")
    notes: list[str] = []
    given: list[Part] = ["val", "test"]
    for part in given:
        have = {p.label for p in pictures if p.part == part}
        if have - classes:
            raise ClassesError(
                f"{shown(root)}/{part}: class {_quoted(have - classes)} is not in train/; "
                "add it there or remove it here"
            )
        if have and classes - have:
            notes.append(f"{part}/ lacks class {_quoted(classes - have)}")
        elif not have and any(folder_part == part for folder_part, _, _ in plan.folders):
            notes.append(f"{part}/ holds no pictures: left out")
    return notes


def duplicate_notes(pictures: Sequence[Picture]) -> list[str]:
    """Warnings about pictures with equal pixels under two classes, or in two of the user's own parts."""
    groups: dict[str, list[Picture]] = {}
    for picture in sorted(pictures, key=lambda p: p.path):
        groups.setdefault(picture.group, []).append(picture)
    several = [group for group in groups.values() if len(group) > 1]
    notes = []
    clashes = [group for group in several if len({p.label for p in group}) > 1]
    if clashes:
        notes.append(
            f"{_times(len(clashes), 'picture')} under two classes, e.g. {_pair(clashes[0], 'label')}"
        )
    for left, right in (("train", "test"), ("train", "val"), ("val", "test")):
        leaks = [g for g in several if {left, right} <= {p.part for p in g}]
        if leaks:
            pair = _pair([p for p in leaks[0] if p.part in (left, right)], "part")
            notes.append(f"{_times(len(leaks), 'picture')} in both {left}/ and {right}/, e.g. {pair}")
    return notes


def _pair(group: Sequence[Picture], differ_in: Literal["label", "part"]) -> str:
    """Two pictures of a group that differ in class or part, as "a.jpg = b.jpg"."""
    first = group[0]
    second = next(p for p in group if getattr(p, differ_in) != getattr(first, differ_in))
    return f"{shown(Path(first.path))} = {shown(Path(second.path))}"


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'} (equal pixels)"


def _relative(entry: BadFile, root: Path) -> BadFile:
    return BadFile(Path(entry.path).relative_to(root).as_posix(), entry.reason)


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first few of a list of names, with a count of the rest."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _quoted(names: Iterable[str]) -> str:
    """Class names in quotes, sorted, the first few."""
    return _some([f"'{shown(name)}'" for name in sorted(names)])
