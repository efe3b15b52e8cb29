"""What model.onnx says of picture files: `python reference.py photo.jpg …`; without any, the test vector.

Needs numpy, Pillow and onnxruntime, nothing else, and answers as `vitbench predict` does. HEIC, later pages
of a TIFF, and 16 bits that are signed or gray with transparency are left to that.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).parent


def pixels_of(path: str, about: dict[str, Any]) -> Any:
    """The picture as the model takes it: on white, resized, its middle cut out; uint8 (1, S, S, 3)."""
    image, size, short = in_8_bits(path, about["pixel_range"]), about["image_size"], about["resize"]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    shape = [short * side // min(image.size) for side in image.size]
    shape = [short, short] if about["crop_mode"] == "squash" else shape
    image = image.convert("RGB").resize(shape, Image.Resampling[about["interpolation"].upper()])
    left, above = (round((side - size) / 2) for side in shape)
    return np.asarray(image.crop((left, above, left + size, above + size)))[None]


def main(paths: list[str]) -> None:
    """Print the answer for each file, or whether the test vector comes out."""
    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    for path in paths:
        told = session.run(["probabilities"], {"pixels": pixels_of(path, about)})[0][0]
        print(json.dumps([path, about["classes"][told.argmax()], float(told.max())], ensure_ascii=False))
    if not paths:
        vector = np.load(HERE / "test_vector.npz")
        told = session.run(["probabilities"], {"pixels": vector["pixels"]})[0]
        print("largest difference from the test vector:", abs(told - vector["probabilities"]).max())


# --- more than 8 bits: who has no such pictures needs `ImageOps.exif_transpose(Image.open(path))` only ------


def in_8_bits(path: str, meant: list[float] | None) -> Image.Image:
    """The upright picture in a file; `meant`: black and white of more than 8 bits, else what values show.

    Of 16-bit colours Pillow gives the upper byte of each value.
    """
    image: Any = Image.open(path)
    stored, upright = str(image.tile), ImageOps.exif_transpose(image)
    values = np.asarray(upright)
    if image.mode in ("RGB", "RGBA", "CMYK") and ";16" in stored and "RGBa" not in stored:
        values = values.astype(np.uint16) << 8 | other_bytes(path)
    elif image.mode[0] not in "IF":
        return upright
    colours = values[..., :3] if image.mode == "RGBA" else values
    least, most = float(colours.min()), float(colours.max())
    top = next((top for top in (1, *(2**bits - 1 for bits in range(8, 33, 2))) if most <= top), most)
    shows_all = least >= 0 and (least == most or most - least >= top / 4)
    black, white = meant or ((0, top) if shows_all else (least, most if most > least else least + 1))
    shown = np.rint(((values.astype(float) - black) * (255 / (white - black))).clip(0, 255)).astype(np.uint8)
    if image.mode == "RGBA":
        shown[..., 3] = values[..., 3] >> 8
    return Image.fromarray(shown, "L" if shown.ndim == 2 else image.mode)


def other_bytes(path: str) -> Any:
    """The lower bytes of 16-bit colours: what Pillow takes for the upper ones in the other byte order."""
    image: Any = Image.open(path)
    tile = image.tile[0]
    raw, *rest = [tile.args] if isinstance(tile.args, str) else tile.args
    order = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[raw[-1]]
    image.tile = [tile._replace(args=(raw[:-1] + order, *rest))]
    return np.asarray(ImageOps.exif_transpose(image))


if __name__ == "__main__":
    main(sys.argv[1:])
