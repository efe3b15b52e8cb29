"""Finding benchmarks, and the plan in words."""

from pathlib import Path

import pytest

from vitbench import files
from vitbench.benchmark import folder
from vitbench.errors import UsageError, VitbenchError
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


def test_names_that_are_too_long_are_one_line(tmp_path: Path) -> None:
    """A new name is refused from 100 bytes on; an old one that long is just not there."""
    with pytest.raises(UsageError, match="longer than 100 bytes"):
        folder.check_name("ü" * 51)
    assert folder.check_name("ü" * 50)
    with pytest.raises(VitbenchError, match="no benchmark called"):
        folder.find("x" * 5000, tmp_path)


@pytest.mark.parametrize("name", ["../../victim", "/etc", "a/b", ".hidden", "a\\b", "", "..", 7])
def test_a_manifest_cannot_name_a_run_outside_its_folder(tmp_path: Path, name: object) -> None:
    """What a resumed training would tidy up must lie inside the benchmark."""
    (tmp_path / "b").mkdir()
    files.write_json(
        tmp_path / "b" / "benchmark.json",
        {"runs": [{"name": n, "model": "vit", "network": "vit", "seed": 0} for n in ("vit-s0", name)]},
    )
    with pytest.raises(VitbenchError, match=r"names a run outside its folder|damaged"):
        _ = Benchmark(tmp_path / "b").runs
