"""What would help next: rules that speak where an exact test, a limit or a plan holds.

`RULES` at the end in order of use. A rule's claim is false in at most 5 % of the tables in which it could be
(`results/evidence/statistics.md`); where nothing is proven it is silent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitbench.comparison.evidence import surely_under
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.measured import Pair, Row
from vitbench.comparison.nouns import CloseUp, Comparison
from vitbench.comparison.power import safely_planned
from vitbench.narrative.nouns import Step
from vitbench.narrative.words import (
    in_points,
    least_points,
    listed,
    measured,
    named,
    p_text,
    pictures,
    points,
    rounded,
)
from vitbench.records import counted, decimals, percent

MOST = 3
"""Pieces of advice."""
GAP = 0.05
"""A test part that can show no smaller gap between two models than this is small; a gain under it is none."""
RARE = 0.5
"""A class with less than this share of the median class's training pictures has few."""
OVERFIT = 0.15
"""Training accuracy so much above test accuracy speaks of pictures learned by heart."""
TUNING = "lets val choose the settings"
MUCH_SLOWER = 1.2
"""A model that takes so many times as long is slower for a user."""


def steps(comparison: Comparison) -> tuple[Step, ...]:
    """Up to three, most useful first; () where no rule applies."""
    if comparison.close_up is None:
        return ()
    case = Case(comparison, comparison.close_up)
    return tuple(step for rule in RULES if (step := rule(case)))[:MOST]


@dataclass(frozen=True)
class Case:
    """What the rules look at; something has been tested."""

    comparison: Comparison
    best: CloseUp
    """Of the most accurate model."""

    @property
    def judged(self) -> str:
        """The model of `best`, and what the rules on single pictures look at of it.

        That is its first run of several, and of pictures in groups one each.
        """
        said = self.best.model
        if self.best.seed is not None:
            said += f", seed {self.best.seed}"
        return said if self.best.n == self.comparison.n_test else f"{said}, one picture per group"

    @property
    def against_probes(self) -> list[tuple[str, Pair]]:
        """Every fine-tuned model that has a probe of its own, and the pair of the two."""
        probe_of = {row.model: row.probe_of for row in self.comparison.rows if row.probe_of}
        return [(probe_of.get(p.model_a) or probe_of[p.model_b], p) for p in self.comparison.probes]


def leading_probes(comparison: Comparison) -> tuple[str, ...]:
    """Where a benchmark holds probes of several models alone, up to three that lead; else ()."""
    tested = comparison.tested
    if {row.recipe for row in tested} != {"probe"} or len(tested) < 2:
        return ()
    return tuple(row.of for row in comparison.leaders[:3])


def _gain(name: str, pair: Pair) -> str:
    """ "−7 points [−12, −2] (swin)": fine-tuned minus probe, 95 %."""
    value, low, high = (points(part, pair.n) for part in pair.gain_of(name))
    return f"{in_points(value)} [{low}, {high}] ({name})"


def _leaks(case: Case) -> Step | None:
    """Test pictures that training knows make every other advice premature."""
    known = len({leak.path for leak in case.comparison.leaks})
    if not known:
        return None
    return Step(
        f"{known} of {pictures(case.comparison.n_test)} {'has' if known == 1 else 'have'} a copy among those "
        "that were learned from: take one of each pair away (leaks.csv) and train again"
    )


def _lost_to_probe(case: Case) -> Step | None:
    """Evidence: the pair's test, corrected for all probes."""
    lost = [
        (name, pair) for name, pair in case.against_probes if pair.distinguishable and pair.model_a != name
    ]
    if not lost:
        return None
    own = "its" if len(lost) == 1 else "their"
    said = f"{named([_gain(*one) for one in lost])} against {own} own frozen probe"
    if case.comparison.tuned:
        return Step(f"{said}: use the probe, or more pictures")
    return Step(f"{said}: let val choose the settings with --tune 3", {"tune": 3}, TUNING)


