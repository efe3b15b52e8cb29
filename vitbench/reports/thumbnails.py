"""Small copies of photographs for a page: JPEG without metadata, within a budget of bytes."""

import functools
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageOps

from vitbench.data.decode import DECODER_ERRORS, MAX_PIXELS, decode
from vitbench.data.prefetch import cores
from vitbench.errors import VitbenchError
from vitbench.records import PixelRange
from vitbench.reports.report import STRIP

LEVELS = ((320, 76), (256, 72), (224, 68), (192, 64), (160, 60), (128, 55), (96, 50))
"""Longest side in px and JPEG quality, tried in turn until all pictures together are within the budget."""
BUDGET = 1_750_000
"""Bytes of all JPEGs: 2.3 MB in the page, as base64."""
LARGE = (420, 78)
"""Of the first pictures, which lead the page."""
UNREADABLE: tuple[type[Exception], ...] = (VitbenchError, *DECODER_ERRORS)
"""What a picture that cannot be decoded raises."""


def thumbnails(
    paths: Sequence[Path], numbers: Sequence[int], meant: PixelRange | None = None
) -> dict[int, bytes]:
    """JPEGs of the pictures with these numbers (places in `paths`, from 1), the first ones larger.

    `meant`: black and white in pictures of more than 8 bits. The same files give the same bytes. A picture
    that cannot be read is left out.
    """
    wanted = [number for number in numbers if 1 <= number <= len(paths)]
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        images = list(pool.map(lambda number: small(paths[number - 1], LARGE[0], meant), wanted))
        loaded = [(number, image) for number, image in zip(wanted, images, strict=True) if image is not None]
        first = {number: jpeg(image, *LARGE) for number, image in loaded[:STRIP]}
        room = BUDGET - 2 * sum(map(len, first.values()))  # they stand in the page twice
        rest = _within(room, [image for _, image in loaded[STRIP:]], pool)
    return {**first, **dict(zip((number for number, _ in loaded[STRIP:]), rest, strict=True))}


def _within(room: int, images: Sequence[Image.Image], pool: ThreadPoolExecutor) -> list[bytes]:
    """JPEGs of all images, as large as `room` bytes allow; every eighth one tells what a level will take."""
    sample = images[::8]
    made: list[bytes] = []
    for side, quality in LEVELS:
        encode = functools.partial(jpeg, side=side, quality=quality)
        guess = sum(map(len, pool.map(encode, sample))) * len(images) / max(len(sample), 1)
        if guess > room and (side, quality) != LEVELS[-1]:
            continue
        made = list(pool.map(encode, images))
        if sum(map(len, made)) <= room:
            break
    return made


def small(path: Path, side: int, meant: PixelRange | None = None) -> Image.Image | None:
    """The picture, upright, its longest side at most `side` px; None where it cannot be read.

    A JPEG is decoded at a fraction of its size where that is enough: these copies are looked at, no model
    ever sees them.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(2) != b"\xff\xd8":
                stream.seek(0)
                image = decode(stream, meant=meant)
            else:
                stream.seek(0)
                with Image.open(stream, formats=["JPEG"]) as opened:
                    if opened.width * opened.height > MAX_PIXELS:
                        return None
                    opened.draft("RGB", (side, side))
                    image = ImageOps.exif_transpose(opened).convert("RGB")
        image.thumbnail((side, side))
    except UNREADABLE:
        return None
    return image


def jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    """A JPEG of at most `side` px; a new file, so no metadata goes along."""
    copy = Image.new("RGB", image.size)
    copy.paste(image)
    copy.thumbnail((side, side))
    buffer = io.BytesIO()
    copy.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
