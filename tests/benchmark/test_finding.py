"""Finding benchmarks, and the plan in words."""

from pathlib import Path

import pytest

from vitbench.benchmark import folder
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark, duration


def test_the_newest_finished_benchmark_is_found(two_models: Benchmark) -> None:
    """A bare command takes it; by name and by path it is the same."""
    results = two_models.folder.parent
    assert folder.newest(results) == folder.find("two", results) == two_models
    assert folder.find(str(two_models.folder), Path("elsewhere")) == two_models


def test_an_empty_results_folder_says_what_to_type(tmp_path: Path) -> None:
    """No benchmark: the line names `vitbench train` and `vitbench demo`."""
    with pytest.raises(VitbenchError, match=r"vitbench train.*vitbench demo"):
        folder.newest(tmp_path)


def test_an_unknown_name_says_what_there_is(two_models: Benchmark) -> None:
    """The line lists the benchmarks that could have been meant."""
    with pytest.raises(VitbenchError, match="there: two"):
        folder.find("three", two_models.folder.parent)


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (99.4, "99 s"), (600, "10 min"), (5940, "99 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    """A length of time in the unit that a person would use."""
    assert duration(seconds) == text
