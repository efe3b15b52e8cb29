"""The table of odd pictures and folders: `data check`, `train` and `predict` keep one promise for each."""

import io
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted import TINY, Sees, paint, paint_folder
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import TrainRequest, prepare, train
from vitbench.cli.data import data_app
from vitbench.data.batches import eval_batches
from vitbench.data.decode import MAX_ASPECT, MAX_BYTES, decode, picture_bytes
from vitbench.data.made import LostPictureError
from vitbench.data.scan import scan_folder
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import printable
from vitbench.inference.stream import Question, answer, collect
from vitbench.models.folder import LoadedModel
from vitbench.records import Answer, BadFile, Benchmark, Epoch, Preprocessing, Settings
from vitbench.records.watch import Watch

CPU = torch.device("cpu")
SMALL = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear", 1.0)
SIZE = (48, 32)
PHONE = Path(__file__).with_name("phone.heic").read_bytes()


# --- files ----------------------------------------------------------------------------------------


def plain(key: int = 7) -> Image.Image:
    rng = np.random.default_rng(key)
    return Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(plain(), "JPEG", exif=exif)


def animated(kind: str) -> bytes:
    return encoded(plain(1), kind, save_all=True, append_images=[plain(2), plain(3)])


def with_alpha() -> Image.Image:
    image = plain().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    return image


def values(dtype: type, top: float) -> Image.Image:
    ramp = np.linspace(0, top, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0])
    return Image.fromarray(ramp.astype(dtype))


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and ends there."""
    head = io.BytesIO()
    head.write(b"\x89PNG\r\n\x1a\n")
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    PngImagePlugin.putchunk(head, b"IHDR", size)
    PngImagePlugin.putchunk(head, b"IDAT", b"\0")
    return head.getvalue()


def cut(kind: str, share: float) -> bytes:
    content = encoded(plain(), kind)
    return content[: max(1, int(len(content) * share))]


PNG, JPEG = encoded(plain(), "PNG"), encoded(plain(), "JPEG")
DAMAGED = (
    r"^(damaged: .+|not an image of a known format, or damaged at its beginning|a TIFF that is damaged .*)$"
)
NO_IMAGE = r"^not an image of a known format"

READ: Mapping[str, tuple[str, bytes]] = {
    "PNG named .jpg": ("x.jpg", PNG),
    "JPEG named .png": ("x.png", JPEG),
    **{f"EXIF {n}": ("x.jpg", turned(n)) for n in range(1, 9)},
    "alpha": ("x.png", encoded(with_alpha(), "PNG")),
    "alpha WebP": ("x.webp", encoded(with_alpha(), "WEBP", lossless=True)),
    "gray with alpha": ("x.png", encoded(with_alpha().convert("LA"), "PNG")),
    "palette": ("x.gif", encoded(plain().convert("P"), "GIF", transparency=0)),
    "CMYK": ("x.jpg", encoded(plain().convert("CMYK"), "JPEG")),
    "gray": ("x.jpg", encoded(plain().convert("L"), "JPEG")),
    "1-bit": ("x.png", encoded(plain().convert("1"), "PNG")),
    "1-bit TIFF": ("x.tif", encoded(plain().convert("1"), "TIFF", compression="group4")),
    "16-bit PNG": ("x.png", encoded(values(np.uint16, 65535), "PNG")),
    "16-bit TIFF": ("x.tiff", encoded(values(np.uint16, 65535), "TIFF")),
    "float TIFF": ("x.tiff", encoded(values(np.float32, 65535), "TIFF")),
    "animated GIF": ("x.gif", animated("GIF")),
    "animated WebP": ("x.webp", animated("WEBP")),
    "BMP": ("x.bmp", encoded(plain(), "BMP")),
    "HEIC": ("x.heic", PHONE),
    "upper case": ("X.JPEG", JPEG),
    "jfif": ("x.jfif", JPEG),
    "spaces and quotes": (""" it's "a" <b>&;$(x) .jpg""", JPEG),
    "line break": ("two\nlines\x1b[2J.jpg", JPEG),
    "formula": ("=cmd|' /C calc'!A0.jpg", JPEG),
    "emoji": ("🍎 사과.jpg", JPEG),
    "not UTF-8": (os.fsdecode(b"caf\xe9.jpg"), JPEG),
    "very long name": ("n" * 250 + ".jpg", JPEG),
    "nested": ("deep/er/x.jpg", JPEG),
}  # fmt: skip

