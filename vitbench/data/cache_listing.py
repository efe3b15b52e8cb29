"""What vitbench keeps to save time, listed and cleared: known and decoded pictures, features, downloads."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from vitbench.data import store
from vitbench.data.cache import cache_folder

DECODED = store.store_folder().name
OURS = (DECODED, "downloads", "features", "known-*.sqlite*")
"""What is in the cache folder."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One entry of the cache folder, with all that lies below it."""

    name: str
    files: int
    size: int
    """Bytes."""


def cache_entries() -> list[CacheEntry]:
    """What vitbench keeps in the cache folder, by name; [] where there is none."""
    return [CacheEntry(entry.name, *_measure(entry)) for entry in _ours()]


def clear_cache() -> int:
    """Remove what vitbench keeps in the cache folder, nothing else; returns the bytes that went.

    Raises OSError where something cannot be removed.
    """
    before = sum(kept.size for kept in cache_entries())
    for entry in _ours():
        if entry.name == DECODED:
            store.clear(Path(entry.path))
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink(missing_ok=True)
    return before - sum(kept.size for kept in cache_entries())


def decoded_in(folder: Path, clear: bool = False) -> CacheEntry:
    """The decoded pictures in a folder that --store-dir names; they are gone afterwards with `clear`.

    Only files of a store count. OSError where one cannot be removed.
    """
    files = list(store.contents(folder))
    if clear:
        store.clear(folder)
    return CacheEntry(str(folder), len(files), sum(one.size for one in files))


def _ours() -> list["os.DirEntry[str]"]:
    """The entries of the cache folder that vitbench makes; $VITBENCH_CACHE may name any folder."""
    return [entry for entry in _entries(cache_folder()) if any(fnmatch(entry.name, one) for one in OURS)]


def _entries(folder: Path | str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _measure(entry: "os.DirEntry[str]") -> tuple[int, int]:
    """Files and bytes of an entry; what another process removes meanwhile counts as nothing."""
    files = size = 0
    for one in _below(entry):
        try:
            size += one.stat(follow_symlinks=False).st_size
            files += 1
        except OSError:
            continue
    return files, size


def _below(entry: "os.DirEntry[str]") -> Iterator["os.DirEntry[str]"]:
    if not entry.is_dir(follow_symlinks=False):
        yield entry
        return
    for inner in _entries(entry.path):
        yield from _below(inner)
