"""Simulated tables of several models without a difference: how many claim one."""

from functools import partial
from itertools import combinations

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_mcnemar, counts_of, grid

from vitbench.comparison.flips import flip_ps, flipped_sums, step_down
from vitbench.comparison.seeds import difference_parts, half_width, seed_parts
from vitbench.comparison.statistics import ALPHA, holm
from vitbench.records import Array

DRAWS = 499
"""Flips; the product draws 19,999. The test is as valid with few as with many, and a little weaker."""


def mcnemars(right: Array) -> list[float]:
    """Exact p-values of every two of (m, n) models."""
    return [cached_mcnemar(*counts_of(a, b)[1:3]) for a, b in combinations(right, 2)]


def by_flips(values: Array, exact: list[float] | None = None) -> list[float]:
    """Corrected p-values of every two of (m, n) models; exact None: those of the flips are their own."""
    sums = flipped_sums(values, np.arange(values.shape[1]), DRAWS)
    a, b = np.array(list(combinations(range(len(values)), 2))).T
    ps = flip_ps(sums[:, a] - sums[:, b])
    own = [float(p) for p in ps[0]] if exact is None else exact
    return own if len(own) == 1 else step_down(ps, own)


def families(rng: np.random.Generator, runs: int) -> Section:
    flips = Rate("exact McNemar and step-down sign flips, fixed models of equal accuracy", runs)
    leader = Rate("the leader's pairs alone (--baseline after a look)", runs)
    own_family = Rate("the leader's pairs as a family of their own, Holm", runs)
    with_holm = Rate("the same tables, Holm", runs)
    for cell in grid(models=(2, 3, 6, 12), pictures=(30, 60, 200, 1000), accuracy=(0.7, 0.85, 0.95)):
        world, m = World(cell["pictures"], shared=(0.6, 0)), cell["models"]
        false = np.zeros(4)
        for right in world.right(rng, runs, [cell["accuracy"]] * m):
            exact = mcnemars(right[:, 0])
            best = int(right[:, 0].sum(axis=1).argmax())
            of_best = np.array([best in pair for pair in combinations(range(m), 2)])
            adjusted = np.array(by_flips(right[:, 0], exact))
            alone = holm(np.array(exact)[of_best].tolist())
            every = (adjusted, adjusted[of_best], np.array(alone), np.array(holm(exact)))
            false += [ps.min() <= ALPHA for ps in every]
        for rate, share in zip((flips, leader, own_family, with_holm), false / runs, strict=True):
            rate.add(cell, share)
    words = (
        "Null (a): fixed models that are equally accurate over all pictures there could be, each with its "
        'own mistakes, answer new random test sets. Counted is a table with at least one "better" after the '
        "correction for all pairs: each is false. The first two rows are what the product does: with "
        "`--baseline` it shows a part of the pairs and corrects for all, because who names the leader has "
        "looked; a family of the leader's own pairs would be false as often as the third row says."
    )
    return Section(
        'False "better": fixed models',
        words,
        [flips, leader, own_family, with_holm],
        False,
        2,
        every_cell=True,
    )


SPREADS = ("all .02", "all .1", "all .3", ".02 to .3", "one .3, others .02", "half .3, half .02")


def spread(kind: str, models: int) -> Array:
    """(m,) probits: how much a seed changes each model."""
    if kind.startswith("all"):
        return np.full(models, float(kind[4:]))
    if kind == ".02 to .3":
        return np.asarray(np.geomspace(0.02, 0.3, models))
    if kind.startswith("one"):
        return np.array([0.3, *[0.02] * (models - 1)])
    return np.asarray(np.resize([0.3, 0.02], models))


def any_better(models: list[Array]) -> bool:
    """Whether some two of the models, (k, n) each, are apart at Holm's first step: `seeds_difference`."""
    pairs = list(combinations(zip(models, seed_parts(models), strict=True), 2))
    for (a, of_a), (b, of_b) in pairs:
        parts = difference_parts(a, b, None, (of_a, of_b))
        if abs(a.mean() - b.mean()) > half_width(parts, ALPHA / len(pairs)):
            return True
    return False


