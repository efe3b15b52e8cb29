"""What the numbers of two models say, in a sentence; what a distilled one took over from its teacher."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import Distilled
from vitbench.narrative.words import (
    corrected_for,
    in_points,
    measured,
    named,
    nats,
    p_text,
    pictures,
    points,
    share,
)
from vitbench.records import counted


def verdict(pair: Pair) -> str:
    """One sentence on two models: better, equivalent or not to be told apart, then its numbers.

    From two pairs in the family on, the corrected p-value is given and decides.
    """
    numbers, on = _numbers(pair), _on(pair)
    if pair.probe:
        numbers += f"; {pair.probe} is a probe and learned from val, too"
    if pair.kind == "better":
        within = pair.margin is not None and pair.high <= pair.margin
        small = f"; yet by less than the margin of {_margin(pair)}" if within else ""
        return f"{pair.model_a} is better than {pair.model_b} {on}: {numbers}{small}"
    if pair.kind == "equivalent":
        return (
            f"{pair.model_a} and {pair.model_b} are as good as one another, within ±{_margin(pair)}, "
            f"{on}: {numbers}"
        )
    return f"{pair.model_a} and {pair.model_b} cannot be told apart {on}: {numbers}{_borderline(pair)}"


def tied_verdict(pairs: Sequence[Pair]) -> str:
    """One sentence on several pairs that cannot be told apart: which, the largest difference, the least p."""
    names = [f"{pair.model_a}–{pair.model_b}" for pair in pairs]
    widest, least = max(pairs, key=lambda pair: pair.difference), min(pair.p_adjusted for pair in pairs)
    far = in_points(points(widest.difference, widest.n).lstrip("+"))
    close = sum(pair.borderline for pair in pairs)
    one = pairs[0]
    return (
        f"{len(pairs)} of {counted(one.family, 'pair')} cannot be told apart {_on(one)} ({named(names)}): "
        f"differences of up to {far}, {p_text(least)} or more"
        f"{corrected_for(one.family)}{f'; {close} of them borderline' if close else ''}"
    )


def probe_verdict(pair: Pair, tuned: str) -> str:
    """One sentence on a fine-tuned model and its own frozen probe, differences as the former's gain."""
    numbers, on = f"{_numbers(pair, tuned)}; the probe learned from val, too", _on(pair)
    if not pair.distinguishable:
        return (
            f"{tuned} cannot be told apart from its own frozen probe {on}: {numbers}{_borderline(pair)}; "
            "fine-tuning has not been shown to pay here"
        )
    if pair.model_a == tuned:
        return f"{tuned} is better than its own frozen probe {on}: {numbers}"
    return f"{tuned} is worse than its own frozen probe {on}: {numbers}; use the probe, or tune (--tune 3)"


def arm_verdict(pair: Pair, model: str, arms: Mapping[str, str]) -> str:
    """One sentence on two arms of a model: "vit: distill is better than plain on 60 pictures: …".

    arms: the candidates' names → their arms in words.
    """
    named = dataclasses.replace(pair, model_a=arms[pair.model_a], model_b=arms[pair.model_b])
    return f"{model}: {verdict(named)}"


def checked(pair: Pair, sentence: Callable[[Pair], str]) -> str:
    """The sentence on a pair; one whose verdict does not stand without leaks begins with that."""
    said = sentence(pair)
    if pair.stands:
        return said
    if pair.clean is None:
        return f"Training knows {all_of(pair.n, 'picture')}, so this does not stand: {said}"
    without = f"Without {counted(pair.left_out, 'picture')} that training knows"
    return f"{without}: {sentence(pair.clean)}. What all {pair.n} say does not stand: {said}"


def all_of(n: int, noun: str) -> str:
    """ "the only picture", "all 60 pictures"."""
    return f"the only {noun}" if n == 1 else f"all {n} {noun}s"


