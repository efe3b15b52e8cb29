"""Maps as pictures: laid over a photo, or side by side as tiles."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vitbench.records import Array

HEAT, SIGNED, PLAIN = "inferno", "RdBu_r", "viridis"
"""Colour maps: over a photo; of values around 0; of values from low to high."""
FAINTEST, STRONGEST = 0.12, 0.8
"""How far the colour of the lowest and the highest value covers the photo."""
GAP = 2


def laid_over(photo: Image.Image, values: Array) -> Image.Image:
    """A map (rows, columns) over the picture that it is of: grey where it is lowest, bright where highest.

    Each map from its own lowest to its own highest value; of one without a difference the grey photo.
    """
    grey = np.asarray(photo.convert("L"), dtype=np.float32)[..., None] * 0.75 + 24
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not np.isfinite(high) or high - low < 1e-12:
        return Image.fromarray(np.repeat(grey, 3, axis=2).astype(np.uint8))
    scaled = Image.fromarray(((values - low) / (high - low)).astype(np.float32))
    heat = np.asarray(scaled.resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)
    cover = (FAINTEST + (STRONGEST - FAINTEST) * heat)[..., None]
    mixed = (1 - cover) * grey + cover * _coloured(0.2 + 0.8 * heat, HEAT)
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def tiles(rows: Sequence[Sequence[Array | None]], side: int, colours: str = PLAIN) -> Image.Image:
    """Maps side by side, each at least `side` px wide, from each one's lowest to its highest value.

    `SIGNED`: from −m to m, m the largest size of a value in that row, so that a row compares.
    """
    columns = max(map(len, rows), default=0)
    paper = Image.new("RGBA", (columns * (side + GAP) - GAP, len(rows) * (side + GAP) - GAP))
    for y, row in enumerate(rows):
        most = max((float(np.abs(one).max()) for one in row if one is not None), default=0.0)
        for x, one in enumerate(row):
            if one is not None:
                tile = Image.fromarray(_coloured(_scaled(one, most, colours), colours).astype(np.uint8))
                tile = tile.resize((side, side), Image.Resampling.NEAREST)
                paper.paste(tile, (x * (side + GAP), y * (side + GAP)))
    return paper


def filter_tiles(filters: Array, side: int, across: int) -> Image.Image:
    """Filters (k, 3, rows, columns) as colours, grey where they are 0, `across` in a row."""
    down = -(-len(filters) // across)
    paper = Image.new("RGBA", (across * (side + GAP) - GAP, down * (side + GAP) - GAP))
    for place, one in enumerate(filters):
        most = float(np.abs(one).max()) or 1.0
        pixels = (127.5 + 127.5 * one.transpose(1, 2, 0) / most).clip(0, 255).astype(np.uint8)
        tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
        paper.paste(tile, (place % across * (side + GAP), place // across * (side + GAP)))
    return paper


def _scaled(values: Array, most: float, colours: str) -> Array:
    if colours == SIGNED:
        return np.asarray(0.5 + values / (2 * most)) if most else np.full(values.shape, 0.5)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low)) if high > low else np.zeros(values.shape)


def _coloured(values: Array, colours: str) -> Array:
    """(…, 3) floats from 0 to 255 of values from 0 to 1."""
    import matplotlib

    found: Any = matplotlib.colormaps[colours](values)
    return np.asarray(255 * found[..., :3])


def jpeg_of(image: Image.Image, side: int = 0, quality: int = 76) -> bytes:
    """A JPEG, shrunk to `side` px where it is larger (0: as it is)."""
    buffer, copy = io.BytesIO(), image.convert("RGB")
    if side:
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    copy.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def webp_of(image: Image.Image, widest: int) -> bytes:
    """A WebP, see-through where the picture is, at most so many px wide."""
    buffer, copy = io.BytesIO(), image.copy()
    copy.thumbnail((widest, 10 * widest), Image.Resampling.BOX)
    copy.save(buffer, format="WEBP", quality=80)
    return buffer.getvalue()


def png_of(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def uri(content: bytes) -> str:
    """A picture inside a page."""
    kinds = {b"\x89PNG": "png", b"RIFF": "webp"}
    kind = kinds.get(content[:4], "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
