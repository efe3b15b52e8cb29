"""What a run costs is told where it can be measured, and never decides whether the run counts."""

from collections.abc import Callable
from typing import Any

import pytest

from vitbench.comparison.compare import compare
from vitbench.models.create import gmacs
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark
from vitbench.reports import write
from vitbench.reports.write import write_reports
from vitbench.training import jobs

Trained = Callable[..., Benchmark]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("pit_ti_224", 224), ("cait_xxs24_224", 224), ("vit", 224)])
def test_networks_that_take_tuples_are_counted(name: str, size: int) -> None:
    """PiT hands tuples from module to module; ViT-Tiny stays at its 1.254 thousand million."""
    found = gmacs(plan_model(name, size), 1000)
    assert found == pytest.approx({"pit_ti_224": 0.70, "cait_xxs24_224": 2.53, "vit": 1.254}[name], rel=0.03)


@pytest.mark.slow
def test_a_network_that_takes_tuples_is_trained_to_a_row(trained: Trained) -> None:
    """PiT ends finished, with its multiply-adds in the table."""
    benchmark = trained(models=("pit_ti_224",), image_size=32, epochs=1, per_class=2)
    assert [run.status for run in benchmark.runs] == ["finished"]
    (row,) = compare(benchmark).rows
    assert row.gmacs is not None
    assert 0 < row.gmacs < 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["finetune", "probe"])
def test_what_cannot_be_measured_is_empty_with_a_note(
    recipe: str, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting raises and timing raises: the run is finished all the same, and says what is missing."""

    def fail(*_: Any) -> float:
        raise AssertionError("parameter is a tuple")

    monkeypatch.setattr(jobs, "gmacs", fail)
    monkeypatch.setattr(jobs, "latency_ms", fail)
    settings = {"recipe": "probe"} if recipe == "probe" else {"epochs": 1}
    run = trained(**settings).runs[0]
    assert run.status == "finished"
    cost = run.metrics()["cost"]
    assert (cost["gmacs"], cost["latency_ms_p50"], cost["latency_ms_p95"]) == (None, None, None)
    notes = run.metrics()["notes"]
    assert "multiply-adds could not be measured (parameter is a tuple)" in notes
    assert "latency could not be measured (parameter is a tuple)" in notes


def test_a_figure_that_cannot_be_drawn_is_left_out_with_a_note(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and report are written, a line names the figure."""
    benchmark = trained(epochs=1)
    (benchmark.folder / "curves.svg").unlink()

    def fail(*_: Any) -> None:
        raise RuntimeError("no canvas")

    monkeypatch.setattr(write, "draw_curves", fail)
    said: list[str] = []
    written = write_reports(benchmark, compare(benchmark), said.append)
    assert "curves.svg and curves.png could not be drawn (no canvas)" in said
    names = {path.name for path in written}
    assert {"comparison.csv", "confusion.svg", "report.html"} <= names
    assert "curves.svg" not in names
