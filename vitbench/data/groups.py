"""Pictures that belong together (one animal, one scene, one burst), so that no split parts them.

A model that has seen one picture of a burst in training knows the others: on both sides of a split they
make a score too good. What belongs together is said by the user, or read from the time of capture.
"""

import csv
import dataclasses
import math
import os
import posixpath
import re
import struct
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from vitbench import files
from vitbench.data.decode import DECODER_ERRORS, formats_of
from vitbench.data.scan import THREADS
from vitbench.errors import UsageError
from vitbench.files import printable
from vitbench.options import quoted
from vitbench.records import ImageSet, Picture, counted
from vitbench.records.joining import joined

TOGETHER = "together-"
"""How the name of a group begins that is more than copies of one picture; the least digest in it follows."""

COLUMNS = ("path", "group")
"""What a CSV file for `--group` must have; further columns are passed over."""

CAPTURE_TIMES = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.SubsecTime),
)
"""EXIF tags of a time and its fraction of a second, the most trusted first."""

Members = Sequence[Sequence[Picture]]


def keep_together(image_set: ImageSet, group: str | None, burst_seconds: float | None) -> ImageSet:
    """The set with the groups of pictures merged that belong together; pixel-equal ones always do.

    `group`: a CSV file with the columns `path` (relative to the data, as in `split.csv`) and `group`, or a
    regular expression that is searched in each path: equal captures (the whole match where nothing is
    captured) make a group, across classes too. `burst_seconds`: pictures of one class and camera, each
    taken within so many seconds of the one before. Whatever has no group or no time stays alone. A merged
    group is named by content alone. Notes count what was joined. Raises `UsageError` for a file or pattern
    that cannot be used.
    """
    refuse_grouping(group, burst_seconds)
    if group is None and burst_seconds is None:
        return image_set
    members: list[Sequence[Picture]] = []
    notes: list[str] = []
    if group is not None:
        named = _by_csv(image_set, group) if _is_csv(group) else _by_pattern(image_set, group)
        members += named
        notes += _group_notes(named, len(image_set.pictures))
    if burst_seconds is not None:
        times = _capture_times(image_set)
        bursts = _bursts(times, burst_seconds)
        members += bursts
        notes.append(_burst_note(bursts, burst_seconds, len(times), len(image_set.pictures)))
    names = _merge(members)
    if names:
        notes += copies_notes(image_set.pictures)
    pictures = tuple(
        dataclasses.replace(p, group=names[p.group], pixels=p.pixel_digest) if p.group in names else p
        for p in image_set.pictures
    )
    return dataclasses.replace(image_set, pictures=pictures, notes=(*image_set.notes, *notes))


def refuse_grouping(group: str | None, burst_seconds: float | None) -> None:
    """Raise what `keep_together` would say of the options alone, before any picture is opened."""
    if group is not None and _is_csv(group):
        _read_rows(group)
    elif group is not None:
        _compile(group)
    if burst_seconds is not None and not (math.isfinite(burst_seconds) and burst_seconds > 0):
        raise UsageError(f"--burst-seconds {burst_seconds:g}: seconds between two pictures, more than 0")


# --- named by the user ----------------------------------------------------------------------------


def _is_csv(group: str) -> bool:
    """True for the name of a CSV file; a pattern that ends so could match no picture."""
    return group.lower().endswith(".csv")


def _read_rows(group: str) -> list[tuple[str, str]]:
    """(path, group) of each row of a CSV file, as text."""
    try:
        rows = files.csv_rows(files.text_of(Path(group)))
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"--group {group}: {reason}; name a CSV file or a pattern over paths") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--group {group}: not a CSV file in UTF-8 ({error}); save it as one") from error
    head = [name.strip() for name in rows[0]] if rows else []
    if not set(COLUMNS) <= set(head):
        has = f"columns {', '.join(head)}" if head else "nothing in it"
        raise UsageError(f"--group {group}: has {has}; it needs the columns path and group, comma between")
    path, name = (head.index(column) for column in COLUMNS)
    return [(row[path], row[name].strip()) for row in rows[1:] if len(row) > max(path, name)]


