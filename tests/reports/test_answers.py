"""The answers of `predict`: on a screen, as JSON and CSV, as one sheet."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console

from vitbench import files
from vitbench.errors import UnreadableImageError, UsageError
from vitbench.records import Answer
from vitbench.reports import sheet
from vitbench.reports.answers import answer_json, write_answers
from vitbench.reports.answers_screen import answers_table, summary
from vitbench.reports.sheet import write_sheet

RUNS = ["vit-s0", "swin-s0"]


def answer(path: str, vit: tuple[str, float], swin: tuple[str, float], label: str | None = None) -> Answer:
    other = ("other", 0.01)
    return Answer(path, {"vit-s0": (vit, other), "swin-s0": (swin, other)}, label)


AGREED = answer("p/a.jpg", ("roses", 0.97), ("roses", 0.8), "roses")
DISPUTED = answer("p/b.jpg", ("roses", 0.97), ("장미", 0.41), "roses")
BROKEN = Answer("p/c.jpg", {}, error="truncated JPEG")


def shown(answers: list[Answer], width: int = 100) -> str:
    console = Console(width=width, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(answers_table(answers, RUNS))
    return console.export_text()


def test_each_run_has_class_and_percent() -> None:
    """One row per picture with "class 97 %" per run; nothing is marked where all agree and are sure."""
    text = shown([AGREED])
    assert "roses 97 %" in text
    assert "roses 80 %" in text
    assert not {"≠", "?", "✗"} & set(text)


def test_disagreement_and_doubt_are_marked_and_explained() -> None:
    """≠ before the picture, ? behind an answer under 50 %, ✗ behind a wrong one, each in the legend."""
    text = shown([AGREED, DISPUTED])
    assert "≠ b.jpg" in text
    assert "장미 41 % ? ✗" in text
    assert "≠ the models disagree (1 of 2)" in text
    assert "? less than 50 % sure (1 of 2)" in text


def test_unreadable_picture_keeps_a_row() -> None:
    """It is called unreadable where the answers would be; the reason stands below."""
    lines = [line.split() for line in shown([AGREED, BROKEN]).splitlines()]
    assert ["c.jpg", "unreadable", "unreadable"] in lines
    assert ["c.jpg:", "truncated", "JPEG"] in lines


def test_labelled_pictures_are_scored_with_an_interval() -> None:
    """swin is right on one of two: Wilson [9.5, 90.5]; pictures without a label or answer do not count."""
    no_label = answer("x.jpg", ("roses", 0.9), ("roses", 0.9))
    lines = summary([AGREED, DISPUTED, BROKEN, no_label], RUNS)
    assert lines[1] == "swin-s0  1 of 2 right, 50 % [9, 91]     1 unsure  roses 2, 장미 1"
    assert summary([no_label, no_label], RUNS) == ["vit-s0   roses 2", "swin-s0  roses 2"]


def test_trained_on_pictures_are_marked_and_not_counted() -> None:
    """Seen in train or val: out of the score, and said; seen in test: counted, and said."""
    seen = [dataclasses.replace(AGREED, path=f"p/{part}.jpg", seen=part) for part in ("train", "val", "test")]
    lines = summary([*seen, DISPUTED], RUNS)
    assert lines[1].startswith("swin-s0  1 of 2 right, 50 % [9, 91]")
    assert lines[3:] == [
        "1 of 2 are the benchmark's own test pictures",
        "2 of 4 labelled pictures were trained on or chosen by: not counted",
    ]
    text = shown([*seen, DISPUTED])
    assert all(f"{part}.jpg ({part})" in text for part in ("train", "val", "test"))
    assert "b.jpg (" not in text
    assert [json.loads(answer_json(one))["seen"] for one in (seen[0], DISPUTED)] == ["train", None]


def test_all_asked_for_answers_are_shown(tmp_path: Path) -> None:
    """Three answers of vit and one of swin: all in the table, a pair of columns each in the CSV."""
    three = (("cat", 0.71), ("dog", 0.2), ("fox", 0.05))
    found = Answer("a.jpg", {"vit-s0": three, "swin-s0": (("cat", 0.9),)})
    assert "cat 71 %, dog 20 %, fox 5 %" in shown([found])
    write_answers(tmp_path / "a.csv", [found, BROKEN])
    rows = files.read_csv(tmp_path / "a.csv")
    assert list(rows[0])[4:12] == [
        *("vit-s0", "vit-s0_probability", "vit-s0_2", "vit-s0_2_probability"),
        *("vit-s0_3", "vit-s0_3_probability", "swin-s0", "swin-s0_probability"),
    ]
    assert (rows[0]["vit-s0_3"], rows[0]["vit-s0_3_probability"], rows[1]["vit-s0_3"]) == ("fox", "0.05", "")


def test_table_fits_80_columns_with_wide_and_hostile_names() -> None:
    """Hangul counts as two cells; square brackets are text; bytes that are no text are spelled out."""
    bad = answer("/".join(["deep"] * 30) + "/[red]\udcff.jpg", ("개" * 30, 0.5), ("[bold]x", 0.5))
    text = shown([bad], 80)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "[bold]x" in text
    assert "[red]\\xff.jpg" in text.replace("\n", "").replace(" ", "")


def many(count: int, runs: int, disputed: tuple[int, ...]) -> list[Answer]:
    """Pictures for which all runs say roses; of some the last run says tulips."""
    names = [f"model{run}-s0" for run in range(runs)]
    return [
        Answer(
            f"p/{k:03}.jpg",
            {
                name: (("tulips" if k in disputed and name == names[-1] else "roses", 0.9), ("daisy", 0.05))
                for name in names
            },
        )
        for k in range(count)
    ]


def lines_of(answers: list[Answer], width: int, height: int | None) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(answers_table(answers, list(answers[0].predictions), width, height))
    return console.export_text().splitlines()


@pytest.mark.parametrize(("runs", "width"), [(2, 80), (12, 80), (12, 120), (40, 60)])
def test_nothing_is_folded_however_many_models(runs: int, width: int) -> None:
    """A column per model where they fit, a row per model where not; every answer whole."""
    text = lines_of(many(2, runs, ()), width, None)
    assert max(map(cell_len, text)) <= width
    assert "\n".join(text).count("roses 90 %") == 2 * runs
    assert ("model" in text[0].split()) == (runs > 2)


def test_disputed_pictures_come_first_where_there_are_more_than_a_screen() -> None:
    """100 pictures on 24 lines: 7 and 93, on which the models disagree, then 0, 1 …, as many as fit."""
    found = many(100, 2, (7, 93))
    text = lines_of(found, 80, 24)
    assert len(text) <= 23
    assert [line.split()[:2] for line in text[1:3]] == [["≠", "007.jpg"], ["≠", "093.jpg"]]
    assert text[3].split()[0] == "000.jpg"
    assert "… and 83 more, none of them disputed; --all prints every one" in text
    assert text[-2:] == ["model0-s0  roses 100", "model1-s0  roses 98, tulips 2"]
    assert len(lines_of(found, 80, None)) > 100
    assert "≠ 007.jpg" in lines_of(found, 80, None)[8]


def test_a_long_name_keeps_its_end_and_a_long_class_its_percent() -> None:
    """…/picture.jpg; a class name cut off before its percentage."""
    found = Answer("x/" + "deep" * 20 + "/picture.jpg", {"vit-s0": (("class" * 20, 0.97),)})
    other = Answer("y.jpg", {"vit-s0": (("cat", 0.97),)})
    text = "\n".join(lines_of([found, other], 80, None))
    assert "/picture.jpg" in text
    assert "… 97 %" in text


def test_common_folder_is_left_out_of_names() -> None:
    """Names start after the folder that all share; one picture alone is shown by its name."""
    assert "p/" not in shown([AGREED, DISPUTED])
    assert "p/" not in shown([AGREED])
    assert "a.jpg" in shown([AGREED])


def test_json_line_has_every_probability() -> None:
    """One line, keys as documented, class names readable, an error as a row without answers."""
    found = json.loads(answer_json(DISPUTED))
    assert found["answers"]["swin-s0"][0] == {"class": "장미", "probability": 0.41}
    assert (found["path"], found["label"], found["disputed"], found["unsure"]) == (
        "p/b.jpg",
        "roses",
        True,
        True,
    )
    assert "장미" in answer_json(DISPUTED)
    assert "\n" not in answer_json(DISPUTED)
    assert json.loads(answer_json(BROKEN))["error"] == "truncated JPEG"


def test_json_survives_names_that_are_not_text() -> None:
    """A file name that is not UTF-8 stays valid JSON and can be encoded."""
    line = answer_json(Answer("a\udcff.jpg", {}, error="x"))
    assert json.loads(line.encode())["path"] == "a\\xff.jpg"


def test_csv_and_json_files_hold_the_same_answers(tmp_path: Path) -> None:
    """Both formats, chosen by suffix, give back paths, classes and probabilities."""
    formula = answer("=cmd|x", ("=1+1", 0.6), ("=1+1", 0.7))
    for name in ("a.csv", "a.JSON"):
        write_answers(tmp_path / name, [AGREED, formula, BROKEN])
    rows = files.read_csv(tmp_path / "a.csv")
    assert [row["path"] for row in rows] == ["p/a.jpg", "=cmd|x", "p/c.jpg"]
    assert (rows[1]["vit-s0"], float(rows[1]["vit-s0_probability"])) == ("=1+1", 0.6)
    assert rows[2]["error"] == "truncated JPEG"
    assert "\n=cmd" not in (tmp_path / "a.csv").read_text()
    assert [one["path"] for one in json.loads((tmp_path / "a.JSON").read_text())] == [
        row["path"] for row in rows
    ]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    """.xlsx is wrong usage, and nothing is written."""
    with pytest.raises(UsageError, match=r"\.csv or \.json"):
        write_answers(tmp_path / "a.xlsx", [AGREED])
    with pytest.raises(UsageError, match=r"\.png"):
        write_sheet(tmp_path / "a.jpg", [AGREED], RUNS, lambda path: Image.new("RGB", (4, 4)))
    assert not list(tmp_path.iterdir())


def test_sheet_shows_every_photo_once(tmp_path: Path) -> None:
    """Each photo's colour lies in its own cell; a picture that cannot be loaded leaves a frame."""
    colours = {"r": (200, 0, 0), "g": (0, 200, 0)}

    def load(path: str) -> Image.Image:
        if path not in colours:
            raise UnreadableImageError("no")
        return Image.new("RGB", (40, 20), colours[path])

    three = [answer(p, ("개", 0.9), ("$\\frac{", 0.4)) for p in ("r", "g", "x")]
    write_sheet(tmp_path / "s.png", [*three, BROKEN], RUNS, load)
    with Image.open(tmp_path / "s.png") as page:
        pixels = np.asarray(page)
    for colour in colours.values():
        assert (pixels == colour).all(axis=2).sum() == sheet.PHOTO * sheet.PHOTO // 2


