"""Models over several data sets: a row per set, and a test on the sets' means from six of them up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from vitbench.comparison.compare import compare
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.statistics import ALPHA, holm
from vitbench.errors import UsageError
from vitbench.records import Benchmark, Fingerprints
from vitbench.records.fingerprints import NOTHING, TESTED_ON
from vitbench.records.frames import by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

SAME_SET = 0.5
"""Of the smaller one's test pictures: two benchmarks that share more stand on one data set."""
Shared = tuple[str, str, int, int]
"""Two benchmarks' names, how many test pictures they share, and how many the smaller one has."""
LEAST_SETS = 6
"""With five sets not even a model that wins on all of them reaches p ≤ .05: 2 · ½⁵ = .0625."""


@dataclass(frozen=True, kw_only=True)
class AcrossPair:
    """Two models over the data sets that tested both; model_a has the higher mean difference."""

    model_a: str
    model_b: str
    n_sets: int
    wins: int
    """Sets on which A is more accurate; `losses` those on which B is, the rest are ties."""
    losses: int
    difference: float
    """Mean over sets of top1 A − top1 B, as a fraction."""
    p: float
    p_holm: float

    @property
    def distinguishable(self) -> bool:
        return self.p_holm <= ALPHA


@dataclass(frozen=True, kw_only=True)
class Across:
    """The comparisons of several data sets beside one another."""

    models: tuple[str, ...]
    """Every model that was tested on some set: by mean accuracy, those that lack a set last."""
    sets: tuple[Comparison, ...]
    means: tuple[float | None, ...]
    """Per model: mean top1 over all sets, each set counting the same; None where it lacks one."""
    pairs: tuple[AcrossPair, ...]
    """() below six sets."""
    shared: tuple[Shared, ...]
    """The sets that are not independent."""

    @property
    def frame(self) -> "DataFrame":
        """A row per data set and tested model: data_set, then as in `Comparison.frame`."""
        rows = ((one.name, *row.cells().values()) for one in self.sets for row in one.tested)
        return by_rows({"data_set": "string", **Row.columns()}, rows)


def compare_across(benchmarks: Sequence[Benchmark]) -> Across:
    """The models of several benchmarks on different data, matched by their names.

    Raises UsageError where two benchmarks have the same pictures: they are not two pieces of evidence.
    """
    shared = _shared(benchmarks)
    _refuse_same_data(benchmarks, shared)
    sets = tuple(compare(benchmark) for benchmark in benchmarks)
    top1 = {one.name: {row.model: row.top1 for row in one.tested} for one in sets}
    everywhere = dict.fromkeys(row.model for one in sets for row in one.tested)
    means = {model: _mean_of([top1[one.name].get(model) for one in sets]) for model in everywhere}
    models = tuple(
        sorted(everywhere, key=lambda model: -(-1.0 if means[model] is None else means[model] or 0.0))
    )
    return Across(
        models=models,
        sets=sets,
        means=tuple(means[model] for model in models),
        pairs=_pairs(models, [top1[one.name] for one in sets]),
        shared=tuple(shared),
    )


def wilcoxon(differences: Sequence[float]) -> float:
    """Exact two-sided p-value of Wilcoxon's signed-rank test, zeros split between both sides.

    As Demšar 2006 recommends it for two classifiers over several data sets. Up to 20 sets every one of the
    2ⁿ sign patterns is counted, ties and zeros included; beyond that scipy's normal approximation.
    """
    from scipy.stats import rankdata
    from scipy.stats import wilcoxon as scipy_wilcoxon

    d = np.round(np.asarray(differences, dtype=float), 12)  # equal means must be equal after their rounding
    if not d.any():
        return 1.0
    if len(d) > 20:
        return float(scipy_wilcoxon(d, zero_method="zsplit", method="asymptotic").pvalue)
    ranks = rankdata(np.abs(d))
    moved = np.abs(np.sum(ranks * np.sign(d)))
    sums = np.zeros(1)
    for rank in ranks[d != 0]:
        sums = np.concatenate([sums + rank, sums - rank])
    return float(np.mean(np.abs(sums) >= moved - 1e-9))


def _pairs(models: Sequence[str], sets: Sequence[dict[str, float | None]]) -> tuple[AcrossPair, ...]:
    """Every two models that share at least six sets, p-values adjusted over all of them (Holm)."""
    found = []
    for a, b in combinations(models, 2):
        both = [(one.get(a), one.get(b)) for one in sets]
        d = [x - y for x, y in both if x is not None and y is not None]
        if len(d) < LEAST_SETS:
            continue
        if sum(d) < 0:
            a, b, d = b, a, [-value for value in d]
        wins, losses = sum(value > 1e-12 for value in d), sum(value < -1e-12 for value in d)
        p = wilcoxon(d)
        found.append(
            AcrossPair(
                model_a=a, model_b=b, n_sets=len(d), wins=wins, losses=losses, difference=sum(d) / len(d),
                p=p, p_holm=p,
            )
        )  # fmt: skip
    adjusted = holm([pair.p for pair in found])
    return tuple(replace(pair, p_holm=p) for pair, p in zip(found, adjusted, strict=True))


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _refuse_same_data(benchmarks: Sequence[Benchmark], shared: Sequence[Shared]) -> None:
    """Raise UsageError where two benchmarks stand on one data set, or on copies of one."""
    seen: dict[str, str] = {}
    for benchmark in benchmarks:
        other = seen.setdefault(str(benchmark.manifest["data_digest"]), benchmark.name)
        if other != benchmark.name:
            raise UsageError(
                f"--across: {other} and {benchmark.name} have the same pictures, which count once; "
                "leave one away (compare without --across puts them into one table)"
            )
    for one, other, count, fewest in shared:
        if count > SAME_SET * fewest:
            raise UsageError(
                f"--across: {one} and {other} share {count} of {fewest} test pictures, as the same files or "
                "near-copies: that is one data set, which counts once; leave one away"
            )


def _shared(benchmarks: Sequence[Benchmark]) -> list[Shared]:
    """One for every two benchmarks that share test pictures."""
    known = [(b.name, Fingerprints.read(b.folder / TESTED_ON) or NOTHING) for b in benchmarks]
    found = []
    for (one, mine), (other, theirs) in combinations(known, 2):
        larger, smaller = (mine, theirs) if len(mine) >= len(theirs) else (theirs, mine)
        if shared := larger.shared_with(smaller):
            found.append((one, other, shared, len(smaller)))
    return found
