import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitbench.data.views import (
    FILL,
    LEVELS,
    OPS,
    KeyedRandom,
    View,
    centre_square,
    draw_view,
    render,
    smallest_crop,
)

CONTENT = "ab" * 32
LEVEL_NAMES = list(LEVELS)
MOVING = ["geometry", "light", "strong", "deit"]


def gradient(width: int = 300, height: int = 200) -> Image.Image:
    """Red grows to the right, green downwards: a pixel's colour says where it came from."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


def smooth(size: int) -> Image.Image:
    """A gradient without edges, at any size the same picture."""
    return gradient(size, size)


@pytest.mark.parametrize("augment", LEVEL_NAMES)
def test_same_arguments_same_view(augment: str) -> None:
    """A view is a function of its arguments, whatever was drawn before."""
    first = draw_view(1, 2, CONTENT, 3, 1.5, augment)
    for k in range(5):
        draw_view(1, 2, CONTENT, k, 1.5, augment)
    assert draw_view(1, 2, CONTENT, 3, 1.5, augment) == first


@pytest.mark.parametrize("augment", MOVING)
def test_every_argument_counts(augment: str) -> None:
    """Another seed, epoch, content or k draws another view."""
    views = [
        draw_view(*arguments, 1.5, augment)
        for arguments in itertools.product((0, 1), (0, 1), (CONTENT, "cd" * 32), (0, 1))
    ]
    assert len(set(views)) == 16


def test_pinned_view() -> None:
    """A view drawn today is the one drawn in any later version, on any platform."""
    assert draw_view(0, 1, CONTENT, 0, 1.5, "light") == View(
        box=(0.005836, 0.124901, 0.752546, 0.978231),
        flip=False,
        rotation=6.3018,
        colour=(1.0549, 0.9637, 1.1335),
    )


@given(st.integers(0, 10**6), st.floats(0.2, 5), st.sampled_from(MOVING))
def test_crops_stay_in_the_picture_and_in_range(k: int, aspect: float, augment: str) -> None:
    """A crop lies in the picture, its area and shape in the level's range, or it is the largest that fits."""
    x0, y0, x1, y1 = draw_view(0, 1, CONTENT, k, aspect, augment).box
    assert 0 <= x0 < x1 <= 1
    assert 0 <= y0 < y1 <= 1
    area, shape = (x1 - x0) * (y1 - y0), (x1 - x0) * aspect / (y1 - y0)
    low, high = LEVELS[augment].area
    assert 3 / 4 - 1e-3 <= shape <= 4 / 3 + 1e-3
    fits = low - 1e-3 <= area <= high + 1e-3
    assert fits or x1 - x0 > 0.999 or y1 - y0 > 0.999
    shorter = min((x1 - x0) * max(1, aspect), (y1 - y0) * max(1, 1 / aspect))
    assert shorter >= smallest_crop(augment) - 1e-3  # what stored pictures are sized by


def test_levels_with_one_range_crop_alike() -> None:
    """geometry and light differ in turns and colours, not in where they crop."""
    for k in range(20):
        one, two = (draw_view(0, 1, CONTENT, k, 1.2, level) for level in ("geometry", "light"))
        assert (one.box, one.flip) == (two.box, two.flip)


def test_light_stays_in_its_limits() -> None:
    """Rotation within ±10°, colours within ±20 %, both ways; no operations, no erasing."""
    views = [draw_view(0, 1, CONTENT, k, 1.0, "light") for k in range(500)]
    turns = [view.rotation for view in views]
    factors = [f for view in views for f in view.colour]
    assert -10 <= min(turns) < -8 < 8 < max(turns) <= 10
    assert 0.8 <= min(factors) < 0.85 < 1.15 < max(factors) <= 1.2
    assert all(not view.ops and not view.erase for view in views)


def test_strong_uses_every_operation_and_erases_a_quarter() -> None:
    """Two operations each, all of the table in time, and a box erased in about 25 %."""
    views = [draw_view(0, 1, CONTENT, k, 1.0, "strong") for k in range(1000)]
    assert {len(view.ops) for view in views} == {2}
    assert {name for view in views for name, _ in view.ops} == set(OPS)
    assert all(abs(value) <= OPS[name] for view in views for name, value in view.ops)
    assert 200 < sum(bool(view.erase) for view in views) < 300