BAD: Mapping[str, tuple[str, bytes, str]] = {
    "zero bytes": ("x.jpg", b"", r"^empty file \(0 bytes\)$"),
    "one byte": ("x.jpg", b"\xff", NO_IMAGE),
    **{
        f"{kind} cut at {share:.0%}": ("x.png", cut(kind, share), DAMAGED)
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
        for share in (0.02, 0.3, 0.6, 0.9)
    },
    "HEIC cut": ("x.heic", PHONE[: len(PHONE) // 2], DAMAGED),
    "text named .jpg": ("x.jpg", b"hello, world\n" * 40, NO_IMAGE),
    "page named .png": ("x.png", b"<!DOCTYPE html><html>404</html>", NO_IMAGE),
    "SVG named .png": ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_IMAGE),
    "EPS named .jpg": ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NO_IMAGE),
    "bomb by header": ("x.png", header_only(60_000, 60_000), r"^more than 179 megapixels$"),
    "strip": ("x.png", encoded(Image.new("L", (5000, 1)), "PNG"), r"^5000 × 1 px, longer than 100 : 1$"),
    "NaN": ("x.tif", encoded(values(np.float32, np.nan), "TIFF"), r"^holds NaN or infinite values"),
}  # fmt: skip


def asked(*paths: Path) -> tuple[list[Answer], list[torch.Tensor]]:
    """What predict answers for pictures, and the tensors that its model saw."""
    module = Sees()
    model = LoadedModel(module, ("cat", "dog"), SMALL, "fake")
    questions = [Question(str(path)) for path in paths]
    return list(answer({"fake": [model]}, questions, CPU)), module.shown


def around(tmp_path: Path, name: str, content: bytes) -> Path:
    """A folder of two classes of whole pictures, and one file of the table in the first."""
    root = tmp_path / "data"
    for place, label in enumerate(("cat", "dog")):
        for number in range(4):
            paint(root / label / f"{number}.png", (60, 90 * place, 90), 10 * place + number)
    path = root / "cat" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def checked(root: Path) -> tuple[int, str]:
    """Exit status and words of `data check`."""
    done = CliRunner().invoke(data_app, ["check", os.fspath(root)], catch_exceptions=False)
    return done.exit_code, done.stdout


def planned(root: Path, results: Path, **more: Any) -> None:
    """What `train` does before its first step."""
    prepare(TrainRequest(Settings.of({**TINY, **more}), root, None, results), Watch(), dry_run=True)


@pytest.mark.parametrize("case", READ)
def test_a_picture_that_is_odd_but_whole_is_read_alike_everywhere(case: str, tmp_path: Path) -> None:
    """check finds nothing bad; training's tensors and predict's are equal bit by bit."""
    path = around(tmp_path, *READ[case])
    images = scan_folder(tmp_path / "data", near=False)
    (picture,) = [p for p in images.pictures if p.path == path.relative_to(images.root).as_posix()]
    (evaluated,) = torch.cat(list(eval_batches(images.root, [picture], SMALL, 4)))
    (said,), (seen,) = asked(path)
    assert said.error == ""
    assert torch.equal(evaluated, seen)


