"""Where the pages lie that the scripts beside this file write, and the rows that they are written from."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "results" / "evidence"


def kept_rows(record: Path) -> list[dict[str, Any]]:
    """Of a file with a JSON object a line; none where there is no file yet."""
    if not record.exists():
        return []
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines() if line.strip()]


def in_points(value: float, low: float, high: float) -> str:
    """ "+3.1 [-0.2, +6.4]": a difference of accuracies with its interval."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
