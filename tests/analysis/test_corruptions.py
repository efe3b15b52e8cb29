"""Corruptions are ImageNet-C's: as strong as the published code makes them, and the same for every model."""

import colorsys
import math

import numpy as np
import pytest

from vitbench.analysis.corruptions import CORRUPTIONS, SEVERITIES, named
from vitbench.errors import UsageError
from vitbench.records import Array

PUBLISHED = {
    "gaussian": (15.884, 23.588, 34.401, 47.505, 63.339),
    "shot": (16.643, 25.576, 36.215, 53.359, 66.318),
    "impulse": (3.745, 7.549, 11.299, 21.577, 34.397),
    "defocus": (16.343, 18.326, 21.389, 23.453, 25.248),
    "motion": (18.002, 22.113, 25.984, 29.286, 31.004),
    "zoom": (23.933, 27.078, 28.232, 30.112, 30.884),
    "brightness": (20.189, 39.447, 56.803, 71.166, 81.562),
    "contrast": (26.126, 30.482, 34.836, 39.196, 41.372),
    "saturation": (15.862, 20.397, 19.157, 41.656, 46.159),
    "jpeg": (13.206, 14.303, 14.981, 16.822, 18.614),
    "pixelation": (11.098, 12.478, 14.693, 16.869, 18.132),
    "elastic": (47.932, 52.796, 28.732, 28.737, 31.535),
}
"""Mean change of a value of `photo()`, of 255, by make_imagenet_c.py of hendrycks/robustness itself; motion
blur, which needs ImageMagick there, by imagecorruptions 1.1.2. Of motion and elastic the mean of 40 draws."""
DRAWN = {"motion": 5, "elastic": 3}
"""Draws whose mean is compared; each picture is bent and dragged differently."""


def photo(side: int = 224) -> Array:
    """A picture with the spectrum of photographs, 1 / f; equal arguments, equal bytes."""
    draws = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    spectrum = np.fft.fft2(draws.standard_normal((3, side, side))) / np.maximum(frequency, 1 / side) ** 1.2
    field = np.fft.ifft2(spectrum).real
    mixed = 0.7 * field.mean(axis=0) + 0.3 * field
    pixels = 118 + 55 * mixed / mixed.std()
    return np.clip(np.rint(np.moveaxis(pixels, 0, 2)), 0, 255).astype(np.uint8)


PHOTO = photo()


def change(name: str, severity: int, draws: int, picture: Array = PHOTO) -> float:
    """Mean |change| of a value, of 255."""
    made = [CORRUPTIONS[name].apply(picture, severity, seed, "") for seed in range(draws)]
    return float(np.mean([np.abs(one.astype(float) - picture) for one in made]))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_as_strong_as_the_published_code_makes_it(name: str) -> None:
    """Within 1 %, sparse noise within 3 %; what is drawn once per picture within 12 %."""
    draws = DRAWN.get(name, 1)
    for severity, published in zip(SEVERITIES, PUBLISHED[name], strict=True):
        found = change(name, severity, draws)
        assert found == pytest.approx(
            published, rel=0.12 if draws > 1 else 0.03 if name == "impulse" else 0.01
        ), severity


def test_brightness_and_saturation_are_those_of_hsv() -> None:
    """By Python's own `colorsys`, pixel by pixel, grey and black among them."""
    picture = np.array([[[10, 200, 90], [0, 0, 0]], [[128, 128, 128], [255, 250, 3]]], dtype=np.uint8)
    for name, turned in (
        ("brightness", lambda h, s, v: (h, s, min(v + 0.3, 1))),
        ("saturation", lambda h, s, v: (h, min(5 * s + 0.1, 1), v)),
    ):
        severity = 3 if name == "brightness" else 4
        made = CORRUPTIONS[name].apply(picture, severity, 0, "")
        for old, new in zip(picture.reshape(-1, 3), made.reshape(-1, 3), strict=True):
            wanted = colorsys.hsv_to_rgb(*turned(*colorsys.rgb_to_hsv(*(old / 255))))
            assert np.abs(np.array(wanted) * 255 - new).max() <= 0.51


def test_noise_has_the_variance_that_its_constant_says() -> None:
    """On mid grey: σ; √(½ / photons); a share of values, half of them black and half white."""
    grey = np.full((96, 96, 3), 128, dtype=np.uint8)
    made = {name: CORRUPTIONS[name].apply(grey, 1, 0, "") / 255 for name in ("gaussian", "shot", "impulse")}
    assert made["gaussian"].std() == pytest.approx(0.08, rel=0.02)
    assert made["shot"].std() == pytest.approx(math.sqrt(0.502 / 60), rel=0.02)
    for end in (0, 1):
        assert (made["impulse"] == end).mean() == pytest.approx(0.015, abs=0.002)


def test_what_is_drawn_depends_on_seed_content_and_severity_alone() -> None:
    """The same bytes whatever was drawn before; others for another seed, file or kind."""
    small = PHOTO[:32, :32]
    for name in ("gaussian", "shot", "impulse", "motion", "elastic"):
        one = CORRUPTIONS[name]
        first = one.apply(small, 2, 0, "aa")
        one.apply(small, 3, 0, "aa")
        assert np.array_equal(one.apply(small, 2, 0, "aa"), first)
        assert not np.array_equal(one.apply(small, 2, 1, "aa"), first)
        assert not np.array_equal(one.apply(small, 2, 0, "bb"), first)


def test_lengths_go_with_the_size_of_the_picture() -> None:
    """Half the size, half the radius: a picture is as blurred, and as bent, as a large one is."""
    half = np.asarray(PHOTO.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3)).round(), dtype=np.uint8)
    for name in ("defocus", "motion", "elastic"):
        blurred = CORRUPTIONS[name].apply(PHOTO, 3, 0, "").astype(float)
        small = CORRUPTIONS[name].apply(half, 3, 0, "").astype(float)
        if name == "defocus":
            assert np.abs(blurred.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3)) - small).mean() < 3
        assert np.abs(small - half).mean() == pytest.approx(np.abs(blurred - PHOTO).mean(), rel=0.3)


def test_those_that_training_views_have_are_known() -> None:
    """By the levels of `--augment`: colour factors of light, operations of strong."""
    trained = {
        level: [name for name, one in CORRUPTIONS.items() if one.trained_with(level)]
        for level in ("none", "geometry", "light", "strong")
    }
    colour = ["brightness", "contrast", "saturation"]
    assert trained == {"none": [], "geometry": [], "light": colour, "strong": colour}


def test_a_name_that_there_is_not_is_refused_with_the_nearest() -> None:
    """Those asked for come in the order of the table, each once."""
    assert [one.name for one in named(["jpeg", "gaussian", "jpeg"])] == ["gaussian", "jpeg"]
    assert len(named(["all"])) == 12
    with pytest.raises(
        UsageError, match=r"--corruptions gausian: no such corruption; did you mean gaussian\?"
    ):
        named(["gausian"])
