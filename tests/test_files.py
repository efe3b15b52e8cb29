"""CSV files that only grow: whole lines from many writers, and what a power cut may leave."""

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from vitbench.files import append_row, appended_rows, read_csv, write_csv

COLUMNS = ("writer", "number", "text")


def append_many(path: Path, writer: int, times: int) -> None:
    for number in range(times):
        append_row(path, COLUMNS, {"writer": writer, "number": number, "text": "x" * (37 * number % 211)})


@pytest.mark.slow
def test_two_processes_append_whole_lines(tmp_path: Path) -> None:
    """Two processes, a hundred rows each at the same time: one header, 200 whole rows in order."""
    path = tmp_path / "grown.csv"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_many, args=(path, writer, 100)) for writer in (1, 2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    rows = read_csv(path)
    assert len(rows) == 200
    for writer in ("1", "2"):
        assert [int(row["number"]) for row in rows if row["writer"] == writer] == list(range(100))
    assert appended_rows(path) == rows
    assert [one.name for one in tmp_path.iterdir()] == ["grown.csv"]


def test_a_process_that_comes_second_to_a_new_file_adds_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no file there: the second one's header is left away, the first one's row stays."""
    path = tmp_path / "new.csv"
    monkeypatch.setattr(Path, "exists", lambda self: False)
    for number in (1, 2):
        append_row(path, COLUMNS, {"writer": number, "number": 0, "text": ""})
    assert [row["writer"] for row in read_csv(path)] == ["1", "2"]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linking is refused, as on exFAT: the file begins with its header all the same."""

    def refuse(source: str, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    append_row(tmp_path / "new.csv", COLUMNS, {"writer": 1, "number": 0, "text": ""})
    assert (tmp_path / "new.csv").read_text() == "writer,number,text\n1,0,\n"


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    """Every way in which the last line can be cut: it is no row, neither before nor after the next append."""
    write_csv(tmp_path / "whole.csv", COLUMNS, [{"writer": 1, "number": 40, "text": "first"}])
    first = (tmp_path / "whole.csv").read_bytes()
    last = b"2,40,second\n"
    path = tmp_path / "torn.csv"
    for kept in range(len(last)):
        path.write_bytes(first + last[:kept])
        assert [row["text"] for row in appended_rows(path)] == ["first"], last[:kept]
        append_row(path, COLUMNS, {"writer": 3, "number": 1, "text": "third"})
        assert [row["text"] for row in appended_rows(path)] == ["first", "third"], last[:kept]


@pytest.mark.parametrize("left", [b"\0\0\0\n", b'"2,40\n', b"2,\xff\r,40\n", b"\n", b"2\n"])
def test_bytes_that_are_no_row_are_passed_over(tmp_path: Path, left: bytes) -> None:
    """Zeros, an open quote, broken UTF-8, an empty line: the rows around them are read."""
    path = tmp_path / "odd.csv"
    append_row(path, COLUMNS, {"writer": 1, "number": 1, "text": "before"})
    with path.open("ab") as stream:
        stream.write(left)
    append_row(path, COLUMNS, {"writer": 1, "number": 2, "text": "after"})
    assert [row["text"] for row in appended_rows(path)] == ["before", "after"]


def test_a_formula_is_escaped_and_comes_back(tmp_path: Path) -> None:
    """A cell that a spreadsheet would run is written as text, and read as it was."""
    path = tmp_path / "formula.csv"
    append_row(path, COLUMNS, {"writer": 1, "number": -1, "text": "=1+1"})
    assert path.read_text(encoding="utf-8") == "writer,number,text\n1,-1,'=1+1\n"
    assert appended_rows(path)[0]["text"] == "=1+1"


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    """Nothing was appended yet: no rows, no error."""
    assert appended_rows(tmp_path / "none.csv") == []
