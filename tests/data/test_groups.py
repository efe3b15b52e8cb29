import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from conftest import noise
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vitbench.data import groups
from vitbench.data.groups import TOGETHER, capture_time, keep_together
from vitbench.data.scan import scan_folder
from vitbench.data.summary import check_report
from vitbench.errors import UsageError
from vitbench.records import ImageSet, Picture

Maker = Callable[..., Path]
EXIF_IFD = 0x8769
MODEL, DATE_TIME, SUBSEC = 0x0110, 0x0132, 0x9290
ORIGINAL, DIGITIZED, SUBSEC_ORIGINAL = 0x9003, 0x9004, 0x9291


def write_photo(path: Path, key: int, tags: Mapping[int, object], ifd: Mapping[int, object]) -> Path:
    """A picture file of random pixels with EXIF tags, `ifd` those of the Exif IFD."""
    exif = Image.Exif()
    exif.update(tags)
    exif.get_ifd(EXIF_IFD).update(ifd)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(key).save(path, exif=exif)
    return path


def write_taken(root: Path, taken: Mapping[str, str], model: str = "X100") -> ImageSet:
    """The set of a folder of photos: {path: "12:00:01"}, "" for one without a time."""
    for number, (name, clock) in enumerate(taken.items()):
        ifd = {ORIGINAL: f"2024:05:31 {clock}"} if clock else {}
        write_photo(root / name, number, {MODEL: model}, ifd)
    return scan_folder(root)


def together(image_set: ImageSet) -> list[list[str]]:
    """The paths of each group of two or more."""
    found: dict[str, list[str]] = {}
    for p in image_set.pictures:
        found.setdefault(p.group, []).append(p.path)
    return sorted(names for names in found.values() if len(names) > 1)


def in_memory(names: Sequence[str], pixels: Mapping[str, str] | None = None) -> ImageSet:
    """A set of pictures that were never on disk; `pixels` gives some the group of their pixels."""
    pictures = [
        Picture(name, name.split("/")[0], None, f"sha of {name}", (pixels or {}).get(name, name), 9, 9)
        for name in sorted(names)
    ]
    return ImageSet(Path("photos"), "flat", tuple(sorted({p.label for p in pictures})), tuple(pictures))


def test_nothing_asked_for_changes_nothing() -> None:
    """Without --group and --burst-seconds the set is the one that came in."""
    whole = in_memory(["cat/1.jpg", "dog/1.jpg"])
    assert keep_together(whole, None, None) is whole


# --- patterns -----------------------------------------------------------------------------------


def test_pattern_joins_equal_captures() -> None:
    """Equal captured text makes a group; what doesn't match stays alone, and both are counted."""
    whole = in_memory(["cat/tom-1.jpg", "cat/tom-2.jpg", "cat/kit-1.jpg", "cat/other.jpg", "dog/rex-1.jpg"])
    kept = keep_together(whole, r"/(\w+)-", None)
    assert together(kept) == [["cat/tom-1.jpg", "cat/tom-2.jpg"]]
    assert kept.notes == (
        "kept together by --group: 1 group of 2 or more (2 pictures), largest 2; 1 picture in no group",
    )
    assert kept.digest == whole.digest


def test_pattern_without_captures_is_its_match() -> None:
    """Where nothing is captured, the whole match is the key."""
    kept = keep_together(in_memory(["a/x1_1.jpg", "a/x1_2.jpg", "b/x2_1.jpg", "b/y.jpg"]), r"x\d", None)
    assert together(kept) == [["a/x1_1.jpg", "a/x1_2.jpg"]]


def test_pattern_with_two_captures_needs_both_equal() -> None:
    """Several captures are one key together."""
    kept = keep_together(in_memory(["a/t1_9.jpg", "a/t1_8.jpg", "b/t1_7.jpg"]), r"^(\w)/(t\d)", None)
    assert together(kept) == [["a/t1_8.jpg", "a/t1_9.jpg"]]


def test_empty_captures_are_no_group() -> None:
    """A pattern that can match nothing at all doesn't join all that it matches so."""
    kept = keep_together(in_memory(["a/1.jpg", "a/2.jpg", "b/s1.jpg", "b/s2.jpg"]), r"(s\d)?\.jpg", None)
    assert together(kept) == []
    with pytest.raises(UsageError, match="matches no path"):
        keep_together(in_memory(["a/1.jpg", "b/2.jpg"]), "x*", None)


