"""What models are given: test pictures cut once, on disk, then damaged or shifted for each condition."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vitbench.analysis.conditions import CLEAN, Offset
from vitbench.analysis.corruptions import CORRUPTIONS
from vitbench.analysis.shifts import crop, wider
from vitbench.comparison.opened import OpenBenchmark, TestSet
from vitbench.data.cuts import cut_in_batches
from vitbench.records import Array, Preprocessing

MADE = 1
"""Counts the ways in which pictures were damaged: another number, and every answer is asked for again."""
AT_A_TIME = 32
_CONDITION = re.compile(r"shift([+-]\d+)([+-]\d+)|(\w+)-([1-5])")


@dataclass
class Given:
    """The cuts of a benchmark's test pictures, uint8, by how they are made; in a file that nobody sees."""

    root: Path
    _kept: dict[tuple[Any, ...], Array] = field(default_factory=dict)
    _files: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, opened: OpenBenchmark) -> "Given":
        return cls(Path(str(opened.manifest["data"])))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.clear()
        for file in self._files:
            file.close()

    def cuts(self, test: TestSet, way: Preprocessing) -> Array:
        """(n, S, S, 3) uint8: pictures as a model takes them, before they are normalised.

        Raises `LostPictureError` naming a file that is gone or is no longer the one that was tested.
        """
        alike = replace(way, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        key = (alike, test.contents)
        if key not in self._kept:
            self._kept[key] = self._made(test, alike)
        return self._kept[key]

    def larger(self, test: TestSet, way: Preprocessing, size: int) -> Array:
        """The same of `size` px, the whole shorter side of the picture."""
        return self.cuts(test, replace(way, size=size, crop_pct=1.0, crop_mode="center"))

    def _made(self, test: TestSet, way: Preprocessing) -> Array:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with this object
        self._files.append(file)
        shape = (len(test.paths), way.size, way.size, 3)
        found = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
        for places, pixels in cut_in_batches(self.root, test.paths, test.contents, way, AT_A_TIME):
            found[places.start : places.stop] = pixels
        return found

    def of_condition(self, test: TestSet, way: Preprocessing, condition: str, seed: int) -> "Pixels":
        """The pictures under a condition, made when they are asked for."""
        told = _CONDITION.fullmatch(condition)
        if condition == CLEAN or told is None:
            cuts = self.cuts(test, way)
            return Pixels(lambda place: cuts[place], cuts)
        down, right, name, severity = told.groups()
        if name:
            cuts, one = self.cuts(test, way), CORRUPTIONS[name]
            return Pixels(
                lambda place: one.apply(cuts[place], int(severity), seed, test.contents[place]), cuts
            )
        wide, offset = self.cuts(test, wider(way)[0]), Offset(int(down), int(right))
        return Pixels(lambda place: crop(wide[place], offset, way.size), None)


@dataclass
class Pixels:
    """Pictures under one condition, by place, and what is noted of them while a model is given them."""

    make: Callable[[int], Array]
    before: Array | None
    """The same pictures undamaged, to measure the change; None: they are others."""
    _hash: Any = field(default_factory=hashlib.sha256)
    _change: float = 0.0
    _seen: int = 0

    def made(self, place: int) -> Array:
        """uint8 (S, S, 3)."""
        return np.ascontiguousarray(self.make(place))

    def note(self, cuts: Sequence[Array]) -> None:
        """The next ones in order."""
        for one in cuts:
            self._hash.update(one.tobytes())
            if self.before is not None:
                undamaged = self.before[self._seen].astype(np.int16)
                self._change += float(np.abs(one.astype(np.int16) - undamaged).mean())
            self._seen += 1

    @property
    def digest(self) -> str:
        """sha256 of all of them."""
        return str(self._hash.hexdigest())

    @property
    def change(self) -> float:
        """Mean |change| of a value, of 255; 0 where they are other pictures."""
        return self._change / max(self._seen, 1)
