"""The simulation behind results/evidence/statistics.md still runs with the functions of today."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES

SCRIPT = Path(__file__).with_name("simulate_statistics.py")


@pytest.mark.slow
def test_the_simulation_runs_and_fills_the_page_that_is_committed() -> None:
    """A tiny run has the sections and the rows of the page, and leaves the page alone."""
    page = (PAGES / "statistics.md").read_text(encoding="utf-8")
    command = [sys.executable, str(SCRIPT), "--quick"]
    printed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert _headings(printed) == _headings(page)
    assert _judged(printed) == _judged(page)
    assert (PAGES / "statistics.md").read_text(encoding="utf-8") == page


def test_the_committed_page_misses_no_target() -> None:
    """Every row says whether its target is met, and says yes."""
    page = (PAGES / "statistics.md").read_text(encoding="utf-8")
    met = [row.split("|")[-2].strip() for row in page.splitlines() if _has_target(row)]
    assert len(met) > 20
    assert set(met) == {"yes"}


def _headings(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("#")]


def _judged(page: str) -> list[str]:
    """What has a target."""
    return [row.split("|")[1].strip() for row in page.splitlines() if _has_target(row)]


def _has_target(row: str) -> bool:
    return any(f"| {what} {sign}" in row for what in ("mean", "each cell") for sign in "≥≤")
