"""What programs write is no class and no picture, wherever it lies and whatever it is called."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.benchmark.train import train
from vitbench.data.scan import find_images, scan_folder
from vitbench.errors import VitbenchError
from vitbench.inference.stream import collect

Maker = Callable[..., Path]


def benchmark(folder: Path, make: Maker) -> Path:
    """As `train` leaves it, in the least: its manifest, and a picture of curves."""
    folder.mkdir(parents=True)
    (folder / "benchmark.json").write_text(json.dumps({"created": "2026", "data_digest": "0"}))
    make(folder / "curves.png", 99)
    return folder


def ultralytics(folder: Path, make: Maker) -> Path:
    """A run of another tool."""
    (folder / "weights").mkdir(parents=True)
    (folder / "args.yaml").write_text("")
    make(folder / "confusion.png", 98)
    return folder


def store(folder: Path, make: Maker) -> Path:
    """Decoded pictures."""
    place = folder / "train-64" / "ab"
    place.mkdir(parents=True)
    (place / ("ab" * 32)).touch()
    return folder


def environment(folder: Path, make: Maker) -> Path:
    """A virtual environment, with an icon in it."""
    make(folder / "lib" / "icons" / "home.png", 97)
    (folder / "pyvenv.cfg").touch()
    return folder


def begun(folder: Path, make: Maker) -> Path:
    """A benchmark that another process is just making, or a killed one has left."""
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    (folder / "split.csv").touch()
    return folder


WRITERS = [begun, benchmark, ultralytics, store, environment]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("place", ["x", "results/x", "out/deep/x", "cat/x", "cat/more/results/x"])
def test_it_is_left_out_and_said(
    tmp_path: Path, classes: Maker, make: Maker, place: str, write: Callable[..., Path]
) -> None:
    """Among class folders, inside one, and as the only thing in a folder."""
    write(classes(tmp_path, {"cat": 2, "dog": 2}) / place, make)
    images = scan_folder(tmp_path)
    assert (images.classes, len(images.pictures)) == (("cat", "dog"), 4)
    (note,) = images.notes
    assert note.startswith("left out: ")
    assert len(find_images(tmp_path)) == 4


def test_beside_and_inside_parts(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """Beside train/ it is no part, inside train/ no class."""
    classes(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 1})
    benchmark(tmp_path / "test" / "results" / "one", make)
    benchmark(tmp_path / "val", make)
    images = scan_folder(tmp_path)
    assert (images.classes, len(images.pictures)) == (("cat", "dog"), 5)
    assert "left out: test/results/ (a benchmark of vitbench), val/ (a benchmark of vitbench)" in images.notes


def test_a_benchmark_is_no_data(tmp_path: Path, make: Maker) -> None:
    """Named itself, it is refused by what it is, as is the folder of benchmarks."""
    benchmark(tmp_path / "results" / "one", make)
    for folder in (tmp_path / "results", tmp_path / "results" / "one"):
        with pytest.raises(VitbenchError, match="a benchmark of vitbench, not a folder of pictures"):
            scan_folder(folder)


def test_a_file_of_that_name_alone_says_nothing(tmp_path: Path, classes: Maker) -> None:
    """Somebody else's benchmark.json in a class folder: its pictures count."""
    classes(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "cat" / "benchmark.json").write_text('{"fps": 60}')
    assert len(scan_folder(tmp_path).pictures) == 4


@pytest.mark.slow
def test_a_second_training_in_the_folder_of_photos(
    tmp_path: Path, classes: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cd photos; vitbench train .` twice: the second has the classes and pictures of the first."""
    monkeypatch.chdir(classes(tmp_path, {"cat": 6, "dog": 6}))
    tiny = {"models": ("test_vit",), "weights": ("random",), "epochs": 1, "image_size": 32, "per_class": 6}
    one, two = (train(".", name=name, **tiny).manifest for name in ("one", "two"))
    assert two["classes"] == ["cat", "dog"]
    assert one["data_digest"] == two["data_digest"]
    assert "left out: results/ (a benchmark of vitbench)" in two["notes"]


def test_a_folder_to_predict_says_what_it_leaves_out(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """The curves of a benchmark among the pictures are none to name a class for."""
    benchmark(classes(tmp_path, {"cat": 2, "dog": 2}) / "results" / "one", make)
    said: list[str] = []
    assert len(collect([str(tmp_path)], said.append)) == 4
    assert said == ["left out: results/one/ (a benchmark of vitbench)"]
