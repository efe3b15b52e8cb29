"""Sign flips over pictures or groups: what chance does to all pairs of a table at once.

Where two models are equal, exchanging their answers to a picture (or a group) changes nothing, so the signs
of all differences can be drawn anew; the same signs for every pair keep how pairs hang together, which
Holm's correction must assume to be as bad as it can be.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from vitbench.comparison.statistics import holm
from vitbench.records import Array

DRAWS = 19_999
"""Ways to flip that are drawn; p = .05 is met to ± .0015."""
AT_A_TIME = 1000
SEED = 0
ROUNDING = 1e-9
"""Sums that differ by no more are the same sum."""


def flipped_sums(values: Array, units: Array, draws: int = DRAWS) -> Array:
    """(1 + draws, m): the sums of (m, n) values, first as they are, then with signs drawn per unit.

    units (n,) ints from 0 without gaps: pictures, or their groups. The signs depend on the number of units
    alone, so differences of two columns are flipped sums of the pair's differences.
    """
    per_unit = np.stack([np.bincount(units, weights=row) for row in values.astype(float)], axis=1)  # (U, m)
    flipped = [signs @ per_unit for signs in _signs(len(per_unit), draws)]
    return np.concatenate([per_unit.sum(axis=0)[None], *flipped])


def _signs(units: int, draws: int) -> Iterator[Array]:
    """(≤ 1000, units) of ±1."""
    rng = np.random.default_rng(SEED)
    for start in range(0, draws, AT_A_TIME):
        size = min(AT_A_TIME, draws - start)
        bits = np.frombuffer(rng.bytes(-(-size * units // 8)), dtype=np.uint8)
        yield np.unpackbits(bits, count=size * units).reshape(size, units) * 2.0 - 1.0


def flip_ps(sums: Array, shrink: float = 1.0) -> Array:
    """(1 + draws, P): per column the share of all ways, the first among them, that lie as far from 0.

    sums (1 + draws, P): `flipped_sums` of the pairs' differences. Row 0 is the Monte Carlo p-value of what
    was observed, valid for any number of draws (Phipson & Smyth 2010); shrink ≥ 1 divides what was observed
    first, where its variance is shrink² times what the flips know of.
    """
    size = np.abs(sums)
    size[0] /= shrink
    found = np.empty_like(size)
    for column in range(size.shape[1]):
        in_order = np.sort(size[:, column])
        first = np.searchsorted(in_order, size[:, column] - ROUNDING)
        found[:, column] = (len(in_order) - first) / len(in_order)
    return found


def step_down(ps: Array, exact: Sequence[float]) -> list[float]:
    """p-values adjusted over all pairs by Westfall and Young's step-down min-P (1993, algorithm 2.8).

    ps: `flip_ps` of the pairs; exact (P,): their own p-values, which the adjusted ones are never below; nor
    are they above Holm's, whose bound holds for any dependence. With one pair: its own.
    """
    order = np.argsort(ps[0], kind="stable")
    lowest = np.minimum.accumulate(ps[:, order[::-1]], axis=1)[:, ::-1]  # of this pair and all after it
    steps = np.maximum.accumulate(np.mean(lowest <= lowest[0] + ROUNDING, axis=0))
    found = np.empty(len(order))
    found[order] = steps
    return [float(p) for p in np.clip(found, exact, holm(exact))]
