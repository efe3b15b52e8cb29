"""Files that are whole or not there: atomic writes, digests, and the CSV dialect of every table.

Atomic means: temporary file in the same folder, flush, fsync, `os.replace`, fsync of the folder.
A reader therefore sees the old file or the new one, never half of either. The one exception are files
that only grow (`append_row`): there each line is whole or passed over.
"""

import codecs
import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitbench.errors import VitbenchError, did_you_mean

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
"""A spreadsheet would run text cells that begin so; `'` itself is here to keep the escape reversible."""

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)


_FAULTS = {
    "ENOSPC": "no space left on its disk; make room",
    "EDQUOT": "the disk quota is used up; make room",
    "EFBIG": "a file may not become that large here; raise the limit (ulimit -f)",
    "EROFS": "its file system is read-only; make it writable or choose another --results",
    "EACCES": "permission denied; change the permissions or choose another --results",
    "EPERM": "permission denied; change the permissions or choose another --results",
    "EMFILE": "too many open files; raise the limit (ulimit -n) or take fewer --workers",
    "ENFILE": "too many open files on this machine; close other programs",
    "EIO": "input/output error; have a look at its disk",
    "ESTALE": "its network drive has gone away; mount it again",
    "ENOTCONN": "its network drive has gone away; mount it again",
}


def fault_line(error: OSError) -> str:
    """What the system refused, where, and what to do about it, in one line; "" for an error of ours."""
    reason = _FAULTS.get(errno.errorcode.get(error.errno or 0, ""), "")
    return f"{error.filename or 'a file'}: {reason}" if reason else ""


_UNSEEN = re.compile(r"\.tmp$|(^|[/\\])\.[^/\\]+\.new([/\\]|$)")
"""Names of files and folders that are written for a moment only (`write_bytes`, `whole_folder`)."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system refuses inside carries `path`, unless it names a file that the user knows."""
    try:
        yield
    except OSError as error:
        if error.filename is None or _UNSEEN.search(str(error.filename)):
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically and durably; the folder must exist."""
    with naming(path):
        with _beside(path, content) as temporary:
            os.replace(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _beside(path: Path, content: bytes) -> Iterator[str]:
    """A durable file with `content` in the folder of `path`, to be renamed; gone afterwards if it was not."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        follow_umask(Path(temporary))
        yield temporary
    finally:
        Path(temporary).unlink(missing_ok=True)


def follow_umask(path: Path) -> None:
    """Whoever may read new files of this user may read this one: a temporary file is its owner's alone."""
    path.chmod(0o666 & ~_UMASK)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of a file name that are not UTF-8 come out as `\\xNN`."""
    write_bytes(path, readable(text).encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, which `read_json` gives back; non-ASCII stays readable.

    Bytes of a file name that are not UTF-8 are escapes of JSON, `\\udcNN`.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    write_text(path, _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def json_text(value: Any) -> str:
    """Indented JSON of dicts, lists and scalars; text that is not UTF-8 is spelled `\\\\xNN` in it."""
    return json.dumps(_readable_values(value), indent=2, ensure_ascii=False, default=str)


def read_json(path: Path) -> Any:
    """The JSON value in `path`; VitbenchError where the file is not JSON, OSError where it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one too
        raise VitbenchError(
            f"{path}: damaged, not JSON ({error}); restore it or remove its folder"
        ) from error


def text_of(path: Path) -> str:
    """The text of a user's file, in UTF-8 or as its byte order mark says, the ends of its lines as they are.

    OSError where it cannot be read, UnicodeDecodeError where it is no such text.
    """
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV table with a header line; None is an empty cell, floats keep every digit (`repr`).

    Text cells and column names that a spreadsheet would run as a formula get a leading `'`, bytes of a file
    name that are not UTF-8 are spelled (`spelled`); `read_csv` takes both back.
    """
    return csv_of(columns, ([row.get(column) for column in columns] for row in rows))


def csv_of(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """`csv_text` of rows whose cells stand in the order of the columns."""
    return "".join([_line(columns), *(_line(row) for row in rows)])


def _line(cells: Iterable[Any]) -> str:
    """One line of a table; cells with any end of a line in them are quoted."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([_escape(cell) for cell in cells])
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `csv_text` to `path` atomically."""
    write_text(path, csv_text(columns, rows))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV written by `write_csv`, as text, its escapes undone."""
    lines = read_rows(path)
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]] if lines else []


def read_rows(path: Path) -> list[list[str]]:
    """The cells of such a table, its header first; ValueError where a row has more or fewer than that."""
    lines = [[_unescape(cell) for cell in line] for line in csv_rows(path.read_bytes().decode("utf-8"))]
    if any(len(line) != len(lines[0]) for line in lines):
        raise ValueError(f"{path}: a row has not as many cells as the header")
    return lines


