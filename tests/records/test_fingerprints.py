"""Pictures are known again by 48 bytes: the very file, and copies of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vitbench.data.duplicates.descriptors import descriptor_of, fingerprint
from vitbench.errors import VitbenchError
from vitbench.records import Array, Fingerprints, Picture
from vitbench.records.fingerprints import NOT_KNOWN, NOTHING, Found
from vitbench.records.pictures import Part


def scene(key: int) -> Image.Image:
    """A picture of soft coloured clouds, 120 × 90 px."""
    small = np.random.default_rng(key).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((120, 90), Image.Resampling.BICUBIC)


def printed(image: Image.Image) -> bytes:
    return fingerprint(descriptor_of(image))


def picture(key: int, image: Image.Image | None = None) -> Picture:
    """A picture whose file has a digest made from `key`."""
    content = np.random.default_rng(key).bytes(32).hex()
    return Picture("", "", None, content, "", 1, 1, fingerprint=printed(image or scene(key)))


def of(part: Part, *keys: int) -> Fingerprints:
    return Fingerprints.of((part, picture(key)) for key in keys)


TURNS = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "three times as large": lambda image: image.resize((360, 270), Image.Resampling.LANCZOS),
    "half as large": lambda image: image.resize((60, 45), Image.Resampling.LANCZOS),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "darker": lambda image: image.point(lambda level: 0.6 * level),
}


@pytest.mark.parametrize("how", TURNS)
def test_copies_are_known_again(how: str) -> None:
    """Another file that shows the same is a near-copy; the part is that of the first."""
    known = of("train", *range(20))
    assert known.find("ff" * 32, printed(TURNS[how](scene(7)))) == Found("train", near=True)


def test_the_very_file_is_no_near_copy() -> None:
    """By its bytes, even where its pixels are not asked for."""
    known = of("val", 1, 2)
    assert known.find(picture(2).sha256, b"") == Found("val", near=False)


@pytest.mark.slow
def test_other_pictures_are_not_known() -> None:
    """A thousand others: none is taken for one of twenty."""
    known = of("train", *range(20))
    others = [picture(key) for key in range(1000, 2000)]
    assert known.find_all([(p.sha256, p.fingerprint) for p in others]) == [None] * 1000


def test_nothing_is_claimed_of_blank_pictures() -> None:
    """Two blank walls look alike; only the same file counts."""
    white, gray = (Image.new("RGB", (64, 64), level) for level in ("white", "gray"))
    known = Fingerprints.of([("train", picture(1, white))])
    assert printed(white) == printed(gray) == bytes(32)
    assert known.find(picture(2).sha256, printed(gray)) is None
    assert known.find(picture(1).sha256, printed(white)) == Found("train", near=False)


def test_joined_ones_keep_each_picture_once_and_its_earliest_part() -> None:
    """3 is val here and train there: train. What is not complete makes the whole so."""
    both = of("val", 1, 3).joined([of("train", 3, 5)])
    assert len(both) == 3
    assert [both.find(picture(key).sha256, b"") for key in (1, 3, 5)] == [
        Found("val", near=False), Found("train", near=False), Found("train", near=False)
    ]  # fmt: skip
    assert both.complete
    assert not both.joined([NOT_KNOWN]).complete
    assert len(NOTHING.joined([])) == 0


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """The same bytes for the same pictures in any order; 49 a picture and a short head."""
    one, other = tmp_path / "one", tmp_path / "other"
    of("train", *range(100)).joined([NOT_KNOWN]).write(one)
    of("train", *reversed(range(100))).joined([NOT_KNOWN]).write(other)
    assert one.read_bytes() == other.read_bytes()
    assert len(one.read_bytes()) < 49 * 100 + 400
    found = Fingerprints.read(one)
    assert found is not None
    assert (len(found), found.complete) == (100, False)
    assert found.find(picture(99).sha256, b"") == Found("train", near=False)
    assert Fingerprints.read(tmp_path / "none") is None


@pytest.mark.parametrize("damage", ["cut", "parts", "shape", "text"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    """Cut off, with parts that do not exist, with columns of other lengths, or no such file at all."""
    from safetensors.numpy import save

    path = tmp_path / "x.prints"
    of("train", 1, 2).write(path)
    whole: dict[str, Array] = {
        "contents": np.zeros((2, 16), np.uint8), "prints": np.zeros((2, 32), np.uint8),
        "parts": np.zeros(2, np.uint8),
    }  # fmt: skip
    content = {
        "cut": path.read_bytes()[:-3],
        "parts": save({**whole, "parts": np.full(2, 9, np.uint8)}),
        "shape": save({**whole, "prints": np.zeros((3, 32), np.uint8)}),
        "text": b"hello",
    }[damage]
    path.write_bytes(content)
    with pytest.raises(VitbenchError, match=r"x.prints: not .*; copy it again from where it was made"):
        Fingerprints.read(path)
