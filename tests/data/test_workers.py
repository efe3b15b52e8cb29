"""Worker processes: the bytes of threads, no torch, whatever ends them, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from odd_views import Every, Odd, Unwilling
from test_batches import joined, recipe

from vitbench.data import feed, workers
from vitbench.data.batches import train_batches
from vitbench.data.crew import Crew
from vitbench.data.feed import Feed
from vitbench.data.made import NO_STORE, LostPictureError, Views
from vitbench.data.prefetch import AHEAD
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.store import Store
from vitbench.data.views import LEVELS
from vitbench.data.workers import SLOTS, Workers, WorkersError
from vitbench.records import Split

PLAN = [[(0, 0), (1, 0), (2, 0)], [(3, 0), (0, 1)], [(1, 1)], [(2, 1), (3, 1), (0, 2)], [(1, 2), (2, 2)]]
"""Five batches of (picture, k)."""


@pytest.fixture
def crew() -> Iterator[Callable[[int], Crew]]:
    """`crew(2)`: one that has so many processes make everything."""
    made: list[Crew] = []

    def of(count: int) -> Crew:
        made.append(Crew(count, processes=True))
        made[-1].processes = count  # whatever the machine's cores
        return made[-1]

    yield of
    for one in made:
        one.close()


@pytest.fixture
def split(tmp_path: Path, classes: Callable[..., Path]) -> Split:
    """Two classes of 5 small pictures."""
    return split_images(scan_folder(classes(tmp_path / "data", {"cat": 5, "dog": 5})))


def fed(views: Odd, crew: Crew) -> list[list[list[int]]]:
    """The batches of `PLAN`: of each view its three bytes."""
    return [[row.tolist() for row in one[:, 0, 0]] for one in Feed(views, 7, NO_STORE, crew, PLAN).batches()]


EXPECTED = [[[index, k, 7] for index, k in batch] for batch in PLAN]


def own_processes() -> list[psutil.Process]:
    """Workers that this process has."""
    return [one for one in psutil.Process().children() if "vitbench.data.worker" in " ".join(one.cmdline())]


# --- what comes out -------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_give_the_bytes_that_threads_give(
    split: Split, tmp_path: Path, crew: Callable[[int], Crew]
) -> None:
    """Every level, two epochs, 0, 1 and 2 threads, 1 and 2 processes, with and without a store."""
    views = Every(tuple(Views.of(split, recipe(split, augment=level)) for level in LEVELS))
    plan = [[(100 * level + i, k) for i in range(len(split.train)) for k in (0, 1)] for level in range(6)]
    one, two, store = crew(1), crew(2), Store(str(tmp_path / "store"))
    ways = [(Crew(n, processes=False), NO_STORE) for n in (0, 1, 2)]
    ways += [(one, NO_STORE), (two, store), (Crew(0), store)]
    found = []
    for hands, kept in ways:
        turns = [Feed(views, turn, kept, hands, plan).batches() for turn in (1, 2)]
        found.append([batch.numpy().tobytes() for turn in turns for batch in turn])
        hands.in_words()
    assert all(other == found[0] for other in found[1:])
    assert len(set(found[0])) == 11  # of "none", both epochs show the same
    assert (one.who(), two.who()) == ("1 process", "2 processes")
    assert not one.complaint() + two.complaint()


@pytest.mark.slow
def test_a_trainings_batches_do_not_depend_on_who_makes_them(
    split: Split, crew: Callable[[int], Crew]
) -> None:
    """Images and labels, two epochs, one team."""
    two, spec = crew(2), recipe(split)
    for epoch in (1, 2):
        assert joined(train_batches(split, spec, epoch, two)) == joined(train_batches(split, spec, epoch))
    assert two.who() == "2 processes"


@pytest.mark.slow
def test_batches_come_in_order_from_one_team_over_epochs(crew: Callable[[int], Crew]) -> None:
    """Three epochs of one training are made by the same processes."""
    two = crew(2)
    pids = []
    for _ in range(3):
        assert fed(Odd(), two) == EXPECTED
        pids.append({one.pid for one in own_processes()})
    assert len(pids[0]) == 2
    assert pids[0] == pids[1] == pids[2]


@pytest.mark.slow
def test_a_batch_is_left_alone_until_the_second_after_it_is_asked_for() -> None:
    """So a copy to a device may be under way while the next batch is got."""
    team = Workers(Odd(), "", 1, 3)
    team.wait()
    tickets = [team.begin(7, PLAN[0]) for _ in range(SLOTS - 1)]
    first = team.end(tickets[0])
    kept = first.copy()
    tickets.append(team.begin(8, PLAN[3]))
    team.end(tickets[1])
    assert np.array_equal(first, kept)
    team.close()


@pytest.mark.slow
def test_a_worker_imports_neither_torch_nor_the_script_that_trains(crew: Callable[[int], Crew]) -> None:
    """Asked in the workers themselves: no torch, torchvision or timm is loaded, nor a second `__main__`."""
    third = {view[2] for batch in fed(Odd("modules"), crew(2)) for view in batch}
    assert third == {0}


@pytest.mark.slow
def test_views_are_made_in_other_processes(crew: Callable[[int], Crew]) -> None:
    """Both of them work, and this one does not."""
    third = {view[2] for batch in fed(Odd("pid"), crew(2)) for view in batch}
    assert third == {one.pid % 251 for one in own_processes()}
    assert os.getpid() % 251 not in third


@pytest.mark.slow
def test_where_there_is_no_memory_without_a_file(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: shared through a file whose name is gone at once."""
    monkeypatch.delattr(workers.os, "memfd_create", raising=False)
    monkeypatch.delattr(workers.os, "posix_fallocate", raising=False)
    two = crew(2)
    assert fed(Odd(), two) == EXPECTED
    assert not two.complaint()


