"""Tables as pandas frames: typed columns, names that are kept as text."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from painted import COLOURS, TINY, paint

import vitbench
from vitbench.records import Predictions
from vitbench.records.frames import by_rows, frame_csv

NAMES = ("007", "True", "nan")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> vitbench.Benchmark:
    """Two tiny models on classes that pandas would take for numbers, truth values and gaps."""
    folder = tmp_path_factory.mktemp("frames")
    for name, colour in zip(NAMES, list(COLOURS.values())[:3], strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(12):
            paint(folder / "photos" / name / f"{i:03}.png", colour, hash((name, i)) % 10_000)
    settings = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 1}
    return vitbench.train(folder / "photos", results=folder / "results", name="b", **settings)


@pytest.mark.slow
def test_a_notebook_of_ten_lines(benchmark: vitbench.Benchmark, tmp_path: Path) -> None:
    """Train, look at the table, group the answers by class, draw them."""
    import matplotlib as mpl

    mpl.use("Agg")
    table = vitbench.compare(benchmark).frame
    best = table.sort_values("top1", ascending=False)[["model", "top1", "top1_low", "top1_high"]]
    answers = benchmark.predictions
    by_class = answers.groupby(["model", "label"])["correct"].mean().unstack()
    axes = by_class.T.plot.bar(ylabel="right")
    axes.figure.savefig(tmp_path / "classes.png")
    benchmark.epochs.pivot(index="epoch", columns="run", values="val_loss").plot()
    assert set(best["model"]) >= {"test_vit", "test_efficientnet"}
    assert list(by_class.columns) == list(NAMES)
    assert {tick.get_text() for tick in axes.get_xticklabels()} == set(NAMES)
    assert (tmp_path / "classes.png").stat().st_size > 1000


def test_class_names_survive_frame_and_csv(benchmark: vitbench.Benchmark) -> None:
    """007, True and nan are text in a run's answers, in the CSV, and read back."""
    run = benchmark.runs[0]
    told = run.predictions()
    assert told.classes == NAMES
    assert set(told.frame["label"]) == set(NAMES)
    assert str(told.frame["label"].dtype) == str(told.frame["path"].dtype) == "string"
    again = pandas.read_csv(run.folder / "predictions.csv", dtype={"label": "string"}, keep_default_na=False)
    assert list(again["label"]) == list(told.frame["label"])


def test_columns_are_typed_and_documented(benchmark: vitbench.Benchmark) -> None:
    """Numbers are float64 or Int64, names are text; every column of the table is a field or a metric's."""
    table = vitbench.compare(benchmark).frame
    dtypes = {name: str(dtype) for name, dtype in table.dtypes.items()}
    assert (dtypes["top1"], dtypes["seeds"], dtypes["n_test"], dtypes["masked"]) == (
        "float64", "string", "Int64", "boolean",
    )  # fmt: skip
    assert {"loss", "loss_low", "loss_high", "rank_low", "rank_high", "trains"} <= set(dtypes)
    epochs = benchmark.epochs
    assert list(epochs.columns[:4]) == ["run", "model", "seed", "epoch"]
    assert str(epochs["val_top1"].dtype) == "float64"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """Probabilities and folds come back to the last bit; a path that looks like a formula too."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(3), size=4)
    folds = np.array([1, 2, 1, 2])
    told = Predictions(NAMES, ("=a.jpg", "b,c.jpg", "d\n.jpg", "e.jpg"), np.array([0, 1, 2, 0]), table, folds)
    told.write(tmp_path / "p.csv")
    again = Predictions.read(tmp_path / "p.csv")
    assert (again.paths, again.classes) == (told.paths, told.classes)
    assert (again.probabilities == table).all()
    assert (again.folds == folds).all()  # type: ignore[union-attr]


def test_missing_cells_are_empty_in_the_csv() -> None:
    """Text, whole numbers, numbers and truth values may be missing."""
    table = by_rows(
        {"a": "string", "b": "Int64", "c": "float64", "d": "boolean"},
        [("nan", 7, 0.1, True), (None, None, None, None)],
    )
    assert frame_csv(table) == "a,b,c,d\nnan,7,0.1,True\n,,,\n"


@pytest.mark.slow
def test_no_table_no_pandas() -> None:
    """Importing the package, its nouns or the command line loads no pandas."""
    code = "import sys, vitbench.records, vitbench.cli.app; print({'pandas', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
