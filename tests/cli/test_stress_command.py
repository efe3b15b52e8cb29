"""`vitbench stress` as typed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.cli import main
from vitbench.records import Benchmark

Stressing = Callable[..., int]


@pytest.fixture
def stressing(two_models: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stressing:
    """`stressing(WORDS…)`: the exit status of `vitbench stress WORDS…`, on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    results = tmp_path / "results"
    shutil.copytree(two_models.folder, results / two_models.name)

    def go(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["vitbench", "stress", *words, "--results", str(results)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return go


@pytest.mark.slow
def test_the_answer_comes_first_and_the_page_last(
    stressing: Stressing, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 80 columns; json holds every frame."""
    assert stressing("--corruptions", "jpeg,contrast", "--severities", "3", "--shifts", "1") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "of its accuracy under 2 kinds of damage" in " ".join(lines[:3])
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].startswith("page: ")
    assert "two, the newest finished benchmark" in err
    assert stressing("two", "--corruptions", "jpeg", "--severities", "3", "--shifts", "none", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["corruption"] for row in found["accuracy"]} == {"clean", "jpeg"}
    assert found["shifts"] == []


def test_a_slip_is_one_line(stressing: Stressing, capsys: pytest.CaptureFixture[str]) -> None:
    """A corruption that there is not; nothing at all."""
    assert stressing("--corruptions", "fog") == 2
    assert "--corruptions fog: no such corruption; there are gaussian" in capsys.readouterr().err
    assert stressing("--corruptions", "none", "--shifts", "none") == 2
    assert "nothing to look at" in capsys.readouterr().err
