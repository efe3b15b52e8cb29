"""results/evidence/leaks.md says what the code of today does."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """results/evidence/leaks.py as a module."""
    monkeypatch.syspath_prepend(str(EVIDENCE))
    monkeypatch.delitem(sys.modules, "leaks", raising=False)
    import leaks

    return leaks


def test_planted_copies(script: ModuleType, photos: Callable[[str], Path], tmp_path: Path) -> None:
    """Of 120 planted copies as many are found as the page says, all leaks listed, no pair false."""
    found, false, leaking, listed = script.planted(photos("flowers5"), tmp_path)
    page = (EVIDENCE / "leaks.md").read_text(encoding="utf-8")
    for name, count in found.items():
        assert f"| {name} | {script.PLANTED} | {count} |" in page
    assert sum(found.values()) == 120
    assert (false, listed) == (0, leaking)
    assert f"Of {leaking} test pictures that show what train/ shows, {listed} are listed as leaks." in page
