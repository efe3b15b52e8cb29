"""Files that cannot be read: the first ten in one line, all of them in a CSV where the user works."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vitbench import files
from vitbench.files import printable
from vitbench.records import BadFile

SHOWN_BAD = 10
LIST_NAME = "bad-files"
COLUMNS = ("path", "reason")


def bad_message(root: Path, bad: Sequence[BadFile], total: int) -> str:
    """One line on the files that cannot be read; of more than ten it names the CSV that holds them all."""
    named = [f"{printable(entry.path)} ({entry.reason})" for entry in bad[:SHOWN_BAD]]
    more = ""
    if len(bad) > SHOWN_BAD:
        listed = list_bad(root, bad)
        more = f", and {len(bad) - SHOWN_BAD} more" + (f" (all in {printable(listed)})" if listed else "")
    return (
        f"{printable(root)}: {len(bad)} of {total} files cannot be read: {', '.join(named)}{more}; "
        "mend or remove them, or leave them out with --skip-bad"
    )


def list_bad(root: Path, bad: Sequence[BadFile]) -> Path | None:
    """Write all bad files to `bad-files.csv` in the working folder; the file, or None where it can't be.

    Never into the pictures' own folder: from inside it, the system's folder for temporary files is taken.
    An older list of this kind is replaced, any other file left alone (`bad-files-2.csv`).
    """
    here = Path.cwd()
    places = [Path(tempfile.gettempdir())]
    if not here.is_relative_to(root.resolve()):
        places.insert(0, here)
    for place in places:
        try:
            path = _free_name(place)
            files.write_csv(path, COLUMNS, [{"path": entry.path, "reason": entry.reason} for entry in bad])
        except OSError:  # a folder that may not be written: the line itself still says the first ten
            continue
        return Path(path.name) if place == here else path
    return None


def _free_name(folder: Path) -> Path:
    path, number = folder / f"{LIST_NAME}.csv", 1
    while path.is_symlink() or (path.exists() and not _is_ours(path)):
        number += 1
        path = folder / f"{LIST_NAME}-{number}.csv"
    return path


def _is_ours(path: Path) -> bool:
    """A file that begins as `list_bad` begins it."""
    head = (",".join(COLUMNS) + "\n").encode()
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(head)) == head
