"""Image descriptors, by which near-copies are found (perceptual hashing): 48 × 48 gray levels and colour.

2.6 KB a picture, made in the scan's one decode and gone when the scan is done. Everything here is integer
arithmetic on Pillow's own, so a picture has the same descriptor and the same hashes on every machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from vitbench.records import Array

SIDE = 48
"""px; at 32 different shots of one fruit still look alike (results/evidence/leaks.md)."""
COLOUR_SIDE = 12
TURNS = 8
"""Ways to lay a picture on another one: bit 0 mirrors, bit 1 turns it upside down, bit 2 transposes first."""
LOW = 8
"""A hash says which of the lowest 8 × 8 frequencies lie above their median (Zauner 2010, pHash)."""
FINE = 16
"""Frequencies of a fingerprint, each way."""
UNIT = 1 << 20
"""What stands for 1 in whole numbers; sums stay below 2^63."""
MARGIN = 3
"""px that the hash of a picture's core leaves out on each side: the core is a centre crop to 87.5 %."""

LEAST_CONTRAST = 4.0
"""Root mean square of the gray level's change over two px: below, there is little but noise."""
LEAST_FILLED, FILLED_LEVELS = 0.3, 3
"""Share of the picture where gray levels change by so many over two px: one disc on a plain ground 0.05 to
0.22, a short word 0.2, photos 0.4 to 1."""
ALIGNED_SPREAD = 0.11
"""Share of the picture that its edges take up: one disc up to 0.1, most photos 0.13 to 0.5."""
LEAST_WAVES, ALIGNED_WAVES = 30.0, 60.0
"""Number of waves that make up the picture: a gradient 2, the built-in trousers 27, photos 80 to 640."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The descriptor of one picture."""

    luma: bytes
    """SIDE × SIDE gray levels of the whole picture, its aspect ratio given up."""
    chroma: bytes
    """2 × COLOUR_SIDE × COLOUR_SIDE: Cb, then Cr."""
    size: tuple[int, int]
    """Width and height of the picture, px."""


@dataclass(frozen=True)
class Descriptors:
    """The descriptors of N pictures as arrays."""

    luma: Array
    """(N, SIDE, SIDE) uint8."""
    chroma: Array
    """(N, 2, COLOUR_SIDE, COLOUR_SIDE) uint8."""
    sizes: Array
    """(N, 2) int64: width and height, px."""
    detail: Array
    """(N,) int64: 0 where too little can be seen to claim anything, 1 enough to compare, 2 to align."""

    @classmethod
    def of(cls, descriptors: Iterable[Descriptor], count: int) -> "Descriptors":
        """`count` of them as arrays; they may come one by one, so that they need not lie in memory twice."""
        luma = np.empty((count, SIDE * SIDE), dtype=np.uint8)
        chroma = np.empty((count, 2 * COLOUR_SIDE**2), dtype=np.uint8)
        sizes = np.empty((count, 2), dtype=np.int64)
        for place, one in enumerate(descriptors):
            luma[place] = np.frombuffer(one.luma, dtype=np.uint8)
            chroma[place] = np.frombuffer(one.chroma, dtype=np.uint8)
            sizes[place] = one.size
        gray = luma.reshape(-1, SIDE, SIDE)
        return cls(gray, chroma.reshape(-1, 2, COLOUR_SIDE, COLOUR_SIDE), sizes, detail(gray))

    def __len__(self) -> int:
        return len(self.luma)


