"""What the check of a file taught, remembered, so that an unchanged folder is not decoded again.

One SQLite file in the cache folder. A file counts as unchanged where its absolute path, size, times of
modification and of change, and inode are those of the time when it was read: what make and git go by. As in
git, a file that changed shortly before it was read is not remembered, for it could change again within one
tick of the clock. Nothing here is ever an error: a database that is damaged, locked or not to be had is
passed over, and the pictures are decoded. Training still compares the sha256 of every file that it reads.
"""

import hashlib
import json
import os
import sqlite3
import struct
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from PIL import features

from vitbench.data.cache import cache_folder
from vitbench.data.duplicates.descriptors import COLOUR_SIDE, SIDE, Descriptor
from vitbench.data.duplicates.near import Match, Search
from vitbench.records import PixelRange
from vitbench.records.pictures import Several

RACY_SECONDS = 2.0
"""A file that changed so shortly before it was read is not remembered: FAT's clock ticks every two."""
BATCH = 2000
"""Files that are written at once."""
MOST_BYTES = 4 << 30
"""A larger database is begun anew; a picture takes about 3 KB."""
OLD_SECONDS = 30 * 86400
"""A database of another version is removed when it was not used for so long."""
WAIT_SECONDS = 5.0
"""For another process that writes."""
DECIDING = (
    "data/decode.py",
    "data/depth.py",
    "data/formats.py",
    "data/pages.py",
    "data/scan_cache.py",
    "data/duplicates/descriptors.py",
    "data/duplicates/near.py",
    "data/duplicates/align.py",
    "records/buckets.py",
)
"""Modules of the package that decide what is remembered; a change in one of them forgets everything."""

SCHEMA = """
create table if not exists files
    (folder blob, name blob, value blob, primary key (folder, name)) without rowid;
create table if not exists descriptors (pixels blob primary key, value blob);
create table if not exists searches (pictures blob primary key, value blob);
"""
_ROW = struct.Struct("<4q2I32s32s32s4dB")
SEVERAL: tuple[Several, ...] = get_args(Several)
NO_RANGE = (0.0, 0.0)
"""Stands for a range that is not there: one that is meant has two ends."""

Stamp = tuple[int, int, int, int]
"""Size, times of modification and change in ns, inode."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the check of one file taught."""

    sha256: str = ""
    pixels: str = ""
    """Digest of the decoded pixels."""
    width: int = 0
    height: int = 0
    fingerprint: bytes = b""
    """See `data.duplicates.descriptors.fingerprint`."""
    held: PixelRange | None = None
    """Least and largest value of a picture of more than 8 bits."""
    shown: PixelRange | None = None
    """What became black and white there, by which its digest and its descriptor are made."""
    several: Several = ""
    """Which of several pictures in its file it is."""
    reason: str = ""
    """Why it cannot be read; then the rest is empty."""
    lasting: bool = True
    """False for a reason that may go away while the file stays as it is, such as its permissions."""


def stamp_of(path: Path) -> Stamp | None:
    """A file's stamp; None where it cannot be had."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def settled(stamp: Stamp | None, read_at: float) -> bool:
    """True where a file last changed well before it was read (`time.time()`, s): see `RACY_SECONDS`."""
    return stamp is not None and max(stamp[1:3]) < (read_at - RACY_SECONDS) * 1e9


class ScanCache:
    """The database, or nothing at all where there is none to be had; for one thread."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._files: list[tuple[bytes, bytes, bytes]] = []
        self._descriptors: dict[bytes, bytes] = {}

    def find(self, paths: Sequence[Path]) -> list[Seen | None]:
        """What is known of files, in their order; None of one that is new or has changed."""
        found: list[Seen | None] = [None] * len(paths)
        folders: dict[str, list[int]] = defaultdict(list)
        for place, path in enumerate(paths):
            folders[os.path.dirname(path)].append(place)  # noqa: PTH120  (a third of the time of Path's own)
        for folder, places in folders.items():
            ask = "select name, value from files where folder = ?"
            rows: dict[bytes, bytes] = dict(self._ask(ask, (os.fsencode(os.path.abspath(folder)),)))  # noqa: PTH100
            for place in places if rows else ():
                if row := rows.get(_name(paths[place])):
                    found[place] = _seen(row, stamp_of(paths[place]))
        return found

    def descriptor(self, seen: Seen) -> Descriptor | None:
        """The descriptor of a picture; None where it is not there."""
        pixels = bytes.fromhex(seen.pixels)
        value = self._descriptors.get(pixels)
        if value is None:
            rows = self._ask("select value from descriptors where pixels = ?", (pixels,))
            value = rows[0][0] if rows else None
        return _descriptor(value, (seen.width, seen.height))

    def search(self, digests: Sequence[str]) -> Search | None:
        """What the search for near-copies among pictures, their sorted digests, found; None if not known."""
        for (value,) in self._ask("select value from searches where pictures = ?", (_digest(digests),)):
            if content := _checked(value):
                matches, plain = json.loads(content)
                return Search(tuple(Match(*match) for match in matches), plain, len(digests))
        return None

    def remember(self, path: Path, stamp: Stamp, seen: Seen, descriptor: Descriptor | None) -> bool:
        """Note what was learnt of a file, read when it had this stamp; False where nothing is kept."""
        if self._connection is None:
            return False
        folder, reason = os.path.abspath(path.parent), seen.reason.encode("utf-8", "surrogateescape")  # noqa: PTH100
        sha256, pixels = bytes.fromhex(seen.sha256), bytes.fromhex(seen.pixels)
        held, shown = (astuple(one) if one else NO_RANGE for one in (seen.held, seen.shown))
        also = (seen.fingerprint, *held, *shown, SEVERAL.index(seen.several))
        row = _ROW.pack(*stamp, seen.width, seen.height, sha256, pixels, *also) + reason
        self._files.append((os.fsencode(folder), _name(path), _with_check(row)))
        if descriptor is not None:
            self._descriptors[pixels] = _with_check(descriptor.luma + descriptor.chroma)
        if len(self._files) >= BATCH:
            self.flush()
        return True

    def remember_search(self, digests: Sequence[str], search: Search) -> None:
        """Note what a search found."""
        content = json.dumps([[astuple(match) for match in search.matches], search.plain]).encode()
        self._write(
            "insert or replace into searches values (?, ?)", [(_digest(digests), _with_check(content))]
        )

    def flush(self) -> None:
        """Write what was noted; a file never before its descriptor."""
        self._write("insert or ignore into descriptors values (?, ?)", list(self._descriptors.items()))
        self._write("insert or replace into files values (?, ?, ?)", self._files)
        self._files, self._descriptors = [], {}

    def count(self) -> int:
        """Files that something is known of."""
        return next((int(count) for (count,) in self._ask("select count(*) from files", ())), 0)

    def close(self) -> None:
        self.flush()
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()

    def _ask(self, question: str, values: tuple[bytes, ...]) -> list[Any]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _write(self, statement: str, rows: Sequence[tuple[bytes, ...]]) -> None:
        if self._connection is None or not rows:
            return
        try:
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without; a damaged database is removed, so that the next scan begins a new one."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        if _is_damage(error):
            with suppress(OSError):  # no file left to open
                _remove(database())


