"""Signals: the step is finished and saved, what follows is bit-equal, a second one stops at once."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vitbench.errors import Interrupted
from vitbench.files import read_csv, sha256_of
from vitbench.records import Benchmark, Run
from vitbench.records.watch import Watch
from vitbench.training import loop, signals

Trained = Callable[..., Benchmark]
TIMES = ("seconds", "images_per_second", "peak_memory_mb")
STRESSED: dict[str, Any] = {"drop_path": 0.2, "ema": 0.9, "micro_batch": 6, "epochs": 3}

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="a process cannot send itself these signals here"),
    pytest.mark.usefixtures("no_reports"),  # nothing here looks at them
]


class SignalAt(Watch):
    """Sends this process a signal at a step of an epoch, and keeps what is said."""

    def __init__(self, number: int, *at: tuple[int, int]) -> None:
        self.number, self.at = number, at
        self.heard: list[str] = []

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        if (epoch, step) in self.at:
            os.kill(os.getpid(), self.number)

    def message(self, text: str) -> None:
        self.heard.append(text)


def outcome(run: Run) -> tuple[str, list[dict[str, str]], bytes]:
    """sha256 of the weights, `epochs.csv` without times, `predictions.csv`."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_csv(run.folder / "epochs.csv")]
    return (
        sha256_of(run.model_folder / "model.safetensors"),
        rows,
        (run.folder / "predictions.csv").read_bytes(),
    )


def checkpoints(results: Path, name: str) -> list[str]:
    return sorted(path.stem for path in (results / name / "test_vit-s0" / "checkpoint").glob("epoch-*.json"))


@pytest.fixture(autouse=True)
def _ctrl_c_is_heeded() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a run with `STRESSED` settings comes to when nothing disturbs it."""
    from painted import TINY, paint_folder

    from vitbench.benchmark.train import train

    root = tmp_path_factory.mktemp("whole")
    asked = {**TINY, **STRESSED}
    benchmark = train(paint_folder(root / "coloured"), name="whole", results=root / "results", **asked)
    return outcome(benchmark.runs[0])


@pytest.mark.slow
@pytest.mark.parametrize("at", [(1, 1), (3, 3)], ids=["first-step", "last-step"])
def test_a_stop_inside_an_epoch_loses_no_step(
    trained: Trained, tmp_path: Path, whole: Any, at: tuple[int, int]
) -> None:
    """SIGTERM: that step is saved, and the resumed run ends with the same weights, rows and answers."""
    with pytest.raises(Interrupted, match=f"step {at[1]} of 3 of epoch {at[0]}") as stopped:
        trained(SignalAt(signal.SIGTERM, at), name="cut", **STRESSED)
    assert stopped.value.signal == signal.SIGTERM
    assert checkpoints(tmp_path / "results", "cut")[-1] == f"epoch-{at[0]:04d}-step-{at[1]:06d}"
    assert outcome(trained(name="cut", resume=True).runs[0]) == whole


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop at step 2 of 3 of epoch 2 of 3 there are 4 steps to do, not 6."""
    with pytest.raises(Interrupted):
        trained(SignalAt(signal.SIGINT, (2, 2)), name="cut", **STRESSED)
    steps = []
    usual = loop.train_step

    def counted(*given: Any) -> Any:
        steps.append(given)
        return usual(*given)

    monkeypatch.setattr(loop, "train_step", counted)
    trained(name="cut", resume=True)
    assert len(steps) == 4


@pytest.mark.slow
def test_a_stop_during_val_keeps_the_steps_of_the_epoch(
    trained: Trained, tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while val is answered does not wait for it: the epoch's training is saved, val comes again."""
    usual = loop.evaluate

    def interrupted(trainer: loop.Trainer, part: str, *report: Any) -> Any:
        if len(trainer.rows) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return usual(trainer, part, *report)

    monkeypatch.setattr(loop, "evaluate", interrupted)
    with pytest.raises(Interrupted, match="step 3 of 3 of epoch 2"):
        trained(name="cut", **STRESSED)
    monkeypatch.setattr(loop, "evaluate", usual)
    assert outcome(trained(name="cut", resume=True).runs[0]) == whole


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_a_notice_of_preemption_saves_and_goes_on(trained: Trained, tmp_path: Path, whole: Any) -> None:
    """SIGUSR1: a checkpoint at that step is said to be there, and the run ends as if nothing had been."""
    watch = SignalAt(signal.SIGUSR1, (2, 1))
    done = trained(watch, name="warned", **STRESSED)
    assert [text for text in watch.heard if "saved" in text] == [
        "test_vit-s0 is saved at step 1 of 3 of epoch 2"
    ]
    assert outcome(done.runs[0]) == whole


def steps_reached(between: float) -> list[str]:
    """How far a held-back step gets with two Ctrl-C, `between` seconds apart."""
    reached = []

    def step() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("after the first")
        time.sleep(between)
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("after the second")

    with pytest.raises(Interrupted), signals.handling(), signals.deferred():
        step()
    return reached


def test_a_second_signal_does_not_wait_for_the_step() -> None:
    """Held back, the first one waits; the second one raises there and then."""
    assert steps_reached(signals.TWICE_SECONDS + 0.05) == ["after the first"]


def test_one_ctrl_c_that_comes_twice_counts_once() -> None:
    """A launcher passes on what the terminal has sent too: the step still gets finished."""
    assert steps_reached(0) == ["after the first", "after the second"]


def test_handlers_are_put_back_and_a_program_keeps_its_own() -> None:
    """After a training the signals mean what they meant before; a program's own handler is not replaced."""

    def own(number: int, frame: Any) -> None:
        """Somebody else's."""

    before = signal.getsignal(signal.SIGINT)
    usual = signal.signal(signal.SIGTERM, own)
    try:
        with signals.handling():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_no_handler_off_the_main_thread(trained: Trained) -> None:
    """`vitbench.train` in a thread works, and leaves the signals of the program alone."""
    before = signal.getsignal(signal.SIGINT)
    during: list[Any] = []

    class Looking(Watch):
        def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
            during.append(signal.getsignal(signal.SIGINT))

    done: list[Benchmark] = []
    thread = threading.Thread(target=lambda: done.append(trained(Looking(), epochs=1)))
    thread.start()
    thread.join()
    assert done[0].runs[0].status == "finished"
    assert set(during) == {before}
