"""What these pictures could have shown: the smallest gaps, and how many pictures a named one would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.context import TestContext
from vitbench.comparison.inverted import Nets
from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import Gaps, Plan
from vitbench.comparison.power import (
    planned_pictures,
    seeds_pictures_needed,
    seeds_smallest_gap,
    smallest_gap,
    smallest_net,
)
from vitbench.comparison.results import ModelResult
from vitbench.comparison.seeds import difference_parts
from vitbench.comparison.statistics import Part


def resolution_of(
    models: Sequence[ModelResult], pairs: Sequence[Pair], context: TestContext
) -> tuple[Gaps, Plan | None]:
    """How finely pairs can be told apart: exact with one run each, as measured over several seeds."""
    by_name = {one.model: one for one in models}
    tests = [PairTest(pair, by_name[pair.model_a], by_name[pair.model_b], context) for pair in pairs]
    detect = context.options.detect
    return _gaps(tests, context), None if detect is None or not tests else _plan(tests, detect, context)


@dataclass(frozen=True)
class PairTest:
    """A pair with what its test stands on."""

    pair: Pair
    a: ModelResult
    b: ModelResult
    context: TestContext

    @property
    def parts(self) -> tuple[Part, ...]:
        """What makes the difference uncertain over several seeds; () where the test is exact."""
        if self.pair.a_only is not None:
            return ()
        a, b, context = self.a, self.b, self.context
        seeds = context.seeds_of("top1", a.model, b.model)
        parts = difference_parts(a.correct, b.correct, context.groups, seeds, context.inflation)
        return parts if any(part.variance for part in parts) else ()

    @property
    def nets(self) -> Nets:
        """The first runs, net by group."""
        context = self.context
        return Nets.of(self.a.correct[0], self.b.correct[0], context.groups, context.inflation)

    def gap(self, pairs: int) -> float | None:
        """What this pair needs to reach p ≤ .05 / pairs; at the very best, where it is exact."""
        return seeds_smallest_gap(self.parts, pairs) if self.parts else _exact_gap(self.context, pairs)

    def needed(self, difference: float, pairs: int) -> int | None:
        """The pictures that this pair would need."""
        if self.parts:
            return seeds_pictures_needed(self.parts, self.context.n, difference, pairs)
        return planned_pictures(self.nets, difference, pairs)


def _exact_gap(context: TestContext, pairs: int) -> float | None:
    groups = None if context.groups is None else context.units
    return smallest_gap(context.n, pairs, groups, context.inflation) if context.n else None


def _gaps(tests: Sequence[PairTest], context: TestContext) -> Gaps:
    many = max(len(tests), 1)

    def each(pairs: int) -> list[float]:
        gaps = [one.gap(pairs) for one in tests] or [_exact_gap(context, pairs)]
        return [math.inf if gap is None else gap for gap in gaps]

    first, last, measured = each(many), each(1), any(one.parts for one in tests)
    # of Holm's steps somebody must be the first; among flips the other pairs may hardly count
    none = math.isinf(min(first if measured else last))
    return Gaps(
        least=None if none else min(last),
        most=None if math.isinf(max(first)) else max(first),
        pairs=len(tests),
        n=context.n,
        groups=None if context.groups is None else context.units,
        least_net=smallest_net(1, context.inflation),
        most_net=smallest_net(many, context.inflation),
        measured=measured,
    )


def _plan(tests: Sequence[PairTest], difference: float, context: TestContext) -> Plan:
    """By the pair that needs the median number of pictures."""
    each = [(one.needed(difference, len(tests)), one) for one in tests]
    in_order = sorted(each, key=lambda one: float("inf") if one[0] is None else one[0])
    needed, median = in_order[(len(in_order) - 1) // 2]
    n_groups = None if context.groups is None else context.units
    return Plan(
        difference=difference,
        pictures=needed,
        groups=None if n_groups is None or needed is None else -(-needed * n_groups // context.n),
        pairs=len(tests),
        n=context.n,
        n_groups=n_groups,
        method=median.pair.method,
        discordance=None if median.parts else median.nets.disagreements / context.n,
        seeds=min(len(one.answered) for test in tests for one in (test.a, test.b)),
    )
