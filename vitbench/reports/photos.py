"""The photographs of a benchmark's report: their files, and the small copies kept beside the report.

`photos.zip` holds what `report.html` shows, so that a report that is written anew after the pictures were
moved or a disk was taken away keeps them.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench import files
from vitbench.comparison.opened import OpenBenchmark
from vitbench.files import printable
from vitbench.records.commands import command
from vitbench.reports.report import Twins
from vitbench.reports.thumbnails import thumbnails

ARCHIVE = "photos.zip"
AT = (1980, 1, 1, 0, 0, 0)
"""The time that every entry has, so that the same copies are the same bytes."""


@dataclass(frozen=True)
class Photos:
    """The pictures of a benchmark by number, which counts from 1."""

    source: OpenBenchmark
    names: tuple[str, ...]
    """As in `split.csv`."""

    @classmethod
    def of(cls, source: OpenBenchmark, twins: Sequence[Twins] = ()) -> "Photos":
        """Its test pictures, then the other ones of `twins`."""
        return cls(source, (*source.test.paths, *(twin.other_name for twin in twins)))

    @property
    def root(self) -> Path:
        return Path(str(self.source.manifest.get("data", "")))

    @property
    def paths(self) -> list[Path]:
        root = self.root
        return [root / name for name in self.names]

    def small(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """JPEGs by number: of the files, or else those that were kept; others are left out."""
        made = thumbnails(self.paths, numbers, self.source.benchmark.pixel_range)
        kept = self._kept() if len(made) < len(numbers) else {}
        entries = {number: _entry(self.names[number - 1]) for number in numbers if number not in made}
        every = {**made, **{number: kept[entry] for number, entry in entries.items() if entry in kept}}
        return {number: every[number] for number in numbers if number in every}

    def keep(self, small: Mapping[int, bytes]) -> None:
        """Keep these copies for a time when the files are not there."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as zipped:
            for number, content in sorted(small.items()):
                zipped.writestr(zipfile.ZipInfo(_entry(self.names[number - 1]), AT), content)
        files.write_bytes(self.source.benchmark.folder / ARCHIVE, buffer.getvalue())

    def lacking(self, numbers: Sequence[int], small: Mapping[int, bytes]) -> str:
        """How many of these files are not there, where they were looked for, and what to do; "" if none."""
        lost = [n for n in numbers if not files.is_there(self.root / self.names[n - 1])]
        if not lost:
            return ""
        kept = sum(number in small for number in lost)
        instead = f"small copies of {kept} were kept and stay" if kept else "it lacks them now"
        name, results = self.source.name, self.source.benchmark.folder.parent
        again = command("compare", name, data="NEWPLACE", results=results)
        return (
            f"{len(lost)} of the report's {len(numbers)} photographs are not in {printable(self.root)} any "
            f"more: {instead}; where they are now: `{again}`"
        )

    def _kept(self) -> dict[str, bytes]:
        """What was kept, by entry; {} where nothing was, or not whole."""
        try:
            with zipfile.ZipFile(self.source.benchmark.folder / ARCHIVE) as zipped:
                return {name: zipped.read(name) for name in zipped.namelist()}
        except (OSError, zipfile.BadZipFile):
            return {}


def _entry(name: str) -> str:
    """What a picture's copy is called in the archive: any name survives so."""
    return f"{hashlib.sha256(os.fsencode(name)).hexdigest()}.jpg"