def test_groups_across_classes_are_noted() -> None:
    """A scene number in two class folders is one group, and a note says so."""
    kept = keep_together(in_memory(["a/scene1.jpg", "b/scene1.jpg", "b/scene2.jpg"]), r"scene(\d+)", None)
    assert together(kept) == [["a/scene1.jpg", "b/scene1.jpg"]]
    assert kept.notes[1] == (
        "1 of the --group groups holds pictures of several classes, e.g. 'a' and 'b'; each stays whole"
    )


@pytest.mark.parametrize("pattern", ["scene(", "*", "a{99999999999}"])
def test_pattern_that_does_not_compile(pattern: str) -> None:
    """A broken pattern is wrong usage, in one line that repeats it, before any picture is opened."""
    with pytest.raises(UsageError, match=r"^--group .*regular expression.*mend the pattern$") as caught:
        groups.refuse_grouping(pattern, None)
    assert pattern in str(caught.value)


def test_pattern_that_matches_nothing() -> None:
    """A pattern without a match is wrong usage; the line shows a path that it should have matched."""
    with pytest.raises(UsageError, match=r"^--group scene: matches no path, such as a/1\.jpg; mend"):
        keep_together(in_memory(["a/1.jpg", "b/2.jpg"]), "scene", None)


# --- CSV files ----------------------------------------------------------------------------------


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    path = folder / "groups.csv"
    path.write_text(text, encoding=encoding)
    return str(path)


