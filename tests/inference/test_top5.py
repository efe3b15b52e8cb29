"""Top-5 accuracy: a row of the table of metrics, and what follows from it everywhere."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.inference.metrics import among_first, scores, wilson
from vitbench.records import Predictions
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.formats import comparison_csv, comparison_json, markdown
from vitbench.reports.html import render
from vitbench.reports.tables import sentences

TEN = tuple("abcdefghij")
RANKED = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01])
"""Class a first, j last."""


def told(labels: list[int]) -> Predictions:
    """Every picture is answered alike."""
    paths = tuple(f"{i}.jpg" for i in range(len(labels)))
    return Predictions(TEN, paths, np.array(labels), np.tile(RANKED, (len(labels), 1)))


def test_the_first_five_count() -> None:
    """Classes a to e are among them, f to j are not; of equal ones the first: at even odds a to e again."""
    assert among_first(told(list(range(10))), 5).tolist() == [True] * 5 + [False] * 5
    even = Predictions(TEN, TEN, np.arange(10), np.full((10, 10), 0.1))
    assert among_first(even, 5).tolist() == [True] * 5 + [False] * 5
    assert scores(told([0, 4, 5, 9]))["top5"] == 0.5


def test_it_is_everywhere_with_its_interval_from_ten_classes_on(tmp_path: Path) -> None:
    """CSV, JSON, Markdown, terminal, page and frame: 30 of 40 among the first five, Wilson's interval."""
    labels = [0, 1, 2, 9] * 10
    benchmark = make_benchmark(
        tmp_path / "b", {"vit-s0": np.tile(RANKED, (40, 1))}, labels, TEN, train=range(10)
    )
    found = compare(benchmark)
    low, high = wilson(30, 40)
    expected = pytest.approx((0.75, low, high))
    (row,) = csv.DictReader(io.StringIO(comparison_csv(found)))
    assert tuple(float(row[name]) for name in ("top5", "top5_low", "top5_high")) == expected
    kept = json.loads(comparison_json(found))["rows"][0]["metrics"]["top5"]
    assert (kept["value"], kept["low"], kept["high"]) == expected
    assert tuple(found.frame.loc[0, ["top5", "top5_low", "top5_high"]]) == expected
    shown = f"75 [{100 * low:.0f}, {100 * high:.0f}]"
    assert any(f"top-5 {shown} %" in line for line in sentences(found))
    assert "top-5 %" in markdown(found)
    assert "right among the first five, %" in render(comparison_report(benchmark, found))


def test_few_classes_have_none(tmp_path: Path) -> None:
    """Of three classes any five hold the true one: empty in the CSV, in no table."""
    found = compare(make_benchmark(tmp_path / "b", {"vit-s0": [0, 1, 2] * 5}, [0, 1, 2] * 5))
    assert "top5" not in found.rows[0].metrics
    assert found.frame["top5"].isna().all()
    assert "top-5" not in markdown(found)
