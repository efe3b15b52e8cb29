"""The check for a machine with a GPU does not rot: it runs on a CPU, and its page says what was measured."""

import contextlib
import json
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from forked import Forked

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "tests" / "gpu" / "check.py")
QUICK = ("environment", "memory_ends", "limit", "graph", "compiled")
LONG = ("train", "predict", "resume", "end_to_end", "views", "attention", "repeatable", "processes", "probe")
LONG += ("together",)


def quickly(*words: str) -> None:
    """What the script does, all that it makes beside its record."""
    tempfile.tempdir = str(Path(words[-1]).parent)
    sys.argv = [SCRIPT, *words]
    warnings.simplefilter("ignore")
    runpy.run_path(SCRIPT, run_name="__main__")


def checked(out: Path, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The lines of some checks, on the CPU with a tiny model."""
    words = ["--device", "cpu", "--quick", "--only", ",".join(names), "--out", str(out)]
    if names == QUICK:
        with Forked(quickly, *words, cwd=out.parent) as process:
            assert process.wait(300) == 0
    else:
        command = [sys.executable, "-W", "ignore", SCRIPT, *words]
        subprocess.run(command, check=True, cwd=out.parent, capture_output=True)
    return [json.loads(line) for line in out.read_text().splitlines()]


def sound(lines: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """Each check left its line, none failed, and no figure is the text of an error."""
    assert {line["check"] for line in lines} == set(names)
    for line in lines:
        assert line.get("good", True), line
        assert "Error: " not in json.dumps(line), line


@pytest.mark.slow
def test_the_check_runs_on_a_cpu(tmp_path: Path) -> None:
    """What takes seconds: versions, the steps against their limit, and what needs a card passed over."""
    lines = checked(tmp_path / "check.jsonl", QUICK)
    sound(lines, QUICK)
    by_name = {line["check"]: line for line in lines}
    assert len(by_name["limit"]["test_vit bf16 4"]) == 3
    assert by_name["graph"]["test_vit bf16, equal weights"] is True
    assert by_name["compiled"]["skipped"] == "needs CUDA"


@pytest.mark.slow
def test_device_views_are_compared_on_a_cpu_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for the versions and one for plain torch; what differs would end it with 1."""
    script = str(ROOT / "tests" / "gpu" / "device_views.py")
    words = ["--device", "cpu", "--values", "50000", "--largest", "90", "--views", "2", "--seconds", "0"]
    monkeypatch.setattr(sys, "argv", [script, *words])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    with contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
    _, line = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["way"] == "torch"
    assert line["differ"] == 0 < line["values"]


@pytest.mark.slow
def test_all_of_the_check_runs_on_a_cpu(tmp_path: Path) -> None:
    """Trainings by the command line, kills, processes and probes too."""
    sound(checked(tmp_path / "check.jsonl", LONG), LONG)


@pytest.fixture
def write_page(tmp_path: Path) -> Any:
    """`write_page(lines)` is the page that they give."""

    def go(lines: list[dict[str, Any]]) -> str:
        record = tmp_path / "gpu.jsonl"
        record.write_text("".join(json.dumps(line) + "\n" for line in lines))
        subprocess.run([sys.executable, str(ROOT / "tests" / "evidence" / "gpu.py"), str(record)], check=True)
        return record.with_suffix(".md").read_text(encoding="utf-8")

    return go


def test_a_page_without_a_card_says_so(write_page: Any) -> None:
    """Neither no line nor a CPU's lines are figures of a GPU."""
    none = write_page([])
    assert "Not measured: no machine with a GPU was at hand." in none
    assert none == write_page([{"check": "environment"}, {"check": "limit", "vit bf16 32": [900, 1.0, 0]}])
    assert (
        none == (ROOT / "results" / "evidence" / "gpu.md").read_text(encoding="utf-8")
        or (ROOT / "results" / "evidence" / "gpu.jsonl").exists()
    )


def test_a_page_holds_the_lines(write_page: Any) -> None:
    """The card's name, each figure, and "not measured" where a check has no line."""
    page = write_page(
        [
            {"check": "environment", "gpu": "H100"},
            {"check": "limit", "seconds": 9, "vit bf16 32": [2900, 11.0, 700]},
        ]
    )
    assert "Measured on H100." in page
    assert "| vit bf16 32 | [2900, 11.0, 700] |" in page
    assert page.count("Not measured.") == 13
