"""The one decoder: training, validation, test and predict read a picture by `decode` and no other way.

Colour profiles are not applied (timm and torchvision do not either). A JPEG that training will shrink
anyway is decoded at 1/2, 1/4 or 1/8 of its size; evaluation always decodes in full.
"""

import errno
import functools
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import readable

SUFFIXES: frozenset[str] = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"]
    + ([".avif"] if features.check("avif") else [])
)
"""File name endings taken for pictures, lower case; compared without regard to case."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if features.check("avif") else []))
"""What a file may be, whatever its name, and HEIC. Pillow's other plug-ins stay shut: EPS runs a program."""

ORIENTATIONS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what sets the stored pixels upright; 1 and unknown values: nothing."""

BACKGROUND = (255, 255, 255)
"""What lies under transparent pixels: white, as product cut-outs and drawings are made for."""

MAX_PIXELS = 178_956_970
"""A header that claims more is refused before decoding: Pillow's own error limit, about 540 MB as RGB."""

MAX_BYTES = 4 * MAX_PIXELS
"""A larger file is refused unread: so many pixels take less, uncompressed and with transparency too."""

MAX_ASPECT = 100
"""A longer strip is refused: evaluation scales the shorter side, so 1 × 60,000 px would become gigabytes."""

BAND_ROWS = 64
"""Rows that are rescaled at a time."""

# What Pillow and its plug-ins raise on broken files. Wide, because a hostile file reaches every corner.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, RuntimeError,
    AttributeError, AssertionError, MemoryError, BufferError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip

# Pillow warns of odd EXIF and large pictures without naming the file; the limit and the errors here do.
warnings.filterwarnings("ignore", module=r"PIL\.")


def is_picture_name(name: str) -> bool:
    """True where a file's name ends as a picture's does, in any case."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (also of names, not paths)


def decode(source: Path | BinaryIO, least: int | None = None) -> Image.Image:
    """The picture in a file as an upright 8-bit RGB image, fully decoded; the file is closed again.

    EXIF orientation is applied, the first frame of an animation taken, transparency laid on `BACKGROUND`,
    16- and 32-bit values rescaled (`_to_8_bit`), CMYK, gray and 1-bit converted. With `least`, a JPEG may
    come at 1/2, 1/4 or 1/8 of its size while its shorter side keeps so many px (libjpeg scales as it
    transforms back). `source` is a path or a seekable binary stream, which stays open. Raises
    `UnreadableImageError` with the reason, one line, for whatever cannot be decoded in full.
    """
    if isinstance(source, Path):
        return decode_bytes(picture_bytes(source), least)
    try:
        return _decode_stream(source, least)
    except DECODER_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error


def decode_bytes(content: bytes, least: int | None = None) -> Image.Image:
    """`decode` of a file's bytes."""
    return decode(io.BytesIO(content), least)


def picture_bytes(path: Path) -> bytes:
    """A picture file's bytes; `UnreadableImageError` with the reason, one line, where they are not to be had.

    Neither a pipe, which would wait for ever, nor more than `MAX_BYTES` is read. Raises `VitbenchError`
    where the process has no room for another open file, which is no picture's fault.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError(_no_file(path, status))
        _refuse_size(status.st_size)
        with path.open("rb") as stream:
            return stream.read(status.st_size + 1)  # never more, though the file may grow
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise VitbenchError(
                f"{readable(str(path))}: too many files are open; raise the limit (ulimit -n)"
            ) from error
        raise UnreadableImageError(_reason(error)) from error
    except ValueError as error:  # a null byte
        raise UnreadableImageError("not a path that a file can have") from error


def _no_file(path: Path, status: os.stat_result) -> str:
    """Why what is there can't be read as a file."""
    effective = os.access in os.supports_effective_ids
    if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK, effective_ids=effective):
        return "folder cannot be read (permission denied)"
    return "not a regular file"


def _refuse_size(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImageError(f"{size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f} MB")


def _decode_stream(stream: BinaryIO, least: int | None) -> Image.Image:
    _refuse_size(stream.seek(0, os.SEEK_END))
    stream.seek(0)
    head = stream.read(12)
    stream.seek(0)
    if not head:
        raise UnreadableImageError("empty file (0 bytes)")
    formats = list(FORMATS)
    if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis"):
        register_heif()
        formats = ["HEIF"]
    with Image.open(stream, formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise UnreadableImageError(f"{image.width} × {image.height} px, longer than {MAX_ASPECT} : 1")
        if least is not None:
            image.draft(None, (least, least))  # does nothing to other formats
        image.load()
        return _to_rgb(_upright(image))


@functools.cache
def register_heif() -> None:
    """Teach Pillow HEIC, once and only when such a file turns up."""
    import pi_heif  # a shared library that most runs never need

    pi_heif.register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    """A loaded image turned as its EXIF orientation says; EXIF that cannot be read says nothing."""
    try:
        turn = ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return _to_8_bit(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        below = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(below, layer).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_8_bit(image: Image.Image) -> Image.Image:
    """A gray image of 16- or 32-bit values as RGB, by a scale that is guessed from the type and the maximum.

    16-bit: 0…65535 → 0…255. 32-bit integers: up to 255 as they are, up to 65535 as 16-bit. Floats: up to 1
    as 0…1, above as integers. Anything else (negative, not finite, larger) has no known scale: an error.
    """
    values = np.asarray(image)
    with np.errstate(invalid="ignore"):
        low, top = values.min(), values.max()
    if not (low >= 0 and top <= 65535):  # so that NaN is refused too
        raise UnreadableImageError(
            f"{image.mode} values without a known scale (negative, NaN or beyond 65535)"
        )
    if image.mode.startswith("I;16"):
        scale = 255 / 65535
    elif image.mode == "F" and top <= 1:
        scale = 255.0
    else:
        scale = 1.0 if top <= 255 else 255 / 65535
    gray = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), BAND_ROWS):  # 8 bytes a pixel: never for the whole picture
        band = values[row : row + BAND_ROWS].astype(np.float64)
        gray[row : row + BAND_ROWS] = np.rint(band * scale)
    return Image.fromarray(gray).convert("RGB")


def _reason(error: Exception) -> str:
    """One line on why a picture cannot be read."""
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format, or damaged at its beginning"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = " ".join(str(error).split())
    return f"damaged: {text or type(error).__name__}"
