"""What would help next: simple rules on a comparison's own numbers, `RULES` at the end in order of use."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from vitbench.comparison.candidates import Candidate
from vitbench.comparison.confusion import confusions
from vitbench.comparison.power import pictures_needed, smallest_gap, smallest_net
from vitbench.comparison.words import listed, pictures, points, rounded
from vitbench.data.split import AUTO_FOLDS, LEAST_AUTO_FOLDS
from vitbench.records import Benchmark, percent

if TYPE_CHECKING:
    from vitbench.comparison.pairs import Pair
    from vitbench.comparison.rows import Row
    from vitbench.comparison.table import Comparison

MOST = 3
"""Pieces of advice."""
GAP = 0.05
"""A test part that can show no smaller gap between two models than this is small."""
DRAWN_HERE = "70 / 15 / 15 %"
"""How the split's rule begins where vitbench drew the test part itself."""
RARE = 0.5
"""A class with less than this share of the median class's pictures has few."""
BEHIND = 0.2
"""A class whose recall is so much lower than that of the other classes together is singled out."""
LEAST_WRONG = 3
"""Fewer mistakes are not told of: they can be chance."""
OVERFIT = 0.15
"""Training accuracy so much above test accuracy speaks of pictures learned by heart."""
LEAST_DIFFERENCE = 1.0
"""Differences under so many points are not worth a plan."""
MUCH_SLOWER = 1.2
"""A model that takes so many times as long is slower for a user."""


def advice(comparison: "Comparison", benchmark: Benchmark, candidates: Sequence[Candidate]) -> str:
    """One to three sentences, most useful first, each led by its numbers; "" where no rule applies.

    `benchmark`: the one whose split counts (the first of several).
    """
    if not comparison.tested:
        return ""
    by_name = {candidate.model: candidate for candidate in candidates}
    case = Case(comparison, benchmark, by_name[comparison.tested[0].model])
    found = [text for rule in RULES if (text := rule(case))]
    return " ".join(f"{text}." for text in found[:MOST])


@dataclass(frozen=True)
class Case:
    """What the rules look at; something has been tested."""

    comparison: "Comparison"
    benchmark: Benchmark
    best: Candidate
    """The most accurate model."""

    @property
    def judged(self) -> str:
        """The model of `best`, and which run of several the rules on single pictures look at: its first."""
        several = len(self.best.answered) > 1
        return f"{self.best.model}, seed {self.best.answered[0].seed}" if several else self.best.model

    @property
    def tuned(self) -> bool:
        """Settings were tried on val already."""
        return bool(self.benchmark.manifest["settings"].get("tune"))

    @property
    def leaders(self) -> list["Row"]:
        """The models of which none is shown to be worse than another one."""
        return _leaders(self.comparison)

    def against_probes(self, *, lost: bool) -> list[tuple[str, "Pair"]]:
        """Fine-tuned models that lose to their own probe, or are not shown to differ, each with the pair."""
        probe_of = {row.model: row.probe_of for row in self.comparison.rows if row.probe_of}
        tuned = [(probe_of.get(p.model_a) or probe_of[p.model_b], p) for p in self.comparison.probes]
        if lost:
            return [(name, pair) for name, pair in tuned if pair.distinguishable and pair.model_a != name]
        return [(name, pair) for name, pair in tuned if not pair.distinguishable]


def _leaders(comparison: "Comparison") -> list["Row"]:
    return [row for row in comparison.tested if row.rank is not None and row.rank[0] == 1]


def leading_probes(comparison: "Comparison") -> tuple[str, ...]:
    """Where a benchmark holds probes of several models alone, up to three that lead; else ()."""
    tested = comparison.tested
    if {row.recipe for row in tested} != {"probe"} or len(tested) < 2:
        return ()
    return tuple(row.model.rpartition("/")[2] for row in _leaders(comparison)[:3])


def _gains(pairs: Sequence[tuple[str, "Pair"]]) -> str:
    """ "−6.7 points (swin) and −3.3 (vit)": fine-tuned minus probe."""
    first = " points"
    texts = []
    for name, pair in pairs:
        texts.append(f"{points(pair.gain_of(name)[0])}{first} ({name})")
        first = ""
    return listed(texts)