def _no_gain_over_probe(case: Case) -> Step | None:
    """Evidence: a 99 % interval of the best model's gain over its probe ends below `GAP`."""
    name = case.best.model
    pair = next((pair for model, pair in case.against_probes if model == name), None)
    if pair is None or pair.distinguishable:
        return None
    value, _, high = pair.gain_of(name)
    if not surely_under(value, high, GAP):
        return None
    tuned = case.comparison.tuned
    return Step(
        f"{_gain(name, pair)} against its own frozen probe, a gain under {100 * GAP:.0f} points if any: "
        f"take the probe, or see whether {'' if tuned else '--tune 3 or '}more pictures make fine-tuning pay",
        {} if tuned else {"tune": 3},
        TUNING,
    )


def _small_test(case: Case) -> Step | None:
    """A test part that can show large gaps only: folds where possible, or a planned number."""
    n, gap = case.comparison.n_test, case.comparison.smallest_gap
    if gap is not None and gap <= GAP:
        return None
    folds, every = _helpful_folds(case.comparison), case.comparison.n_pictures
    what = f"--folds {folds} would report on all {every}" if folds else ""
    options = {"folds": folds} if folds else {}
    aim = f"tests all {every} pictures instead of {n}"
    best = case.comparison.tested[0]
    if best.over_seeds:  # then smaller gaps can show
        width = percent((best.top1_high or 0.0) - (best.top1_low or 0.0), decimals(n))
        leave = f"{pictures(n)} {'leaves' if n == 1 else 'leave'}"
        said = f"{leave} {best.model} an interval of {in_points(width)}: {what or 'more narrow it'}"
        return Step(said, options, aim)
    least = "between two models" if gap is None else f"under {in_points(least_points(gap))}"
    return Step(f"{pictures(n)} can show no gap {least}: {what or _planned(case)}", options, aim)


def _helpful_folds(comparison: Comparison) -> int:
    """So many folds can be made; 0 where none can, or where they would let no smaller lead show."""
    remedies = comparison.outlook.remedies if comparison.outlook else ()
    useless = any(remedy.kind == "folds" and remedy.helps is False for remedy in remedies)
    return 0 if useless else comparison.possible_folds


