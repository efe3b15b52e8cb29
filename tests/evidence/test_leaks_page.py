"""results/evidence/leaks.md says what the code of today does."""

from collections.abc import Callable
from pathlib import Path

import leaks
from pages import PAGES


def test_planted_copies(photos: Callable[[str], Path], tmp_path: Path) -> None:
    """Of 120 planted copies as many are found as the page says, all leaks listed, no pair false."""
    found, false, leaking, listed = leaks.planted(photos("flowers5"), tmp_path)
    page = (PAGES / "leaks.md").read_text(encoding="utf-8")
    for name, count in found.items():
        assert f"| {name} | {leaks.PLANTED} | {count} |" in page
    assert sum(found.values()) == 120
    assert (false, listed) == (0, leaking)
    assert f"Of {leaking} test pictures that show what train/ shows, {listed} are listed as leaks." in page
