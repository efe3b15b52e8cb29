"""Every name that a file system allows survives every file that is written and read back."""

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vitbench import files
from vitbench.data.bad import list_bad
from vitbench.data.groups import _read_rows
from vitbench.data.walk import class_name
from vitbench.files import printable, quoted
from vitbench.records import BadFile, Predictions, Run, Split
from vitbench.records.commands import command
from vitbench.training.objectives.distillation import write_heads

ODD = (
    *(b"cat\r", b"\rcat", b"dog\nbig", b"a\r\nb", b"\n", b"\t", b" cat ", b"=1+1", b"'=1", b"-x"),
    *(b"@x", b"+x", b'say "cat", "dog"', b"'", b'"', b",", b"caf\xe9", b"\xff", b"a\\xffb", b"\\x5cxff"),
    *(b"\\", b"\\x5c", b"nan", b"inf", b"007", b"1e5", b"True", b"None", b"p_", b"p_cat", b"path"),
    *(b"fold", b"\x1b[31mred", b"a b"),
    *(name.encode() for name in ("\ufeffbom", "a\u2028b\u2029c\x85d", "\u202egpj", "אבג", "🔴", "은수")),
    *(name.encode() for name in ("e\u0301", "\ud7ff", "\U0010ffff", "a\u200db")),
    *(b"{0} %s $HOME `id`", b"<b>&amp;", b"\x7f", b"\x01", b"]]>", b"--models", b"~", b"*[?]", b"a" * 255),
)  # fmt: skip
"""Names as bytes, as a file system has them."""

NAMES = st.one_of(
    st.sampled_from(ODD),
    st.binary(min_size=1, max_size=24).filter(lambda name: not set(name) & set(b"\0/")),
    st.text(min_size=1, max_size=12)
    .map(lambda text: text.encode("utf-8", "replace").replace(b"\0", b"").replace(b"/", b""))
    .filter(bool),
).map(os.fsdecode)
"""What `os.listdir` says of names: text, in which bytes that are no UTF-8 are surrogates."""

quickly = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def classes_of(names: list[str]) -> tuple[str, ...]:
    """The classes that folders of these names make."""
    return tuple(sorted({class_name(Path(name)) for name in names}))


@pytest.mark.slow
@quickly
@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
@example([os.fsdecode(name) for name in ODD])
@example(["cat\r", "dog\r"])
def test_predictions_come_back(tmp_path: Path, names: list[str]) -> None:
    """predictions.csv, val_predictions.csv and heads.csv of classes and files so called, digit by digit."""
    classes = classes_of(names)
    paths = tuple(f"{name}/{name}.png" for name in names)
    labels = np.arange(len(paths)) % len(classes)
    probabilities = np.full((len(paths), len(classes)), 1 / len(classes))
    said = Predictions(classes, paths, labels, probabilities)
    said.write(tmp_path / "predictions.csv")
    read = Predictions.read(tmp_path / "predictions.csv")
    assert (read.classes, read.paths) == (classes, paths)
    assert np.array_equal(read.labels, labels)
    assert np.array_equal(read.probabilities, probabilities)
    write_heads(tmp_path / "heads.csv", said, {"both": labels})
    heads = Run(tmp_path).heads()
    assert [(row["path"], row["label"]) for row in heads] == [
        (path, classes[label]) for path, label in zip(paths, labels, strict=True)
    ]


@pytest.mark.slow
@quickly
@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
@example([os.fsdecode(name) for name in ODD])
def test_tables_of_pictures_come_back(tmp_path: Path, names: list[str]) -> None:
    """split.csv, leaks.csv, the list of bad files and the answers of predict hold each path and class."""
    paths = [f"{name}/{name}" for name in names]
    rows = [{"path": path, "class": class_name(Path(path).parent), "sha256": "0"} for path in paths]
    files.write_csv(tmp_path / "split.csv", Split.COLUMNS, rows)
    assert [(r["path"], r["class"]) for r in files.read_csv(tmp_path / "split.csv")] == [
        (r["path"], r["class"]) for r in rows
    ]
    groups = [(path, "g") for path in paths]
    files.write_csv(tmp_path / "g.csv", ["path", "group"], [{"path": p, "group": g} for p, g in groups])
    written = [row[0] for row in _read_rows(str(tmp_path / "g.csv"))]
    assert all(cell in files.cells(path) for cell, path in zip(written, paths, strict=True))
    listed = list_bad(tmp_path, [BadFile(path, name) for path, name in zip(paths, names, strict=True)])
    assert listed is not None
    assert [row["path"] for row in files.read_csv(Path(listed))] == paths
    Path(listed).unlink()


SCALARS = st.one_of(NAMES, st.integers(), st.booleans(), st.none())


@pytest.mark.slow
@quickly
@given(st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(NAMES, one), max_leaves=8))
@example([os.fsdecode(name) for name in ODD])
def test_json_comes_back(tmp_path: Path, value: object) -> None:
    """benchmark.json, recipe.json, config.json and the rest: the names in them are the names."""
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    json.loads((tmp_path / "a.json").read_bytes())


@pytest.mark.slow
@quickly
@given(st.lists(st.lists(NAMES, min_size=2, max_size=4), min_size=1, max_size=5))
def test_other_readers_see_the_same_table(tmp_path: Path, table: list[list[str]]) -> None:
    """A plain csv reader finds as many rows and cells, whatever line ends stand in the cells."""
    columns = [f"c{i}" for i in range(4)]
    files.write_csv(tmp_path / "a.csv", columns, [dict(zip(columns, row, strict=False)) for row in table])
    text = (tmp_path / "a.csv").read_bytes().decode("utf-8")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [len(row) for row in read] == [4] * (len(table) + 1)
    assert text.endswith("\n")


@given(NAMES)
@example("a\\xffb")
@example("\\x5cxff")
def test_a_spelled_name_is_undone(name: str) -> None:
    """Bytes that are no UTF-8 are spelled in a table; what looks like such a spelling is told apart."""
    assert files.named(files.spelled(name)) == name
    files.spelled(name).encode("utf-8")


@pytest.mark.parametrize("name", ["a\x1fb", "it's\n\\here", "plain", "my photos", "\u202etxt.exe"])
def test_a_printed_command_shows_no_control_character_and_names_the_place(name: str) -> None:
    """What bash makes of the word is the name; a terminal is shown none of what would steer it."""
    word = quoted(name)
    assert printable(word) == word
    if shutil.which("bash"):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env=env)
        assert said.stdout.decode() == name
    assert printable(command("data check", name)) == command("data check", name)
