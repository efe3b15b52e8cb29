"""Every two models on the same pictures: difference, interval, test, verdict."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from vitbench.comparison import words
from vitbench.comparison.candidates import Candidate
from vitbench.comparison.statistics import ALPHA, holm, paired_difference, seeds_difference

MCNEMAR = "exact McNemar"
Verdict = Literal["better", "equivalent", "not distinguishable"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models on the same n pictures; model_a is the one with the higher accuracy, if any."""

    model_a: str
    model_b: str
    n: int
    both: int | None
    """Pictures that both got right; this and the next three: None where seeds are averaged."""
    a_only: int | None
    b_only: int | None
    neither: int | None
    difference: float
    """top1 of A − top1 of B on `n`, ≥ 0, as a fraction."""
    low: float
    high: float
    p: float
    p_holm: float
    """p adjusted for all pairs of the table (Holm); it decides."""
    method: str
    """"exact McNemar", "exact test over groups" or "t over images × seeds"."""
    kind: Verdict = "not distinguishable"
    """p after Holm decides on "better"; "equivalent": not better, and the interval within ±margin."""
    margin: float | None = None
    """As a fraction; None: no margin was named, so nothing is called equivalent."""
    scores: tuple["ScoreDifference", ...] = ()
    """Differences in the other scores."""
    verdict: str = ""
    """One sentence with the numbers."""

    @property
    def distinguishable(self) -> bool:
        return self.p_holm <= ALPHA

    @property
    def borderline(self) -> bool:
        """The interval excludes 0, yet p does not: no verdict."""
        return not self.distinguishable and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """Score of A − score of B on the same pictures, with its 95 % interval (paired bootstrap)."""

    score: str
    """"loss", "brier", "macro_f1" or "balanced_accuracy"."""
    difference: float
    low: float
    high: float


def compared(candidates: Sequence[Candidate], n: int) -> tuple[Pair, ...]:
    """Every two tested models, the more accurate one first, p-values adjusted over all of them."""
    tested = sorted((c for c in candidates if c.answered), key=lambda c: -float(c.correct.mean()))
    raw = [_pair(a, b, n) for a, b in combinations(tested, 2)]
    return tuple(dataclasses.replace(pair, verdict=words.verdict(pair, len(raw))) for pair in _adjusted(raw))


def _pair(a: Candidate, b: Candidate, n: int) -> Pair:
    """Two models by exact McNemar with one run each, by t over images × seeds with several each.

    Where only one of the two has several runs its seed variance is known and the other's is not:
    the first runs are compared (a note says so).
    """
    right_a, right_b = a.correct, b.correct
    several = len(right_a) > 1 and len(right_b) > 1
    test: Callable[[Any, Any], Any] = seeds_difference if several else paired_difference
    found = test(right_a, right_b) if several else test(right_a[0], right_b[0])
    if found.value < 0:
        return _pair(b, a, n)  # first runs can disagree with the order of the means
    one_a, one_b = right_a[0], right_b[0]
    counts = (one_a & one_b, one_a & ~one_b, ~one_a & one_b, ~one_a & ~one_b)
    both, a_only, b_only, neither = (None if several else int(c.sum()) for c in counts)
    return Pair(
        model_a=a.model,
        model_b=b.model,
        n=n,
        both=both,
        a_only=a_only,
        b_only=b_only,
        neither=neither,
        difference=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        p_holm=found.p,
        method="t over images × seeds" if several else MCNEMAR,
    )


def against_probes(candidates: Sequence[Candidate], n: int) -> tuple[Pair, ...]:
    """Every fine-tuned model against its own probe, p-values adjusted over these pairs alone."""
    tested = {c.model: c for c in candidates if c.answered}
    beside = [(tested[c.probe_of], c) for c in tested.values() if c.probe_of in tested]
    raw = [_pair(tuned, _as_often(probe, tuned), n) for tuned, probe in beside]
    tuned_ones = [tuned.model for tuned, _ in beside]
    return tuple(
        dataclasses.replace(pair, verdict=words.probe_verdict(pair, tuned, len(raw)))
        for pair, tuned in zip(_adjusted(raw), tuned_ones, strict=True)
    )


def _as_often(probe: Candidate, tuned: Candidate) -> Candidate:
    """The probe's one run counted as often as the model has runs: it has no seed, so nothing in it varies."""
    k = len(tuned.answered)
    return dataclasses.replace(probe, answered=probe.answered[:1] * k, predictions=probe.predictions[:1] * k)


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their p-values adjusted over all of them (Holm)."""
    adjusted = holm([pair.p for pair in pairs])
    return [dataclasses.replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]
