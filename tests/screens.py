"""Screens that are stored under `tests/cli/screens/`; with VITBENCH_SCREENS=1 they are written anew."""

import os
from pathlib import Path

SCREENS = Path(__file__).parent / "cli" / "screens"


def compare_screen(name: str, text: str) -> None:
    """`text` is the screen that is stored under that name."""
    path = SCREENS / name
    if os.environ.get("VITBENCH_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
