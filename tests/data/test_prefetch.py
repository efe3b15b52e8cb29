"""Batches prepared ahead: even, in order, errors where they belong, no thread left behind."""

import threading

import pytest

from vitbench.data import prefetch
from vitbench.data.prefetch import Prefetcher, even_slices, in_batches


@pytest.mark.parametrize(
    ("length", "largest", "sizes"),
    [(7, 3, [2, 2, 3]), (6, 3, [3, 3]), (24, 23, [12, 12]), (3, 5, [3]), (1, 4, [1]), (0, 4, [])],
)
def test_slices_are_even_and_cover(length: int, largest: int, sizes: list[int]) -> None:
    """No slice is larger than asked, none a small leftover, together they are the whole."""
    parts = even_slices(length, largest)
    assert [part.stop - part.start for part in parts] == sizes
    assert [i for part in parts for i in range(length)[part]] == list(range(length))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept(workers: int) -> None:
    """Results come in order, whatever the number of threads."""
    assert list(in_batches(lambda i: i * i, [[1, 2], [3], [4, 5]], workers)) == [[1, 4], [9], [16, 25]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_where_its_batch_would(workers: int) -> None:
    """The batches before a broken item still come; then its error is raised."""
    batches = in_batches(lambda i: 1 // i, [[1], [1], [0], [1]], workers)
    assert [next(batches), next(batches)] == [[1], [1]]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_no_thread_is_left_when_the_reader_stops() -> None:
    """Leaving an epoch half-way ends its threads."""
    batches = in_batches(lambda i: i, ([i] for i in range(1000)), 2)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("pictures")]


def test_work_ahead_is_bounded() -> None:
    """A million items are not taken in before the first is used."""
    taken = []
    source = (taken.append(i) or [i] for i in range(1_000_000))  # type: ignore[func-returns-value]
    next(in_batches(lambda i: i, source, 1))
    assert len(taken) < 10


@pytest.fixture
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "cores", lambda: 16)


@pytest.mark.usefixtures("sixteen_cores")
def test_threads_double_while_they_are_waited_for() -> None:
    """1, 2, 4, 8, 16 after four batches each, and no more; a model that does not wait keeps what it has."""
    threads, seen = Prefetcher(None), []
    for _ in range(6):
        seen.append(threads.workers)
        for _ in range(prefetch.WINDOW):
            threads.count(waited=1.0, busy=1.0)
    assert seen == [1, 2, 4, 8, 16, 16]
    patient = Prefetcher(None)
    for _ in range(40):
        patient.count(waited=0.0, busy=1.0)
    assert patient.workers == 1


@pytest.mark.usefixtures("sixteen_cores")
def test_pictures_that_are_seen_once_have_every_core_from_the_start() -> None:
    """Of one batch of 64, sixteen are prepared at the same time: each waits until the others are there."""
    together = threading.Barrier(16, timeout=30)

    def prepare(item: int) -> int:
        together.wait()
        return item

    assert next(in_batches(prepare, [list(range(64))], Prefetcher(None, at_once=True))) == list(range(64))
    assert (Prefetcher(3, at_once=True).workers, Prefetcher(0, at_once=True).workers) == (3, 0)
