"""The verdicts without the test pictures that training knows, and which of the others stand beside them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.comparison.basis import Basis, basis_of
from vitbench.comparison.candidates import Candidate, TestSet
from vitbench.comparison.pairs import Pair
from vitbench.comparison.words import listed, pictures, points
from vitbench.records import Array, counted

if TYPE_CHECKING:
    from vitbench.comparison.rows import Row


NAMED = 2
"""Pairs that the answer names; the others have their own sentences."""


@dataclass(frozen=True)
class LeakFree:
    """The same models on the test pictures that training does not know."""

    left_out: int
    """Test pictures that it knows."""
    candidates: tuple[Candidate, ...]
    basis: Basis | None
    """None where training knows every test picture."""


def leak_free(candidates: Sequence[Candidate], test: TestSet, kept: Array, basis: Basis) -> LeakFree | None:
    """What is left of a comparison on the pictures in `kept` (n,) bool; None where these are all of them."""
    if kept.all():
        return None
    left_out = int((~kept).sum())
    if not kept.any():
        return LeakFree(left_out, (), None)
    fewer = tuple(_only(candidate, kept) for candidate in candidates)
    return LeakFree(left_out, fewer, basis_of(fewer, test.only(kept), basis.terms, basis.inflation))


def _only(candidate: Candidate, kept: Array) -> Candidate:
    predictions = tuple(
        dataclasses.replace(
            one,
            paths=tuple(path for path, keep in zip(one.paths, kept, strict=True) if keep),
            labels=one.labels[kept],
            probabilities=one.probabilities[kept],
            folds=None if one.folds is None else one.folds[kept],
        )
        for one in candidate.predictions
    )
    return dataclasses.replace(candidate, predictions=predictions)


def checked(
    pairs: Sequence[Pair],
    free: LeakFree | None,
    judge: Callable[[Sequence[Candidate], Basis], Sequence[Pair]],
) -> tuple[Pair, ...]:
    """The pairs, each with what the same procedure says of the two without the pictures that training knows.

    A sentence whose verdict does not stand begins with that.
    """
    if free is None:
        return tuple(pairs)
    again = judge(free.candidates, free.basis) if free.basis else ()
    of = {frozenset((pair.model_a, pair.model_b)): pair for pair in again}
    found = []
    for pair in pairs:
        both = frozenset((pair.model_a, pair.model_b))
        one = dataclasses.replace(pair, clean=of.get(both), left_out=free.left_out)
        found.append(one if one.stands else dataclasses.replace(one, verdict=_undone(one)))
    return tuple(found)


def _undone(pair: Pair) -> str:
    if pair.clean is None:
        return f"Training knows {_all(pair.n, 'image')}, so this does not stand: {pair.verdict}"
    without = f"Without {counted(pair.left_out, 'image')} that training knows"
    return f"{without}: {pair.clean.verdict}. What all {pair.n} say does not stand: {pair.verdict}"


def leak_free_answer(pairs: Sequence[Pair], rows: Sequence["Row"], clean_answer: str) -> str:
    """What the leak-free pictures say, before what all say; "" where these agree on every pair.

    rows: of the leak-free pictures, () where there are none; clean_answer: the answer of these.
    """
    undone = [pair for pair in pairs if not pair.stands]
    if not undone:
        return ""
    n, left_out = undone[0].n, undone[0].left_out
    more = [f"{len(undone) - NAMED} more"] if len(undone) > NAMED else []
    said = listed([*(_said(pair) for pair in undone[:NAMED]), *more])
    if not rows:
        known = f"training knows copies of {_all(n, 'test picture')}"
        return f"No verdict: {known}. What {'it says' if n == 1 else 'they say'} does not stand: {said}."
    decide = "1 decides" if n - left_out == 1 else f"{n - left_out} decide"
    return (
        f"Training knows copies of {left_out} of the {pictures(n)}; the other {decide}. "
        f"{clean_answer} What all {n} say does not stand: {said}."
    )


def _all(n: int, noun: str) -> str:
    return f"the only {noun}" if n == 1 else f"all {n} {noun}s"


def _said(pair: Pair) -> str:
    names = f"{pair.model_a} and {pair.model_b}"
    apart = f"({points(pair.difference)} points)"
    if pair.kind == "better":
        return f"{pair.model_a} better than {pair.model_b} {apart}"
    return f"{names} {pair.kind} {apart}"
