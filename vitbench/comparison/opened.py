"""A benchmark's manifest and the pictures that it reports on, read once."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.records import Array, Benchmark


@dataclass(frozen=True)
class TestSet:
    """The pictures that a benchmark reports on."""

    __test__ = False  # not a test, whatever pytest makes of its name

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    contents: tuple[str, ...]
    """sha256 of each file."""
    groups: tuple[str, ...]
    """What each picture stands together with: copies of it, its burst, its scene."""

    @property
    def group_numbers(self) -> Array | None:
        """(n,) int64: a number per group; None where every picture is a group of its own."""
        numbers = self.unit_numbers
        return numbers if len(set(self.groups)) < len(self.groups) else None

    @property
    def alone(self) -> Array:
        """(G,) places of pictures that stand for themselves: one per group, the first by content.

        Never by class: in groups that hold several classes the same one would stand for all of them.
        """
        first: dict[str, int] = {}
        for place in sorted(range(len(self.paths)), key=lambda i: (self.contents[i], self.paths[i])):
            first.setdefault(self.groups[place], place)
        return np.array(list(first.values()), dtype=np.int64)

    @property
    def unit_numbers(self) -> Array:
        """(n,) int64: a number per group, counted up in the order of content, which no path changes."""
        numbers: dict[str, int] = {}
        for place in self.sorted_places():
            numbers.setdefault(self.groups[place], len(numbers))
        return np.array([numbers[group] for group in self.groups], dtype=np.int64)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> "TestSet":
        """The test rows among those of `split.csv`, in their order."""
        columns = (
            tuple(row[name] for row in rows if row["split"] == "test")
            for name in ("path", "class", "sha256", "group")
        )
        return cls(*columns)

    def only(self, kept: Array) -> "TestSet":
        """The pictures in `kept`, (n,) bool or (m,) places, in their order."""
        columns = (self.paths, self.labels, self.contents, self.groups)
        return TestSet(*(tuple(np.array(column, dtype=object)[kept].tolist()) for column in columns))

    def sorted_places(self) -> list[int]:
        """Places of the pictures in an order that depends on content first: equal for equal test sets."""
        keys = list(zip(self.labels, self.contents, self.paths, strict=True))
        return sorted(range(len(keys)), key=lambda i: keys[i])

    def like(self, other: "TestSet") -> "TestSet":
        """The same pictures in the order of `other`, which must hold the same contents."""
        order = np.zeros(len(self.paths), dtype=np.int64)
        order[other.sorted_places()] = self.sorted_places()
        return self.only(order)


@dataclass(frozen=True)
class OpenBenchmark:
    """A benchmark whose manifest and split have been read."""

    benchmark: Benchmark
    manifest: Mapping[str, Any]
    rows: tuple[Mapping[str, str], ...]
    """Of `split.csv`."""

    @classmethod
    def of(cls, benchmark: Benchmark) -> "OpenBenchmark":
        return cls(benchmark, benchmark.manifest, tuple(benchmark.split_rows()))

    @property
    def name(self) -> str:
        return self.benchmark.name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def split(self) -> Mapping[str, Any]:
        """What the manifest says of it."""
        return dict(self.manifest["split"])

    @property
    def folds(self) -> int:
        return int(self.split.get("folds", 0))

    @functools.cached_property
    def test(self) -> TestSet:
        return TestSet.of(self.rows)

    @property
    def train_labels(self) -> list[str]:
        """The class of each training picture; with folds every picture trains some models."""
        return [row["class"] for row in self.rows if row["split"] == ("test" if self.folds else "train")]
