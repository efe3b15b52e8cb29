"""Test pictures that training knows, as copies or near-copies, and the scores without them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitbench.comparison.candidates import TestSet
from vitbench.comparison.words import listed, pictures
from vitbench.records import Array, Benchmark, percent

if TYPE_CHECKING:
    from vitbench.comparison.rows import Row


@dataclass(frozen=True, kw_only=True)
class Known:
    """A test picture, and one like it that models learned from or were chosen by."""

    path: str
    """Of the test picture."""
    other: str
    part: str
    """Where the other one is: "train", "val"; "fold 2": tested there, so learned from in the other folds."""
    how: str
    """What was done to one to get the other, in words; "equal pixels"."""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """A model's accuracy on the test pictures that training does not know."""

    model: str
    n: int
    correct: float
    """A mean over seeds where there are several."""
    top1: float
    low: float
    """95 %."""
    high: float
    rank: tuple[int, int] | None
    """As of a row, among these pictures alone."""


def known_of(benchmarks: Sequence[Benchmark]) -> tuple[Known, ...]:
    """The test pictures of the first benchmark that some benchmark's training knows, each pair once."""
    first = TestSet.of(benchmarks[0])
    named: dict[str, list[str]] = {}
    for content, path in zip(first.contents, first.paths, strict=True):
        named.setdefault(content, []).append(path)
    found: dict[tuple[str, str], Known] = {}
    for benchmark in benchmarks:
        leaks = benchmark.leaks()
        contents = {row["path"]: row["sha256"] for row in benchmark.split_rows()} if leaks else {}
        for leak in leaks:
            sides = [(leak.path, leak.part, leak.other, leak.other_part)]
            if leak.other_part.startswith("fold"):  # each is tested, and learned from where the other is
                sides.append((leak.other, leak.other_part, leak.path, leak.part))
            for path, part, other, other_part in sides:
                if part in ("train", "val"):
                    continue
                for tested in named.get(contents.get(path, ""), ()):
                    how = leak.how or "equal pixels"
                    found[tested, other] = Known(path=tested, other=other, part=other_part, how=how)
    return tuple(found.values())


def unknown(known: Sequence[Known], test: TestSet) -> Array:
    """(n,) bool: the test pictures that training does not know."""
    paths = {one.path for one in known}
    return np.array([path not in paths for path in test.paths], dtype=bool)


def clean_of(rows: Sequence["Row"]) -> tuple[Clean, ...]:
    """The accuracies of the tested rows of a table without the pictures that training knows."""
    return tuple(
        Clean(
            model=row.model,
            n=row.n_test,
            correct=float(row.correct),
            top1=row.top1,
            low=row.top1_low or 0.0,
            high=1.0 if row.top1_high is None else row.top1_high,
            rank=row.rank,
        )
        for row in rows
        if row.top1 is not None and row.correct is not None
    )


def leak_notes(known: Sequence[Known], clean: Sequence[Clean], n: int) -> list[str]:
    """How many test pictures training knows, and what is left of the scores without them."""
    many = len({one.path for one in known})
    if not many:
        return []
    are = "is a copy or near-copy" if many == 1 else "are copies or near-copies"
    said = (
        f"{many} of {pictures(n)} {are} of pictures that the models learned from or were chosen by "
        "(leaks.csv): their scores may be too good"
    )
    if not clean:
        return [f"{said}; no test picture is left without them"]
    each = [f"{one.model} {percent(one.top1)} % [{percent(one.low)}, {percent(one.high)}]" for one in clean]
    return [f"{said}. On the other {clean[0].n}: {listed(each)}"]
