import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from vitbench.data.decode import BACKGROUND, MAX_PIXELS, SUFFIXES, decode, is_picture_name
from vitbench.errors import UnreadableImageError
from vitbench.records import PixelRange

RED, GREEN, BLUE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
ORIENTATION = 0x0112


def quarters(size: int = 32) -> Image.Image:
    """Red and green above, blue and gray below; twice as wide as high."""
    image = Image.new("RGB", (2 * size, size), RED)
    image.paste(GREEN, (size, 0, 2 * size, size // 2))
    image.paste(BLUE, (0, size // 2, size, size))
    image.paste(GRAY, (size, size // 2, 2 * size, size))
    return image


def corners(image: Image.Image) -> list[tuple[int, int, int]]:
    """The colours in the middle of the four quarters, row by row, snapped to the nearest of the four."""
    seen = []
    for y in (0.25, 0.75):
        for x in (0.25, 0.75):
            colour = image.getpixel((int(image.width * x), int(image.height * y)))
            near = min(
                (RED, GREEN, BLUE, GRAY),
                key=lambda c: sum((a - b) ** 2 for a, b in zip(c, colour, strict=True)),
            )
            seen.append(near)
    return seen


def encoded(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    stream.seek(0)
    return stream


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


UPRIGHT = {
    1: [RED, GREEN, BLUE, GRAY],
    2: [GREEN, RED, GRAY, BLUE],
    3: [GRAY, BLUE, GREEN, RED],
    4: [BLUE, GRAY, RED, GREEN],
    5: [RED, BLUE, GREEN, GRAY],
    6: [BLUE, RED, GRAY, GREEN],
    7: [GRAY, GREEN, BLUE, RED],
    8: [GREEN, GRAY, RED, BLUE],
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, kind: str) -> None:
    """Each of the eight EXIF orientations comes out upright, sides swapped from the fifth on."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = decode(encoded(quarters(), kind, exif=exif))
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))
    assert corners(image) == UPRIGHT[orientation]


def test_broken_exif_does_not_spoil_a_good_picture() -> None:
    """EXIF that cannot be read says nothing; the picture is shown as stored."""
    image = decode(encoded(quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xffgarbage"))
    assert corners(image) == UPRIGHT[1]


def test_heic_from_a_phone_is_upright_once() -> None:
    """A HEIC with both its own rotation and EXIF orientation 6, as phones write it, is turned once."""
    image = decode(Path(__file__).with_name("phone.heic"))
    assert (image.mode, image.size) == ("RGB", (48, 64))
    colours = [image.getpixel((x, y)) for x, y in ((12, 16), (36, 16), (36, 48))]
    assert np.abs(np.array(colours) - [GREEN, RED, BLUE]).max() <= 3


def test_truncated_heic() -> None:
    """A HEIC that ends early is an error at whatever byte it ends."""
    content = Path(__file__).with_name("phone.heic").read_bytes()
    for length in range(16, len(content), 50):
        with pytest.raises(UnreadableImageError):
            decode(io.BytesIO(content[:length]))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif() -> None:
    """AVIF is read by Pillow itself and its ending is known."""
    assert corners(decode(encoded(quarters(), "AVIF", quality=95))) == UPRIGHT[1]
    assert ".avif" in SUFFIXES


def test_transparency_lies_on_white() -> None:
    """A fully transparent pixel is white whatever colour hides in it, a half transparent one is mixed."""
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    got = decode(encoded(image, "PNG"))
    assert got.getpixel((0, 0)) == BACKGROUND == (255, 255, 255)
    assert got.getpixel((1, 0)) == RED
    assert got.getpixel((2, 0)) == (127, 127, 127)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_palette_transparency_lies_on_white(kind: str) -> None:
    """The transparent entry of a palette is white, its neighbours keep their colour."""
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    got = decode(encoded(image, kind, transparency=0))
    assert [got.getpixel((x, 0)) for x in (0, 1)] == [BACKGROUND, BLUE]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_lies_on_white(mode: str) -> None:
    """The one colour that a gray or RGB PNG declares transparent is white."""
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 90 if mode == "L" else (90, 90, 90))
    got = decode(encoded(image, "PNG", transparency=0 if mode == "L" else (0, 0, 0)))
    assert [got.getpixel((x, 0)) for x in (0, 1)] == [BACKGROUND, (90, 90, 90)]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_ramp(kind: str) -> None:
    """A 16-bit ramp from 0 to 65535 becomes the 8-bit ramp; it is not cut off at 255."""
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(4, 0)
    got = np.asarray(decode(encoded(Image.fromarray(ramp), kind)))
    assert np.array_equal(got[0, :, 0], np.arange(256))


def test_dark_16_bit_picture_stays_dark() -> None:
    """The range of the folder is kept to: a dark picture is not stretched to full brightness."""
    dark = encoded(Image.fromarray(np.full((4, 4), 2570, np.uint16)), "PNG")
    got = decode(dark, meant=PixelRange(0, 65535))
    assert got.getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 64.0, 255.0]], np.float32), [0, 64, 255]),
        (np.array([[0, 64, 255]], np.int32), [0, 64, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
    ],
)
def test_32_bit_values(values: np.ndarray, expected: list[int]) -> None:
    """Floats in [0, 1] and 32-bit values in the 8- or 16-bit range are rescaled to 8 bits."""
    got = np.asarray(decode(encoded(Image.fromarray(values), "TIFF")))
    assert got[0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers(value: float) -> None:
    """A picture with NaN or infinite values is an error, for no gray stands for them."""
    stream = encoded(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF")
    with pytest.raises(UnreadableImageError, match=r"^holds NaN or infinite values"):
        decode(stream)


def test_cmyk() -> None:
    """Ink values become light: no ink is white, full cyan and yellow is green."""
    image = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    image.paste((255, 0, 255, 0), (16, 0, 32, 16))
    got = np.asarray(decode(encoded(image, "TIFF"))).astype(int)
    assert got[8, 4].tolist() == [255, 255, 255]
    assert got[8, 28].tolist() == [0, 255, 0]


@pytest.mark.parametrize(("mode", "value"), [("L", 128), ("1", 1)])
def test_gray(mode: str, value: int) -> None:
    """Gray and 1-bit pictures have three equal channels."""
    got = decode(encoded(Image.new(mode, (4, 4), value), "PNG"))
    assert got.getpixel((1, 1)) == ((128,) * 3 if mode == "L" else (255,) * 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_first_frame(kind: str) -> None:
    """Of an animation the first frame is taken."""
    frames = [Image.new("RGB", (8, 8), c) for c in (RED, BLUE)]
    got = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert corners(got) == [RED] * 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_truncated(kind: str) -> None:
    """A file cut off anywhere before its last pixels is an error, from one byte to nearly all."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind).getvalue()
    for length in (1, 8, 20, len(content) // 4, len(content) // 2, len(content) * 9 // 10, len(content) - 40):
        with pytest.raises(UnreadableImageError):
            decode(io.BytesIO(content[:length]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"just text, whatever the name says", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_no_picture(content: bytes, reason: str, tmp_path: Path) -> None:
    """An empty file, text, and a format that runs a program are refused by what is in the file."""
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        decode(path)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there says so."""
    with pytest.raises(UnreadableImageError, match="no such file"):
        decode(tmp_path / "a.jpg")


def test_folder_is_no_picture(tmp_path: Path) -> None:
    """A folder named like a picture is refused."""
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        decode(tmp_path)


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read says so."""
    path = tmp_path / "a.png"
    quarters().save(path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableImageError, match=r"^permission denied$"):
        decode(path)


@pytest.mark.parametrize("side", [13_400, 60_000])
def test_bomb_is_refused_by_its_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that claims more pixels than the limit is refused before anything is decoded."""
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert side * side > MAX_PIXELS
    with pytest.raises(UnreadableImageError, match="more than 179 megapixels"):
        decode(io.BytesIO(png_header(side, side)))


def test_many_megapixels_below_the_limit_are_no_bomb() -> None:
    """A 100-megapixel header passes the limit without a warning; only its missing pixels are an error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with pytest.raises(UnreadableImageError, match="damaged"):
            decode(io.BytesIO(png_header(10_000, 10_000)))
    assert not seen


def test_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed after a success and after an error."""
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    quarters().save(good)
    bad.write_bytes(good.read_bytes()[:60])
    opened: list[io.IOBase] = []
    original: Callable[..., io.IOBase] = Path.open

    def remember(self: Path, *args: object, **options: object) -> io.IOBase:
        opened.append(original(self, *args, **options))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remember)
    decode(good)
    with pytest.raises(UnreadableImageError):
        decode(bad)
    assert [stream.closed for stream in opened] == [True, True]


def test_any_decoder_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a plug-in raises arrives as one line with a reason."""

    def fail(self: Image.Image) -> None:
        raise ZeroDivisionError("two\nlines")

    stream = encoded(quarters(), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail, raising=False)
    with pytest.raises(UnreadableImageError, match=r"^damaged: two lines$"):
        decode(stream)


def test_suffixes_have_no_case() -> None:
    """Names are taken for pictures by their ending, in any case."""
    assert all(is_picture_name(f"a{s.upper()}") for s in SUFFIXES)
    assert not any(is_picture_name(name) for name in ("a.txt", "jpg", ".jpg", "a.jpg.part"))


def test_real_photos_decode_as_pillow_does(photos: Callable[[str], Path]) -> None:
    """A plain RGB JPEG comes out with exactly Pillow's pixels."""
    path = sorted((photos("flowers5") / "daisy").glob("*.jpg"))[0]
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(decode(path)), expected)
