"""The pictures of a public set, wherever they come from, and a part of them that has its proportions."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vitbench.errors import UsageError
from vitbench.records import Part

Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, of how much."""
LEAST = 2
"""Pictures of each class that every part keeps: `train` may take one of them to choose the epoch by."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a set."""

    part: Part
    label: str
    name: str
    """Of its file, without a folder."""
    place: int
    """In the reader's order."""


class Reader(Protocol):
    """Pictures that have been downloaded, in whatever they came."""

    def entries(self) -> list[Entry]:
        """All of them, in a fixed order."""

    def write(self, chosen: Sequence[tuple[Entry, Path]], on_progress: Callable[[int, int], None]) -> None:
        """Put these to these places, whose folders are there; told how many of how many."""


def stratified(entries: Sequence[Entry], limit: int, key: str) -> list[Entry]:
    """At most `limit` of the pictures, each class of each part with its share, at least `LEAST` of it.

    The same ones each time, and a larger limit has them all: every picture has its place in an order in which
    the classes take turns by their sizes. UsageError where the least of all classes is more than `limit`.
    """
    cells: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        cells[entry.part, entry.label].append(entry)
    least = sum(min(LEAST, len(members)) for members in cells.values())
    if limit < least:
        raise UsageError(
            f"--limit {limit}: {len(cells)} classes of all parts, {LEAST} pictures of each: at least {least}"
        )
    order: list[tuple[bool, float, bytes, Entry]] = []
    for members in cells.values():
        drawn = sorted((_draw(key, entry), entry.place, entry) for entry in members)
        for place, (digest, _, entry) in enumerate(drawn):
            order.append((place >= LEAST, (place + 0.5) / len(drawn), digest, entry))
    order.sort(key=lambda one: one[:3])
    return sorted((one[3] for one in order[:limit]), key=lambda entry: entry.place)


def counted_parts(entries: Iterable[Entry]) -> dict[str, int]:
    """Pictures by part, in the order train, val, test."""
    counts: dict[str, int] = dict.fromkeys(("train", "val", "test"), 0)
    for entry in entries:
        counts[entry.part] += 1
    return {part: count for part, count in counts.items() if count}


def _draw(key: str, entry: Entry) -> bytes:
    named = f"vitbench fetch {key} {entry.part}/{entry.label}/{entry.name} {entry.place}"
    return hashlib.sha256(named.encode("utf-8", "surrogateescape")).digest()
