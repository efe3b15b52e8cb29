"""Random labels: the curve of a sweep stays at chance at every size."""

import dataclasses
from pathlib import Path

import numpy as np

from vitbench.benchmark.sweep_folder import Place
from vitbench.benchmark.sweep_probed import Drawn, cell_of
from vitbench.data.shots import Pool
from vitbench.records import Picture, Split

CLASSES = ("a", "b", "c", "d")


def test_random_labels_stay_at_chance_at_every_size() -> None:
    """400 test pictures of four classes, 10 draws: within four standard errors of a quarter."""
    rng = np.random.default_rng(0)

    def some(count: int, name: str) -> tuple[Picture, ...]:
        names = [f"{name}{i}" for i in range(count)]
        return tuple(Picture(one, CLASSES[rng.integers(4)], None, one, one, 8, 8) for one in names)

    split = Split(Path(), CLASSES, some(80, "train"), some(12, "val"), some(400, "test"), "", 0, "digest")
    pictures = (*split.train, *split.val, *split.test)
    features = {p.path: rng.normal(size=24).astype(np.float32) for p in pictures}
    pool = Pool.of(split)
    drawn = Drawn(split, [pool], {}, 10)
    for shots in ("1", "4", "16", "all"):
        cells = [cell_of(Place("m", shots, draw, 0), drawn, features) for draw in range(1, 11)]
        share = np.mean([cell.right.count("1") / 400 for cell in cells])
        assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_the_labels_are_learned_where_they_mean_something() -> None:
    """The same with features that hold the class: the test above could fail."""
    rng = np.random.default_rng(0)
    names = [f"p{i}" for i in range(200)]
    pictures = tuple(Picture(one, CLASSES[i % 4], None, one, one, 8, 8) for i, one in enumerate(names))
    split = Split(Path(), CLASSES, pictures[:96], (), pictures[96:], "", 0, "digest")
    features = {
        p.path: (np.eye(4)[CLASSES.index(p.label)] + 0.1 * rng.normal(size=4)).astype(np.float32)
        for p in pictures
    }
    cell = cell_of(Place("m", "4", 1, 0), Drawn(split, [Pool.of(split)], {}, 1), features)
    assert dataclasses.asdict(cell)["right"].count("1") > 95
