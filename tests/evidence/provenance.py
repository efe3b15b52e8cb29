"""Are copies of what a model learned from known again, and is nothing else taken for one?

    python tests/evidence/provenance.py DATASETS      (a folder with flowers5 and grocery_apples; a minute)

Writes provenance.md. Every photo is changed in each way below, saved as a file of its own, scanned as a
user's folder is, and looked up among the fingerprints of the originals.
"""

import io
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pages import PAGES
from PIL import Image, ImageEnhance, ImageOps

from vitbench import files
from vitbench.data.demo import write_demo
from vitbench.data.scan import find_images, read_file
from vitbench.records import Fingerprints, Picture

PAGE = PAGES / "provenance.md"


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """The picture out of a JPEG of this quality."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def scaled(image: Image.Image, times: float) -> Image.Image:
    size = (max(1, round(image.width * times)), max(1, round(image.height * times)))
    return image.resize(size, Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The centre, so much of each side."""
    across, down = (round(side * (1 - share) / 2) for side in image.size)
    return image.crop((across, down, image.width - across, image.height - down))


WAYS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 75": lambda image: encoded(image, 75),
    "JPEG, quality 10": lambda image: encoded(image, 10),
    "enlarged 2 ×, JPEG": lambda image: encoded(scaled(image, 2), 85),
    "half as large, JPEG": lambda image: encoded(scaled(image, 0.5), 85),
    "64 × 64 px, JPEG": lambda image: encoded(image.resize((64, 64)), 85),
    "mirrored, JPEG": lambda image: encoded(ImageOps.mirror(image), 85),
    "turned by 90°, JPEG": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_90), 85),
    "mirrored, enlarged 3 ×, JPEG": lambda image: encoded(scaled(ImageOps.mirror(image), 3), 85),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "darker, 0.6 ×": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "brighter, 1.3 ×": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "contrast 1.5 ×": lambda image: ImageEnhance.Contrast(image).enhance(1.5),
    "cropped to 98 % of a side": lambda image: cropped(image, 0.98),
    "cropped to 95 % of a side": lambda image: cropped(image, 0.95),
}


def scanned(path: Path) -> Picture:
    """A file as the check of a folder sees it."""
    seen, _ = read_file(path)
    about = (seen.sha256, seen.pixels, seen.width, seen.height)
    return Picture(path.name, "", "train", *about, fingerprint=seen.fingerprint)


def known_again(
    originals: Fingerprints, photos: list[Path], change: Callable[[Image.Image], Image.Image]
) -> int:
    """How many of the photos are known after the change; lossless but for what the change itself loses."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in photos:
            with Image.open(path) as image:
                change(image.convert("RGB")).save(copy := Path(folder) / "copy.png", compress_level=1)
            seen = scanned(copy)
            count += originals.find(seen.sha256, seen.fingerprint) is not None
    return count


def alarms(pictures: list[Picture]) -> tuple[int, int]:
    """(pictures known by way of another one, pictures of which something is claimed) in a folder."""
    alike = 0
    for place, picture in enumerate(pictures):
        others = Fingerprints.of(("train", p) for p in pictures[:place] + pictures[place + 1 :])
        found = others.find("00" * 32, picture.fingerprint)
        alike += found is not None
    return alike, sum(any(p.fingerprint) for p in pictures)


def main(datasets: Path) -> None:
    folders = {name: find_images(datasets / name) for name in ("flowers5", "grocery_apples/train")}
    rows = []
    for way, change in WAYS.items():
        row = [way]
        for photos in folders.values():
            originals = Fingerprints.of(("train", scanned(path)) for path in photos)
            found = known_again(originals, photos, change)
            row.append(f"{found} of {len(photos)} ({100 * found / len(photos):.1f} %)")
            print(way, row[-1], file=sys.stderr)
        rows.append(row)
    with tempfile.TemporaryDirectory() as folder:
        write_demo(Path(folder) / "demo")
        clean = {**folders, "built-in pictures, 28 px": find_images(Path(folder) / "demo")}
        quiet = []
        for name, photos in clean.items():
            pictures = [scanned(path) for path in photos]
            alike, claimed = alarms(pictures)
            written = Path(folder) / "x.prints"
            Fingerprints.of(("train", p) for p in pictures).write(written)
            size = written.stat().st_size
            quiet.append([name, str(len(photos)), str(claimed), str(alike), f"{size / 1000:.1f} KB"])
    files.write_text(PAGE, page(list(folders), rows, quiet))


def page(names: list[str], rows: list[list[str]], quiet: list[list[str]]) -> str:
    def table(heads: list[str], lines: list[list[str]]) -> str:
        return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines))

    return f"""# Pictures that a model learned from, known again by their fingerprints

Made by `python tests/evidence/provenance.py DATASETS`. A saved model holds 49 bytes of each picture that it
learned from (`learned_from.prints`): no picture can be seen in them. A picture is known where its bytes are
the same, or where at most 24 of 256 signs of its lowest frequencies differ, as it is or mirrored or turned.

## Copies: how many of how many are known

{table(["changed how", *names], rows)}

What escapes: crops, strong brightening or contrast, anything that moves edges. `leaks.csv`, which compares
the pictures themselves, finds more of these (leaks.md).

## Clean folders: pictures that are taken for another one of the same folder

{table(["folder", "pictures", "with enough to be seen", "taken for another", "size in a saved model"], quiet)}
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
