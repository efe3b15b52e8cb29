"""What these pictures could have shown: the smallest gap, and how many pictures a named one would need."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vitbench.comparison import words
from vitbench.comparison.basis import Basis
from vitbench.comparison.candidates import Candidate
from vitbench.comparison.pairs import Pair
from vitbench.comparison.power import (
    pictures_needed,
    seeds_pictures_needed,
    seeds_smallest_gap,
    smallest_gap,
    smallest_net,
)


@dataclass(frozen=True)
class Resolution:
    """How finely a test set can tell models apart, as number and sentences."""

    gap: float | None
    """The smallest difference that could reach p ≤ .05 after Holm; None: none could."""
    gap_text: str
    detect_text: str
    """"" where no difference was asked for."""


def resolution_of(candidates: Sequence[Candidate], pairs: Sequence[Pair], basis: Basis) -> Resolution:
    """The resolution of the displayed pairs: exact with one run each, as measured over several seeds."""
    by_name = {candidate.model: candidate for candidate in candidates}
    many = max(len(pairs), 1)
    seeded = [(by_name[pair.model_a], by_name[pair.model_b]) for pair in pairs if pair.a_only is None]
    measured = [
        seeds_smallest_gap(a.correct, b.correct, many, basis.groups, basis.seeds_of("top1", a.model, b.model))
        for a, b in seeded
    ]
    gaps = [gap for gap in measured if gap is not None]
    if gaps:
        text = words.seeds_gap_text(basis.n, len(pairs), min(gaps), max(gaps))
        return Resolution(min(gaps), text, _detect_by_seeds(seeded, len(pairs), basis))
    groups = None if basis.groups is None else basis.units
    gap = smallest_gap(basis.n, many, groups) if basis.n else None
    text = words.gap_text(basis.n, len(pairs), smallest_net(many), gap, groups)
    return Resolution(gap, text, _detect_by_counts(pairs, basis))


def _detect_by_counts(pairs: Sequence[Pair], basis: Basis) -> str:
    """With one run each: by the share of pictures on which the median pair disagrees in being right."""
    detect = basis.terms.detect
    if detect is None:
        return ""
    if not pairs:
        return "One model alone shows no difference: --detect needs two."
    discordance = median(((pair.a_only or 0) + (pair.b_only or 0)) / max(pair.n, 1) for pair in pairs)
    needed = pictures_needed(detect, discordance, len(pairs))
    return words.detect_text(detect, needed, len(pairs), basis.n, discordance)


def _detect_by_seeds(seeded: Sequence[tuple[Candidate, Candidate]], pairs: int, basis: Basis) -> str:
    """Over several seeds: by the variances of the pair that needs the median number of pictures."""
    detect = basis.terms.detect
    if detect is None:
        return ""
    needed = [
        seeds_pictures_needed(
            a.correct, b.correct, detect, pairs, basis.groups, basis.seeds_of("top1", a.model, b.model)
        )
        for a, b in seeded
    ]
    in_order = sorted(needed, key=lambda n: float("inf") if n is None else n)
    seeds = min(len(one.answered) for pair in seeded for one in pair)
    return words.seeds_detect_text(detect, in_order[(len(in_order) - 1) // 2], pairs, basis.n, seeds)
