"""Shards: several processes fill one benchmark, each its own runs; the last one compares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painted import TINY, Listening

from vitbench.benchmark import folder, train
from vitbench.benchmark.shard import Shard
from vitbench.errors import UsageError
from vitbench.records import Benchmark
from vitbench.records.watch import Watch

Trained = Callable[..., Benchmark]


def test_every_run_is_in_exactly_one_shard() -> None:
    """Ten runs over four shards: 3, 3, 2, 2, none twice."""
    shares = [Shard.of(f"{number}/4").share(range(10)) for number in (1, 2, 3, 4)]
    assert shares == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """The line says what a shard looks like."""
    with pytest.raises(UsageError, match="such as 2/8"):
        Shard.of(text)


def test_a_shard_without_a_name_is_refused(coloured: Path, tmp_path: Path) -> None:
    """Each process would make a benchmark of its own."""
    with pytest.raises(UsageError, match="needs --name"):
        train.train(coloured, results=tmp_path / "results", shard="1/2", **TINY)


@pytest.mark.slow
def test_the_first_shard_says_what_is_missing_and_the_last_one_compares(trained: Trained) -> None:
    """Two shards one after the other: one benchmark, each run trained once, reports at the end."""
    watch = Listening()
    asked: dict[str, Any] = {"seeds": (0, 1), "epochs": 1}
    benchmark = trained(watch, shard="2/2", **asked)
    assert [run.status for run in benchmark.runs] == ["new", "finished"]
    later = f"vitbench compare tiny --results {benchmark.folder.parent}"
    assert f"still missing: test_vit-s0; `{later}`" in watch.heard[-1]
    assert not (benchmark.folder / "comparison.csv").exists()
    before = (benchmark.runs[1].folder / "metrics.json").read_bytes()
    assert trained(shard="1/2", **asked).finished
    assert (benchmark.folder / "comparison.csv").exists()
    assert (benchmark.runs[1].folder / "metrics.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_shard_that_was_cut_off_is_started_again_as_it_was(trained: Trained) -> None:
    """Schedulers start a job's own line again: its interrupted run is gone on with, without --resume."""

    class Stop(Watch):
        def epoch_finished(self, run: str, row: Any, best: bool) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(Stop(), shard="1/2")
    assert trained(shard="1/2").runs[0].status == "finished"


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_benchmark_that_another_shard_makes_meanwhile_is_joined(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no benchmark when they looked; the later one takes up the earlier one's."""
    asked: dict[str, Any] = {"seeds": (0, 1), "epochs": 1}
    first = trained(shard="1/2", **asked)
    created = first.manifest["created"]
    usual, looked = train._existing, []

    def too_early(request: train.TrainRequest) -> Benchmark | None:
        looked.append(request)
        return None if len(looked) == 1 else usual(request)

    monkeypatch.setattr(train, "_existing", too_early)
    both = trained(shard="2/2", **asked)
    assert len(looked) == 2
    assert both.manifest["created"] == created
    assert [run.status for run in both.runs] == ["finished", "finished"]


@pytest.mark.usefixtures("no_reports")
def test_without_a_shard_a_name_taken_meanwhile_is_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls with one --name at the same moment: the later one does not write into the other's folder."""
    trained(epochs=1)
    monkeypatch.setattr(train, "_existing", lambda request: None)
    with pytest.raises(folder.TakenError, match="another process"):
        trained(seeds=(7,), epochs=1)


@pytest.mark.usefixtures("no_reports")
def test_a_benchmark_half_made_by_a_killed_process_is_made_whole(trained: Trained, tmp_path: Path) -> None:
    """A folder with split.csv and no benchmark.json is no reason to choose another name; a stranger's is."""
    results = tmp_path / "results"
    (results / "tiny").mkdir(parents=True)
    (results / "tiny" / "split.csv").write_text("path,cl")
    (results / "tiny" / ".benchmark.json.x1.tmp").write_text("{")
    assert trained(epochs=1).finished
    (results / "other").mkdir()
    (results / "other" / "holiday.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no benchmark"):
        trained(name="other")
    assert [path.name for path in (results / "other").iterdir()] == ["holiday.txt"]
