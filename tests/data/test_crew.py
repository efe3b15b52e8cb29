"""Threads or processes: what is measured decides, and only where there is something to gain."""

import pytest
from odd_views import Odd

from vitbench.data import crew, prefetch
from vitbench.data.crew import Crew, Trial


class Team:
    """Stands for worker processes that are ready at once."""

    def __init__(self, *given: object) -> None:
        self.ready, self.closed, self.busy = True, False, False
        teams.append(self)

    def serves(self, *given: object) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


teams: list[Team] = []


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    teams.clear()
    monkeypatch.setattr(prefetch, "cores", lambda: 16)
    monkeypatch.setattr(crew, "cores", lambda: 16)
    monkeypatch.setattr(crew, "Workers", Team)


def trained(hands: Crew, batches: int, threads: float, processes: float, waiting: float) -> list[bool]:
    """Seconds of a batch by either, of which so large a part is waiting: who made each batch."""
    made = []
    for _ in range(batches):
        there = hands.hands(Odd(), "", 4) is not None
        made.append(there)
        seconds = processes if there else threads
        hands.count(waiting * seconds, (1 - waiting) * seconds)
    return made


@pytest.mark.parametrize(("processes", "kept"), [(0.5, True), (0.98, False), (2.0, False)])
def test_on_a_card_the_faster_is_kept(processes: float, kept: bool) -> None:
    """Threads begin; processes are tried once; afterwards it stays as it is."""
    hands = Crew(None, accelerated=True)
    made = trained(hands, 200, 1.0, processes, 0.0)
    assert not any(made[: crew.BATCHES])
    assert any(made)
    assert made[-1] is kept
    assert made[100:] == [kept] * 100
    assert hands.who() == ("12 processes" if kept else "1 thread")
    assert [team.closed for team in teams] == [not kept]


def test_what_a_slower_team_is_about_is_not_made_twice() -> None:
    """It is ended when its last batch was fetched, not before."""
    hands = Crew(None, accelerated=True)
    made = trained(hands, 40, 1.0, 2.0, 0.0)
    teams[0].busy = True
    trained(hands, 100, 1.0, 2.0, 0.0)
    assert made[-1]
    assert not teams[0].closed
    teams[0].busy = False
    assert hands.hands(Odd(), "", 4) is None
    assert teams[0].closed
    assert len(teams) == 1


def test_on_a_cpu_whose_threads_keep_up_none_is_started() -> None:
    """No waiting: nothing to gain."""
    assert not any(trained(Crew(None), 400, 1.0, 0.1, 0.0))
    assert not teams


def test_on_a_cpu_processes_are_tried_where_all_threads_are_waited_for() -> None:
    """16 threads, and still half of the time is waiting."""
    hands = Crew(None)
    made = trained(hands, 300, 1.0, 0.6, 0.5)
    assert made[-1]
    first = made.index(True)
    assert first > crew.STUCK * prefetch.WINDOW  # not before all threads were there
    assert hands.workers == 16


@pytest.mark.parametrize(("workers", "most"), [(0, 0), (1, 1), (5, 5), (None, 12), (40, 12)])
def test_no_more_processes_than_threads_were_asked_for(workers: int | None, most: int) -> None:
    """Two of sixteen cores are left to the training; `--workers 0` means its own thread."""
    assert Crew(workers).processes == most


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (4, 2), (16, 12), (128, 12)])
def test_at_least_one(monkeypatch: pytest.MonkeyPatch, cores: int, most: int) -> None:
    """Cores − 2, from 1 to 12."""
    monkeypatch.setattr(crew, "cores", lambda: cores)
    assert Crew(None).processes == most


def test_what_is_cold_is_not_compared_with_what_is_warm() -> None:
    """An epoch that decodes its pictures gets faster by itself: the trial waits until threads are steady."""
    trial = Trial()
    for batch in range(160):
        trial.note(5.0 - 0.03 * batch)
        assert batch < 2 * crew.BATCHES - 1 or trial.threads is None or batch > 60
    cold = Trial()
    for seconds in [4.0] * 16 + [2.0] * 16 + [1.0] * 16:
        cold.note(seconds)
    assert cold.threads is None
    for _ in range(16):
        cold.note(1.0)
    assert cold.threads == 1.0


def test_a_checkpoint_in_a_window_decides_nothing() -> None:
    """The quarter of the batches that took longest is left out."""
    trial = Trial()
    for seconds in ([1.0] * 15 + [60.0]) * 2:
        trial.note(seconds)
    assert trial.threads == 1.0


def test_cores_are_those_that_a_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler gives a job 8 of 64; of four processes that torchrun starts here, each has two."""
    monkeypatch.undo()
    monkeypatch.setattr(prefetch.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(prefetch.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert prefetch.cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert prefetch.cores() == 2