def _planned(case: Case) -> str:
    """How many pictures a gap of `GAP` is planned with, as often as the median pair may disagree.

    None beside the plan that was asked for: one page has one plan.
    """
    more = "more can" if case.comparison.smallest_gap is None else "more can show smaller ones"
    disagree = sorted(
        (pair.a_only + pair.b_only, pair.n)
        for pair in case.comparison.pairs
        if pair.a_only is not None and pair.b_only is not None
    )
    if not disagree or case.comparison.plan:
        return more
    needed = safely_planned(GAP, *disagree[len(disagree) // 2], case.comparison.family)
    if needed is None:
        return more
    needed = round(needed * fold_inflation(case.comparison.folds))
    return (
        f"about {rounded(needed)} independent ones show one of {100 * GAP:.0f} points in 4 of 5 such "
        "comparisons"
    )


def _behind(case: Case) -> Step | None:
    """Evidence: Fisher's exact test of that class against the rest, for the worst of all classes."""
    found = case.best.behind
    if found is None:
        return None
    text = (
        f"{found.right} of {counted(found.n, 'picture')} of {found.label} right against {found.other_right} "
        f"of {found.other_n} of the other classes, {found.taken} of them taken for {found.taken_for} "
        f"({case.judged}; Fisher's exact {p_text(found.p)} for the worst class)"
    )
    if found.train < RARE * found.train_median:
        few, middle = found.train, found.train_median
        return Step(
            f"{text}; only {few} to train on against a median of {middle:g} a class: add pictures there"
        )
    return Step(f"{text}: {LOOK}")


def _mixed_up(case: Case) -> Step | None:
    """Evidence: a binomial test of the mistakes between two classes, for the worst of all pairs."""
    found = case.best.mixed_up
    if found is None or case.best.behind is not None:  # one look at the classes is enough
        return None
    return Step(
        f"{found.between} of the {found.mistakes} mistakes of {case.judged} are between {found.first} and "
        f"{found.second} (binomial {p_text(found.p)} for the worst pair of classes): {LOOK}"
    )


LOOK = "look at these pictures, they may be mixed up or too alike"


def _overfit(case: Case) -> Step | None:
    """Evidence: training accuracy lies above the exact upper limit of test accuracy by at least `OVERFIT`."""
    best = case.best
    if best.train_top1 is None or best.train_top1 - best.most_right < OVERFIT:
        return None
    trained, right, most = (
        percent(one, decimals(best.n)) for one in (best.train_top1, best.right / best.n, best.most_right)
    )
    return Step(
        f"{trained} % right in training against {right} % on the test pictures ({case.judged}; exact 99 % "
        f"limit {most}): more training pictures, of the kind that is tested, narrow such a gap"
    )


def _probe_leads(case: Case) -> Step | None:
    """A benchmark of probes: which models to fine-tune."""
    tested, first = case.comparison.tested, leading_probes(case.comparison)
    if not first:
        return None
    lead = (
        f"{len(case.comparison.leaders)} of {len(tested)} models lead"
        if len(case.comparison.leaders) > 1
        else f"1 of {len(tested)} models leads"
    )
    return Step(f"{lead} as frozen features: fine-tune {listed(first)} to know more")


def _tie(case: Case) -> Step | None:
    """Evidence: no pair among the leaders is told apart; the interval of the largest difference is named."""
    leaders = case.comparison.leaders
    if len(leaders) < 2 or any(row.recipe == "probe" for row in leaders):
        return None
    if not all(pair.stands for pair in case.comparison.pairs):  # leaks hold them together, not chance
        return None
    share = f"{len(leaders)} models cannot be told apart"
    if all(len(row.seeds) == 1 for row in leaders):
        seeds = "--seeds 0,1,2 shows how much of their difference is luck of the training"
        said = f"{share} after one training each{_apart(case)}: {seeds}{_cheapest(leaders)}"
        return Step(said, {"seeds": (0, 1, 2)}, "shows how much of their difference is luck of the training")
    timed = sorted((row.latency_ms_p50, row.model) for row in leaders if row.latency_ms_p50 is not None)
    if len(timed) < len(leaders) or len({row.device for row in leaders}) > 1:
        return None
    (quick, model), (slow, _) = timed[0], timed[-1]
    if slow < MUCH_SLOWER * quick:
        return None
    times = f"{measured(quick)} ms a picture ({measured(slow)} the slowest)"
    return Step(f"{share}, and of these {model} is quickest with {times}")


def _apart(case: Case) -> str:
    """ " (swin − vit +2 points [−0.9, +5])": the largest difference among the leaders, 95 %."""
    names = {row.model for row in case.comparison.leaders}
    among = [pair for pair in case.comparison.pairs if {pair.model_a, pair.model_b} <= names]
    if not among:
        return ""
    pair = max(among, key=lambda p: p.difference)
    value, low, high = (points(part, pair.n) for part in (pair.difference, pair.low, pair.high))
    return f" ({pair.model_a} − {pair.model_b} {in_points(value)} [{low}, {high}])"


def _cheapest(leaders: Sequence[Row]) -> str:
    """ "; or take swin, the cheapest of them" where one computes less than the others."""
    sized = sorted((row.gmacs, row.model) for row in leaders if row.gmacs is not None)
    if len(sized) < len(leaders) or sized[0][0] == sized[1][0]:
        return ""
    return f"; or take {sized[0][1]}, which computes least"


# --- the rules ------------------------------------------------------------------------------------

RULES: tuple[Callable[[Case], Step | None], ...] = (
    _leaks,
    _lost_to_probe,
    _small_test,
    _tie,
    _no_gain_over_probe,
    _behind,
    _mixed_up,
    _overfit,
    _probe_leads,
)