def same_recipe(rng: np.random.Generator, runs: int, seeds: int) -> list[Section]:
    rate = Rate(f"t over images × seeds and Holm, {seeds} seeds that vary alike", runs)
    unlike = Rate(f"t over images × seeds and Holm, {seeds} seeds, some vary up to 15 times as much", runs)
    for cell in grid(models=(2, 3, 6, 12), pictures=(60, 500, 3000), seed_sd=SPREADS):
        sd = spread(cell["seed_sd"], cell["models"])
        world = World(cell["pictures"], seeds, sd, shared=(0.7, 0))
        drawn = world.right(rng, runs, [0.85] * cell["models"])
        false = np.mean([any_better(list(right)) for right in drawn])
        (rate if cell["seed_sd"].startswith("all") else unlike).add(cell, false)
    words = (
        "Null (b): all models are 85 % accurate on average over seeds and pictures, trained with as many "
        'seeds. Counted is a table with at least one "better" after Holm. `seed_sd` is the spread of a '
        "model's seeds in probits (.02 is a standard deviation of half a point of accuracy at 85 %, .3 of 7 "
        "points). A seed's variance is the pooled one, or the model's own where larger (`seed_parts`)."
    )
    more = (
        "The same where one model's seeds, or those of half of the models, or of all in steps, vary up to 15 "
        "times as much as the others'. A wild model whose few seeds agree by luck cannot be told from a "
        "steady one: the worst cell is named, and with two or three seeds a note beside the verdicts says so."
    )
    return [
        Section(f'False "better": {seeds} seeds each', words, [rate], False, None, every_cell=True),
        Section(f'False "better": {seeds} seeds each, unequal spread', more, [unlike], False),
    ]


def unequal_seeds(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("one model with one run, the others with three", runs)
    first = Rate("exact McNemar of first runs instead", runs)
    for cell in grid(models=(2, 3, 6), pictures=(200, 1000, 3000), seed_sd=(0.05, 0.1, 0.3)):
        world = World(cell["pictures"], 3, cell["seed_sd"], shared=(0.7, 0))
        false = of_first = 0
        for right in world.right(rng, runs, [0.85] * cell["models"]):
            false += any_better([right[0, :1], *right[1:]])
            of_first += min(holm(mcnemars(right[:, 0]))) <= ALPHA
        rate.add(cell, false / runs)
        first.add(cell, of_first / runs)
    words = (
        "As null (b), but the first model lost two of its three runs. Its pairs compare means over all runs; "
        "how much a seed changes it is taken from the others. To compare first runs only would claim what "
        "the second row says."
    )
    return Section(
        'False "better": unequal numbers of seeds', words, [rate, first], False, 1, every_cell=True
    )


def recipes_of_one_run(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("k = 1: exact McNemar, one recipe", runs)
    for cell in grid(models=(2, 6), pictures=(60, 200, 500, 3000), seed_sd=(0.0, 0.1, 0.3)):
        world = World(cell["pictures"], 1, cell["seed_sd"], shared=(0.7, 0))
        drawn = world.right(rng, runs, [0.85] * cell["models"])
        rate.add(cell, np.mean([min(holm(mcnemars(right[:, 0]))) <= ALPHA for right in drawn]))
    words = (
        'The "models" are one recipe trained once each with other seeds. With one run per model no test can '
        "know how much a seed changes: McNemar then rightly says that two *networks* differ, and wrongly "
        "reads as if the *recipes* did, the more often the more pictures there are. No target; it is why the "
        'table says "one run each: seed variation not included".'
    )
    return Section('False "better": one run each, read as recipes', words, [rate], False, 0)


PARTS = (
    Part(8, 400, families),
    *(Part(stream, 600, partial(same_recipe, seeds=k)) for stream, k in ((9, 2), (50, 3), (51, 5))),
    Part(52, 600, unequal_seeds),
    Part(53, 400, recipes_of_one_run),
)
