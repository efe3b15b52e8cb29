"""What shape a folder has: class folders, or train/, val/ and test/ with class folders inside."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vitbench import files
from vitbench.data.decode import is_picture_name
from vitbench.data.kinds import what_was_found
from vitbench.data.outputs import NO_DATA, is_hidden, output_in
from vitbench.data.parts import ENGLISH, Family, families, holds_labels, is_split, part_of, says_nothing
from vitbench.data.walk import LINK_BACK, Walk, class_name, folders_in, is_folder, leads_back, some, walk
from vitbench.errors import ClassesError, VitbenchError
from vitbench.files import printable
from vitbench.records import Part
from vitbench.records.commands import command

Layout = Literal["auto", "flat", "split", "loose"]
Owner = tuple[Part | None, str, Path]
"""Part, class and path of a file."""

ONE_CLASS = "pictures"
"""The class of every picture of a loose folder."""

PARTS: tuple[Part, ...] = ("train", "val", "test")
TABLES = frozenset({".csv", ".tsv", ".xlsx", ".xls", ".jsonl", ".parquet"})
"""Files that labels come in elsewhere."""
OUR_TABLES = ("bad-files", "split.csv")
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
        near = files.near_path(root, folder=True)
        raise VitbenchError(f"{printable(root)}: no such folder{printable(near) or f'; {HOW_TO}'}")
    if not os.path.isdir(root):  # noqa: PTH112
        raise VitbenchError(f"{printable(root)}: a file, not a folder; {HOW_TO}")
    if (what := output_in(root)) in NO_DATA:
        raise VitbenchError(f"{printable(root)}: {what}, not a folder of pictures; {HOW_TO}")
    shape = _shape_of(root, layout, found)
    owners = _collect(shape, found)
    if found.left_out:
        shape.notes.append(found.left_out_note(root))
    return shape, owners


def _shape_of(root: Path, layout: Layout, found: Walk) -> Shape:
    """Which folders are classes of which part."""
    beside = Walk()
    tops = _without_links_back(root, folders_in(root, beside), beside)
    known = _known_parts(tops)
    if layout == "loose":
        return _loose(root, tops, known, beside, found)
    found.add(beside)
    if not tops:
        raise ClassesError(_nothing_in(root, found))
    family = None if layout == "flat" else _split_among(root, tops, known, layout == "split")
    if family is not None:
        shape = _parts(root, tops, family, found)
    else:
        if layout != "flat":
            _refuse_parts_as_classes(root, tops, known)
        shape = Shape("flat", [(None, class_name(top), top) for top in tops], [root])
    _refuse_equal_names(root, shape)
    _refuse_one_folder(root, shape)
    if layout == "auto":
        _refuse_split_in_classes(root, shape)
        _refuse_labels_as_classes(root, shape)
        shape.notes += _same_inside(shape)
    return shape


def _nothing_in(root: Path, found: Walk) -> str:
    """What is said of a folder without folders."""
    loose = found.ignored["picture in no class folder"]
    what = f"{loose} pictures but no class folders" if loose else "no class folders in it"
    if found.left_out:
        what += f" but {printable(found.left_out[0][0].name)}/ ({found.left_out[0][1]})"
    what += what_was_found(found)
    unread = f"; to learn from them without classes: `{command('pretrain', root)}`" if loose else ""
    return f"{printable(root)}: {what}{_tables_in(root)}; {HOW_TO}{unread}"


# --- parts ----------------------------------------------------------------------------------------


def _known_parts(tops: Sequence[Path]) -> dict[str, Family]:
    """`families`; where none is a split, the one that train_aug/ and test_clean/ with classes inside make."""
    known = families(tops)
    if any(map(is_split, known.values())):
        return known
    mixed: Family = {}
    for family in known.values():
        for part, folders in family.items():
            mixed.setdefault(part, []).extend(filter(holds_classes, folders))
    mixed = {part: folders for part, folders in mixed.items() if folders}
    beside = any(part_of(top.name) is None and holds_pictures(top) for top in tops)
    clear = is_split(mixed) and all(len(folders) == 1 for folders in mixed.values()) and not beside
    return {"": mixed} if clear else known


def _split_among(root: Path, tops: Sequence[Path], known: Mapping[str, Family], asked: bool) -> Family | None:
    """The folders that are train/, val/ and test/ with class folders inside; None where there are none.

    `asked`: the user says that it is a split. Raises where the names can be meant both ways.
    """
    plain = known.get("", {})
    if any(holds_classes(folder) for folder in plain.get("train", ())):
        beside = [top for top in tops if part_of(top.name) is None and holds_pictures(top)]
        if len(plain) == 1 and len(beside) > 1 and not asked:
            train = _names(plain["train"])
            raise VitbenchError(
                f"{printable(root)}: {train} beside {_names(beside)} can be a class or the part that is "
                f"trained on; --layout flat takes all of them as classes, "
                f"--layout split only what is in {train}"
            )
        return plain
    others = [family for rest, family in known.items() if rest and is_split(family)]
    others = [family for family in others if any(map(holds_classes, family["train"]))]
    if len(others) == 1:
        return others[0]
    if others:
        trains = _names([folder for family in others for folder in family["train"]])
        raise VitbenchError(
            f"{printable(root)}: {trains} are of {len(others)} different splits; give each a folder of "
            "its own, or pass --layout flat if these are class names"
        )
    if asked:
        raise ClassesError(
            f"{printable(root)}: no train/ with class folders inside{_tables_in(root)}; {HOW_TO}"
        )
    return None


def _refuse_parts_as_classes(root: Path, tops: Sequence[Path], known: Mapping[str, Family]) -> None:
    """Raise where folders would become classes whose names say that they are parts of a split.

    One folder called train among others is a class, for trains are photographed.
    """
    plain = known.get("", {})
    several = {rest: family for rest, family in known.items() if len(family) > 1}
    named = [f for family in several.values() for folders in family.values() for f in folders]
    named += [f for part, folders in plain.items() if part != "train" for f in folders if f not in named]
    only = [f for folders in plain.values() for f in folders]
    if len(only) == len(tops) and not named:
        named = only  # train/ alone
    if not named:
        return
    named.sort()
    names = _names(named)
    flat = "pass --layout flat if these are class names"
    if all(map(holds_classes, named)):
        raise VitbenchError(
            f"{printable(root)}: {names} without train/; add train/ with class folders, or {flat}"
        )
    if any(holds_pictures(top) for top in tops if top not in named):
        raise VitbenchError(
            f"{printable(root)}: {names} among class folders can be a class or a part of a split; {flat}, "
            "put the class folders into train/ and those of the other parts beside it, or move it away"
        )
    bare = _names([folder for folder in named if not holds_classes(folder)])
    raise ClassesError(
        f"{printable(root)}: pictures lie in {bare} without class folders{_tables_in(root)}; put them into a "
        f"folder per class (train/cat/, train/dog/, …), or {flat}"
    )


def _parts(root: Path, tops: Sequence[Path], family: Family, found: Walk) -> Shape:
    """The class folders in each part of a split."""
    taken = [folder for folders in family.values() for folder in folders]
    shape, places = Shape("split", walked=taken), []
    for part in (part for part in PARTS if part in family):
        several = family[part]
        if len(several) > 1:
            both = f"{printable(several[0].name)}/ and {printable(several[1].name)}/"
            raise VitbenchError(f"{printable(root)}: {both} both mean {part}; keep one of them")
        place = _class_root(several[0])
        classes = _without_links_back(place, folders_in(place, found), found)
        if classes or part == "train":
            places.append((place, part))
        else:
            name = printable(place.relative_to(root).as_posix())
            shape.notes.append(f"{name}/ has no class folders, so it cannot be scored: left out")
        shape.folders += [(part, class_name(path), path) for path in classes]
    if not any(part == "train" for part, _, _ in shape.folders):
        raise ClassesError(f"{printable(root)}: no train/ with class folders inside; {HOW_TO}")
    shape.notes += _notes_on_parts(root, tops, taken, places)
    return shape


def _notes_on_parts(
    root: Path, tops: Sequence[Path], taken: Sequence[Path], places: Sequence[tuple[Path, Part | None]]
) -> list[str]:
    """What is left out beside the parts, and which folders are parts that are called otherwise."""
    notes = []
    names = [(printable(place.relative_to(root).as_posix()), part) for place, part in places]
    if read := [f"{name}/ as {part}/" for name, part in names if name.lower() not in ENGLISH]:
        notes.append(f"read as a split: {', '.join(read)} (--layout flat takes each folder as a class)")
    if others := [printable(top.name) for top in tops if top not in taken]:
        notes.append(f"left out beside train/: {some(others)}")
    return notes


def _class_root(part: Path) -> Path:
    """Where a part's class folders lie: in it, or in train/images/ or train/train/ where that is all."""
    place = part
    while True:
        inside = _folders(place)
        if len(inside) != 1 or holds_pictures(place):
            return place
        name = inside[0].name
        if name != part.name and not says_nothing(name) and part_of(name) != part_of(part.name):
            return place
        place = inside[0]


