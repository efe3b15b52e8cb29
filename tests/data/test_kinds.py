"""Which kinds of file are read, which of several pictures in a file, and what is said of the others."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import TINY
from PIL import Image, features

from vitbench.benchmark.train import TrainRequest, prepare
from vitbench.data.decode import decode, decode_in_full
from vitbench.data.formats import FORMATS, SUFFIXES, UNREAD, UNREAD_BY_SUFFIX
from vitbench.data.scan import scan_folder
from vitbench.errors import ClassesError, UnreadableImageError, VitbenchError
from vitbench.inference.stream import collect
from vitbench.records.watch import Watch
from vitbench.settings import Settings

Maker = Callable[..., Path]
RED, BLUE = (255, 0, 0), (0, 0, 255)

WRITTEN = {
    "a.ppm": {}, "a.pnm": {}, "a.jp2": {"irreversible": False}, "a.j2k": {}, "a.tga": {}, "a.icb": {},
    "a.bmp": {}, "a.dib": {}, "a.webp": {"lossless": True}, "a.apng": {"format": "PNG"}, "a.sgi": {},
    "a.rgb": {}, "a.pcx": {}, "a.dds": {}, "a.ico": {"sizes": [(40, 40)]}, "a.qoi": {},
}  # fmt: skip
"""Names of files that Pillow writes without loss, in colour, and how."""


def plain(side: int = 40) -> Image.Image:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def beside(tmp_path: Path, classes: Maker, **files: bytes) -> Path:
    """Two classes of four PNGs, and files in the first: `ppm=…` is cat/x.ppm."""
    root = classes(tmp_path / "data", {"cat": 4, "dog": 4})
    for ending, content in files.items():
        for number in range(9):
            (root / "cat" / f"x{number}.{ending}").write_bytes(content)
    return root


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize("name", WRITTEN)
def test_what_pillow_decodes_safely_is_read(name: str, tmp_path: Path, classes: Maker) -> None:
    """A file of each such format is a picture of its class, with just its pixels."""
    root = classes(tmp_path, {"cat": 1, "dog": 1})
    picture = plain()
    picture.save(root / "cat" / name, **WRITTEN[name])
    images = scan_folder(root, near=False)
    assert [p.path for p in images.pictures if p.path.startswith("cat/a")] == [f"cat/{name}"]
    assert np.array_equal(np.asarray(decode(root / "cat" / name)), np.asarray(picture))


@pytest.mark.parametrize(("ending", "mode"), [("pgm", "L"), ("pbm", "1"), ("xbm", "1"), ("pfm", "F")])
def test_gray_netpbm_and_the_like(ending: str, mode: str, tmp_path: Path) -> None:
    """Gray, 1-bit and float ones are read too."""
    picture = plain().convert("L").convert(mode)
    picture.save(tmp_path / f"a.{ending}")
    assert decode(tmp_path / f"a.{ending}").size == (40, 40)


def test_no_program_is_run_and_no_other_parser_asked() -> None:
    """EPS, WMF, FPX, PSD, MPEG, HDF5 and the like stay shut; no ending is both taken and left out."""
    shut = {"EPS", "WMF", "FPX", "MIC", "PSD", "MPEG", "HDF5", "GRIB", "BUFR", "FITS", "PDF", "FLI"}
    assert not shut & FORMATS.keys()
    assert not SUFFIXES & UNREAD_BY_SUFFIX.keys()
    endings = [suffix for row in UNREAD for suffix in row.suffixes.split()]
    assert len(endings) == len(set(endings))


def test_16_bit_sgi_is_refused() -> None:
    """Of which only the upper bytes could be had."""
    head = struct.pack(">hBBHHHH", 474, 0, 2, 2, 8, 8, 1).ljust(512, b"\0")
    with pytest.raises(UnreadableImageError, match=r"^16-bit SGI, .* convert it to 16-bit PNG$"):
        decode(io.BytesIO(head + bytes(128)))


# --- left out ---------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_with_what_to_do(tmp_path: Path, classes: Maker) -> None:
    """A line for each kind that may hold pictures, one for all others; train's plan has them too."""
    root = beside(tmp_path, classes, dcm=b"x", CR2=b"x", txt=b"x", npy=b"x")
    (root / "cat" / "README").write_text("about cats")
    (root / "cat" / "Thumbs.db").write_text("")
    expected = (
        "left out: 9 files end in .cr2 (raw photos), which is not read: develop them to JPEG",
        "left out: 9 files end in .dcm (DICOM), which is not read: convert them to 16-bit PNG",
        "left out: 9 files end in .npy (arrays), which is not read: write them as PNG",
        "left out, not pictures by their names: 1 without an ending, 9 .txt",
    )
    images = scan_folder(root, near=False)
    assert images.notes == expected
    assert images.unread == {"": 1, ".cr2": 9, ".dcm": 9, ".npy": 9, ".txt": 9}
    plan, _ = prepare(
        TrainRequest(Settings.of(TINY), root, None, tmp_path / "results"), Watch(), dry_run=True
    )[:2]
    assert set(expected) <= set(plan.notes)


def test_a_picture_under_another_name_is_told_by_its_content(tmp_path: Path, classes: Maker) -> None:
    """JPEGs without an ending, or with a made-up one, are left out and named with the ending they need."""
    root = beside(tmp_path, classes, jpg_large=b"\xff\xd8\xff\xe0" + bytes(20))
    (root / "dog" / "0001").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    assert scan_folder(root, near=False).notes == (
        "left out: 1 file without an ending, which is not read, though 0001 is a PNG: let it end in .png",
        "left out: 9 files end in .jpg_large, which is not read, though x0.jpg_large is a JPEG: let it end "
        "in .jpg",
    )


def test_where_nothing_else_is_there_the_error_says_what_is(tmp_path: Path, classes: Maker) -> None:
    """A class of 9 DICOM files, a flat heap of them, and what predict is asked for."""
    root = beside(tmp_path, classes, dcm=b"x")
    for path in (root / "cat").glob("*.png"):
        path.unlink()
    found = r"\(9 files end in \.dcm \(DICOM\), which is not read: convert them to 16-bit PNG\)"
    with pytest.raises(ClassesError, match=rf"no readable picture of class 'cat' {found}; add some"):
        scan_folder(root)
    with pytest.raises(ClassesError, match=rf"no class folders in it {found}; make one folder"):
        scan_folder(root / "cat")
    with pytest.raises(VitbenchError, match=rf"no pictures in it {found}$"):
        collect([str(root / "cat")])


def test_a_class_of_pictures_that_were_not_fetched(tmp_path: Path, classes: Maker) -> None:
    """Links to nowhere are named where they are all that a class holds, and pointers of Git LFS are told."""
    root = classes(tmp_path / "photos", {"cat": 3, "dog": 3})
    (root / "fox").mkdir()
    for number in range(2):
        (root / "fox" / f"{number}.png").symlink_to(f"/nowhere/{number}.png")
    said = r"'fox' \(0\.png: link to a file that is not there and 1 more\); add some"
    with pytest.raises(ClassesError, match=said):
        scan_folder(root, skip_bad=True)
    pointer = tmp_path / "pointer.jpg"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(UnreadableImageError, match=r"^a pointer of Git LFS, .*`git lfs pull`$"):
        decode(pointer)


# --- several pictures -------------------------------------------------------------------------------


def pages(*sides: int) -> io.BytesIO:
    """A TIFF of red pages with these sides, the last one blue."""
    stream = io.BytesIO()
    first, *others = [
        Image.new("RGB", (side, side), BLUE if place == len(sides) else RED)
        for place, side in enumerate(sides, start=1)
    ]
    first.save(stream, "TIFF", save_all=True, append_images=others)
    stream.seek(0)
    return stream


def test_the_largest_page_is_taken() -> None:
    """The first page may be a thumbnail; of equal ones the first is taken."""
    later, first, even = (decode_in_full(pages(*sides).getvalue()) for sides in ((8, 40), (40, 8), (40, 40)))
    assert (later.image.size, later.image.getpixel((0, 0)), later.several) == ((40, 40), BLUE, "later page")
    assert (first.image.size, first.image.getpixel((0, 0)), first.several) == ((40, 40), RED, "page")
    assert (even.image.getpixel((0, 0)), even.several) == (RED, "page")
    assert decode_in_full(pages(40).getvalue()).several == ""


def test_a_deep_later_page_keeps_its_levels() -> None:
    """The page that is taken is the one whose values are read."""
    stream = io.BytesIO()
    deep = Image.fromarray(np.linspace(0, 4095, 65536).reshape(256, 256).astype(np.uint16))
    Image.new("L", (8, 8)).save(stream, "TIFF", save_all=True, append_images=[deep])
    assert len(np.unique(np.asarray(decode(stream)))) == 256


def test_a_page_that_is_damaged_hides_no_other() -> None:
    """A first page stays readable where the place of the next one is nonsense."""
    content = bytearray(pages(16, 40).getvalue())
    (at,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, at)
    struct.pack_into("<I", content, at + 2 + 12 * entries, len(content) + 1000)
    assert decode(io.BytesIO(content)).size == (16, 16)


def test_the_largest_size_of_an_icon_is_taken() -> None:
    """And said."""
    stream = io.BytesIO()
    plain(64).save(stream, "ICO", sizes=[(16, 16), (64, 64), (32, 32)])
    found = decode_in_full(stream.getvalue())
    assert (found.image.size, found.several) == ((64, 64), "size")


def test_the_largest_size_of_a_mac_icon_is_taken(tmp_path: Path) -> None:
    """Of its eight."""
    plain(64).save(tmp_path / "a.icns")
    found = decode_in_full((tmp_path / "a.icns").read_bytes())
    assert (found.image.size, found.several) == ((1024, 1024), "size")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "MPO"])
def test_the_first_frame_is_taken_and_said(kind: str) -> None:
    """Of an animation, and of a camera's file of several photos."""
    stream = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    found = decode_in_full(stream.getvalue())
    assert found.several == "frame"
    assert np.abs(np.subtract(found.image.getpixel((8, 8)), RED)).max() <= 2


def test_files_with_several_pictures_are_counted(tmp_path: Path, classes: Maker) -> None:
    """Each kind in one line of the check's notes, remembered ones too."""
    root = classes(tmp_path, {"cat": 3, "dog": 3})
    (root / "cat" / "a.tif").write_bytes(pages(8, 20).getvalue())
    (root / "cat" / "b.tif").write_bytes(pages(21, 8).getvalue())
    (root / "dog" / "c.tif").write_bytes(pages(8, 9, 22).getvalue())
    plain(64).save(root / "dog" / "d.ico", sizes=[(16, 16), (64, 64)])
    expected = (
        "1 file with further pages: the largest page is taken",
        "2 files whose largest page, which is taken, is not the first",
        "1 file with several sizes: the largest is taken",
    )
    assert [scan_folder(root, near=False).notes for _ in range(2)] == [expected, expected]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_not_waited_for(tmp_path: Path, classes: Maker) -> None:
    """One among the files that are left out says nothing of itself, and nobody reads it."""
    root = classes(tmp_path, {"cat": 3, "dog": 3})
    os.mkfifo(root / "cat" / "queue")
    assert "left out, not pictures by their names: 1 without an ending" in scan_folder(root).notes
