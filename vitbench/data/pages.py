"""Which picture of a file with several is taken: the largest page or size, the first frame."""

from collections.abc import Sequence

from PIL import Image

from vitbench.records.pictures import Several

MOST_PAGES = 256
"""Pages that are looked at."""
SUB_FOLDERS, KIND_OF_PAGE, REDUCED = 330, 254, 1


def take_page(image: Image.Image, errors: tuple[type[Exception], ...]) -> tuple[Several, int]:
    """Turn an opened file to its picture; what it is among, and its place there, from 0.

    `errors`: what a plug-in raises on a page that is damaged; such a page is passed over.
    """
    if image.format in ("ICO", "ICNS"):  # Pillow takes the largest
        return ("size" if len(image.info.get("sizes", ())) > 1 else ""), 0
    try:
        several = bool(getattr(image, "is_animated", False))
    except errors:
        several = False
    if not several:
        return "", 0
    if image.format != "TIFF":
        return "frame", 0
    sizes = _sizes(image, errors)
    place = sizes.index(max(sizes))
    image.seek(place)
    return ("later page" if place else "page"), place


def _sizes(image: Image.Image, errors: tuple[type[Exception], ...]) -> Sequence[int]:
    """Pixels of each page, 0 of one that cannot be read."""
    sizes = [image.width * image.height]
    for place in range(1, MOST_PAGES):
        try:
            image.seek(place)
        except EOFError:
            break
        except errors:
            sizes.append(0)
        else:
            sizes.append(image.width * image.height)
    return sizes


def is_preview(image: Image.Image) -> bool:
    """True for a TIFF that shows a small copy of what lies where Pillow does not look: a raw photo."""
    tags = getattr(image, "tag_v2", {})
    return bool(SUB_FOLDERS in tags and int(tags.get(KIND_OF_PAGE, 0)) & REDUCED)