def descriptor_of(image: Image.Image) -> Descriptor:
    """The descriptor of a decoded picture."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0).convert("YCbCr")
    luma, *colours = small.split()
    less = [c.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX) for c in colours]
    return Descriptor(luma.tobytes(), b"".join(c.tobytes() for c in less), image.size)


def dihedral(pictures: Array, turn: int) -> Array:
    """(…, S, S) pictures turned; see `TURNS`."""
    if turn & 4:
        pictures = pictures.swapaxes(-1, -2)
    if turn & 2:
        pictures = pictures[..., ::-1, :]
    return pictures[..., ::-1] if turn & 1 else pictures


# --- hashes ---------------------------------------------------------------------------------------


def hashes(luma: Array) -> Array:
    """(N, TURNS) uint64 hashes of (N, S, S) uint8 pictures, as they are and turned each way.

    From one cosine transform: mirroring a picture turns the sign of its odd frequencies.
    """
    waves = _cosines(luma.shape[-1], LOW)
    found = np.empty((len(luma), TURNS), dtype=np.uint64)
    signs = np.where(np.arange(LOW) % 2, -1, 1)
    for start in range(0, len(luma), 1024):
        low = waves @ luma[start : start + 1024].astype(np.int64) @ waves.T  # (n, LOW, LOW), exact
        for turn in range(TURNS):
            one = low.swapaxes(-1, -2) if turn & 4 else low
            one = one * signs[:, None] if turn & 2 else one
            one = one * signs if turn & 1 else one
            found[start : start + 1024, turn] = _above_median(one.reshape(-1, LOW * LOW))
    return found


def centre_crop(luma: Array) -> Array:
    """(N, S, S) pictures without their margin."""
    return luma[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


@cache
def _cosines(side: int, count: int) -> Array:
    """(count, side) int64: the first rows of the cosine transform (type II) of an even side, in 1/UNIT."""
    half = (np.arange(side // 2) + 0.5) * np.pi / side
    left = np.rint(UNIT * np.cos(np.arange(count)[:, None] * half)).astype(np.int64)
    rows = np.concatenate([left, np.where(np.arange(count) % 2, -1, 1)[:, None] * left[:, ::-1]], axis=1)
    rows.flags.writeable = False  # every picture's print is made with the same ones
    return rows


def _above_median(low: Array) -> Array:
    """(n,) uint64: bit by bit which of (n, 64) values lie above the median of the last 63; the first is 0."""
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False  # the picture's brightness
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def fingerprint(descriptor: Descriptor) -> bytes:
    """The 32 bytes that are kept of a picture: the signs of its lowest 16 × 16 frequencies, row by row.

    Signs, so that those of the mirrored and the turned picture follow from them alone
    (`records.fingerprints`). Zeros, as no picture's own are, where too little can be seen to claim anything.
    """
    luma = np.frombuffer(descriptor.luma, dtype=np.uint8).reshape(1, SIDE, SIDE)
    if not detail(luma)[0]:
        return bytes(FINE**2 // 8)
    basis = _cosines(SIDE, FINE)
    bits = basis @ luma[0].astype(np.int64) @ basis.T > 0  # exact
    bits[0, 0] = False  # the picture's brightness
    return np.packbits(bits).tobytes()


# --- detail ---------------------------------------------------------------------------------------


def slopes(pictures: Array) -> Array:
    """(M, 2, S-2, S-2) float32: the change over two px of (M, S, S) pictures, across and down."""
    levels = pictures.astype(np.float32)
    across = levels[:, 1:-1, 2:] - levels[:, 1:-1, :-2]
    down = levels[:, 2:, 1:-1] - levels[:, :-2, 1:-1]
    return np.stack([across, down], axis=1)


def detail(luma: Array) -> Array:
    """(N,) int64 for (N, S, S) uint8 pictures: see `Descriptors.detail`."""
    found = np.zeros(len(luma), dtype=np.int64)
    for start in range(0, len(luma), 512):
        part = luma[start : start + 512]
        change = slopes(part)
        energy = np.square(change).sum(axis=1).reshape(len(part), -1)
        contrast, waves = np.sqrt(energy.mean(axis=1)), _waves(part)
        filled = (np.abs(change).max(axis=1) >= FILLED_LEVELS).mean(axis=(1, 2))
        spread = _participation(energy) / energy.shape[1]
        enough = (contrast >= LEAST_CONTRAST) & (filled >= LEAST_FILLED) & (waves >= LEAST_WAVES)
        more = enough & (spread >= ALIGNED_SPREAD) & (waves >= ALIGNED_WAVES)
        found[start : start + 512] = enough.astype(np.int64) + more
    return found


def _participation(energy: Array) -> Array:
    """(n,) over how many of (n, m) places energy is spread: (Σ e)² / Σ e²."""
    total = energy.sum(axis=1, dtype=np.float64)
    return np.asarray(total**2 / (np.square(energy, dtype=np.float64).sum(axis=1) + 1e-9))


def _waves(luma: Array) -> Array:
    """(n,) number of frequencies over which the slopes of (n, S, S) pictures are spread."""
    basis = _cosines(SIDE, SIDE) / UNIT
    basis[0] /= np.sqrt(2)  # so that all rows are equally long
    levels = basis @ luma.astype(np.float64) @ basis.T
    frequency = np.square(np.arange(SIDE))
    energy = np.square(levels) * (frequency[:, None] + frequency)
    return _participation(energy.reshape(len(luma), -1))
