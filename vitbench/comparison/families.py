"""Pairs that are judged together, so that a page of them holds a false verdict in at most 5 % of pages.

A table has one family, every two of its ranked_models, whatever part of it is shown (against a baseline, arm
against arm): so the same two runs have one p-value. Each model and its own probe are a second one, of other
pairs. Accuracy leads; log loss, which sees how sure every answer was, is tested beside it as a family of its
own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from vitbench.comparison.context import TestContext
from vitbench.comparison.flips import flip_ps, flipped_sums, step_down
from vitbench.comparison.measured import Pair, Tested, Verdict
from vitbench.comparison.pairs import pair_of
from vitbench.comparison.results import ModelResult
from vitbench.comparison.seeds import difference_parts, p_value
from vitbench.comparison.statistics import ALPHA, holm
from vitbench.errors import UsageError, did_you_mean
from vitbench.records import Array

TESTED = "loss"
"""The score that is tested beside accuracy."""


def compared(models: Sequence[ModelResult], context: TestContext) -> tuple[Pair, ...]:
    """Every two tested models, the more accurate one first, judged together."""
    tested = {c.model: c for c in sorted(_tested(models), key=lambda c: -float(c.correct.mean()))}
    raw = [pair_of(a, b, context) for a, b in combinations(tested.values(), 2)]
    return tuple(judged(raw, tested, context))


def shown(pairs: Sequence[Pair], models: Sequence[ModelResult], baseline: str) -> tuple[Pair, ...]:
    """The pairs of a baseline; all of them where none is named.

    Raises UsageError where the baseline is not a tested model.
    """
    there = [c.model for c in _tested(models)]
    if baseline and baseline not in there:
        named, near = ", ".join(there) or "none", did_you_mean(baseline, there)
        raise UsageError(f"--baseline {baseline}: not a tested model here (there: {named}){near}")
    return tuple(pair for pair in pairs if not baseline or baseline in (pair.model_a, pair.model_b))


def against_probes(models: Sequence[ModelResult], context: TestContext) -> tuple[Pair, ...]:
    """Every fine-tuned model against its own probe, judged together."""
    tested = {c.model: c for c in _tested(models)}
    beside = [(tested[c.probe_of], c) for c in tested.values() if c.probe_of in tested]
    raw = [pair_of(tuned, probe, context) for tuned, probe in beside]
    return tuple(judged(raw, tested, context))


def judged(pairs: Sequence[Pair], models: Mapping[str, ModelResult], context: TestContext) -> list[Pair]:
    """The pairs with their p-values corrected over all of them, in accuracy and in loss, and what these say.

    One run each: step-down sign flips over pictures or groups (`flips`), on the same flips for both scores.
    Where a seed takes part: t and Holm.
    """
    if not pairs or not context.n:
        return list(pairs)
    exact = all(pair.a_only is not None for pair in pairs)
    if exact:
        by_accuracy, losses, by_loss = _by_flips(pairs, models, context)
    else:
        by_accuracy = holm([pair.p for pair in pairs])
        losses = [_loss_p(models[pair.model_a], models[pair.model_b], context) for pair in pairs]
        by_loss = holm(losses)
    correction = "" if len(pairs) < 2 else "step-down sign flips" if exact else "Holm"
    return [
        replace(
            pair,
            loss=_loss_tested(pair, own, adjusted),
            p_adjusted=p,
            kind=_kind(pair, p),
            family=len(pairs),
            correction=correction,
        )
        for pair, p, own, adjusted in zip(pairs, by_accuracy, losses, by_loss, strict=True)
    ]


def _by_flips(
    pairs: Sequence[Pair], models: Mapping[str, ModelResult], context: TestContext
) -> tuple[list[float], list[float], list[float]]:
    """Corrected p-values of accuracy, then own and corrected ones of loss, for models of one run each."""
    places = {
        name: i for i, name in enumerate(dict.fromkeys(m for p in pairs for m in (p.model_a, p.model_b)))
    }
    ones = [models[name].predictions[0] for name in places]
    values = np.array([one.correct for one in ones] + [one.losses for one in ones], dtype=float)
    drawn = context.resamples.groups
    units = np.arange(context.n) if drawn is None else np.unique(drawn, return_inverse=True)[1]
    right, loss = np.split(flipped_sums(values, units), 2, axis=1)
    a, b = (np.array([places[getattr(p, side)] for p in pairs]) for side in ("model_a", "model_b"))
    shrink = math.sqrt(context.inflation)

    def ps(sums: Array) -> Array:
        return flip_ps(sums[:, a] - sums[:, b], shrink)

    of_loss = ps(loss)
    own = [float(p) for p in of_loss[0]]
    exact = [pair.p for pair in pairs]
    adjusted = exact if len(pairs) == 1 else step_down(ps(right), exact)
    return adjusted, own, step_down(of_loss, own)


def _loss_p(a: ModelResult, b: ModelResult, context: TestContext) -> float:
    """p of "no difference in loss", by t over images × seeds; 1 where nothing varies."""
    of_a, of_b = (np.stack([p.losses for p in one.predictions]) for one in (a, b))
    seeds = context.seeds_of(TESTED, a.model, b.model)
    parts = difference_parts(of_a, of_b, context.groups, seeds, context.inflation)
    known = parts[0].freedom > 0 and any(part.variance for part in parts)
    return p_value(float(of_a.mean() - of_b.mean()), parts) if known else 1.0


def _loss_tested(pair: Pair, p: float, adjusted: float) -> Tested:
    one = pair.differences[TESTED]
    apart = one.low is not None and one.high is not None and (one.low > 0 or one.high < 0)
    return Tested(p=p, p_adjusted=adjusted, decided=apart and adjusted <= ALPHA)


def _kind(pair: Pair, p: float) -> Verdict:
    if p <= ALPHA:
        return "better"
    inside = pair.margin is not None and -pair.margin <= pair.low and pair.high <= pair.margin
    return "equivalent" if inside else "not distinguishable"


def _tested(models: Sequence[ModelResult]) -> list[ModelResult]:
    return [candidate for candidate in models if candidate.answered]
