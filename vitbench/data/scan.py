"""From a folder to a checked `ImageSet`: classes, parts, and every picture decoded in full once."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from vitbench.data.bad import bad_message
from vitbench.data.classes import check_classes
from vitbench.data.decode import decode_in_full, picture_bytes
from vitbench.data.depth import folder_range
from vitbench.data.duplicates.descriptors import Descriptor, descriptor_of, fingerprint
from vitbench.data.duplicates.likeness import group_alike, near_notes, search_near
from vitbench.data.duplicates.near import MOST_PICTURES, Search
from vitbench.data.filename_hints import filename_hints
from vitbench.data.kinds import depth_notes, several_notes, unread_notes
from vitbench.data.prefetch import cores, in_batches
from vitbench.data.scan_cache import ScanCache, Seen, Stamp, open_scan_cache, settled, stamp_of
from vitbench.data.shape import Layout, Owner, survey
from vitbench.data.walk import Walk, walk
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import printable
from vitbench.records import BadFile, ImageSet, Picture, PixelRange, counted

Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, of how much."""
CHECKING, LOOKING = "checking pictures", "looking for near-copies"

THREADS = min(8, cores())
AT_ONCE = 16
"""Files that a thread takes at a time: small ones are read faster than a thread is woken."""


def scan_folder(
    root: Path,
    layout: Layout = "auto",
    skip_bad: bool = False,
    on_progress: Progress = lambda what, done, total: None,
    near: bool = True,
    remember: bool = True,
    pixel_range: PixelRange | None = None,
) -> ImageSet:
    """The pictures of an image folder, each decoded in full once; nothing in it is changed.

    `near`: near-copies are looked for (`duplicates.near`) and put into one group. `remember`: what is
    learnt of a file is kept (`data.scan_cache`), and one that has not changed since is not read again.
    `layout` "loose" takes all pictures, however deep, as one class; folders train/, val/ and test/ are parts
    there too.
    `pixel_range` is what is black and white in pictures of more than 8 bits; None: what all of them show.
    `on_progress(what, done, total)` is called after each picture, from this thread. Raises `VitbenchError`
    where the folder is missing, its pictures do not show what black and white are, or (without `skip_bad`)
    a file cannot be decoded: then more than ten bad files are listed in `bad-files.csv` (`data.bad`).
    `ClassesError` where it has no usable class folders, a class is empty, or train lacks a class.
    """
    found = Walk()
    plan, owners = survey(root, layout, found)
    with open_scan_cache(remember) as known:
        paths = [path for _, _, path in owners]
        seen, meant, lookup, search = _check(root, paths, known, on_progress, near, pixel_range)
        pictures, bad = _named(root, owners, seen)
        bad = sorted([*bad, *(_relative(entry, root) for entry in found.unusable)], key=lambda b: b.path)
        if bad and not skip_bad:
            raise VitbenchError(bad_message(root, bad, len(owners) + len(found.unusable)))
        notes = check_classes(root, plan, pictures)
        digests = sorted({p.group for p in pictures}) if near else []
        if search is None:
            search = search_near(digests, lookup, THREADS, partial(on_progress, LOOKING))
            known.remember_search(digests, search)
    alike = group_alike(pictures, digests, search)
    warnings = (*duplicate_notes(pictures), *near_notes(alike), *filename_hints(alike.pictures))
    kinds = (
        *unread_notes(found),
        *depth_notes(seen, meant, pixel_range),
        *several_notes([one.several for one in seen]),
    )
    return ImageSet(
        root=root,
        layout=plan.layout,
        classes=tuple(sorted({p.label for p in pictures})),
        pictures=tuple(sorted(alike.pictures, key=lambda p: p.path)),
        bad=tuple(bad),
        ignored=dict(sorted(found.ignored.items())),
        unread=dict(sorted(found.unread.items())),
        pixel_range=meant,
        notes=(*plan.notes, *notes, *kinds, *warnings),
        warnings=warnings,
        alike=alike.pairs,
        searched=alike.searched,
    )


def refuse_unusable(root: Path, layout: Layout = "auto") -> None:
    """Raise what `scan_folder` would say of the folder's shape alone, before any picture is opened."""
    survey(root, layout, Walk())


