"""The folder of a sweep: what it is of, and its cells, to which each is added as soon as it is done."""

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.analysis.sweep import Cell
from vitbench.data.shots import Shots
from vitbench.errors import UsageError
from vitbench.locks import locked
from vitbench.records import Fingerprints, Picture, Split
from vitbench.records.fingerprints import TESTED_ON
from vitbench.records.results import evaluations_in, note_evaluation

COLUMNS = (
    "model", "shots", "draw", "seed", "groups", "pictures", "val", "correct", "n", "key", "right",
)  # fmt: skip
"""Of cells.csv. groups, pictures, val: per class; key: of all else that decides the answers."""
TESTED = ("path", "class", "sha256", "group", "fold")
MANIFEST, CELLS, TESTED_CSV = "sweep.json", "cells.csv", "tested.csv"


@dataclass(frozen=True)
class Place:
    """One cell: a model, a size, a draw, a seed."""

    model: str
    shots: str
    draw: int
    seed: int


def places(model: str, seed: int, sizes: Iterable[str], draws: int) -> list[Place]:
    """The cells of a model: so many draws of each size, but one of all of the pool."""
    return [
        Place(model, size, draw, seed)
        for size in sizes
        for draw in range(1, (1 if size == "all" else draws) + 1)
    ]


@dataclass(frozen=True)
class Computed:
    """What came of cells that were asked for."""

    cells: tuple[Cell, ...]
    models: frozenset[str]
    """Those that answered in this call."""
    failed: tuple[str, ...]
    """A line for each cell, or network, that came to nothing."""


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep lies."""

    folder: Path

    @contextmanager
    def taken(self, split: Split, about: Mapping[str, Any]) -> Iterator[None]:
        """For this process alone, made if need be; UsageError where it is of other pictures, or no sweep."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = self.folder / MANIFEST
        begun = (TESTED_CSV, TESTED_ON)
        if not manifest.exists() and any(
            not one.name.startswith(".") and one.name not in begun for one in self.folder.iterdir()
        ):
            raise UsageError(f"{self.folder}: exists and is no sweep; choose another --name")
        digest = identity(split)
        with locked(self.folder):
            if not manifest.exists():
                files.write_csv(self.folder / TESTED_CSV, TESTED, tested_rows(split))
                Fingerprints.of(("test", one) for one in tested(split)).write(self.folder / TESTED_ON)
                created = time.strftime("%Y-%m-%dT%H:%M:%S%z")
                files.write_json(manifest, {"created": created, "digest": digest, **about})
            elif (stored := files.read_json(manifest))["digest"] != digest:
                before = str(stored.get("split", ""))
                change = (
                    f"{before} → {split.rule}" if before != split.rule else "its pictures or groups changed"
                )
                raise UsageError(f"{self.folder}: a sweep of another split ({change}); use a new --name")
            yield

    def cells(self, keys: Mapping[str, str]) -> dict[Place, Cell]:
        """What is there, of models with these keys, by model; what was done otherwise is passed over."""
        found: dict[Place, Cell] = {}
        for row in files.appended_rows(self.folder / CELLS):
            if keys.get(row["model"]) == row["key"]:
                place = Place(row["model"], row["shots"], int(row["draw"]), int(row["seed"]))
                found.setdefault(place, Cell(
                    row["model"], row["shots"], place.draw, place.seed, float(row["groups"]),
                    float(row["pictures"]), row["right"],
                ))  # fmt: skip
        return found

    def add(self, cell: Cell, val: float, key: str) -> None:
        """Durably; `val`: pictures per class that chose the epoch."""
        row = {
            "model": cell.model, "shots": cell.shots, "draw": cell.draw, "seed": cell.seed,
            "groups": cell.groups, "pictures": cell.pictures, "val": val,
            "correct": cell.right.count("1"), "n": len(cell.right), "key": key, "right": cell.right,
        }  # fmt: skip
        files.append_row(self.folder / CELLS, COLUMNS, row)

    def count_looks(self, models: Collection[str], pictures: int) -> int:
        """Note that these answered the test pictures in this call; how often that has been by now."""
        for _ in models:
            note_evaluation(self.folder, "sweep", pictures)
        return len(evaluations_in(self.folder))


def parts_of(split: Split) -> tuple[Split, ...]:
    """Its folds, or itself."""
    return split.folds or (split,)


def tested(split: Split) -> list[Picture]:
    """The test pictures in the order of every cell's answers: those of each fold in turn."""
    return [picture for part in parts_of(split) for picture in part.test]


def tested_rows(split: Split) -> Iterator[dict[str, Any]]:
    """The rows of tested.csv."""
    for number, part in enumerate(parts_of(split), start=1):
        for one in part.test:
            fold = number if split.folds else ""
            values = (one.path, one.label, one.sha256, one.group, fold)
            yield dict(zip(TESTED, values, strict=True))


def identity(split: Split) -> str:
    """Of which pictures are tested, which are drawn from, and which of them stand together."""
    learn: Iterable[Picture] = {p for part in parts_of(split) for p in (*part.train, *part.val)}
    groups = sorted(f"{p.sha256}\0{p.group}" for p in learn)
    return hashlib.sha256(files.readable("\n".join([split.digest, *groups])).encode()).hexdigest()


def draw_key(split: Split, draw: int, fold: int) -> str:
    """What decides a draw; folds draw independently."""
    return f"{split.seed} sweep {draw} {fold}"


def shots_of(size: str) -> Shots:
    """A size by its name."""
    return "all" if size == "all" else int(size)


def right_of(correct: Sequence[bool]) -> str:
    """ "101": right, wrong, right."""
    return "".join("1" if one else "0" for one in correct)
