"""Deep pictures, of more than 8 bits: what they hold, and the one range that a folder's are meant in.

One range brings all deep pictures of a folder to 0…255. Scaled each by its own values, pictures of one series
would come out as bright as one another; scaled by the width of the words they are stored in, 12-bit values in
16-bit words would keep 16 gray levels.
"""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.records import Array, PixelRange, counted

TOPS = (1.0, *(2.0**bits - 1 for bits in range(8, 33, 2)))
"""Largest values that are meant as white: 1 of fractions, 255, 1023, 4095, 16383, 65535, …"""
LEAST_FILLED = 0.25
"""Values that take up less of 0…top, such as temperatures, are shown from the least to the largest of them:
elsewhere fewer than 64 of the 256 gray levels would be left."""
GAP = 8
"""Where the largest values of some pictures are so many times those of all others, with none between, two
kinds of picture lie in one folder: 8 or 12 bits among 16, fractions among whole numbers."""
BAND_ROWS = 64
"""Rows that are rescaled at a time."""
BITS, PHOTOMETRIC, PLANES, COLOURS, SAMPLE_FORMAT = 258, 262, 284, 320, 339
"""Tags of a TIFF; what some of them say:"""
WHITE_IS_ZERO, APART, SIGNED = 0, 2, 2

Mode = Literal["L", "RGB", "RGBA", "CMYK"]


@dataclass(frozen=True, eq=False)
class Deep:
    """The values of a deep picture."""

    values: Array
    """(H, W) or (H, W, C), as the file holds them."""
    mode: Mode
    inverted: bool = False
    """0 is white."""

    @property
    def held(self) -> PixelRange:
        """Least and largest value; alpha left out. UnreadableImageError where some are no numbers."""
        colours = self.values[..., :3] if self.mode == "RGBA" else self.values
        low, high = float(colours.min()), float(colours.max())
        if not np.isfinite([low, high]).all():
            raise UnreadableImageError("holds NaN or infinite values, for which no gray stands; fill them in")
        return PixelRange(low, high)

    def shown(self, meant: PixelRange) -> Image.Image:
        """The picture in 8 bits: from black at `meant.low` to white at `meant.high`, beyond them as there."""
        found = np.empty(self.values.shape, np.uint8)
        scale = 255 / (meant.high - meant.low)
        for row in range(0, len(found), BAND_ROWS):  # 8 bytes a value: never for the whole picture
            band = self.values[row : row + BAND_ROWS].astype(np.float64)
            found[row : row + BAND_ROWS] = np.rint(((band - meant.low) * scale).clip(0, 255))
        if self.mode == "RGBA":
            found[..., 3] = self.values[..., 3] >> 8
        return Image.fromarray(255 - found if self.inverted else found, self.mode)


# --- one range ------------------------------------------------------------------------------------


def own_range(held: PixelRange) -> PixelRange:
    """The range that values from `held.low` to `held.high` are meant in, as far as they show it.

    0 to the least of `TOPS` that holds them, or, where they would take up little of that, just theirs.

    >>> own_range(PixelRange(12, 3987)), own_range(PixelRange(29000, 31000))
    (PixelRange(low=0.0, high=4095.0), PixelRange(low=29000, high=31000))
    """
    top = next((top for top in TOPS if held.high <= top), held.high)
    width = held.high - held.low
    if held.low >= 0 and (width == 0 or width >= LEAST_FILLED * top):
        return PixelRange(0.0, top)
    return held if width else PixelRange(held.low, held.low + 1)


def folder_range(where: str, held: Sequence[tuple[str, PixelRange]]) -> PixelRange:
    """The one range of deep pictures, given the path and the values of each.

    Raises `VitbenchError`, with what to say, where their values do not show what black and white are.
    """
    low, high = min(one.low for _, one in held), max(one.high for _, one in held)
    meant = own_range(PixelRange(low, high))
    say = f"say what is black and what is white, such as --pixel-range {meant.option}"
    if low < 0:
        negative = [path for path, one in held if one.low < 0]
        raise VitbenchError(
            f"{where}: {counted(len(negative), 'picture')} with values below 0 (from {low:g}, to {high:g} "
            f"in all; e.g. {negative[0]}); {say}"
        )
    varied = sorted((one.high, path) for path, one in held if one.high > one.low)
    for place in range(1, len(varied)):
        before, after = varied[place - 1][0], varied[place][0]
        if after >= GAP * before:
            few = varied[:place] if 2 * place <= len(varied) else varied[place:]
            raise VitbenchError(
                f"{where}: values of two kinds: {counted(place, 'picture')} up to {before:g}, "
                f"{counted(len(varied) - place, 'picture')} from {after:g} up, none between (the few: "
                f"{few[0][1]} …); convert those, or {say}"
            )
    return meant