def find_images(folder: Path, found: Walk | None = None) -> list[Path]:
    """The pictures in a folder and its sub-folders, sorted, by name only; hidden ones left out.

    `found` takes what was passed over.
    """
    found = found or Walk()
    walk(folder, found)
    return sorted([*found.pictures, *(Path(entry.path) for entry in found.unusable)])


# --- pictures -------------------------------------------------------------------------------------


@dataclass
class _Check:
    """What every file holds: as it is known, or decoded, in threads."""

    files: Sequence[Path]
    known: ScanCache
    on_progress: Progress
    found: list[Seen | None]
    """In the order of `files`."""
    descriptors: dict[str, Descriptor] = field(default_factory=dict)
    """Of what was decoded here and is not remembered, by pixel digest."""
    done: int = 0
    planned: int = 0

    @classmethod
    def of(cls, files: Sequence[Path], known: ScanCache, on_progress: Progress) -> "_Check":
        """Nothing is decoded yet."""
        found = known.find(files)
        done = sum(one is not None for one in found)
        if done:
            on_progress(CHECKING, done, len(found))
        return cls(files, known, on_progress, found, done=done, planned=done)

    def decode(self, places: Sequence[int], meant: PixelRange | None) -> None:
        """Decode the files at these places; `meant` is black and white where there are more than 8 bits."""
        self.planned += len(places)
        read_again = _read_all([self.files[place] for place in places], meant)
        for place, (seen, descriptor, stamp, read_at) in zip(places, read_again, strict=True):
            path = self.files[place]
            self.found[place] = seen
            lasts = stamp is not None and seen.lasting and settled(stamp, read_at) and stamp_of(path) == stamp
            remembered = lasts and stamp is not None and self.known.remember(path, stamp, seen, descriptor)
            # Of more than that no near-copies are looked for.
            if descriptor is not None and not remembered and len(self.descriptors) <= MOST_PICTURES:
                self.descriptors.setdefault(seen.pixels, descriptor)
            self.done += 1
            self.on_progress(CHECKING, self.done, self.planned)

    def lacks_descriptor(self, one: Seen) -> bool:
        """Its descriptor is neither here nor remembered."""
        return bool(one.pixels) and one.pixels not in self.descriptors and self.known.descriptor(one) is None

    def places(self, wanted: Callable[[Seen], bool]) -> list[int]:
        """Where something is wanted of what is known."""
        return [place for place, one in enumerate(self.found) if one is not None and wanted(one)]

    def lookup(self) -> Callable[[str], Descriptor]:
        """The descriptor of each pixel digest; its picture is decoded again where it is nowhere else."""
        one_each = {one.pixels: place for place, one in enumerate(self.found) if one and one.pixels}

        def descriptor(digest: str) -> Descriptor:
            path, seen = self.files[one_each[digest]], self.found[one_each[digest]]
            assert seen is not None
            kept = self.descriptors.get(digest) or self.known.descriptor(seen)
            found = kept or read_file(path, seen.shown)[1]
            if found is None:
                raise VitbenchError(f"{printable(path)}: changed while it was checked; run it again")
            return found

        return descriptor

    def digests(self) -> list[str]:
        """The different pixel digests, sorted."""
        return sorted({one.pixels for one in self.found if one and one.pixels})


def _check(
    root: Path,
    files: Sequence[Path],
    known: ScanCache,
    on_progress: Progress,
    near: bool,
    asked: PixelRange | None,
) -> tuple[list[Seen], PixelRange | None, Callable[[str], Descriptor], Search | None]:
    """What every file holds, in their order, all in one range where they have more than 8 bits: that range.

    The near-copies of exactly these pictures too, where they are known; else, if `near`, the descriptor of
    each pixel digest, to look for them. Raises `VitbenchError` where there is no one range.
    """
    check = _Check.of(files, known, on_progress)
    check.decode([place for place, one in enumerate(check.found) if one is None], asked)
    found = [(_name(root, path), one) for path, one in zip(files, check.found, strict=True)]
    held = [(name, one.held) for name, one in found if one and one.held]
    meant = (asked or folder_range(printable(root), held)) if held else None
    check.decode(check.places(lambda one: one.shown not in (None, meant)), meant)
    digests = check.digests() if near else []
    search = known.search(digests) if near else None
    if near and search is None and len(digests) <= MOST_PICTURES:
        check.decode(check.places(check.lacks_descriptor), meant)
    return [one for one in check.found if one], meant, check.lookup(), search


