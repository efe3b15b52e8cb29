import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import noise, textured
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from scipy.fft import dctn

from vitbench.data.decode import decode_bytes
from vitbench.data.demo import demo_files
from vitbench.data.duplicates.align import align, correlation, warp
from vitbench.data.duplicates.descriptors import (
    TURNS,
    Descriptor,
    Descriptors,
    descriptor_of,
    dihedral,
    hashes,
    slopes,
)
from vitbench.data.duplicates.near import MOST_CANDIDATES, Match, find_near

Edit = Callable[[Image.Image], Image.Image]


def near(*pictures: Image.Image) -> list[Match]:
    """The matches among pictures."""
    return find_near(packed([descriptor_of(picture) for picture in pictures]))


def packed(descriptors: list[Descriptor]) -> Descriptors:
    return Descriptors.of(descriptors, len(descriptors))


def places(matches: list[Match]) -> list[tuple[int, int]]:
    return [(match.one, match.other) for match in matches]


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """A picture after JPEG's losses."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return decode_bytes(stream.getvalue())


def centre(picture: Image.Image, share: float) -> Image.Image:
    """The middle of a picture, `share` of each side."""
    left, top = (round(side * (1 - share) / 2) for side in picture.size)
    return picture.crop((left, top, picture.width - left, picture.height - top))


EDITS: dict[str, Edit] = {
    "encoded again": lambda p: jpeg(p, 50),
    "half as large": lambda p: p.resize((120, 90), Image.Resampling.LANCZOS),
    "squeezed": lambda p: p.resize((150, 150), Image.Resampling.BICUBIC),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.4),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.6),
    "more contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.5),
    "gray": lambda p: p.convert("L").convert("RGB"),
    "cropped to 95 %": lambda p: centre(p, 0.95),
    "cropped to 88 %": lambda p: centre(p, 0.88),
    "tilted by 2°": lambda p: centre(p.rotate(2, Image.Resampling.BICUBIC), 0.95),
    "all at once": lambda p: jpeg(ImageEnhance.Brightness(centre(p, 0.95)).enhance(1.2).transpose(0), 70),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_copies_are_found(edit: Edit) -> None:
    """Ten pictures and an edited copy of each are ten pairs, and no others."""
    pictures = [textured(key) for key in range(10)]
    found = near(*pictures, *(edit(picture) for picture in pictures))
    assert places(found) == [(i, i + 10) for i in range(10)]


@pytest.mark.parametrize("turn", range(TURNS))
def test_turned_copies_are_found(turn: int) -> None:
    """A copy mirrored or turned in any of eight ways is found, and which way it was."""
    picture = textured(1)
    copy = Image.fromarray(np.moveaxis(dihedral(np.moveaxis(np.asarray(picture), -1, 0), turn), 0, -1))
    (match,) = near(picture, copy)
    back = {5: 6, 6: 5}  # what undoes a quarter turn is the other one
    assert match.turn == back.get(turn, turn)


def test_what_was_done_is_measured() -> None:
    """A match says how much was cropped, tilted, shifted and lit: the copy beside the original."""
    picture = textured(2)
    (match,) = near(picture, centre(picture, 0.9))
    assert match.zoom == pytest.approx(0.9, abs=0.01)
    (match,) = near(centre(picture, 0.9), picture)
    assert match.zoom == pytest.approx(1 / 0.9, abs=0.015)
    (match,) = near(picture, centre(picture.rotate(3, Image.Resampling.BICUBIC), 0.93))
    assert abs(match.tilt) == pytest.approx(3, abs=0.3)
    moved = textured(2, (240, 180)).crop((0, 0, 232, 180)), picture.crop((8, 0, 240, 180))
    (match,) = near(*moved)
    assert match.shift == pytest.approx(8 / 232, abs=0.005)
    (match,) = near(picture, ImageEnhance.Brightness(picture).enhance(0.7))
    assert match.light == pytest.approx(-0.3 * np.asarray(picture.convert("L")).mean(), abs=2)
    (match,) = near(picture, picture.convert("L").convert("RGB"))
    assert match.colour < 0.3


@pytest.mark.slow
def test_different_pictures_are_not_claimed() -> None:
    """Among 300 different pictures, and 100 of pure noise, no pair is claimed."""
    assert near(*(textured(key, (80, 80)) for key in range(300))) == []
    assert near(*(noise(key, (64, 64)) for key in range(100))) == []


def test_other_colours_are_other_pictures() -> None:
    """Equal shapes in other colours are not copies: colour may be the class."""
    picture = textured(3)
    luma, blue, red = picture.convert("YCbCr").split()
    other = Image.merge("YCbCr", (luma, *(plane.point(lambda v: 255 - v) for plane in (blue, red))))
    assert near(picture, other.convert("RGB")) == []


def plain(kind: str) -> Image.Image:
    """A picture with little to see."""
    picture = Image.new("RGB", (200, 200), (230, 230, 225))
    draw = ImageDraw.Draw(picture)
    if kind == "disc":
        draw.ellipse((60, 50, 140, 130), fill=(200, 30, 30))
    elif kind == "horizon":
        draw.rectangle((0, 120, 200, 200), fill=(60, 120, 60))
    elif kind == "large disc":
        draw.ellipse((10, 15, 190, 195), fill=(200, 30, 30))
    elif kind == "word":
        draw.text((10, 70), "nothing", fill=(0, 0, 0), font=ImageFont.load_default(48))
    elif kind == "gradient":
        picture = Image.linear_gradient("L").resize((200, 200)).convert("RGB")
    elif kind == "faint noise":
        pixels = np.asarray(picture) + np.random.default_rng(0).integers(-3, 4, (200, 200, 3))
        picture = Image.fromarray(pixels.astype(np.uint8))
    return picture


@pytest.mark.parametrize("kind", ["flat", "disc", "large disc", "word", "horizon", "gradient", "faint noise"])
def test_pictures_with_little_detail_are_never_claimed(kind: str) -> None:
    """Of a flat picture, a disc, a word or a gradient nothing is claimed, not even of its copy."""
    assert near(plain(kind), plain(kind).resize((100, 100)), jpeg(plain(kind), 80)) == []


def test_one_near_copy_is_no_bridge() -> None:
    """Near to the same third picture, two that share less are not near-copies of one another."""
    wide = textured(4, (400, 240))
    views = [wide.crop((left, 0, left + 280, 240)) for left in range(0, 67, 6)]
    found = places(near(*views))
    assert {(i, i + 1) for i in range(11)} <= set(found)
    assert (0, 11) not in found


def test_threads_and_order_play_no_part() -> None:
    """Any number of threads finds the same; in another order the same pictures are near."""
    pictures = [textured(key, (80, 60)) for key in range(6)]
    pictures += [jpeg(picture, 60) for picture in pictures] + [centre(picture, 0.9) for picture in pictures]
    descriptors = [descriptor_of(picture) for picture in pictures]
    found = find_near(packed(descriptors))
    assert find_near(packed(descriptors), threads=4) == found
    order = np.random.default_rng(0).permutation(len(descriptors))
    again = find_near(packed([descriptors[i] for i in order]))
    assert {frozenset((int(order[m.one]), int(order[m.other]))) for m in again} == {
        frozenset(pair) for pair in places(found)
    }


@pytest.mark.slow
def test_work_is_bounded() -> None:
    """Of very many copies of one picture each is compared with so many others, not with all."""
    picture = textured(5, (64, 64))
    lit = [picture.point(lambda v, add=add: v * 0.7 + add / 10) for add in range(0, 400, 4)]
    found = places(near(*lit))
    each = np.bincount([one for one, _ in found])
    assert each.max() == MOST_CANDIDATES
    assert {other for _, other in found} == set(range(1, 100))


def test_nothing_to_compare() -> None:
    """No picture, or one, has no near-copies."""
    assert near() == []
    assert near(textured(0)) == []


# --- descriptors -------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([42, 48]))
def test_hashes_of_turned_pictures(key: int, side: int) -> None:
    """The hashes for eight turns are the plain hashes of the turned pictures, bit by bit."""
    luma = np.random.default_rng(key).integers(0, 256, (3, side, side), dtype=np.uint8)
    for turn in range(TURNS):
        assert (hashes(luma)[:, turn] == hashes(dihedral(luma, turn).copy())[:, 0]).all()


def test_hash_is_that_of_a_cosine_transform() -> None:
    """The 64 bits say which low frequencies of scipy's transform lie above their median."""
    luma = np.asarray(textured(6).convert("L").resize((48, 48)))
    low = dctn(luma.astype(float))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    bits[0] = False
    assert f"{int(hashes(luma[None])[0, 0]):064b}" == "".join(str(int(bit)) for bit in bits)


