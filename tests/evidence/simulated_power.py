"""Simulated power at the number of pictures that is named."""

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_mcnemar, grid

from vitbench.comparison.inverted import Nets
from vitbench.comparison.power import (
    pictures_needed,
    power,
    seeds_pictures_needed,
    seeds_smallest_gap,
    telling_gap,
)
from vitbench.comparison.seeds import difference_parts, parts_with_seeds, seeds_difference
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


def promised_gap(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("a true gap of the size named for twice the pictures is shown there", runs)
    for cell in grid(pictures=(60, 200, 1000), discordance=(0.1, 0.2, 0.4), pairs=(1, 3)):
        n, psi, pairs = cell["pictures"], cell["discordance"], cell["pairs"]
        a = np.arange(n) < round(psi * n / 2)
        b = (np.arange(n) < round(psi * n)) & ~a
        gap = telling_gap(Nets.of(a, b, None), pairs, times=2)
        assert gap is not None
        psi = max(psi, gap)
        table = rng.multinomial(2 * n, [(psi + gap) / 2, (psi - gap) / 2, 1 - psi], size=runs)
        found = [cached_mcnemar(int(a), int(b)) <= ALPHA / pairs for a, b, _ in table]
        rate.add({**cell, "gap": f"{100 * gap:.1f}"}, np.mean(found))
    words = (
        'Under "what would change this answer" a report names, for twice the test pictures, the smallest '
        "measured lead that would show. Two models that are so far apart in truth, and disagree as often, "
        "answer test sets of that size; as such a lead comes out larger or smaller than the truth alike "
        "often, it should show in about half of them, more or less where counts are small. No target."
    )
    return Section("The gap that is named for twice the pictures", words, [rate], False, 0)


def promised_gap_of_seeds(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("the gap that 3 runs name for 6, over the one that 6 have", runs)
    for cell in grid(pictures=(60, 300), of_model=(0.0, 0.25, 0.45), seed_sd=(0.0, 0.05)):
        world = World(cell["pictures"], 6, cell["seed_sd"], shared=(0.5, cell["of_model"]))
        said, seen = [], []
        for a, b in world.right(rng, runs, (0.85, 0.85)):
            parts = parts_with_seeds(difference_parts(a[:3], b[:3]), (a[:3], b[:3]), 6)
            said.append(seeds_smallest_gap(parts) or np.nan)
            seen.append(seeds_smallest_gap(difference_parts(a, b)) or np.nan)
        rate.add(cell, np.nanmean(said) / np.nanmean(seen))
    words = (
        "The same for twice the trainings: 3 runs of each model name the gap that 6 would show; the mean of "
        "what they name over the mean of what 6 runs have. 100 % is exact. `of_model`: the part of the "
        "answers' variance that all runs of a model share, and more runs do not lessen (half is the "
        "picture's, the rest each run's own). No target."
    )
    return Section("The gap that is named for twice the trainings", words, [rate], False, 0)


PARTS = (
    Part(10, 10_000, promised_power),
    Part(11, 1000, promised_power_of_seeds),
    Part(28, 10_000, promised_gap),
    Part(29, 400, promised_gap_of_seeds),
)
