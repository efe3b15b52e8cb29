"""Where the pages lie that the scripts beside this file write."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "results" / "evidence"