@pytest.mark.parametrize("case", BAD)
def test_a_picture_that_is_broken_is_named_alike_everywhere(case: str, tmp_path: Path) -> None:
    """check and train name the file with its reason before anything is trained, predict in its row."""
    name, content, reason = BAD[case]
    path = around(tmp_path, name, content)
    (bad,) = scan_folder(tmp_path / "data", skip_bad=True, near=False).bad
    assert bad.path == f"cat/{name}"
    with pytest.raises(UnreadableImageError, match=reason) as error:
        decode(path)
    assert bad.reason == str(error.value)
    with pytest.raises(VitbenchError, match="1 of 9 files cannot be read") as refused:
        scan_folder(tmp_path / "data", near=False)
    assert f"cat/{name} ({bad.reason})" in str(refused.value)
    (said, other), _ = asked(path, tmp_path / "data" / "cat" / "0.png")
    assert (said.error, said.predictions, other.error) == (bad.reason, {}, "")


@pytest.mark.slow
def test_the_table_through_the_commands(tmp_path: Path) -> None:
    """check, train and predict on one folder of all that the table holds: each bad file is named, once.

    train goes on with --skip-bad and records each in `benchmark.json`; predict answers for all others.
    """
    root = tmp_path / "data"
    paint_folder(root, per_class=6)
    for place, (name, content) in enumerate(READ.values()):
        folder = root / "red" / f"{place:02d}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    for place, (name, content, _) in enumerate(BAD.values()):
        (root / "green" / f"{place:02d}").mkdir()
        (root / "green" / f"{place:02d}" / name).write_bytes(content)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    benchmark = train(
        root, name="odd", results=tmp_path / "results", skip_bad=True, near_duplicates=False, **TINY
    )
    skipped = [BadFile(**entry) for entry in benchmark.manifest["skipped"]]
    expected = sorted(f"green/{place:02d}/{name}" for place, (name, _, _) in enumerate(BAD.values()))
    assert [entry.path for entry in skipped] == expected
    said = list(predict(root, run=benchmark))
    assert len(said) == 18 + len(READ) + len(BAD)
    assert {answer.path: answer.error for answer in said if answer.error} == {
        str(root / entry.path): entry.reason for entry in skipped
    }
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_many_bad_files_are_one_line_and_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """train and check show ten, count the rest, and name the CSV with all, which is not in the data."""
    around(tmp_path, "x.jpg", JPEG)
    names = ["=1+1.jpg", "line\nbreak.jpg", *(f"{number:02d}.jpg" for number in range(20))]
    for name in names:
        (tmp_path / "data" / "cat" / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        VitbenchError, match=r"22 of 31 files .* and 12 more \(all in bad-files\.csv\)"
    ) as error:
        planned(Path("data"), tmp_path / "results")
    assert str(error.value).isprintable()
    listed = (tmp_path / "bad-files.csv").read_text()
    assert listed.startswith("path,reason\n")
    assert listed.count("empty file (0 bytes)") == 22
    status, words = checked(Path("data"))
    assert status == 1
    assert "… and 12 more" in words
    assert "all 22 that cannot be read: bad-files.csv" in words
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad-files.csv", "data"]


