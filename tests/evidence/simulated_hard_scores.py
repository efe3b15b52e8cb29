"""Simulated coverage of the scores' intervals where they are hardest: models far too sure, classes of few."""

from typing import Any

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_scores import SKILLS, ScoreRates
from simulated_worlds import Classifier, grid

from vitbench.comparison.bootstrap import RESAMPLED
from vitbench.records import Array


def simulate(
    rng: np.random.Generator,
    rates: ScoreRates,
    cell: dict[str, Any],
    sizes: tuple[int, ...],
    models: tuple[Classifier, Classifier],
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)

    def draw() -> tuple[Array, Array]:
        common = rng.normal(size=(len(labels), len(sizes)))
        a, b = (model.probabilities(rng, labels, common) for model in models)
        return a, b

    rates.simulate(rng, cell, models, labels, draw, None)


def overconfident(rng: np.random.Generator, runs: int) -> Section:
    rates = ScoreRates(", too sure", runs)
    for cell in grid(
        classes=(2, 10), pictures=(50, 100, 300), accuracy=tuple(SKILLS), sharpness=(6.0, 12.0, 24.0)
    ):
        c, skill = cell["classes"], SKILLS[cell["accuracy"]]
        models = (
            Classifier(c, skill, sharpness=cell["sharpness"]),
            Classifier(c, skill - 0.3, sharpness=cell["sharpness"]),
        )
        simulate(rng, rates, cell, (cell["pictures"] // c,) * c, models)
    words = (
        "As above, three, six and twelve times as sure: a wrong answer costs 5 to 50 nats, and a test set "
        "without one tells nothing of that by itself. What an unseen mistake costs is taken from how sure "
        "the model is."
    )
    return Section("Models that are far too sure", words, kept(rates, ("loss", "brier")), every_cell=True)


def tiny_classes(rng: np.random.Generator, runs: int) -> Section:
    rates = ScoreRates(", a class of few", runs)
    for cell in grid(
        sizes=("200 : 3", "50 : 3", "100 : 5", "100 : 30 : 2", "60 : 1"),
        accuracy=tuple(SKILLS),
        harder=(-1.0, 0.5, 1.0, 2.0),
    ):
        sizes = tuple(int(size) for size in cell["sizes"].split(" : "))
        skill = SKILLS[cell["accuracy"]]
        models = (
            Classifier(len(sizes), skill, harder=cell["harder"]),
            Classifier(len(sizes), skill - 0.3, harder=cell["harder"]),
        )
        simulate(rng, rates, cell, sizes, models)
    words = (
        "Test pictures per class as named; `harder`: by so much skill the last class lies below the middle. "
        "A class of few weighs as much as any other in these two scores."
    )
    found = kept(rates, ("balanced_accuracy", "macro_f1"))
    return Section("A class of few test pictures", words, found, every_cell=True)


def kept(rates: ScoreRates, names: tuple[str, ...]) -> list[Rate]:
    assert set(names) <= set(RESAMPLED)
    return [which[name] for which in (rates.single, rates.paired) for name in names]


PARTS = (Part(21, 250, overconfident), Part(22, 250, tiny_classes))