def test_no_room_for_shared_memory(crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and threads do it."""

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers.os, "posix_fallocate", full, raising=False)
    two = crew(2)
    assert fed(Odd(), two) == EXPECTED
    assert "No space left on device" in two.complaint()


def test_a_program_with_python_inside_starts_itself_no_second_time(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `sys.executable` is no Python there are threads only."""
    monkeypatch.setattr(workers.sys, "executable", "/opt/photos/photos-app")
    one = crew(1)
    assert fed(Odd(), one) == EXPECTED
    assert "no Python" in one.complaint()


@pytest.mark.slow
def test_the_stores_complaint_reaches_the_user(
    split: Split, tmp_path: Path, crew: Callable[[int], Crew]
) -> None:
    """A store that cannot be written costs time, from a worker too, and it is said once."""
    (tmp_path / "store").write_text("not a folder")
    store = Store(str(tmp_path / "store"))
    found = joined(train_batches(split, recipe(split), 1, crew(2), store=store))
    assert found == joined(train_batches(split, recipe(split), 1))
    assert "cannot be kept" in store.complaint()
    assert store.complaint() == ""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [False, True])
def test_the_next_epoch_is_begun_while_the_last_batches_are_worked_on(
    split: Split, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch, processes: bool
) -> None:
    """So no epoch begins with waiting; what was begun is not made again, and nothing else comes out."""
    spec = recipe(split, epochs=3)
    usual = [joined(train_batches(split, spec, epoch)) for epoch in (1, 2, 3)]
    hands, begun = crew(2) if processes else Crew(2), list[int]()
    write = Feed._begun

    def counting(self: Feed, planned: Any) -> Any:
        begun.append(self.turn)
        return write(self, planned)

    monkeypatch.setattr(Feed, "_begun", counting)
    for epoch in (1, 2, 3):
        batches = train_batches(split, spec, epoch, hands)
        assert joined(next(batches) for _ in range(4)) == usual[epoch - 1]
        batches.close()  # type: ignore[attr-defined]
        assert begun.count(epoch) == 4
        assert begun.count(epoch + 1) == (AHEAD if epoch < 3 else 0)
    hands.close()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [False, True])