def test_a_list_of_bad_files_overwrites_nothing_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name that is not such a list stays, and inside the data nothing is written."""
    root = around(tmp_path, "x.jpg", JPEG).parents[1]
    for number in range(11):
        (root / "cat" / f"bad{number}.jpg").write_bytes(b"")
    (tmp_path / "bad-files.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VitbenchError, match=r"all in bad-files-2\.csv"):
        scan_folder(root)
    assert (tmp_path / "bad-files.csv").read_text() == "mine"
    before = sorted(root.rglob("*"))
    monkeypatch.chdir(root / "cat")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(VitbenchError, match=rf"all in {tmp_path}/bad-files-2\.csv"):
        scan_folder(root)
    assert sorted(root.rglob("*")) == before


# --- folders --------------------------------------------------------------------------------------


def no_folder(root: Path) -> None:
    """Nothing."""


def a_file(root: Path) -> None:
    root.write_bytes(PNG)


def empty_folder(root: Path) -> None:
    root.mkdir()


def too_long(root: Path) -> None:
    """Nothing can have such a name."""


def classes_of(root: Path, counts: Mapping[str, int]) -> None:
    for place, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True)
        for number in range(count):
            paint(root / label / f"{number}.png", (20 * place, 90, 40), 100 * place + number)


REFUSED: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "not there": (no_folder, r"data: no such folder; make one folder of photos per class"),
    "a file": (a_file, r"data: a file, not a folder; "),
    "empty": (empty_folder, r"data: no class folders in it; "),
    "empty class": (
        lambda root: classes_of(root, {"cat": 4, "dog": 4, "fox": 0}),
        r"no readable picture of class 'fox'",
    ),
    "one class": (lambda root: classes_of(root, {"cat": 5}), r"only class 'cat'; a comparison needs two"),
    "a class that train lacks": (
        lambda root: classes_of(root, {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/fox": 2}),
        r"test: class 'fox' is not in train/",
    ),
    "equal names": (
        lambda root: classes_of(root, {unicodedata.normalize(form, "café"): 4 for form in ("NFC", "NFD")}),
        r"2 class folders in the folder are both named 'café'",
    ),
    "empty class with a hostile name": (
        lambda root: classes_of(root, {"cat": 4, "dog": 4, "a\n\x1b[31m": 0}),
        r"no readable picture of class 'a\\n\\x1b\[31m'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_meant_is_one_line_for_check_and_train(case: str, tmp_path: Path) -> None:
    """Both say the same, before anything is decoded for long or written."""
    make, says = REFUSED[case]
    root = tmp_path / "data"
    make(root)
    with pytest.raises(VitbenchError, match=says) as refused:
        checked(root)
    with pytest.raises(VitbenchError, match=says) as refused_too:
        planned(root, tmp_path / "results")
    assert str(refused.value) == str(refused_too.value)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "results").exists()


def test_a_name_that_no_folder_can_have_is_not_there(tmp_path: Path) -> None:
    """A name that is too long for any system is one line, as any other folder that isn't there."""
    for root in (tmp_path / ("n" * 5000), Path("d/" * 3000)):
        with pytest.raises(VitbenchError, match="no such folder"):
            scan_folder(root)


def test_a_class_of_one_picture_is_checked_and_cannot_be_split(tmp_path: Path) -> None:
    """check says that train would refuse it, and train does, by the class and what it needs."""
    classes_of(tmp_path / "data", {"cat": 6, "dog": 1})
    status, words = checked(tmp_path / "data")
    assert status == 0
    assert "note: as it stands, train would refuse this: " in words
    with pytest.raises(VitbenchError, match="class 'dog' has 1 different image") as refused:
        planned(tmp_path / "data", tmp_path / "results")
    assert str(refused.value) in words


@pytest.mark.slow
def test_a_class_missing_in_test_shifts_no_index(tmp_path: Path) -> None:
    """A warning in check and train; the classes of the trained model are train's, by name."""
    root = tmp_path / "data"
    classes_of(root, {"train/a": 5, "train/b": 5, "train/c": 5, "test/c": 2})
    assert "note: test/ lacks class 'a', 'b'" in checked(root)[1]
    benchmark = train(
        root, name="x", results=tmp_path / "results", near_duplicates=False, **{**TINY, "epochs": 1}
    )
    assert "test/ lacks class 'a', 'b'" in benchmark.manifest["notes"]
    predictions = benchmark.runs[0].predictions()
    assert predictions.classes == ("a", "b", "c")
    assert {predictions.classes[label] for label in predictions.labels} == {"c"}
    (said,) = predict(root / "test" / "c" / "0.png", run=benchmark, top_k=3)
    assert sorted(name for name, _ in said.predictions["test_vit-s0"]) == ["a", "b", "c"]


@pytest.mark.slow
def test_a_class_missing_in_val_leaves_val_in_use(tmp_path: Path) -> None:
    """Tuning, the choice of the epoch and the temperature go by the classes that are there; said once."""
    root = tmp_path / "data"
    classes_of(root, {f"{part}/{label}": 3 for part in ("train", "test") for label in "abc"})
    classes_of(root, {"val/a": 2, "val/c": 2})
    ways = {**TINY, "epochs": 2, "tune": 2}
    benchmark = train(root, name="x", results=tmp_path / "results", near_duplicates=False, **ways)
    (run,) = benchmark.runs
    assert (run.status, run.metrics()["val"]["n"], run.metrics()["test"]["n"]) == ("finished", 4, 9)
    said = "val/ lacks class 'b': what val decides (epoch, temperature, tuning) rests on the other 2"
    assert [note for note in benchmark.manifest["notes"] if "lacks" in note] == [said]
    page = (benchmark.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("val/ lacks class") == 1


def test_hidden_files_and_loops_are_passed_over_alike(tmp_path: Path) -> None:
    """check counts them; neither training nor predict sees them, nor any picture twice."""
    root = around(tmp_path, "x.jpg", JPEG).parents[1]
    (root / ".ipynb_checkpoints").mkdir()
    shutil.copy(root / "cat" / "0.png", root / ".ipynb_checkpoints" / "0.png")
    (root / "cat" / "._0.png").write_bytes(b"resource fork")
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "itself").symlink_to(root / "dog" / "itself")
    (root / "dog" / "round.jpg").symlink_to(root / "dog" / "round.jpg")
    images = scan_folder(root, skip_bad=True, near=False)
    assert len(images.pictures) == 9
    assert [(entry.path, entry.reason) for entry in images.bad] == [
        ("dog/round.jpg", "link to a file that is not there")
    ]
    assert images.ignored["hidden"] == 2
    assert [q.path for q in collect([str(root)])] == [
        str(root / p) for p in sorted([p.path for p in images.pictures] + ["dog/round.jpg"])
    ]


def test_file_names_in_two_unicode_forms_stay_two_pictures(tmp_path: Path) -> None:
    """Files that look alike in a listing are told apart in the split and in the answers."""
    root = around(tmp_path, "x.jpg", JPEG).parents[1]
    forms = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    for place, name in enumerate(forms):
        paint(root / "cat" / name, (200, 10, 10), 70 + place)
    if len(list((root / "cat").glob("*.png"))) < 6:
        pytest.skip("this file system takes both for one")
    found = [p.path for p in scan_folder(root, near=False).pictures if p.path.removeprefix("cat/") in forms]
    assert len(found) == 2
    assert [a.error for a in asked(*(root / path for path in found))[0]] == ["", ""]


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that a user without rights may enter, this process being that user; root may read all."""
    folder = Path(tempfile.mkdtemp(prefix="vitbench-nobody-"))
    folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
        if os.geteuid() != 65534:
            pytest.skip("root cannot become another user here, and no permission stops root")
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are others there")
def test_what_may_not_be_read_is_named_by_its_permission(as_nobody: Path) -> None:
    """A file and a folder without permission are bad files in check and train, error rows in predict."""
    root = as_nobody / "data"
    user = os.geteuid()
    os.seteuid(os.getuid())  # the owner makes them
    around(as_nobody, "x.jpg", JPEG).chmod(0)
    (root / "cat" / "shut").mkdir()
    shutil.copy(root / "cat" / "0.png", root / "cat" / "shut" / "0.png")
    (root / "cat" / "shut").chmod(0)
    os.seteuid(user)
    images = scan_folder(root, skip_bad=True, near=False)
    assert [(entry.path, entry.reason) for entry in images.bad] == [
        ("cat/shut", "folder cannot be read (Permission denied)"),
        ("cat/x.jpg", "permission denied"),
    ]
    with pytest.raises(VitbenchError, match=r"2 of 10 files .*cat/x\.jpg \(permission denied\)"):
        scan_folder(root, near=False)
    errors = {a.path: a.error for a in asked(*(Path(q.path) for q in collect([str(root)])))[0] if a.error}
    assert errors == {
        str(root / "cat" / "shut"): "folder cannot be read (permission denied)",
        str(root / "cat" / "x.jpg"): "permission denied",
    }


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are others there")
@pytest.mark.parametrize("shut", ["data", "data/train"])
def test_a_folder_that_may_not_be_read_is_one_line(as_nobody: Path, shut: str) -> None:
    """The folder itself, or its train/: named, with what to look at."""
    user = os.geteuid()
    os.seteuid(os.getuid())
    classes_of(as_nobody / "data", {"train/a": 1, "train/b": 1})
    (as_nobody / shut).chmod(0)
    os.seteuid(user)
    with pytest.raises(VitbenchError, match=rf"{shut}: cannot be read \(Permission denied\); check its perm"):
        scan_folder(as_nobody / "data")


# --- limits ---------------------------------------------------------------------------------------


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 GB named .jpg: its size is looked at before it is opened, in check, train and predict."""
    path = around(tmp_path, "x.jpg", b"")
    os.truncate(path, 3_000_000_000)
    opened: list[str] = []
    original = Path.open

    def remember(self: Path, *args: Any, **options: Any) -> Any:
        opened.append(self.name)
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", remember)
    reason = "3000 MB, more than 716 MB"
    (bad,) = scan_folder(tmp_path / "data", skip_bad=True, near=False).bad
    assert bad.reason == reason
    (said,), _ = asked(path)
    assert said.error == reason
    good = next(p for p in scan_folder(tmp_path / "data", skip_bad=True, near=False).pictures)
    (tmp_path / "data" / good.path).unlink()
    path.rename(tmp_path / "data" / good.path)
    with pytest.raises(LostPictureError, match=rf"{good.path}: cannot be read any more \({reason}\)"):
        list(eval_batches(tmp_path / "data", [good], SMALL, 1))
    assert "0.png" in opened
    assert "x.jpg" not in opened