def test_sheet_prints_the_number_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the cap only the first photos are loaded, and the page says how many are missing."""
    loaded: list[str] = []
    written: list[str] = []

    def load(path: str) -> Image.Image:
        loaded.append(path)
        return Image.new("RGB", (8, 8))

    write = sheet.Pen.write
    monkeypatch.setattr(
        sheet.Pen, "write", lambda pen, x, y, text, c: (written.append(text), write(pen, x, y, text, c))
    )
    many = [answer(f"{i}.jpg", ("a", 0.9), ("a", 0.9)) for i in range(63)]
    write_sheet(tmp_path / "s.png", many, RUNS, load)
    assert loaded == [f"{i}.jpg" for i in range(60)]
    assert "3 of 63 photos are left out" in written


def test_sheet_of_no_photo_is_a_page(tmp_path: Path) -> None:
    """No answers at all still give a readable PNG."""
    write_sheet(tmp_path / "s.png", [], RUNS, lambda path: Image.new("RGB", (8, 8)))
    with Image.open(tmp_path / "s.png") as page:
        assert page.size[0] > 100


@pytest.mark.slow
def test_importing_answers_is_light() -> None:
    """`predict one.jpg` waits for none of the report's libraries."""
    heavy = {"torch", "matplotlib", "jinja2", "scipy", "sklearn", "pandas", "PIL"}
    code = f"import sys, vitbench.reports.answers; print({heavy} & {{*sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