def _loose(root: Path, tops: Sequence[Path], known: Mapping[str, Family], beside: Walk, found: Walk) -> Shape:
    """The whole folder, or its train/, val/ and test/ as wholes, as one class."""
    plain = known.get("", {})
    chosen = [plain] if is_split(plain) else [family for family in known.values() if is_split(family)]
    if "train" in plain and not any(part_of(top.name) is None and holds_pictures(top) for top in tops):
        chosen = [plain]
    if not chosen:
        return Shape("loose", [(None, ONE_CLASS, root)], [root])
    found.add(beside)
    parts: list[tuple[Part | None, str, Path]] = [
        (part, ONE_CLASS, folder) for family in chosen for part in family for folder in family[part]
    ]
    shape = Shape("loose", parts, [folder for _, _, folder in parts])
    shape.notes += _notes_on_parts(root, tops, shape.walked, [(folder, part) for part, _, folder in parts])
    return shape


def _refuse_one_folder(root: Path, shape: Shape) -> None:
    """Raise, naming the place, where all class folders lie in the only folder that is there."""
    main = main_part(shape)
    tops = [path for part, _, path in shape.folders if part == main]
    if len(tops) != 1:
        return
    place, inside = tops[0], _folders(tops[0])
    while len(inside) == 1 and not holds_pictures(place):
        place, inside = inside[0], _folders(inside[0])
    if len(inside) < 2 or holds_pictures(place):
        return
    mend = "move them up into train/" if main else f"name that folder, as in {_command(place)}"
    kind = VitbenchError if is_split(families(inside).get("", {})) else ClassesError
    raise kind(f"{printable(root)}: one folder too many, {_names(inside)} lie in {printable(place)}; {mend}")


