"""Sets that come as archives: unpacked, and read by torchvision's own classes, which know their splits."""

import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vitbench.data.public.pictures import Entry
from vitbench.data.public.sets import PublicSet
from vitbench.errors import VitbenchError, first_line
from vitbench.records import Part

Source = Path | Image.Image
"""A file that was unpacked, or a picture that has none of its own."""
Found = list[tuple[Part, str, str, Source]]
"""Part, class, file name, source."""


@dataclass
class ArchiveReader:
    """The pictures of a set whose archives lie unpacked in `root`."""

    known: PublicSet
    root: Path
    _sources: list[Source] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """See `Reader`; VitbenchError where torchvision does not find what it expects."""
        try:
            found = READERS[self.known.name](self.root)
        except (RuntimeError, KeyError, FileNotFoundError) as error:
            raise VitbenchError(
                f"{self.known.name}: its archives do not hold what torchvision expects ({first_line(error)})"
            ) from error
        self._sources = [source for *_, source in found]
        return [Entry(part, label, name, place) for place, (part, label, name, _) in enumerate(found)]

    def write(self, chosen: Sequence[tuple[Entry, Path]], on_progress: Callable[[int, int], None]) -> None:
        """See `Reader`; files are moved, each may be asked for once."""
        for done, (entry, path) in enumerate(chosen, start=1):
            source = self._sources[entry.place]
            if isinstance(source, Image.Image):
                source.save(path)
            else:
                os.replace(source, path)
            on_progress(done, len(chosen))


def unpack(archive: Path, folder: Path, on_progress: Callable[[int, int], None]) -> None:
    """Unpack a tar archive into `folder`; what is none is linked or copied there. Told bytes of the archive.

    Members that lead out of the folder are refused (`tarfile.data_filter`, where this Python has it).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.name.endswith((".tar.gz", ".tgz")):
        (folder / archive.name).write_bytes(archive.read_bytes())
        return
    size = archive.stat().st_size
    try:
        with archive.open("rb") as stream, tarfile.open(fileobj=stream) as opened:
            opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            for member in opened:
                opened.extract(member, folder)
                on_progress(min(stream.tell(), size), size)
    except (tarfile.TarError, EOFError) as error:
        raise VitbenchError(f"{archive.name}: cannot be unpacked ({first_line(error)})") from error


# --- what torchvision knows -----------------------------------------------------------------------


def _pets(root: Path) -> Found:
    from torchvision.datasets import OxfordIIITPet

    found: Found = []
    parts: tuple[tuple[Part, str], ...] = (("train", "trainval"), ("test", "test"))
    for part, split in parts:
        data = OxfordIIITPet(root, split=split)
        paths = zip(data._images, data._labels, strict=True)
        found += [(part, data.classes[label], path.name, path) for path, label in paths]
    return found


def _flowers(root: Path) -> Found:
    from torchvision.datasets import Flowers102

    parts: tuple[Part, ...] = ("train", "val", "test")
    return [
        one
        for part in parts
        for one in _files(Flowers102(root, split=part, loader=Path), part, Flowers102.classes)
    ]


def _food(root: Path) -> Found:
    from torchvision.datasets import Food101

    parts: tuple[Part, ...] = ("train", "test")
    sets = [(part, Food101(root, split=part, loader=Path)) for part in parts]
    return [one for part, data in sets for one in _files(data, part, data.classes)]


def _imagenette(size: str) -> Callable[[Path], Found]:
    def read(root: Path) -> Found:
        from torchvision.datasets import Imagenette

        parts: tuple[Part, ...] = ("train", "val")
        sets = [(part, Imagenette(root, split=part, size=size, loader=Path)) for part in parts]
        return [
            one for part, data in sets for one in _files(data, part, [names[0] for names in data.classes])
        ]

    return read


def _files(data: Any, part: Part, classes: Sequence[str]) -> Found:
    """A data set whose loader is `Path`: its items are paths and class indices."""
    items = (data[place] for place in range(len(data)))
    return [(part, classes[label], path.name, path) for path, label in items]


def _cifar(kind: str) -> Callable[[Path], Found]:
    def read(root: Path) -> Found:
        from torchvision import datasets

        found: Found = []
        parts: tuple[Part, ...] = ("train", "test")
        for part in parts:
            data = getattr(datasets, kind)(root, train=part == "train")
            numbered = enumerate(zip(data.data, data.targets, strict=True))
            for number, (pixels, label) in numbered:
                name = f"{number:05d}.png"
                found.append((part, data.classes[label], name, Image.fromarray(pixels)))
        return found

    return read


READERS: dict[str, Callable[[Path], Found]] = {
    "oxford-iiit-pet": _pets,
    "flowers-102": _flowers,
    "cifar-10": _cifar("CIFAR10"),
    "cifar-100": _cifar("CIFAR100"),
    "imagenette": _imagenette("full"),
    "imagenette-320": _imagenette("320px"),
    "food-101": _food,
}
"""How the archives of each set are read."""
