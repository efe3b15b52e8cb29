"""A linear classifier on frozen features: scikit-learn's logistic regression, its strength chosen inside."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.records import Array

STRENGTHS = tuple(float(strength) for strength in np.logspace(-4, 1, 11))
"""scikit-learn's C, half decades: small is a strong pull of all weights to zero."""

FALLBACK = 0.01
"""The strength where the pictures do not suffice to choose one."""

START = 0.5
"""Times 1 / N: the strength of the head that fine-tuning starts from, per picture alike for all N."""

FOLDS = 5

SOLVER = {"tol": 1e-8, "max_iter": 10_000}
"""scikit-learn's own tolerance of 1e-4 stops where rounding still moves probabilities by several percent."""

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
    from sklearn.linear_model import LogisticRegressionCV

    _refuse_lacking(labels, n_classes)
    folds = inner_folds(labels, groups)
    if not folds:
        note = f"too few groups of pictures to choose the head's strength: C = {FALLBACK:g}"
        return _fixed(features, labels, FALLBACK, note)
    model = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=folds,
        l1_ratios=(0.0,),
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        **SOLVER,
    )
    return _solved(model, features, labels)


def fit_start(features: Array, labels: Array, n_classes: int) -> Linear:
    """The head that fine-tuning starts from: as `fit_linear`, with the strength `START` / N.

    A head that is sure of all its training pictures, as the best classifier on frozen features often is,
    leaves fine-tuning next to nothing to learn from.
    """
    _refuse_lacking(labels, n_classes)
    return _fixed(features, labels, START / len(labels))


def _fixed(features: Array, labels: Array, strength: float, note: str = "") -> Linear:
    from sklearn.linear_model import LogisticRegression

    return _solved(LogisticRegression(C=strength, **SOLVER), features, labels, note)


def _solved(model: Any, features: Array, labels: Array, note: str = "") -> Linear:
    """Fit a logistic regression to standardised features, the scaler folded into what comes out."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler()
    # One thread: such small products are ten times slower where two wait for each other on busy cores.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        scaled = scaler.fit_transform(features.astype(np.float64))
        # The penalty doesn't care for a rotation: in the space that the pictures span there are at most as
        # many dimensions as pictures, and the solution is the same.
        left, sizes, axes = np.linalg.svd(scaled, full_matrices=False)
        model.fit(left * sizes, labels)
    early = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    weight = _for_each_class(model.coef_) @ axes / scaler.scale_
    return Linear(
        weight=weight,
        bias=_for_each_class(model.intercept_) - weight @ scaler.mean_,
        strength=float(model.C_ if hasattr(model, "C_") else model.C),
        note="; ".join([*([note] if note else []), *(["the head's solver stopped early"] if early else [])]),
    )


def _refuse_lacking(labels: Array, n_classes: int) -> None:
    if n_classes < 2 or not np.array_equal(np.unique(labels), np.arange(n_classes)):
        raise ValueError(f"a linear head for {n_classes} classes needs pictures of each, and two classes")


def inner_folds(labels: Array, groups: Sequence[str] | Array) -> Folds:
    """Splits that judge a strength: stratified, groups whole, every class on every training side.

    As many as the class with the fewest groups has, at most five; [] where there are not even two, or
    where groups of several classes leave a training side without one.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names = np.asarray(groups)
    classes = np.unique(labels)
    count = min(FOLDS, *(len(np.unique(names[labels == label])) for label in classes))
    if count < 2:
        return []
    folder = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    folds = list(folder.split(labels, labels, names))
    whole = all(len(test) and np.array_equal(np.unique(labels[train]), classes) for train, test in folds)
    return folds if whole else []


def _for_each_class(rows: Array) -> Array:
    """A row per class: of two classes scikit-learn keeps one row, the difference of their logits."""
    return np.concatenate([-rows / 2, rows / 2]) if len(rows) == 1 else np.asarray(rows)
