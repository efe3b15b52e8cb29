"""Lines of text for a screen: broken between words, shortened at joints, drawn to scale."""

from rich.cells import cell_len

from vitbench.reports.html_cells import Axis
from vitbench.reports.lines import drawn, shortened, tabulated, wrapped
from vitbench.reports.screen import command_lines


def test_sentences_break_between_words_and_keep_the_percent_sign() -> None:
    """ "8 %" stays together; a name that is longer than the line breaks behind a joint."""
    assert [line.text for line in wrapped("a gap of 8 % shows", 11, "- ", "  ")] == [
        "- a gap of",
        "  8 % shows",
    ]
    assert [line.text for line in wrapped("vit_base_patch16.x", 12)] == ["vit_base_", "patch16.x"]
    assert max(cell_len(line.text) for line in wrapped("개와 고양이 " * 9, 20)) <= 20


def test_names_lose_their_middle_between_joints() -> None:
    """First word and as much of the end as fits; a short one is left alone."""
    assert shortened("vit_base_patch16_clip_224.openai_ft", 20) == "vit_…224.openai_ft"
    assert shortened("vit_base", 20) == "vit_base"
    assert cell_len(shortened("개" * 30, 20)) <= 20


def test_an_interval_is_drawn_on_its_axis() -> None:
    """From 20 to 80 of 0 to 100 % in eleven cells, the point at 50; none off the axis."""
    assert drawn(Axis(0.0, 1.0), 0.2, 0.5, 0.8, 11) == "  ├──●──┤"
    assert drawn(Axis(0.5, 1.0), 0.2, 0.3, 0.4, 11) == ""


def test_tables_end_with_their_last_word() -> None:
    """No spaces at a line's end, numbers set to the right."""
    lines = [
        line.text for line in tabulated(["a", "n"], [["x", "10"], ["yy", ""]], [False, True], [False] * 2)
    ]
    assert lines == ["a    n", "──────", "x   10", "yy"]


def test_a_long_command_is_joined_again_by_a_shell() -> None:
    """Broken before options, never inside a quoted name."""
    command = "vitbench train 'my photos/of the year' --models vit,swin,swinv2 --folds 5"
    lines = [line.text for line in command_lines("next:", command, 48)]
    assert max(map(len, lines)) <= 48
    assert "".join(lines).replace("\\    ", "") == f"next: {command}"