def test_deit_is_randaugment_at_nine_of_ten() -> None:
    """Two operations up to half as far again as strong's, small crops, a box erased in about 25 %."""
    views = [draw_view(0, 1, CONTENT, k, 1.0, "deit") for k in range(1000)]
    assert {len(view.ops) for view in views} == {2}
    turns = [value for view in views for name, value in view.ops if name == "rotate"]
    assert -27 <= min(turns) < -22 < 22 < max(turns) <= 27
    assert all(abs(value) <= 1.5 * OPS[name] for view in views for name, value in view.ops)
    assert 200 < sum(bool(view.erase) for view in views) < 300
    areas = [(view.box[2] - view.box[0]) * (view.box[3] - view.box[1]) for view in views]
    assert min(areas) < 0.1


def test_strong_view_is_pinned() -> None:
    """The strength of other levels leaves strong's views as they were."""
    assert draw_view(0, 1, CONTENT, 0, 1.0, "strong").ops == (
        ("brightness", 0.0381),
        ("contrast", 0.1482),
    )


@pytest.mark.parametrize("name", list(OPS))
def test_operations_bear_deits_magnitudes(name: str) -> None:
    """At half as much again, either way, an operation still gives a picture of its size that is not blank."""
    pixels = np.random.default_rng(0).integers(40, 200, (32, 32, 3), dtype=np.uint8)
    for value in (-1.5 * OPS[name], 1.5 * OPS[name]):
        got = render(View((0, 0, 1, 1), ops=((name, value),)), Image.fromarray(pixels), 32)
        assert got.shape == (32, 32, 3)
        assert got.std() > 1


@pytest.mark.parametrize("augment", MOVING)
def test_flip_is_half_and_can_be_switched_off(augment: str) -> None:
    """About half of the views are mirrored; without flip none is, and nothing else changes."""
    views = [draw_view(0, 1, CONTENT, k, 1.0, augment) for k in range(1000)]
    plain = [draw_view(0, 1, CONTENT, k, 1.0, augment, flip=False) for k in range(1000)]
    assert 430 < sum(view.flip for view in views) < 570
    assert not any(view.flip for view in plain)
    assert [view.box for view in views] == [view.box for view in plain]


def test_none_is_the_centre_square() -> None:
    """Without augmentation every view is the largest square at the centre."""
    assert draw_view(0, 1, CONTENT, 0, 2.0, "none") == View((0.25, 0.0, 0.75, 1.0))
    assert draw_view(5, 6, CONTENT, 7, 0.5, "none") == View((0.0, 0.25, 1.0, 0.75))
    assert centre_square(1.0) == (0, 0, 1, 1)


def test_whole_picture_is_pillows_resize() -> None:
    """A view of all of a picture is Pillow's own antialiased resize, to the bit."""
    image = gradient()
    expected = np.asarray(image.resize((50, 50), Image.Resampling.BICUBIC))
    got = render(View((0, 0, 1, 1)), image, 50)
    assert (got.dtype, got.shape) == (np.uint8, (50, 50, 3))
    assert np.array_equal(got, expected)


def test_interpolation_is_the_models() -> None:
    """The model's interpolation is used."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    whole = View((0, 0, 1, 1))
    for name in ("bilinear", "bicubic", "lanczos"):
        expected = np.asarray(image.resize((90, 90), Image.Resampling[name.upper()]))
        assert np.array_equal(render(whole, image, 90, name), expected)


def test_crop_shows_its_box() -> None:
    """The corners of a rendered crop have the colours of the box's corners."""
    got = render(View((0.5, 0.25, 1.0, 0.75)), gradient(), 100).astype(int)
    assert abs(got[0, 0, 0] - 128) <= 3
    assert abs(got[0, -1, 0] - 255) <= 3
    assert abs(got[0, 0, 1] - 64) <= 3
    assert abs(got[-1, 0, 1] - 191) <= 3


