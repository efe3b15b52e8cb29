"""Two models on the same pictures: difference, interval, test."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from vitbench.comparison.basis import Basis
from vitbench.comparison.bootstrap import SCORES, difference_interval
from vitbench.comparison.candidates import Candidate
from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import paired_difference

MCNEMAR = "exact McNemar"
OVER_GROUPS = "exact test over groups"
Verdict = Literal["better", "equivalent", "not distinguishable"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models on the same n pictures; model_a is the one with the higher accuracy, if any."""

    model_a: str
    model_b: str
    n: int
    groups: int | None = None
    """Groups that the pictures stand in; None: each picture is its own."""
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
    p_adjusted: float
    """p corrected for all pairs of the family; it decides."""
    family: int = 1
    """Pairs that are corrected together."""
    correction: str = ""
    """"step-down sign flips" (exact tests) or "Holm" (t over seeds); "" for one pair."""
    method: str
    """"exact McNemar", "exact test over groups" or "t over images × seeds"; ", corrected for folds"."""
    kind: Verdict = "not distinguishable"
    """`p_adjusted` decides on "better"; "equivalent": not better, and the interval within ±margin."""
    margin: float | None = None
    """As a fraction; None: no margin was named, so nothing is called equivalent."""
    scores: tuple["ScoreDifference", ...] = ()
    """Differences in the other scores; that in loss is tested, too."""
    probe: str = ""
    """The one of the two that is a probe, so that it learned from val, too; "" for none or both."""
    verdict: str = ""
    """One sentence with the numbers."""

    left_out: int = 0
    """Test pictures that training knows (leaks)."""
    clean: "Pair | None" = None
    """The same two by the same procedure on the other ones; None: no leaks, or no other ones."""

    @property
    def stands(self) -> bool:
        """Without the pictures that training knows the verdict is the same; True where there are none."""
        if not self.left_out:
            return True
        if self.clean is None:
            return self.kind == "not distinguishable"
        same = self.clean.model_a == self.model_a or self.kind != "better"
        return self.clean.kind == self.kind and same

    @property
    def distinguishable(self) -> bool:
        """One is better, with and without the pictures that training knows."""
        return self.kind == "better" and self.stands

    def gain_of(self, model: str) -> tuple[float, float, float]:
        """(difference, low, high) as what `model`, one of the two, gains over the other."""
        if model == self.model_a:
            return self.difference, self.low, self.high
        return -self.difference, -self.high, -self.low

    def score(self, name: str) -> "ScoreDifference":
        """The difference in one of the other scores."""
        return next(one for one in self.scores if one.score == name)

    @property
    def apart_in_loss(self) -> bool:
        """One has the lower log loss, with and without the pictures that training knows."""
        loss = self.score("loss")
        if not loss.decided or not self.left_out:
            return loss.decided
        if self.clean is None:
            return False
        clean = self.clean.score("loss")
        same = (clean.difference > 0) == (loss.difference > 0)
        return clean.decided and same == (self.clean.model_a == self.model_a)

    @property
    def borderline(self) -> bool:
        """Alone the two would be told apart (the interval excludes 0), among all pairs they are not."""
        return self.kind != "better" and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """Score of A − score of B on the same pictures, with its 95 % interval (paired bootstrap)."""

    score: str
    """"loss", "brier", "macro_f1" or "balanced_accuracy"."""
    difference: float
    low: float | None
    """None, as `high`: not to be had from one picture."""
    high: float | None
    p: float | None = None
    """Of "no difference"; this and the next: None where the score is not tested."""
    p_adjusted: float | None = None
    """Corrected for all pairs of the family, a second family beside that of accuracy."""
    decided: bool = False
    """`p_adjusted` ≤ .05, and the interval leaves out 0."""


def pair_of(a: Candidate, b: Candidate, basis: Basis) -> Pair:
    """Two models, the one with the higher mean first: an exact test where nothing is known of any seed.

    Else t over images × seeds on the means of all runs that each has; how much a seed changes a model with
    one run is known from the other models of the table.
    """
    if b.correct.mean() > a.correct.mean():
        a, b = b, a
    right_a, right_b = a.correct, b.correct
    seeds = basis.seeds_of("top1", a.model, b.model)
    several = len(a.answered) > 1 or len(b.answered) > 1 or any(part.variance for part in seeds)
    if several:
        found = seeds_difference(right_a, right_b, basis.groups, seeds, basis.inflation)
    else:
        found = paired_difference(right_a[0], right_b[0], basis.groups, basis.inflation)
    one_a, one_b = right_a[0], right_b[0]
    counts = (one_a & one_b, one_a & ~one_b, ~one_a & one_b, ~one_a & ~one_b)
    both, a_only, b_only, neither = (None if several else int(c.sum()) for c in counts)
    units = "images" if basis.groups is None else "groups"
    exact = MCNEMAR if basis.groups is None else OVER_GROUPS
    return Pair(
        model_a=a.model,
        model_b=b.model,
        n=basis.n,
        groups=None if basis.groups is None else basis.units,
        both=both,
        a_only=a_only,
        b_only=b_only,
        neither=neither,
        difference=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        p_adjusted=found.p,
        method=(f"t over {units} × seeds" if several else exact) + basis.corrected,
        margin=basis.terms.margin,
        scores=_score_differences(a, b, basis),
        probe=_learned_from_val(a, b),
    )


def _score_differences(a: Candidate, b: Candidate, basis: Basis) -> tuple[ScoreDifference, ...]:
    found = []
    for name in SCORES:
        seeds = basis.seeds_of(name, a.model, b.model)
        both = [
            dataclasses.replace(basis.samples[one.model][name], seed=seed)
            for one, seed in zip((a, b), seeds, strict=True)
        ]
        value, *limits = difference_interval(*both)
        low, high = basis.widened(value, *limits)
        found.append(ScoreDifference(score=name, difference=value, low=low, high=high))
    return tuple(found)


def _learned_from_val(a: Candidate, b: Candidate) -> str:
    """The probe of the two, where the other is none."""
    probes = [one.model for one in (a, b) if one.answered[0].recipe().name == "probe"]
    return probes[0] if len(probes) == 1 else ""
