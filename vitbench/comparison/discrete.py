"""Discrete distributions from scipy.special, which is loaded in a third of the time that scipy.stats takes.

Arguments are numbers or arrays that broadcast. Equal to scipy.stats (`binom`, `hypergeom`) to 1e-10.
"""

from typing import Any

import numpy as np

from vitbench.records import Array


def binomial_cdf(k: Any, n: Any, p: Any) -> Array:
    """P[at most k of n], each with chance p."""
    from scipy.special import bdtr

    k, n = np.asarray(k), np.asarray(n).astype(np.int64)
    return np.where(k < 0, 0.0, bdtr(np.clip(k, 0, n), n, p))


def binomial_tail(k: Any, n: Any, p: Any) -> Array:
    """P[at least k of n]."""
    return binomial_cdf(np.asarray(n) - k, n, 1 - np.asarray(p))


def binomial_pmf(k: Any, n: Any, p: Any) -> Array:
    """P[exactly k of n], 0 < p < 1 or p = 1."""
    from scipy.special import gammaln, xlog1py, xlogy

    k, n = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p)))


def binomial_quantile(q: Any, n: Any, p: Any) -> Array:
    """The least k with P[at most k of n] ≥ q, 0 < q < 1."""
    from scipy.special import bdtrik

    k = np.where(np.asarray(p) == 1, n, np.clip(np.ceil(bdtrik(q, n, p)), 0, n))
    below = np.maximum(k - 1, 0)
    enough = binomial_cdf(below, n, p) >= np.asarray(q) * (1 - 1e-15)  # ½ may come out a bit below itself
    return np.asarray(np.where(enough, below, k))


def hypergeometric_cdf(k: int, total: int, marked: int, drawn: int) -> float:
    """P[at most k marked ones among `drawn` of `total`, of which so many are marked]."""
    from scipy.special import gammaln

    def ways(n: Any, m: Any) -> Any:
        return gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)

    x = np.arange(max(0, drawn + marked - total), k + 1)
    logs = ways(marked, x) + ways(total - marked, drawn - x) - ways(total, drawn)
    return float(min(1.0, np.exp(logs).sum()))
