"""Models over several data sets: a row per set, and a test on the sets' means from six of them up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from vitbench.comparison.statistics import ALPHA, holm
from vitbench.comparison.table import Comparison, compare
from vitbench.comparison.words import listed, p_text, points
from vitbench.errors import UsageError
from vitbench.records import Benchmark, Fingerprints
from vitbench.records.fingerprints import NOTHING, TESTED_ON

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
    verdict: str = ""

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
    answer: str
    notes: tuple[str, ...]


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
    pairs = _pairs(models, [top1[one.name] for one in sets])
    return Across(
        models=models,
        sets=sets,
        means=tuple(means[model] for model in models),
        pairs=pairs,
        answer=_answer(models, pairs, len(sets)),
        notes=_notes(shared, models, means),
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
    judged = [replace(pair, p_holm=p) for pair, p in zip(found, adjusted, strict=True)]
    return tuple(replace(pair, verdict=_verdict(pair, len(judged))) for pair in judged)


def _verdict(pair: AcrossPair, pairs: int) -> str:
    holm_text = f", {p_text(pair.p_holm)} after Holm over {pairs} pairs" if pairs > 1 else ""
    numbers = (
        f"{points(pair.difference)} points in the mean, ahead on {pair.wins} sets and behind on "
        f"{pair.losses}, Wilcoxon {p_text(pair.p)}{holm_text}"
    )
    if pair.distinguishable:
        return f"{pair.model_a} is better than {pair.model_b} over {pair.n_sets} data sets: {numbers}"
    return (
        f"{pair.model_a} and {pair.model_b} are not distinguishable over {pair.n_sets} data sets: {numbers}"
    )


def _answer(models: Sequence[str], pairs: Sequence[AcrossPair], sets: int) -> str:
    if len(models) < 2:
        return "One model alone: there is nothing to compare it with."
    if not pairs:
        return (
            f"{sets} data sets: a table, no test. From {LEAST_SETS} sets up that both models were tested on, "
            "one can say more than what each set says by itself."
        )
    better = [pair for pair in pairs if pair.distinguishable]
    if better:
        return "; ".join(f"{pair.model_a} is better than {pair.model_b}" for pair in better) + "."
    needed = math.ceil(math.log2(2 * len(pairs) / ALPHA))
    return (
        f"No two of {listed(list(models))} can be told apart over {sets} data sets; "
        f"with {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} that takes at least {needed} sets, "
        "all won."
    )


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


def _notes(
    shared: Sequence[Shared], models: Sequence[str], means: dict[str, float | None]
) -> tuple[str, ...]:
    notes = ["Each data set counts once, whatever its size; the means are of its test pictures"]
    lacking = [model for model in models if means[model] is None]
    if lacking:
        notes.append(f"{listed(lacking)}: not tested on every set, so without a mean")
    for one, other, count, _ in shared:
        are = "test picture is" if count == 1 else "test pictures are"
        notes.append(
            f"{count} {are} in {one} and in {other}, as the same file or a near-copy: these sets are not "
            "independent"
        )
    return tuple(notes)
