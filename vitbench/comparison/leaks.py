"""Test pictures that training knows, as copies or near-copies, and the verdicts without them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vitbench.comparison.context import TestContext, context_of
from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import TestLeak
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import ModelResult, Results
from vitbench.records import Array


def leaks_of(results: Results) -> tuple[TestLeak, ...]:
    """The test pictures of the first benchmark that some benchmark's training knows, each pair once."""
    named: dict[str, list[str]] = {}
    for content, path in zip(results.test.contents, results.test.paths, strict=True):
        named.setdefault(content, []).append(path)
    found: dict[tuple[str, str], TestLeak] = {}
    for source in results.sources:
        leaks = source.benchmark.leaks()
        contents = {row["path"]: row["sha256"] for row in source.rows} if leaks else {}
        for leak in (side for one in leaks for side in one.tested_sides()):
            for tested in named.get(contents.get(leak.path, ""), ()):
                how = leak.how or "equal pixels"
                found[tested, leak.other] = TestLeak(
                    path=tested, other=leak.other, part=leak.other_part, how=how
                )
    return tuple(found.values())


def unleaked(leaks: Sequence[TestLeak], test: TestSet) -> Array:
    """(n,) bool: the test pictures that training does not know."""
    paths = {leak.path for leak in leaks}
    return np.array([path not in paths for path in test.paths], dtype=bool)


@dataclass(frozen=True)
class LeakFree:
    """The same models on the test pictures that training does not know."""

    left_out: int
    """Test pictures that it knows."""
    models: tuple[ModelResult, ...]
    context: TestContext | None
    """None where training knows every test picture."""


def leak_free(
    models: Sequence[ModelResult], test: TestSet, kept: Array, context: TestContext
) -> LeakFree | None:
    """What is left of a comparison on the pictures in `kept` (n,) bool; None where these are all of them."""
    if kept.all():
        return None
    left_out = int((~kept).sum())
    if not kept.any():
        return LeakFree(left_out, (), None)
    fewer = tuple(_only(one, kept) for one in models)
    return LeakFree(left_out, fewer, context_of(fewer, test.only(kept), context.options, context.inflation))


def _only(one: ModelResult, kept: Array) -> ModelResult:
    answered = (dataclasses.replace(run, predictions=run.predictions.only(kept)) for run in one.answered)
    return dataclasses.replace(one, answered=tuple(answered))


def checked(
    pairs: Sequence[Pair],
    free: LeakFree | None,
    judge: Callable[[Sequence[ModelResult], TestContext], Sequence[Pair]],
) -> tuple[Pair, ...]:
    """The pairs, each with what the same procedure says without the pictures that training knows."""
    if free is None:
        return tuple(pairs)
    again = judge(free.models, free.context) if free.context else ()
    of = {pair.names: pair for pair in again}
    return tuple(
        dataclasses.replace(pair, clean=of.get(pair.names), left_out=free.left_out) for pair in pairs
    )