def _leaks(case: Case) -> str:
    """Test pictures that training knows make every other advice premature."""
    known = len({one.path for one in case.comparison.known})
    if not known:
        return ""
    return (
        f"{known} of {case.comparison.n_test} test pictures have a copy among those that were learned from: "
        "take one of each pair away (leaks.csv) and train again"
    )


def _lost_to_probe(case: Case) -> str:
    lost = case.against_probes(lost=True)
    if not lost:
        return ""
    own = "its" if len(lost) == 1 else "their"
    what = "use the probe, or more pictures" if case.tuned else "let val choose the settings with --tune 3"
    return f"{_gains(lost)} against {own} own frozen probe: {what}"


def _no_gain_over_probe(case: Case) -> str:
    tied = case.against_probes(lost=False)
    if not tied:
        return ""
    own = "its" if len(tied) == 1 else "their"
    what = "more pictures" if case.tuned else "--tune 3 or more pictures"
    return (
        f"{_gains(tied)} against {own} own frozen probe, no gain that these pictures can show: "
        f"{what} may make fine-tuning pay"
    )


def _small_test(case: Case) -> str:
    """A test part that can show large gaps only: folds, where they are possible, or more pictures."""
    n, pairs = case.comparison.n_test, max(len(case.comparison.pairs), 1)
    gap = smallest_gap(n, pairs, case.comparison.groups)
    if gap is not None and gap <= GAP:
        return ""
    folds = _possible_folds(case.benchmark)
    what = f"--folds {folds} would report on all {len(case.benchmark.split_rows())}" if folds else ""
    best = case.comparison.tested[0]
    if not best.interval.startswith("Wilson"):  # over several seeds smaller gaps can show
        width = percent((best.top1_high or 0.0) - (best.top1_low or 0.0))
        return f"{pictures(n)} leave {best.model} an interval of {width} points: {what or 'more narrow it'}"
    least = "between two models" if gap is None else f"under {percent(gap)} points"
    need = math.ceil(smallest_net(pairs) / GAP)
    what = what or f"{need} could show one of {100 * GAP:.0f} points"
    return f"{pictures(n)} can show no gap {least}: {what}"


def _possible_folds(benchmark: Benchmark) -> int:
    """How many folds the data allows; 0 where there are folds, or the user brought the test part."""
    if not str(benchmark.manifest["split"].get("rule", "")).startswith(DRAWN_HERE):
        return 0
    groups = Counter(label for label, _ in {(row["class"], row["group"]) for row in benchmark.split_rows()})
    folds = min(AUTO_FOLDS, *(groups[name] for name in benchmark.classes))
    return folds if folds >= LEAST_AUTO_FOLDS else 0


def _rare_class(case: Case) -> str:
    counts = Counter(row["class"] for row in case.benchmark.rows_of("train"))
    middle = median(counts[name] for name in case.comparison.classes)
    few = sorted((counts[name], name) for name in case.comparison.classes if counts[name] < RARE * middle)
    if not few:
        return ""
    named = listed([f"{count} ({name})" for count, name in few[:3]])
    return f"{named} training pictures against a median of {middle:g} a class: add pictures there"


def _mixed_up(case: Case) -> str:
    """The class that the best model gets right much less often than others, or the two it mixes up most."""
    counts, classes = confusions(case.best.predictions[0]), case.comparison.classes
    total, right = counts.sum(axis=1), counts.diagonal()
    rest = total.sum() - total
    recall = right / np.maximum(total, 1)
    others = (right.sum() - right) / np.maximum(rest, 1)
    behind = np.where((total - right >= LEAST_WRONG) & (rest > 0), others - recall, 0)
    worst = int(behind.argmax())
    look = "look at these pictures, they may be mixed up or too alike"
    if behind[worst] >= BEHIND:
        wrong = [
            (-int(k), name)
            for i, (k, name) in enumerate(zip(counts[worst], classes, strict=True))
            if i != worst
        ]
        k, taken_for = min(wrong)
        return (
            f"{right[worst]} of {total[worst]} pictures of {classes[worst]} right against "
            f"{right.sum() - right[worst]} of {rest[worst]} of the other classes ({case.judged}), "
            f"{-k} of them taken for {taken_for}: {look}"
        )
    both = np.triu(counts + counts.T, 1)
    i, j = np.unravel_index(int(both.argmax()), both.shape)
    mistakes = int(total.sum() - right.sum())
    if len(classes) < 3 or both[i, j] < LEAST_WRONG or 2 * both[i, j] < mistakes:
        return ""
    return (
        f"{both[i, j]} of the {mistakes} mistakes of {case.judged} are between {classes[i]} and "
        f"{classes[j]}: {look}"
    )