def _refuse_split_in_classes(root: Path, shape: Shape) -> None:
    """Raise where class folders hold, or are, train/ and test/: their pictures would be mixed."""
    tops = [path for _, _, path in shape.folders]
    places = dict.fromkeys([*(top.parent for top in tops), *tops]) if shape.layout == "split" else tops
    splits = {path: families(_folders(path)).get("", {}) for path in places if path != root}
    holding = [path for path, family in splits.items() if is_split(family)]
    if not holding:
        return
    parts = _names(sorted(folder for folders in splits[holding[0]].values() for folder in folders))
    raise VitbenchError(
        f"{printable(root)}: {parts} lie in {_names(holding)}, one folder too deep; name that folder, as in "
        f"{_command(holding[0])}, put the parts first where it is a class "
        f"(train/{printable(holding[0].name)}/, …), or pass --layout flat to mix them"
    )


def _refuse_labels_as_classes(root: Path, shape: Shape) -> None:
    """Raise where images/ and masks/, or images/ and labels/, would be told apart as two classes."""
    tops = [path for part, _, path in shape.folders if part == main_part(shape)]
    pictures, labels = ([top for top in tops if means(top.name)] for means in (says_nothing, holds_labels))
    if pictures and labels and len(tops) == len(pictures) + len(labels):
        raise VitbenchError(
            f"{printable(root)}: {_names(pictures)} and {_names(labels)} seem to be pictures and their "
            "labels, which are not read; put the pictures into a folder per class, or pass --layout flat if "
            "these are class names"
        )