def distillation_text(one: Distilled) -> str:
    """What one distilled model took over from its teacher, at what gain and price, as one sentence."""
    parts = [
        f"{one.model} learned from {one.teacher} ({distilled_how(one)}): it gives the teacher's answer "
        f"on {share(one.agrees, one.n)} of {pictures(one.n)}"
    ]
    if one.baseline_agrees:
        parts[0] += f"; {one.baseline}, which had no teacher, on {share(one.baseline_agrees, one.n)}"
    right = f"it is right on {share(one.right, one.n)}"
    if one.cls_right and one.dist_right:
        right += (
            f" (its class head alone on {share(one.cls_right, one.n)}, its distillation head alone on "
            f"{share(one.dist_right, one.n)})"
        )
    parts.append(f"{right}, the teacher on {share(one.teacher_right, one.n)}")
    if gain := one.gain:
        interval = f"95 % interval [{points(gain.low or 0, one.n)}, {points(gain.high or 0, one.n)}]"
        parts.append(f"{in_points(points(gain.value, one.n))} against {one.baseline}, {interval}")
    if one.price:
        mine, its = (measured(s or 0) for s in (one.seconds_per_epoch, one.baseline_seconds_per_epoch))
        parts.append(f"{mine} s per epoch against {its} without a teacher, {one.price:.2g} times as long")
    return "; ".join(parts)


def distilled_how(one: Distilled) -> str:
    """ "hard, α 0.5, through its distillation token", "soft, α 0.1, τ 3, through its logits"."""
    tau = f", τ {one.tau:g}" if one.kind == "soft" else ""
    through = {"token": "its distillation token", "logits": "its logits"}[one.through]
    return f"{one.kind}, α {one.alpha:g}{tau}, through {through}"


def loss_text(pairs: Sequence[Pair]) -> str:
    """What log loss shows on the same pictures, beside accuracy, as a sentence; "" without tested pairs."""
    tested = [(pair, pair.differences["loss"].value, pair.loss) for pair in pairs if pair.loss]
    if not tested:
        return ""
    told = [
        f"{winner} than {loser} (−{nats(abs(difference))}, {p_text(loss.p_adjusted)})"
        for pair, difference, loss in tested
        if pair.apart_in_loss
        for winner, loser in [(pair.model_a, pair.model_b)[:: 1 if difference < 0 else -1]]
    ]
    rest = len(tested) - len(told)
    family = tested[0][0].family
    how = f"a test of its own{', p' + corrected_for(family) if family > 1 else ''}"
    if any(pair.left_out for pair, *_ in tested):
        how += ", with and without the pictures that training knows"
    head = f"By log loss, which sees how sure every answer was ({how}), "
    if not told:
        return f"{head}{'the two' if rest == 1 else 'no two'} can{'not' if rest == 1 else ''} be told apart."
    others = f"; the other {'pair' if rest == 1 else f'{rest} pairs'} cannot be told apart" if rest else ""
    return f"{head}lower is {named(told)}{others}."


def _numbers(pair: Pair, model: str = "") -> str:
    """Difference as the gain of `model` (of the better one, if none is named), interval, counts, the test."""
    value, low, high = (points(part, pair.n) for part in pair.gain_of(model or pair.model_a))
    text = f"{in_points(value)}, 95 % interval [{low}, {high}]"
    if pair.a_only is not None and pair.b_only is not None:
        text += f"; {pair.model_a} alone right on {pair.a_only}, {pair.model_b} alone on {pair.b_only}"
    text += f" ({pair.method} {p_text(pair.p)}"
    if pair.family > 1:
        same = p_text(pair.p_adjusted) == p_text(pair.p)
        text += f", {'the same' if same else p_text(pair.p_adjusted)}{corrected_for(pair.family)}"
    return f"{text})"


def _margin(pair: Pair) -> str:
    return in_points(f"{100 * (pair.margin or 0):g}")


def _on(pair: Pair) -> str:
    on = f"on {pictures(pair.n)}"
    return on if pair.groups is None else f"{on} in {counted(pair.groups, 'group')}"


def _borderline(pair: Pair) -> str:
    if not pair.borderline:
        return ""
    return "; borderline: this pair alone would be told apart, among all pairs it is not"
