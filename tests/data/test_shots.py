"""Draws of k groups per class: nested, the same for all, no group on two sides, val out of the k."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from vitbench.data.shots import Pool, Shots, sizes_of
from vitbench.errors import UsageError
from vitbench.records import Picture, Split

CLASSES = ("a", "b", "c")


def split_of(per_class: int = 16, burst: int = 3) -> Split:
    """Three classes; every third picture begins a burst of `burst`; the test part is one picture of each."""
    pictures = []
    for label in CLASSES:
        for number in range(per_class):
            members = burst if number % 3 == 0 else 1
            for member in range(members):
                name = f"{label}{number}-{member}"
                group = f"together-{label}{number}" if members > 1 else name
                pictures.append(Picture(name, label, None, name, group, 8, 8))
    test = tuple(Picture(f"{c}-test", c, None, f"{c}-test", f"{c}-test", 8, 8) for c in CLASSES)
    return Split(Path(), CLASSES, tuple(pictures[1:]), tuple(pictures[:1]), test, "", 0, "digest")


@pytest.mark.parametrize("choosing", [False, True])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, "all"])
def test_a_burst_is_never_on_two_sides_of_a_draw(shots: Shots, choosing: bool) -> None:
    """Of each group all pictures learn, or all choose, or none is drawn: over 30 draws of bursts of three."""
    split = split_of()
    whole: dict[str, set[str]] = {}
    for picture in (*split.train, *split.val):
        whole.setdefault(picture.group, set()).add(picture.path)
    pool = Pool.of(split)
    for draw in range(30):
        part = pool.drawn(shots, f"draw {draw}", choosing=choosing)
        sides = [{p.group for p in side} for side in (part.train, part.val, part.test)]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        drawn = {p.path for p in (*part.train, *part.val)}
        assert all(members <= drawn or not members & drawn for members in whole.values())


def test_k_counts_groups() -> None:
    """Four per class are four groups, however many pictures they hold."""
    part = Pool.of(split_of()).drawn(4, "x", choosing=False)
    for label in CLASSES:
        assert len({p.group for p in part.train if p.label == label}) == 4
    assert len(part.train) > 12


def test_small_draws_lie_inside_large_ones() -> None:
    """A prefix of one order per class, another one for another draw."""
    pool = Pool.of(split_of())
    some = [{p.path for p in pool.drawn(k, "x", choosing=False).train} for k in (1, 2, 4, 8, 16)]
    assert all(a < b for a, b in itertools.pairwise(some))
    assert {p.path for p in pool.drawn(4, "y", choosing=False).train} != some[2]


def test_a_draw_is_by_content_not_by_name() -> None:
    """Renamed pictures are drawn alike."""
    split = split_of()
    renamed = dataclasses.replace(
        split, train=tuple(dataclasses.replace(p, path=f"z/{p.path}") for p in split.train)
    )
    parts = [Pool.of(one).drawn(3, "x", choosing=False) for one in (split, renamed)]
    assert {p.sha256 for p in parts[0].train} == {p.sha256 for p in parts[1].train}


def test_scenes_that_hold_every_class_count_for_each() -> None:
    """Nine scenes of one picture per class: four per class are four scenes, nested, none on two sides."""
    pictures = [
        Picture(f"{c}{n}", c, None, f"{c}{n}", f"together-{n}", 8, 8) for n in range(9) for c in CLASSES
    ]
    pool = Pool.of(dataclasses.replace(split_of(), train=tuple(pictures), val=()))
    assert (pool.least, pool.mean) == (9, 9)
    part = pool.drawn(4, "x", choosing=True)
    scenes = [{p.group for p in side} for side in (part.train, part.val)]
    assert [len(some) for some in scenes] == [3, 1]
    assert not scenes[0] & scenes[1]
    larger = {p.group for p in pool.drawn(8, "x", choosing=False).train}
    assert scenes[0] | scenes[1] < larger


def test_val_comes_out_of_the_k() -> None:
    """With 8 groups per class 7 learn and 1 chooses; with 2 all learn, and nothing chooses."""
    pool = Pool.of(split_of())
    part = pool.drawn(8, "x", choosing=True)
    for label in CLASSES:
        counts = [len({p.group for p in side if p.label == label}) for side in (part.train, part.val)]
        assert counts == [7, 1]
    both = pool.drawn(8, "x", choosing=False)
    assert {*part.train, *part.val} == set(both.train)
    assert pool.drawn(2, "x", choosing=True).val == ()


def test_sizes_that_a_class_has_not_are_left_out_and_named() -> None:
    """16 groups a class: 32 is refused with the class named; 16 is all of them."""
    pools = [Pool.of(split_of())]
    sizes, notes = sizes_of(pools, (1, 4, 16, 32, "all"))
    assert sizes == {"1": 1.0, "4": 4.0, "all": 16.0}
    assert notes == ["32 per class left out: class 'a' has 16 to learn from"]
    with pytest.raises(UsageError, match="32 per class left out"):
        sizes_of(pools, (32,))
