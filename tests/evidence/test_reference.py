"""Reference results: the same bytes twice, and what moved named where a constant is another one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import reference
from painted import TINY, paint_folder
from reference import Found, Places, Reference, carry_out, check, write

from vitbench import files
from vitbench.training import recipes

Carried = Callable[[str], Found]

TINY_SET = (
    Reference("tiny", "colours", {**TINY, "models": ("test_vit", "test_efficientnet")}),
    Reference(
        "probed",
        "colours",
        {"recipe": "probe", "models": ("test_vit",), "image_size": 32, "weights": ("random",)},
    ),
    Reference("card", "colours", {}, card=True),
    Reference("far", "pets", {}, fetched=True),
    Reference("real", "colours", {}, real=True),
    Reference("lost", "nowhere", {}),
)


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_reports: None) -> Carried:
    """`carried("a")` carries the tiny set out in a folder of its own; pages go to a temporary place too."""
    for name, file in (("PAGE", "reference.md"), ("RECORD", "reference.json"), ("TIMES", "times.jsonl")):
        monkeypatch.setattr(reference, name, tmp_path / file)
    paint_folder(tmp_path / "photos" / "colours", 8)

    def go(name: str) -> Found:
        return carry_out(Places(tmp_path / "photos", tmp_path / "weights", tmp_path / name), TINY_SET)

    return go


@pytest.mark.slow
def test_twice_the_same_bytes_and_a_changed_constant_is_named(
    carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Record and page are equal; with another smoothing both rows are named, and how far they moved."""
    write(carried("a"))
    record, page = reference.RECORD.read_bytes(), reference.PAGE.read_text(encoding="utf-8")
    assert "| test_vit |" in page
    for reason in ("no GPU here", "needs a network", "among the weights", "no nowhere among the photos"):
        assert f"Not carried out: {reason}" in page.replace("no vit_small_patch14_dinov2.safetensors ", "")
    write(carried("b"))
    assert reference.RECORD.read_bytes() == record
    assert reference.PAGE.read_text(encoding="utf-8") == page
    assert len(reference.TIMES.read_text(encoding="utf-8").splitlines()) == 4
    capsys.readouterr()
    assert check(Found({}, files.read_json(reference.RECORD)["results"])) == 0
    assert "nothing moved in 6 benchmarks" in capsys.readouterr().out
    for row in (recipes.SCRATCH, recipes.FINETUNE):
        for kind, defaults in row.items():
            monkeypatch.setitem(row, kind, dataclasses.replace(defaults, label_smoothing=0.7))
    assert check(carried("c")) == 1
    told = capsys.readouterr().out
    for model in ("test_vit", "test_efficientnet"):
        (line,) = [line for line in told.splitlines() if line.startswith(f"tiny, {model}:")]
        assert "loss" in line
        assert "→" in line
        assert "other predictions" in line


def test_a_part_is_written_beside_what_is_stored_of_the_same_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the set; of another commit or machine nothing stays."""
    for name, file in (("PAGE", "reference.md"), ("RECORD", "reference.json"), ("TIMES", "times.jsonl")):
        monkeypatch.setattr(reference, name, tmp_path / file)
    about = {"system": "s", "threads": "1", "card": "", "versions": {}, "commit": "a"}
    first, second = (one.name for one in reference.SET[:2])
    write(Found(about, {second: {"not": "x"}}))
    write(Found(about, {first: {"not": "y"}}))
    assert list(files.read_json(reference.RECORD)["results"]) == [first, second]
    write(Found({**about, "commit": "b"}, {first: {"not": "y"}}))
    assert list(files.read_json(reference.RECORD)["results"]) == [first]


def test_rows_and_benchmarks_that_come_and_go_are_named() -> None:
    row = {
        "correct": 3,
        "top1": 0.5,
        "top1_low": 0.2,
        "top1_high": 0.8,
        "loss": 1.0,
        "predictions": {"a": "x"},
    }
    one = {"split": "s", "n_test": 6, "rows": {"vit": row}, "answer": "", "verdicts": ["a tie"]}
    before = {"results": {"kept": one, "off": {"not": "no GPU here"}}}
    other = {**one, "split": "t", "rows": {"swin": row}, "verdicts": ["swin is better"]}
    lines = reference.moved(before, {"results": {"kept": other, "off": one, "new": one}})
    assert lines == [
        "kept: another split",
        "kept, vit: gone",
        "kept, swin: new",
        "kept: no more: a tie",
        "kept: now: swin is better",
        "off: no GPU here → carried out",
        "new: not stored → carried out",
    ]
