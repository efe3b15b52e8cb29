"""How often the interval of a doubling's gain covers the gain between fresh training sets on fresh pictures.

Classes are clouds of heavy tails, the classifier is ridge regression; pool and test pictures are drawn anew
in each sweep, and draws are prefixes of one order per class, as in `vitbench sweep`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.comparison.learning import Curve, gain
from vitbench.records import Array

CLASSES, RIDGE = 5, 10.0


@dataclass(frozen=True)
class World:
    """What a sweep is made in."""

    dimensions: int
    apart: float
    pool: int
    """Pictures per class to draw from."""
    sizes: tuple[int, int]
    tested: int
    draws: int = 20


WORLDS = (
    World(40, 0.5, 45, (16, 32), 275),
    World(40, 0.5, 32, (16, 32), 100),
    World(10, 0.7, 40, (16, 32), 275),
    World(40, 0.8, 40, (16, 32), 500),
    World(200, 0.3, 40, (16, 32), 275),
    World(40, 0.5, 32, (16, 32), 1000),
)


def covered(world: World, sweeps: int, truths: int = 300) -> float:
    """The share of sweeps whose 95 % interval holds the true gain."""
    centres = np.random.default_rng(1).normal(0, world.apart, (CLASSES, world.dimensions))
    small, large = world.sizes
    true = _truth(centres, large, truths) - _truth(centres, small, truths)
    held = 0
    for sweep in range(sweeps):
        found = gain(_curve(centres, world, sweep), 0, 1, None)
        held += abs(found.value - true) <= found.half_width
    return held / sweeps


def _curve(centres: Array, world: World, sweep: int) -> Curve:
    rng = np.random.default_rng(1000 + sweep)
    pool, test = _sampled(rng, centres, world.pool), _sampled(rng, centres, world.tested // CLASSES)
    right: tuple[list[Array], list[Array]] = ([], [])
    for draw in range(world.draws):
        order = np.stack([c * world.pool + rng.permutation(world.pool) for c in range(CLASSES)])
        for size, rows in zip(world.sizes, right, strict=True):
            if size < world.pool or draw == 0:
                chosen = order[:, :size].ravel()
                rows.append(_right(pool[0][chosen], pool[1][chosen], *test))
    sizes = (float(world.sizes[0]), float(world.sizes[1]))
    return Curve("model", sizes, (np.array(right[0]), np.array(right[1])), world.pool)


def _truth(centres: Array, size: int, sets: int) -> float:
    rng = np.random.default_rng(99)
    test = _sampled(rng, centres, 4000)
    return float(np.mean([_right(*_sampled(rng, centres, size), *test).mean() for _ in range(sets)]))


def _sampled(rng: Any, centres: Array, per_class: int) -> tuple[Array, Array]:
    labels = np.repeat(np.arange(CLASSES), per_class)
    return centres[labels] + rng.standard_t(5, size=(len(labels), centres.shape[1])), labels


def _right(features: Array, labels: Array, test: Array, answers: Array) -> Array:
    mean = features.mean(axis=0)
    centred, wanted = features - mean, np.eye(CLASSES)[labels] - 1 / CLASSES
    inner = centred @ centred.T + RIDGE * np.eye(len(centred))
    weight = centred.T @ np.linalg.solve(inner, wanted)
    return np.asarray(((test - mean) @ weight).argmax(axis=1) == answers)


if __name__ == "__main__":
    for one in WORLDS:
        print(one, f"covered: {covered(one, 200):.3f}", flush=True)
