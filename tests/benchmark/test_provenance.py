"""What weights and models learned from is told by content, wherever they lie and whatever was done to it."""

import shutil
from pathlib import Path

import pytest
from painted import TINY, paint_folder
from PIL import Image, ImageOps

from vitbench.benchmark.predict import predict
from vitbench.benchmark.sweep import sweep
from vitbench.benchmark.train import train
from vitbench.comparison.compare import compare
from vitbench.errors import UsageError
from vitbench.models.weights import UNKNOWN_ORIGIN
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark

SMALL = {**TINY, "epochs": 1}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A benchmark of its own; 36 pictures, of which 6 are test."""
    root = tmp_path_factory.mktemp("first")
    return train(paint_folder(root / "data"), name="first", results=root / "results", **SMALL)


def copies(benchmark: Benchmark, part: str, root: Path) -> Path:
    """A folder whose test/ holds mirrored, enlarged JPEG copies of one part, and whose train/ is new."""
    shutil.copytree(paint_folder(root / "new", 6, {"red": "red"}), root / "data" / "train")
    for number, path in enumerate(sorted((root / "data" / "train").rglob("*.png"))):
        with Image.open(path) as image:
            changed = ImageOps.invert(image.rotate(90 * (number % 2), expand=True))
        changed.save(path)
    for row in benchmark.rows_of(part):
        target = (root / "data" / "test" / row["path"]).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(Path(benchmark.manifest["data"]) / row["path"]) as image:
            ImageOps.mirror(image).resize((160, 128), Image.Resampling.BICUBIC).save(target, quality=90)
    return root / "data"


def notes_of(benchmark: Benchmark) -> str:
    return "\n".join(narrate(compare(benchmark)).notes)


@pytest.mark.slow
def test_weights_that_saw_copies_of_test_pictures_are_named(first: Benchmark, tmp_path: Path) -> None:
    """Out of its benchmark, the model folder still says so; --strict refuses it."""
    data = copies(first, "train", tmp_path)
    alone = tmp_path / "elsewhere"
    shutil.copytree(first.runs[0].model_folder, alone)
    many = len(first.rows_of("train"))
    asked = {**SMALL, "weights": (str(alone),), "results": tmp_path / "results"}
    said = f"learned from {many} of the {many} test pictures ({many} of them as near-copies)"
    with pytest.raises(UsageError, match=r"learned from .* test pictures .*near-copies.*\(--strict\)"):
        train(data, strict=True, **asked)
    benchmark = train(data, name="again", **asked)
    assert said in "\n".join(benchmark.manifest["notes"])
    assert said in notes_of(benchmark)
    third = train(data, name="third", **{**asked, "weights": (str(benchmark.runs[0].model_folder),)})
    assert said in "\n".join(third.manifest["notes"])  # handed on from weights to weights


@pytest.mark.slow
def test_weights_of_unknown_origin_are_said_so(first: Benchmark, tmp_path: Path) -> None:
    """A bare file of tensors says nothing about what it learned from; nor does what is trained from it."""
    file = tmp_path / "mine.safetensors"
    shutil.copy(first.runs[0].model_folder / "model.safetensors", file)
    data = paint_folder(tmp_path / "data")
    asked = {**SMALL, "results": tmp_path / "results"}
    one = train(data, name="one", **{**asked, "weights": (str(file),)})
    assert UNKNOWN_ORIGIN in notes_of(one)
    two = train(data, name="two", **{**asked, "weights": (str(one.runs[0].model_folder),)})
    assert UNKNOWN_ORIGIN in notes_of(two)
    assert UNKNOWN_ORIGIN not in notes_of(first)


def test_predict_knows_copies_of_training_pictures(first: Benchmark, tmp_path: Path) -> None:
    """By the benchmark or by the model folder alone: they are no new pictures, and do not count as right."""
    data = copies(first, "train", tmp_path)
    alone = tmp_path / "elsewhere"
    shutil.copytree(first.runs[0].model_folder, alone)
    for run in (first, alone):
        answers = list(predict(data / "test", run=run))
        assert {(answer.seen, answer.near, answer.mark) for answer in answers} == {("train", True, "≈ train")}
        new = list(predict(data / "train", run=run))
        assert {answer.seen for answer in new} == {None}


@pytest.mark.slow
def test_looks_at_the_same_pictures_count_together(tmp_path: Path) -> None:
    """What else in the folder tested on these, or on copies of them, is named with its looks; a sweep too."""
    data, results = paint_folder(tmp_path / "data"), tmp_path / "results"
    one = train(data, name="one", results=results, **SMALL)
    assert "Looks at the test pictures: one per model" in notes_of(one)
    train(data, name="two", results=results, seeds=(0, 1), **SMALL)
    train(copies(one, "test", tmp_path / "c"), name="three", results=results, **SMALL)
    drawn = {"shots": (1,), "draws": 1, "folds": "none", "name": "curve"}
    sweep(data, results=results, progress=False, **drawn, **SMALL)
    (elsewhere,) = [note for note in narrate(compare(one)).notes if note.startswith("Looks")]
    assert "; 4 more by 3 other benchmarks beside this one (curve, three and two), at up to 6" in elsewhere
