"""Folders that a command writes: whole or not there, and never over something else."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitbench import files
from vitbench.errors import UsageError, VitbenchError
from vitbench.files import printable


@contextmanager
def new_folder(out: Path, apart_from: Path | None = None) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when the block ends well, and vanishes otherwise.

    Raises `UsageError` where `out` holds something, or lies in the input folder `apart_from`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{printable(out)}: not an empty folder; name a new one")
    if apart_from is not None and out.resolve().is_relative_to(apart_from.resolve()):
        raise UsageError(
            f"{printable(out)}: lies in the input folder; name one outside {printable(apart_from)}"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise VitbenchError(
            f"{printable(out)}: cannot be made ({error.strerror}); name another folder"
        ) from error
    try:
        made = temporary / "made"  # with the permissions that any new folder has
        made.mkdir()
        yield made
        files.replace_folder(made, out)
    except OSError as error:
        raise VitbenchError(
            f"{printable(out)}: not written ({error.strerror}); free some space or check it"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def distinct_name(name: str, taken: dict[str, int]) -> str:
    """`name`, or `name` with a number before its extension where it is taken (on any file system).

    `taken`: the last number of each name, kept here: of many equal names each is asked for once.
    """
    key = name.casefold()
    number, candidate = taken.get(key, 0), name
    if number:
        stem, suffix = Path(name).stem, Path(name).suffix
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}-{number}{suffix}"
    taken[key] = max(number, 1)
    taken.setdefault(candidate.casefold(), 1)
    return candidate