def test_prints_stay_small() -> None:
    """A descriptor has 2.6 KB, whatever the size of the picture."""
    for size in ((1, 1), (3, 500), (800, 600)):
        made = descriptor_of(textured(0, size))
        assert len(made.luma) + len(made.chroma) == 48 * 48 + 2 * 12 * 12


# --- alignment ----------------------------------------------------------------------------------


def test_alignment_finds_the_map() -> None:
    """From a guess that moves nothing, Gauss-Newton finds a known zoom, tilt and shift."""
    wide = np.asarray(textured(7, (96, 96)).convert("L"), dtype=np.float32)[None]
    true = np.array([[[1.05, 0.03, 1.5], [-0.02, 0.97, -1.0]]])
    to_wide = np.concatenate([true, [[[0.0, 0.0, 1.0]]]], axis=1)
    cut = slice(24, 72)
    other = wide[:, cut, cut]
    laid, _ = warp(wide, to_wide[:, :2])
    one = laid[:, cut, cut].astype(np.float32)
    found, near_enough = align(one, other, np.eye(2, 3)[None])
    assert near_enough.all()
    assert np.abs(found - true).max() < 0.02
    laid, inside = warp(other, found)
    assert correlation(slopes(one), slopes(laid.astype(np.float32)), inside)[0] > 0.999


def test_what_moves_nothing_keeps_everything() -> None:
    """The map that moves nothing gives the picture back, all of it inside."""
    picture = np.random.default_rng(0).random((2, 12, 12))
    laid, inside = warp(picture, np.tile(np.eye(2, 3), (2, 1, 1)))
    assert np.allclose(laid, picture)
    assert inside.all()


# --- real pictures ------------------------------------------------------------------------------


@pytest.mark.slow
def test_builtin_pictures() -> None:
    """Among the 800 built-in pictures, 28 px and often alike, no pair is claimed."""
    assert near(*(decode_bytes(content) for content in demo_files().values())) == []


def test_flowers(photos: Callable[[str], Path]) -> None:
    """Among 200 different photos of flowers no pair is claimed."""
    files = sorted(photos("flowers5").rglob("*.jpg"))
    assert len(files) == 200
    assert near(*(decode_bytes(path.read_bytes()) for path in files)) == []
