"""What is left: of one run, of several at a time, of a benchmark."""

import heapq
import math
import time
from collections.abc import Iterable, Mapping


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


class Clock:
    """When what is under way ends: by its measured speed, before that and for what is to come by estimates.

    A stage is a run, or a part of one ("vit-s0/fold-1"), that trains by itself.
    """

    def __init__(self) -> None:
        self.to_come: dict[str, float] = {}
        self.at_once = 1
        self.began: dict[str, tuple[float, int]] = {}
        """When a stage began that trains, and after how many of its steps."""
        self.ends: dict[str, float] = {}

    def expect(self, seconds: Mapping[str, float], at_once: int) -> None:
        """The estimated seconds of every stage, NaN where unknown, and how many go on at a time."""
        self.to_come, self.at_once = dict(seconds), at_once

    def begin(self, stage: str) -> None:
        """A stage, or a run of several of them, is taken up."""
        if stage in self.to_come:
            self.ends[stage] = time.monotonic() + _known(self.to_come.pop(stage))

    def step(self, stage: str, done: int, total: int) -> None:
        """So many of a stage's steps are done; the first call says where it begins."""
        self.begin(stage)
        now = time.monotonic()
        since, first = self.began.setdefault(stage, (now, done))
        if done > first:
            self.ends[stage] = now + (now - since) / (done - first) * (total - done)

    def finish(self, run: str) -> None:
        """A run has ended, or a part of one; what it did not come to is not to come any more."""
        for known in (self.to_come, self.began, self.ends):
            for name in [name for name in known if name == run or name.startswith(f"{run}/")]:
                del known[name]

    def left(self, stage: str) -> float | None:
        """Seconds left for what is under way; None where nobody knows."""
        return max(0.0, self.ends[stage] - time.monotonic()) if stage in self.ends else None

    @property
    def whole(self) -> float:
        """Seconds left for the benchmark."""
        now = time.monotonic()
        under_way = [max(0.0, end - now) for end in self.ends.values()]
        return wall_clock(under_way, map(_known, self.to_come.values()), self.at_once)


def _known(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else seconds