def csv_rows(text: str) -> list[list[str]]:
    """The cells of a CSV table as they stand in it; ends of lines in quotes are part of their cell."""
    return list(csv.reader(io.StringIO(text, newline="")))


def cells(name: str) -> set[str]:
    """What a name looks like in a table: as it is, and as `csv_text` writes it."""
    return {name, readable(name), _escape(name)}


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Add one durable line to a CSV that only grows; the file begins with its header.

    One write at the end of the file: several processes may append at once, where the system keeps such
    writes apart (POSIX; not Windows, not NFS). Cells hold no line breaks. Raises OSError where it
    cannot be written.
    """
    header, line = csv_text(columns, [row]).encode().splitlines(keepends=True)
    with naming(path):
        if not path.exists():
            _begin(path, header)
        _append(path, columns, line)


def _append(path: Path, columns: Sequence[str], line: bytes) -> None:
    # Too many cells make sure that what a power cut left of a line is never taken for a whole one.
    content = b"," * len(columns) + b"\n" + line if _torn(path) else line
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    try:
        if os.write(handle, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)


def _torn(path: Path) -> bool:
    """The last line has no end, and nobody is about to write it."""
    for _ in range(5):
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
            if stream.read()[-1:] in (b"", b"\n"):
                return False
        time.sleep(0.02)  # another process's line may be seen half-way where it crosses a page
    return True


def _begin(path: Path, header: bytes) -> None:
    """Make `path` with its header, unless another process was faster: then that file stays."""
    with _beside(path, header) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links, such as exFAT
            os.replace(temporary, path)
    sync_folder(path.parent)


def appended_rows(path: Path) -> list[dict[str, str]]:
    """The whole lines of a CSV written by `append_row`, as text; [] where there is no file.

    What a power cut left of a line is passed over.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    columns, *found = [_cells(line.decode("utf-8", "replace")) for line in lines] or [[]]
    return [dict(zip(columns, row, strict=True)) for row in found if len(row) == len(columns)]


def _cells(line: str) -> list[str]:
    try:
        return [_unescape(cell) for cell in next(csv.reader([line]), [])]
    except csv.Error:  # bytes that a power cut left
        return []


def readable(text: str) -> str:
    """`text` with the bytes that are not UTF-8 (surrogate escapes in file names) spelled `\\xNN`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate, as Windows file names may hold
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Marks that turn the text behind them round: "photo_gpj.exe" would read as a picture."""


def printable(path: Path | str) -> str:
    """A path or name for a message: one line, control characters spelled out, so no terminal obeys."""
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(c) in TURNS
        else c
        for c in readable(str(path))
    )


def quoted(word: Path | str) -> str:
    """A word of a command to be printed and pasted; control characters stand spelled out, as $'a\\u000a'."""
    text = str(word)
    if all(printable(c) == readable(c) for c in text):
        return shlex.quote(text)
    escaped = {"\\": "\\\\", "'": "\\'"}
    inside = (f"\\u{ord(c):04x}" if printable(c) != readable(c) else escaped.get(c, c) for c in text)
    return f"$'{''.join(inside)}'"


_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTES = re.compile(r"\\x([0-9a-f]{2})")


def spelled(text: str) -> str:
    """`readable`, from which `named` gets the name back: what looks like such a byte is spelled too."""
    return readable(_BYTES.sub(r"\\x5cx\1", text))


def named(text: str) -> str:
    """The name that `spelled` made a text of."""

    def one(found: re.Match[str]) -> str:
        byte = int(found[1], 16)
        return "\\" if byte == 0x5C else chr(0xDC00 + byte) if byte >= 0x80 else found[0]

    return _BYTES.sub(one, text)


def is_there(path: Path) -> bool:
    """Whether a path exists; False, and no error, for names that are too long or cannot be looked at."""
    try:
        return path.exists()
    except OSError:
        return False


def near_path(path: Path, *, folder: bool = False) -> str:
    """ "; did you mean photos?", where something of nearly that name lies there (`folder`: a folder)."""
    try:
        there = [one.name for one in path.parent.iterdir() if one.is_dir() or not folder]
    except OSError:
        return ""
    near = did_you_mean(path.name, there)
    return near.replace("did you mean ", f"did you mean {path.parent}/") if path.parent != Path() else near


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


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `place` at the end, or goes where that fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        replace_folder(temporary, place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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
    text = spelled(str(cell))
    return "'" + text if isinstance(cell, str) and text.startswith(FORMULA_STARTS) else text


def _unescape(cell: str) -> str:
    return named(cell.removeprefix("'"))