def _by_csv(image_set: ImageSet, group: str) -> Members:
    """The pictures of each group that a CSV file names."""
    known = {p.path: p for p in image_set.pictures}
    meant = _spellings([*known, *(entry.path for entry in image_set.bad)])
    found: dict[str, list[Picture]] = {}
    said: dict[str, tuple[str, str]] = {}
    missing = []
    for written, name in _read_rows(group):
        path = meant(written)
        if path is None:
            missing.append(written)
            continue
        before, other = said.setdefault(path, (written, name))
        if other != name:
            also = "" if before == written else f", once as {printable(before)}"
            raise UsageError(
                f"--group {group}: names {printable(written)} twice{also}, in group '{printable(other)}' and "
                f"in '{printable(name)}'; a picture has one group, so mend the table"
            )
        if name and path in known:
            found.setdefault(name, []).append(known[path])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"--group {group}: names {missing[0]}{more}, not among the pictures; "
            f"paths must be relative to {printable(image_set.root)}, / between"
        )
    return list(found.values())


def _spellings(paths: Sequence[str]) -> Callable[[str], str | None]:
    """Tells which of `paths` a table means: the one that it writes, or else one that it spells otherwise.

    A path may be as our own tables write it (`files.cells`), begin with "./", have \\ between its folders, or
    be in another Unicode form.
    """

    def plain(path: str) -> str:
        return unicodedata.normalize("NFC", posixpath.normpath(path.replace("\\", "/")))

    exact = {cell: path for path in paths for cell in files.cells(path)} | {path: path for path in paths}
    alike = {plain(cell): path for cell, path in exact.items()}

    def meant(written: str) -> str | None:
        tries = (written, written.removeprefix("'"))
        return next((exact[path] for path in tries if path in exact), None) or next(
            (alike[plain(path)] for path in tries if plain(path) in alike), None
        )

    return meant


def _by_pattern(image_set: ImageSet, group: str) -> Members:
    """The pictures of each key that a regular expression captures in their paths."""
    pattern = _compile(group)
    found: dict[Hashable, list[Picture]] = {}
    for picture in image_set.pictures:
        match = pattern.search(picture.path)
        key = (match.groups() or (match[0],)) if match else ()
        if any(key):  # an empty capture says nothing
            found.setdefault(key, []).append(picture)
    if not found:
        example = files.readable(image_set.pictures[0].path)
        raise UsageError(f"--group {quoted(group)}: matches no path, such as {example}; mend the pattern")
    return list(found.values())


def _compile(group: str) -> re.Pattern[str]:
    try:
        return re.compile(group)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--group {group}: neither a CSV file nor a regular expression ({error}); mend the pattern"
        ) from error


# --- by the time of capture -----------------------------------------------------------------------


def _capture_times(image_set: ImageSet) -> dict[Picture, tuple[str, datetime]]:
    """Camera and time of capture of the pictures that carry one."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda p: capture_time(image_set.root / p.path), image_set.pictures)
        return {p: taken for p, taken in zip(image_set.pictures, found, strict=True) if taken}


def capture_time(path: Path) -> tuple[str, datetime] | None:
    """Camera (make and model) and local time of capture from a file's EXIF, or None; no pixel is decoded."""
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
            stream.seek(0)
            with Image.open(stream, formats=formats_of(head)) as image:
                if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
                    image.info["exif"] = _png_exif(stream)
                exif = Image.Image.getexif(image)  # a PNG's own would decode all of it
                tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except DECODER_ERRORS:
        return None
    camera = " ".join(_text(tags.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)).strip()
    times = (_time(_text(tags.get(time)), _text(tags.get(part))) for time, part in CAPTURE_TIMES)
    return next(((camera, time) for time in times if time), None)


