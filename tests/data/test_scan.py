import hashlib
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitbench.data.scan import find_images, scan_folder
from vitbench.errors import VitbenchError
from vitbench.records import BadFile

Maker = Callable[..., Path]


def test_class_folders(tmp_path: Path, classes: Maker) -> None:
    """Folders are classes, sub-folders belong to the top one, sizes and digests are the files'."""
    classes(tmp_path, {"dog": 2, "cat/indoors/sofa": 1, "cat": 1})
    got = scan_folder(tmp_path)
    assert (got.layout, got.classes) == ("flat", ("cat", "dog"))
    assert [(p.path, p.label, p.part) for p in got.pictures] == [
        ("cat/000.png", "cat", None),
        ("cat/indoors/sofa/000.png", "cat", None),
        ("dog/000.png", "dog", None),
        ("dog/001.png", "dog", None),
    ]
    first = got.pictures[0]
    assert first.sha256 == hashlib.sha256((tmp_path / first.path).read_bytes()).hexdigest()
    assert (first.width, first.height) == (12, 10)
    assert (got.bad, got.notes, dict(got.ignored)) == ((), (), {})


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Train", "VALID"), ("train", "val")),
        (("training", "validation", "Testing"), ("train", "val", "test")),
        (("train",), ("train",)),
    ],
)
def test_split_folders(
    tmp_path: Path, classes: Maker, names: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """train, val and test are known by their usual names, in any case."""
    classes(tmp_path, {f"{name}/{label}": 1 for name in names for label in ("a", "b")})
    got = scan_folder(tmp_path)
    assert (got.layout, got.classes) == ("split", ("a", "b"))
    assert {p.part for p in got.pictures} == set(parts)


def test_siblings_of_a_split_are_named(tmp_path: Path, classes: Maker) -> None:
    """What lies beside train/ is left out, and said."""
    classes(tmp_path, {"train/a": 1, "train/b": 1, "train_more/a": 1, "raw": 1})
    got = scan_folder(tmp_path)
    assert len(got.pictures) == 2
    assert got.notes == ("left out beside train/: raw, train_more",)


def test_train_may_be_a_class(tmp_path: Path, classes: Maker) -> None:
    """A folder of pictures called train is a class beside others, for it holds no class folders."""
    classes(tmp_path, {"train": 2, "plane": 2})
    assert scan_folder(tmp_path).classes == ("plane", "train")


def test_layout_can_be_forced(tmp_path: Path, classes: Maker) -> None:
    """`flat` makes classes of train/ and test/."""
    classes(tmp_path, {"train/steam": 2, "test/crash": 2})
    assert scan_folder(tmp_path, layout="flat").classes == ("test", "train")


def test_split_layout_needs_train(tmp_path: Path, classes: Maker) -> None:
    """test/ and val/ without train/ are refused, with the way on; nothing is guessed."""
    classes(tmp_path, {"val/a": 1, "test/a": 1})
    with pytest.raises(VitbenchError, match=r"without train/.*--layout flat"):
        scan_folder(tmp_path)
    with pytest.raises(VitbenchError, match="no train/"):
        scan_folder(tmp_path, layout="split")


def test_two_folders_for_one_part(tmp_path: Path, classes: Maker) -> None:
    """val/ beside valid/ is refused."""
    classes(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1})
    with pytest.raises(VitbenchError, match="val/ and valid/ both mean val"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "readme only", "loose pictures"])
def test_no_image_folder(tmp_path: Path, make: Maker, kind: str) -> None:
    """Where there are no class folders, one line says how to lay out photos and where to get some."""
    root = tmp_path / "data"
    if kind == "file":
        root.write_text("")
    elif kind != "missing":
        root.mkdir()
    if kind == "readme only":
        (root / "README.md").write_text("hello")
    if kind == "loose pictures":
        make(root / "a.png", 0)
    with pytest.raises(
        VitbenchError, match=r"data: .*one folder of photos per class.*vitbench data demo"
    ) as error:
        scan_folder(root)
    assert "\n" not in str(error.value)


def test_empty_class(tmp_path: Path, classes: Maker) -> None:
    """A class folder without a picture is an error, not a shifted index."""
    classes(tmp_path, {"a": 1, "b": 0, "c": 1})
    with pytest.raises(VitbenchError, match="no readable picture of class 'b'"):
        scan_folder(tmp_path)


