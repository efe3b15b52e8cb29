"""What all rows and pairs of a comparison stand on: the options, the pictures, their resamples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitbench.comparison.bootstrap import Interval, Replicated, Resamples, replicates
from vitbench.comparison.measured import CompareOptions, Estimate
from vitbench.comparison.nouns import corrected
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import ModelResult, ranked_models
from vitbench.comparison.seeds import NO_SEED, Seeds, seed_parts
from vitbench.comparison.statistics import Part, run_among_seeds, runs_accuracy
from vitbench.inference.metrics import Share, metrics_for
from vitbench.records import Array


@dataclass(frozen=True)
class TestContext:
    """The test pictures of a comparison."""

    __test__ = False  # not a test, whatever pytest makes of its name

    n: int
    groups: Array | None
    """(n,) number of the group that a picture stands in; None where each is its own."""
    alone: Array
    """(G,) places of one picture per group, for tests that need independent ones."""
    options: CompareOptions
    resamples: Resamples
    samples: Mapping[str, Mapping[str, Replicated]]
    """Per tested model, as shown, and score: its values on the pictures and on the same resamples of them."""
    inflation: float
    """How much larger variances over pictures are than those of independent answers: with folds, above 1."""
    seeds: Mapping[str, Mapping[str, Part]]
    """Score ("top1", "loss", …) → competing model → how much one seed of it changes that (`seed_parts`)."""

    @property
    def corrected(self) -> str:
        """What the name of a method ends with where `inflation` took part in it."""
        return corrected(self.inflation)

    def widened(self, value: float, low: float | None, high: float | None) -> Interval:
        """An interval of independent answers about a value, √inflation times as wide on both sides."""
        if low is None or high is None:
            return low, high
        wider = math.sqrt(self.inflation)
        return value - wider * (value - low), value + wider * (high - value)

    @property
    def units(self) -> int:
        """Independent units among the pictures: groups, or the pictures themselves."""
        return self.resamples.units

    def share_interval(self, right: Array, seed: Part) -> Interval:
        """95 % interval of a share, (k, n) bool; of a single run with what other models tell of a seed."""
        if seed.variance == 0:
            return runs_accuracy(right, self.groups, self.inflation)
        return run_among_seeds(right[0], seed, self.groups, self.inflation)

    def accuracy(self, one: ModelResult) -> Estimate:
        """Its accuracy."""
        return Estimate(float(one.correct.mean()), *self.share_interval(one.correct, self.borrowed_seed(one)))

    def borrowed_seed(self, one: ModelResult, score: str = "top1") -> Part:
        """How much a seed changes a model with one run, as the others tell; else nothing."""
        return self.seeds_of(score, one.model, one.model)[0] if len(one.answered) == 1 else NO_SEED

    def seeds_of(self, score: str, *models: str) -> Seeds:
        """How much a seed of each of two models changes a score; nothing for what has no seed."""
        a, b = (self.seeds.get(score, {}).get(model, NO_SEED) for model in models)
        return a, b


def context_of(
    models: Sequence[ModelResult], test: TestSet, options: CompareOptions, inflation: float = 1.0
) -> TestContext:
    """The context of a comparison of these models; the resampling takes the most part of its time."""
    groups = test.group_numbers
    resamples = Resamples(len(test.paths), test.unit_numbers)  # the same draws in any order of the pictures
    samples = {one.model: replicates(one.predictions, resamples) for one in models if one.answered}
    seeded = [one for one in ranked_models(models) if not one.seedless]
    classes = len(seeded[0].predictions[0].classes) if seeded else 0
    seeds = {}
    for metric in metrics_for(classes):
        if isinstance(metric.kind, Share):
            values = [np.stack([metric.per_picture(p) for p in one.predictions]) for one in seeded]
        else:
            values = [samples[one.model][metric.name].values[:, None] for one in seeded]
        parts = zip(seeded, seed_parts(values), strict=True)
        seeds[metric.name] = {one.model: part for one, part in parts}
    return TestContext(len(test.paths), groups, test.alone, options, resamples, samples, inflation, seeds)
