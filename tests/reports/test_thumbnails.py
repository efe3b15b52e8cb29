"""Small copies of photographs: bounded, upright, without metadata."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitbench.reports import thumbnails as module
from vitbench.reports.thumbnails import LARGE, LEVELS, jpeg, small, thumbnails


def test_thumbnails_are_small_and_carry_no_metadata(tmp_path: Path) -> None:
    """A big photo with EXIF becomes a JPEG of the given side without it."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    Image.new("RGB", (1800, 1200), (9, 99, 9)).save(tmp_path / "a.jpg", exif=exif)
    (found,) = thumbnails([tmp_path / "a.jpg"], [1]).values()
    image = Image.open(io.BytesIO(found))
    assert image.size == (LARGE[0], LARGE[0] * 2 // 3)
    assert not image.getexif()
    assert b"SECRET" not in found


def test_photos_are_set_upright(tmp_path: Path) -> None:
    """A photo that its camera marks as turned is shown standing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (900, 600)).save(tmp_path / "a.jpg", exif=exif)
    image = small(tmp_path / "a.jpg", 300)
    assert image is not None
    assert image.size == (200, 300)


def test_unreadable_pictures_are_left_out(tmp_path: Path) -> None:
    """Broken, absent, or no number of a picture: no thumbnail, no error."""
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8no")
    Image.new("RGBA", (9, 9)).save(tmp_path / "clear.png")
    paths = [tmp_path / "broken.jpg", tmp_path / "absent.jpg", tmp_path / "clear.png"]
    assert list(thumbnails(paths, [1, 2, 3, 4])) == [3]


def test_many_busy_pictures_stay_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise compresses badly: the copies get smaller until they fit; the first ones stay large."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    monkeypatch.setattr(module, "BUDGET", 2_200_000)
    found = thumbnails([tmp_path / "a.jpg"] * 40, range(1, 41))
    sides = [Image.open(io.BytesIO(one)).width for one in found.values()]
    assert sides[:8] == [400] * 8
    assert max(sides[8:]) < LEVELS[0][0]
    assert sum(map(len, list(found.values())[8:])) + 2 * sum(map(len, list(found.values())[:8])) < 2_200_000


def test_small_pictures_are_not_blown_up() -> None:
    """A picture smaller than asked for keeps its size."""
    assert Image.open(io.BytesIO(jpeg(Image.new("RGB", (30, 20)), 320, 70))).size == (30, 20)
