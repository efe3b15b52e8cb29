"""Numbers as a reader wants them."""

import math


def percent(fraction: float | None, digits: int = 1) -> str:
    """A score for the screen: 0.8333 → "83.3"; None or NaN → "–"."""
    if fraction is None or math.isnan(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f}"


def counted(n: int, noun: str) -> str:
    """ "1 group", "60 groups"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time for a reader: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
