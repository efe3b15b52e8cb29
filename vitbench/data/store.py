"""The store: pictures decoded, upright and shrunk, kept for every epoch, model, seed, fold and benchmark.

A file per picture, named by the sha256 of the original's content, in a folder per way of making it. It is
written beside and renamed, so that neither a kill nor a second process leaves half of one, and carries a
checksum, for without an fsync a power cut can. Reading maps it into memory: the store may be larger than
RAM. A store only saves time: what is lacking, damaged or has no room is made again, and comes out the same.
"""

import contextlib
import functools
import math
import mmap
import os
import re
import shutil
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vitbench.data.cache import cache_folder

HEADER = struct.Struct("<8sIII")
"""Mark, width, height, CRC-32 of the pixels that follow: RGB, 8 bits each, row by row."""
MARK = b"vitbench"
HALF = ".vitbench-half-"
"""How the name of a file begins that is being written."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WAY = re.compile(r"(train|eval)-.*")
LIMIT_BYTES = 20_000_000_000
"""What a store may take, unless $VITBENCH_STORE_GB says otherwise."""
FREE_SHARE = 0.5
"""Of what is free on its disk, a store takes at most this."""
AFTERWARDS = 0.9
"""Of the limit, what is left when the oldest were thrown out."""


def store_folder() -> Path:
    """Where decoded pictures lie unless `--store-dir` names another folder."""
    return cache_folder() / "decoded"


def limit_bytes() -> int:
    """The largest size of a store, bytes; $VITBENCH_STORE_GB sets it (10⁹ bytes)."""
    asked = os.environ.get("VITBENCH_STORE_GB", "")
    try:
        return int(float(asked) * 1e9)
    except (ValueError, OverflowError):  # not a number, or an endless one
        return LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a store."""

    path: Path
    size: int
    """Bytes."""
    used: float
    """When a process last began to use it, seconds since 1970."""


class Store:
    """One store folder in one process; its methods may be called from any thread. "" keeps nothing."""

    def __init__(self, folder: str, sharers: int = 1, since: float = math.inf) -> None:
        """`sharers`: so many processes of one training write to it, and none takes all of the room at once.

        `since`: what was used later is never thrown out, for one of those may have done it (seconds since
        1970).
        """
        self.folder = Path(folder) if folder else None
        self._sharers, self._since = sharers, since
        self._trouble = ""
        self._said = False
        self._lock = threading.Lock()
        self._known: set[Path] = set()
        """What this process has checked or written: never thrown out by it."""
        self._room: int | None = None
        """Bytes that may still be written; None until somebody wants to write."""

    def picture(self, way: str, sha256: str, make: Callable[[], Image.Image]) -> Image.Image:
        """The RGB picture that `make` gives for a content, read where it is kept, kept where it was not.

        `way` names how it is made: whatever decides the pixels stands in it.
        """
        if self.folder is None:
            return make()
        path = self.folder / way / sha256[:2] / sha256
        found = self._read(path)
        if found is None:
            found = make()
            self._write(path, found)
        return found

    def complaint(self) -> str:
        """Why nothing more is kept, one line; "" while all is well, and when it was said once."""
        if self._said or not self._trouble:
            return ""
        self._said = True
        return self._trouble

    def note(self, complaint: str) -> None:
        """A complaint of another process that uses this store for this one."""
        self._trouble = self._trouble or complaint

    def lacking(self, way: str, sha256: str) -> bool:
        """Whether a picture would have to be made."""
        return self.folder is None or not (self.folder / way / sha256[:2] / sha256).exists()

    def _read(self, path: Path) -> Image.Image | None:
        """None where it is not there, or is not what was written."""
        try:
            with path.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # an empty file cannot be mapped
            return None
        with mapped, memoryview(mapped) as view:
            if len(view) < HEADER.size:
                return None
            mark, width, height, checksum = HEADER.unpack_from(view)
            with view[HEADER.size :] as pixels:
                if mark != MARK or len(pixels) != 3 * width * height:
                    return None
                if path not in self._known:
                    if zlib.crc32(pixels) != checksum:
                        return None
                    self._touch(path)
                return Image.frombytes("RGB", (width, height), pixels)

    def _touch(self, path: Path) -> None:
        """Note that a file is in use: the oldest are thrown out first."""
        self._known.add(path)
        try:
            os.utime(path)
        except OSError:
            return  # somebody else's store, or one that was just thrown out

    def _write(self, path: Path, image: Image.Image) -> None:
        content = image.tobytes()
        size = HEADER.size + len(content)
        if self._trouble or not self._has_room(size):
            return
        header = HEADER.pack(MARK, image.width, image.height, zlib.crc32(content))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=HALF)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(header + content)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._trouble = f"{self.folder}: decoded pictures cannot be kept ({error.strerror or error})"
            return
        self._known.add(path)

    def _has_room(self, size: int) -> bool:
        """Take `size` bytes of the room that is left; the oldest that this process does not use make way."""
        with self._lock:
            if self._room is None or self._room < size:
                self._room = self._make_room(size * self._sharers) // self._sharers
            if self._room < size:
                self._trouble = f"{self.folder}: full; pictures beyond its limit are decoded again each time"
                return False
            self._room -= size
            return True

    def _make_room(self, size: int) -> int:
        """Bytes that may be written, after the oldest were thrown out where they stood in the way."""
        assert self.folder is not None
        kept = sorted(contents(self.folder), key=lambda one: one.used)
        taken = sum(one.size for one in kept)
        limit = min(limit_bytes(), taken + int(FREE_SHARE * _free(self.folder)))
        if taken + size <= limit:
            return limit - taken
        for one in kept:
            if taken + size <= AFTERWARDS * limit:
                break
            if one.path not in self._known and one.used < self._since:
                one.path.unlink(missing_ok=True)
                taken -= one.size
        return limit - taken


@functools.cache
def open_store(folder: str) -> Store:
    """The store in a folder, one for the whole process; "" is one that keeps nothing."""
    return Store(folder)


def contents(folder: Path) -> Iterator[StoredFile]:
    """Every file of a store, those that a killed process left half-written too, and no others.

    What somebody keeps beside them in a folder of their choice is never counted, and never thrown out.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not _is_ours(path):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # thrown out meanwhile
            yield StoredFile(path, status.st_size, status.st_mtime)


def clear(folder: Path) -> None:
    """Remove every file of a store, and the folders that are then empty; OSError where that is refused."""
    for one in contents(folder):
        one.path.unlink(missing_ok=True)
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # something else lies in it
            Path(parent).rmdir()


def _is_ours(path: Path) -> bool:
    """Whether a file lies and is called as those that `Store` writes."""
    named = path.name.startswith(HALF) or (_SHA256.fullmatch(path.name) and path.name[:2] == path.parent.name)
    return bool(named and _WAY.fullmatch(path.parent.parent.name))


def _free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not be there yet."""
    there = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    return shutil.disk_usage(there).free
