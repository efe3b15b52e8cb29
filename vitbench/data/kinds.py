"""What the check says of kinds of file: those left out, those with several pictures, those beyond 8 bits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitbench.data.formats import UNREAD_BY_SUFFIX, format_by_mark
from vitbench.data.scan_cache import Seen
from vitbench.data.walk import Walk, walk
from vitbench.files import printable
from vitbench.records import PixelRange, counted
from vitbench.records.pictures import Several

SAID: Mapping[Several, str] = {
    "page": "{} with further pages: the largest page is taken",
    "later page": "{} whose largest page, which is taken, is not the first",
    "size": "{} with several sizes: the largest is taken",
    "frame": "{} with further frames, such as animations: the first is taken",
}


def unread_notes(found: Walk) -> list[str]:
    """One line for each kind of file left out that may hold pictures, one for all others."""
    notes, others = [], []
    for suffix, count in sorted(found.unread.items()):
        if advice := _advice(suffix, found.examples.get(suffix)):
            notes.append(f"left out: {_ending(count, suffix)}{advice}")
        else:
            others.append(f"{count} {suffix or 'without an ending'}")
    if others:
        notes.append(f"left out, not pictures by their names: {', '.join(others)}")
    return notes


def what_lies_in(folders: Sequence[Path]) -> str:
    """What class folders without pictures hold, to stand behind an error; "" where that is nothing."""
    found = Walk()
    for folder in folders:
        walk(folder, found)
    return what_was_found(found)


def what_was_found(found: Walk) -> str:
    """What cannot be read, or the most frequent kind of file that was left out, with what to do; or "".

    It stands behind an error: " (9 files end in .dcm (DICOM), …)".
    """
    if found.unusable:
        first = found.unusable[0]
        more = f" and {len(found.unusable) - 1} more" if len(found.unusable) > 1 else ""
        return f" ({printable(Path(first.path).name)}: {first.reason}{more})"
    for suffix, count in found.unread.most_common():
        if advice := _advice(suffix, found.examples.get(suffix)):
            return f" ({_ending(count, suffix)}{advice})"
    for suffix, count in found.unread.most_common(1):
        return f" ({_ending(count, suffix)}, not a picture's ending)"
    return ""


def _ending(count: int, suffix: str) -> str:
    noun, verb = ("file", "ends") if count == 1 else ("files", "end")
    return f"{count} {noun} {verb} in {suffix}" if suffix else f"{count} {noun} without an ending"


def _advice(suffix: str, example: Path | None) -> str:
    """What may be in files with an ending and what to do; "" where they are no pictures."""
    if row := UNREAD_BY_SUFFIX.get(suffix):
        return f" ({row.what}), which is not read: {row.do}"
    if example is not None and (known := format_by_mark(_head(example))):
        return (
            f", which is not read, though {printable(example.name)} is a {known[0]}: let it end in {known[1]}"
        )
    return ""


def _head(path: Path) -> bytes:
    """The first bytes of a file; b"" where they are not to be had, as of a pipe, which would wait."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(12)
    except OSError:
        return b""


def several_notes(kinds: Sequence[Several]) -> list[str]:
    """How many files hold several pictures, and which is taken: a line for each kind."""
    counts = Counter(kinds)
    return [text.format(counted(counts[kind], "file")) for kind, text in SAID.items() if counts[kind]]


def depth_notes(seen: Sequence[Seen], meant: PixelRange | None, asked: PixelRange | None) -> list[str]:
    """What is black and white in pictures of more than 8 bits, and on what that rests; [] without any."""
    held = [one.held for one in seen if one.held]
    if not held or meant is None:
        return [] if asked is None else ["--pixel-range: not used, no picture is stored in more than 8 bits"]
    values = PixelRange(min(one.low for one in held), max(one.high for one in held))
    plain = sum(not one.held for one in seen if not one.reason)
    rests = "as --pixel-range says" if asked else "by the values of all of them"
    beside = "; 8-bit ones as they are" if plain else ""
    notes = [
        f"{len(held)} of {len(held) + plain} pictures are stored in more than 8 bits: {meant} is black to "
        f"white in each, {rests}: {values}{beside}"
    ]
    beyond = sum(one.low < meant.low or one.high > meant.high for one in held)
    if beyond:
        notes.append(f"{beyond} of them have values beyond {meant}, which are cut off")
    return notes
