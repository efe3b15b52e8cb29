"""Slow pans: no test picture has a near-copy among those that taught; what can stay whole is not cut."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitbench.benchmark.train import train
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images, write_split
from vitbench.errors import ClassesError
from vitbench.records import ImageSet, Split


def scenery(key: int, width: int, height: int = 120) -> Image.Image:
    """A wide picture of soft coloured clouds."""
    small = np.random.default_rng(key).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def pan(folder: Path, key: int, frames: int, step: int = 1) -> None:
    """Frames of 160 × 120 px, each moved by `step` px: 0.6 % of its width."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = scenery(key, 160 + 8 * ((frames * step + 7) // 8))
    for number in range(frames):
        place = number * step
        wide.crop((place, 0, place + 160, 120)).save(folder / f"pan{key}-{number:03d}.png", compress_level=1)


def singles(folder: Path, key: int, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        scenery(1000 * key + number, 160).save(folder / f"{number:03d}.png", compress_level=1)


@pytest.fixture(scope="module")
def pans(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Two classes of nothing but a pan of 60 frames each."""
    root = tmp_path_factory.mktemp("pans")
    pan(root / "left", 1, 60)
    pan(root / "right", 2, 60)
    return scan_folder(root)


def crossing(split: Split, images: ImageSet) -> list[tuple[str, str]]:
    """Pairs of near-copies on two sides."""
    side = {p.path: part for part, p in split.assigned()}
    pairs = [(pair.path, pair.other) for pair in images.alike]
    return [(a, b) for a, b in pairs if a in side and b in side and side[a] != side[b]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_class_of_one_pan_is_cut_and_its_borders_left_out(pans: ImageSet, seed: int) -> None:
    """Nobody sees what another side shows; every frame is on a side or left out; the note says how many."""
    assert {p.group.partition("-")[0] for p in pans.pictures} == {"series"}
    split = split_images(pans, seed)
    assert split.leaks == ()
    assert crossing(split, pans) == []
    used = [p for _, p in split.assigned()]
    assert len(used) + len(split.left_out) == len({*used, *split.left_out}) == 120
    assert min(len(split.val), len(split.test)) >= 16  # 15 % of 120 is 18
    assert 0 < len(split.left_out) <= 30
    rows = split.rows()
    assert sum(row["split"] == "left out" for row in rows) == len(split.left_out)
    (note,) = [note for note in split.notes if "too long for one side" in note]
    assert (
        f"2 series of near-copies are too long for one side and cut; the {len(split.left_out)} pictures"
        in note
    )
    assert not any("stays on the side of its original" in note for note in split.notes)


@pytest.mark.slow
def test_folds_leave_out_what_their_test_shows(pans: ImageSet) -> None:
    """Each picture is tested once; no fold learns from a near-copy of what it tests."""
    split = split_images(pans, 0, folds=4)
    assert split.leaks == ()
    assert sorted(p.path for fold in split.folds for p in fold.test) == sorted(p.path for p in pans.pictures)
    for fold in split.folds:
        assert crossing(fold, pans) == []
        assert len(fold.train) >= 40


@pytest.mark.slow
def test_a_series_stays_whole_where_the_split_can_hold_it(tmp_path: Path) -> None:
    """A pan of 20 among 40 other pictures lies on one side; the sides keep their sizes."""
    for key, label in enumerate("ab"):
        pan(tmp_path / label, key, 20)
        singles(tmp_path / label, 7 + key, 40)
    images = scan_folder(tmp_path)
    for seed in range(4):
        split = split_images(images, seed)
        assert (split.left_out, split.leaks) == ((), ())
        for label in "ab":
            sides = {
                part for part, p in split.assigned() if p.label == label and p.group.startswith("series")
            }
            assert len(sides) == 1
        assert len(split.test) == 18
        assert any("each stays on the side of its original" in note for note in split.notes)


def test_what_is_too_short_to_be_cut_is_refused(tmp_path: Path) -> None:
    """Sixteen frames, most of them near to one another: no three sides of them are apart."""
    pan(tmp_path / "still", 1, 16)
    singles(tmp_path / "other", 9, 12)
    with pytest.raises(
        ClassesError, match=r"class 'still' is one series of near-copies.* too short to be cut"
    ):
        split_images(scan_folder(tmp_path))


@pytest.mark.slow
def test_a_written_split_has_no_left_out_pictures(pans: ImageSet, tmp_path: Path) -> None:
    """What is copied scans to the same split."""
    split = split_images(pans)
    assert write_split(split, tmp_path / "out") == 120 - len(split.left_out)
    assert split_images(scan_folder(tmp_path / "out")).digest == split.digest


@pytest.mark.slow
def test_a_benchmark_of_pans_says_what_was_left_out(tmp_path: Path) -> None:
    """In split.csv and among what a reader must know; nothing is listed as a leak."""
    for key, label in enumerate(("left", "right")):
        pan(tmp_path / "data" / label, key, 40)
    asked = {"models": ("test_vit",), "weights": ("random",), "image_size": 32, "epochs": 1, "per_class": 4}
    benchmark = train(tmp_path / "data", name="b", results=tmp_path / "results", **asked)
    assert benchmark.leaks() == ()
    assert {row["split"] for row in benchmark.split_rows()} == {"train", "val", "test", "left out"}
    assert "too long for one side and cut" in (tmp_path / "results" / "b" / "comparison.md").read_text()
