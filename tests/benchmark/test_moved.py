"""Pictures that moved: accepted where their content is the same, and no report loses them in silence."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from painted import paint

from vitbench.benchmark import moved
from vitbench.benchmark.compare import compare
from vitbench.benchmark.train import train
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Benchmark
from vitbench.reports.photos import ARCHIVE
from vitbench.reports.write import write_reports

Trained = Callable[..., Benchmark]


def pictures_in(benchmark: Benchmark) -> int:
    """Different photographs on its page."""
    page = (benchmark.folder / "report.html").read_text(encoding="utf-8")
    return len(set(re.findall(r"data:image/jpeg;base64,([\w+/=]+)", page)))


@pytest.mark.slow
def test_a_report_keeps_its_photographs_when_they_are_gone(trained: Trained, coloured: Path) -> None:
    """Written anew without the folder it shows as many as before, and says what is missing."""
    benchmark = trained()
    before = pictures_in(benchmark)
    assert before > 0
    coloured.rename(coloured.with_name("elsewhere"))
    said: list[str] = []
    write_reports(benchmark, compare(benchmark), said.append)
    assert pictures_in(benchmark) == before
    assert f"{before} of the report's {before} photographs are not in {coloured} any more" in said[-1]
    assert f"`vitbench compare tiny --data NEWPLACE --results {benchmark.folder.parent}`" in said[-1]
    (benchmark.folder / ARCHIVE).write_bytes(b"damaged")
    write_reports(benchmark, compare(benchmark), said.append)
    assert "it lacks them now" in said[-1]


@pytest.mark.slow
def test_a_model_is_added_where_the_pictures_are_now(
    trained: Trained, coloured: Path, tmp_path: Path
) -> None:
    """The old place is named with the command that goes on; the new one is accepted and recorded."""
    results = trained().folder.parent
    place = tmp_path / "its new place"
    coloured.rename(place)
    with pytest.raises(VitbenchError, match=r"`vitbench train NEWPLACE --name tiny --models test_vit2 "):
        train(name="tiny", results=results, models=("test_vit2",))
    both = train(place, name="tiny", results=results, models=("test_vit2",))
    assert [run.status for run in both.runs] == ["finished", "finished"]
    assert both.manifest["data"] == str(place)


def test_other_content_is_refused_with_the_difference(trained: Trained, coloured: Path) -> None:
    """One picture missing, one changed: both are named, and nothing is recorded."""
    benchmark = trained(epochs=1)
    place = coloured.rename(coloured.with_name("new"))
    assert str(place) in moved.relocate(benchmark, place)
    paint(place / "red" / "00.png", (0, 0, 0), 1)
    (place / "blue" / "01.png").unlink()
    with pytest.raises(
        UsageError, match=r"1 of 36 are not there \(first: blue/01.png\), 1 of 36 have another"
    ):
        moved.relocate(benchmark, place)
    assert json.loads((benchmark.folder / "benchmark.json").read_text())["data"] == str(place)


def test_a_table_of_groups_moves_along(trained: Trained, coloured: Path) -> None:
    """It lies among the pictures: the same split by the table's new place."""
    table = coloured / "groups.csv"
    table.write_text("path,group\nred/00.png,x\nred/01.png,x\n")
    benchmark = trained(epochs=1, group=str(table))
    place = coloured.rename(coloured.with_name("new"))
    moved.relocate(benchmark, place)
    assert benchmark.settings.group == str(place / "groups.csv")
