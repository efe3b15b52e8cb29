"""Models over several data sets, in sentences."""

import math
from dataclasses import dataclass

from vitbench.comparison.across import LEAST_SETS, Across, AcrossPair
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import in_points, listed, named, p_text, pictures, points
from vitbench.records import counted


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
        f"{in_points(points(pair.difference, 1000))} in the mean, ahead on {counted(pair.wins, 'set')} and "
        f"behind on {pair.losses} (Wilcoxon {p_text(pair.p)}{holm_text})"
    )
    if pair.distinguishable:
        return f"{pair.model_a} is better than {pair.model_b} over {pair.n_sets} data sets: {numbers}"
    return f"{pair.model_a} and {pair.model_b} cannot be told apart over {pair.n_sets} data sets: {numbers}"


def _answer(across: Across) -> str:
    models, pairs, sets = across.models, across.pairs, len(across.sets)
    if len(models) < 2:
        return "There is no other model to compare it with."
    if not pairs:
        return (
            f"{counted(sets, 'data set')} cannot say more together than each by itself: that takes "
            f"{LEAST_SETS} on which both models were tested."
        )
    better = [pair for pair in pairs if pair.distinguishable]
    if better:
        said = named([f"{pair.model_a} is better than {pair.model_b}" for pair in better])
        return f"Over {sets} data sets {said}."
    needed = math.ceil(math.log2(2 * len(pairs) / ALPHA))
    return (
        f"{named(list(models))} cannot be told apart over {sets} data sets; with "
        f"{counted(len(pairs), 'pair')} that takes at least {needed} sets, all won."
    )


def _notes(across: Across) -> tuple[str, ...]:
    notes = ["Each data set counts once, whatever its size; the means are of its test pictures"]
    lacking = [model for model, mean in zip(across.models, across.means, strict=True) if mean is None]
    if lacking:
        notes.append(f"{listed(lacking)}: not tested on every set, so without a mean")
    for one, other, count, _ in across.shared:
        are = "is" if count == 1 else "are"
        notes.append(
            f"{pictures(count)} {are} in {one} and in {other}, as the same file or a near-copy: these sets "
            "are not independent"
        )
    return tuple(notes)
