"""`transfer`: cells are answered once, kept, counted and gone on with; the csv hold the figures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from painted import TINY, paint_folder

from vitbench import files
from vitbench.analysis.transfer import Transfer
from vitbench.benchmark.moves import Asked
from vitbench.benchmark.train import train
from vitbench.benchmark.transfer import CELLS, transfer
from vitbench.errors import UsageError
from vitbench.models import plan as planning
from vitbench.models.folder import load_model
from vitbench.records import Benchmark, Predictions, Run
from vitbench.records.watch import Watch
from vitbench.reports.transfer import write_transfer

SWIN = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1)}
ARGUMENTS = planning._arguments


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Swins are planned two blocks deep, with windows of 4 at 32 px."""

    def arguments(name: str, *more: object) -> dict[str, object]:
        found = ARGUMENTS(name, *more)  # type: ignore[arg-type]
        return {**found, **SWIN, "window_size": 4} if "swin" in name else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_arguments", arguments)
        planning._planned.cache_clear()
        yield
    planning._planned.cache_clear()


@pytest.fixture(scope="module")
def trained(small: None, tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A ViT and a Swin V2 at 32 px."""
    root = tmp_path_factory.mktemp("transfer")
    asked = {**TINY, "models": ("test_vit", "swinv2"), "epochs": 1, "with_probe": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
        return train(paint_folder(root / "data"), name="both", results=root / "results", **asked)


@pytest.fixture(scope="module")
def found(trained: Benchmark) -> Transfer:
    return transfer(trained, sizes=(64,), epochs=1)


def looks(benchmark: Benchmark) -> list[int]:
    """By `transfer`, per run."""
    return [sum(look.by == "transfer" for look in run.evaluations()) for run in benchmark.runs]


@pytest.mark.slow
def test_every_model_is_at_every_clean_size_in_every_way_of_its_family(trained: Benchmark) -> None:
    """1.5 times 32 px is 48, 3 patches of 16 px; windows grow alike."""
    asked = Asked.of(trained, (), (), 0)
    places = {(move.source.model, move.way.name, move.size, move.window) for move in asked.moves}
    assert places == {
        ("test_vit", "interpolated", 32, 0), ("test_vit", "interpolated", 48, 0),
        ("test_vit", "interpolated", 64, 0), ("swinv2", "extrapolated", 32, 4),
        ("swinv2", "extrapolated", 48, 6), ("swinv2", "extrapolated", 64, 8),
        ("swinv2", "renormalised", 48, 6), ("swinv2", "renormalised", 64, 8),
    }  # fmt: skip
    kept = Asked.of(trained, (32, 64), (8, 4), 0)
    assert {(move.size, move.window) for move in kept.moves if move.window} == {(32, 4), (32, 8), (64, 4)}


@pytest.mark.slow
def test_the_own_size_is_trained_on_alike_and_the_paper_stands_beside(found: Transfer) -> None:
    """Each cell as it is and trained further; log-spaced offsets at twice the size: 81.7 / 83.8."""
    scores = found.frames["scores"]
    cells = set(scores[["model", "way", "image_size", "tuned_epochs"]].itertuples(index=False, name=None))
    ways = [("test_vit", "own", 32), ("test_vit", "interpolated", 64), ("swinv2", "own", 32)]
    ways += [("swinv2", "extrapolated", 64), ("swinv2", "renormalised", 64)]
    assert cells == {(*way, tuned) for way in ways for tuned in (0, 1)}
    published = scores[scores.way == "extrapolated"].set_index("tuned_epochs").published
    assert published.to_dict() == pytest.approx({0: 0.817, 1: 0.838})


@pytest.mark.slow
def test_each_look_is_counted_once_and_a_second_call_looks_at_nothing(
    trained: Benchmark, found: Transfer
) -> None:
    """ViT: one size as it is, two trained on; Swin V2: two and three."""
    assert looks(trained) == [3, 5]
    again = transfer(trained, sizes=(64,), epochs=1)
    assert looks(trained) == [3, 5]
    assert again.frames["scores"].equals(found.frames["scores"])


@pytest.mark.slow
def test_what_was_trained_on_is_a_saved_model_that_answers_the_same(
    trained: Benchmark, found: Transfer
) -> None:
    """Windows and normalisers stand in its config; val chose its epoch."""
    (place,) = (trained.folder / CELLS).glob("swinv2-s0-*-extrapolated-i64-w8-tuned-1")
    run, loaded = Run(place), load_model(place / "model")
    assert run.recipe().model_args["pretrained_window_sizes"] == [4, 4]
    assert loaded.module.layers[0].blocks[0].attn.pretrained_window_size == (4, 4)
    assert loaded.preprocessing.size == 64
    assert run.metrics()["best_epoch"] == 1
    assert run.metrics()["val"]["n"] == len(trained.rows_of("val"))
    assert not list((trained.folder / CELLS).glob("*-start"))


@pytest.mark.slow
def test_the_figures_follow_from_the_table_of_right_answers(found: Transfer, tmp_path: Path) -> None:
    """Without vitbench: means of columns, and their differences."""
    write_transfer(found, tmp_path / "page", "vitbench transfer both")
    right = pandas.read_csv(tmp_path / "page" / "right.csv")
    scores = pandas.read_csv(tmp_path / "page" / "scores.csv")
    assert len(right) == scores.n_test.iloc[0]
    for row in scores.itertuples():
        window = "" if np.isnan(row.window) else f" W{row.window:.0f}"
        name = f"{row.model} {row.way} I{row.image_size}{window} tuned {row.tuned_epochs} run 1"
        assert right[name].mean() == pytest.approx(row.top1)
    differences = pandas.read_csv(tmp_path / "page" / "differences.csv")
    row = differences[(differences.question == "size") & (differences.way == "extrapolated")].iloc[0]
    there, own = (right[f"swinv2 {way} tuned 0 run 1"] for way in ("extrapolated I64 W8", "own I32 W4"))
    assert row.difference == pytest.approx((there - own).mean())
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "log-spaced CPB" in page
    assert "W16 81.7 / 83.8" in page


class StopIn(Watch):
    """Ctrl-C at the larger size, in its further training."""

    def work(self, what: str, done: int, total: int) -> None:
        if what == "models at other sizes" and done > 0.45 * total:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_what_is_finished_stays_when_it_is_stopped_and_the_rest_comes_out_the_same(
    trained: Benchmark, found: Transfer, tmp_path: Path
) -> None:
    """The same bytes of weights and answers as without the interruption."""
    place = tmp_path / "results" / "both"
    shutil.copytree(trained.folder, place)
    shutil.rmtree(place / CELLS)
    manifest = files.read_json(place / "benchmark.json")
    files.write_json(place / "benchmark.json", {**manifest, "runs": manifest["runs"][:1]})
    with pytest.raises(KeyboardInterrupt):
        transfer(place, sizes=(64,), epochs=1, watch=StopIn())
    kept = {path: path.stat().st_mtime_ns for path in (place / CELLS).glob("*/predictions.csv")}
    assert len(kept) == 2
    transfer(place, sizes=(64,), epochs=1)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for name in ("predictions.csv", "model/model.safetensors"):
        for path in (place / CELLS).glob(f"*/{name}"):
            assert path.read_bytes() == (trained.folder / path.relative_to(place)).read_bytes(), path


def test_a_size_that_does_not_fit_is_named_and_the_others_go_on(trained: Benchmark) -> None:
    """72 px: 18 × 18 patches of 4, which 8 does not divide; no multiple of 16."""
    found = transfer(trained, sizes=(64, 72), windows=(8, 8), epochs=0)
    assert {(model, size) for model, size, _, _ in found.refused} == {
        ("test_vit", 72), ("swinv2", 72)
    }  # fmt: skip
    assert {cell.size for cell in found.answers} == {32, 64}
    with pytest.raises(UsageError, match="no model runs at another size"):
        transfer(trained, sizes=(66,), epochs=0)
    with pytest.raises(UsageError, match="names 2 for 1 sizes"):
        transfer(trained, sizes=(64,), windows=(4, 8))


@pytest.mark.slow
def test_answers_are_those_of_the_network_at_that_size(trained: Benchmark, found: Transfer) -> None:
    """Recomputed by timm's own `set_input_size` on the trained ViT."""
    (place,) = (trained.folder / CELLS).glob("test_vit-s0-*-interpolated-i64/predictions.csv")
    kept = Predictions.read(place)
    (tuned,) = (trained.folder / CELLS).glob("test_vit-s0-*-interpolated-i64-tuned-1/predictions.csv")
    assert not np.array_equal(kept.probabilities, Predictions.read(tuned).probabilities)
    from vitbench.data.batches import Evaluation, pixels_of
    from vitbench.data.decode import decode

    loaded = load_model(trained.runs[0].model_folder)
    loaded.module.set_input_size((64, 64))  # type: ignore[operator]
    evaluation = Evaluation(Run(tuned.parent).recipe().preprocessing)
    cuts = [pixels_of(evaluation.cut(decode(Path(trained.manifest["data"]) / p))) for p in kept.paths]
    with torch.inference_mode():
        logits = loaded.module(evaluation.inputs(cuts, torch.device("cpu")))
    assert np.allclose(logits.double().softmax(1).numpy(), kept.probabilities, atol=1e-6)
