"""A public set as an image folder: downloaded, checked, written whole or not at all."""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.data.cache import cache_folder
from vitbench.data.folders import distinct_name
from vitbench.data.public import archives, hub
from vitbench.data.public.download import Remote, download
from vitbench.data.public.pictures import Entry, Progress, Reader, counted_parts, stratified
from vitbench.data.public.sets import PublicSet, set_named
from vitbench.errors import UsageError, VitbenchError
from vitbench.files import printable
from vitbench.locks import locked
from vitbench.options import Count, fit
from vitbench.records import Part
from vitbench.records.watch import Watch

SOURCE = "source.json"
"""In the folder: where its pictures come from."""
DOWNLOADS = "downloads"
"""In the cache folder: what was downloaded, whole or not yet."""
WORK = "downloading"


@dataclass(frozen=True)
class Fetched:
    """An image folder that holds a public set, or a part of it."""

    folder: Path
    name: str
    title: str
    classes: int
    counts: Mapping[str, int]
    """Pictures by part of the official split."""
    licence: str
    page: str
    note: str
    """What a user should know of its split."""
    limit: int | None
    files: tuple[Mapping[str, Any], ...]
    """What was downloaded: address, checksum and its kind, bytes."""
    kept: Path
    """Where that lies still."""
    complaint: str = ""
    """In what it differs from what its authors publish; "" in nothing that is known."""
    new: bool = True
    """False where the folder was there already."""


def fetch(
    name: str, folder: Path | str | None = None, *, limit: int | None = None, watch: Watch | None = None
) -> Fetched:
    """Fetch a known public set as an image folder with its official split, which `train` takes as it is.

    `name`: one of `public.sets.SETS`, or OWNER/NAME on the Hugging Face hub (tables with a picture and a
    named class in each row). `folder`: a new one; None: the set's name, here. `limit`: at most so many
    pictures, every class of every part with its share, the same ones each time.

    What was downloaded stays in the cache folder, and a call that was cut short is gone on with there. A
    folder that holds the same already is left as it is. Raises UsageError for a name that is not known and a
    folder that holds something else, VitbenchError where the set cannot be had: then nothing is made.
    """
    if limit is not None:
        fit("--limit", Count, limit)
    watch = watch or Watch()
    known = set_named(name)
    place = Path(folder) if folder is not None else Path(known.name.rpartition("/")[2])
    if there := _there(place, known, limit):
        return there
    kept = cache_folder() / DOWNLOADS / known.name.replace("/", "--")
    with _explained(place), _cached(kept):
        known, remotes = _remotes(known)
        watch.message(f"{known.title}: {known.licence or 'no licence stated'} ({known.page})")
        paths = [download(one, kept, _bytes(watch, one)) for _, one in remotes]
        with files.whole_folder(place) as made:
            reader = _reader(known, list(zip(remotes, paths, strict=True)), made / UNPACKED, watch.work)
            entries = reader.entries()
            complaint = _complaint(known, entries)
            chosen = stratified(entries, limit, known.name) if limit is not None else entries
            reader.write(_places(made, chosen), partial(watch.work, "writing pictures"))
            shutil.rmtree(made / UNPACKED, ignore_errors=True)
            found = Fetched(
                folder=place,
                name=known.name,
                title=known.title,
                classes=len({entry.label for entry in chosen}),
                counts=counted_parts(chosen),
                licence=known.licence,
                page=known.page,
                note=known.note,
                limit=limit,
                files=tuple(
                    {"address": one.address, one.kind: one.checksum, "bytes": path.stat().st_size}
                    for (_, one), path in zip(remotes, paths, strict=True)
                ),
                kept=kept,
                complaint=complaint,
            )
            files.write_json(made / SOURCE, _record(found))
    return found


UNPACKED = ".unpacked"
"""In the folder while it is made."""


def _there(place: Path, known: PublicSet, limit: int | None) -> Fetched | None:
    """The very same, fetched before; UsageError where the folder holds something else."""
    if not files.is_there(place) or (place.is_dir() and not any(place.iterdir())):
        return None
    with contextlib.suppress(OSError, VitbenchError, TypeError, KeyError):
        record = files.read_json(place / SOURCE)
        if (record["name"], record["limit"]) == (known.name, limit):
            kept = cache_folder() / DOWNLOADS / known.name.replace("/", "--")
            return Fetched(**{**record, "files": tuple(record["files"])}, folder=place, kept=kept, new=False)
    raise UsageError(f"{printable(place)}: not an empty folder; name a new one")


def _record(found: Fetched) -> dict[str, Any]:
    apart = ("folder", "kept", "new")
    return {one.name: getattr(found, one.name) for one in dataclasses.fields(found) if one.name not in apart}


@contextlib.contextmanager
def _explained(place: Path) -> Iterator[None]:
    """What the system refuses becomes one line that says that nothing is lost."""
    try:
        yield
    except OSError as error:
        line = files.fault_line(error) or f"{printable(place)}: not written ({error.strerror or error})"
        raise VitbenchError(f"{line}; what was downloaded is kept, run it again") from error


@contextlib.contextmanager
def _cached(folder: Path) -> Iterator[None]:
    """The folder of downloads, for this process alone."""
    with files.naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        yield


Kept = list[tuple[tuple[Part | None, Remote], Path]]


def _remotes(known: PublicSet) -> tuple[PublicSet, list[tuple[Part | None, Remote]]]:
    """The files to download, and the set with what the hub alone knows of it."""
    if not known.hub:
        return known, [(None, Remote(one.address, one.name, "md5", one.md5)) for one in known.archives]
    hub.refuse_without_reader()
    listed = hub.listing(known.hub)
    known = dataclasses.replace(known, licence=known.licence or listed.licence)
    return known, [*listed.tables]


def _reader(known: PublicSet, downloaded: Kept, unpacked: Path, on_progress: Progress) -> Reader:
    if known.hub:
        return hub.TableReader(known.hub, [(part, path) for (part, _), path in downloaded if part])
    for one, (_, path) in zip(known.archives, downloaded, strict=True):
        archives.unpack(path, unpacked / one.folder, partial(on_progress, f"unpacking {one.name}"))
    return archives.ArchiveReader(known, unpacked)


def _places(made: Path, chosen: Sequence[Entry]) -> list[tuple[Entry, Path]]:
    """Where each picture goes, its folder made: MADE/train/<class>/<name>."""
    taken: dict[Path, dict[str, int]] = {}
    found = []
    for entry in chosen:
        folder = made / entry.part / _as_folder(entry.label)
        if folder not in taken:
            folder.mkdir(parents=True)
            taken[folder] = {}
        found.append((entry, folder / distinct_name(entry.name, taken[folder])))
    return found


def _as_folder(label: str) -> str:
    """A class name that can be a folder's anywhere; leading dots would hide it."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", label).strip(" .") or "_"


def _complaint(known: PublicSet, entries: Sequence[Entry]) -> str:
    """Where what came is not as many pictures and classes as are published."""
    counts, classes = counted_parts(entries), len({entry.label for entry in entries})
    if not known.counts or (counts == dict(known.counts) and classes == known.classes):
        return ""
    published = ", ".join(f"{part} {count}" for part, count in known.counts.items())
    have = ", ".join(f"{part} {count}" for part, count in counts.items())
    return f"{have} pictures of {classes} classes came; published: {published} of {known.classes} classes"


def _bytes(watch: Watch, remote: Remote) -> Callable[[int, int], None]:
    """Tells in MB."""

    def told(done: int, total: int) -> None:
        watch.work(f"{WORK} {remote.name}, MB", done // 1_000_000, total // 1_000_000)

    return told
