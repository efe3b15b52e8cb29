"""The page of all sentences is that of today's source."""

import subprocess
import sys
from pathlib import Path

from vitbench.comparison.advice import RULES

EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"
PAGE = EVIDENCE / "sentences.md"


def test_the_page_of_sentences_is_current() -> None:
    """`python results/evidence/sentences.py` would write the page that is there."""
    start = f"import sys; sys.path.insert(0, {str(EVIDENCE)!r}); import sentences"
    code = f"{start}; print(sentences.page(), end='')"
    command = [sys.executable, "-X", "utf8", "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert printed == PAGE.read_text(encoding="utf-8")


def test_every_rule_of_advice_has_its_condition_on_the_page() -> None:
    """Each stands there with what it says of its evidence."""
    part = PAGE.read_text(encoding="utf-8").split("## advice.py")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    for rule in RULES:
        own = [row for row in rows if f"| `{rule.__name__}`: " in row]
        assert own, rule
        about = (rule.__doc__ or "").splitlines()[0]
        assert all(about in row and "| always |" not in row for row in own)
