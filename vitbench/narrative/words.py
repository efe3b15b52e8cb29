"""Numbers and lists in the words of sentences."""

import math
from collections.abc import Sequence

from vitbench.comparison.measured import Estimate
from vitbench.comparison.statistics import ALPHA
from vitbench.records import counted, decimals, percent

ROUNDING = 1e-7
"""Percentage points that are none."""
MOST_NAMED = 5
"""Models that a sentence names one by one; of more the first ones, and how many there are."""


def points(fraction: float, n: int) -> str:
    """A difference of accuracies on n pictures in signed percentage points: 0.0333 → "+3", −0.048 → "−5".

    From 1,000 pictures on with one decimal. What would round to 0 has one significant digit (0.0002 →
    "+0.02"), so that an end of an interval that leaves out 0 never reads as one that holds it.
    """
    value = 100 * fraction
    if abs(value) < ROUNDING:
        return "0"
    digits = decimals(n)
    if not round(abs(value), digits):
        digits = math.ceil(-math.log10(abs(value)))
    return f"{value:+.{digits}f}".replace("-", "−")


def in_points(number: str) -> str:
    """ "+3 points", "−1 point"."""
    return f"{number} point{'' if number.lstrip('+−±') == '1' else 's'}"


def least_points(fraction: float) -> str:
    """A smallest difference that counts, in percentage points: 0.1 → "10", 0.0347 → "3.5".

    One decimal under 10, for small ones are counted in single pictures; rounded up, so that a difference
    that reads as large as this is.
    """
    value = 100 * fraction
    return f"{math.ceil(value - ROUNDING)}" if value >= 10 else f"{math.ceil(10 * value - ROUNDING) / 10:g}"


def p_digits(p: float) -> str:
    """ "0.62", "0.035": two decimals, three under 0.1, or as many as show the side of .05 ("0.0503")."""
    texts = (f"{p:.{digits}f}" for digits in range(2 if p >= 0.1 else 3, 18))
    return next(text for text in texts if (float(text) <= ALPHA) == (p <= ALPHA))


def p_cell(p: float) -> str:
    """A p-value alone, as in a table: "0.62", or "< 0.001"."""
    return "< 0.001" if p < 0.001 else p_digits(p)


def p_text(p: float) -> str:
    """ "p = 0.62", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p_digits(p).rstrip('0').rstrip('.')}"


def amount(value: float) -> str:
    """Millions of parameters, GMACs: three significant digits, no exponent (0.00712, 4.49, 27.5, 304)."""
    if value <= 0:
        return f"{value:.2f}"
    leading = math.floor(math.log10(float(f"{value:.2e}")))
    return f"{value:.{max(0, 2 - leading)}f}"


def measured(value: float) -> str:
    """A speed, a time, an amount of memory: whole from 10 on, else two significant digits."""
    return f"{value:.{0 if value >= 10 else 1 if value >= 1 else 2}f}"


def nats(loss: float) -> str:
    """A loss without its sign: two decimals, or what shows its first digit (0.0004)."""
    digits = 2 if loss >= 5e-3 or loss <= 0 else math.ceil(-math.log10(loss))
    return f"{loss:.{digits}f}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def named(names: Sequence[str]) -> str:
    """The same; of more than five the first three and "9 more"."""
    return listed(names) if len(names) <= MOST_NAMED else f"{', '.join(names[:3])} and {len(names) - 3} more"


def pictures(n: int) -> str:
    """ "1 test picture", "60 test pictures"."""
    return counted(n, "test picture")


def rounded(n: int) -> int:
    """Two significant digits, upwards: a planned number of pictures is no more exact than that."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def share(one: Estimate, n: int) -> str:
    """A share of n pictures: "83 % [76, 93]"."""
    value, low, high = (percent(part, decimals(n)) for part in (one.value, one.low, one.high))
    return f"{value} % [{low}, {high}]"


def corrected_for(pairs: int) -> str:
    """What stands behind a p-value that was corrected."""
    return "" if pairs <= 1 else f" corrected for {pairs} pairs"
