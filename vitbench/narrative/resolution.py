"""What these pictures could have shown, as sentences."""

from vitbench.comparison.nouns import Comparison, Gaps, Plan
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import corrected_for, in_points, least_points, pictures, rounded
from vitbench.records import counted, decimals, percent


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
    learned, either = f"trained on {about}{train} pictures, the epoch chosen on {about}{val}", "either"
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
    kind = "picture" if gaps.groups is None else "group"
    if gaps.least is None:
        return (
            f"{on} can show no gap between two models, however large: {reached} takes at least "
            f"{counted(gaps.least_net, kind)}."
        )
    each = "" if gaps.groups is None else ", each of another group"
    if gaps.least_net == gaps.most_net or gaps.most is None:
        far = f"{in_points(least_points(gaps.least))} or more ({counted(gaps.least_net, 'picture')}{each})"
        return f"{on} can show only gaps of {far}: smaller ones miss {reached}."
    far = f"{least_points(gaps.least)} to {least_points(gaps.most)} points or more"
    net = f"{gaps.least_net} to {gaps.most_net} pictures{each}"
    far += f" ({net}), depending on the other pairs"
    return f"{on} can show only gaps of {far}: smaller ones miss {reached}."


def seeds_gap_text(gaps: Gaps, corrected: str) -> str:
    """The same over several seeds: from the last step of the steadiest pair to the first of the shakiest."""
    if gaps.least is None:
        return (
            f"{_on_pictures(gaps)} with these seeds can show no gap between two models, however large: too "
            "few pictures, or answers that vary too much over pictures and seeds for "
            f"{_reached(gaps, corrected)}."
        )
    apart = least_points(gaps.least)
    far = "more than 100" if gaps.most is None else least_points(gaps.most)
    which = ""
    if gaps.pairs > 1 and apart != far:
        apart = f"{apart} to {far}"
        which = ", depending on the pair and on how many others are decided"
    return (
        f"{_on_pictures(gaps)} with these seeds can show only gaps of {in_points(apart)} or more{which}: so "
        f"much do the answers vary over pictures and seeds; smaller ones miss {_reached(gaps, corrected)}."
    )


def _on_pictures(gaps: Gaps) -> str:
    grouped = "" if gaps.groups is None else f" in {counted(gaps.groups, 'group')}"
    return f"{pictures(gaps.n)}{grouped}"


def _reached(gaps: Gaps, corrected: str) -> str:
    return f"p ≤ {ALPHA:.2f}{corrected_for(gaps.pairs)}{corrected}"


def plan_text(plan: Plan) -> str:
    """How many pictures a named difference would need, as a sentence."""
    aim = f"a difference of {in_points(f'{100 * plan.difference:g}')} in 4 of 5 such comparisons"
    terms = f"80 % power, {plan.method}{',' if plan.pairs > 1 else ''}{corrected_for(plan.pairs)}"
    if plan.discordance is None and (plan.n if plan.n_groups is None else plan.n_groups) < 2:
        unit = "picture" if plan.n_groups is None else "group"
        return f"How many pictures show {aim}, one {unit} cannot tell: it does not say how answers vary."
    if plan.pictures is None and plan.discordance is None:
        return (
            f"No number of test pictures shows {aim}: the seeds differ too much; add some (a model has "
            f"{counted(plan.seeds, 'seed')} or more here; {terms})."
        )
    many = "more than ten million" if plan.pictures is None else f"about {rounded(plan.pictures)}"
    needed, there = f"{many} independent test pictures", f"there {'is' if plan.n == 1 else 'are'} {plan.n}"
    if plan.groups is not None:
        needed = f"{many} test pictures, {counted(rounded(plan.groups), 'group')} like those here"
        there += f" in {plan.n_groups}"
    elif plan.discordance is None:
        needed = f"{many} test pictures"
    if plan.discordance is None:
        return f"To show {aim} takes {needed} with as many seeds, and {there} (the median pair; {terms})."
    found = f"{percent(plan.discordance, decimals(plan.n))} %"
    basis = f"on {found} of them, as the median pair does here"
    if plan.discordance < plan.difference:
        basis = f"on no more of them than that takes (the median pair here: on {found})"
    return f"To show {aim} takes {needed}, and {there}; if models disagree in being right {basis} ({terms})."


def plain_gap(comparison: Comparison) -> str:
    """The smallest gap that the test set could show, without the words of statistics."""
    gap, n = comparison.smallest_gap, comparison.n_test
    if gap is None:
        return gap_sentence(comparison)
    few = f"at the very best: {round(gap * n)} of {pictures(n)}"
    if comparison.groups is not None:
        few += f", each of another one of their {comparison.groups} groups"
    if comparison.gaps.measured:
        few = "for the two models that vary least from picture to picture and training to training"
    return f"{in_points(least_points(gap))} {few}. A smaller gap cannot be told from chance."
