"""Simulated contradictions that groups, Holm's steps and leaks could bring, and plans in groups."""

from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import ndtr
from simulated_page import Part, Rate, Section
from simulated_worlds import World, cached_mcnemar, counts_of, grid, unequal

from vitbench.comparison.calibration import ece_null, expected_calibration_error
from vitbench.comparison.inverted import Nets
from vitbench.comparison.power import pictures_needed, planned_pictures, smallest_gap
from vitbench.comparison.statistics import (
    ALPHA,
    effective_pictures,
    holm,
    newcombe_paired,
    paired_difference,
    sign_flip,
)
from vitbench.records import Array

SIZES = ("2", "5", "10", "1 to 11")


def effective_newcombe(a: Array, b: Array, groups: Array) -> tuple[float, float]:
    """Newcombe's interval with as many pictures as the groups are worth: what the table had before."""
    scale = effective_pictures(a.astype(int) - b, groups) / len(a)
    return newcombe_paired(*(count * scale for count in counts_of(a, b)))


def agreement(rng: np.random.Generator, runs: int) -> Section:
    inverted = Rate("interval that holds 0 beside p ≤ .05, groups", runs)
    newcombe = Rate("the same with Newcombe's interval on effective pictures", runs)
    for cell in grid(groups=(10, 20, 40, 100), size=SIZES, alike=(0.0, 0.3, 0.7, 1.0), gap=(0.05, 0.15)):
        groups = unequal(cell["groups"], cell["size"])
        world = World(len(groups), groups=groups, alike=cell["alike"], shared=(0.6, 0))
        drawn = [(a[0], b[0]) for a, b in world.right(rng, runs, (0.85, 0.85 - cell["gap"]))]
        found = [(one, d) for one in drawn if (d := paired_difference(*one, groups)).p <= ALPHA]
        if found:
            inverted.add(cell, np.mean([d.low <= 0 <= d.high for _, d in found]))
            limits = [effective_newcombe(*one, groups) for one, _ in found]
            newcombe.add(cell, np.mean([low <= 0 <= high for low, high in limits]))
    words = (
        "Two models, pictures in groups; of the verdicts with p ≤ .05 counted are those whose own interval "
        "holds 0. The interval inverts the test that decides, so there are none."
    )
    return Section(
        "Interval and test agree", words, [inverted, newcombe], coverage=False, judged=1, every_cell=True
    )


def band(rng: np.random.Generator, runs: int) -> Section:
    in_groups = Rate("calibration error above its band, groups", runs)
    plain = Rate("the same with a band of independent pictures", runs)
    for cell in grid(groups=(20, 40, 100), size=("5", "10", "1 to 11"), alike=(0.0, 0.3, 0.7, 1.0)):
        groups = unequal(cell["groups"], cell["size"])
        world = World(len(groups), groups=groups, alike=cell["alike"])
        common = rng.uniform(0.5, 1, cell["groups"])[groups]
        sure = np.clip(common + rng.normal(0, 0.02, len(groups)), 0.5, 1)
        probabilities = np.stack([sure, 1 - sure], axis=1)
        limits = ece_null(probabilities, groups), ece_null(probabilities)
        errors = [
            expected_calibration_error(probabilities, (ndtr(world.normal(rng)) > sure).astype(int))
            for _ in range(runs)
        ]
        for rate, limit in zip((in_groups, plain), limits, strict=True):
            rate.add(cell, np.mean(np.array(errors) > limit))
    words = (
        "A perfectly calibrated model whose pictures stand in groups, about equally sure of all in a group. "
        "Counted is an expected calibration error above the band that the table gives. It takes a group for "
        "copies, so it is wide where groups are not alike."
    )
    return Section(
        'False "not calibrated": test pictures in groups',
        words,
        [in_groups, plain],
        coverage=False,
        judged=1,
    )


