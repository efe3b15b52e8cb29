"""How far a JPEG decoded at a fraction of its size is from one decoded in full: writes scaled_decoding.md.

    python tests/evidence/scaled_decoding.py DATASETS WEIGHTS

Training pictures are made both ways at 64 and 224 px, and the same views of both go through a real network.
The yardstick is what encoding a picture once more (JPEG, quality 95) does to the same figures.
"""

import argparse
import io
import platform
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import timm
import torch
from pages import PAGES
from PIL import Image

from vitbench.data.decode import decode, decode_bytes
from vitbench.data.made import SCALED, stored_side
from vitbench.data.views import draw_view, render
from vitbench.records import Array

PHOTOS = ("hemlock_cherry", "fruit3")
"""Those of the data sets whose photos are larger than what training keeps."""
MOSAIC = (4096, 3072)
"""Four by four photos of 1024 × 768 px: as many pixels, with as much detail, as a phone's photo."""
VIEWS = 4
COLUMNS = ("pictures", "px", "decode, full → scaled", "pixels: mean", "p99", "logits", "top-1 equal")


def jpegs(datasets: Path) -> dict[str, list[bytes]]:
    """JPEG bytes by what they are."""
    found = {
        name: [path.read_bytes() for path in sorted((datasets / name).rglob("*.jp*g"))] for name in PHOTOS
    }
    tiles = [decode_bytes(content).resize((1024, 768)) for content in found["fruit3"]]
    mosaics = []
    for first in range(0, len(tiles) - 15, 4):
        whole = Image.new("RGB", MOSAIC)
        for place, tile in enumerate(tiles[first : first + 16]):
            whole.paste(tile, (place % 4 * 1024, place // 4 * 768))
        mosaics.append(encoded(whole, 90))
    return found | {"12-megapixel mosaics": mosaics}


def encoded(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def shrunk(image: Image.Image, side: int, full: tuple[int, int]) -> Image.Image:
    """As training keeps it; `full`: width and height of the whole picture, px."""
    shrink = min(1.0, side / min(full))
    size = (max(side, round(full[0] * shrink)), max(side, round(full[1] * shrink)))
    return image.resize(size if shrink < 1 else full, Image.Resampling.BICUBIC, reducing_gap=3.0)


def made(content: bytes, side: int) -> tuple[list[Image.Image], list[float]]:
    """By full decoding, by scaled decoding, and encoded once more; seconds of the first two."""
    started = time.perf_counter()
    whole = decode(io.BytesIO(content))
    full = shrunk(whole, side, whole.size)
    between = time.perf_counter()
    scaled = shrunk(decode(io.BytesIO(content), SCALED * side), side, whole.size)
    ended = time.perf_counter()
    again = shrunk(decode_bytes(encoded(whole, 95)), side, whole.size)
    return [full, scaled, again], [between - started, ended - between]


def row(name: str, contents: list[bytes], size: int, model: torch.nn.Module) -> list[str]:
    side = stored_side(size, "geometry")
    pixels: list[list[Array]] = [[], []]
    views: list[list[Array]] = [[], [], []]
    seconds = np.zeros(2)
    for number, content in enumerate(contents):
        pictures, took = made(content, side)
        seconds += took
        full, *others = (np.asarray(p, dtype=np.float32) for p in pictures)
        for kept, other in zip(pixels, others, strict=True):
            kept.append(np.abs(full - other).ravel())
        aspect = pictures[0].width / pictures[0].height
        for k in range(VIEWS):
            view = draw_view(0, 1, str(number), k, aspect, "geometry")
            for kept, picture in zip(views, pictures, strict=True):
                kept.append(render(view, picture, size))
    full, scaled, again = (logits(model, np.stack(some)) for some in views)
    spread = full.std()

    def both(pair: Iterable[float], digits: int = 2) -> str:
        first, second = pair
        return f"{first:.{digits}f} ({second:.{digits}f})"

    apart = [np.concatenate(some) for some in pixels]
    ms = 1000 * seconds / len(contents)
    return [
        f"{name} ({len(contents)})", str(size), f"{ms[0]:.0f} → {ms[1]:.0f} ms",
        both(a.mean() for a in apart), both((np.percentile(a, 99) for a in apart), digits=0),
        both((np.abs(full - other).mean() / spread for other in (scaled, again)), digits=3),
        both((100 * (full.argmax(1) == o.argmax(1)).mean() for o in (scaled, again)), digits=0) + " %",
    ]  # fmt: skip


def logits(model: torch.nn.Module, views: Array) -> Array:
    """(N, C) of uint8 (N, S, S, 3)."""
    pixels = torch.from_numpy(views).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        return torch.cat([model(part) for part in torch.split(pixels, 32)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("datasets", type=Path)
    parser.add_argument("weights", type=Path, help="tf_efficientnet_lite0's ImageNet weights, safetensors")
    given = parser.parse_args()
    overlay = {"file": str(given.weights), "num_classes": 1000}
    model = timm.create_model("tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    rows = [row(name, some, px, model) for name, some in jpegs(given.datasets).items() for px in (64, 224)]
    lines = [
        "# JPEGs decoded at a fraction of their size",
        "",
        f"Generated by `python {' '.join(['tests/evidence/scaled_decoding.py', *sys.argv[1:]])}` on "
        f"{platform.machine()}, Pillow {version('pillow')}, torch {version('torch')}.",
        "",
        "Training pictures are shrunk once before views are drawn. Where libjpeg can scale a JPEG to "
        f"1/2, 1/4 or 1/8 and leave at least {SCALED} times the side that is kept, it does; bicubic does the "
        "rest. Evaluation and `predict` always decode in full. Differences to full decoding, and in brackets "
        "those that encoding the picture once more (JPEG, quality 95) makes: of pixels in 8-bit steps; of "
        f"logits of a real network (tf_efficientnet_lite0, ImageNet) over {VIEWS} views a picture, mean "
        "absolute, in standard deviations of the logits; and how often both name one class. A row that "
        "differs by 0 holds pictures too small to be scaled. Times are of a busy machine: ratios count.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
    ]
    (PAGES / "scaled_decoding.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
