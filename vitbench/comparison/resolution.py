"""What these pictures could have shown: the smallest gaps, and how many pictures a named one would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison import words
from vitbench.comparison.basis import Basis
from vitbench.comparison.candidates import Candidate
from vitbench.comparison.inverted import Nets
from vitbench.comparison.pairs import Pair
from vitbench.comparison.power import (
    planned_pictures,
    seeds_pictures_needed,
    seeds_smallest_gap,
    smallest_gap,
    smallest_net,
)
from vitbench.comparison.seeds import difference_parts
from vitbench.comparison.statistics import Part


@dataclass(frozen=True)
class Gaps:
    """How far apart two models must be for a verdict, as fractions; None: no gap could have shown.

    Pairs are tested one after the other, the first at .05 / pairs (by sign flips at that or more), the last
    at .05: so a range.
    """

    least: float | None
    """No pair of the table can be decided with less, not even the last."""
    most: float | None
    """What the pair that needs most needs as the first: over several seeds any such gap is a verdict. None:
    the answers of some pair vary too much for any."""
    pairs: int
    n: int
    groups: int | None
    """That the pictures stand in; None: each is its own."""
    least_net: int
    """Pictures (with groups: each of another group) by which one model must lead, of one run each."""
    most_net: int
    measured: bool
    """Over several seeds: as the answers vary; else exact, at the very best."""
    corrected: str
    """", corrected for folds", or nothing."""


@dataclass(frozen=True)
class Plan:
    """How many pictures a named difference needs for 80 % power."""

    difference: float
    pictures: int | None
    """In groups like those that are here; None: no number is enough."""
    groups: int | None
    """So many of them; None: each picture is its own."""
    pairs: int
    n: int
    """Pictures that are here, and their groups."""
    n_groups: int | None
    method: str
    """Of the test that is planned for; that of the pair that needs the median number."""
    discordance: float | None
    """Share of pictures on which that pair disagrees in being right; None over several seeds."""
    seeds: int
    """The fewest that a model has."""


@dataclass(frozen=True)
class Resolution:
    """How finely a test set can tell models apart, as numbers and sentences."""

    gaps: Gaps
    plan: Plan | None
    """None where no difference was asked for, or there are no two models."""
    gap_text: str
    detect_text: str
    """"" where no difference was asked for."""


def resolution_of(candidates: Sequence[Candidate], pairs: Sequence[Pair], basis: Basis) -> Resolution:
    """The resolution of the displayed pairs: exact with one run each, as measured over several seeds."""
    by_name = {candidate.model: candidate for candidate in candidates}
    tests = [Tested(pair, by_name[pair.model_a], by_name[pair.model_b], basis) for pair in pairs]
    gaps = _gaps(tests, basis)
    text = words.seeds_gap_text(gaps) if gaps.measured else words.gap_text(gaps)
    if basis.terms.detect is None:
        return Resolution(gaps, None, text, "")
    if not tests:
        alone = "One model alone shows no difference: --detect needs two."
        return Resolution(gaps, None, text, alone)
    plan = _plan(tests, basis.terms.detect, basis)
    return Resolution(gaps, plan, text, words.plan_text(plan))


@dataclass(frozen=True)
class Tested:
    """A pair with what its test stands on."""

    pair: Pair
    a: Candidate
    b: Candidate
    basis: Basis

    @property
    def parts(self) -> tuple[Part, ...]:
        """What makes the difference uncertain over several seeds; () where the test is exact."""
        if self.pair.a_only is not None:
            return ()
        a, b, basis = self.a, self.b, self.basis
        seeds = basis.seeds_of("top1", a.model, b.model)
        parts = difference_parts(a.correct, b.correct, basis.groups, seeds, basis.inflation)
        return parts if any(part.variance for part in parts) else ()

    @property
    def nets(self) -> Nets:
        """The first runs, net by group."""
        basis = self.basis
        return Nets.of(self.a.correct[0], self.b.correct[0], basis.groups, basis.inflation)

    def gap(self, pairs: int) -> float | None:
        """What this pair needs to reach p ≤ .05 / pairs; at the very best, where it is exact."""
        return seeds_smallest_gap(self.parts, pairs) if self.parts else _exact_gap(self.basis, pairs)

    def needed(self, difference: float, pairs: int) -> int | None:
        """The pictures that this pair would need."""
        if self.parts:
            return seeds_pictures_needed(self.parts, self.basis.n, difference, pairs)
        return planned_pictures(self.nets, difference, pairs)


def _exact_gap(basis: Basis, pairs: int) -> float | None:
    groups = None if basis.groups is None else basis.units
    return smallest_gap(basis.n, pairs, groups, basis.inflation) if basis.n else None


def _gaps(tests: Sequence[Tested], basis: Basis) -> Gaps:
    many = max(len(tests), 1)

    def each(pairs: int) -> list[float]:
        gaps = [one.gap(pairs) for one in tests] or [_exact_gap(basis, pairs)]
        return [math.inf if gap is None else gap for gap in gaps]

    first, last, measured = each(many), each(1), any(one.parts for one in tests)
    # of Holm's steps somebody must be the first; among flips the other pairs may hardly count
    none = math.isinf(min(first if measured else last))
    return Gaps(
        least=None if none else min(last),
        most=None if math.isinf(max(first)) else max(first),
        pairs=len(tests),
        n=basis.n,
        groups=None if basis.groups is None else basis.units,
        least_net=smallest_net(1, basis.inflation),
        most_net=smallest_net(many, basis.inflation),
        measured=measured,
        corrected=basis.corrected,
    )


def _plan(tests: Sequence[Tested], difference: float, basis: Basis) -> Plan:
    """By the pair that needs the median number of pictures."""
    each = [(one.needed(difference, len(tests)), one) for one in tests]
    in_order = sorted(each, key=lambda one: float("inf") if one[0] is None else one[0])
    needed, median = in_order[(len(in_order) - 1) // 2]
    n_groups = None if basis.groups is None else basis.units
    return Plan(
        difference=difference,
        pictures=needed,
        groups=None if n_groups is None or needed is None else -(-needed * n_groups // basis.n),
        pairs=len(tests),
        n=basis.n,
        n_groups=n_groups,
        method=median.pair.method,
        discordance=None if median.parts else median.nets.disagreements / basis.n,
        seeds=min(len(one.answered) for test in tests for one in (test.a, test.b)),
    )
