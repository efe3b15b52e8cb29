"""The pages that a reader meets first: short enough to be read, and every link in them leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "data/README.md", "results/README.md", "results/LOG.md", "vitbench/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """What a page links to, inside the repository, is there."""
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not (folder / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    """A source file or an evidence page that a page names in its text is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:results/evidence|vitbench|tests)/[\w/]+\.\w+)`", text))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_is_an_invitation() -> None:
    """The first page has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_figures_of_the_reference_are_those_that_were_measured() -> None:
    """Each `score % [interval]` of the sentence that names the reference stands in its table."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"Two real networks.*?reference\.md", text, re.DOTALL)
    figures = re.findall(r"([\d.]+) % (\[[\d., ]+\])", sentence)
    page = (ROOT / "results/evidence/reference.md").read_text(encoding="utf-8")
    assert len(figures) == 2
    assert [figure for figure in figures if f"| {figure[0]} {figure[1]} |" not in page] == []
