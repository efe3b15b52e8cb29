"""What these pictures could have shown, as sentences."""

from vitbench.comparison.nouns import Comparison, Gaps, Plan
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import corrected_for, pictures, points, rounded
from vitbench.records import counted


def gap_sentence(comparison: Comparison) -> str:
    """The smallest gap that this test set could have shown."""
    gaps, corrected = comparison.gaps, comparison.corrected
    return seeds_gap_text(gaps, corrected) if gaps.measured else gap_text(gaps, corrected)


def detect_sentence(comparison: Comparison) -> str:
    """How many pictures the difference that was asked for would need; "" where none was."""
    if comparison.options.detect is None:
        return ""
    if comparison.plan is None:
        return "One model alone shows no difference: --detect needs two."
    return plan_text(comparison.plan)


def parts_text(comparison: Comparison) -> str:
    """Which pictures the models learned from and which they are reported on, as a sentence."""
    train, val, test = comparison.n_train, comparison.n_val, comparison.n_test
    about = "about " if comparison.folds else ""
    learned, either = f"trained on {about}{train} pictures, epoch chosen on {about}{val}", "either"
    if {row.recipe for row in comparison.tested} == {"probe"}:
        learned, either = f"fitted to the frozen features of {about}{train + val} pictures", "it"
    if comparison.folds:
        return (
            f"{comparison.folds} folds: each model {learned}; together they report on all {test}, "
            "each picture once"
        )
    return f"{learned[0].upper()}{learned[1:]}, reported on {test} that took no part in {either}"


def gap_text(gaps: Gaps, corrected: str) -> str:
    """The smallest gap that this test set could have shown with one run each, as a sentence."""
    if gaps.n == 0:
        return "There are no test pictures."
    on, reached = _on_pictures(gaps), _reached(gaps, corrected)
    kind = "" if gaps.groups is None else " groups"
    if gaps.least is None:
        return (
            f"With {on} no gap between two models could have reached {reached}: "
            f"that takes at least {gaps.least_net}{kind}."
        )
    each = "" if gaps.groups is None else ", each of another group"
    if gaps.least_net == gaps.most_net or gaps.most is None:
        far = f"{100 * gaps.least:.1f} points ({gaps.least_net} pictures{each})"
        return f"On {on}, only a gap of {far} or more could have reached {reached}."
    far = f"{100 * gaps.least:.1f} to {100 * gaps.most:.1f} points"
    counted = f"{gaps.least_net} to {gaps.most_net} pictures{each}"
    return (
        f"On {on}, only a gap of {far} ({counted}), depending on the other pairs, or more could have "
        f"reached {reached}."
    )


def seeds_gap_text(gaps: Gaps, corrected: str) -> str:
    """The same over several seeds: from the last step of the steadiest pair to the first of the shakiest."""
    if gaps.least is None:
        return (
            f"With {_on_pictures(gaps)} and these seeds no gap between two models could have reached "
            f"{_reached(gaps, corrected)}: too few pictures, or answers that vary too much over pictures and "
            "seeds."
        )
    low, apart = gaps.least or 0.0, f"{100 * (gaps.least or 0.0):.1f} points"
    far = "more than 100" if gaps.most is None else f"{100 * gaps.most:.1f}"
    if gaps.pairs > 1 and f"{100 * low:.1f}" != far:
        apart = f"{100 * low:.1f} to {far} points, depending on the pair and on how many others are decided,"
    return (
        f"On {_on_pictures(gaps)} and these seeds, a gap of {apart} or more was needed to reach "
        f"{_reached(gaps, corrected)}, as much as the answers vary over pictures and seeds."
    )


def _on_pictures(gaps: Gaps) -> str:
    grouped = "" if gaps.groups is None else f" in {counted(gaps.groups, 'group')}"
    return f"{pictures(gaps.n)}{grouped}"


def _reached(gaps: Gaps, corrected: str) -> str:
    return f"p ≤ {ALPHA:.2f}{corrected_for(gaps.pairs)}{corrected}"


def plan_text(plan: Plan) -> str:
    """How many pictures a named difference would need, as a sentence."""
    aim = (
        f"To show a difference of {points(plan.difference)[1:]} points in 4 of 5 such comparisons (80 % "
        f"power, {plan.method}{',' if plan.pairs > 1 else ''}{corrected_for(plan.pairs)})"
    )
    seeds = counted(plan.seeds, "seed")
    if plan.discordance is None and (plan.n if plan.n_groups is None else plan.n_groups) < 2:
        unit = "picture" if plan.n_groups is None else "group"
        return f"{aim} no number can be planned: one {unit} does not tell how much the answers vary."
    if plan.pictures is None and plan.discordance is None:
        return (
            f"{aim} no number of test pictures is enough: the seeds differ too much; add some (a model has "
            f"{seeds} or more here)."
        )
    many = "more than ten million" if plan.pictures is None else f"about {rounded(plan.pictures)}"
    needed, there = (
        f"{many} independent test pictures",
        f"and there {'is' if plan.n == 1 else 'are'} {plan.n}",
    )
    if plan.groups is not None:
        needed = f"{many} test pictures, {counted(rounded(plan.groups), 'group')} like those here"
        there += f" in {plan.n_groups}"
    elif plan.discordance is None:
        needed = f"{many} test pictures"
    if plan.discordance is None:
        return f"{aim} takes {needed} with as many seeds, {there} (the median pair)."
    share = f"on {100 * plan.discordance:.1f} % of them, as the median pair does here"
    if plan.discordance < plan.difference:
        share = (
            f"on no more of them than that takes (the median pair here: on {100 * plan.discordance:.1f} %)"
        )
    return f"{aim} takes {needed}, {there}, if models disagree in being right {share}."


def plain_gap(comparison: Comparison) -> str:
    """The smallest gap that the test set could show, without the words of statistics."""
    gap, n = comparison.smallest_gap, comparison.n_test
    if gap is None:
        return gap_sentence(comparison)
    few = f"at the very best: {round(gap * n)} of these {n} test pictures"
    if comparison.groups is not None:
        few += f", each of another one of their {comparison.groups} groups"
    if comparison.gaps.measured:
        few = "for the two models that vary least from picture to picture and training to training"
    return f"{100 * gap:.1f} points {few}. A smaller gap cannot be told from chance."
