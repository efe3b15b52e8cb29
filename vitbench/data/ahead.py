"""Pictures prepared in threads, ahead of the model that waits for them, in their order.

Threads, not processes: Pillow frees the interpreter while it decodes and resizes, and a thread starts
at once where a process imports torch first. What comes out never depends on their number.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

AHEAD = 2
"""Batches that are prepared while one is worked on: the memory that this may take."""


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
    prepare: Callable[[Item], Prepared], batches: Iterable[Sequence[Item]], workers: int
) -> Iterator[list[Prepared]]:
    """`prepare` of every item of every batch, in order.

    `workers` threads work ahead; 0 prepares in the caller's own thread. An error in `prepare` is raised
    where its batch would have come.
    """
    source = iter(batches)
    if workers == 0:
        for batch in source:
            yield [prepare(item) for item in batch]
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: deque[list[Future[Prepared]]] = deque()
    try:
        while True:
            for batch in islice(source, AHEAD + 1 - len(waiting)):
                waiting.append([pool.submit(prepare, item) for item in batch])
            if not waiting:
                return
            yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
