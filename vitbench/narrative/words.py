"""Numbers and lists in the words of sentences."""

import math
from collections.abc import Sequence

from vitbench.comparison.measured import Estimate
from vitbench.comparison.statistics import ALPHA
from vitbench.records import counted, percent

ROUNDING = 1e-7
"""Percentage points that are none."""


def points(fraction: float) -> str:
    """A difference of accuracies in signed percentage points: 0.0333 → "+3.3", −0.048 → "−4.8".

    What would round to 0 has one significant digit (0.0002 → "+0.02"), so that an end of an interval that
    leaves out 0 never reads as one that holds it.
    """
    value = 100 * fraction
    if abs(value) < ROUNDING:
        return "0.0"
    digits = 1 if round(abs(value), 1) else math.ceil(-math.log10(abs(value)))
    return f"{value:+.{digits}f}".replace("-", "−")


def p_digits(p: float) -> str:
    """ "0.620": three decimals, or as many as show on which side of .05 it lies ("0.0503")."""
    texts = (f"{p:.{digits}f}" for digits in range(3, 18))
    return next(text for text in texts if (float(text) <= ALPHA) == (p <= ALPHA))


def p_text(p: float) -> str:
    """ "p = 0.62", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p_digits(p).rstrip('0').rstrip('.')}"


def amount(value: float) -> str:
    """Millions of parameters, GMACs: two decimals, three significant digits under 0.1 (0.00712)."""
    digits = 2 if value >= 0.1 or value <= 0 else 2 - math.floor(math.log10(value))
    return f"{value:.{digits}f}"


def nats(loss: float) -> str:
    """A loss without its sign: three decimals, or what shows its first digit (0.0004)."""
    digits = 3 if loss >= 5e-4 or loss <= 0 else math.ceil(-math.log10(loss))
    return f"{loss:.{digits}f}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def pictures(n: int) -> str:
    """ "1 test picture", "60 test pictures"."""
    return counted(n, "test picture")


def rounded(n: int) -> int:
    """Two significant digits, upwards: a planned number of pictures is no more exact than that."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def share(one: Estimate) -> str:
    """ "83.3 % [75.8, 93.1]"."""
    return f"{percent(one.value)} % [{percent(one.low)}, {percent(one.high)}]"


def corrected_for(pairs: int) -> str:
    """What stands behind a p-value that was corrected."""
    return "" if pairs <= 1 else f" corrected for {pairs} pairs"
