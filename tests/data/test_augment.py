from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitbench.data.augment import write_views
from vitbench.data.decode import decode
from vitbench.data.epochs import plan_epoch
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.views import draw_view, render
from vitbench.errors import UsageError
from vitbench.records import Split

Maker = Callable[..., Path]


@pytest.fixture
def split(tmp_path: Path, classes: Maker) -> Split:
    """Two classes of 5 pictures: 3 train, 1 val, 1 test each."""
    return split_images(scan_folder(classes(tmp_path / "data", {"cat": 5, "dog": 5})))


def test_written_views_are_the_training_views(split: Split, tmp_path: Path) -> None:
    """Each file is the view that epoch 1 shows, named after its original and k."""
    out = tmp_path / "out"
    assert write_views(split, out, per_class=7, augment="light", size=20, seed=3) == 14
    for index, k in plan_epoch(split.train, 7, 3, 1):
        picture = split.train[index]
        view = draw_view(3, 1, picture.sha256, k, picture.width / picture.height, "light")
        expected = render(view, decode(split.root / picture.path), 20)
        with Image.open(out / picture.label / f"{Path(picture.path).stem}-{k}.png") as image:
            assert np.array_equal(np.asarray(image), expected)
    assert Counter(p.parent.name for p in out.rglob("*.png")) == {"cat": 7, "dog": 7}


def test_no_view_of_val_or_test(split: Split, tmp_path: Path) -> None:
    """Only training originals give views: the trap of augmenting before splitting is shut."""
    write_views(split, tmp_path / "out", per_class=50, size=8)
    stems = {f"{p.parent.name}/{p.stem.rpartition('-')[0]}" for p in (tmp_path / "out").rglob("*.png")}
    assert stems == {p.path.removesuffix(".png") for p in split.train}


def test_same_names_in_sub_folders(tmp_path: Path, classes: Maker) -> None:
    """Originals of one name in two sub-folders do not overwrite each other's views."""
    root = classes(tmp_path / "data", {"a/x": 5, "a/y": 5, "b": 5})
    split = split_images(scan_folder(root))
    count = write_views(split, tmp_path / "out", per_class=20, size=8)
    assert len(list((tmp_path / "out").rglob("*.png"))) == count == 40


def test_out_must_be_empty_and_outside(split: Split, tmp_path: Path) -> None:
    """A folder that holds something, and one in the data, are refused."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    for out in (full, split.root / "views"):
        with pytest.raises(UsageError):
            write_views(split, out)
    assert [p.name for p in full.iterdir()] == ["mine.txt"]
    assert not (split.root / "views").exists()


def test_progress(split: Split, tmp_path: Path) -> None:
    """Progress counts every view."""
    seen: list[tuple[int, int]] = []
    write_views(split, tmp_path / "out", per_class=4, size=8, on_progress=lambda *step: seen.append(step))
    assert seen == [(i, 8) for i in range(1, 9)]
