"""Simulated power: what the correction for all pairs and the test on log loss tell apart."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from simulated_families import by_flips, mcnemars
from simulated_page import Part, Rate, Section
from simulated_worlds import Classifier, grid

from vitbench.comparison.statistics import ALPHA, holm
from vitbench.records import Array

CLASSES, SKILL = 5, 2.0
"""About 90 % right."""
GAPS = {60: 0.8, 200: 0.4, 1000: 0.17}
"""Skill by which a model lies behind: more where there are fewer pictures."""
MORE = (1.0, 1.15, 1.35, 1.6, 2.0, 2.5, 3.5)
"""So many times as many pictures are tried."""
Test = Callable[[Array, Array], Sequence[float]]


def table(
    rng: np.random.Generator, n: int, skills: Sequence[float], sharp: Sequence[float]
) -> tuple[Array, Array]:
    """Right or wrong, and log loss, (m, n) each, of models that share what makes a picture hard."""
    labels, common = np.arange(n) % CLASSES, rng.normal(size=(n, CLASSES))
    right, loss = [], []
    for skill, sharpness in zip(skills, sharp, strict=True):
        model = Classifier(CLASSES, skill, sharpness=sharpness)
        probabilities = model.probabilities(rng, labels, common)[0]
        right.append(probabilities.argmax(axis=1) == labels)
        loss.append(-np.log(np.maximum(probabilities[np.arange(n), labels], 1e-12)))
    return np.array(right), np.array(loss)


def by_holm(right: Array, loss: Array) -> Sequence[float]:
    return holm(mcnemars(right))


def by_right(right: Array, loss: Array) -> Sequence[float]:
    return by_flips(right, mcnemars(right))


def by_loss(right: Array, loss: Array) -> Sequence[float]:
    return by_flips(loss)


def skills_of(cell: dict[str, Any]) -> list[float]:
    m, gap = cell["models"], GAPS[cell["pictures"]]
    if cell["behind"] == "one":
        return [SKILL - gap, *[SKILL] * (m - 1)]
    return [float(skill) for skill in np.linspace(SKILL - gap, SKILL, m)]


def power(rng: np.random.Generator, runs: int, n: int, skills: Sequence[float], test: Test) -> float:
    """Share of the pairs that differ which the test finds."""
    differ = np.array([a != b for a, b in combinations(skills, 2)])
    sharp = [2.0] * len(skills)
    return float(
        np.mean(
            [np.mean(np.array(test(*table(rng, n, skills, sharp)))[differ] <= ALPHA) for _ in range(runs)]
        )
    )


def saved(at: float, reference: Sequence[float]) -> float:
    """So many times as many pictures the reference needs for the power `at`; its powers at `MORE`."""
    return float(np.interp(at, np.maximum.accumulate(reference), MORE))


def told_apart(rng: np.random.Generator, runs: int) -> Section:
    names = ("Holm: power", "step-down sign flips: power", "log loss by sign flips: power")
    rates = [Rate(name, runs) for name in names]
    factors = [
        Rate("pictures that Holm needs for the power of step-down flips, times", runs),
        Rate("pictures that accuracy (Holm) needs for the power of log loss, times (3.5: or more)", runs),
    ]
    for cell in grid(models=(2, 3, 8), pictures=(60, 200, 1000), behind=("one", "evenly")):
        if cell["models"] == 2 and cell["behind"] == "evenly":
            continue
        skills, n = skills_of(cell), cell["pictures"]
        found = [power(rng, runs, n, skills, test) for test in (by_holm, by_right, by_loss)]
        for rate, share in zip(rates, found, strict=True):
            rate.add(cell, share)
        reference = [found[0], *(power(rng, runs, round(n * more), skills, by_holm) for more in MORE[1:])]
        for factor, share in zip(factors, found[1:], strict=True):
            factor.add(cell, saved(share, reference))
    words = (
        "Five classes, models about 90 % right, one of them behind all others or all evenly apart (skill "
        "lower by .8, .4, .17 at 60, 200, 1,000 pictures). Power is the share of pairs that differ which are "
        "found. The last two rows say how many times as many pictures Holm on accuracy would need for the "
        "same power (100 % is once as many). Calibrated models; log loss gains less where models are "
        "over-sure."
    )
    return Section("What is told apart: all pairs at once, and log loss", words, [*rates, *factors], False, 0)


def equal_loss(rng: np.random.Generator, sharpness: float) -> float:
    """The skill at which a model of this sharpness has the mean log loss of the plain one."""
    low, high = SKILL, SKILL + 6.0
    aim = table(rng, 200_000, [SKILL], [2.0])[1].mean()
    for _ in range(14):
        middle = (low + high) / 2
        if table(rng, 50_000, [middle], [sharpness])[1].mean() > aim:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def no_difference_in_loss(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("log loss by sign flips, models of equal loss", runs)
    skill = equal_loss(rng, 4.0)
    for cell in grid(models=(2, 3, 8), pictures=(60, 200, 1000), one=("like the others", "over-sure")):
        m, over = cell["models"], cell["one"] == "over-sure"
        skills, sharp = (
            [skill if over else SKILL, *[SKILL] * (m - 1)],
            [4.0 if over else 2.0, *[2.0] * (m - 1)],
        )
        drawn = (by_loss(*table(rng, cell["pictures"], skills, sharp)) for _ in range(runs))
        rate.add(cell, np.mean([min(ps) <= ALPHA for ps in drawn]))
    words = (
        "All models have the same mean log loss over all pictures there could be; one may be twice as sure "
        "of its answers and more often right, so that its losses are rarer and larger. Counted is a table "
        "with at least one claim. (The product also asks that the interval leave out 0.) The target holds on "
        "the mean: where losses are rare and large, sign flips are exact only for many pictures, and single "
        "cells lie up to 2 points above it."
    )
    return Section("False claims about log loss", words, [rate], False)


PARTS = (Part(54, 150, told_apart), Part(55, 600, no_difference_in_loss))
