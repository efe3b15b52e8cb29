"""Folders on their way between machines: packed with what each file is, unpacked whole or not at all."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitbench import files


class DamagedError(Exception):
    """What has come is not what was packed."""


@dataclass(frozen=True)
class Parcel:
    """Files of a folder."""

    content: bytes
    """A tar archive, not compressed: weights and pictures hardly get smaller."""
    digests: Mapping[str, str]
    """sha256 of each file, by its path in the folder."""


def pack(folder: Path, names: Iterable[str] | None = None) -> Parcel:
    """The files of these names in a folder, or all that last; one that goes meanwhile is left out."""
    digests: dict[str, str] = {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in _lasting(folder) if names is None else names:
            try:
                content = (folder / name).read_bytes()
            except FileNotFoundError:
                continue
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
            digests[name] = hashlib.sha256(content).hexdigest()
    return Parcel(buffer.getvalue(), digests)


def _lasting(folder: Path) -> Iterator[str]:
    """All files but locks, and what is being written or replaced: names that begin with a dot."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()


def unpack(parcel: Parcel, place: Path) -> None:
    """Put what was packed in the place of whatever is there; DamagedError, nothing touched, if it is not."""
    with files.whole_folder(place) as new:
        for name, content in _checked(parcel):
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _checked(parcel: Parcel) -> Iterator[tuple[str, bytes]]:
    missing = set(parcel.digests)
    try:
        with tarfile.open(fileobj=io.BytesIO(parcel.content)) as archive:
            for about in archive:
                stream = archive.extractfile(about)
                content = b"" if stream is None else stream.read()
                _refuse(about.name, hashlib.sha256(content).hexdigest(), parcel)
                missing.discard(about.name)
                yield about.name, content
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DamagedError(f"no archive ({error})") from error
    if missing:
        raise DamagedError(f"{min(missing)} is missing")


def _refuse(name: str, digest: str, parcel: Parcel) -> None:
    """DamagedError for a file that was not packed so, or that would come to lie outside."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DamagedError(f"{name} is no path inside a folder")
    if parcel.digests.get(name) != digest:
        raise DamagedError(f"{name} does not have the sha256 that it was packed with")
