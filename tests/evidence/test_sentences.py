"""The page of all sentences is that of today's source."""

import pytest
import sentences
from pages import PAGES

from vitbench.narrative.advice import RULES

PAGE = PAGES / "sentences.md"


@pytest.mark.slow
def test_the_page_of_sentences_is_current() -> None:
    """`python tests/evidence/sentences.py` would write the page that is there."""
    assert sentences.page() == PAGE.read_text(encoding="utf-8")


def test_every_rule_of_advice_has_its_condition_on_the_page() -> None:
    """Each stands there with what it says of its evidence."""
    part = PAGE.read_text(encoding="utf-8").split("## narrative/advice.py")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    for rule in RULES:
        own = [row for row in rows if f"| `{rule.__name__}`: " in row]
        assert own, rule
        about = (rule.__doc__ or "").splitlines()[0]
        assert all(about in row and "| always |" not in row for row in own)