def test_what_was_begun_for_another_epoch_is_dropped(
    split: Split, crew: Callable[[int], Crew], processes: bool
) -> None:
    """Epoch 1, then 3, then 1 and 2 half-way, then 2: each is what it always is."""
    spec, hands = recipe(split, epochs=4), crew(2) if processes else Crew(2)
    for epoch, count in ((1, 4), (3, 4), (1, 2), (2, 3), (2, 4)):
        batches = train_batches(split, spec, epoch, hands)
        found = joined(next(batches) for _ in range(count))
        batches.close()  # type: ignore[attr-defined]
        reference = train_batches(split, spec, epoch)
        assert found == joined(next(reference) for _ in range(count))
    assert not hands.complaint()
    hands.close()


@pytest.mark.slow
def test_an_error_of_the_next_epoch_waits_for_it(crew: Callable[[int], Crew]) -> None:
    """What was begun too early to be right is told where it would have been without."""
    for hands in (Crew(2), crew(2)):
        views = Odd("late")
        coming = Feed(views, 2, NO_STORE, hands, PLAN)
        assert len(list(Feed(views, 1, NO_STORE, hands, PLAN).batches(lambda: coming))) == len(PLAN)  # noqa: B023
        with pytest.raises(LostPictureError):
            next(coming.batches())
        hands.close()


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("say", "said"), [("die", "signal 9"), ("memory", "MemoryError: no more")])
def test_a_worker_that_fails_changes_nothing(crew: Callable[[int], Crew], say: str, said: str) -> None:
    """One is killed, or has no memory, inside the first batch: threads make the rest, and it is said."""
    two = crew(2)
    assert fed(Odd(say), two) == EXPECTED
    complaint = two.complaint()
    assert said in complaint
    assert "threads prepare the pictures now" in complaint
    assert "\n" not in complaint
    assert not two.complaint()
    assert two.who() == "1 thread" or "threads" in two.who()
    assert not own_processes()


@pytest.mark.slow
def test_workers_that_cannot_start_are_done_without(crew: Callable[[int], Crew]) -> None:
    """An import error in a worker is told with its reason."""
    one = crew(1)
    assert fed(Unwilling(), one) == EXPECTED
    assert "ImportError: no module of that name here" in one.complaint()


@pytest.mark.slow
def test_killed_between_two_epochs(crew: Callable[[int], Crew]) -> None:
    """`kill -9` of one while nothing is under way: the next epoch is whole."""
    two = crew(2)
    assert fed(Odd(), two) == EXPECTED
    own_processes()[1].send_signal(signal.SIGKILL)
    assert fed(Odd(), two) == EXPECTED
    assert "signal 9" in two.complaint()


@pytest.mark.slow
def test_workers_leave_signals_to_the_training(crew: Callable[[int], Crew]) -> None:
    """What a terminal or a scheduler sends to all of a group ends no worker."""
    two = crew(2)
    assert fed(Odd(), two) == EXPECTED
    before = [one.pid for one in own_processes()]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
        for one in own_processes():
            if hasattr(signal, name):
                one.send_signal(getattr(signal, name))
        assert fed(Odd(), two) == EXPECTED, name
    assert [one.pid for one in own_processes()] == before
    assert not two.complaint()


@pytest.mark.slow
def test_an_error_comes_where_its_batch_would(crew: Callable[[int], Crew]) -> None:
    """A picture that is gone: the batches before come, then the error that threads raise."""
    plan = [[(0, 0)], [(1, 0)], [(2, 0)], [(3, 0)]]
    batches = Feed(Odd("lost"), 7, NO_STORE, crew(2), plan).batches()
    assert [int(next(batches)[0, 0, 0, 0]) for _ in range(2)] == [0, 1]
    with pytest.raises(LostPictureError, match=r"^red/00\.png: changed since the data were read"):
        next(batches)


@pytest.mark.slow
def test_a_file_that_is_gone_is_named(split: Split, crew: Callable[[int], Crew]) -> None:
    """The same line as with threads."""
    (split.root / split.train[0].path).unlink()
    said = []
    for makers in (crew(2), 2):
        with pytest.raises(LostPictureError) as error:
            list(train_batches(split, recipe(split), 1, makers))
        said.append(str(error.value))
    assert said[0] == said[1]
    assert split.train[0].path in said[0]


@pytest.mark.slow
def test_leaving_an_epoch_does_not_wait_for_what_is_under_way(crew: Callable[[int], Crew]) -> None:
    """Three batches of twenty seconds each are left within three; the next epoch has its own again."""
    one = crew(1)
    batches = Feed(Odd("slow"), 7, NO_STORE, one, [[(i, 0) for i in range(100)]] * 3).batches()
    assert one.hands(Odd("slow"), "", 100) is not None
    assert _left_after(1.0, batches) < 3
    assert fed(Odd(), one) == EXPECTED


def _left_after(seconds: float, batches: Iterator[torch.Tensor]) -> float:
    """Interrupt `next`, as Ctrl-C would: how many seconds later it is left."""
    rung = list[float]()

    def ring(number: int, frame: Any) -> None:
        rung.append(time.monotonic())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        return time.monotonic() - rung[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_closed_while_they_start() -> None:
    """Nobody waits for workers that are no longer wanted."""
    team = Workers(Odd(), "", 2, 3)
    team.close()
    assert not own_processes()
    with pytest.raises(WorkersError, match=r"they were ended|one of them ended, signal"):
        team.wait()


# --- nothing is left behind -----------------------------------------------------------------------

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from odd_views import Odd
from vitbench.data.workers import Workers
team = Workers(Odd({say!r}), "", 2, 50)
team.wait()
ticket = team.begin(1, [(i, 0) for i in range(50)])
print("ready", flush=True)
{end}
"""


def started(end: str, say: str = "") -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A script without `if __name__ == "__main__"` that has workers at work, and those."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), say=say, end=end)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    return process, workers


def runs(process: psutil.Process) -> bool:
    """Whether it is there, and not only waiting for somebody who asks how it ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "say"),
    [("SIGKILL", ""), ("SIGKILL", "slow"), ("SIGTERM", "slow"), ("SIGINT", "slow"), ("end", "")],
)
def test_no_process_and_no_memory_is_left_behind(how: str, say: str) -> None:
    """The parent is killed, interrupted or simply ends, workers idle or not: they are gone within seconds."""
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.exists() else set()
    process, workers = started("input()", say)
    if how != "end":
        process.send_signal(getattr(signal, how))
    process.communicate("\n", timeout=30)
    deadline = time.monotonic() + 4
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(runs, workers))
    assert not {one for one in shared.iterdir() if one not in before and "vitbench" in one.name}


@pytest.mark.slow
def test_a_closed_crew_has_no_processes(crew: Callable[[int], Crew]) -> None:
    """`close` ends them, and so does forgetting the crew."""
    two = crew(2)
    fed(Odd(), two)
    assert len(own_processes()) == 2
    two.close()
    assert not own_processes()
    team = Workers(Odd(), "", 1, 3)
    team.wait()
    del team
    assert not own_processes()


# --- pinned memory --------------------------------------------------------------------------------


class Runtime:
    """CUDA's, as far as it is asked here."""

    def __init__(self, status: int) -> None:
        self.status, self.told = status, list[str]()

    def cudaHostRegister(self, where: int, length: int, flags: int) -> int:  # noqa: N802
        self.told.append(f"register {length}")
        return self.status

    def cudaHostUnregister(self, where: int) -> int:  # noqa: N802
        self.told.append("unregister")
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("status", [0, 1])
def test_the_memory_is_pinned_where_the_driver_wants_it(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Then batches lie in it; else they are copied to torch's own. Simulated: there is no card."""
    runtime, pinned, empty = Runtime(status), list[bool](), torch.empty
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: runtime.told.append("synchronise"))

    def pinning(*given: Any, pin_memory: bool = False, **more: Any) -> torch.Tensor:
        pinned.append(pin_memory)
        return empty(*given, **more)

    monkeypatch.setattr(feed.torch, "empty", pinning)
    two = crew(2)
    two.pinned = True
    assert fed(Odd(), two) == EXPECTED
    two.close()
    if status:
        assert runtime.told == [f"register {SLOTS * 3 * 2 * 2 * 3}"]
        assert pinned == [True] * len(PLAN)
    else:
        assert runtime.told == [f"register {SLOTS * 3 * 2 * 2 * 3}", "synchronise", "unregister"]
        assert pinned == []