def test_the_limits_leave_room_for_what_is_real() -> None:
    """A picture at the pixel limit fits uncompressed; a strip of 100 : 1 is read, one more is not."""
    assert MAX_BYTES >= 178_956_970 * 3
    edge = encoded(Image.new("L", (MAX_ASPECT * 3, 3)), "PNG")
    assert decode(io.BytesIO(edge)).size == (300, 3)
    with pytest.raises(UnreadableImageError, match="longer than 100 : 1"):
        decode(io.BytesIO(encoded(Image.new("L", (3, MAX_ASPECT * 3 + 1)), "PNG")))


def test_a_stream_is_limited_too() -> None:
    """What is given as a stream is measured before it is read."""

    class Endless(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            return MAX_BYTES + 1 if whence == os.SEEK_END else super().seek(offset, whence)

    with pytest.raises(UnreadableImageError, match="more than 716 MB"):
        decode(Endless(PNG))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/zero", "not a regular file"),
        ("a\0b.jpg", "not a path that a file can have"),
        ("n" * 5000 + ".jpg", "file name too long"),
        ("a\0*.jpg", "not a path that a file can have"),
        ("[" * 3000 + "*", "file name too long"),
    ],
)
def test_what_is_no_picture_path_is_a_row_of_predict(path: str, reason: str) -> None:
    """A device is not read, and what can be no path stops no other answer."""
    (question,) = collect([path])
    assert question.path == path
    (said,), _ = asked(Path(path))
    assert said.error == reason


def test_a_pipe_stops_nothing(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused, not waited for, by predict too."""
    os.mkfifo(tmp_path / "x.jpg")
    (said,), _ = asked(tmp_path / "x.jpg")
    assert said.error == "not a regular file"


def test_too_many_open_files_are_no_pictures_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no further file can be opened, the scan stops: no picture is left out as bad for it."""
    around(tmp_path, "x.jpg", JPEG)

    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(VitbenchError, match="too many files are open; raise the limit") as error:
        scan_folder(tmp_path / "data", skip_bad=True)
    assert not isinstance(error.value, UnreadableImageError)


def test_a_file_that_grows_is_not_followed(tmp_path: Path) -> None:
    """No more is read than the file held when its size was looked at, but for one byte."""
    path = tmp_path / "x.jpg"
    path.write_bytes(b"1234")
    original = Path.stat

    def before(self: Path, **options: Any) -> os.stat_result:
        status = original(self, **options)
        with path.open("ab") as stream:
            stream.write(b"5" * 1000)
        return status

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "stat", before)
        assert picture_bytes(path) == b"12345"


