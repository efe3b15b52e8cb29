"""Simulated power at the number of pictures that is named."""

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_mcnemar, grid

from vitbench.comparison.power import pictures_needed, power, seeds_pictures_needed
from vitbench.comparison.seeds import difference_parts, seeds_difference
from vitbench.comparison.statistics import ALPHA


def promised_power(rng: np.random.Generator, runs: int) -> Section:
    drawn = Rate("exact McNemar at the promised number of pictures", runs)
    computed = Rate("`power` there", 0)
    for cell in grid(gap=(0.03, 0.05, 0.1, 0.2), discordance=(0.1, 0.2, 0.4), pairs=(1, 3, 15)):
        gap, psi, pairs = cell["gap"], max(cell["discordance"], cell["gap"]), cell["pairs"]
        n = pictures_needed(gap, psi, pairs)
        assert n is not None
        table = rng.multinomial(n, [(psi + gap) / 2, (psi - gap) / 2, 1 - psi], size=runs)
        found = [cached_mcnemar(int(a), int(b)) <= ALPHA / pairs for a, b, _ in table]
        drawn.add({**cell, "pictures": n}, np.mean(found))
        computed.add({**cell, "pictures": n}, power(n, gap, psi, pairs))
    words = (
        "`pictures_needed` names a test set size; two models with just that gap and discordance (share of "
        "pictures that only one gets right) answer test sets of that size. Counted is p ≤ .05 / pairs; it "
        "should be 80 %, a little more where few pictures suffice."
    )
    return Section("Power at the number of pictures that is named", words, [drawn, computed], False, 0)


def promised_power_of_seeds(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("t over images × seeds at the number named by a first benchmark", runs)
    named = Rate("(share of first benchmarks that name a number)", runs)
    for cell in grid(seeds=(3, 5), gap=(0.05, 0.1), seed_sd=(0.0, 0.05)):
        k, gap, seed_sd = cell["seeds"], cell["gap"], cell["seed_sd"]
        accuracies = (0.85, 0.85 - gap)
        firsts = World(200, k, seed_sd).right(rng, runs, accuracies)
        sizes = [seeds_pictures_needed(difference_parts(a, b), 200, gap) for a, b in firsts]
        usable = [n for n in sizes if n is not None]
        named.add(cell, len(usable) / runs)
        if usable:
            n = int(np.median(usable))
            later = World(n, k, seed_sd).right(rng, runs, accuracies)
            rate.add({**cell, "pictures": n}, np.mean([seeds_difference(a, b).p <= ALPHA for a, b in later]))
    words = (
        "First benchmarks of 200 pictures name how many would show the gap; new ones have the median of "
        "those numbers. Such a plan is rough, because three seeds tell their own variance badly: the power "
        "is 65 to 90 % rather than 80, and where seeds vary by .05 probits (1 point) most first benchmarks "
        "with three seeds say that only more seeds can show 5 points. No target."
    )
    return Section(
        "Power at the number of pictures that is named: several seeds", words, [rate, named], False, 0
    )


PARTS = (Part(10, 10_000, promised_power), Part(11, 1000, promised_power_of_seeds))
