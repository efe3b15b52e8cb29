"""Files that are whole or not there: atomic writes, digests, and the CSV dialect of every table.

Atomic means: temporary file in the same folder, flush, fsync, `os.replace`, fsync of the folder.
A reader therefore sees the old file or the new one, never half of either.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitbench.errors import VitbenchError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
"""A spreadsheet would run text cells that begin so; `'` itself is here to keep the escape reversible."""

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically and durably; the folder must exist."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of a file name that are not UTF-8 come out as `\\xNN`."""
    write_bytes(path, readable(text).encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; non-ASCII stays readable."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Any) -> str:
    """Indented JSON of dicts, lists and scalars; text that is not UTF-8 is spelled `\\\\xNN` in it."""
    return json.dumps(_readable_values(value), indent=2, ensure_ascii=False, default=str)


def read_json(path: Path) -> Any:
    """The JSON value in `path`; VitbenchError where the file is not JSON, OSError where it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one too
        raise VitbenchError(
            f"{path}: damaged, not JSON ({error}); restore it or remove its folder"
        ) from error


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV table with a header line; None is an empty cell, floats keep every digit (`repr`).

    Text cells and column names that a spreadsheet would run as a formula get a leading `'`,
    which `read_csv` takes off again.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_escape(column) for column in columns])
    for row in rows:
        writer.writerow([_escape(row.get(column)) for column in columns])
    return buffer.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `csv_text` to `path` atomically."""
    write_text(path, csv_text(columns, rows))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV written by `write_csv`, as text, formula escapes undone."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = [[_unescape(cell) for cell in line] for line in csv.reader(stream)]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]] if lines else []


def readable(text: str) -> str:
    """`text` with the bytes that are not UTF-8 (surrogate escapes in file names) spelled `\\xNN`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate, as Windows file names may hold
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable, where the system can (Windows cannot open folders)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in the place of `final`; every file in it is made durable first.

    Folders cannot be swapped in one step everywhere: between the two renames `final` is absent,
    never half-made.
    """
    for path in sorted(temporary.rglob("*")):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    sync_folder(temporary)
    if final.exists():
        discarded = final.with_name(f".{final.name}.old")
        shutil.rmtree(discarded, ignore_errors=True)
        os.replace(final, discarded)
        os.replace(temporary, final)
        shutil.rmtree(discarded, ignore_errors=True)
    else:
        os.replace(temporary, final)
    sync_folder(final.parent)


def _readable_values(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {readable(str(key)): _readable_values(item) for key, item in value.items()}
    return [_readable_values(item) for item in value] if isinstance(value, list | tuple) else value


def _escape(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return repr(float(cell))
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return "'" + readable(cell)
    return readable(str(cell))


def _unescape(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell
