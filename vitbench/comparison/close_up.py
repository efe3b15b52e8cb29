"""A close look at the most accurate model: which class it loses, which two it mixes up."""

from collections import Counter
from statistics import median

from vitbench.comparison.confusion import tallied
from vitbench.comparison.context import TestContext
from vitbench.comparison.evidence import behind, mixed_up, most_right
from vitbench.comparison.nouns import ClassBehind, CloseUp, MixedUpClasses
from vitbench.comparison.opened import OpenBenchmark
from vitbench.comparison.results import ModelResult
from vitbench.data.deal import AUTO_FOLDS, LEAST_AUTO_FOLDS
from vitbench.records import Array

BEHIND = 0.2
"""A class whose recall is so much lower than that of the other classes together is singled out."""


def close_up_of(best: ModelResult, first: OpenBenchmark, context: TestContext) -> CloseUp:
    """The first run of `best` on pictures that stand for themselves, one per group."""
    run = best.answered[0]
    labels, answers = run.predictions.labels[context.alone], run.predictions.answers[context.alone]
    right = int((labels == answers).sum())
    return CloseUp(
        model=best.model,
        seed=run.run.seed if len(best.answered) > 1 else None,
        n=len(labels),
        right=right,
        most_right=most_right(right, len(labels)),
        train_top1=run.metrics.get("train", {}).get("top1"),
        behind=_behind(labels, answers, first),
        mixed_up=_mixed_up(labels, answers, first),
    )


def _behind(labels: Array, answers: Array, first: OpenBenchmark) -> ClassBehind | None:
    classes = first.classes
    found = behind(labels, answers, len(classes), BEHIND)
    if found is None:
        return None
    worst, counts = found.place, tallied(labels, answers, len(classes))
    total, right = counts.sum(axis=1), counts.diagonal()
    taken = counts[worst].copy()
    taken[worst] = -1
    train = Counter(first.train_labels)
    return ClassBehind(
        label=classes[worst],
        n=int(total[worst]),
        right=int(right[worst]),
        other_n=int(total.sum() - total[worst]),
        other_right=int(right.sum() - right[worst]),
        p=found.p,
        taken_for=classes[int(taken.argmax())],
        taken=int(taken.max()),
        train=train[classes[worst]],
        train_median=median(train[name] for name in classes),
    )


def _mixed_up(labels: Array, answers: Array, first: OpenBenchmark) -> MixedUpClasses | None:
    found = mixed_up(labels, answers, len(first.classes))
    if found is None:
        return None
    return MixedUpClasses(
        first=first.classes[found.first],
        second=first.classes[found.second],
        between=found.between,
        mistakes=found.mistakes,
        p=found.p,
    )


def possible_folds(first: OpenBenchmark) -> int:
    """How many folds the data allows; 0 where there are folds, or the user brought the test part."""
    if first.folds or not first.split.get("test_drawn"):
        return 0
    groups = Counter(label for label, _ in {(row["class"], row["group"]) for row in first.rows})
    folds = min(AUTO_FOLDS, *(groups[name] for name in first.classes))
    return folds if folds >= LEAST_AUTO_FOLDS else 0