# --- values ---------------------------------------------------------------------------------------


def deep_values(image: ImageFile, stream: BinaryIO, again: Callable[[], ImageFile]) -> Deep | None:
    """The values of an opened, not yet loaded picture; None where 8 bits are all that it has.

    Loads it in either case. `stream` is its file, `again` opens it another time. Pillow gives 16-bit colours
    their upper halves only; the lower ones are had by telling it that the bytes are the other way round.
    """
    raw, tags = _raw_mode(image), getattr(image, "tag_v2", {})
    bits = tags.get(BITS, (1,))
    if tags.get(PLANES) == APART and max(bits) > 8 and (len(bits) > 1 or image.tile[0].codec_name == "raw"):
        raise UnreadableImageError(
            "a TIFF whose 16-bit channels lie apart, of which 8 bits can be read; save them together (planar "
            "configuration 1)"
        )
    if image.format == "PPM" and (found := _netpbm(image, stream)):
        return found
    if (image.format == "SGI" and ";16" in raw) or (image.tile and image.tile[0].codec_name == "SGI16"):
        raise UnreadableImageError("16-bit SGI, of which 8 bits can be read; convert it to 16-bit PNG")
    if raw == "LA;16B":
        four = np.asarray(_loaded_as(image, "RGBA")).astype(np.uint16)  # gray high, low, alpha high, low
        gray, alpha = (four[..., place] << 8 | four[..., place + 1] for place in (0, 2))
        return Deep(np.stack([gray, gray, gray, alpha], axis=-1), "RGBA")
    if image.mode in ("RGB", "RGBA", "CMYK") and ";16" in raw and not raw.startswith("RGBa"):
        mode: Mode = image.mode  # type: ignore[assignment]
        image.load()
        values = np.asarray(image).astype(np.uint16)
        values <<= 8
        values |= np.asarray(_loaded_as(again(), _other_half(raw)))
        return Deep(values, mode)
    image.load()
    if image.mode == "P" and 0 < max(tags.get(COLOURS, (0,))) < 256:
        image.putpalette(bytes(np.reshape(tags[COLOURS], (3, -1)).T.astype(np.uint8)))  # should be of 16 bits
    return _gray(image)


def _gray(image: Image.Image) -> Deep | None:
    """The values of a loaded gray picture whose mode, or TIFF tags, say that they are no plain 8 bits."""
    tags = getattr(image, "tag_v2", {})
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    if image.mode == "L" and signed:
        return Deep(np.asarray(image).view(np.int8), "L")
    if not (image.mode.startswith("I") or image.mode == "F"):
        return None
    values = np.asarray(image)
    if image.format == "TIFF" and image.mode == "I" and not signed:
        values = values.view(np.uint32)
    inverted = image.mode.startswith("I;16") and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return Deep(values, "L", inverted)


def _netpbm(image: ImageFile, stream: BinaryIO) -> Deep | None:
    """The values of a binary PGM or PPM of more than 8 bits as they stand there, unscaled; else None."""
    codec, _, offset, arguments = image.tile[0]
    largest = arguments[1] if codec == "ppm" and isinstance(arguments, tuple) else 0
    deep = arguments == "I;16B" or largest > 255
    if not deep:
        return None
    channels = () if image.mode == "I" else (3,)
    count = image.width * image.height * (3 if channels else 1)
    stream.seek(offset)
    values = np.frombuffer(stream.read(2 * count), ">u2", count)
    return Deep(values.reshape(image.height, image.width, *channels), "RGB" if channels else "L")


def _raw_mode(image: ImageFile) -> str:
    """Pillow's name for how the values lie in the file, "" where there is none."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _other_half(raw: str) -> str:
    """The raw mode that takes the other byte of each 16-bit value."""
    order = raw[-1].replace("N", "L" if sys.byteorder == "little" else "B")
    return raw[:-1] + ("B" if order == "L" else "L")


def _loaded_as(image: ImageFile, raw: str) -> ImageFile:
    """An opened picture, loaded as if its values lay as `raw` says."""

    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    image.load()
    return image


def reopened(content: BinaryIO) -> io.BytesIO:
    """A copy of a file's bytes: a plug-in moves about in, and may close, the one that it was given."""
    content.seek(0)
    return io.BytesIO(content.read())
