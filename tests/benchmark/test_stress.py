"""`stress`: what is answered, kept and counted, and numbers that can be computed by hand."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from painted import TINY, Listening, paint_folder

from vitbench import files
from vitbench.analysis.stress import Stress
from vitbench.benchmark import stress as stressing
from vitbench.benchmark.stress import ANSWERS, Call, carried_out, stress, write
from vitbench.benchmark.train import train
from vitbench.data.made import LostPictureError
from vitbench.errors import UsageError, VitbenchError
from vitbench.inference.devices import choose_device
from vitbench.records import Benchmark, Predictions

ASKED = {"corruptions": ("gaussian", "contrast"), "severities": (1, 5), "shifts": (1,)}


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Two tiny models, two folds of 30 pictures."""
    root = tmp_path_factory.mktemp("folds")
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 1, "folds": 2, "augment": "light"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
        return train(paint_folder(root / "data", 10), name="folds", results=root / "results", **asked)


@pytest.fixture(scope="module")
def found(folds: Benchmark) -> Stress:
    """Both models under two corruptions and one distance."""
    return stress(folds, **ASKED)


def answers(benchmark: Benchmark, run: str, condition: str) -> Predictions:
    """Those of all folds, as they are kept."""
    each = [
        pandas.read_csv(path / f"{condition}.csv")
        for path in sorted((benchmark.folder / ANSWERS / run).glob("fold-*"))
    ]
    return pandas.concat(each)


@pytest.mark.slow
def test_accuracy_is_that_of_the_kept_answers(folds: Benchmark, found: Stress) -> None:
    """Each fold's model answers for its own test pictures, every picture once; means over severities."""
    table = found.frames["accuracy"].set_index(["model", "corruption"])
    for model in ("test_vit", "test_efficientnet"):
        clean = answers(folds, f"{model}-s0", "clean")
        assert sorted(clean["path"]) == sorted(row["path"] for row in folds.split_rows())
        before = folds.run(f"{model}-s0").predictions()
        assert np.isclose(table.loc[(model, "clean"), "accuracy"].item(), before.correct.mean())
        right = [answers(folds, f"{model}-s0", f"contrast-{s}")["correct"].mean() for s in (1, 5)]
        rows = table.loc[(model, "contrast")].set_index("severity")["accuracy"]
        assert rows.tolist() == pytest.approx([*right, np.mean(right)])
        kept = table.loc[(model, "contrast"), "kept"].dropna().item()
        assert kept == pytest.approx(np.mean(right) / clean["correct"].mean())


@pytest.mark.slow
def test_every_model_is_given_the_same_bytes(found: Stress) -> None:
    """A checksum of all pictures, under each condition one for both models; another for each condition."""
    table = found.frames["changes"]
    assert (table["models"] == "test_vit test_efficientnet").all()
    assert table["pixels"].nunique() == len(table) == 4
    harder = table.pivot(index="corruption", columns="severity", values="mean_change")
    assert (harder[5] > harder[1]).all()


@pytest.mark.slow
def test_corruptions_that_training_views_have_are_named(found: Stress) -> None:
    """`--augment light` changes contrast, and has no noise."""
    table = found.frames["accuracy"]
    named = table[table["severity"].isna()].set_index("corruption")["trained_with"]
    assert named["contrast"].all()
    assert not named["gaussian"].any()


@pytest.mark.slow
def test_p_values_are_corrected_over_models_and_corruptions(found: Stress) -> None:
    """Holm by hand over 2 × 2; the means over all corruptions are a family of their own."""
    table = found.frames["accuracy"]
    tested = table[table["p"].notna() & (table["corruption"] != "all")]
    assert len(tested) == 4
    ordered = tested.sort_values("p")
    steps = np.maximum.accumulate([min(1, (4 - i) * p) for i, p in enumerate(ordered["p"])])
    assert ordered["p_adjusted"].tolist() == pytest.approx(steps.tolist())
    for row in tested.itertuples():
        assert (row.p <= 0.05) == (not row.difference_low <= 0 <= row.difference_high)


