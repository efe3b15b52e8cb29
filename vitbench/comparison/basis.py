"""What all rows and pairs of a comparison stand on: the caller's terms, the pictures, their resamples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitbench.comparison.bootstrap import SCORES, Interval, Replicated, Resamples, replicates
from vitbench.comparison.candidates import Candidate, TestSet, competitors
from vitbench.comparison.seeds import NO_SEED, Seeds, seed_parts
from vitbench.comparison.statistics import Part, run_among_seeds, runs_accuracy
from vitbench.errors import UsageError
from vitbench.records import Array


@dataclass(frozen=True)
class Terms:
    """On what terms models are compared; differences are fractions."""

    baseline: str = ""
    """The only model that others are compared with; "": every two."""
    margin: float | None = None
    """Differences inside ± this are called equivalent; None: none are."""
    detect: float | None = None
    """The difference whose number of pictures is asked for."""

    def __post_init__(self) -> None:
        for option, value in (("--margin", self.margin), ("--detect", self.detect)):
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{option} {100 * value:g}: needs points of accuracy between 0 and 100")


@dataclass(frozen=True)
class Basis:
    """The test pictures of a comparison."""

    n: int
    groups: Array | None
    """(n,) number of the group that a picture stands in; None where each is its own."""
    alone: Array
    """(G,) places of one picture per group, for tests that need independent ones."""
    terms: Terms
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
        return ", corrected for folds" if self.inflation > 1 else ""

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

    def accuracy_interval(self, candidate: Candidate) -> tuple[float, float]:
        """95 % interval of its accuracy; of a single run, with what other models tell of a seed."""
        seed = self.borrowed_seed(candidate)
        if seed.variance == 0:
            return runs_accuracy(candidate.correct, self.groups, self.inflation)
        return run_among_seeds(candidate.correct[0], seed, self.groups, self.inflation)

    def borrowed_seed(self, candidate: Candidate) -> Part:
        """How much a seed changes the accuracy of a model with one run, as the others tell; else nothing."""
        one = len(candidate.answered) == 1
        return self.seeds_of("top1", candidate.model, candidate.model)[0] if one else NO_SEED

    def seeds_of(self, score: str, *models: str) -> Seeds:
        """How much a seed of each of two models changes a score; nothing for what has no seed."""
        a, b = (self.seeds[score].get(model, NO_SEED) for model in models)
        return a, b


def basis_of(candidates: Sequence[Candidate], test: TestSet, terms: Terms, inflation: float = 1.0) -> Basis:
    """The basis of a comparison of these candidates; the resampling takes the most part of its time."""
    groups = test.group_numbers
    resamples = Resamples(len(test.paths), test.unit_numbers)  # the same draws in any order of the pictures
    samples = {c.model: replicates(c.predictions, resamples) for c in candidates if c.answered}
    seeded = [c for c in competitors(candidates) if not c.seedless]
    scores = {"top1": [c.correct for c in seeded]}
    for name in SCORES:
        scores[name] = [samples[c.model][name].values[:, None] for c in seeded]
    seeds = {
        name: {c.model: part for c, part in zip(seeded, seed_parts(values), strict=True)}
        for name, values in scores.items()
    }
    return Basis(len(test.paths), groups, test.alone, terms, resamples, samples, inflation, seeds)