def test_flip_mirrors_left_and_right() -> None:
    """A mirrored view is the plain one read from the right."""
    image, box = gradient(), (0.1, 0.2, 0.7, 0.9)
    plain, mirrored = render(View(box), image, 40), render(View(box, flip=True), image, 40)
    assert np.array_equal(mirrored, plain[:, ::-1])


def test_rotation_keeps_the_centre_and_has_no_black_corners() -> None:
    """A turned view of a white picture is white up to its corners, even at the picture's edge."""
    white = Image.new("RGB", (90, 60), (255, 255, 255))
    assert render(View((0, 0, 1, 1), rotation=10), white, 64).min() == 255
    image = gradient(200, 200)
    plain, turned = (render(View((0.2, 0.2, 0.8, 0.8), rotation=r), image, 65).astype(int) for r in (0, 10))
    assert np.abs(plain[32, 32] - turned[32, 32]).max() <= 2
    # Counter-clockwise: what was on the right moves up, so the top right corner shows more of the right.
    assert turned[0, 32, 0] > plain[0, 32, 0] + 5


def test_colour_factors() -> None:
    """Brightness halves the values; no saturation makes gray."""
    image = Image.new("RGB", (10, 10), (200, 100, 0))
    half = render(View((0, 0, 1, 1), colour=(0.5, 1, 1)), image, 10)
    gray = render(View((0, 0, 1, 1), colour=(1, 1, 0)), image, 10)
    assert half[5, 5].tolist() == [100, 50, 0]
    assert len(set(gray[5, 5].tolist())) == 1


def test_erased_box_has_the_fill_colour() -> None:
    """The erased box, and nothing beside it, is filled."""
    got = render(View((0, 0, 1, 1), erase=((0.5, 0.0, 1.0, 0.25),)), Image.new("RGB", (8, 8), (1, 2, 3)), 8)
    assert (got[:2, 4:] == FILL).all()
    assert (got[2:] == (1, 2, 3)).all()
    assert (got[:2, :4] == (1, 2, 3)).all()


@pytest.mark.parametrize("name", list(OPS))
def test_each_operation_does_something(name: str) -> None:
    """At its largest magnitude each operation changes a picture, and keeps its size."""
    pixels = np.random.default_rng(0).integers(40, 200, (32, 32, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    got = render(View((0, 0, 1, 1), ops=((name, OPS[name]),)), image, 32)
    assert got.shape == (32, 32, 3)
    assert not np.array_equal(got, pixels)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y"])
def test_turning_operations_keep_the_centre(name: str) -> None:
    """Rotation and shear turn about the centre."""
    image = gradient(101, 101)
    got = render(View((0, 0, 1, 1), ops=((name, OPS[name]),)), image, 101).astype(int)
    assert np.abs(got[50, 50] - np.asarray(image).astype(int)[50, 50]).max() <= 4


@pytest.mark.parametrize("augment", ["geometry", "light"])
def test_view_is_the_same_at_any_size(augment: str) -> None:
    """Rendered small, or large and then shrunk, a view shows the same: sizes don't change the crop."""
    image = smooth(400)
    for k in range(8):
        view = draw_view(0, 1, CONTENT, k, 1.0, augment)
        small = render(view, image, 32).astype(int)
        large = Image.fromarray(render(view, image, 128)).resize((32, 32), Image.Resampling.BOX)
        assert np.abs(small - np.asarray(large).astype(int)).mean() < 2


def test_keyed_randomness_is_even() -> None:
    """Equal keys throw alike, other keys otherwise; numbers lie evenly in [0, 1)."""
    numbers = [KeyedRandom("a", 1).uniform() for _ in range(2)] + [
        KeyedRandom("a", 2).uniform(),
        KeyedRandom("a1").uniform(),
    ]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 3
    dice = KeyedRandom("even")
    throws = np.array([dice.uniform() for _ in range(4000)])
    assert 0 <= throws.min() < 0.01 < 0.99 < throws.max() < 1
    assert abs(throws.mean() - 0.5) < 0.02


def test_order_is_a_permutation() -> None:
    """`order` holds each place once."""
    assert sorted(KeyedRandom("o").order(50).tolist()) == list(range(50))
    assert KeyedRandom("o").order(50).tolist() != list(range(50))
