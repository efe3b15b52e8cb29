"""Numbers as a reader wants them."""

import math


def decimals(n: int) -> int:
    """Of a share of n pictures in percent: of under 1,000 none, for one picture moves it by more."""
    return 0 if n < 1000 else 1


def percent(fraction: float | None, digits: int = 1) -> str:
    """A score for the screen: 0.8333 → "83.3"; None or NaN → "–".

    What is neither none nor all never reads so: 0.998 without decimals is "99.8".
    """
    if fraction is None or math.isnan(fraction):
        return "–"
    while 0 < fraction < 1 and digits < 6 and round(100 * fraction, digits) in (0, 100):
        digits += 1
    return f"{100 * fraction:.{digits}f}"


def counted(n: int, noun: str) -> str:
    """ "1 group", "60 groups"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time for a reader: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
