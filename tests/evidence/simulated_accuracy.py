"""Simulated coverage of one run's accuracy, and of the difference of two runs."""

import numpy as np
from scipy.stats import binom
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_newcombe, counts_of, grid

from vitbench.inference.metrics import wilson


def plain_accuracy(_rng: np.random.Generator, _runs: int) -> Section:
    rate = Rate("Wilson, accuracy of one run", 0)
    for n in (10, 30, 60, 100, 200, 500):
        limits = np.array([wilson(k, n) for k in range(n + 1)])
        for p in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995):
            chance = binom.pmf(np.arange(n + 1), n, p)
            inside = (limits[:, 0] <= p) & (p <= limits[:, 1])
            width = float(chance @ (limits[:, 1] - limits[:, 0]))
            rate.add({"pictures": n, "accuracy": p}, float(chance @ inside), width)
    words = (
        "Nothing is drawn here: for every test set size and true accuracy the chances of all possible counts "
        "are summed. Coverage of any interval from whole counts jumps with n and p; judge the mean."
    )
    return Section("Accuracy of one run", words, [rate])


def plain_difference(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("Newcombe, difference of two runs", runs)
    cells = grid(pictures=(30, 60, 200, 500), accuracy=(0.7, 0.85, 0.95), gap=(0.0, 0.05), agree=(0.3, 0.8))
    for cell in cells:
        p, gap, agree = cell["accuracy"], cell["gap"], cell["agree"]
        limits = [
            cached_newcombe(*counts_of(a[0], b[0]))
            for a, b in World(cell["pictures"], shared=(agree, 0)).right(rng, runs, (p, p - gap))
        ]
        rate.add_intervals(cell, np.array(limits), gap)
    words = (
        "Two fixed models answer new random test sets. `agree` is the share of variance in being right that "
        "they have in common."
    )
    return Section("Difference of two runs", words, [rate])


PARTS = (Part(0, 0, plain_accuracy), Part(1, 4000, plain_difference))
