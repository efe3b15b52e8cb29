"""A made-up look into two networks: what they found on two painted pictures, and nothing was computed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from PIL import Image

from vitbench.analysis.inspect import Inspection, ShownPicture
from vitbench.analysis.nouns import Finding
from vitbench.records import Preprocessing

WAY = Preprocessing(64, (0.5,) * 3, (0.5,) * 3, "bicubic", 1.0)
WAYS = {"vit": WAY, "swin": WAY}


def looked_into(folder: Path, **more: dict[str, Finding]) -> Inspection:
    """vit is right on both pictures, swin calls the first one a tulip; only vit's Grad-CAM is true."""
    pictures = []
    for number, colour in enumerate(((200, 40, 40), (40, 40, 200)), start=1):
        path = folder / f"rose {number}.jpg"
        Image.new("RGB", (96, 64), colour).save(path)
        pictures.append(ShownPicture(path, path.name, "rose"))
    maps = np.linspace(0, 1, 2 * 16).reshape(2, 4, 4)
    cam = Finding(arrays={"gradcam-answered": maps, "gradcam-label": maps[:, ::-1]})
    findings: dict[str, dict[str, Finding]] = {
        "answers": {"vit": _answers("rose", "rose"), "swin": _answers("tulip", "rose")},
        "rollout": {"vit": Finding(arrays={"rollout": maps})},
        "gradcam": {"vit": cam, "swin": cam},
        "deletion": {"vit": _deletion(gradcam=0.2, rollout=-0.1), "swin": _deletion(gradcam=-0.3)},
        **more,
    }
    refusals = (("swin", "rollout", "has no attention"), ("vit", "stages", "cannot be taken apart"))
    return Inspection(findings, refusals, tuple(pictures))


def _answers(*said: str) -> Finding:
    rows = [
        {"picture": i, "name": f"rose {i}.jpg", "label": "rose", "answered": one, "probability": 0.75,
         "label_probability": 0.75 if one == "rose" else 0.25}
        for i, one in enumerate(said, start=1)
    ]  # fmt: skip
    return Finding({"answers": pandas.DataFrame(rows)})


def _deletion(**over: float) -> Finding:
    """By kind of map how much more its first quarter takes than the centre; the interval is ± 5 points."""
    rows = []
    for kind, more in over.items():
        row: dict[str, Any] = {
            "map": kind,
            "pictures": 20,
            "lost": 0.3 + more,
            "lost_low": 0.2,
            "lost_high": 0.6,
        }
        row |= {"lost_lowest": 0.01, "lost_random": 0.05, "lost_centre": 0.3}
        row |= {"over_centre": more, "over_centre_low": more - 0.05, "over_centre_high": more + 0.05}
        rows.append({**row, "beats_centre": more > 0.05})
    return Finding({"deletion": pandas.DataFrame(rows)})