def _overfit(case: Case) -> str:
    run = case.best.answered[0]
    train, test = run.metrics().get("train", {}).get("top1"), float(case.best.correct[0].mean())
    if train is None or train - test < OVERFIT:
        return ""
    return (
        f"{percent(train)} % right in training against {percent(test)} % on the test pictures "
        f"({case.judged}): more training pictures, of the kind that is tested, would help most"
    )


def _probe_leads(case: Case) -> str:
    """A benchmark of probes: which models to fine-tune."""
    tested, first = case.comparison.tested, leading_probes(case.comparison)
    if not first:
        return ""
    lead = (
        f"{len(case.leaders)} of {len(tested)} models lead"
        if len(case.leaders) > 1
        else f"1 of {len(tested)} models leads"
    )
    return f"{lead} as frozen features: fine-tune {listed(first)} to know more"


def _tie(case: Case) -> str:
    """Leaders that cannot be told apart: what could settle it, and which to take meanwhile."""
    leaders = case.leaders
    if len(leaders) < 2 or any(row.recipe == "probe" for row in leaders):
        return ""
    share = f"{len(leaders)} models tie"
    if all(len(row.seeds) == 1 for row in leaders):
        settle = _settling(case)
        seeds = "--seeds 0,1,2 shows how much of their difference is luck of the training"
        said = f"{settle}, and {seeds}" if settle else seeds
        return f"{share} after one training each: {said}{_cheapest(leaders)}"
    timed = sorted((row.latency_ms_p50, row.model) for row in leaders if row.latency_ms_p50 is not None)
    if len(timed) < len(leaders) or len({row.device for row in leaders}) > 1:
        return ""
    (quick, model), (slow, _) = timed[0], timed[-1]
    if slow < MUCH_SLOWER * quick:
        return ""
    return f"{share}, and of these {model} is quickest with {quick:.1f} ms a picture ({slow:.1f} the slowest)"


def _settling(case: Case) -> str:
    """How many more test pictures the largest difference among the leaders would need; "" where too many."""
    names = {row.model for row in case.leaders}
    open_ones = [p for p in case.comparison.pairs if {p.model_a, p.model_b} <= names and p.a_only is not None]
    if not open_ones:
        return ""
    pair = max(open_ones, key=lambda p: p.difference)
    discordance = ((pair.a_only or 0) + (pair.b_only or 0)) / max(pair.n, 1)
    if round(100 * pair.difference, 1) < LEAST_DIFFERENCE:
        return ""
    needed = pictures_needed(pair.difference, discordance, len(case.comparison.pairs))
    if needed is None or needed <= pair.n:
        return ""
    return (
        f"about {rounded(needed - pair.n)} more test pictures could settle the "
        f"{points(pair.difference)[1:]} points between {pair.model_a} and {pair.model_b}"
    )


def _cheapest(leaders: Sequence["Row"]) -> str:
    """ "; or take swin, the cheapest of them" where one computes less than the others."""
    sized = sorted((row.gmacs, row.model) for row in leaders if row.gmacs is not None)
    if len(sized) < len(leaders) or sized[0][0] == sized[1][0]:
        return ""
    return f"; or take {sized[0][1]}, which computes least"


# --- the rules ------------------------------------------------------------------------------------

RULES: tuple[Callable[[Case], str], ...] = (
    _leaks,
    _lost_to_probe,
    _small_test,
    _tie,
    _no_gain_over_probe,
    _rare_class,
    _mixed_up,
    _overfit,
    _probe_leads,
)
