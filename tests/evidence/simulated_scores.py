"""Simulated coverage of loss, Brier score, macro-F1, balanced accuracy, their differences, and recall."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import Classifier, class_sizes, grid, wrapped

from vitbench.comparison.bootstrap import (
    RESAMPLED,
    Resamples,
    difference_interval,
    replicates,
    score_interval,
)
from vitbench.comparison.confusion import recalls
from vitbench.inference.metrics import scores
from vitbench.records import Array


@cache
def truth_of(model: Classifier, shares: tuple[float, ...], size: int) -> tuple[dict[str, float], Array]:
    """Scores and recalls over all pictures and seeds, from a large sample with these shares of classes."""
    rng = np.random.default_rng(7)
    labels = np.repeat(
        np.arange(model.n_classes), np.maximum(1, np.round(np.array(shares) * size)).astype(int)
    )
    each = [
        wrapped(labels, model.probabilities(rng, labels, rng.normal(size=(len(labels), model.n_classes)))[0])
        for _ in range(25 if model.seed_sd else 2)
    ]
    tables = [scores(one) for one in each]
    found = {name: float(np.mean([table[name] for table in tables])) for name in RESAMPLED}
    return found, np.mean([[r.recall for r in recalls([one])] for one in each], axis=0)


class ScoreRates:
    """Coverage of the intervals of every score, of its differences, and of the recalls."""

    def __init__(self, kind: str, runs: int) -> None:
        self.single = {name: Rate(f"{name}{kind}", runs) for name in RESAMPLED}
        self.paired = {name: Rate(f"difference in {name}{kind}", runs) for name in RESAMPLED}
        self.recall = Rate(f"recall of a class{kind}", runs)
        self.runs = runs

    @property
    def all(self) -> list[Rate]:
        return [*self.single.values(), *self.paired.values(), self.recall]

    def simulate(
        self,
        rng: np.random.Generator,
        cell: Mapping[str, Any],
        models: tuple[Classifier, Classifier],
        labels: Array,
        draw: Callable[[], tuple[Array, Array]],
        groups: Array | None,
    ) -> None:
        """`draw` gives the probabilities of both models, (k, n, C) each, for new pictures of these labels."""
        shares = tuple(np.bincount(labels) / len(labels))
        truths = [truth_of(model, shares, 2000 if self.runs < 20 else 40_000) for model in models]
        limits: dict[str, list[Any]] = {rate.name: [] for rate in self.all}
        hits = []
        for _ in range(self.runs):
            resamples = Resamples(len(labels), groups, repetitions=400, seed=int(rng.integers(2**31)))
            runs = [[wrapped(labels, p) for p in probabilities] for probabilities in draw()]
            a, b = (replicates(one, resamples) for one in runs)
            for name in RESAMPLED:
                limits[self.single[name].name].append(score_interval(a[name]))
                limits[self.paired[name].name].append(difference_interval(a[name], b[name])[1:])
            hits.append(
                [
                    (r.low <= truth <= r.high, r.high - r.low)
                    for r, truth in zip(recalls(runs[0], groups), truths[0][1], strict=True)
                ]
            )
        for name in RESAMPLED:
            rate, paired = self.single[name], self.paired[name]
            rate.add_intervals(cell, np.array(limits[rate.name]), truths[0][0][name])
            paired.add_intervals(cell, np.array(limits[paired.name]), truths[0][0][name] - truths[1][0][name])
        self.recall.add(cell, *np.mean(np.array(hits), axis=(0, 1)))


SKILLS = {"about 50 %": 1.2, "about 90 %": 2.7, "about 99 %": 4.2}
"""Accuracy with few classes → skill."""


def one_run_scores(rng: np.random.Generator, runs: int) -> Section:
    rates = ScoreRates("", runs)
    for cell in grid(classes=(3, 10), pictures=(30, 60, 200), balanced=(True, False), accuracy=tuple(SKILLS)):
        simulate_scores(rng, rates, cell, cell["pictures"], 1, 0.0)
    words = (
        "Softmax classifiers whose classes differ in difficulty answer new pictures; the second model is "
        "somewhat worse and shares half of the noise with the first. Class sizes are equal, or as 1, ½, ⅓, … "
        "(with 10 classes and 30 pictures three classes have one picture). A bootstrap of 400 resamples "
        "stands in for the 2,000 of the product. A recall's coverage is the mean over the classes."
    )
    return Section("Loss, Brier, macro-F1, balanced accuracy, recall: one run", words, rates.all)


def seed_scores(rng: np.random.Generator, runs: int) -> Section:
    rates = ScoreRates(", seeds", runs)
    for cell in grid(
        seeds=(2, 3), classes=(3, 10), pictures=(60, 200), accuracy=("about 50 %", "about 90 %")
    ):
        simulate_scores(rng, rates, {**cell, "balanced": True}, cell["pictures"], cell["seeds"], 0.15)
    words = "As before with two or three runs of each model, whose skill varies from seed to seed."
    return Section("The same scores: several seeds", words, rates.all)


def simulate_scores(
    rng: np.random.Generator, rates: ScoreRates, cell: Mapping[str, Any], n: int, k: int, seed_sd: float
) -> None:
    c, skill = cell["classes"], SKILLS[cell["accuracy"]]
    models = Classifier(c, skill, seed_sd), Classifier(c, skill - 0.3, seed_sd)
    labels = np.repeat(np.arange(c), class_sizes(n, c, cell["balanced"]))

    def draw() -> tuple[Array, Array]:
        common = rng.normal(size=(n, c))
        a, b = (model.probabilities(rng, labels, common, k) for model in models)
        return a, b

    rates.simulate(rng, cell, models, labels, draw, None)


def grouped_scores(rng: np.random.Generator, runs: int) -> Section:
    rates = ScoreRates(", groups", runs)
    for cell in grid(groups=(15, 30, 60), copies=(1, 4), accuracy=("about 50 %", "about 90 %")):
        c, skill = 3, SKILLS[cell["accuracy"]]
        models = Classifier(c, skill), Classifier(c, skill - 0.3)
        labels = np.repeat(np.arange(c), class_sizes(cell["groups"], c, True))
        # every other group has so many copies
        times = np.where(np.arange(len(labels)) % 2, cell["copies"], 4)
        groups = np.repeat(np.arange(len(labels)), times)

        def draw(c: int = c, labels: Array = labels, times: Array = times, models: Any = models) -> Any:
            common = rng.normal(size=(len(labels), c))
            return tuple(np.repeat(m.probabilities(rng, labels, common), times, axis=1) for m in models)

        rates.simulate(rng, cell, models, labels[groups], draw, groups)
    words = (
        "Three classes; every group is a picture with its copies: four in each, or four in every other group "
        "and one in the rest. Full dependence, the hardest case."
    )
    return Section("The same scores: pictures in groups", words, rates.all)


PARTS = (Part(5, 400, one_run_scores), Part(6, 400, seed_scores), Part(7, 400, grouped_scores))
