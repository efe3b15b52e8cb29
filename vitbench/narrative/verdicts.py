"""What the numbers of two models say, in a sentence; what a distilled one took over from its teacher."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import Distilled
from vitbench.narrative.words import corrected_for, listed, nats, p_text, pictures, points, share
from vitbench.records import counted


def verdict(pair: Pair) -> str:
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


def probe_verdict(pair: Pair, tuned: str) -> str:
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


def arm_verdict(pair: Pair, model: str, arms: Mapping[str, str]) -> str:
    """One sentence on two arms of a model: "vit: distill is better than plain on 60 images: …".

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
        return f"Training knows {all_of(pair.n, 'image')}, so this does not stand: {said}"
    without = f"Without {counted(pair.left_out, 'image')} that training knows"
    return f"{without}: {sentence(pair.clean)}. What all {pair.n} say does not stand: {said}"


def all_of(n: int, noun: str) -> str:
    """ "the only image", "all 60 images"."""
    return f"the only {noun}" if n == 1 else f"all {n} {noun}s"


def distillation_text(one: Distilled) -> str:
    """What one distilled model took over from its teacher, at what gain and price, as one sentence."""
    parts = [
        f"{one.model} learned from {one.teacher} ({distilled_how(one)}): its answer is the teacher's "
        f"on {share(one.agrees)} of {pictures(one.n)}"
    ]
    if one.baseline_agrees:
        parts[0] += f", that of {one.baseline}, which had no teacher, on {share(one.baseline_agrees)}"
    right = f"it is right on {share(one.right)}"
    if one.cls_right and one.dist_right:
        right += (
            f" (its class head alone on {share(one.cls_right)}, its distillation head alone on "
            f"{share(one.dist_right)})"
        )
    parts.append(f"{right}, the teacher on {share(one.teacher_right)}")
    if gain := one.gain:
        interval = f"95 % CI [{points(gain.low or 0)}, {points(gain.high or 0)}]"
        parts.append(f"{points(gain.value)} points against {one.baseline}, {interval}")
    if one.price:
        parts.append(
            f"{one.seconds_per_epoch:.3g} s per epoch against {one.baseline_seconds_per_epoch:.3g} "
            f"without a teacher, {one.price:.2f} times as long"
        )
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
    head = f"By log loss, which sees how sure every answer was ({how}): "
    if not told:
        return f"{head}{'the two are not' if rest == 1 else 'no two are'} distinguishable."
    others = (
        f"; the other {'pair is' if rest == 1 else f'{rest} pairs are'} not distinguishable" if rest else ""
    )
    return f"{head}lower is {listed(told)}{others}."


def _numbers(pair: Pair, model: str = "") -> str:
    """Difference as the gain of `model` (of the better one, if none is named), interval, test and counts."""
    value, low, high = pair.gain_of(model or pair.model_a)
    text = f"{points(value)} points, 95 % CI [{points(low)}, {points(high)}], {pair.method} {p_text(pair.p)}"
    if pair.family > 1:
        same = p_text(pair.p_adjusted) == p_text(pair.p)
        text += f", {'the same' if same else p_text(pair.p_adjusted)}{corrected_for(pair.family)}"
    if pair.a_only is not None and pair.b_only is not None:
        text += f" ({pair.model_a} alone right on {pair.a_only}, {pair.model_b} alone on {pair.b_only})"
    return text


def _on(pair: Pair) -> str:
    images = f"on {counted(pair.n, 'image')}"
    return images if pair.groups is None else f"{images} in {counted(pair.groups, 'group')}"


def _borderline(pair: Pair) -> str:
    if not pair.borderline:
        return ""
    return "; borderline: the interval, of this pair alone, leaves out 0; the corrected test does not"
