"""Models over several data sets, in sentences."""

import math
from dataclasses import dataclass

from vitbench.comparison.across import LEAST_SETS, Across, AcrossPair
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import listed, p_text, points


@dataclass(frozen=True)
class AcrossNarrative:
    """What several data sets say together."""

    answer: str
    verdicts: tuple[str, ...]
    """One for each of `Across.pairs`."""
    notes: tuple[str, ...]


def narrate_across(across: Across) -> AcrossNarrative:
    """The sentences of a comparison over data sets."""
    verdicts = tuple(_verdict(pair, len(across.pairs)) for pair in across.pairs)
    return AcrossNarrative(_answer(across), verdicts, _notes(across))


def _verdict(pair: AcrossPair, pairs: int) -> str:
    holm_text = f", {p_text(pair.p_holm)} after Holm over {pairs} pairs" if pairs > 1 else ""
    numbers = (
        f"{points(pair.difference)} points in the mean, ahead on {pair.wins} sets and behind on "
        f"{pair.losses}, Wilcoxon {p_text(pair.p)}{holm_text}"
    )
    if pair.distinguishable:
        return f"{pair.model_a} is better than {pair.model_b} over {pair.n_sets} data sets: {numbers}"
    return (
        f"{pair.model_a} and {pair.model_b} are not distinguishable over {pair.n_sets} data sets: {numbers}"
    )


def _answer(across: Across) -> str:
    models, pairs, sets = across.models, across.pairs, len(across.sets)
    if len(models) < 2:
        return "One model alone: there is nothing to compare it with."
    if not pairs:
        return (
            f"{sets} data sets: a table, no test. From {LEAST_SETS} sets up that both models were tested on, "
            "one can say more than what each set says by itself."
        )
    better = [pair for pair in pairs if pair.distinguishable]
    if better:
        return "; ".join(f"{pair.model_a} is better than {pair.model_b}" for pair in better) + "."
    needed = math.ceil(math.log2(2 * len(pairs) / ALPHA))
    return (
        f"No two of {listed(list(models))} can be told apart over {sets} data sets; "
        f"with {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} that takes at least {needed} sets, "
        "all won."
    )


def _notes(across: Across) -> tuple[str, ...]:
    notes = ["Each data set counts once, whatever its size; the means are of its test pictures"]
    lacking = [model for model, mean in zip(across.models, across.means, strict=True) if mean is None]
    if lacking:
        notes.append(f"{listed(lacking)}: not tested on every set, so without a mean")
    for one, other, count, _ in across.shared:
        are = "test picture is" if count == 1 else "test pictures are"
        notes.append(
            f"{count} {are} in {one} and in {other}, as the same file or a near-copy: these sets are not "
            "independent"
        )
    return tuple(notes)
