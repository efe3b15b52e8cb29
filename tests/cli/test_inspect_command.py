"""`vitbench inspect` as typed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.cli import main
from vitbench.records import Benchmark

Inspecting = Callable[..., int]


@pytest.fixture
def benchmark(two_models: Benchmark, tmp_path: Path) -> Benchmark:
    """A copy of `two_models`, to write into."""
    place = tmp_path / "results" / two_models.name
    shutil.copytree(two_models.folder, place)
    return Benchmark(place)


@pytest.fixture
def inspecting(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> Inspecting:
    """`inspecting(WORDS…)`: the exit status of `vitbench inspect WORDS…`, on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def go(*words: str) -> int:
        results = str(benchmark.folder.parent)
        monkeypatch.setattr("sys.argv", ["vitbench", "inspect", *words, "--results", results])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return go


def test_the_newest_benchmark_is_looked_into_and_said_on_stderr(
    benchmark: Benchmark, inspecting: Inspecting, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout: at most 24 lines of 80 columns, the last says where everything is."""
    assert inspecting() == 0
    out, err = capsys.readouterr()
    assert "looking into two, the newest finished benchmark" in err
    *lines, last = out.splitlines()
    assert len(lines) < 24
    assert all(len(line) <= 80 for line in lines)
    assert str(benchmark.folder / "inspect") in last
    assert (benchmark.folder / "inspect" / "distance.csv").exists()
    for run in benchmark.runs:  # a look at test pictures is counted
        assert [look.by for look in run.evaluations()] == ["train", "inspect"]


@pytest.mark.slow
def test_json_holds_every_frame_and_an_unreadable_picture_makes_the_status_3(
    benchmark: Benchmark, inspecting: Inspecting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One picture of two cannot be read: done in part."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    good = next(Path(benchmark.manifest["data"]).rglob("*.png"))
    assert inspecting("two", str(good), str(broken), "--json") == 3
    found = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in found["distance"]} == {"test_vit-s0"}
    assert [row["path"] for row in found["pictures"]] == [str(good)]
