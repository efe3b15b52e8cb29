"""What would let a smaller gap show between the two models that an answer hangs on, and what that takes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.close_up import possible_folds
from vitbench.comparison.context import TestContext
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import Obstacle, Outlook, Remedy
from vitbench.comparison.opened import OpenBenchmark
from vitbench.comparison.power import seeds_smallest_gap, telling_gap
from vitbench.comparison.resolution import PairTest
from vitbench.comparison.results import ModelResult
from vitbench.comparison.seeds import parts_with_seeds
from vitbench.comparison.statistics import Part

TIMES = 2
"""So many times the test pictures, and the trainings of a model that has several."""
FIRST_SEEDS = 3
"""Trainings of a model that has one."""
LEAST_GAIN = 0.1
"""A way that lowers the gap by a smaller share is no help."""


def outlook_of(
    models: Sequence[ModelResult],
    pairs: Sequence[Pair],
    family: int,
    context: TestContext,
    first: OpenBenchmark,
) -> Outlook:
    """By the first of `pairs`, the two most accurate or the baseline and the best; `family`: all tested."""
    by_name, pair = {one.model: one for one in models}, pairs[0]
    case = Case(PairTest(pair, by_name[pair.model_a], by_name[pair.model_b], context), family, models)
    return Outlook(
        model_a=pair.model_a,
        model_b=pair.model_b,
        difference=pair.difference,
        apart=pair.distinguishable,
        gap=case.gap,
        pairs=family,
        n=context.n,
        seeds=case.seeds,
        remedies=(case.more_pictures(), case.in_folds(first), case.more_seeds()),
    )


@dataclass(frozen=True)
class Case:
    """The two models with what each way would make of their test."""

    test: PairTest
    family: int
    models: Sequence[ModelResult]
    """All that would be trained."""

    @property
    def seeds(self) -> int:
        return min(len(one.answered) for one in (self.test.a, self.test.b))

    @property
    def gap(self) -> float | None:
        """As it is."""
        return self.by_images(1.0)

    def by_images(self, times: float, folds: int = 0) -> float | None:
        """The gap with `times` the pictures; with folds each run is the mean of so many trainings."""
        test, inflation = self.test, fold_inflation(folds)
        if not test.parts:
            return telling_gap(test.nets, self.family, times, inflation if folds else None)
        images, *of_seeds = test.parts
        freedom = max(1, round((images.freedom + 1) * times) - 1)
        parts = [
            Part(images.variance * inflation / times, freedom),
            *(part.over(max(folds, 1)) for part in of_seeds),
        ]
        return seeds_smallest_gap(parts, self.family)

    def more_pictures(self) -> Remedy:
        """`TIMES` the test pictures: another split, on which everything is trained again."""
        n = TIMES * self.test.context.n
        return self.remedy(Remedy(
            kind="pictures", number=n, n=n, gap=self.by_images(TIMES), helps=None,
            minutes=self.minutes([len(one.answered) for one in self.models]),
        ))  # fmt: skip

    def in_folds(self, first: OpenBenchmark) -> Remedy:
        """Every picture of the data reported on once."""
        n, folds = len(first.rows), possible_folds(first)
        if not folds:
            obstacle: Obstacle = "small classes" if first.split.get("test_drawn") else "own test part"
            if first.folds:
                obstacle = "folds already"
            return Remedy(
                kind="folds", number=0, n=self.test.context.n, gap=self.gap, helps=False, minutes=None,
                obstacle=obstacle,
            )  # fmt: skip
        return self.remedy(Remedy(
            kind="folds", number=folds, n=n, gap=self.by_images(n / self.test.context.n, folds), helps=None,
            minutes=self.minutes([folds * len(one.answered) for one in self.models]),
        ))  # fmt: skip

    def more_seeds(self) -> Remedy:
        """`TIMES` the trainings of each model, `FIRST_SEEDS` where one has a single one."""
        test, now = self.test, self.seeds
        seeded = [one for one in (test.a, test.b) if not one.seedless]
        number = FIRST_SEEDS if now == 1 else TIMES * now
        found = Remedy(
            kind="seeds", number=number, n=test.context.n, gap=self.gap, helps=None,
            minutes=self.minutes([max(0, number - len(one.answered)) for one in self.models]),
        )  # fmt: skip
        if not seeded:
            return dataclasses.replace(found, number=now, helps=False, minutes=None, obstacle="no luck")
        if any(len(one.answered) == 1 for one in seeded):
            return dataclasses.replace(found, gap=None, obstacle="one training")
        if not test.parts:  # nothing varies
            return self.remedy(found)
        runs, context = (test.a.correct, test.b.correct), test.context
        parts = parts_with_seeds(test.parts, runs, number, context.groups, context.inflation)
        return self.remedy(dataclasses.replace(found, gap=seeds_smallest_gap(parts, self.family)))

    def minutes(self, runs: Sequence[int]) -> float | None:
        """Of so many trainings of each model, each as long as its own; None where one was not measured."""
        total = 0.0
        for one, number in zip(self.models, runs, strict=True):
            if not number or one.is_probe or not one.answered:
                continue
            known = [run.training_seconds for run in one.answered if run.training_seconds is not None]
            if not known:
                return None
            total += number * sum(known) / len(known)
        return total / 60 if total else None

    def remedy(self, found: Remedy) -> Remedy:
        """With what its gap says about whether it helps."""
        if found.gap is None:
            return dataclasses.replace(found, helps=False)
        return dataclasses.replace(found, helps=self.gap is None or found.gap <= (1 - LEAST_GAIN) * self.gap)
