"""How long it takes when several runs go on at a time."""

import heapq
from collections.abc import Iterable


def wall_clock(left: Iterable[float], to_come: Iterable[float], at_once: int) -> float:
    """Seconds until all is done: what is under way, then what is to come, in its order, as places are free.

    `wall_clock([], [3, 2, 2], 2)` is 4: beside the 3 seconds the other place has twice 2.
    """
    places = list(left)
    places += [0.0] * (at_once - len(places))
    heapq.heapify(places)
    for seconds in to_come:
        heapq.heapreplace(places, places[0] + seconds)
    return max(places, default=0.0)
