"""The trap of the slides: augment first, split then, and a model that knows nothing scores high."""

import random
import shutil
from pathlib import Path

import numpy as np
from painted import TINY
from PIL import Image
from scipy.stats import binom

from vitbench.benchmark.train import train
from vitbench.data.augment import write_views
from vitbench.data.demo import write_demo
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.records import Split

CLASSES = 5


def random_labels(root: Path, demo: Path, per_class: int) -> Path:
    """Real pictures of one kind each, dealt to five classes by chance."""
    pictures = sorted(demo.rglob("*.png"))
    dealt = random.Random(0).sample(pictures, CLASSES * per_class)
    for place, picture in enumerate(dealt):
        folder = root / f"class{place % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, folder / f"{place:03d}.png")
    return root


def nearest_neighbour_accuracy(split: Split) -> float:
    """Top-1 on test of the label of the nearest training picture, by pixels."""

    def pixels(path: str) -> np.ndarray:
        with Image.open(split.root / path) as image:
            return np.asarray(image.convert("L").resize((28, 28)), dtype=np.float32).ravel()

    known = np.stack([pixels(p.path) for p in split.train])
    right = 0
    for picture in split.test:
        nearest = ((known - pixels(picture.path)) ** 2).sum(axis=1).argmin()
        right += split.train[int(nearest)].label == picture.label
    return right / len(split.test)


def test_random_labels_stay_at_chance_and_the_trap_would_not(tmp_path: Path) -> None:
    """200 views of few originals with random labels: vitbench's test accuracy is chance, the trap's is not.

    The second half proves that the first can fail: the same views, split after augmenting, give a
    nearest neighbour far more than chance.
    """
    write_demo(tmp_path / "demo")
    data = random_labels(tmp_path / "data", tmp_path / "demo", per_class=40)
    asked = {**TINY, "per_class": 200, "epochs": 1, "augment": "geometry"}
    benchmark = train(data, name="t", results=tmp_path / "results", **asked)
    test = benchmark.runs[0].metrics()["test"]
    assert test["n"] == 30
    assert test["correct"] <= binom.ppf(0.9999, 30, 1 / CLASSES)

    few = random_labels(tmp_path / "few", tmp_path / "demo", per_class=8)
    split = split_images(scan_folder(few))
    honest = nearest_neighbour_accuracy(split)
    views = tmp_path / "views"
    write_views(split, views, per_class=60, augment="geometry", size=28)
    trapped = nearest_neighbour_accuracy(split_images(scan_folder(views)))
    assert honest < 0.6
    assert trapped > 0.7
