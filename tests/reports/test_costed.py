"""What `vitbench cost` found stands in the report of a benchmark of the same networks."""

import dataclasses
import os
from pathlib import Path

import pandas
import pytest
from fabricate import make_benchmark

from vitbench.analysis.cost import Limits, cost
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import Results, read_results
from vitbench.records import Benchmark
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.cost import write_cost
from vitbench.reports.costed import costed
from vitbench.reports.figures import pareto
from vitbench.reports.html import render

LABELS = [0, 1] * 10


def benchmark_at(results: Path, size: int) -> tuple[Results, Comparison]:
    """A fabricated one, whose only model was trained at that size."""
    read = read_results(make_benchmark(results / "b", {"test_vit-s0": LABELS}, LABELS))
    found = compare(read)
    (row,) = found.rows[:1]
    row = dataclasses.replace(row, timm_name="test_vit.in1k", of="test_vit", image_size=size, gmacs=0.01)
    return read, dataclasses.replace(found, rows=(row,))


@pytest.mark.slow
def test_the_same_network_at_other_sizes_stands_beside_its_accuracy(tmp_path: Path) -> None:
    """Multiply-adds against those at its own size, what can be afforded, accuracy where it was trained."""
    counted = cost(("test_vit",), (32, 64), times=False, limits=Limits(memory_mb=1))
    write_cost(counted, tmp_path / "cost-2026-01-01-1", "vitbench cost test_vit")
    read, comparison = benchmark_at(tmp_path, 32)
    found = costed(read, comparison)
    assert found is not None
    macs = counted.counted["macs"].astype(float)
    assert found.lines[0] == (
        f"test_vit would need, against 32 px, at 64 px {macs[1] / macs[0]:.2g} times the multiply-adds."
    )
    assert found.lines[1].startswith("test_vit: up to ")
    assert [line.cells[2].copied for line in found.table.lines] == ["100 [84, 100]", "–"]
    page = render(comparison_report(read, comparison), costs=found)
    assert "The same models at other sizes" in page
    assert page.index("Which size?") < page.index(found.lines[0])


@pytest.mark.slow
def test_the_newest_that_has_one_of_its_networks_is_taken(tmp_path: Path) -> None:
    """Others are passed by, and those that cannot be read; where there is none nothing is said."""
    read, comparison = benchmark_at(tmp_path, 32)
    assert costed(read, comparison) is None
    for age, (name, model) in enumerate({"9": "test_vit", "8": "test_vit", "7": "test_vit2"}.items()):
        write_cost(cost((model,), (32, 64), times=False), tmp_path / f"cost-{name}", "")
        os.utime(tmp_path / f"cost-{name}" / "macs.csv", (100 + age, 100 + age))
    (tmp_path / "cost-mine").mkdir()
    (tmp_path / "cost-mine" / "macs.csv").write_text("my,own\n1,2\n", encoding="utf-8")
    found = costed(read, comparison)
    assert found is not None
    assert found.folder == "cost-8"


def test_the_front_follows_from_the_table_by_pandas_alone(two_models: Benchmark) -> None:
    """Cheapest first, those that are better than all that cost less; sizes stand in the table."""
    table = pandas.read_csv(two_models.folder / "comparison.csv").dropna(subset=["top1", "gmacs"])
    table = table[table["probe_of"].isna()].sort_values(["gmacs", "top1"], ascending=[True, False])
    front = table[table["top1"] > table["top1"].cummax().shift(fill_value=-1)]
    tested = [row for row in compare(two_models).tested if not row.probe_of]
    assert front["model"].tolist() == [row.model for row in pareto(tested, "gmacs")]
    assert (table["image_size"] == 32).all()