@contextmanager
def open_scan_cache(keep: bool = True) -> Iterator[ScanCache]:
    """The database of this version, written and closed at the end; without `keep` one that knows nothing."""
    known = ScanCache(_connect() if keep else None)
    try:
        yield known
    finally:
        known.close()


CODECS = ("pil", "jpg", "libjpeg_turbo", "webp", "libtiff", "avif")


def database() -> Path:
    """The file of what this version of the decoder and its libraries taught."""
    package = Path(__file__).parents[1]
    parts = [(package / name).read_bytes() for name in DECIDING]
    codecs = [str(features.version(name)) for name in CODECS]
    parts += [name.encode() for name in (*codecs, *map(_version, ("numpy", "pi_heif")), SCHEMA)]
    return cache_folder() / f"known-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}.sqlite"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _connect() -> sqlite3.Connection | None:
    try:
        path = database()
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS)
    except (OSError, sqlite3.Error):  # a folder that cannot be made or written, no file left to open
        return None
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")  # a power cut may lose what was noted last
        connection.executescript(SCHEMA)
    except sqlite3.Error as error:
        connection.close()
        if _is_damage(error):
            _remove(path)
        return None
    return connection


def _tidy(current: Path) -> None:
    """Remove the database where it has grown too large, and those of other versions that nobody uses."""
    for path in current.parent.glob("known-*.sqlite"):
        status = path.stat()
        old = path != current and time.time() - status.st_mtime > OLD_SECONDS
        if old or (path == current and status.st_size > MOST_BYTES):
            _remove(path)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{path}{end}").unlink(missing_ok=True)


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# --- values -----------------------------------------------------------------------------------------


def _name(path: Path) -> bytes:
    return os.fsencode(path.name)


def _seen(value: bytes | None, stamp: Stamp | None) -> Seen | None:
    row = _checked(value)
    if row is None or len(row) < _ROW.size:
        return None
    *was, width, height, sha256, pixels, fingerprint, low, high, black, white, several = _ROW.unpack_from(row)
    if tuple(was) != stamp:
        return None
    if len(row) > _ROW.size:
        return Seen(reason=row[_ROW.size :].decode("utf-8", "surrogateescape"))
    shown = PixelRange(black, white) if black < white else None
    held = PixelRange(low, high) if shown else None
    return Seen(sha256.hex(), pixels.hex(), width, height, fingerprint, held, shown, SEVERAL[several])


def _descriptor(value: bytes | None, size: tuple[int, int]) -> Descriptor | None:
    content = _checked(value)
    if content is None or len(content) != SIDE**2 + 2 * COLOUR_SIDE**2:
        return None
    return Descriptor(content[: SIDE**2], content[SIDE**2 :], size)


def _digest(digests: Sequence[str]) -> bytes:
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(digest.encode())
    return whole.digest()


def _with_check(content: bytes) -> bytes:
    """SQLite itself notices no flipped byte."""
    return zlib.crc32(content).to_bytes(4, "little") + content


def _checked(value: bytes | None) -> bytes | None:
    if not isinstance(value, bytes) or value[:4] != zlib.crc32(value[4:]).to_bytes(4, "little"):
        return None
    return value[4:]
