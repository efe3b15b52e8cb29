"""Cuts `fashion-mnist.zip` from the full Fashion-MNIST of Debian's package `dataset-fashion-mnist`.

    python cut.py [FOLDER_WITH_THE_FOUR_FILES]

Pictures are drawn by a keyed digest of their number in the original part; pictures with equal pixels are
taken once.
"""

import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package puts it
CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
PARTS = {"train": ("train", 60), "test": ("t10k", 20)}  # ours → (theirs, pictures per class)
SEED = 0


def main(source: Path = SOURCE) -> None:
    """Write the archive beside this script."""
    target = Path(__file__).with_name("fashion-mnist.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, image in chosen_pictures(source).items():
            archive.writestr(zipfile.ZipInfo(name), png(image))  # dated 1980: no clock in it
    print(f"{target.name}: {target.stat().st_size} bytes")


def chosen_pictures(source: Path) -> dict[str, NDArray[np.uint8]]:
    """The drawn pictures, (28, 28), by their path in the archive."""
    pictures: dict[str, NDArray[np.uint8]] = {}
    taken: set[bytes] = set()
    for part, (prefix, count) in PARTS.items():
        images = _read(source / f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
        labels = _read(source / f"{prefix}-labels-idx1-ubyte.gz", header=8)
        for label, name in enumerate(CLASSES):
            members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: drawing_key(part, i))
            chosen: list[int] = []
            for index in members:
                if len(chosen) < count and images[index].tobytes() not in taken:
                    taken.add(images[index].tobytes())
                    chosen.append(index)
            pictures |= {f"{part}/{name}/{index:05d}.png": images[index] for index in sorted(chosen)}
    return pictures


def drawing_key(part: str, index: int) -> bytes:
    """A picture's place in the draw."""
    return hashlib.sha256(f"vitbench demo {SEED} {part} {index}".encode()).digest()


def png(image: NDArray[np.uint8]) -> bytes:
    """A gray picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _read(path: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
