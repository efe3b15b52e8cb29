"""The first screens as stored, and as short as promised; `VITBENCH_SCREENS=1 pytest …` writes them anew."""

import first_screens
import pytest
from rich.cells import cell_len
from screens import SCREENS, compare_screen

from vitbench.reports.lines import Line, plain


@pytest.mark.slow
@pytest.mark.parametrize("name", first_screens.BENCHMARKS)
def test_screens_are_those_that_are_written_down(name: str) -> None:
    """At 80 cells at most 24 lines for three models, one more for each further one; none too wide."""
    models, _ = first_screens.BENCHMARKS[name]
    for width, text in first_screens.texts(name).items():
        lines = text.splitlines()
        assert len(lines) <= 24 + max(0, models - 3), width
        assert max(map(cell_len, lines)) <= width
        assert lines == [line.rstrip() for line in lines]
        compare_screen(f"first-{name}-{width}.txt", text)


def test_a_terminal_without_such_characters_gets_others_of_the_same_width() -> None:
    """Intervals, ranges and rules in ASCII, column under column."""
    text = (SCREENS / "first-two-80.txt").read_text(encoding="utf-8")
    table = [Line(line) for line in text.splitlines()][3:10]
    told = plain(table, "ascii")
    assert all(line.text.isascii() for line in told)
    assert [len(line.text) for line in told] == [len(line.text) for line in table]
    assert plain(table, "utf-8") == table
