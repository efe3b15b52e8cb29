"""A benchmark whose pictures have moved: where they are now is checked by content, and recorded."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vitbench import files
from vitbench.benchmark.folder import writing
from vitbench.errors import ClassesError, UsageError, VitbenchError
from vitbench.files import printable
from vitbench.records import Benchmark, Settings


def place_of(benchmark: Benchmark, way_on: str) -> Path:
    """Where its pictures are by `benchmark.json`; VitbenchError, with the command `way_on`, if no more."""
    place = Path(benchmark.manifest["data"])
    if not place.is_dir():
        raise VitbenchError(
            f"{benchmark.folder}: its pictures are not in {printable(place)} any more; where they are now, "
            f"`{way_on}` goes on"
        )
    return place


@contextlib.contextmanager
def hinted(way_on: str) -> Iterator[None]:
    """A folder that has become empty, as a disk that is not mounted, is told with the command `way_on`."""
    try:
        yield
    except ClassesError as error:
        raise ClassesError(
            f"{error}; where its pictures have moved: `{way_on}`" if way_on else str(error)
        ) from error


def with_group(settings: Settings, benchmark: Benchmark, data: Path | None) -> Settings:
    """The settings with the table of groups that moved along with the pictures."""
    old, group = Path(benchmark.manifest["data"]), Path(settings.group or "")
    if data is None or not group.is_absolute() or group.exists() or not group.is_relative_to(old):
        return settings
    return settings.model_copy(update={"group": str(data.resolve() / group.relative_to(old))})


def record(benchmark: Benchmark, place: Path, group: str | None) -> str:
    """Note in `benchmark.json` where its pictures, whose content was compared, are now; a line, or "".

    `group`: its setting of that name, a table that may have moved along.
    """
    with writing(benchmark):
        manifest = benchmark.manifest
        before, now = manifest["data"], str(place.resolve())
        if before == now and manifest["settings"].get("group") == group:
            return ""
        settings = {**manifest["settings"], "group": group}
        files.write_json(benchmark.folder / "benchmark.json", {**manifest, "data": now, "settings": settings})
    return f"{benchmark.name}: its pictures are in {printable(now)} now (before: {printable(before)})"


def relocate(benchmark: Benchmark, place: Path) -> str:
    """Record that its pictures are in `place`, if all are there with their content; a line, or "".

    UsageError names what is missing or differs; nothing is written then.
    """
    if not files.is_there(place):
        near = files.near_path(place, folder=True) or f", which should hold the pictures of {benchmark.name}"
        raise UsageError(f"--data {printable(place)}: no such folder{printable(near)}")
    missing, other = [], []
    for row in benchmark.split_rows():
        path = place / row["path"]
        if not files.is_there(path):
            missing.append(row["path"])
        elif files.sha256_of(path) != row["sha256"]:
            other.append(row["path"])
    parts = [
        f"{len(found)} of {len(benchmark.split_rows())} {what} (first: {printable(found[0])})"
        for what, found in (("are not there", missing), ("have another content", other))
        if found
    ]
    if parts:
        raise UsageError(
            f"--data {printable(place)}: does not hold the pictures of {benchmark.name}: {', '.join(parts)}"
        )
    return record(benchmark, place, with_group(benchmark.settings, benchmark, place).group)
