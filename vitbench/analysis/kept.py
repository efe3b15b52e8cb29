"""What of its accuracy a model keeps: accuracy under corruptions over that on the clean pictures.

Hendrycks' mean corruption error is relative to AlexNet's errors on ImageNet-C, so it is not defined for other
pictures; this ratio is. Its interval comes from resampled pictures or groups, as those of scores that are no
shares (`comparison.bootstrap`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitbench.analysis.conditions import CLEAN, Answers
from vitbench.comparison.bootstrap import Resamples
from vitbench.comparison.opened import TestSet
from vitbench.comparison.statistics import ALPHA, Part, satterthwaite, seed_part
from vitbench.records import Array


@dataclass(frozen=True)
class Kept:
    """One model's ratio with what its interval is made of."""

    value: float
    replicates: Array
    """(B,): on resample b of the pictures, the same ones for every model and corruption."""
    per_seed: Array
    """(k,)."""
    least: float
    """What one more lost picture would take: so no interval has width 0."""
    units: int
    """Pictures or groups that were resampled."""
    inflation: float

    @property
    def low(self) -> float | None:
        return self._limits[0]

    @property
    def high(self) -> float | None:
        return self._limits[1]

    @property
    def _limits(self) -> tuple[float | None, float | None]:
        """95 %, t · √V: V the variance over resamples, over seeds, and of one more lost picture."""
        half = self._half(self.replicates, [seed_part(self.per_seed)], self.least)
        return (None, None) if half is None else (max(0.0, self.value - half[0]), self.value + half[0])

    def _half(
        self, replicates: Array, seeds: Sequence[Part], least: float
    ) -> tuple[float, float, float] | None:
        """Half the interval's width, the standard error and its degrees of freedom."""
        from scipy.special import stdtrit

        if self.units < 2:
            return None
        spread = float(np.var(replicates, ddof=1)) * self.units / (self.units - 1) * self.inflation
        variance, freedom = satterthwaite([Part(spread, self.units - 1), *seeds])
        error, known = math.sqrt(variance + least**2), freedom or self.units - 1
        return float(stdtrit(known, 1 - ALPHA / 2)) * error, error, known

    def minus(self, other: "Kept") -> tuple[float, float | None, float | None, float]:
        """Difference, its 95 % interval and p of "none", paired by resample; p 1 for one picture or group."""
        from scipy.special import stdtr

        value = self.value - other.value
        seeds = [seed_part(self.per_seed), seed_part(other.per_seed)]
        found = self._half(self.replicates - other.replicates, seeds, max(self.least, other.least))
        if found is None:
            return value, None, None, 1.0
        half, error, freedom = found
        return value, value - half, value + half, float(2 * stdtr(freedom, -abs(value) / error))


def kept_of(
    models: Sequence[Answers], scopes: Mapping[str, Sequence[str]], test: TestSet, inflation: float
) -> dict[tuple[str, str], Kept]:
    """By (model, scope), a scope being the conditions that it is the mean over."""
    resamples = Resamples(len(test.paths), test.unit_numbers)
    keys = [(one.model, name) for one in models for name in scopes]
    clean = [one.right([CLEAN]).astype(float) for one in models for _ in scopes]  # (k, n) each
    damaged = [
        np.mean([one.right([condition]) for condition in scope], axis=0)
        for one in models
        for scope in scopes.values()
    ]
    over, under = (np.stack([each.mean(axis=0) for each in side]) for side in (damaged, clean))
    draws = [_ratio(over @ weights, under @ weights) for weights in resamples.chunks()]
    replicates = np.concatenate(draws, axis=1)
    found = {}
    for place, key in enumerate(keys):
        ratios = _ratio(damaged[place].mean(axis=1), clean[place].mean(axis=1))
        value = float(_ratio(over[place].mean(), under[place].mean()))
        least = 1 / max(resamples.units * float(under[place].mean()), 1.0)
        found[key] = Kept(value, replicates[place], ratios, least, resamples.units, inflation)
    return found


def _ratio(over: Array | float, under: Array | float) -> Array:
    """0 where nothing was right to begin with."""
    bottom = np.asarray(under, dtype=float)
    return np.where(bottom > 0, np.asarray(over) / np.where(bottom > 0, bottom, 1.0), 0.0)
