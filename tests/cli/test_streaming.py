"""`predict` holds no answer that it has printed, unless something else is to be written of it."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vitbench.cli import predict as command
from vitbench.cli.options import Outputs
from vitbench.records import Answer, Benchmark


@pytest.mark.parametrize(("outputs", "most"), [(Outputs(as_json=True), 2), (Outputs(), 50)])
def test_answers_are_let_go_where_they_stream(
    outputs: Outputs, most: int, two_models: Benchmark, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With --json alone one or two are alive at a time; a table needs them all."""
    alive: list[int] = []
    given: list[weakref.ref[Answer]] = []

    def asked(*_: Any) -> Iterator[Answer]:
        for number in range(50):
            found = Answer(f"{number}.jpg", {"vit": (("cat", 0.9),)}, None, "broken" if number == 7 else "")
            given.append(weakref.ref(found))
            yield found
            if number % 10 == 9:
                gc.collect()
            alive.append(sum(one() is not None for one in given))

    monkeypatch.setattr(command, "ask", asked)
    paths = [str(tmp_path / f"{number}.jpg") for number in range(50)]
    status = command.predict_images(paths, str(two_models.folder), [], tmp_path, "cpu", 1, outputs)
    assert status == 3
    assert max(alive) <= most
    assert (max(alive) == 50) is (most == 50)
