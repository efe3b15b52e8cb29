"""The views of an epoch as batches, made ahead by threads or by processes, as the crew decides."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, islice

import torch
from torch import Tensor

from vitbench.data.crew import Crew
from vitbench.data.prefetch import AHEAD, even_slices, forget, timed
from vitbench.data.store import Store
from vitbench.data.worker import Rendering
from vitbench.data.workers import Workers, WorkersError
from vitbench.records import Array

Planned = Sequence[tuple[int, int]]
"""Picture and k of every view of a batch."""


class Feed:
    """An epoch's batches of views, uint8 (B, S, S, 3), in their order, and the next epoch's first ones."""

    def __init__(
        self, views: Rendering, turn: int, store: Store, crew: Crew, planned: Sequence[Planned]
    ) -> None:
        self.views, self.turn, self.store, self.crew, self.planned = views, turn, store, crew, planned
        self._rows = max(map(len, planned), default=0)
        self._left = iter(planned)
        self._waiting: deque[_Making] = deque()

    def batches(self, following: Callable[[], "Feed | None"] = lambda: None) -> Generator[Tensor, None, None]:
        """A batch for each of `planned`; an error comes where its batch would.

        In pinned memory where the crew is `pinned`; such a batch stays as it is until the second after it is
        asked for. `following`: the next epoch, which is begun while this one's last batches are worked on.
        """
        yield from timed(self._ahead(following) if self.crew.most else self._at_once(), self.crew)

    def begin(self, room: int) -> int:
        """Begin batches until so many are under way, or there are no more; how many more could be."""
        for one in islice(self._left, room - len(self._waiting)):
            self._waiting.append(self._begun(one))
        return room - len(self._waiting)

    def drop(self) -> None:
        """Nothing that was begun is wanted any more."""
        forget(chain.from_iterable(one.futures for one in self._waiting))
        self._waiting.clear()
        if self.crew.team is not None and self.crew.team.busy:
            self.crew.dismiss()

    def _at_once(self) -> Generator[Tensor, None, None]:
        for one in self.planned:
            batch = self._empty(len(one))
            self._write(batch.numpy(), one, slice(len(one)))
            yield batch

    def _ahead(self, following: Callable[[], "Feed | None"]) -> Generator[Tensor, None, None]:
        after: Feed | None = None
        try:
            while True:
                if (room := self.begin(AHEAD + 1)) and self._waiting:
                    after = after or following()
                    if after is not None:
                        after.begin(room)
                if not self._waiting:
                    return
                yield self._done(self._waiting.popleft())
        except BaseException as error:
            if self._waiting or not isinstance(error, GeneratorExit):  # left before its end
                self.drop()
                self.crew.expected(None)
            raise

    def _begun(self, planned: Planned) -> "_Making":
        team = self.crew.hands(self.views, str(self.store.folder or ""), self._rows)
        if team is not None:
            try:
                return _InProcesses(self, planned, team)
            except WorkersError as error:
                self.crew.lost(error)
        return _InThreads(self, planned)

    def _done(self, one: "_Making") -> Tensor:
        try:
            return one.done()
        except WorkersError as error:
            self.crew.lost(error)
            return _InThreads(self, one.planned).done()

    def _empty(self, length: int) -> Tensor:
        shape = (length, self.views.size, self.views.size, 3)
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self.crew.pinned)

    def _write(self, rows: Array, planned: Planned, part: slice) -> None:
        """Render a part of a batch to where it stands in it, so that nothing is left to stack."""
        for place in range(part.start or 0, part.stop):
            rows[place] = self.views.view(self.turn, *planned[place], self.store)


class _InThreads:
    """A batch that the crew's threads make."""

    def __init__(self, feed: Feed, planned: Planned) -> None:
        self.planned = planned
        self._batch = feed._empty(len(planned))
        write = partial(feed._write, self._batch.numpy(), planned)
        handful = -(-len(planned) // (2 * feed.crew.most))
        parts = even_slices(len(planned), handful) if planned else []
        self.futures = [feed.crew.submit(write, part) for part in parts]

    def done(self) -> Tensor:
        for future in self.futures:
            future.result()
        return self._batch


class _InProcesses:
    """A batch that worker processes make in the memory that they share."""

    def __init__(self, feed: Feed, planned: Planned, team: Workers) -> None:
        self.planned = planned
        self.futures: list[Future[None]] = []
        self._feed, self._team = feed, team
        self._ticket = team.begin(feed.turn, planned)

    def done(self) -> Tensor:
        found = torch.from_numpy(self._team.end(self._ticket))
        if self._team.complaint:
            self._feed.store.note(self._team.complaint)
        if self._feed.crew.pinned and locked(self._team):
            return found
        return self._feed._empty(len(found)).copy_(found)


_Making = _InThreads | _InProcesses


def locked(team: Workers) -> bool:
    """Whether a CUDA device can fetch what lies in a team's memory by itself; tried once.

    Where the driver does not want it, batches are copied to pinned memory of torch's own.
    """
    if team.locked is None:
        unlock = page_lock(torch.from_numpy(team.memory))
        team.locked, team.unlock = unlock is not None, unlock or team.unlock
    return team.locked


def page_lock(memory: Tensor) -> Callable[[], None] | None:
    """Pin memory that torch has not allocated; how to undo it, or None where that cannot be done."""
    try:
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        where = memory.data_ptr()
        if int(runtime.cudaHostRegister(where, memory.nbytes, 0)) == 0:
            return partial(_unlock, runtime, where)
        torch.zeros(1, device="cuda").add_(1)  # takes the error with it, which would be the next launch's
    except (RuntimeError, AttributeError, AssertionError):
        pass
    return None


def _unlock(runtime: "object", where: int) -> None:
    torch.cuda.synchronize()  # a copy from there may be under way
    runtime.cudaHostUnregister(where)  # type: ignore[attr-defined]
