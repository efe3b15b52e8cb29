"""Which size: advised by measured accuracy and cost alone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.sizes import which_size

LABELS = [0, 1] * 50


def wrong(n: int) -> list[int]:
    return [1 - label if i < n else label for i, label in enumerate(LABELS)]


def sized(folder: Path, mistakes: Sequence[int], sizes: Sequence[int], ms: Sequence[float]) -> Comparison:
    """One model at several sizes, of 100 test pictures so many wrong at each."""
    runs = {f"m{size}-s0": wrong(n) for size, n in zip(sizes, mistakes, strict=True)}
    found = compare(make_benchmark(folder / "b", runs, LABELS))
    costs = {f"m{size}": (size, time) for size, time in zip(sizes, ms, strict=True)}
    rows = [
        dataclasses.replace(
            row, of="vit", image_size=costs[row.model][0], latency_ms_p50=costs[row.model][1], device="cpu"
        )
        for row in found.rows
    ]
    return dataclasses.replace(found, rows=tuple(rows))


def test_a_smaller_size_is_enough_where_the_larger_is_not_shown_to_be_better(tmp_path: Path) -> None:
    """90 of 100 in 10 ms against 93 in 30: the price, the gain with its interval, and that it may be none."""
    said = which_size(sized(tmp_path, [10, 7], [112, 224], [10, 30]))
    assert said.startswith(
        "Which size? vit: 112 px (90 % [83, 94] in 10 ms a picture): 224 px costs 3.0 times"
    )
    assert "that for +3 points [" in said
    assert said.endswith("which 100 test pictures cannot tell from none.")


def test_a_larger_size_that_is_shown_to_be_better_is_advised(tmp_path: Path) -> None:
    """60 against 95 of 100."""
    said = which_size(sized(tmp_path, [40, 5], [112, 224], [10, 30]))
    assert said == (
        "Which size? vit: 224 px (95 % [89, 98] in 30 ms a picture); no more right at 112 px, shown to be "
        "better than 112 px."
    )


def test_accuracy_at_other_sizes_is_not_made_up(tmp_path: Path) -> None:
    """One size: where it was measured, and how another one would be."""
    said = which_size(sized(tmp_path, [10], [112], [10]))
    assert "measured at 112 px, of no model at two sizes: what another one would bring is not known" in said


def test_times_of_several_machines_are_not_set_against_each_other(tmp_path: Path) -> None:
    """Multiply-adds stand for them; where there are none either, nothing is advised."""
    found = sized(tmp_path, [10, 7], [112, 224], [10, 30])
    one, other = found.rows[:2]
    rows = (dataclasses.replace(one, device="cuda", gmacs=4.5), dataclasses.replace(other, gmacs=1.1))
    assert "1.10 GMACs" in which_size(dataclasses.replace(found, rows=rows))
    none = tuple(dataclasses.replace(row, gmacs=None) for row in rows)
    assert which_size(dataclasses.replace(found, rows=none)).endswith("was not measured at each size.")
