"""The comparison in plain words, with the numbers that carry them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vitbench.comparison.statistics import ALPHA
from vitbench.records import counted

if TYPE_CHECKING:
    from vitbench.comparison.lessons import Lesson, Share
    from vitbench.comparison.pairs import Pair
    from vitbench.comparison.resolution import Gaps, Plan
    from vitbench.comparison.rows import Row
    from vitbench.comparison.table import Comparison


ROUNDING = 1e-7
"""Percentage points that are none."""


def points(fraction: float) -> str:
    """A difference of accuracies in signed percentage points: 0.0333 → "+3.3", −0.048 → "−4.8".

    What would round to 0 has one significant digit (0.0002 → "+0.02"), so that an end of an interval that
    leaves out 0 never reads as one that holds it.
    """
    value = 100 * fraction
    if abs(value) < ROUNDING:
        return "0.0"
    digits = 1 if round(abs(value), 1) else math.ceil(-math.log10(abs(value)))
    return f"{value:+.{digits}f}".replace("-", "−")


def p_digits(p: float) -> str:
    """ "0.620": three decimals, or as many as show on which side of .05 it lies ("0.0503")."""
    texts = (f"{p:.{digits}f}" for digits in range(3, 18))
    return next(text for text in texts if (float(text) <= ALPHA) == (p <= ALPHA))


def p_text(p: float) -> str:
    """ "p = 0.62", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p_digits(p).rstrip('0').rstrip('.')}"


def amount(value: float) -> str:
    """Millions of parameters, GMACs: two decimals, three significant digits under 0.1 (0.00712)."""
    digits = 2 if value >= 0.1 or value <= 0 else 2 - math.floor(math.log10(value))
    return f"{value:.{digits}f}"


def nats(loss: float) -> str:
    """A loss without its sign: three decimals, or what shows its first digit (0.0004)."""
    digits = 3 if loss >= 5e-4 or loss <= 0 else math.ceil(-math.log10(loss))
    return f"{loss:.{digits}f}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def pictures(n: int) -> str:
    """ "1 test picture", "60 test pictures"."""
    return counted(n, "test picture")


def rounded(n: int) -> int:
    """Two significant digits, upwards: a planned number of pictures is no more exact than that."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def verdict(pair: "Pair") -> str:
    """One sentence on two models: better, equivalent or not distinguishable, with all its numbers.

    From two pairs in the family on, the corrected p-value is given and decides.
    """
    numbers, on = _numbers(pair), _on(pair)
    if pair.probe:
        numbers += f"; {pair.probe} is a probe and learned from val, too"
    if pair.kind == "better":
        within = pair.margin is not None and pair.high <= pair.margin
        small = f"; yet by less than the margin of {points(pair.margin or 0)[1:]} points" if within else ""
        return f"{pair.model_a} is better than {pair.model_b} {on}: {numbers}{small}"
    if pair.kind == "equivalent":
        return (
            f"{pair.model_a} and {pair.model_b} are equivalent within ±{points(pair.margin or 0)[1:]} points "
            f"{on}: {numbers}"
        )
    return f"{pair.model_a} and {pair.model_b} are not distinguishable {on}: {numbers}{_borderline(pair)}"


def probe_verdict(pair: "Pair", tuned: str) -> str:
    """One sentence on a fine-tuned model and its own frozen probe, differences as the former's gain."""
    numbers, on = f"{_numbers(pair, tuned)}; the probe learned from val, too", _on(pair)
    if not pair.distinguishable:
        return (
            f"{tuned} is not distinguishable from its own frozen probe {on}: {numbers}{_borderline(pair)}; "
            "fine-tuning has not been shown to pay here"
        )
    if pair.model_a == tuned:
        return f"{tuned} is better than its own frozen probe {on}: {numbers}"
    return f"{tuned} loses to its own frozen probe {on}: {numbers}: use the probe, or tune (--tune 3)"


def arm_verdict(pair: "Pair", model: str, arms: Mapping[str, str]) -> str:
    """One sentence on two arms of a model: "vit: distill is better than plain on 60 images: …".

    arms: the candidates' names → their arms in words.
    """
    named = dataclasses.replace(pair, model_a=arms[pair.model_a], model_b=arms[pair.model_b])
    return f"{model}: {verdict(named)}"


