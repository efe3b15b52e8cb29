"""What a piece of advice rests on: exact tests and limits, each silent (None) where it proves nothing.

All take one run's answers to pictures that stand for themselves (one per group: `Basis.alone`). How often
each speaks although its claim is false is in `results/evidence/statistics.md`: in at most 5 % of tables.
"""

from typing import NamedTuple

import numpy as np

from vitbench.comparison.discrete import binomial_tail, hypergeometric_cdf
from vitbench.comparison.statistics import ALPHA, upper_limit
from vitbench.inference.metrics import Z95
from vitbench.records import Array

PERMUTATIONS = 999
"""Of the test for having learned anything."""
Z99 = 2.5758293035489004
"""The 99.5 % point of the normal distribution."""
AT_A_TIME = 4_000_000
"""Permuted labels that are held at once."""


class Behind(NamedTuple):
    """A class that is answered rightly less often than the others together."""

    place: int
    p: float
    """Fisher's exact test, one-sided, times the number of classes it was picked from."""


def behind(labels: Array, answers: Array, n_classes: int, least: float) -> Behind | None:
    """The class whose recall is most surely behind that of all others together, by at least `least`.

    labels, answers (n,). Fisher's exact test of right and wrong, that class against the rest; p times the
    number of classes, because the worst of many was picked (Bonferroni).
    """
    n = np.bincount(labels, minlength=n_classes)
    right = np.bincount(labels[labels == answers], minlength=n_classes)
    rest, rest_right = n.sum() - n, right.sum() - right
    tested = (n > 0) & (rest > 0)
    gap = rest_right / np.maximum(rest, 1) - right / np.maximum(n, 1)
    total, marked = int(n.sum()), int(right.sum())
    exact = [hypergeometric_cdf(k, total, marked, drawn) for k, drawn in zip(right, n, strict=True)]
    p = np.where(tested, np.array(exact) * tested.sum(), 1.0)
    p = np.where(gap >= least, np.minimum(p, 1.0), 1.0)
    place = int(p.argmin())
    return Behind(place, float(p[place])) if p[place] <= ALPHA else None


class MixedUp(NamedTuple):
    """Two classes that are taken for each other more than mistakes fall on any two classes."""

    first: int
    second: int
    between: int
    """Mistakes between the two, both ways."""
    mistakes: int
    """All mistakes."""
    p: float
    """Binomial test, one-sided, times the number of pairs of classes it was picked from."""


def mixed_up(labels: Array, answers: Array, n_classes: int) -> MixedUp | None:
    """The two classes that the mistakes fall on most surely, if those are at least half of all mistakes.

    labels, answers (n,). If no pair were special, a wrong picture of class i would be answered j with the
    share that j has among the wrong answers to other classes (at least 1 / (C − 1); one mistake is added for
    each class, so that few decide nothing). The sum of such unequal chances has a tail no heavier than the
    binomial one (Hoeffding 1956); p times C (C − 1) / 2 pairs.
    """
    if n_classes < 3:
        return None
    wrong = np.zeros((n_classes, n_classes))
    np.add.at(wrong, (labels, answers), 1)
    np.fill_diagonal(wrong, 0)
    least = 1 / (n_classes - 1)
    of_class, total = wrong.sum(axis=1), wrong.sum()
    both = np.triu(wrong + wrong.T, 1)
    first, second = np.nonzero(2 * both >= max(total, 1))
    best: MixedUp | None = None
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        own = of_class[i] + of_class[j]
        for_j, for_i = (
            max((wrong[:, taken].sum() - wrong[true, taken] + 1) / (total - own + n_classes - 1), least)
            for true, taken in ((i, j), (j, i))
        )
        chance = (of_class[i] * for_j + of_class[j] * for_i) / own
        p = float(binomial_tail(both[i, j], own, chance))
        p = min(1.0, p * n_classes * (n_classes - 1) / 2)
        if p <= ALPHA and (best is None or p < best.p):
            best = MixedUp(i, j, int(both[i, j]), int(total), p)
    return best


def surely_under(value: float, high: float, limit: float) -> bool:
    """Whether the upper end of a 99 % interval lies below `limit`; value and the high end of a 95 % one.

    The 95 % end alone errs in 6 % of cases where two models hardly ever disagree.
    """
    return value + (high - value) * Z99 / Z95 < limit


def most_right(right: int, n: int) -> float:
    """The one-sided exact 99 % upper limit of a share (Clopper & Pearson 1934); 1 for n = 0 or all right.

    99 %, because at 95 % two wrong pictures would already speak of all that there are.
    """
    return upper_limit(right, n - right, 0.99)


def chance_p(labels: Array, answers: Array) -> float:
    """p of "the answers have nothing to do with the pictures": balanced accuracy under permuted labels.

    labels (n,), answers (k, n) class indices, one row per seed. One-sided, `PERMUTATIONS` random ones with a
    fixed seed and the one observed (Phipson & Smyth 2010); 1 where all labels are equal. Whatever share of
    the pictures a class has, naming it always gives 1 / C and p = 1.
    """
    n = len(labels)
    sizes = np.bincount(labels)
    if np.count_nonzero(sizes) < 2:
        return 1.0
    rng = np.random.default_rng(0)

    def balanced(truths: Array) -> Array:
        """(b, n) → (b,): the sum over seeds and classes of the recalls."""
        weight = 1 / sizes[truths]
        return np.asarray(sum(np.where(truths == one, weight, 0.0).sum(axis=1) for one in answers))

    observed = balanced(labels[None])[0] - 1e-9
    reached, left = 0, PERMUTATIONS
    while left:
        many = max(1, min(left, AT_A_TIME // n))
        reached += int(np.sum(balanced(rng.permuted(np.tile(labels, (many, 1)), axis=1)) >= observed))
        left -= many
    return (1 + reached) / (1 + PERMUTATIONS)
