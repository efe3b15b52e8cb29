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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from vitbench.data.depth import deep_values, own_range, reopened
from vitbench.data.formats import FORMATS, SUFFIXES, TIFF_MARKS
from vitbench.data.pages import is_preview, take_page
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import readable
from vitbench.records import PixelRange
from vitbench.records.pictures import Several

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

LFS_MARK = b"version http"
"""How a file begins that Git LFS puts where a picture was not fetched."""

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


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, and what of its file is not in it."""

    image: Image.Image
    """Upright 8-bit RGB."""
    held: PixelRange | None = None
    """Least and largest value of one of more than 8 bits; None for the others."""
    shown: PixelRange | None = None
    """What became black and white there."""
    several: Several = ""
    """Which of several pictures it is."""


def decode(source: Path | BinaryIO, least: int | None = None, meant: PixelRange | None = None) -> Image.Image:
    """The picture in a file as an upright 8-bit RGB image, fully decoded; the file is closed again.

    EXIF orientation is applied, the largest page of a TIFF or icon and the first frame of an animation taken,
    transparency laid on `BACKGROUND`, CMYK, gray and 1-bit converted. More than 8 bits: `meant` becomes black
    to white; None: what its own values show (`depth.own_range`). With `least`, a JPEG may come at 1/2, 1/4 or
    1/8 of its size while its shorter side keeps so many px (libjpeg scales as it transforms back). `source`
    is a path or a seekable binary stream, which stays open. Raises `UnreadableImageError` with the reason,
    one line, for whatever cannot be decoded in full.
    """
    if isinstance(source, Path):
        return decode_bytes(picture_bytes(source), least, meant)
    return _decoded(source, least, meant).image


def decode_bytes(content: bytes, least: int | None = None, meant: PixelRange | None = None) -> Image.Image:
    """`decode` of a file's bytes."""
    return decode(io.BytesIO(content), least, meant)


def decode_in_full(content: bytes, meant: PixelRange | None = None) -> Decoded:
    """`decode` of a file's bytes, with what of it is not in the picture."""
    return _decoded(io.BytesIO(content), None, meant)


def _decoded(stream: BinaryIO, least: int | None, meant: PixelRange | None) -> Decoded:
    try:
        return _decode_stream(stream, least, meant)
    except DECODER_ERRORS as error:
        head = b""
        with suppress(*DECODER_ERRORS):
            stream.seek(0)
            head = stream.read(12)
        raise UnreadableImageError(_reason(error, head)) from error


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


def _decode_stream(stream: BinaryIO, least: int | None, meant: PixelRange | None) -> Decoded:
    _refuse_size(stream.seek(0, os.SEEK_END))
    stream.seek(0)
    head = stream.read(12)
    stream.seek(0)
    if not head:
        raise UnreadableImageError("empty file (0 bytes)")
    formats = formats_of(head)
    with Image.open(stream, formats=formats) as image:
        several, place = take_page(image, DECODER_ERRORS)
        _refuse_shape(image)
        if least is not None:
            image.draft(None, (least, least))  # does nothing to other formats

        def again() -> ImageFile:
            other = Image.open(reopened(stream), formats=formats)
            other.seek(place)
            return other

        deep = deep_values(image, stream, again)
        _refuse_shape(image)  # an icon's picture may be larger than its entry says
        turn = _turn(image)
        if deep is None:
            return Decoded(_to_rgb(image if turn is None else image.transpose(turn)), several=several)
        held = deep.held
        shown = meant or own_range(held)
        flat = deep.shown(shown)
        return Decoded(_to_rgb(flat if turn is None else flat.transpose(turn)), held, shown, several)


def formats_of(head: bytes) -> list[str]:
    """What a file may be that begins so: HEIC, or any other of the formats, whatever its name."""
    if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis"):
        register_heif()
        return ["HEIF"]
    return list(FORMATS)


def _refuse_shape(image: Image.Image) -> None:
    """Raise where a picture is too large, too long, or only a preview of the one meant."""
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise UnreadableImageError(f"{image.width} × {image.height} px, longer than {MAX_ASPECT} : 1")
    if is_preview(image):
        raise UnreadableImageError("a raw photo, of which only a preview can be read; develop it to JPEG")


@functools.cache
def register_heif() -> None:
    """Teach Pillow HEIC, once and only when such a file turns up."""
    import pi_heif  # a shared library that most runs never need

    pi_heif.register_heif_opener()


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What sets a loaded image upright, by its EXIF orientation; EXIF that cannot be read says nothing."""
    try:
        return ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode as RGB."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        below = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(below, layer).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _reason(error: Exception, head: bytes = b"") -> str:
    """One line on why a picture cannot be read whose file begins so."""
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} megapixels"
    if isinstance(error, UnidentifiedImageError):
        if head[:4] in TIFF_MARKS:
            return (
                "a TIFF that is damaged at its beginning or of a kind that is not read (5 channels, 64 bits "
                "and the like); save it as gray or RGB of 8 or 16 bits"
            )
        if head.startswith(LFS_MARK):
            return "a pointer of Git LFS, not the picture; fetch it with `git lfs pull`"
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