def lesson_text(lesson: "Lesson") -> str:
    """What one distilled model took over from its teacher, at what gain and price, as one sentence."""
    parts = [
        f"{lesson.model} learned from {lesson.teacher} ({taught_how(lesson)}): its answer is the teacher's "
        f"on {_share(lesson.agrees)} of {pictures(lesson.n)}"
    ]
    if lesson.twin_agrees:
        parts[0] += f", that of {lesson.twin}, which had no teacher, on {_share(lesson.twin_agrees)}"
    right = f"it is right on {_share(lesson.right)}"
    if lesson.cls_right and lesson.dist_right:
        right += (
            f" (its class head alone on {_share(lesson.cls_right)}, its distillation head alone on "
            f"{_share(lesson.dist_right)})"
        )
    parts.append(f"{right}, the teacher on {_share(lesson.teacher_right)}")
    if gain := lesson.gain:
        interval = f"95 % CI [{points(gain.low)}, {points(gain.high)}]"
        parts.append(f"{points(gain.value)} points against {lesson.twin}, {interval}")
    if lesson.price:
        parts.append(
            f"{lesson.seconds_per_epoch:.3g} s per epoch against {lesson.twin_seconds_per_epoch:.3g} "
            f"without a teacher, {lesson.price:.2f} times as long"
        )
    return "; ".join(parts)


def taught_how(lesson: "Lesson") -> str:
    """ "hard, α 0.5, through its distillation token", "soft, α 0.1, τ 3, through its logits"."""
    tau = f", τ {lesson.tau:g}" if lesson.kind == "soft" else ""
    through = {"token": "its distillation token", "logits": "its logits"}[lesson.through]
    return f"{lesson.kind}, α {lesson.alpha:g}{tau}, through {through}"


def _share(share: "Share") -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def loss_text(pairs: Sequence["Pair"]) -> str:
    """What log loss shows on the same pictures, beside accuracy, as a sentence; "" without tested pairs."""
    tested = [
        (pair, pair.score("loss")) for pair in pairs if pair.scores and pair.score("loss").p is not None
    ]
    if not tested:
        return ""
    told = [
        f"{winner} than {loser} (−{nats(abs(loss.difference))}, {p_text(loss.p_adjusted or 0.0)})"
        for pair, loss in tested
        if pair.apart_in_loss
        for winner, loser in [(pair.model_a, pair.model_b)[:: 1 if loss.difference < 0 else -1]]
    ]
    rest = len(tested) - len(told)
    family = tested[0][0].family
    how = f"a test of its own{', p' + _corrected(family) if family > 1 else ''}"
    if any(pair.left_out for pair, _ in tested):
        how += ", with and without the pictures that training knows"
    head = f"By log loss, which sees how sure every answer was ({how}): "
    if not told:
        return f"{head}{'the two are not' if rest == 1 else 'no two are'} distinguishable."
    others = (
        f"; the other {'pair is' if rest == 1 else f'{rest} pairs are'} not distinguishable" if rest else ""
    )
    return f"{head}lower is {listed(told)}{others}."


def _numbers(pair: "Pair", model: str = "") -> str:
    """Difference as the gain of `model` (of the better one, if none is named), interval, test and counts."""
    value, low, high = pair.gain_of(model or pair.model_a)
    text = f"{points(value)} points, 95 % CI [{points(low)}, {points(high)}], {pair.method} {p_text(pair.p)}"
    if pair.family > 1:
        same = p_text(pair.p_adjusted) == p_text(pair.p)
        text += f", {'the same' if same else p_text(pair.p_adjusted)}{_corrected(pair.family)}"
    if pair.a_only is not None and pair.b_only is not None:
        text += f" ({pair.model_a} alone right on {pair.a_only}, {pair.model_b} alone on {pair.b_only})"
    return text


def _on(pair: "Pair") -> str:
    images = f"on {counted(pair.n, 'image')}"
    return images if pair.groups is None else f"{images} in {counted(pair.groups, 'group')}"


def _borderline(pair: "Pair") -> str:
    if not pair.borderline:
        return ""
    return "; borderline: the interval, of this pair alone, leaves out 0; the corrected test does not"


def parts_text(comparison: "Comparison") -> str:
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


def gap_text(gaps: "Gaps") -> str:
    """The smallest gap that this test set could have shown with one run each, as a sentence."""
    if gaps.n == 0:
        return "There are no test pictures."
    on, reached = _on_pictures(gaps), _reached(gaps)
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


def seeds_gap_text(gaps: "Gaps") -> str:
    """The same over several seeds: from the last step of the steadiest pair to the first of the shakiest."""
    if gaps.least is None:
        return (
            f"With {_on_pictures(gaps)} and these seeds no gap between two models could have reached "
            f"{_reached(gaps)}: too few pictures, or answers that vary too much over pictures and seeds."
        )
    low, apart = gaps.least or 0.0, f"{100 * (gaps.least or 0.0):.1f} points"
    far = "more than 100" if gaps.most is None else f"{100 * gaps.most:.1f}"
    if gaps.pairs > 1 and f"{100 * low:.1f}" != far:
        apart = f"{100 * low:.1f} to {far} points, depending on the pair and on how many others are decided,"
    return (
        f"On {_on_pictures(gaps)} and these seeds, a gap of {apart} or more was needed to reach "
        f"{_reached(gaps)}, as much as the answers vary over pictures and seeds."
    )


