"""Sets on the Hugging Face hub: tables (parquet) with a picture and a named class in each row."""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitbench.data.decode import is_picture_name
from vitbench.data.public.download import SILENT_SECONDS, Checksum, Remote
from vitbench.data.public.pictures import Entry
from vitbench.errors import UsageError, VitbenchError, first_line
from vitbench.files import printable
from vitbench.records import Part

PARTS: dict[str, Part] = {
    "train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test",
}  # fmt: skip
"""What the hub calls a part."""
_TABLE = re.compile(rf"(?:^|/)({'|'.join(PARTS)})[-/.][^/]*parquet$")
ROWS = 64
"""Rows of pictures in memory at a time."""
SIGNS = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"GIF8", ".gif"))
"""How files of a kind begin."""


@dataclass(frozen=True)
class Listing:
    """What the hub has of a set."""

    tables: tuple[tuple[Part, Remote], ...]
    licence: str
    """As its card says; "" where it says nothing."""


def listing(repository: str) -> Listing:
    """The tables of OWNER/NAME, with their sizes and sums, and its licence.

    VitbenchError where the hub cannot be reached or has no such set, UsageError where it is not in tables of
    parts that are known.
    """
    from huggingface_hub import HfApi, constants, get_token, hf_hub_url

    try:
        info = HfApi().dataset_info(repository, files_metadata=True, timeout=SILENT_SECONDS)
    except Exception as error:  # whatever the HTTP library raises is the answer
        raise VitbenchError(_refusal(repository, error, constants.ENDPOINT)) from error
    tables: list[tuple[Part, Remote]] = []
    headers = {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}
    for one in sorted(info.siblings or (), key=lambda one: one.rfilename):
        if found := _TABLE.search(one.rfilename):
            address = hf_hub_url(repository, one.rfilename, repo_type="dataset", revision=info.sha)
            name = one.rfilename.replace("/", "-")
            kind: Checksum = "sha256" if one.lfs else "git"
            checksum = one.lfs.sha256 if one.lfs else str(one.blob_id)
            tables.append((PARTS[found[1]], Remote(address, name, kind, checksum, one.size, headers)))
    if not any(part == "train" for part, _ in tables):
        raise UsageError(f"{repository}: no tables train-….parquet on the hub; only such sets can be fetched")
    return Listing(tuple(tables), _licence(info))


def _licence(info: Any) -> str:
    said = info.card_data.get("license") if info.card_data else ""
    return ", ".join(said) if isinstance(said, list) else str(said or "")


def _refusal(repository: str, error: BaseException, endpoint: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return f"{repository}: {endpoint} has no such data set, or it needs a login (HTTP {status})"
    if status is not None:
        return f"{repository}: {endpoint} answered HTTP {status}; try again later"
    return f"{repository}: {endpoint} cannot be reached ({first_line(error)}); run it again when it can"


@dataclass
class TableReader:
    """The pictures in tables that were downloaded."""

    repository: str
    tables: Sequence[tuple[Part, Path]]
    _starts: list[int] = field(default_factory=list)
    """The place of each table's first row."""

    def entries(self) -> list[Entry]:
        """See `Reader`. Only the classes and names are read, no pictures."""
        found: list[Entry] = []
        numbers: Counter[str] = Counter()
        self._starts = []
        for part, path in self.tables:
            self._starts.append(len(found))
            with _opened(path) as table:
                image, label, classes = self._columns(table)
                labels = table.read(columns=[label]).column(label).to_pylist()
                names = _names(table, image)
            for row, (index, name) in enumerate(itertools.zip_longest(labels, names)):
                place = len(found)
                if index is None or not 0 <= index < len(classes):
                    raise VitbenchError(f"{self.repository}: row {row} of {path.name} has no class")
                found.append(Entry(part, classes[index], name or f"{numbers[part]:06d}", place))
                numbers[part] += 1
        return found

    def write(self, chosen: Sequence[tuple[Entry, Path]], on_progress: Callable[[int, int], None]) -> None:
        """See `Reader`; a table's rows in pieces, of those groups of rows only that hold any of them."""
        wanted = {entry.place: path for entry, path in chosen}
        done = 0
        for start, (_, path) in zip(self._starts, self.tables, strict=True):
            with _opened(path) as table:
                image, _, _ = self._columns(table)
                for row, content in _contents(table, image, {p - start for p in wanted if p >= start}):
                    target = wanted[start + row]
                    target.with_name(_with_suffix(target.name, content)).write_bytes(content)
                    on_progress(done := done + 1, len(chosen))

    def _columns(self, table: Any) -> tuple[str, str, list[str]]:
        """The column of pictures, that of classes, and the classes' names by their index."""
        metadata = table.schema_arrow.metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        kinds: defaultdict[str, list[str]] = defaultdict(list)
        for name, about in features.items():
            kinds[about.get("_type", "") if isinstance(about, dict) else ""].append(name)
        if not kinds["Image"] or not kinds["ClassLabel"]:
            raise UsageError(
                f"{self.repository}: a picture and a class with names are needed, its tables have "
                f"{', '.join(map(printable, features)) or 'no described columns'}"
            )
        label = "label" if "label" in kinds["ClassLabel"] else kinds["ClassLabel"][0]
        return kinds["Image"][0], label, list(features[label]["names"])


def refuse_without_reader() -> None:
    """Raise VitbenchError where nothing is installed that reads the tables."""
    if find_spec("pyarrow") is None:
        raise VitbenchError(
            "sets on the hub are tables (parquet), which pyarrow reads: pip install 'vitbench[hub]'"
        )


def _opened(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _with_suffix(name: str, content: bytes) -> str:
    """A file name by which the picture is known as one."""
    if is_picture_name(name):
        return name
    return name + next((suffix for sign, suffix in SIGNS if content.startswith(sign)), ".jpg")


def _names(table: Any, image: str) -> list[str]:
    """The file name of each row's picture, "" where it has none."""
    column = table.read(columns=[f"{image}.path"]).column(image).to_pylist()
    return [Path((one or {}).get("path") or "").name for one in column]


def _contents(table: Any, image: str, rows: set[int]) -> Iterator[tuple[int, bytes]]:
    """The bytes of the pictures in these rows, in their order."""
    first = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        if any(first <= row < first + count for row in rows):
            at = first
            for batch in table.iter_batches(ROWS, row_groups=[group], columns=[f"{image}.bytes"]):
                for place, value in enumerate(batch.column(0)):
                    if at + place in rows:
                        yield at + place, value["bytes"].as_py()
                at += batch.num_rows
        first += count
