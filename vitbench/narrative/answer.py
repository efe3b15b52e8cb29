"""Which model is best, in plain words; ties are said to be ties."""

from collections.abc import Sequence

from vitbench.comparison.measured import Pair, Row
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.verdicts import all_of
from vitbench.narrative.words import amount, in_points, listed, named, pictures, points
from vitbench.records import decimals, percent

NAMED = 2
"""Pairs that the answer names where leaks decide; the others have their own sentences."""


def answer(comparison: Comparison) -> str:
    """Which model is best; by the pictures that training does not know, first, where these say otherwise."""
    pairs, free, baseline = comparison.pairs, comparison.leak_free, comparison.options.baseline
    clean = [pair.clean for pair in pairs if pair.clean is not None]
    said = _best(free, clean, free[0].n_test, baseline) if free else ""
    n = comparison.n_test if comparison.rows else 0
    return leak_free_answer(pairs, free, said) or _best(comparison.rows, pairs, n, baseline)


def _best(rows: Sequence[Row], pairs: Sequence[Pair], n: int, baseline: str = "") -> str:
    """Which model is best, in one or two plain sentences with their numbers; ties are said to be ties.

    With a baseline: which models are better than it, which worse, which neither.
    """
    scored = [row for row in rows if row.tested and not row.probe_of]
    if baseline and len(scored) > 1:
        return _against(next(row for row in scored if row.model == baseline), pairs, n)
    if not scored:
        return "No model has a score yet: there is nothing to compare."
    if len(scored) == 1:
        return f"{_right(scored[0], n)}. There is no other model to compare it with."
    leaders = [row for row in scored if row.rank is not None and row.rank[0] == 1]
    beaten = [row for row in scored if row not in leaders]
    if len(leaders) > 1:
        return _tie(leaders, beaten, n)
    best = leaders[0]
    won = [pair for pair in pairs if pair.model_a == best.model and pair.distinguishable]
    rest = [row.model for row in beaten if row.model not in {pair.model_b for pair in won}]
    said = f"{_right(best, n)}. It is better than {named([pair.model_b for pair in won])}{_by(won)}"
    return f"{said}; from {named(rest)} these pictures cannot tell it apart." if rest else f"{said}."


def _by(won: Sequence[Pair]) -> str:
    """ " by 29 points", " by 2 to 29 points": how far it leads those that it is better than."""
    leads = sorted({points(pair.difference, pair.n)[1:] for pair in won}, key=float)
    if not leads:
        return ""
    far = leads[0] if len(leads) == 1 else f"{leads[0]} to {leads[-1]}"
    return f" by {in_points(far)}"


def _against(row: Row, pairs: Sequence[Pair], n: int) -> str:
    """The models beside a baseline, each with its difference."""
    kinds: dict[str, list[str]] = {}
    for pair in pairs:
        other = pair.model_b if pair.model_a == row.model else pair.model_a
        kind = "worse" if pair.kind == "better" and pair.model_a == row.model else pair.kind
        kinds.setdefault(kind, []).append(f"{other} ({in_points(points(pair.gain_of(other)[0], pair.n))})")
    heads = {
        "better": "better",
        "worse": "worse",
        "equivalent": "as good (inside the margin)",
        "not distinguishable": "not to be told apart from it",
    }
    said = [
        f"{head} {'is' if len(kinds[kind]) == 1 else 'are'} {named(kinds[kind])}"
        for kind, head in heads.items()
        if kind in kinds
    ]
    return f"{_right(row, n)}. Against it: {'; '.join(said)}."


def _tie(leaders: Sequence[Row], beaten: Sequence[Row], n: int) -> str:
    scores = [row.top1 or 0.0 for row in leaders]
    spread = " to ".join(dict.fromkeys(_percent(score, n) for score in (min(scores), max(scores))))
    text = f"{named([row.model for row in leaders])} cannot be told apart on {pictures(n)}: {spread} % right"
    text += (
        f"; {named([row.model for row in beaten])} did worse than at least one of them." if beaten else "."
    )
    sized = [row for row in leaders if row.gmacs is not None]
    if len(sized) == len(leaders):
        cheapest = min(sized, key=lambda row: row.gmacs or 0.0)
        if sum(row.gmacs == cheapest.gmacs for row in sized) == 1:
            cost = amount(cheapest.gmacs or 0.0)
            text += f" Of these, {cheapest.model} computes least ({cost} GMACs per picture)."
    return text


def _right(row: Row, n: int) -> str:
    """ "vit names 50 of 60 test pictures right (83 %, 95 % interval 72 to 91 %)"; a share over seeds."""
    shown, interval = f"{_percent(row.top1, n)} %", ""
    if row.top1_low is not None and row.top1_high is not None:
        interval = f"95 % interval {_percent(row.top1_low, n)} to {_percent(row.top1_high, n)} %"
    if isinstance(row.correct, int):
        told = ", ".join(filter(None, (shown, interval)))
        return f"{row.model} names {row.correct} of {pictures(n)} right ({told})"
    return f"{row.model} names {shown} of {pictures(n)} right{f' ({interval})' if interval else ''}"


def _percent(fraction: float | None, n: int) -> str:
    return percent(fraction, decimals(n))


def leak_free_answer(pairs: Sequence[Pair], rows: Sequence[Row], clean_answer: str) -> str:
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
        known = f"training knows copies of {all_of(n, 'test picture')}"
        return f"No verdict: {known}. What {'it says' if n == 1 else 'they say'} does not stand: {said}."
    decide = "1 decides" if n - left_out == 1 else f"{n - left_out} decide"
    return (
        f"Training knows copies of {left_out} of the {pictures(n)}; the other {decide}. "
        f"{clean_answer} What all {n} say does not stand: {said}."
    )


def _said(pair: Pair) -> str:
    names = f"{pair.model_a} and {pair.model_b}"
    apart = f"({in_points(points(pair.difference, pair.n))})"
    if pair.kind == "better":
        return f"{pair.model_a} better than {pair.model_b} {apart}"
    said = "as good as one another" if pair.kind == "equivalent" else "not to be told apart"
    return f"{names} {said} {apart}"