def _on_pictures(gaps: "Gaps") -> str:
    grouped = "" if gaps.groups is None else f" in {counted(gaps.groups, 'group')}"
    return f"{pictures(gaps.n)}{grouped}"


def _reached(gaps: "Gaps") -> str:
    return f"p ≤ {ALPHA:.2f}{_corrected(gaps.pairs)}{gaps.corrected}"


def plan_text(plan: "Plan") -> str:
    """How many pictures a named difference would need, as a sentence."""
    aim = (
        f"To show a difference of {points(plan.difference)[1:]} points in 4 of 5 such comparisons (80 % "
        f"power, {plan.method}{',' if plan.pairs > 1 else ''}{_corrected(plan.pairs)})"
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


def _corrected(pairs: int) -> str:
    return "" if pairs <= 1 else f" corrected for {pairs} pairs"


def answer(rows: Sequence["Row"], pairs: Sequence["Pair"], n: int, baseline: str = "") -> str:
    """Which model is best, in one or two plain sentences with their numbers; ties are said to be ties.

    With a baseline: which models are better than it, which worse, which neither.
    """
    scored = [row for row in rows if row.top1 is not None and not row.probe_of]
    if baseline and len(scored) > 1:
        return _against(next(row for row in scored if row.model == baseline), pairs, n)
    if not scored:
        return "No model has been tested yet: there is nothing to compare."
    if len(scored) == 1:
        return f"{_right(scored[0], n)}. One model alone: there is nothing to compare it with."
    leaders = [row for row in scored if row.rank is not None and row.rank[0] == 1]
    beaten = [row for row in scored if row not in leaders]
    if len(leaders) == 1:
        best = leaders[0]
        if best.rank == (1, 1):
            return f"{_right(best, n)}. It is better than {listed([row.model for row in beaten])}."
        worse = [pair.model_b for pair in pairs if pair.model_a == best.model and pair.distinguishable]
        rest = [row.model for row in beaten if row.model not in worse]
        return (
            f"{_right(best, n)}. It is better than {listed(worse)}; from {listed(rest)} "
            "these pictures cannot tell it apart."
        )
    return _tie(leaders, beaten, n)


def _against(row: "Row", pairs: Sequence["Pair"], n: int) -> str:
    """The models beside a baseline, each with its difference."""
    named: dict[str, list[str]] = {}
    for pair in pairs:
        other = pair.model_b if pair.model_a == row.model else pair.model_a
        kind = "worse" if pair.kind == "better" and pair.model_a == row.model else pair.kind
        named.setdefault(kind, []).append(f"{other} ({points(pair.gain_of(other)[0])} points)")
    heads = {
        "better": "better",
        "worse": "worse",
        "equivalent": "equivalent",
        "not distinguishable": "not to be told apart from it",
    }
    said = [
        f"{head} {'is' if len(named[kind]) == 1 else 'are'} {listed(named[kind])}"
        for kind, head in heads.items()
        if kind in named
    ]
    return f"{_right(row, n)}. Against it: {'; '.join(said)}."


def _tie(leaders: Sequence["Row"], beaten: Sequence["Row"], n: int) -> str:
    low = min(row.top1 or 0.0 for row in leaders)
    high = max(row.top1 or 0.0 for row in leaders)
    spread = f"{100 * low:.1f} %" if math.isclose(low, high) else f"{100 * low:.1f} to {100 * high:.1f} %"
    text = f"{listed([row.model for row in leaders])} cannot be told apart on {pictures(n)}: {spread} right"
    text += (
        f"; {listed([row.model for row in beaten])} did worse than at least one of them." if beaten else "."
    )
    sized = [row for row in leaders if row.gmacs is not None]
    if len(sized) == len(leaders):
        cheapest = min(sized, key=lambda row: row.gmacs or 0.0)
        if sum(row.gmacs == cheapest.gmacs for row in sized) == 1:
            cost = amount(cheapest.gmacs or 0.0)
            text += f" Of these, {cheapest.model} computes least ({cost} GMACs per picture)."
    return text


def _right(row: "Row", n: int) -> str:
    interval = ""
    if row.top1_low is not None and row.top1_high is not None:
        interval = f", 95 % interval {100 * row.top1_low:.1f} to {100 * row.top1_high:.1f} %"
    share = f"{100 * (row.top1 or 0.0):.1f} % of {pictures(n)}"
    count = f"{row.correct} of {pictures(n)}" if isinstance(row.correct, int) else share
    shown = f"{100 * (row.top1 or 0.0):.1f} %{interval}" if isinstance(row.correct, int) else interval[2:]
    return f"{row.model} names the right class on {count} ({shown})"
