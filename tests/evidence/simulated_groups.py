"""Simulated coverage and false verdicts where test pictures stand in groups."""

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, grid, unequal

from vitbench.comparison.statistics import ALPHA, accuracy_interval, paired_difference


def grouped(rng: np.random.Generator, runs: int) -> list[Section]:
    accuracy = Rate("accuracy of one run, groups", runs)
    accuracy_plain = Rate("plain Wilson on the same", runs)
    difference = Rate("difference of two runs, groups", runs)
    difference_plain = Rate("plain Newcombe on the same", runs)
    flips = Rate("sign flips over groups", runs)
    plain = Rate("plain McNemar on the same", runs)
    sizes = ("2", "5", "10", "1 to 11")
    for cell in grid(
        groups=(10, 20, 40, 100), size=sizes, alike=(0.0, 0.3, 0.7, 1.0), accuracy=(0.7, 0.85, 0.95)
    ):
        groups = unequal(cell["groups"], cell["size"])
        world = World(len(groups), groups=groups, alike=cell["alike"], shared=(0.6, 0))
        p = cell["accuracy"]
        for gap in (0.0, 0.05):
            drawn = [(a[0], b[0]) for a, b in world.right(rng, runs // 2, (p, p - gap))]
            whole = [paired_difference(a, b, groups) for a, b in drawn]
            alone = [paired_difference(a, b) for a, b in drawn]
            at = {**cell, "gap": gap}
            difference.add_intervals(at, np.array([(d.low, d.high) for d in whole]), gap)
            difference_plain.add_intervals(at, np.array([(d.low, d.high) for d in alone]), gap)
            if gap == 0:
                flips.add(cell, np.mean([d.p <= ALPHA for d in whole]))
                plain.add(cell, np.mean([d.p <= ALPHA for d in alone]))
                accuracy.add_intervals(cell, np.array([accuracy_interval(a, groups) for a, _ in drawn]), p)
                accuracy_plain.add_intervals(cell, np.array([accuracy_interval(a) for a, _ in drawn]), p)
    for rate in (accuracy, accuracy_plain, difference, difference_plain, flips, plain):
        rate.runs = runs // 2
    world_words = (
        "Pictures come in groups (bursts, copies). `alike` is the correlation within a group of what decides "
        "right or wrong: 0 none, 1 copies."
    )
    return [
        Section(
            "Test pictures in groups",
            world_words + " What would happen if groups were ignored stands beside it.",
            [accuracy, difference, accuracy_plain, difference_plain],
            judged=2,
        ),
        Section(
            'False "better": test pictures in groups',
            world_words + " Both models are equally accurate; counted is p ≤ .05 for the one pair.",
            [flips, plain],
            coverage=False,
            judged=1,
        ),
    ]


PARTS = (Part(2, 1200, grouped),)
