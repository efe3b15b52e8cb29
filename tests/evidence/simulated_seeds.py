"""Simulated coverage of intervals over several seeds."""

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, grid, unequal

from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import seeds_accuracy


def seeds(rng: np.random.Generator, runs: int) -> Section:
    accuracy = Rate("accuracy over images × seeds", runs)
    difference = Rate("difference over images × seeds", runs)
    for cell in grid(
        seeds=(2, 3, 5), pictures=(30, 60, 150, 500), accuracy=(0.7, 0.85, 0.95), seed_sd=(0.0, 0.1, 0.3)
    ):
        world, p = World(cell["pictures"], cell["seeds"], cell["seed_sd"]), cell["accuracy"]
        drawn = list(world.right(rng, runs, (p, p - 0.05)))
        accuracy.add_intervals(cell, np.array([seeds_accuracy(a) for a, _ in drawn]), p)
        found = [seeds_difference(a, b) for a, b in drawn]
        difference.add_intervals(cell, np.array([(d.low, d.high) for d in found]), 0.05)
    words = (
        "New pictures and new seeds in every run; the truth is the mean accuracy over all of both. `seed_sd` "
        "is the spread of the seeds' skill in probits: .1 is a standard deviation of 2 to 3 points of "
        "accuracy at 85 %, .3 of 7. The true gap is 5 points. Two seeds tell little of how seeds vary, and "
        "it shows there."
    )
    return Section("Several seeds", words, [accuracy, difference])


def seeds_in_groups(rng: np.random.Generator, runs: int) -> Section:
    accuracy = Rate("accuracy over images × seeds, groups", runs)
    difference = Rate("difference over images × seeds, groups", runs)
    for cell in grid(groups=(10, 20, 40), size=("5", "1 to 11"), alike=(0.0, 0.5, 1.0), accuracy=(0.7, 0.9)):
        groups, p = unequal(cell["groups"], cell["size"]), cell["accuracy"]
        world = World(len(groups), 3, 0.1, groups, cell["alike"])
        drawn = list(world.right(rng, runs, (p, p - 0.05)))
        accuracy.add_intervals(cell, np.array([seeds_accuracy(a, groups) for a, _ in drawn]), p)
        found = [seeds_difference(a, b, groups) for a, b in drawn]
        difference.add_intervals(cell, np.array([(d.low, d.high) for d in found]), 0.05)
    words = "Three seeds (spread .1 probits), pictures in groups as above."
    return Section("Several seeds, pictures in groups", words, [accuracy, difference])


PARTS = (Part(3, 2000, seeds), Part(4, 2000, seeds_in_groups))