def _same_inside(shape: Shape) -> list[str]:
    """A note where every class folder holds the same folders and no picture: they may be the classes."""
    tops = [path for _, _, path in shape.folders] if shape.layout == "flat" else []
    inside = [_folders(top) for top in tops]
    names = {frozenset(folder.name for folder in folders) for folders in inside}
    if len(tops) < 2 or len(names) > 1 or len(inside[0]) < 2 or any(map(holds_pictures, tops)):
        return []
    return [
        f"each of {_names(tops)} holds the same folders, {_names(inside[0])}: if these are the classes, and "
        "the others parts, call the others train/, val/ and test/"
    ]


# --- looking into folders -------------------------------------------------------------------------


def holds_classes(folder: Path) -> bool:
    """True where folders lie in a folder that are no program's output."""
    return any(not output_in(path) for path in _folders(folder))


def holds_pictures(folder: Path) -> bool:
    """True where pictures lie directly in a folder."""
    with _looking(folder) as entries:
        return any(is_picture_name(entry.name) and not is_hidden(entry.name) for entry in entries)


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, but hidden ones."""
    with _looking(folder) as entries:
        return sorted(folder / e.name for e in entries if not is_hidden(e.name) and is_folder(e))


@contextlib.contextmanager
def _looking(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            yield entries
    except OSError as error:
        raise VitbenchError(
            f"{printable(folder)}: cannot be read ({error.strerror}); check its permissions"
        ) from error


def _names(folders: Sequence[Path]) -> str:
    return some([f"{printable(folder.name)}/" for folder in folders])


def _command(folder: Path) -> str:
    return f"`vitbench data check {files.quoted(files.readable(str(folder)))}`"


def _tables_in(root: Path) -> str:
    """A word on tables beside the pictures, whose labels somebody may count on."""
    found = [path.name for path in root.iterdir() if path.suffix.lower() in TABLES]
    tables = sorted(name for name in found if not name.startswith((".", *OUR_TABLES)))
    return f" (labels in {some([printable(name) for name in tables], 2)} are not read)" if tables else ""


# --- classes --------------------------------------------------------------------------------------


def _without_links_back(parent: Path, folders: Sequence[Path], found: Walk) -> list[Path]:
    """`folders` of `parent` less the links to a neighbour or to something above."""
    places = [Path(os.path.realpath(parent))]
    kept = [f for f in folders if not (f.is_symlink() and leads_back(f, places))]
    if len(kept) < len(folders):
        found.ignored[LINK_BACK] += len(folders) - len(kept)
        found.left_out += [(f, f"a {LINK_BACK}") for f in folders if f not in kept]
    return kept


def main_part(shape: Shape) -> Part | None:
    """The part whose class folders are the classes."""
    return "train" if shape.layout == "split" else None


def _refuse_equal_names(root: Path, shape: Shape) -> None:
    """Raise where two class folders of one part have names that differ only in their Unicode form."""
    counts = Counter((part, label) for part, label, _ in shape.folders)
    for (part, label), count in counts.items():
        if count > 1:
            where = f"{part}/" if part else "the folder"
            raise ClassesError(
                f"{printable(root)}: {count} class folders in {where} are both named '{printable(label)}' "
                "(their Unicode forms differ); merge or rename them"
            )


def _collect(shape: Shape, found: Walk) -> list[Owner]:
    """(part, class, file) of every file that looks like a picture."""
    owners: list[Owner] = []
    for part, label, folder in shape.folders:
        before = len(found.pictures)
        walk(folder, found, shape.walked)
        owners += [(part, label, path) for path in found.pictures[before:]]
    return owners


def quoted(names: Iterable[str]) -> str:
    """Class names in quotes, sorted, the first few."""
    return some([f"'{printable(name)}'" for name in sorted(names)])
