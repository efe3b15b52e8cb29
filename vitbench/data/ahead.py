"""Pictures prepared in threads, ahead of the model that waits for them, in their order.

Threads, not processes: Pillow frees the interpreter while it decodes and resizes, and a thread starts
at once where a process imports torch first. What comes out never depends on their number.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

AHEAD = 2
"""Batches that are prepared while one is worked on: the memory that this may take."""


def in_batches(
    prepare: Callable[[Item], Prepared], items: Iterable[Item], size: int, workers: int
) -> Iterator[list[Prepared]]:
    """`prepare` of every item, in order, in lists of `size`, the last one smaller.

    `workers` threads work ahead; 0 prepares in the caller's own thread. An error in `prepare` is raised
    where its batch would have come.
    """
    source = iter(items)
    if workers == 0:
        while batch := list(islice(source, size)):
            yield [prepare(item) for item in batch]
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: deque[list[Future[Prepared]]] = deque()
    try:
        while True:
            while len(waiting) <= AHEAD and (batch := list(islice(source, size))):
                waiting.append([pool.submit(prepare, item) for item in batch])
            if not waiting:
                return
            yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
