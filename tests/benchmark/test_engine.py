"""Works in processes beside this one: deaths, signals and what is told; none outlives who started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from painted import Listening
from works import Does, dies, greets, loses, refuses, saves

from vitbench.benchmark import beside
from vitbench.benchmark.engine import InTurn, Local
from vitbench.benchmark.engines import engine_for
from vitbench.errors import DeviceLostError, Interrupted, KilledError, UsageError
from vitbench.records.watch import Watch
from vitbench.training import signals


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that load no torch ahead: these works need none."""
    monkeypatch.setattr(beside, "LOADED", "vitbench.errors")


posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)
    return path.read_text()


@pytest.mark.slow
def test_works_follow_each_other_in_one_process_and_its_death_is_one_works_own() -> None:
    """Prints disturb nothing; a killed process and errors are told; a lost device is left to a new one."""
    watch = Listening()
    with Local(1) as engine:
        found = []
        for what in (greets, refuses, greets, dies, greets, loses, greets):
            engine.begin(Does(what.__name__, what, Path("here")), watch)
            assert engine.room == 0
            found.append(engine.wait())
    first, refused, second, killed, third, lost, fourth = found
    assert first.result == second.result != os.getpid()
    assert isinstance(refused.error, UsageError)
    assert str(refused.error) == "--epochs 0: no"
    assert isinstance(killed.error, KilledError)
    assert not killed.error.memory_ended
    assert "was killed by the system (SIGKILL), most likely because memory ran out" in str(killed.error)
    assert third.result != first.result
    assert isinstance(lost.error, DeviceLostError)
    assert fourth.result not in (first.result, third.result)
    assert watch.heard == [f"here: {sys.argv}"] * 4


def test_one_at_a_time_needs_no_other_process() -> None:
    """For a program that calls `vitbench.train`: here, errors as they are."""
    assert isinstance(engine_for(1, apart=False), InTurn)
    assert isinstance(engine_for(1, apart=True), Local)
    with engine_for(1, apart=False) as engine:
        engine.begin(Does("greets", greets), Watch())
        assert engine.wait().result == os.getpid()
        engine.begin(Does("refuses", refuses), Watch())
        assert isinstance(engine.wait().error, UsageError)


@pytest.mark.slow
@posix
def test_a_stop_lets_every_work_save(tmp_path: Path) -> None:
    """SIGTERM to this process: both save, nothing more begins, and Interrupted says how far each one is."""
    works = [Does(name, saves, tmp_path / name) for name in ("one", "hasty")]
    with signals.handling(), Local(2) as engine:
        for work in works:
            engine.begin(work, Watch())
        for work in works:
            wait_for(work.place.with_suffix(".pid"))
        os.kill(os.getpid(), signal.SIGTERM)
        assert engine.room == 0
        with pytest.raises(Interrupted) as stopped:
            engine.wait()
    assert stopped.value.signal == signal.SIGTERM
    assert sorted(stopped.value.saved.split("; ")) == ["hasty is saved", "one is saved"]


@pytest.mark.slow
@posix
def test_a_wish_to_save_is_passed_on_and_the_work_goes_on(tmp_path: Path) -> None:
    """SIGUSR1, as schedulers send it; and one work that is asked to stop by itself stops all."""
    work = Does("one", saves, tmp_path / "one")
    with signals.handling(), Local(1) as engine:
        engine.begin(work, Watch())
        pid = int(wait_for(tmp_path / "one.pid"))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert engine.room == 0  # looks, and passes it on
        deadline = time.monotonic() + 60
        while not (tmp_path / "one.again").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(Interrupted) as stopped:
            engine.wait()
    assert stopped.value.signal == signal.SIGTERM


@pytest.mark.slow
@posix
def test_nobody_outlives_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 on who started it: the process in the midst of its work ends too."""
    program = (
        "import sys; from pathlib import Path; from works import Does, saves; "
        "from vitbench.benchmark.engine import Local; from vitbench.records.watch import Watch\n"
        "with Local(1) as engine:\n"
        f"    engine.begin(Does('one', saves, Path({str(tmp_path / 'one')!r})), Watch())\n"
        "    engine.wait()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""), *sys.path])
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
    pid = int(wait_for(tmp_path / "one.pid"))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "arguments", [["train", "--help"], ["compare"], [], ["train", "photos"]], ids=" ".join
)
def test_only_what_trains_has_a_process_beside_it(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not help, the other commands, a program that calls `main`, or what torchrun has started."""
    started: list[str] = []
    monkeypatch.setattr(beside, "Process", lambda heard, *loading: started.append("one"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vitbench", *arguments])
    with beside.ready(arguments):
        assert beside.apart() == (arguments == ["train", "photos"])
        beside.spare()
    assert started == ["one"] * (arguments == ["train", "photos"])
    if started:
        monkeypatch.setenv("RANK", "0")
        with beside.ready(arguments):
            assert not beside.apart()
        monkeypatch.delenv("RANK")
        monkeypatch.setattr(sys, "orig_argv", ["pytest"])
        with beside.ready(arguments):
            assert not beside.apart()
