"""Simulated tables of several models without a difference: how many claim one."""

from itertools import combinations

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_mcnemar, counts_of, grid

from vitbench.comparison.seeds import seed_parts, seeds_difference
from vitbench.comparison.statistics import ALPHA, holm


def families(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("exact McNemar and Holm, fixed models of equal accuracy", runs)
    for cell in grid(models=(2, 3, 6), pictures=(30, 60, 200, 1000), accuracy=(0.7, 0.85, 0.95)):
        world = World(cell["pictures"], shared=(0.6, 0))
        false = 0
        for right in world.right(rng, runs, [cell["accuracy"]] * cell["models"]):
            pairs = combinations(right[:, 0], 2)
            p_values = [cached_mcnemar(*counts_of(a, b)[1:3]) for a, b in pairs]
            false += min(holm(p_values)) <= ALPHA
        rate.add(cell, false / runs)
    words = (
        "Null (a): two, three or six fixed models that are equally accurate over all pictures there could "
        "be, each with its own mistakes, answer new random test sets. Counted is a table with at least one "
        '"better" after Holm: each is false. The exact test is careful on small test sets, so the share lies '
        "below 5 %."
    )
    return Section('False "better": fixed models', words, [rate], coverage=False)


def same_recipe(rng: np.random.Generator, runs: int) -> Section:
    several = Rate("t over images × seeds and Holm, one recipe", runs)
    own = Rate("the same, each pair by its own seeds alone", runs)
    single = Rate("k = 1: exact McNemar and Holm, one recipe", runs)
    for cell in grid(models=(2, 3, 6), seeds=(2, 3, 5), pictures=(60, 200, 500), seed_sd=(0.0, 0.1, 0.3)):
        world = World(cell["pictures"], cell["seeds"], cell["seed_sd"], shared=(0.7, 0))
        false = unpooled = false_single = 0
        for right in world.right(rng, runs, [0.85] * cell["models"]):
            pairs = list(combinations(right, 2))
            parts = combinations(seed_parts(list(right)), 2)
            p_values = [seeds_difference(a, b, seeds=s).p for (a, b), s in zip(pairs, parts, strict=True)]
            false += min(holm(p_values)) <= ALPHA
            unpooled += min(holm([seeds_difference(a, b).p for a, b in pairs])) <= ALPHA
            if cell["seeds"] == 2:
                one = [cached_mcnemar(*counts_of(a[0], b[0])[1:3]) for a, b in pairs]
                false_single += min(holm(one)) <= ALPHA
        several.add(cell, false / runs)
        own.add(cell, unpooled / runs)
        if cell["seeds"] == 2:
            single.add({k: v for k, v in cell.items() if k != "seeds"}, false_single / runs)
    words = (
        'Null (b): the "models" are one recipe (85 % accurate on average) trained with other seeds, k of '
        'them each. Counted is a table with at least one "better" after Holm. Where models have two seeds '
        "and the table has three models or more, the seeds' variance is pooled over all of them if that is "
        "more than a pair's own: without it (last row) two seeds that agree by luck alone make up to a "
        "fifth of the tables of six models false. A table of just two models with two seeds each stays a "
        "little above 5 % where seeds vary much, and so do six models with three: more seeds help. "
        "With k = 1, one run per model, no test can know how much a seed changes: McNemar then rightly says "
        "that two *networks* differ, and wrongly reads as if the *recipes* did, the more often the more "
        'pictures there are. That row has no target; it is why the table says "one run each: seed variation '
        'not included".'
    )
    return Section('False "better": one recipe, other seeds', words, [several, single, own], False, 1)


PARTS = (Part(8, 2000, families), Part(9, 1000, same_recipe))