def test_csv_joins_its_groups(tmp_path: Path) -> None:
    """Rows of one group belong together; an empty group and a picture without a row stay alone."""
    whole = in_memory(["a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "b/=1.jpg", "b/2.jpg"])
    text = "group,note,path\nx,,a/1.jpg\nx,,a/2.jpg\n,,a/3.jpg\n,,a/4.jpg\ny,,b/=1.jpg\n"
    for encoding in ("utf-8", "utf-8-sig"):  # spreadsheets write a mark at the beginning
        kept = keep_together(whole, table(tmp_path, text, encoding), None)
        assert together(kept) == [["a/1.jpg", "a/2.jpg"]]
        assert kept.notes[0].endswith("1 group of 2 or more (2 pictures), largest 2; 3 pictures in no group")


def test_csv_of_ours_can_be_used(tmp_path: Path) -> None:
    """A path that our own tables escape (`'=a/1.jpg`) is found again."""
    kept = keep_together(
        in_memory(["=a/1.jpg", "=a/2.jpg", "b/1.jpg"]),
        table(tmp_path, "path,group\n'=a/1.jpg,x\n'=a/2.jpg,x\n"),
        None,
    )
    assert together(kept) == [["=a/1.jpg", "=a/2.jpg"]]


def test_csv_with_unknown_pictures(tmp_path: Path) -> None:
    """Rows of pictures that aren't there are refused: the first by name, the rest counted."""
    name = table(tmp_path, "path,group\na/1.jpg,x\na/8.jpg,x\na/9.jpg,x\n")
    with pytest.raises(UsageError, match=r"names a/8\.jpg and 1 more, not among .* relative to photos"):
        keep_together(in_memory(["a/1.jpg", "b/1.jpg"]), name, None)


@pytest.mark.parametrize("again", ["a/1.jpg", "./a/1.jpg", "a//1.jpg", "'a/1.jpg", "a\\1.jpg"])
def test_csv_with_two_groups_for_one_picture(tmp_path: Path, again: str) -> None:
    """A path that is named twice, in the same or another spelling, with two groups is refused."""
    whole = in_memory(["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    for other in ("y", ""):
        name = table(tmp_path, f"path,group\na/1.jpg,x\na/2.jpg,x\n{again},{other}\n")
        with pytest.raises(UsageError, match=f"twice.*in group 'x' and in '{other}'"):
            keep_together(whole, name, None)
    name = table(tmp_path, f"path,group\n{again},x\na/2.jpg,x\na/1.jpg,x\n")
    assert together(keep_together(whole, name, None)) == [["a/1.jpg", "a/2.jpg"]]


def test_csv_in_another_unicode_form(tmp_path: Path) -> None:
    """A table from a Mac names é as e and an accent; the same picture is meant."""
    whole = in_memory(["caf\u00e9/1.jpg", "caf\u00e9/2.jpg", "b/1.jpg"])
    name = table(tmp_path, "path,group\ncafe\u0301/1.jpg,x\ncafe\u0301/2.jpg,x\n")
    assert together(keep_together(whole, name, None)) == [["caf\u00e9/1.jpg", "caf\u00e9/2.jpg"]]


def test_csv_may_name_pictures_left_out(tmp_path: Path, classes: Maker) -> None:
    """A row of a broken file that --skip-bad leaves out is no error."""
    root = classes(tmp_path / "data", {"a": 3, "b": 3})
    (root / "a" / "bad.png").write_bytes(b"")
    name = table(tmp_path, "path,group\na/bad.png,x\na/000.png,x\na/001.png,x\n")
    kept = keep_together(scan_folder(root, skip_bad=True), name, None)
    assert together(kept) == [["a/000.png", "a/001.png"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,group\n", "has columns file, group; it needs the columns path and group"),
        ("path;group\n", "has columns path;group; it needs"),
        ("", "has nothing in it; it needs"),
    ],
)
def test_csv_without_its_columns(tmp_path: Path, text: str, says: str) -> None:
    """A table without `path` and `group` is refused, and the line says what it has."""
    with pytest.raises(UsageError, match=says):
        groups.refuse_grouping(table(tmp_path, text), None)


def test_csv_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are wrong usage in one line."""
    with pytest.raises(UsageError, match=r"gone\.csv: no such file; name a CSV file"):
        groups.refuse_grouping(str(tmp_path / "gone.csv"), None)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=r"folder\.csv: .*; name a CSV file"):
        groups.refuse_grouping(str(tmp_path / "folder.csv"), None)
    (tmp_path / "odd.csv").write_bytes(b"path,group\n\xff\xfe,x\n")
    with pytest.raises(UsageError, match="not a CSV file in UTF-8"):
        groups.refuse_grouping(str(tmp_path / "odd.csv"), None)


# --- bursts -------------------------------------------------------------------------------------


def test_bursts_chain_along_time(tmp_path: Path) -> None:
    """Each within 3 s of the one before: 0, 3, 6 s are one burst, 10 s is not in it; no time: alone."""
    whole = write_taken(
        tmp_path,
        {
            "a/4.jpg": "12:00:00",
            "a/1.jpg": "12:00:03",
            "a/3.jpg": "12:00:06",
            "a/2.jpg": "12:00:10",
            "a/5.jpg": "",
            "b/1.jpg": "12:00:00",
        },
    )
    kept = keep_together(whole, None, 3)
    assert together(kept) == [["a/1.jpg", "a/3.jpg", "a/4.jpg"]]
    assert kept.notes == ("--burst-seconds 3: 1 burst (3 pictures); 1 picture carries no capture time",)


def test_bursts_are_per_camera(tmp_path: Path) -> None:
    """Two cameras at one time are two bursts."""
    for number in range(4):
        ifd = {ORIGINAL: "2024:05:31 12:00:00"}
        write_photo(tmp_path / "a" / f"{number}.jpg", number, {MODEL: f"camera {number % 2}"}, ifd)
    write_photo(tmp_path / "b" / "0.jpg", 9, {}, {})
    kept = keep_together(scan_folder(tmp_path), None, 60)
    assert together(kept) == [["a/0.jpg", "a/2.jpg"], ["a/1.jpg", "a/3.jpg"]]


def test_no_picture_with_a_time(tmp_path: Path, classes: Maker) -> None:
    """Asked for bursts where no picture has a time: a warning, no error."""
    kept = keep_together(scan_folder(classes(tmp_path, {"a": 3, "b": 3})), None, 2.5)
    assert kept.notes == (
        "--burst-seconds 2.5: no picture carries a capture time (EXIF), so nothing was kept together by it",
    )


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_must_be_more_than_none(seconds: float) -> None:
    """Zero, negative and endless spans are wrong usage."""
    with pytest.raises(UsageError, match=r"^--burst-seconds .* more than 0$"):
        groups.refuse_grouping(None, seconds)


@pytest.mark.parametrize(
    ("tags", "ifd", "expected"),
    [
        ({DATE_TIME: "2020:01:01 00:00:00"}, {ORIGINAL: "2024:05:31 12:00:01"}, "2024-05-31T12:00:01"),
        ({}, {ORIGINAL: "2024:05:31 12:00:01", SUBSEC_ORIGINAL: "25"}, "2024-05-31T12:00:01.250000"),
        ({}, {ORIGINAL: "2024:05:31 12:00:01", SUBSEC_ORIGINAL: "-"}, "2024-05-31T12:00:01"),
        ({}, {ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "2024:05:31 12:00:02"}, "2024-05-31T12:00:02"),
        ({DATE_TIME: "2024:05:31 12:00:03"}, {SUBSEC: "5"}, "2024-05-31T12:00:03.500000"),
        ({DATE_TIME: "yesterday"}, {}, None),
        ({}, {}, None),
    ],
)
def test_capture_time(
    tmp_path: Path, tags: dict[int, object], ifd: dict[int, object], expected: str | None
) -> None:
    """DateTimeOriginal with its fraction, else DateTimeDigitized, else DateTime; nonsense is no time."""
    found = capture_time(write_photo(tmp_path / "a.jpg", 0, {MODEL: "X100\0 ", **tags}, ifd))
    assert found == (("X100", datetime.fromisoformat(expected)) if expected else None)


NOON = datetime(2024, 5, 31, 12, 0, 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_capture_time_of_formats(tmp_path: Path, suffix: str) -> None:
    """Every format that carries EXIF gives its time."""
    path = write_photo(tmp_path / f"a{suffix}", 0, {DATE_TIME: "2024:05:31 12:00:01"}, {})
    assert capture_time(path) == ("", NOON)


def test_capture_time_needs_no_pixels(tmp_path: Path) -> None:
    """The header is enough: a JPEG that ends where its pixels begin, a PNG whose pixels are zeros."""
    photo = write_photo(tmp_path / "a.jpg", 0, {}, {ORIGINAL: "2024:05:31 12:00:01"})
    content = photo.read_bytes()
    photo.write_bytes(content[: content.index(b"\xff\xda") + 20])
    assert capture_time(photo) == ("", NOON)

    drawing = write_photo(tmp_path / "a.png", 0, {MODEL: "X100"}, {ORIGINAL: "2024:05:31 12:00:01"})
    content = drawing.read_bytes()
    exif, pixels, end = (content.index(name) - 4 for name in (b"eXIf", b"IDAT", b"IEND"))
    assert exif < pixels
    behind = content[:exif] + content[pixels:end] + content[exif:pixels] + content[end:]
    drawing.write_bytes(behind.replace(content[pixels + 8 : end - 4], b"\0" * (end - pixels - 12)))
    assert capture_time(drawing) == ("X100", NOON)

    exif_as_text = f"\nexif\n      {pixels - exif}\n{content[exif + 8 : pixels - 4].hex()}"
    info = PngInfo()
    info.add_text("Raw profile type exif", exif_as_text, zip=True)  # as older tools write it
    noise(0).save(drawing, pnginfo=info)
    content = drawing.read_bytes()
    start = content.index(b"IDAT")
    drawing.write_bytes(content[: start + 4] + bytes(len(content) - start - 4))
    assert capture_time(drawing) == ("X100", NOON)


def test_capture_time_of_other_files(tmp_path: Path) -> None:
    """A HEIC without a time, an empty file, a folder and a missing file have none; nothing is raised."""
    (tmp_path / "empty.jpg").write_bytes(b"")
    for path in (Path(__file__).with_name("phone.heic"), tmp_path / "empty.jpg", tmp_path, tmp_path / "x"):
        assert capture_time(path) is None


def test_capture_time_of_a_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A HEIC's EXIF is read as a JPEG's is."""
    path = Path(__file__).with_name("phone.heic")
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[ORIGINAL] = "2024:05:31 12:00:01"
    opened = Image.open

    def with_time(*args: object, **kwargs: object) -> Image.Image:
        image = opened(*args, **kwargs)  # type: ignore[arg-type]
        image.info["exif"] = exif.tobytes()
        return image

    monkeypatch.setattr(Image, "open", with_time)
    assert capture_time(shutil.copy(path, tmp_path / "renamed.jpg")) == ("", NOON)


# --- joining ------------------------------------------------------------------------------------


def test_copies_stay_in_the_group_of_their_original() -> None:
    """Equal pixels join groups: a = b by pixels and b with c by pattern are one; copies are counted."""
    whole = in_memory(
        ["a/copy.jpg", "a/s1_1.jpg", "a/s1_2.jpg", "b/1.jpg"],
        {"a/copy.jpg": "p", "a/s1_1.jpg": "p", "a/s1_2.jpg": "q"},
    )
    kept = keep_together(whole, r"s\d", None)
    assert together(kept) == [["a/copy.jpg", "a/s1_1.jpg", "a/s1_2.jpg"]]
    assert {p.group for p in kept.pictures} == {f"{TOGETHER}p", "b/1.jpg"}
    assert kept.notes[1] == "1 picture repeats another one (equal pixels)"


def test_groups_and_bursts_join(tmp_path: Path) -> None:
    """A burst that runs into a named group becomes part of it."""
    whole = write_taken(
        tmp_path, {"a/tom1.jpg": "10:00:00", "a/tom2.jpg": "12:00:00", "a/x.jpg": "12:00:01", "b/1.jpg": ""}
    )
    assert together(keep_together(whole, "tom", 2)) == [["a/tom1.jpg", "a/tom2.jpg", "a/x.jpg"]]


pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20)


@given(pairs, st.randoms(use_true_random=False))
def test_merged_groups_are_the_connected_ones(edges: list[tuple[int, int]], random: object) -> None:
    """Pictures share a group exactly if a chain of pairs leads from one to the other, in any order."""
    whole = in_memory([f"a/{n}.jpg" for n in range(13)])
    by_number = {int(Path(p.path).stem): p for p in whole.pictures}

    def names(order: list[tuple[int, int]]) -> dict[str, str]:
        return groups._merge([[by_number[a], by_number[b]] for a, b in order])

    reach = {n: {n} for n in range(13)}
    for _ in range(13):
        for a, b in edges:
            reach[a] |= reach[b]
            reach[b] |= reach[a]
    found = names(edges)
    for n, p in by_number.items():
        name = min(by_number[m].group for m in reach[n])
        assert found.get(p.group, p.group) == (TOGETHER + name if len(reach[n]) > 1 else p.group)
    random.shuffle(edges)  # type: ignore[attr-defined]
    assert names([(b, a) for a, b in edges]) == found


def test_group_names_depend_on_content_only(tmp_path: Path) -> None:
    """The same photos under other names are in groups of the same names."""
    clocks = ["12:00:00", "12:00:01", "13:00:00", ""]
    one = write_taken(tmp_path / "one", {f"a/{i}.jpg": c for i, c in enumerate(clocks)} | {"b/0.jpg": ""})
    two = write_taken(tmp_path / "two", {f"a/{9 - i}.jpg": c for i, c in enumerate(clocks)} | {"b/0.jpg": ""})
    names = [{p.sha256: p.group for p in keep_together(s, None, 5).pictures} for s in (one, two)]
    assert names[0] == names[1]
    assert sum(name.startswith(TOGETHER) for name in names[0].values()) == 2


def test_check_report_shows_groups_and_true_copies(tmp_path: Path, make: Maker) -> None:
    """The report counts copies by pixels as before, and names the groups beside them."""
    for number in range(7):
        make(tmp_path / "a" / f"s1_{number}.png", number)
    make(tmp_path / "a" / "alone.png", 20)
    make(tmp_path / "b" / "0.png", 30)
    make(tmp_path / "b" / "1.png", 30)
    whole = scan_folder(tmp_path)
    lines = check_report(whole, keep_together(whole, r"s\d", None)).splitlines()
    assert "duplicates: 1 picture with the pixels of another one" in lines
    assert "kept together: 1 group of different pictures" in lines
    assert "  a/s1_0.png, a/s1_1.png, a/s1_2.png, a/s1_3.png, a/s1_4.png and 2 more" in lines
    assert any(line.startswith("note: kept together by --group: 1 group of 2 or more") for line in lines)
    assert "kept together" not in check_report(dataclasses.replace(whole))