def test_names_in_messages_cannot_speak_to_a_terminal() -> None:
    """Control characters, line breaks and marks that turn text round are spelled out, all scripts stay."""
    assert printable("photo\u202egpj.exe") == r"photo\u202egpj.exe"
    assert printable("사과\n\x1b[2J\x9b\u2028é") == r"사과\n\x1b[2J\x9b\u2028é"
    assert printable(Path(os.fsdecode(b"caf\xe9"))) == r"caf\xe9"


# --- while it is trained --------------------------------------------------------------------------


class Meddles(Watch):
    """Does something to a file once the first epoch of the second run is saved."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self.deed = deed
        self.ends: dict[str, str] = {}

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if run == "test_vit-s1" and row.epoch == 1:
            self.deed()

    def run_finished(self, run: str, text: str) -> None:
        self.ends[run] = text


TWO_RUNS = {**TINY, "seeds": (0, 1), "near_duplicates": False}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """The same two runs on the same pictures, nothing lost."""
    root = tmp_path_factory.mktemp("undisturbed")
    return train(paint_folder(root / "data", per_class=5), name="whole", results=root, **TWO_RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["vanishes", "changes"])
def test_a_file_that_is_lost_between_epochs(deed: str, undisturbed: Benchmark, tmp_path: Path) -> None:
    """One line names it, what is finished stays, and once it is back --resume ends as if nothing had been."""
    data = paint_folder(tmp_path / "data", per_class=5)
    lost = data / next(row["path"] for row in undisturbed.split_rows() if row["split"] == "train")
    content = lost.read_bytes()
    deeds: dict[str, Callable[[], object]] = {
        "vanishes": lost.unlink,
        "changes": lambda: paint(lost, (1, 2, 3), 99),
    }
    message = stopped(Meddles(deeds[deed]), data, tmp_path / "results")
    assert lost.name in message
    assert "put it back and --resume" in message
    assert message.isprintable()
    benchmark = Benchmark(tmp_path / "results" / "cut")
    first, second = benchmark.runs
    assert (first.status, second.status != "finished") == ("finished", True)
    assert len(second.epochs()) == 1
    lost.write_bytes(content)
    train(name="cut", results=tmp_path / "results", resume=True)
    for before, after in zip(undisturbed.runs, benchmark.runs, strict=True):
        weights = [run.model_folder / "model.safetensors" for run in (before, after)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["vanishes", "changes"])
def test_a_lost_file_that_the_store_holds_is_not_missed(
    deed: str, undisturbed: Benchmark, tmp_path: Path
) -> None:
    """Training goes on with what was scanned, to the same bytes."""
    data = paint_folder(tmp_path / "data", per_class=5)
    lost = data / next(row["path"] for row in undisturbed.split_rows() if row["split"] == "train")
    deeds: dict[str, Callable[[], object]] = {
        "vanishes": lost.unlink,
        "changes": lambda: paint(lost, (1, 2, 3), 99),
    }
    store = str(tmp_path / "store")
    benchmark = train(
        data, name="on", results=tmp_path, watch=Meddles(deeds[deed]), store_dir=store, **TWO_RUNS
    )
    for before, after in zip(undisturbed.runs, benchmark.runs, strict=True):
        weights = [run.model_folder / "model.safetensors" for run in (before, after)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


def stopped(watch: Meddles, data: Path, results: Path) -> str:
    """What train says of the lost file: raised for all, or as the end of the run that met it."""
    try:
        train(data, name="cut", results=results, watch=watch, store=False, **TWO_RUNS)
    except VitbenchError as error:
        return str(error)
    return watch.ends["test_vit-s1"]
