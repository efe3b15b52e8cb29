"""Pictures prepared in threads, ahead of the model that waits for them, in their order.

Pillow frees the interpreter while it decodes and resizes, so threads do (`crew` for where they do not). What
comes out never depends on their number, so it may change on the way: twice as many while the model waits for
pictures, up to one per core.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain, islice, pairwise
from typing import Any, TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

AHEAD = 2
"""Batches that are prepared while one is worked on: the memory that this may take."""


WINDOW = 4
"""Batches after which the waiting is looked at."""
WAITS = 0.02
"""The share of the time that a model may wait before more threads help."""
MOST = 16
"""Threads there are at most, however many cores."""


def cores() -> int:
    """Those that this process may use: of several that torchrun or `--jobs` has started here, its share."""
    allowed = getattr(os, "sched_getaffinity", None)  # a scheduler gives a job some of a machine's
    count = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE") or 1) // _shared["by"])


_shared = {"by": 1}


def share_cores(runs: int) -> None:
    """From now on this process has its share of the cores only, as one of so many runs at a time."""
    _shared["by"] = runs


class Prefetcher:
    """Threads that prepare ahead, kept from epoch to epoch, and how long was waited for them."""

    def __init__(self, workers: int | None, *, at_once: bool = False, pinned: bool = False) -> None:
        """`workers`: so many, 0 for the caller's own thread; None: one, and more where it is waited for.

        `at_once`: all of these from the first batch on, as pictures that are seen once call for: they have to
        be decoded. `pinned`: batches are put where a CUDA device fetches them by itself.
        """
        self.most = min(cores(), MOST) if workers is None else workers
        self.workers = self.most if at_once or workers is not None else 1
        self.pinned = pinned
        self.waited = 0.0
        """Seconds in which the caller waited for pictures."""
        self.busy = 0.0
        """Seconds in which it worked on them."""
        self._window = (0, 0.0, 0.0)
        self._gate = threading.Semaphore(self.workers)
        self._pool: ThreadPoolExecutor | None = None

    def count(self, waited: float, busy: float) -> bool | None:
        """Note what one batch took; as many threads again help where too much of the time is waiting.

        Whether it was too much, where a window is full.
        """
        self.waited, self.busy = self.waited + waited, self.busy + busy
        batches, before, working = self._window
        batches, before, working = batches + 1, before + waited, working + busy
        self._window = (batches, before, working)
        if batches < WINDOW:
            return None
        self._window = (0, 0.0, 0.0)
        too_long = before > WAITS * (before + working)
        if too_long and self.workers < self.most:
            more = min(self.workers, self.most - self.workers)
            self.workers += more
            self._gate.release(more)
        return too_long

    def submit(self, prepare: Callable[[Item], Prepared], item: Item) -> Future[Prepared]:
        """Have an item prepared in a thread, as soon as one of the places is free."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.most, thread_name_prefix="pictures")
        return self._pool.submit(self._run, prepare, item)

    def _run(self, prepare: Callable[[Item], Prepared], item: Item) -> Prepared:
        with self._gate:
            return prepare(item)

    def close(self) -> None:
        """End the threads; those that are begun later are others."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def who(self) -> str:
        """ "2 threads"."""
        return {0: "the training's own thread", 1: "1 thread"}.get(self.workers, f"{self.workers} threads")

    def in_words(self) -> str:
        """ "2 threads prepared the pictures, 0.4 % of the time was waiting for them", since the last call."""
        share = self.waited / (self.waited + self.busy) if self.busy else 0.0
        self.waited = self.busy = 0.0
        return f"{self.who()} prepared the pictures, {share:.1%} of the time was waiting for them"


def even_slices(length: int, largest: int) -> list[slice]:
    """As few slices of at most `largest` as cover `length`, as even as possible: 7 by 3 is 3, 2, 2.

    No batch is a small leftover, which would weigh as much as a full one, and starve batch norm.
    """
    count = -(-length // largest)
    edges = [length * place // count for place in range(count + 1)] if count else []
    return [slice(start, stop) for start, stop in pairwise(edges)]


def whole(length: int) -> slice:
    """All of it, as the share of who works alone."""
    return slice(length)


def in_batches(
    prepare: Callable[[Item], Prepared], batches: Iterable[Sequence[Item]], workers: Prefetcher | int | None
) -> Iterator[list[Prepared]]:
    """`prepare` of every item of every batch, in order.

    `workers`: the threads, or how many; 0 prepares in the caller's own. An error in `prepare` is raised
    where its batch would have come.
    """
    threads = workers if isinstance(workers, Prefetcher) else Prefetcher(workers)
    try:
        yield from timed(_prepared(prepare, iter(batches), threads), threads)
    finally:
        if threads is not workers:
            threads.close()


def timed(batches: Generator[Prepared, None, None], threads: Prefetcher) -> Iterator[Prepared]:
    """The batches; what each was waited for and worked on is counted."""
    asked = time.perf_counter()
    with contextlib.closing(batches):
        for prepared in batches:
            given = time.perf_counter()
            yield prepared
            taken, asked = asked, time.perf_counter()
            threads.count(given - taken, asked - given)


def _prepared(
    prepare: Callable[[Item], Prepared], source: Iterator[Sequence[Item]], threads: Prefetcher
) -> Generator[list[Prepared], None, None]:
    if threads.most == 0:
        for batch in source:
            yield [prepare(item) for item in batch]
        return
    waiting: deque[list[Future[Prepared]]] = deque()
    try:
        while True:
            for batch in islice(source, AHEAD + 1 - len(waiting)):
                waiting.append([threads.submit(prepare, item) for item in batch])
            if not waiting:
                return
            yield [future.result() for future in waiting.popleft()]
    finally:
        forget(chain.from_iterable(waiting))


def forget(futures: Iterable[Future[Any]]) -> None:
    """Have what is not begun not done, and wait for what is."""
    wait([future for future in futures if not future.cancel()])
