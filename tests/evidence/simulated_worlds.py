"""Made-up models that answer made-up pictures, so that the truth is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from scipy.special import ndtri

from vitbench.comparison.statistics import mcnemar, newcombe_paired
from vitbench.records import Array, Predictions

cached_mcnemar = lru_cache(maxsize=None)(mcnemar)
cached_newcombe = lru_cache(maxsize=None)(newcombe_paired)

AT_A_TIME = 100
"""Benchmarks that are drawn at once."""


def unequal(n_groups: int, size: str) -> Array:
    """(n,) group numbers: groups of `size` pictures, or of 1, 1, 2, 3, 6, 11 in turn."""
    sizes = np.resize([1, 1, 2, 3, 6, 11], n_groups) if size == "1 to 11" else np.full(n_groups, int(size))
    return np.repeat(np.arange(n_groups), sizes)


@dataclass(frozen=True)
class World:
    """Models right or wrong by a normal variable: in part the picture's, the model's and the seed's own."""

    n: int
    seeds: int = 1
    seed_sd: Any = 0.0
    """Spread of the seeds' skill, probits; (m,): of each model."""
    groups: Array | None = None
    alike: float = 0.0
    """Correlation of that variable within a group; 1: the pictures of a group are copies."""
    shared: tuple[float, float] = (0.5, 0.25)
    """Shares of the variance that all models have in common, and that the seeds of one model have."""

    def normal(self, rng: np.random.Generator, *shape: int) -> Array:
        """(*shape, n) standard normal, correlated within groups."""
        own = rng.standard_normal((*shape, self.n), dtype=np.float32)
        if self.groups is None:
            return own
        common = rng.standard_normal((*shape, int(self.groups.max()) + 1), dtype=np.float32)[..., self.groups]
        return np.asarray(np.sqrt(self.alike) * common + np.sqrt(1 - self.alike) * own)

    def right(self, rng: np.random.Generator, runs: int, accuracies: Sequence[float]) -> Iterator[Array]:
        """`runs` times (models, seeds, n) bool."""
        of_all, of_model = self.shared
        spread = np.broadcast_to(np.asarray(self.seed_sd, np.float32), len(accuracies))[None, :, None, None]
        skill = ndtri(np.array(accuracies))[None, :, None, None] * np.sqrt(1 + spread**2)
        m, k = len(accuracies), self.seeds
        for start in range(0, runs, AT_A_TIME):
            r = min(AT_A_TIME, runs - start)
            luck = spread * rng.standard_normal((r, m, k, 1), dtype=np.float32)
            own = np.sqrt(1 - of_all - of_model) * self.normal(rng, r, m, k)
            model = np.sqrt(of_model) * self.normal(rng, r, m, 1)
            yield from skill + luck + own + model + np.sqrt(of_all) * self.normal(rng, r, 1, 1) > 0


def counts_of(a: Array, b: Array) -> tuple[int, int, int, int]:
    """(both right, only A, only B, neither) of two (n,) bool."""
    both = int(np.count_nonzero(a & b))
    n_a, n_b = int(np.count_nonzero(a)), int(np.count_nonzero(b))
    return both, n_a - both, n_b - both, a.size - n_a - n_b + both


def grid(**levels: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(levels, values, strict=True)) for values in product(*levels.values())]


@dataclass(frozen=True)
class Classifier:
    """Probabilities for pictures of C classes: softmax of noise that models share in part, and of skill."""

    n_classes: int
    skill: float
    seed_sd: float = 0.0
    sharpness: float = 2.0
    harder: float = 0.5
    """By so much of skill the last class lies below the middle one, and the first above it."""

    def probabilities(self, rng: np.random.Generator, labels: Array, common: Array, seeds: int = 1) -> Array:
        """(seeds, n, C) for labels (n,) and the pictures' common noise (n, C)."""
        skill = self.skill + self.seed_sd * rng.normal(size=(seeds, 1))
        logits = 0.7 * common + 0.7 * rng.normal(size=(seeds, *common.shape))
        harder = self.harder * np.linspace(-1, 1, self.n_classes)[labels]  # classes differ
        logits[:, np.arange(len(labels)), labels] += skill - harder
        powers = np.exp(self.sharpness * (logits - logits.max(axis=2, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=2, keepdims=True))


def class_sizes(n: int, n_classes: int, balanced: bool) -> Array:
    """(C,) pictures per class: equal, or as 1, 1/2, 1/3, …; at least one each."""
    weights = np.ones(n_classes) if balanced else 1 / np.arange(1, n_classes + 1)
    sizes = np.maximum(1, (weights / weights.sum() * n).astype(int))
    sizes[0] += n - sizes.sum()
    return np.asarray(sizes)


def wrapped(labels: Array, probabilities: Array) -> Predictions:
    names = tuple(map(str, range(probabilities.shape[1])))
    return Predictions(names, ("",) * len(labels), labels, probabilities)
