"""Writing beside the training: the next steps do not wait for it, and nothing that it meets is lost."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitbench import files
from vitbench.records import Benchmark
from vitbench.records.watch import Watch
from vitbench.training.saver import Saver

SECONDS = 60  # for what never takes so long


def refuse() -> None:
    raise OSError(errno.ENOSPC, "full", "epoch-0001.json")


def test_what_a_write_raises_comes_out_of_the_next_call() -> None:
    """Of `begin`, which then begins nothing; and again on leaving, so that nobody can pass over it."""
    saver, written = Saver(), []
    saver.begin(refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            saver.begin(lambda: written.append(1))
    with pytest.raises(OSError, match="full"):
        saver.__exit__(None, None, None)
    assert not written


def test_leaving_waits_and_raises() -> None:
    """The last write is on disk, or its error is heard, when training is over."""
    written: list[int] = []
    go_on = threading.Event()

    def slow() -> None:
        assert go_on.wait(SECONDS)
        written.append(1)

    with Saver() as saver:
        saver.begin(slow)
        saver.look()  # never waits
        assert not written
        go_on.set()
    assert written == [1]
    with pytest.raises(OSError, match="full"), Saver() as saver:
        saver.begin(refuse)


def test_what_went_wrong_first_counts() -> None:
    """An error of the training is not hidden by one of the writing behind it."""
    saver = Saver()
    saver.begin(refuse)
    with pytest.raises(ValueError, match="first"), saver:
        raise ValueError("first")


def test_steps_go_on_while_a_checkpoint_is_written(
    trained: Callable[..., Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write does not end before a step of the second epoch is done."""
    stepped = threading.Event()
    usual = files.write_bytes
    held: list[bool] = []

    class Steps(Watch):
        def step(self, epoch: int, *given: Any) -> None:
            if epoch == 2:
                stepped.set()

    def held_up(path: Path, content: bytes) -> None:
        if path.name == "epoch-0001.safetensors":
            held.append(stepped.wait(SECONDS))
        usual(path, content)

    monkeypatch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
    monkeypatch.setattr(files, "write_bytes", held_up)
    trained(Steps())
    assert held == [True]
