"""`inspect`: what a call means, what is written, and what is one clear line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from painted import TINY, paint_folder

from vitbench import files
from vitbench.analysis.inspect import Inspection
from vitbench.benchmark.inspect import Asked, inspect, write
from vitbench.benchmark.train import train
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Benchmark, frames


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """One model at 64 px, whose maps have 4 × 4 cells."""
    root = tmp_path_factory.mktemp("wider")
    asked = {**TINY, "image_size": 64, "epochs": 1, "weights": ("random",)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
        return train(paint_folder(root / "data"), name="wider", results=root / "results", **asked)


@pytest.fixture(scope="module")
def looked(two_models: Benchmark) -> Inspection:
    """Both of its models at 32 px, on the pictures that they dispute."""
    return inspect(two_models.folder, weights="random")


def reasons(found: Inspection) -> dict[tuple[str, str], str]:
    """By network and analysis."""
    return {(model, analysis): reason for model, analysis, reason in found.refusals}


@pytest.mark.slow
def test_a_map_of_too_few_cells_is_refused_with_the_size_that_would_do(looked: Inspection) -> None:
    """Patches of 16 px at 32 px: 2 × 2 cells. 4 × 4 are 64 px."""
    said = reasons(looked)["test_vit-s0", "rollout"]
    assert "2 × 2 cells at 32 px" in said
    assert "64 px" in said


def test_a_network_without_attention_has_a_row_that_says_so(looked: Inspection) -> None:
    """In `notes.csv`, by analysis; the other networks are looked into."""
    assert reasons(looked)["test_efficientnet-s0", "distance"] == "has no attention whose weights can be read"
    notes = looked.frames["notes"]
    assert ((notes.model == "test_efficientnet-s0") & (notes.analysis == "distance")).sum() == 1
    assert set(looked.frames["distance"].model) == {"test_vit-s0"}


def test_disputed_test_pictures_are_shown_at_most_twelve(two_models: Benchmark, looked: Inspection) -> None:
    """Those on which the runs name different classes, by their own predictions."""
    first, second = (run.predictions() for run in two_models.runs)
    disputed = {p for p, a, b in zip(first.paths, first.answers, second.answers, strict=True) if a != b}
    shown = {picture.name for picture in looked.pictures}
    assert shown <= disputed or not disputed
    assert len(shown) == min(12, len(disputed)) or not disputed


@pytest.mark.slow
def test_what_is_written_is_what_was_found_and_replaces_what_was_there(
    wider: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A csv per frame, all maps as text; no trace of a look before, nor of one that fails half-way."""
    benchmark = wider
    found = inspect(benchmark.folder)
    place = benchmark.folder / "inspect"
    place.mkdir()
    (place / "old.csv").write_text("old")
    write(found, place, benchmark)
    assert not (place / "old.csv").exists()
    assert {path.stem for path in place.glob("*.csv")} == {*found.frames, "maps"}
    maps = pandas.read_csv(place / "maps.csv")
    row = maps[(maps.model == "test_vit-s0") & (maps["map"] == "rollout") & (maps["at"] == "picture 1")].iloc[
        0
    ]
    values = np.array(row["values"].split(), dtype=float).reshape(row["rows"], row["columns"])
    assert np.allclose(values, found.arrays["test_vit-s0"]["rollout"][0], rtol=1e-3)
    monkeypatch.setattr(frames, "frame_csv", lambda table: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(found, place, benchmark)
    assert (place / "maps.csv").exists()
    assert [path.name for path in benchmark.folder.glob(".inspect*")] == []


@pytest.mark.slow
def test_maps_are_checked_on_all_test_pictures_or_on_as_many_as_asked(wider: Benchmark) -> None:
    """36 pictures, 15 % test: 6; asked for 3: 3, paired by picture."""
    assert set(inspect(wider.folder).frames["deletion"].pictures) == {6}
    found = inspect(wider.folder, check_pictures=3).frames
    assert set(found["deletion"].pictures) == {3}
    assert (found["deletion_pictures"].groupby("model").size() == 3).all()


@pytest.mark.slow
def test_a_picture_that_cannot_be_read_is_a_row_and_the_others_are_looked_at(
    two_models: Benchmark, tmp_path: Path, coloured: Path
) -> None:
    """Where none can be read it is an error of one line."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    good = next(coloured.rglob("*.png"))
    found = inspect(two_models.folder, broken, good)
    assert [picture.name for picture in found.pictures] == [str(good)]
    assert any("broken.jpg" in reason for _, _, reason in found.refusals)
    with pytest.raises(VitbenchError, match=r"broken\.jpg: .*name pictures that can be read"):
        inspect(two_models.folder, broken)


def test_a_model_saved_elsewhere_needs_pictures_to_be_named(two_models: Benchmark, tmp_path: Path) -> None:
    """Its folder belongs to no benchmark: what it was tested on is not known."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(two_models.runs[0].model_folder, elsewhere)
    with pytest.raises(VitbenchError, match="name pictures to look at"):
        inspect(elsewhere, results=tmp_path / "results")
    picture = next(Path(two_models.manifest["data"]).rglob("*.png"))
    found = inspect(elsewhere, picture, results=tmp_path / "results")
    assert set(found.frames["answers"].model) == {"elsewhere"}
    assert any("lies apart from its run" in note for _, _, note in found.refusals)
    assert any("no test pictures" in reason for _, _, reason in found.refusals)


def test_a_network_by_name_alone_is_looked_into_without_a_head(coloured: Path, tmp_path: Path) -> None:
    """Random weights: attention is looked at, Grad-CAM and the check are refused."""
    picture = next(coloured.rglob("*.png"))
    found = inspect("test_vit", picture, weights="random", image_size=64, results=tmp_path)
    assert "distance" in found.frames
    assert "never trained" in reasons(found)["test_vit", "gradcam"]


def test_a_word_that_is_nothing_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    """Neither a benchmark nor a picture nor a model."""
    with pytest.raises(UsageError, match=r"vitt: neither .* did you mean vit"):
        Asked.of(["vitt"], tmp_path, ("random",), None)


@pytest.mark.slow
def test_with_folds_the_first_folds_models_are_looked_into_with_its_own_test_pictures(
    trained: Callable[..., Benchmark], no_reports: None
) -> None:
    """36 pictures in 3 folds: 12 are tested by fold 1, and the subjects say whose they are."""
    benchmark = trained(folds=3, epochs=1)
    asked = Asked.of([str(benchmark.folder)], benchmark.folder.parent, ("pretrained",), None)
    assert [subject.name for subject in asked.lookers.subjects] == ["test_vit-s0/fold-1"]
    assert asked.test is not None
    assert set(asked.test.paths) == {row["path"] for row in benchmark.split_rows() if row["fold"] == "1"}


def test_where_the_test_pictures_have_gone_the_line_says_how_to_say_so(
    two_models: Benchmark, tmp_path: Path
) -> None:
    """Pictures can be named instead."""
    place = tmp_path / "results" / "two"
    shutil.copytree(two_models.folder, place)
    files.write_json(place / "benchmark.json", {**two_models.manifest, "data": str(tmp_path / "gone")})
    with pytest.raises(VitbenchError, match=r"vitbench compare two --data FOLDER.* or name pictures"):
        inspect(place)
