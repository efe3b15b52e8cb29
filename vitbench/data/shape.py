"""What shape a folder has: class folders, or train/, val/ and test/ with class folders inside."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
from vitbench.errors import ClassesError, VitbenchError
from vitbench.records import Part, Picture

Layout = Literal["auto", "flat", "split", "loose"]
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


@dataclass
class Shape:
    """The class folders found, before any picture is opened."""

    layout: Literal["flat", "split", "loose"]
    folders: list[tuple[Part | None, str, Path]] = field(default_factory=list)
    """(part, class, folder)"""
    walked: list[Path] = field(default_factory=list)
    """Folders that are read as wholes: links into them lead back."""
    notes: list[str] = field(default_factory=list)


def survey(root: Path, layout: Layout, found: Walk) -> tuple[Shape, list[Owner]]:
    """The class folders of `root` and the picture files in them."""
    if not os.path.exists(root):  # noqa: PTH110  (Path's own raises for a name that is too long)
        raise VitbenchError(f"{shown(root)}: no such folder; {HOW_TO}")
    if not os.path.isdir(root):  # noqa: PTH112
        raise VitbenchError(f"{shown(root)}: a file, not a folder; {HOW_TO}")
    plan = _plan_folders(root, layout, found)
    return plan, _collect(plan, found)


def _plan_folders(root: Path, layout: Layout, found: Walk) -> Shape:
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
        plan = Shape("flat", [(None, class_name(top), top) for top in tops], [root])
    else:
        plan = _plan_parts(root, parts, found)
        others = [shown(Path(top.name)) for top in tops if top not in parts]
        if others:
            plan.notes.append(f"left out beside train/: {some(others)}")
    _refuse_equal_names(root, plan)
    return plan


def _plan_loose(root: Path, found: Walk) -> Shape:
    """The whole folder, or its train/, val/ and test/ as wholes, as one class."""
    beside = Walk()
    tops = _without_links_back(root, folders_in(root, beside), beside)
    parts = [(PART_NAMES[top.name.lower()], ONE_CLASS, top) for top in tops if top.name.lower() in PART_NAMES]
    if not any(part == "train" for part, _, _ in parts):
        return Shape("loose", [(None, ONE_CLASS, root)], [root])
    found.ignored.update(beside.ignored)
    taken = [folder for _, _, folder in parts]
    others = [shown(Path(top.name)) for top in tops if top not in taken]
    notes = [f"left out beside train/: {some(others)}"] if others else []
    return Shape("loose", [*parts], taken, notes)


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
            f"{shown(root)}: {some([shown(p.name) + '/' for p in parts])} without train/; add train/ with "
            "class folders, or pass --layout flat if these are class names"
        )
    return False


def _plan_parts(root: Path, parts: Sequence[Path], found: Walk) -> Shape:
    plan = Shape("split", walked=list(parts))
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


def _refuse_equal_names(root: Path, plan: Shape) -> None:
    """Raise where two class folders of one part have names that differ only in their Unicode form."""
    counts = Counter((part, label) for part, label, _ in plan.folders)
    for (part, label), count in counts.items():
        if count > 1:
            where = f"{part}/" if part else "the folder"
            raise ClassesError(
                f"{shown(root)}: {count} class folders in {where} are both named '{shown(label)}' (their "
                "Unicode forms differ); merge or rename them"
            )


def _collect(plan: Shape, found: Walk) -> list[Owner]:
    """(part, class, file) of every file that looks like a picture."""
    owners: list[Owner] = []
    for part, label, folder in plan.folders:
        before = len(found.pictures)
        walk(folder, found, plan.walked)
        owners += [(part, label, path) for path in found.pictures[before:]]
    return owners


def check_classes(root: Path, plan: Shape, pictures: Sequence[Picture]) -> list[str]:
    """Notes on classes that val or test lack; raises where the classes cannot be trained or scored."""
    if plan.layout == "loose":
        return []
    main: Part | None = "train" if plan.layout == "split" else None
    classes = {label for part, label, _ in plan.folders if part == main}
    where = f"{shown(root)}{'/train' if main else ''}"
    empty = classes - {p.label for p in pictures if p.part == main}
    if empty:
        raise ClassesError(
            f"{where}: no readable picture of class {quoted(empty)}; add some or remove the folder"
        )
    if len(classes) < 2:
        raise ClassesError(f"{where}: only class {quoted(classes)}; a comparison needs two or more")
    notes: list[str] = []
    given: list[Part] = ["val", "test"]
    for part in given:
        have = {p.label for p in pictures if p.part == part}
        if have - classes:
            raise ClassesError(
                f"{shown(root)}/{part}: class {quoted(have - classes)} is not in train/; "
                "add it there or remove it here"
            )
        if have and classes - have:
            notes.append(f"{part}/ lacks class {quoted(classes - have)}")
        elif not have and any(folder_part == part for folder_part, _, _ in plan.folders):
            notes.append(f"{part}/ holds no pictures: left out")
    return notes


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of a list of names, with a count of the rest."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def quoted(names: Iterable[str]) -> str:
    """Class names in quotes, sorted, the first few."""
    return some([f"'{shown(name)}'" for name in sorted(names)])