def plans(rng: np.random.Generator, runs: int) -> Section:
    planned = Rate("sign flips over groups at the planned number of pictures", runs)
    plain = Rate("at the number for independent pictures", runs)
    for cell in grid(size=SIZES, alike=(0.0, 0.5, 1.0), gap=(0.05, 0.1, 0.2), pairs=(1, 3)):
        gap, pairs = cell["gap"], cell["pairs"]

        def drawn(n_groups: int, times: int, cell: dict[str, Any] = cell) -> list[Nets]:
            groups = unequal(n_groups, cell["size"])
            world = World(len(groups), groups=groups, alike=cell["alike"], shared=(0.6, 0))
            right = world.right(rng, times, (0.85, 0.85 - cell["gap"]))
            return [Nets.of(a[0], b[0], groups) for a, b in right]

        (pilot,) = drawn(4000, 1)
        n, per_group = int(pilot.sizes.sum()), float(pilot.sizes.mean())
        for rate, needed in (
            (planned, planned_pictures(pilot, gap, pairs)),
            (plain, pictures_needed(gap, pilot.disagreements / n, pairs)),
        ):
            assert needed is not None
            nets = drawn(max(2, round(needed / per_group)), runs)
            rate.add(cell, np.mean([sign_flip(one.net) <= ALPHA / pairs for one in nets]))
    words = (
        "A large first benchmark in groups names the pictures that its own gap would need (`--detect`); "
        "new ones of that size, in groups of the same kind, are tested. It should be 80 %; more where few "
        "groups suffice."
    )
    return Section("Power at the number of pictures that is named: groups", words, [planned, plain], False, 0)


def gaps(rng: np.random.Generator, runs: int) -> Section:
    ranged = Rate("verdict under the smallest gap that is stated", runs)
    first = Rate("verdict under the gap of Holm's first step alone", runs)
    for cell in grid(models=(3, 4, 6), pictures=(60, 200, 500)):
        n, models = cell["pictures"], cell["models"]
        pairs = models * (models - 1) // 2
        least, most = smallest_gap(n), smallest_gap(n, pairs)
        assert least is not None
        assert most is not None
        under = {id(ranged): 0, id(first): 0}
        accuracies = [0.9, 0.86, *[0.6] * (models - 2)]
        for right in World(n, shared=(0.9, 0)).right(rng, runs, accuracies):
            both = [(a, b) for a, b in combinations(right[:, 0], 2)]
            counts = [counts_of(a, b)[1:3] for a, b in both]
            adjusted = holm([cached_mcnemar(*one) for one in counts])
            better = [abs(a - b) / n for (a, b), p in zip(counts, adjusted, strict=True) if p <= ALPHA]
            under[id(ranged)] += any(gap < least - 1e-9 for gap in better)
            under[id(first)] += any(gap < most - 1e-9 for gap in better)
        for rate in (ranged, first):
            rate.add(cell, under[id(rate)] / runs)
    words = (
        'Two good models and weak ones; counted is a table with a "better" whose gap lies under the one that '
        "its own sentence calls the smallest. The sentence names what the first pair needs and what the last."
    )
    return Section(
        "The smallest gap that could have shown", words, [ranged, first], False, 1, every_cell=True
    )


def leaks(rng: np.random.Generator, runs: int) -> Section:
    stands = Rate('false "better" that stands without the leaks', runs)
    everything = Rate('false "better" on all pictures', runs)
    for cell in grid(pictures=(100, 300, 1000), leaked=(0.1, 0.4), accuracy=(0.7, 0.85)):
        n, p = cell["pictures"], cell["accuracy"]
        kept = np.arange(n) >= round(cell["leaked"] * n)
        false = standing = 0
        for a, b in World(n, shared=(0.6, 0)).right(rng, runs, (p, p)):
            by_heart = a[0] | (~kept & (rng.random(n) < 0.98))
            whole, clean = paired_difference(by_heart, b[0]), paired_difference(by_heart[kept], b[0][kept])
            false += whole.p <= ALPHA
            standing += whole.p <= ALPHA and clean.p <= ALPHA and whole.value * clean.value > 0
        everything.add(cell, false / runs)
        stands.add(cell, standing / runs)
    words = (
        "Two models that are equally good on new pictures; one knows the leaked share of the test pictures "
        'by heart. A "better" counts in ranks and answer only where the pictures that training does not know '
        "say so too."
    )
    return Section('False "better": leaks', words, [stands, everything], False, 1, every_cell=True)


PARTS = (
    Part(33, 200, agreement),
    Part(34, 1000, band),
    Part(35, 400, plans),
    Part(36, 1000, gaps),
    Part(37, 1000, leaks),
)
