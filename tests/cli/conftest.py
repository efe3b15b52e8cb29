"""The command line inside this process, in a folder whose name needs quotes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from painted import paint_folder

from vitbench.cli import main

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`call("train", …)` in a folder with a quote in its name: the exit status, and all that was printed."""
    place = tmp_path / "it's here"
    paint_folder(place / "my photos", 8)
    monkeypatch.chdir(place)

    def go(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["vitbench", *words])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out + said.err

    return go
