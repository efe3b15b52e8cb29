"""Writing beside the training: a checkpoint goes to disk while the next epoch's steps are done."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Saver:
    """One write at a time in a thread of its own; what it raises comes out of the next call here.

    Left as a context manager it waits for the write that is under way.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._writing: Future[None] | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Start `write`, once the one before it is done."""
        self.wait()
        self._writing = self._pool.submit(write)

    def wait(self) -> None:
        """Until what was begun is on disk."""
        if self._writing is not None:
            self._writing.result()  # stays where it raises: an interrupted wait is taken up on leaving
            self._writing = None

    def look(self) -> None:
        """Raise what a write that has ended raised; never waits."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except BaseException:
            if error is None:  # otherwise what went wrong first is what counts
                raise
        finally:
            self._writing = None