@pytest.mark.slow
def test_consistency_is_the_share_of_pairs_of_shifts_with_one_answer(folds: Benchmark, found: Stress) -> None:
    """Nine crops: 36 pairs; the worst case is right at all nine."""
    names = [f"shift{a:+d}{b:+d}" for a, b in itertools.product((-1, 0, 1), repeat=2)]
    each = [answers(folds, "test_vit-s0", name) for name in names]
    said = np.array([one["prediction"].tolist() for one in each])
    pairs = [np.mean(a == b) for a, b in itertools.combinations(said, 2)]
    table = found.frames["shift_models"]
    mine = table[table["model"] == "test_vit"].set_index("measure")["value"]
    assert mine["consistency"] == pytest.approx(np.mean(pairs))
    assert mine["worst"] == pytest.approx(np.all([one["correct"] == 1 for one in each], axis=0).mean())
    classes = [column for column in each[0] if column.startswith("p_")]
    centre = each[names.index("shift+0+0")]
    moved = [np.abs(one[classes] - centre[classes]).sum(axis=1).mean() / 2 for one in each]
    assert mine["total_variation"] == pytest.approx(sum(moved) / 8)


@pytest.mark.slow
def test_each_condition_is_a_look_that_is_counted_once(folds: Benchmark, found: Stress) -> None:
    """Clean, four damages and nine crops; a second call finds all answered and looks at nothing."""
    runs = [run.evaluations() for run in folds.runs]
    assert [[look.by for look in looks] for looks in runs] == [["train", *["stress"] * 14]] * 2
    assert {look.pictures for looks in runs for look in looks} == {30}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stressing, "load_model", lambda folder: 1 / 0)
        again = stress(folds, **ASKED)
    assert again.frames["accuracy"].equals(found.frames["accuracy"])
    assert len(folds.runs[0].evaluations()) == 15


@pytest.mark.slow
def test_a_call_that_is_stopped_goes_on_condition_by_condition(two_models: Benchmark, tmp_path: Path) -> None:
    """Stopped in its third condition it has kept two; other weights under the same name begin anew."""
    copy = Benchmark(tmp_path / "two")
    shutil.copytree(two_models.folder, copy.folder)
    asked = {**ASKED, "shifts": ()}

    class Stop(Listening):
        """As Ctrl-C would, in the third condition."""

        def work(self, what: str, done: int, total: int) -> None:
            if done > 2 * total / 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stress(copy, **asked, watch=Stop())
    place = copy.folder / ANSWERS / "test_vit-s0"
    kept = {path.name: path.stat().st_mtime_ns for path in place.glob("*.csv")}
    assert set(kept) == {"clean.csv", "gaussian-1.csv"}
    found = stress(copy, **asked)
    assert {name: (place / name).stat().st_mtime_ns for name in kept} == kept
    assert found.frames["accuracy"].equals(stress(copy, **asked).frames["accuracy"])
    ledger = files.read_json(place / "cells.json")
    files.write_json(place / "cells.json", {**ledger, "identity": {**ledger["identity"], "weights": "other"}})
    stress(copy, **asked)
    assert (place / "clean.csv").stat().st_mtime_ns != kept["clean.csv"]


@pytest.mark.slow
def test_the_page_and_the_tables_are_written_whole(folds: Benchmark, found: Stress) -> None:
    """A csv per frame, figures, example pictures; the answer stands in the page."""
    call = Call.of(str(folds.folder), folds.folder.parent, *ASKED.values(), 0)
    carried = carried_out(call, choose_device("cpu"), Listening())
    place = write(call, carried, typed="vitbench stress folds")
    assert {path.stem for path in place.glob("*.csv")} == set(found.frames)
    pictures = {"accuracy.png", "kept.png", "shifts.png", "examples.png"}
    assert {path.name for path in place.glob("*.png")} == pictures
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "of its accuracy under 2 kinds of damage" in page
    assert "vitbench stress folds" in page
    assert "<script" not in page


