from collections.abc import Callable
from pathlib import Path

from vitbench.data.scan import scan_folder
from vitbench.data.summary import check_report

Maker = Callable[..., Path]


def test_report_of_an_odd_folder(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """The report counts classes per part, sizes, bad and ignored files, duplicates, and gives the notes."""
    classes(tmp_path, {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 1, "more": 1})
    make(tmp_path / "train" / "dog" / "wide.png", 50, (40, 20))
    (tmp_path / "test" / "dog" / "leak.png").write_bytes(
        (tmp_path / "train" / "dog" / "000.png").read_bytes()
    )
    (tmp_path / "train" / "cat" / "bad.jpg").write_bytes(b"")
    (tmp_path / "train" / "cat" / "a.txt").write_text("")
    lines = check_report(scan_folder(tmp_path, skip_bad=True)).splitlines()
    assert lines[0] == f"{tmp_path}: 9 pictures, 2 classes, split into train, test"
    assert [line.split() for line in lines[2:5]] == [
        ["class", "train", "test"], ["cat", "3", "1"], ["dog", "3", "2"],
    ]  # fmt: skip
    assert "shorter side 10 / 10 / 20 px, longer side 12 / 12 / 40 px (min / median / max)" in lines
    assert "duplicates: 1 picture with the pixels of another one" in lines
    assert "  test/dog/leak.png = train/dog/000.png" in lines
    assert "note: left out, not pictures by their names: 1 .txt" in lines
    assert "cannot be read: 1" in lines
    assert "  train/cat/bad.jpg: empty file (0 bytes)" in lines
    assert "note: left out beside train/: more" in lines
    assert any(line.startswith("note: 1 picture (equal pixels) in both train/ and test/") for line in lines)


def test_report_of_a_clean_folder(tmp_path: Path, classes: Maker) -> None:
    """A clean folder: no notes, and "none" is all that is said of copies."""
    report = check_report(scan_folder(classes(tmp_path, {"cat": 2, "dog": 2})))
    assert "4 pictures, 2 classes, class folders" in report
    assert "duplicates: none with equal pixels\nnear-duplicates: none\n" in f"{report}\n"
    assert "cannot be read: none" in report
    assert "note" not in report


def test_control_characters_in_class_names_are_spelled_out(tmp_path: Path, classes: Maker) -> None:
    """A class name with a line break keeps its row on one line, its columns in place."""
    lines = check_report(scan_folder(classes(tmp_path, {"ca\nt": 2, "dog\x1b": 2}))).splitlines()
    assert lines[2:5] == ["class    pictures", "ca\\nt           2", "dog\\x1b         2"]