def test_one_class(tmp_path: Path, classes: Maker) -> None:
    """One class is nothing to tell apart."""
    classes(tmp_path, {"a": 3})
    with pytest.raises(VitbenchError, match="only class 'a'; a comparison needs two"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("part", ["val", "test"])
def test_extra_class(tmp_path: Path, classes: Maker, part: str) -> None:
    """A class that train lacks is an error in val and test."""
    classes(tmp_path, {"train/a": 1, "train/b": 1, f"{part}/a": 1, f"{part}/z": 1})
    with pytest.raises(VitbenchError, match=rf"{part}: class 'z' is not in train/"):
        scan_folder(tmp_path)


def test_missing_class(tmp_path: Path, classes: Maker) -> None:
    """A class that test lacks is a note; the classes are train's, so no index shifts."""
    classes(tmp_path, {"train/a": 1, "train/b": 1, "train/c": 1, "test/c": 1, "test/a": 0})
    got = scan_folder(tmp_path)
    assert got.classes == ("a", "b", "c")
    assert got.notes == ("test/ lacks class 'a', 'b'",)


def test_unlabelled_test_folder_is_left_out(tmp_path: Path, classes: Maker) -> None:
    """Pictures in test/ without class folders cannot be scored: left out, counted, said."""
    classes(tmp_path, {"train/a": 1, "train/b": 1, "test": 3})
    got = scan_folder(tmp_path)
    assert got.notes == ("test/ has no class folders, so it cannot be scored: left out",)
    assert got.ignored == {"picture in no class folder": 3}


def test_passed_over(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """Hidden files and folders and files of other kinds are counted by reason and never classes."""
    classes(tmp_path, {"a": 1, "b": 1, ".ipynb_checkpoints": 2, "__MACOSX": 1, "b/.thumbs": 1})
    make(tmp_path / "a" / "._000.png", 7)
    for name in ("notes.txt", "more.TXT", "LICENSE"):
        (tmp_path / "a" / name).write_text("x")
    got = scan_folder(tmp_path)
    assert len(got.pictures) == 2
    assert got.ignored == {"hidden": 4}
    assert got.unread == {".txt": 2, "": 1}
    assert got.notes == ("left out, not pictures by their names: 1 without an ending, 2 .txt",)


def test_bad_files_in_one_error(tmp_path: Path, classes: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bad files are found before training: one line with the first ten, the count, and --skip-bad."""
    root = classes(tmp_path / "data", {"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        (root / "a" / f"bad{number:02d}.jpg").write_bytes(b"")
    with pytest.raises(VitbenchError) as error:
        scan_folder(root)
    text = str(error.value)
    assert "12 of 16 files" in text
    assert "a/bad09.jpg (empty file (0 bytes)), and 2 more (all in bad-files.csv)" in text
    assert "bad10" not in text
    assert "--skip-bad" in text
    assert "\n" not in text


def test_skip_bad_records_each(tmp_path: Path, classes: Maker) -> None:
    """With `skip_bad` the bad files are left out and recorded."""
    classes(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "bad.jpg").write_bytes(b"")
    whole = (tmp_path / "b" / "000.png").read_bytes()
    (tmp_path / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    got = scan_folder(tmp_path, skip_bad=True)
    assert len(got.pictures) == 4
    assert [entry.path for entry in got.bad] == ["a/bad.jpg", "b/cut.png"]
    assert got.bad[0] == BadFile("a/bad.jpg", "empty file (0 bytes)")


def test_class_of_bad_files_only(tmp_path: Path, classes: Maker) -> None:
    """A class of which nothing is left after `skip_bad` is an error."""
    classes(tmp_path, {"a": 2, "b": 0})
    (tmp_path / "b" / "bad.jpg").write_bytes(b"")
    with pytest.raises(VitbenchError, match="no readable picture of class 'b'"):
        scan_folder(tmp_path, skip_bad=True)


def test_broken_link_and_pipe_are_bad_files(tmp_path: Path, classes: Maker) -> None:
    """A link to nothing and a pipe with a picture's name are listed, and the scan does not hang."""
    classes(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    got = scan_folder(tmp_path, skip_bad=True)
    assert [(b.path, b.reason) for b in got.bad] == [
        ("a/gone.jpg", "link to a file that is not there"),
        ("a/pipe.jpg", "not a regular file"),
    ]


def test_link_loops(tmp_path: Path, classes: Maker) -> None:
    """Links to a folder's parents or neighbours add no picture: seven files are seven pictures."""
    classes(tmp_path, {"a": 3, "a/deep": 1, "b": 3})
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "neighbour").symlink_to(tmp_path / "a" / "deep")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    got = scan_folder(tmp_path)
    assert len(got.pictures) == 7
    assert got.classes == ("a", "b")
    assert got.ignored == {"link to a folder that is read anyway": 4}


def test_links_that_lead_out(tmp_path: Path, classes: Maker) -> None:
    """Class folders and files that are links to another disk are read, each place once."""
    away = classes(tmp_path / "away", {"cats": 2, "cats/more": 1})
    (away / "cats" / "more" / "round").symlink_to(away / "cats")
    root = classes(tmp_path / "data", {"dog": 1})
    (root / "cat").symlink_to(away / "cats")
    (root / "dog" / "linked.png").symlink_to(away / "cats" / "000.png")
    got = scan_folder(root)
    assert [p.path for p in got.pictures] == [
        "cat/000.png", "cat/001.png", "cat/more/000.png", "dog/000.png", "dog/linked.png",
    ]  # fmt: skip


def test_class_names_in_two_unicode_forms(tmp_path: Path, classes: Maker) -> None:
    """Two folders that look the same (é composed and decomposed) are an error; across parts they match."""
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    classes(tmp_path / "one", {composed: 1, decomposed: 1, "b": 1})
    with pytest.raises(VitbenchError, match="2 class folders in the folder are both named 'café'"):
        scan_folder(tmp_path / "one")
    classes(tmp_path / "two", {f"train/{composed}": 1, f"test/{decomposed}": 1, "train/b": 1})
    assert scan_folder(tmp_path / "two").classes == ("b", composed)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """A file name that is no UTF-8 is kept, a class name is spelled out; both can be digested."""
    classes(tmp_path, {"a": 1, os.fsdecode(b"b\xff"): 1})
    make(tmp_path / "a" / os.fsdecode(b"\xe9t\xe9.png"), 5)
    got = scan_folder(tmp_path)
    assert got.classes == ("a", "b\\xff")
    assert all((tmp_path / p.path).exists() for p in got.pictures)
    assert len(got.digest) == 64


def test_equal_pixels_are_one_group(tmp_path: Path, classes: Maker) -> None:
    """A re-saved copy has other bytes and the same group; another picture has another group."""
    classes(tmp_path, {"a": 2, "b": 1})
    with Image.open(tmp_path / "a" / "000.png") as image:
        image.save(tmp_path / "a" / "copy.bmp")
    by_name = {p.path: p for p in scan_folder(tmp_path).pictures}
    original, copy, other = (by_name[f"a/{name}"] for name in ("000.png", "copy.bmp", "001.png"))
    assert original.group == copy.group != other.group
    assert original.sha256 != copy.sha256


def test_same_picture_under_two_classes(tmp_path: Path, classes: Maker) -> None:
    """A picture with two labels is a note that names both files."""
    classes(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "b" / "copy.png").write_bytes((tmp_path / "a" / "001.png").read_bytes())
    assert scan_folder(tmp_path).notes == (
        "1 picture (equal pixels) under two classes, e.g. a/001.png = b/copy.png",
    )


def test_same_picture_in_two_parts(tmp_path: Path, classes: Maker) -> None:
    """A picture in train/ and test/ is a note: that score is not honest."""
    classes(tmp_path, {"train/a": 2, "train/b": 2, "test/a": 1, "test/b": 1})
    for number in (0, 1):
        copy = tmp_path / "test" / "a" / f"copy{number}.png"
        copy.write_bytes((tmp_path / "train" / "a" / f"00{number}.png").read_bytes())
    assert scan_folder(tmp_path).notes == (
        "2 pictures (equal pixels) in both train/ and test/, e.g. test/a/copy0.png = train/a/000.png",
    )


def test_nothing_is_changed(tmp_path: Path, classes: Maker) -> None:
    """Scanning leaves every file and folder as it was."""
    classes(tmp_path, {"a": 2, "b": 2})

    def state() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.rglob("*"))

    before = state()
    scan_folder(tmp_path)
    assert state() == before


def test_progress(tmp_path: Path, classes: Maker) -> None:
    """Progress counts up to the number of files, then those whose near-copies are looked for."""
    seen: list[tuple[str, int, int]] = []
    scan_folder(
        classes(tmp_path, {"a": 2, "b": 1}), remember=False, on_progress=lambda *step: seen.append(step)
    )
    checked, looked = ("checking pictures", "looking for near-copies")
    assert seen == [(checked, 1, 3), (checked, 2, 3), (checked, 3, 3), (looked, 3, 3)]


def test_digest_knows_content_only(tmp_path: Path, classes: Maker) -> None:
    """Equal pictures under other names in another place have the same digest; one more picture has not."""
    one = classes(tmp_path / "one", {"a": 2, "b": 1})
    two = classes(tmp_path / "two", {"a": 2, "b": 1})
    (two / "a" / "001.png").rename(two / "a" / "zebra.png")
    assert scan_folder(one).digest == scan_folder(two).digest
    classes(two, {"b/more": 1}, 99)
    assert scan_folder(one).digest != scan_folder(two).digest


def test_find_images(tmp_path: Path, classes: Maker) -> None:
    """Pictures for predict: all below a folder, sorted, hidden ones and other files left out."""
    classes(tmp_path, {"b": 1, "a/deep": 1, ".cache": 1})
    (tmp_path / "a" / "x.txt").write_text("")
    (tmp_path / "loose.JPG").write_bytes(b"")
    assert [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path)] == [
        "a/deep/000.png", "b/000.png", "loose.JPG",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "layout", "count", "classes_count"),
    [
        ("flowers5", "flat", 200, 5),
        ("fruit3", "split", 48, 3),
        ("grocery_apples", "split", 576, 5),
        ("hemlock_cherry", "split", 20, 2),
    ],
)
def test_real_folders(
    photos: Callable[[str], Path], name: str, layout: str, count: int, classes_count: int
) -> None:
    """Real folders of photos are read whole, in the layout they are in."""
    got = scan_folder(photos(name))
    assert (got.layout, len(got.pictures), len(got.classes)) == (layout, count, classes_count)