@pytest.mark.slow
def test_the_figures_follow_from_the_answers_by_pandas_alone(folds: Benchmark, found: Stress) -> None:
    """Accuracy over severity, what is kept, same answer and total variation over the shift: all dots."""
    call = Call.of(str(folds.folder), folds.folder.parent, *ASKED.values(), 0)
    place = write(call, carried_out(call, choose_device("cpu"), Listening()))
    accuracy, shifts = (pandas.read_csv(place / f"{name}.csv") for name in ("accuracy", "shifts"))
    for model in ("test_vit", "test_efficientnet"):
        said = {
            name: answers(folds, f"{model}-s0", name)
            for name in ("clean", "gaussian-1", "gaussian-5", "contrast-1", "contrast-5")
        }
        right = {name: one["correct"].mean() for name, one in said.items()}
        mine = accuracy[accuracy["model"] == model]
        for row in mine[mine["severity"].notna()].itertuples():
            assert row.accuracy == pytest.approx(right[f"{row.corruption}-{row.severity:.0f}"])
        kept = mine[mine["severity"].isna()].set_index("corruption")["kept"]
        for name in ("gaussian", "contrast"):
            assert kept[name] == pytest.approx((right[f"{name}-1"] + right[f"{name}-5"]) / 2 / right["clean"])
        centre = answers(folds, f"{model}-s0", "shift+0+0")
        classes = [column for column in centre if column.startswith("p_")]
        for row in shifts[(shifts["model"] == model) & shifts["same_answer"].notna()].itertuples():
            there = answers(folds, f"{model}-s0", f"shift{row.down:+d}{row.right:+d}")
            assert row.same_answer == pytest.approx((there["prediction"] == centre["prediction"]).mean())
            varied = (there[classes] - centre[classes]).abs().sum(axis=1).mean() / 2
            assert row.total_variation == pytest.approx(varied)


def test_what_cannot_be_meant_is_one_line(folds: Benchmark, tmp_path: Path) -> None:
    """Nothing to look at, no such severity; shifts beyond the larger cut are left out and said."""
    with pytest.raises(UsageError, match="nothing to look at"):
        stress(folds, corruptions=(), shifts=())
    with pytest.raises(UsageError, match=r"--severities 6: should be of 1 to 5"):
        stress(folds, severities=(6,))
    said = Call.of(str(folds.folder), tmp_path, (), (1,), (1, 8), 0)
    assert said.notes == ("shifts of 8 px are left out: the larger cut reaches 2 px",)
    assert len(said.asked.offsets) == 9


def test_a_model_that_learned_from_every_picture_is_not_tested_on_any(
    folds: Benchmark, tmp_path: Path
) -> None:
    """Probes keep no model per fold; one run of two is left out and said."""
    copy = Benchmark(tmp_path / "folds")
    shutil.copytree(folds.folder, copy.folder)
    for path in (copy.folder / "test_vit-s0").glob("fold-*"):
        shutil.rmtree(path)
    call = Call.of(str(copy.folder), tmp_path, *ASKED.values(), 0)
    assert list(call.models) == ["test_efficientnet"]
    assert call.notes[0].startswith("test_vit-s0: kept no model per fold")
    for path in (copy.folder / "test_efficientnet-s0").glob("fold-*"):
        shutil.rmtree(path)
    with pytest.raises(VitbenchError, match="kept no model per fold"):
        stress(copy, **ASKED)


def test_a_test_picture_that_has_changed_stops_it(two_models: Benchmark, tmp_path: Path) -> None:
    """No number is worked out on other pictures."""
    copy, data = Benchmark(tmp_path / "two"), tmp_path / "data"
    shutil.copytree(two_models.folder, copy.folder)
    shutil.copytree(two_models.manifest["data"], data)
    files.write_json(copy.folder / "benchmark.json", {**two_models.manifest, "data": str(data)})
    path = next(row["path"] for row in copy.split_rows() if row["split"] == "test")
    (data / path).write_bytes(b"other")
    with pytest.raises(LostPictureError, match=Path(path).name):
        stress(copy, **ASKED)
