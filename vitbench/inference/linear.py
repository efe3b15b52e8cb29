"""A linear classifier on frozen features: penalised logistic regression, its strength chosen inside."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitbench.inference.logistic import Regressions
from vitbench.records import Array

STRENGTHS = tuple(float(strength) for strength in np.logspace(-4, 1, 11))
"""scikit-learn's C, half decades: small is a strong pull of all weights to zero."""

FALLBACK = 0.01
"""The strength where the pictures do not suffice to choose one."""

FIXED = 0.1
"""The strength where hundreds of heads are fitted and none is chosen: on real photos, from 1 to 60 a class,
as accurate as chosen ones to a point."""

START = 0.5
"""Times 1 / N: the strength of the head that fine-tuning starts from, per picture alike for all N."""

FOLDS = 5

LOOSE, FIRM, TIGHT = 1e-3, 1e-4, 1e-7
"""Lengths of the gradient at which a fit ends: one that tells which strengths may be the best, one that
chooses among these, right to about 1e-5 in mean log loss, and one that is used, whose probabilities are
right to about 1e-7."""

CLOSE = 0.003
"""Mean log loss: strengths that loose fits show less than so far from the best are fitted firmly."""

Folds = list[tuple[Array, Array]]
"""Places of the pictures that train, and of those that judge, per fold."""


@dataclass(frozen=True)
class Linear:
    """A linear map from features to logits."""

    weight: Array
    """(C, D) float64, for features as they come: the scaler is folded in."""
    bias: Array
    """(C,) float64."""
    strength: float
    """scikit-learn's C that it was fitted with."""
    note: str = ""
    """A fallback that must be said beside its numbers, or ""."""

    def logits(self, features: Array) -> Array:
        """(N, C) float64 for features (N, D)."""
        return np.asarray(features.astype(np.float64) @ self.weight.T + self.bias)

    def probabilities(self, features: Array) -> Array:
        """(N, C) float64 softmax of the logits, rows sum to 1."""
        logits = self.logits(features)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def fit_linear(features: Array, labels: Array, groups: Sequence[str] | Array, n_classes: int) -> Linear:
    """Multinomial logistic regression on standardised features, penalised by the weights' squares.

    features (N, D); labels (N,), integers in [0, C), every class among them; groups (N,): pictures of
    one group are never on two sides. The strength of the penalty is that of `STRENGTHS` with the lowest
    mean log loss over `inner_folds`; without such folds it is `FALLBACK`, and the note says so. Raises
    ValueError for a class without pictures, or fewer than two classes.
    """
    _refuse_lacking(labels, n_classes)
    if folds := inner_folds(labels, groups):
        return _fitted(features, labels, folds=folds)
    note = f"too few groups of pictures to choose the head's strength: C = {FALLBACK:g}"
    return _fitted(features, labels, FALLBACK, note)


def fit_fixed(features: Array, labels: Array, n_classes: int) -> Linear:
    """As `fit_linear`, with the strength `FIXED`, right to what chooses a class: a sixth of the time."""
    _refuse_lacking(labels, n_classes)
    return _fitted(features, labels, FIXED, tolerance=FIRM)


def fit_start(features: Array, labels: Array, n_classes: int) -> Linear:
    """The head that fine-tuning starts from: as `fit_linear`, with the strength `START` / N.

    A head that is sure of all its training pictures, as the best classifier on frozen features often is,
    leaves fine-tuning next to nothing to learn from.
    """
    _refuse_lacking(labels, n_classes)
    return _fitted(features, labels, START / len(labels))


def _fitted(
    features: Array,
    labels: Array,
    strength: float | None = None,
    note: str = "",
    folds: Folds | None = None,
    tolerance: float = TIGHT,
) -> Linear:
    """A fit to standardised features, the scaler folded in; where no strength is given, `folds` choose it."""
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler()
    # One thread: such small products are ten times slower where two wait for each other on busy cores.
    with threadpool_limits(1, user_api="blas"):
        scaled = scaler.fit_transform(features.astype(np.float64))
        # The penalty doesn't care for a rotation: in the space that the pictures span there are at most as
        # many dimensions as pictures, and the solution is the same.
        left, sizes, axes = np.linalg.svd(scaled, full_matrices=False)
        rows = left * sizes
        strength = strength or _chosen(rows, labels, folds or [])
        whole = Regressions.on(rows, labels, np.ones((1, len(rows))))
        solution, found = whole.solve(strength, whole.zeros, tolerance)
    weight = solution[:-1, 0].T @ axes / scaler.scale_
    return Linear(
        weight=weight,
        bias=solution[-1, 0] - weight @ scaler.mean_,
        strength=strength,
        note="; ".join([*([note] if note else []), *([] if found else ["the head's solver stopped early"])]),
    )


def _chosen(rows: Array, labels: Array, folds: Folds) -> float:
    """The strength with the lowest mean log loss over the folds; of equal ones the smallest."""
    parts = np.zeros((len(folds), len(rows)))
    for part, (train, _) in zip(parts, folds, strict=True):
        part[train] = 1
    each = Regressions.on(rows, labels, parts)
    solutions, losses = [each.zeros], []
    for strength in STRENGTHS:
        solutions.append(each.solve(strength, solutions[-1], LOOSE)[0])
        losses.append(each.losses(solutions[-1]).mean())
    close = [place for place, loss in enumerate(losses) if loss <= min(losses) + CLOSE]
    if len(close) > 1:
        for place in close:
            solution, _ = each.solve(STRENGTHS[place], solutions[place + 1], FIRM)
            losses[place] = each.losses(solution).mean()
    return STRENGTHS[min(close, key=losses.__getitem__)]


def _refuse_lacking(labels: Array, n_classes: int) -> None:
    if n_classes < 2 or not np.array_equal(np.unique(labels), np.arange(n_classes)):
        raise ValueError(f"a linear head for {n_classes} classes needs pictures of each, and two classes")


def inner_folds(labels: Array, groups: Sequence[str] | Array) -> Folds:
    """Splits that judge a strength: stratified, groups whole, every class on every training side.

    As many as the class with the fewest groups has, at most five; [] where there are not even two, or
    where groups of several classes leave a training side without one.
    """
    return list(_inner_folds(tuple(labels.tolist()), tuple(np.asarray(groups).tolist())))


@functools.lru_cache(maxsize=64)
def _inner_folds(each_label: tuple[int, ...], each_group: tuple[str | int, ...]) -> Folds:
    """Kept, for it takes as long as some fits, and the models of a probe share their folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, names = np.array(each_label), np.array(each_group)
    classes = np.unique(labels)
    count = min(FOLDS, *(len(np.unique(names[labels == label])) for label in classes))
    if count < 2:
        return []
    folder = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    folds = list(folder.split(labels, labels, names))
    whole = all(len(test) and np.array_equal(np.unique(labels[train]), classes) for train, test in folds)
    return folds if whole else []
