"""Discrete distributions, against scipy.stats."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark
from scipy import stats

from vitbench.comparison.discrete import (
    binomial_cdf,
    binomial_pmf,
    binomial_quantile,
    binomial_tail,
    hypergeometric_cdf,
)


@pytest.mark.parametrize("p", [1e-6, 0.03, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7, 60, 5000])
def test_binomials_are_those_of_scipy(n: int, p: float) -> None:
    """Distribution, tail, mass and quantile over their whole range, below and above it."""
    k = np.unique(np.linspace(0, n, 41).astype(int))
    assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-10)
    assert binomial_cdf(-1, n, p) == 0
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-8, abs=1e-300)
    assert binomial_pmf(k, n, p) == pytest.approx(stats.binom.pmf(k, n, p), rel=1e-8, abs=1e-300)
    q = np.array([1e-12, 0.0083, 0.025, 0.5, 0.975, 1 - 1e-12])
    assert binomial_quantile(q, n, p).tolist() == stats.binom.ppf(q, n, p).tolist()


@pytest.mark.parametrize(("total", "marked", "drawn"), [(10, 4, 3), (300, 260, 100), (20, 20, 5), (9, 0, 4)])
def test_the_hypergeometric_is_that_of_scipy(total: int, marked: int, drawn: int) -> None:
    """From the fewest marked ones that can be drawn to all of them."""
    for k in range(max(0, drawn + marked - total), min(drawn, marked) + 1):
        expected = stats.hypergeom.cdf(k, total, marked, drawn)
        assert hypergeometric_cdf(k, total, marked, drawn) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_a_comparison_does_without_scipy_stats(tmp_path: Path) -> None:
    """It takes as long to load as all else together."""
    labels = [0, 1, 2] * 20
    make_benchmark(tmp_path / "b", {"a-s0": labels, "b-s0": [1, *labels[1:]]}, labels)
    code = f"import sys, vitbench; vitbench.compare({str(tmp_path / 'b')!r}, detect=0.05).rows"
    code += "; print({'scipy.stats', 'torch', 'pandas', 'sklearn'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
