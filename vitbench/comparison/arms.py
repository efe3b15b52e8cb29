"""Arms: the same models trained in different ways, every two ways of a model on the same pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitbench.comparison.measured import Pair, Row
from vitbench.comparison.results import ModelResult

PLAIN = "plain"
"""What the way of training without a name is called."""
One = TypeVar("One", ModelResult, Row)


def arm_word(arm: str) -> str:
    """An arm in words."""
    return arm or PLAIN


def by_model(ones: Sequence[One]) -> dict[str, list[One]]:
    """Models that stand here under several arms, in the given order, one of each arm; probes left out.

    Where two benchmarks hold one arm of a model, each benchmark's arms stay among themselves.
    """
    models: dict[str, list[One]] = {}
    for one in ones:
        if not one.probe_of:
            models.setdefault(one.of, []).append(one)
    found: dict[str, list[One]] = {}
    for model, each in models.items():
        once = len({one.arm for one in each}) == len(each)
        for one in each:
            found.setdefault(model if once else f"{one.benchmark}/{model}", []).append(one)
    return {model: each for model, each in found.items() if len(each) > 1}


def between_arms(models: Sequence[ModelResult], pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Of all pairs those of a model under two of its arms, as they were judged."""
    groups = by_model([one for one in models if one.answered])
    named = [{one.model for one in each} for each in groups.values()]
    return tuple(pair for names in named for pair in pairs if pair.names <= names)


@dataclass(frozen=True)
class InArms:
    """One model under its arms."""

    model: str
    rows: Mapping[str, Row]
    """Arm → row, "" for the plain way; those without a score too."""
    best: str | None
    """The arm that is better than each other tested one; None where these pictures do not show it."""


def arm_by_arm(rows: Sequence[Row], pairs: Sequence[Pair]) -> tuple[InArms, ...]:
    """The models that are here under several arms; `pairs`: those of `between_arms`."""
    won = {(pair.model_a, pair.model_b) for pair in pairs if pair.distinguishable}
    return tuple(
        InArms(model, {row.arm: row for row in each}, _best([row for row in each if row.tested], won))
        for model, each in by_model(rows).items()
    )


def _best(tested: Sequence[Row], won: set[tuple[str, str]]) -> str | None:
    for row in tested:
        others = [other for other in tested if other is not row]
        if others and all((row.model, other.model) in won for other in others):
            return row.arm
    return None


def arms_in(models: Sequence[InArms]) -> tuple[str, ...]:
    """All arms, the plain one first, then as they come."""
    found = dict.fromkeys(arm for model in models for arm in model.rows)
    return tuple(sorted(found, key=bool))


def arm_means(models: Sequence[InArms]) -> dict[str, float]:
    """Each arm's accuracy as a plain mean over models; {} for one model, or where an arm lacks one."""
    arms = arms_in(models)
    scores = {arm: [m.rows[arm].top1 for m in models if arm in m.rows] for arm in arms}
    known = {arm: [s for s in each if s is not None] for arm, each in scores.items()}
    if len(models) < 2 or any(len(each) < len(models) for each in known.values()):
        return {}
    return {arm: sum(each) / len(each) for arm, each in known.items()}