def _png_exif(stream: BinaryIO) -> bytes:
    """The EXIF of a PNG file wherever it stands; Pillow would decode the pixels to find one behind them."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return stream.read(length)
        stream.seek(length + 4, os.SEEK_CUR)  # a chunk and its checksum
    return b""


def _text(value: object) -> str:
    """An EXIF text without padding; "" for anything else."""
    return value.strip("\0 ") if isinstance(value, str) else ""


def _time(text: str, fraction: str) -> datetime | None:
    """ "2024:05:31 12:00:01" and "25" as 12:00:01.25; None for "0000:00:00 00:00:00" and the like."""
    try:
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = fraction if fraction.isascii() and fraction.isdigit() else "0"
    return time.replace(microsecond=int(digits[:6].ljust(6, "0")))


def _bursts(times: Mapping[Picture, tuple[str, datetime]], seconds: float) -> Members:
    """Runs of two or more pictures of a class and camera, each within `seconds` of the one before."""
    series: dict[tuple[str, str], list[tuple[datetime, str, Picture]]] = defaultdict(list)
    for picture, (camera, time) in times.items():
        series[picture.label, camera].append((time, picture.path, picture))
    bursts: list[list[Picture]] = []
    for taken in series.values():
        before = None
        for time, _, picture in sorted(taken, key=lambda one: one[:2]):
            if before is None or (time - before).total_seconds() > seconds:
                bursts.append([])
            bursts[-1].append(picture)
            before = time
    return [burst for burst in bursts if len(burst) > 1]


# --- joining --------------------------------------------------------------------------------------


def _merge(members: Members) -> dict[str, str]:
    """The new name of each group that is joined to another one, directly or through a third."""
    tops = joined([picture.group for picture in together] for together in members)
    several = {found for name, found in tops.items() if name != found}
    return {name: TOGETHER + found for name, found in tops.items() if found in several}


def _group_notes(named: Members, total: int) -> list[str]:
    """What `--group` joined, and which of it spans classes."""
    several = [together for together in named if len(set(together)) > 1]
    alone = total - len({p for together in named for p in together})
    rest = f"; {counted(alone, 'picture')} in no group" if alone else ""
    if not several:
        return [f"kept together by --group: nothing, no group has 2 pictures{rest}"]
    pictures = len({p for together in several for p in together})
    largest = max(len(set(together)) for together in several)
    notes = [
        f"kept together by --group: {counted(len(several), 'group')} of 2 or more "
        f"({pictures} pictures), largest {largest}{rest}"
    ]
    mixed = [sorted({p.label for p in together}) for together in several]
    mixed = [labels for labels in mixed if len(labels) > 1]
    if mixed:
        verb = "holds" if len(mixed) == 1 else "hold"
        notes.append(
            f"{len(mixed)} of the --group groups {verb} pictures of several classes, "
            f"e.g. '{printable(mixed[0][0])}' and '{printable(mixed[0][1])}'; each stays whole"
        )
    return notes


def _burst_note(bursts: Members, seconds: float, timed: int, total: int) -> str:
    option = f"--burst-seconds {seconds:g}"
    if not timed:
        return f"{option}: no picture carries a capture time (EXIF), so nothing was kept together by it"
    pictures = sum(len(burst) for burst in bursts)
    found = f"{counted(len(bursts), 'burst')} ({pictures} pictures)" if bursts else "no bursts"
    without = total - timed
    verb = "carries" if without == 1 else "carry"
    return f"{option}: {found}" + (
        f"; {counted(without, 'picture')} {verb} no capture time" if without else ""
    )


def copies_notes(pictures: Sequence[Picture]) -> list[str]:
    """The notes on copies and near-copies, which must be counted before groups are joined."""
    different = len({p.pixel_digest for p in pictures})
    copies, near = len(pictures) - different, different - len({p.group for p in pictures})
    repeat = "picture repeats" if copies == 1 else "pictures repeat"
    are = "picture is a near-copy" if near == 1 else "pictures are near-copies"
    notes = [f"{copies} {repeat} another one (equal pixels)"] if copies else []
    return [*notes, f"{near} {are} of another one"] if near else notes
