"""Which files lie in a folder: hidden ones passed over, links that lead back not followed."""

import errno
import os
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitbench import files
from vitbench.data.decode import is_picture_name
from vitbench.data.outputs import is_hidden, output_in, output_of
from vitbench.errors import VitbenchError
from vitbench.files import printable
from vitbench.records import BadFile

HIDDEN = "hidden"
LINK_BACK = "link to a folder that is read anyway"


@dataclass
class Walk:
    """What a walk found, the files in no particular order."""

    pictures: list[Path] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """How often something was passed over, by reason."""
    unread: Counter[str] = field(default_factory=Counter)
    """Files that are not taken for pictures, by the ending of their names, "" for none."""
    examples: dict[str, Path] = field(default_factory=dict)
    """The first file of each such ending."""
    unusable: list[BadFile] = field(default_factory=list)
    """Folders that may not be read, links to nowhere, picture names that are no files; paths in full."""
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that would be taken but for what they are, and that in words."""

    def left_out_note(self, root: Path) -> str:
        """`left_out` in one line: "left out: results/ (a benchmark of vitbench)"."""
        places = [f"{printable(path.relative_to(root).as_posix())}/ ({what})" for path, what in self.left_out]
        return f"left out: {some(sorted(places))}"

    def add(self, beside: "Walk") -> None:
        """Count what another walk passed over too."""
        self.ignored.update(beside.ignored)
        self.unread.update(beside.unread)
        self.examples = {**beside.examples, **self.examples}
        self.left_out += beside.left_out


def class_name(folder: Path) -> str:
    """The class that a folder stands for: its name in Unicode NFC, bytes that are no UTF-8 spelled out."""
    return unicodedata.normalize("NFC", files.readable(folder.name))


def folders_in(folder: Path, found: Walk) -> list[Path]:
    """The folders in `folder`, sorted by name; hidden ones, outputs and loose files are noted in `found`.

    Raises `VitbenchError` for a link to nowhere, and for a folder that DVC has not fetched: a class or a part
    of the split would be missing.
    """
    folders = []
    try:
        entries = _entries(folder)
    except OSError as error:
        raise VitbenchError(
            f"{printable(folder)}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    for entry in entries:
        path = folder / entry.name
        if is_hidden(entry.name):
            found.ignored[HIDDEN] += 1
        elif is_folder(entry):
            if what := output_in(path):
                found.left_out.append((path, what))
            else:
                folders.append(path)
        elif is_picture_name(entry.name):
            found.ignored["picture in no class folder"] += 1
        elif _leads_nowhere(entry, loops=True):
            raise VitbenchError(
                f"{printable(path)}: a link to {printable(_target(path))}, which is not there or cannot be "
                "read; mount or fetch what it stands for, or remove the link"
            )
        elif path.suffix == ".dvc" and not path.with_suffix("").suffix:
            _refuse_not_pulled(path)
        else:
            _note_unread(path, found)
    return folders


def _refuse_not_pulled(pointer: Path) -> None:
    """Raise for what DVC keeps in place of a folder that is not there: a class would be missing."""
    if not pointer.with_suffix("").exists():
        raise VitbenchError(
            f"{printable(pointer)}: stands for {printable(pointer.stem)}/, which is not there; fetch it "
            "(dvc pull) or remove the file"
        )


def walk(folder: Path, found: Walk, roots: Iterable[Path] = ()) -> None:
    """Collect into `found` the pictures in `folder` and, however deep, its sub-folders.

    A link to a folder is followed only where it leads out: not to `folder`, one of `roots` (what is
    walked anyway), anything above or below them, nor twice to the same place. Folders that a program has
    made its own (`data.outputs`) are left out.
    """
    walked = {Path(os.path.realpath(path)) for path in (folder, *roots)}
    visited: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        visited.add(Path(os.path.realpath(current)))
        try:
            entries = _entries(current)
        except OSError as error:
            found.unusable.append(BadFile(str(current), f"folder cannot be read ({error.strerror})"))
            continue
        if current != folder and (what := output_of(current, {entry.name for entry in entries})):
            found.left_out.append((current, what))
            continue
        for entry in entries:
            path = current / entry.name
            if is_hidden(entry.name):
                found.ignored[HIDDEN] += 1
            elif not is_folder(entry):
                _take_file(path, entry, found)
            elif entry.is_symlink() and leads_back(path, walked, visited):
                found.ignored[LINK_BACK] += 1
            else:
                waiting.append(path)


def leads_back(link: Path, walked: Iterable[Path], visited: Container[Path] = ()) -> bool:
    """True where a link's target is in or above a folder of `walked`, or was visited."""
    target = Path(os.path.realpath(link))
    return target in visited or any(
        target.is_relative_to(place) or place.is_relative_to(target) for place in walked
    )


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of a list of names, with a count of the rest."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder and a link to one; False where a link leads in a circle or may not be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads_nowhere(entry: os.DirEntry[str], loops: bool) -> bool:
    """True for a link whose target is not there or cannot be reached; with `loops`, in a circle too."""
    if not entry.is_symlink():
        return False
    try:
        entry.stat()
    except OSError as error:
        return loops or error.errno != errno.ELOOP
    return False


def _target(link: Path) -> str:
    return os.readlink(link)  # noqa: PTH115 (Path's own tidies it)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _take_file(path: Path, entry: os.DirEntry[str], found: Walk) -> None:
    if not is_picture_name(entry.name):
        if _leads_nowhere(entry, loops=False):  # a circle hides no picture
            reason = f"link to {printable(_target(path))}, which is not there"
            found.unusable.append(BadFile(str(path), reason))
        else:
            _note_unread(path, found)
    elif _is_file(entry):
        found.pictures.append(path)
    else:
        reason = "link to a file that is not there" if entry.is_symlink() else "not a regular file"
        found.unusable.append(BadFile(str(path), reason))


def _note_unread(path: Path, found: Walk) -> None:
    """Count a file that is no picture by its name."""
    suffix = printable(path.suffix.lower())
    found.unread[suffix] += 1
    found.examples.setdefault(suffix, path)
