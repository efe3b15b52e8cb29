"""Who makes the views of a training: threads, or processes where those are measured to be faster.

Threads are there at once and share the pictures' memory; but whoever launches a device's kernels needs the
interpreter's lock as often as they do. So threads begin, and processes are tried on an accelerator, or where
all threads together are waited for. What comes out never depends on it.
"""

from statistics import fmean
from typing import Protocol

from vitbench.data.prefetch import AHEAD, Prefetcher, cores
from vitbench.data.worker import Rendering
from vitbench.data.workers import Workers, WorkersError

MOST_PROCESSES = 12
LEFT = 2
"""Cores that are left to the training itself."""
STUCK = 4
"""Windows in a row in which all threads together were waited for."""
BATCHES = 16
"""So many are timed, and the quarter that took longest and the one that took least are left out."""
SETTLING = AHEAD + 6
"""Batches after a change that are not timed: some are still from before it."""
ALIKE = 0.1
"""By how much two windows of threads may differ: nothing is cold any more, and something can be compared."""
GAIN = 0.97
"""Processes are kept where a batch takes less than this part of the time."""


class Coming(Protocol):
    """Batches that were begun before anybody asked for them."""

    def drop(self) -> None:
        """They are not wanted."""


class Trial:
    """From the seconds of whole batches, whether processes are faster than threads: a window of each."""

    def __init__(self) -> None:
        self.windows = 0
        """Of threads, so far."""
        self.threads: float | None = None
        """Seconds of a batch by threads; None until two windows in a row are alike."""
        self.trying = False
        self.better: bool | None = None
        """What was found; None: nothing yet."""
        self._before: float | None = None
        self._times: list[float] = []
        self._left_out = 0

    def again(self) -> None:
        """Something changed: what was timed until now is not comparable."""
        self._times, self._before, self.threads, self._left_out = [], None, None, SETTLING

    def begin(self) -> None:
        """From now on processes make the batches."""
        self.trying, self._times, self._left_out = True, [], SETTLING

    def note(self, seconds: float) -> None:
        """What one batch took, waiting and work together."""
        if self._left_out:
            self._left_out -= 1
            return
        self._times.append(seconds)
        if len(self._times) < BATCHES or self.better is not None:
            return
        mean = fmean(sorted(self._times)[BATCHES // 4 : -BATCHES // 4])
        self._times = []
        if self.trying:
            assert self.threads is not None
            self.better = mean < GAIN * self.threads
            return
        alike = self._before is not None and abs(mean - self._before) <= ALIKE * self._before
        self.windows, self.threads, self._before = self.windows + 1, mean if alike else None, mean


class Crew(Prefetcher):
    """Threads, and processes in their place where those are faster; kept from epoch to epoch."""

    def __init__(
        self,
        workers: int | None,
        *,
        accelerated: bool = False,
        pinned: bool = False,
        processes: bool | None = None,
    ) -> None:
        """`workers` and `pinned` as of `Prefetcher`; no more processes than threads were asked for.

        `accelerated`: another device does the arithmetic, so the host's main thread launches it.
        `processes`: True or False leaves nothing to measure.
        """
        super().__init__(workers, pinned=pinned)
        most = max(1, min(cores() - LEFT, MOST_PROCESSES))
        self.processes = 0 if processes is False else min(most, most if workers is None else workers)
        """How many are started; 0: none, or no more."""
        self.team: Workers | None = None
        self._asked_for, self._accelerated = processes is True, accelerated
        self._trial = Trial()
        self._stuck = 0
        self._working = False
        self._complaint = ""
        self._coming: tuple[object, Coming] | None = None

    def count(self, waited: float, busy: float) -> bool | None:
        """As of `Prefetcher`; also what decides between threads and processes."""
        before = self.workers
        too_long = super().count(waited, busy)
        if self.workers != before:
            self._trial.again()
        if too_long is not None:
            self._stuck = self._stuck + 1 if too_long and before == self.most else 0
        self._trial.note(waited + busy)
        return too_long

    def hands(self, views: Rendering, store: str, rows: int) -> Workers | None:
        """The processes that are to make the next batch, of at most `rows` views; None: threads do.

        They are started, tried, kept and ended here. `store`: the folder of decoded pictures.
        """
        try:
            self._working = self.processes > 0 and self._are_to_work(views, store, rows)
        except WorkersError as error:
            self.lost(error)
        if self.processes == 0 and self.team is not None and not self.team.busy:
            self.dismiss()
        return self.team if self._working else None

    def _are_to_work(self, views: Rendering, store: str, rows: int) -> bool:
        if self._trial.better is False:
            self.processes = 0  # what they are about they still finish
            return False
        if self.team is not None and not self.team.serves(views, store, rows):
            self.dismiss()
        if self.team is None:
            stuck = self._stuck >= STUCK and self._trial.threads is not None
            if not (self._asked_for or stuck or (self._accelerated and self._trial.windows)):
                return False
            self.team = Workers(views, store, self.processes, rows)
        if self._asked_for:
            self.team.wait()
        elif not self.team.ready:
            return False
        elif not self._trial.trying:
            if self._trial.threads is None:
                return False
            self._trial.begin()
        return True

    def lost(self, error: WorkersError) -> None:
        """The processes can make nothing more: threads do, from here on."""
        if self.processes:
            self._complaint = f"worker processes: {error}; threads prepare the pictures now"
        self.processes, self._working = 0, False
        self.dismiss()

    def complaint(self) -> str:
        """Why there are no processes any more, one line, once; "" while all is well."""
        said, self._complaint = self._complaint, ""
        return said

    def who(self) -> str:
        """ "2 threads", "1 process", "12 processes"."""
        if not self._working:
            return super().who()
        return f"{self.processes} process" + ("es" if self.processes > 1 else "")

    def expect(self, key: object, coming: "Coming") -> None:
        """Hold what was begun of the next epoch; `key` says all that decides it."""
        self._coming = key, coming

    def expected(self, key: object) -> "Coming | None":
        """What was begun, where it is this; otherwise it is dropped."""
        held, self._coming = self._coming, None
        if held is not None and held[0] != key:
            held[1].drop()
            return None
        return held[1] if held else None

    def close(self) -> None:
        """End threads and processes."""
        self.expected(None)
        self.dismiss()
        super().close()

    def dismiss(self) -> None:
        """End the processes that there are, whatever they are about."""
        if self.team is not None:
            self.team.close()
            self.team = None
        self._working = False
