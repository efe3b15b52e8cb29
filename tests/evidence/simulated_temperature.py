"""Simulated loss of a temperature that was fitted on val, against none, on a large fresh test set."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from simulated_page import Part, Rate, Section
from simulated_worlds import grid

from vitbench.comparison.calibration import fit_temperature
from vitbench.records import Array

FRESH = 5000
"""Test pictures."""
SPREAD = np.linspace(-3.2, 3.2, 129)
"""log T at which the test loss is computed; between them it is interpolated."""


def skill_of(accuracy: float, classes: int) -> float:
    """What is added to the true class's logit for this accuracy; 1: out of reach of the noise."""
    if accuracy == 1:
        return 12.0
    noise = np.random.default_rng(1).normal(size=(20_000, classes))

    def off(skill: float) -> float:
        return float(np.mean(noise[:, 0] + skill > noise[:, 1:].max(axis=1))) - accuracy

    return float(brentq(off, -2, 12))


def logits_of(rng: np.random.Generator, n: int, classes: int, skill: float) -> tuple[Array, Array]:
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += skill
    return logits, labels


def losses(logits: Array, labels: Array) -> Array:
    """Mean log loss at each temperature of `SPREAD`."""
    picture = np.arange(len(labels))
    return np.array([-log_softmax(logits / np.exp(x), axis=1)[picture, labels].mean() for x in SPREAD])


def temperatures(rng: np.random.Generator, runs: int) -> list[Section]:
    against = Rate("loss with the fitted temperature against T = 1", runs, unit="nats")
    worst = Rate("(the worst single fit)", runs, unit="nats")
    possible = Rate("(loss with the best temperature there is against T = 1)", 0, unit="nats")
    false = Rate("another temperature than 1 where 1 is the best", runs)
    for cell in grid(classes=(2, 10), accuracy=(0.5, 0.7, 0.9, 0.99, 1.0), sharpness=(0.5, 1.0, 3.0)):
        c, skill = cell["classes"], skill_of(cell["accuracy"], cell["classes"])
        fresh, labels = logits_of(rng, FRESH, c, skill)
        best = float(SPREAD[losses(fresh, labels).argmin()])
        # where no answer is wrong or none is better than a guess, no temperature is right: T = 1 is 90 % sure
        right = 2.0 if cell["accuracy"] == 1 else min(np.exp(best), 10.0)
        scale = cell["sharpness"] / right
        curve = losses(fresh * scale, labels)
        plain = float(np.interp(0.0, SPREAD, curve))
        for n in (2, 5, 20, 100, 500):
            found = []
            for _ in range(runs):
                logits, val = logits_of(rng, n, c, skill)
                found.append(fit_temperature(softmax(logits * scale, axis=1), val).value)
            excess = np.interp(np.log(found), SPREAD, curve) - plain
            at = {**cell, "val": n}
            against.add(at, excess.mean())
            worst.add(at, excess.max())
            possible.add(at, curve.min() - plain)
            if cell["sharpness"] == 1 and 0.5 < cell["accuracy"] < 1:
                false.add(at, np.mean(np.array(found) != 1))
    words = (
        "A temperature is fitted on val and judged on 5,000 fresh pictures: log loss with it minus log loss "
        "without, so that less than 0 is a gain. `sharpness` 1: T = 1 is the best; 3: the model is three "
        "times too sure; 0.5: too timid. Never worse than T = 1 by more than noise means: on average over "
        "val sets by at most .01 nats in every cell."
    )
    say = (
        "How often val seems to show another temperature although none is better; the likelihood-ratio test "
        "stands at 1 %, and a few pictures are not yet where it is exact."
    )
    return [
        Section("A temperature fitted on val", words, [against, worst, possible], False, 1, 0.01, True),
        Section("A temperature where none is needed", say, [false], False, every_cell=True),
    ]


PARTS = (Part(20, 200, temperatures),)