def _read_all(
    paths: Sequence[Path], meant: PixelRange | None
) -> Iterator[tuple[Seen, Descriptor | None, Stamp | None, float]]:
    """`read_file` of each, in order, in threads (Pillow frees the GIL), a few files at a time.

    The last values are the file's stamp before it was read, and when that began, `time.time()`.
    """

    def read_one(path: Path) -> tuple[Seen, Descriptor | None, Stamp | None, float]:
        began, stamp = time.time(), stamp_of(path)
        return (*read_file(path, meant), stamp, began)

    def read_some(some: Sequence[Path]) -> list[tuple[Seen, Descriptor | None, Stamp | None, float]]:
        return [read_one(path) for path in some]

    handfuls = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    batches = (handfuls[start : start + THREADS] for start in range(0, len(handfuls), THREADS))
    for batch in in_batches(read_some, batches, THREADS):
        for read in batch:
            yield from read


def read_file(path: Path, meant: PixelRange | None = None) -> tuple[Seen, Descriptor | None]:
    """What a file holds, decoded in full, and its descriptor; the reason where it cannot be read."""
    try:
        content = picture_bytes(path)
    except UnreadableImageError as error:
        return Seen(reason=str(error), lasting=False), None
    try:
        decoded = decode_in_full(content, meant)
    except UnreadableImageError as error:
        return Seen(reason=str(error), lasting=not isinstance(error.__cause__, MemoryError)), None
    image = decoded.image
    pixels = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    pixels.update(image.tobytes())
    sha256, descriptor = hashlib.sha256(content).hexdigest(), descriptor_of(image)
    also = (fingerprint(descriptor), decoded.held, decoded.shown, decoded.several)
    return Seen(sha256, pixels.hexdigest(), image.width, image.height, *also), descriptor


def _named(root: Path, owners: Sequence[Owner], found: Sequence[Seen]) -> tuple[list[Picture], list[BadFile]]:
    """What was learnt of files, as the pictures and bad files of the set."""
    pictures: list[Picture] = []
    bad: list[BadFile] = []
    for (part, label, path), seen in zip(owners, found, strict=True):
        name = _name(root, path)
        if seen.reason:
            bad.append(BadFile(name, seen.reason))
            continue
        about = (seen.sha256, seen.pixels, seen.width, seen.height)
        pictures.append(Picture(name, label, part, *about, fingerprint=seen.fingerprint))
    return pictures, bad


def _name(root: Path, path: Path) -> str:
    """A file's path from the root on, with `/`."""
    return str(path)[len(str(root / "x")) - 1 :].replace(os.sep, "/")  # Path's own takes long


def duplicate_notes(pictures: Sequence[Picture]) -> list[str]:
    """Warnings about pictures with equal pixels under two classes, or in two of the user's own parts."""
    counts = Counter(picture.group for picture in pictures)
    groups: dict[str, list[Picture]] = {}
    for picture in sorted((p for p in pictures if counts[p.group] > 1), key=lambda p: p.path):
        groups.setdefault(picture.group, []).append(picture)
    several = list(groups.values())
    notes = []
    clashes = [group for group in several if len({p.label for p in group}) > 1]
    if clashes:
        notes.append(
            f"{_times(len(clashes), 'picture')} under two classes, e.g. {_pair(clashes[0], 'label')}"
        )
    for left, right in (("train", "test"), ("train", "val"), ("val", "test")):
        leaks = [g for g in several if {left, right} <= {p.part for p in g}]
        if leaks:
            pair = _pair([p for p in leaks[0] if p.part in (left, right)], "part")
            notes.append(f"{_times(len(leaks), 'picture')} in both {left}/ and {right}/, e.g. {pair}")
    return notes


def _pair(group: Sequence[Picture], differ_in: Literal["label", "part"]) -> str:
    """Two pictures of a group that differ in class or part, as "a.jpg = b.jpg"."""
    first = group[0]
    second = next(p for p in group if getattr(p, differ_in) != getattr(first, differ_in))
    return f"{printable(Path(first.path))} = {printable(Path(second.path))}"


def _times(count: int, noun: str) -> str:
    return f"{counted(count, noun)} (equal pixels)"


def _relative(entry: BadFile, root: Path) -> BadFile:
    return BadFile(Path(entry.path).relative_to(root).as_posix(), entry.reason)
