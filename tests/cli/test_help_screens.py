"""Help, models, answers as printed at 80 and 120 columns; `VITBENCH_SCREENS=1 pytest …` writes them anew."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from rich.console import Console
from test_plan_screens import compare_screen

from vitbench.cli import main
from vitbench.cli.app import app
from vitbench.records import Answer
from vitbench.reports.answers_screen import answers_table

WIDTHS = (80, 120)


def commands() -> Iterator[str]:
    """Every command, "" the whole."""

    def walk(command: Any, name: str) -> Iterator[str]:
        yield name
        for word, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {word}".strip())

    yield from walk(typer.main.get_command(app), "")


Print = Callable[[str, int], str]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Print:
    """`printed("train --help", 80)`: what a command prints on so many columns."""

    def go(words: str, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("sys.argv", ["vitbench", *words.split()])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"

    return go


def check(name: str, text: str, width: int) -> None:
    """Nothing is wider than the screen, and it is the screen that is stored."""
    assert max(map(cell_len, text.splitlines())) <= width
    compare_screen(f"{name}-{width}.txt", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", list(commands()))
def test_help_of_every_command(command: str, width: int, printed: Print) -> None:
    """It opens with three things to type and fits in 55 lines."""
    text = printed(f"{command} --help", width)
    usage, what, examples = text.split("\n\n")[:3]
    assert usage.startswith(f"Usage: vitbench {command}".rstrip())
    assert what
    assert re.fullmatch(r"Examples:(\n  vitbench .*){3}", examples)
    assert len(text.splitlines()) <= 55
    check(f"help-{command.replace(' ', '-') or 'vitbench'}", text, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["train", "probe", "pretrain"])
def test_help_all_explains_what_help_names(command: str, width: int, printed: Print) -> None:
    """Every option that `--help` only names stands in a panel of `--help-all`, with its meaning."""
    text = printed(f"{command} --help-all", width)
    named = re.findall(r"(?<= )--[a-z-]+", printed(f"{command} --help", width).partition("\nMore, ")[2])
    assert len(named) > 15
    assert not [flag for flag in named if flag != "--help-all" and not re.search(rf"\n  {flag}\b", text)]
    check(f"help-all-{command}", text, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "words"), [("aliases", "models"), ("pattern", "models test_vit*")])
def test_models(name: str, words: str, width: int, printed: Print) -> None:
    """A line per model; what has no room is left out."""
    check(f"models-{name}", printed(words, width), width)


def answers(count: int, models: int) -> list[Answer]:
    """Pictures of roses and tulips; every seventh is disputed, every eleventh unsure, the last unreadable."""
    found = []
    for k in range(count):
        label = ("roses", "tulips")[k % 2]
        says = {
            f"model{m}-s0": (
                ("daisy" if k % 7 == 6 and m == models - 1 else label, 0.45 if k % 11 == 10 else 0.9),
            )
            for m in range(models)
        }
        broken = count > 1 and k == count - 1
        path = f"holiday/{label}/photo {k:03}.jpg"
        found.append(Answer(path, {} if broken else says, label, "truncated JPEG" if broken else ""))
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "count", "models", "lines"),
    [
        ("one-picture", 1, 2, 4),
        ("one-picture-twelve-models", 1, 12, 13),
        ("ten-pictures", 10, 3, 22),
        ("sixty-pictures", 60, 3, 23),
        ("sixty-pictures-twelve-models", 60, 12, 28),
    ],
)
def test_predict(name: str, count: int, models: int, lines: int, width: int) -> None:
    """Answers on 24 lines: the disputed pictures before the others, a line per model below."""
    asked = answers(count, models)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(answers_table(asked, list(asked[0].predictions), width, 24))
    text = "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"
    assert len(text.splitlines()) <= lines
    check(f"predict-{name}", text, width)
