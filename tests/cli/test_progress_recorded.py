"""Progress as it is seen, from whole commands: in a terminal, in a pipe, in a notebook."""

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyte
import pytest
from painted import paint_folder
from screens import compare_screen

from vitbench.cli import main

Call = Callable[..., tuple[int, str]]
TRAIN = (
    "train", "my photos", "--models", "test_vit,test_efficientnet", "--weights", "random", "--no-probe",
    "--image-size", "32", "--epochs", "3", "--per-class", "12", "--batch-size", "12", "--workers", "0",
    "--name", "seen", "--device", "cpu",
)  # fmt: skip


def steady(text: str) -> str:
    """Without what is measured or learned, and without the columns that it moves."""
    text = re.sub(r"(left|all):? \d+(\.\d)? (s|min|h)\b", r"\1 TIME", text)
    text = re.sub(r"[▁▂▃▄▅▆▇█]", "▅", text)
    text = re.sub(r"[;,]? +\d+(\.\d)? (s|min|h)\b( left)?", "", text)
    text = re.sub(r"(epoch )?(\d/\d)( +\d+%)?", r"\2", text)
    text = re.sub(r"(loss|val|top-1) +\d+\.\d+", r"\1 0.0", text)
    text = re.sub(r"\d+ (img|images)/s", "N images/s", text)
    text = re.sub(r"\d+ of (\d+) test pictures", r"N of \1 test pictures", text)
    text = re.sub(r"on \S+ CPU, \d+ threads?", "on this CPU", text)
    return re.sub(r" {2,}", "  ", text.replace(" (best so far)", ""))


# --- a terminal ------------------------------------------------------------------------------------


def in_terminal(
    words: Sequence[str], place: Path, stop_at: bytes = b"", *, forked: bool = False
) -> tuple[int, list[str], str]:
    """A command's exit status, every screen that it drew in a terminal of 80 × 24, and all it wrote there.

    `stop_at`: what it has to print for Ctrl-C to be pressed. `forked`: in a fork of this process, which need
    not load torch anew.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        for key in ("COLUMNS", "LINES", "NO_COLOR"):
            os.environ.pop(key, None)
        os.environ |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"}
        if forked:
            os._exit(_status_of(words))
        os.execv(sys.executable, [sys.executable, "-m", "vitbench", *words])
    shown = b""
    while part := _read(terminal):
        shown += part
        if stop_at and stop_at in shown:
            stop_at = b""
            os.write(terminal, b"\x03")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return status, list(_screens(shown)), shown.decode()


def _status_of(words: Sequence[str]) -> int:
    """The exit status of a command in this process, its streams those of the terminal."""
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, buffering=1, encoding="utf-8", closefd=False)
        for number, mode in enumerate("rww")
    )
    sys.argv = ["vitbench", *words]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001  # seen on the last screen
        traceback.print_exc()
        return 1
    return 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux, where the other side has ended
        return b""


def _screens(shown: bytes) -> Iterator[str]:
    """What stood on the screen before each redraw, and in the end."""
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    for drawn in re.split(rb"(?=\r\x1b\[2K)", shown):
        stream.feed(drawn)
        yield "\n".join(line.rstrip() for line in screen.display).strip("\n") + "\n"


def first(screens: Sequence[str], *words: str) -> str:
    """The first screen with all of these, from the first run's line on."""
    found = next(one for one in screens if all(re.search(word, one) for word in words))
    return found[found.index("test_vit-s0") :]


@pytest.mark.slow
def test_a_terminal_shows_a_line_per_run_with_its_curve(tmp_path: Path) -> None:
    """Two models: the first under way, the second beside the first's result, both at the end of it."""
    paint_folder(tmp_path / "my photos", 8)
    status, screens, _ = in_terminal(TRAIN, tmp_path, forked=True)
    assert status == 0, screens[-1]
    seen = [
        first(screens, r"test_vit-s0 +[▁-█]{2} .*2/3", "0 of 2 ended"),
        first(screens, r"test_efficientnet-s0 +[▁-█]{3} .*3/3", "1 of 2 ended"),
        first(screens, "2 of 2 ended", "comparing, writing the report"),
    ]
    assert max(len(line) for one in seen for line in one.splitlines()) <= 80
    compare_screen("progress-terminal.txt", "~~~\n".join(map(steady, seen)))


@pytest.mark.slow
def test_a_terminal_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C in the second model: one line with a command; that shows the first as finished."""
    paint_folder(tmp_path / "my photos", 8)
    # Longer than this process needs to see that it has begun.
    place = TRAIN.index("--per-class") + 1
    longer = (*TRAIN[:place], "48", *TRAIN[place + 1 :])
    status, screens, written = in_terminal(longer, tmp_path, b"test_efficientnet-s0  ")
    assert status == 128 + signal.SIGINT, screens[-1]
    (line,) = re.findall(r"vitbench: stopped; [^\r\n]*", written)
    (way_on,) = re.findall(r"`vitbench (.*?)` goes on", line)
    assert way_on == "train --resume --name seen"
    again, resumed, _ = in_terminal(way_on.split(), tmp_path)
    assert again == 0
    seen = [
        re.sub(r"stopped; .*?;", "stopped; …;", line) + "\n",
        first(resumed, "finished already", "1 of 2 ended"),
    ]
    compare_screen("progress-terminal-resumed.txt", "~~~\n".join(map(steady, seen)))


# --- a pipe ----------------------------------------------------------------------------------------


def test_a_pipe_has_a_line_per_epoch(call: Call) -> None:
    """No escape codes; each run's epochs, and how it ended."""
    status, said = call(*TRAIN)
    assert status == 0
    assert "\x1b" not in said
    lines = [line for line in said.splitlines() if re.match(r"test_\w+-s0: ", line)]
    compare_screen("progress-pipe.txt", steady("".join(f"{line}\n" for line in lines)))


# --- a notebook ------------------------------------------------------------------------------------

CELL = """
import warnings; warnings.simplefilter("ignore")
import vitbench
benchmark = vitbench.train(
    "my photos", models=("test_vit", "test_efficientnet"), weights=("random",), with_probe=False,
    image_size=32, epochs=3, per_class=12, workers=0, device="cpu", name="seen",
)
"""


@pytest.mark.slow
def test_a_notebook_shows_one_table_that_is_redrawn(tmp_path: Path) -> None:
    """Executed by nbclient: one output of the cell, updated many times, in HTML and as plain text."""
    import nbformat
    from nbclient import NotebookClient

    paint_folder(tmp_path / "my photos", 8)
    redrawn = []

    class Counting(NotebookClient):
        def process_message(self, message: Any, *more: Any) -> Any:
            redrawn.extend([1] * (message["msg_type"] == "update_display_data"))
            return super().process_message(message, *more)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    Counting(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [one for one in notebook.cells[0].outputs if one.output_type == "display_data"]
    assert len(outputs) == 1
    assert len(redrawn) > 6
    assert "\x1b" not in str(notebook)
    plain, page = outputs[0].data["text/plain"], outputs[0].data["text/html"]
    assert page.count("<tr>") == 2
    compare_screen("progress-notebook.txt", steady(f"{plain[plain.index('test_vit-s0') :]}\n"))
