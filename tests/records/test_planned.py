"""What a run is stands in `benchmark.json`; the names of its folder and its model decide nothing."""

from pathlib import Path

import pytest

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark, PlannedRun


def test_names_that_look_like_others_are_what_they_are(tmp_path: Path) -> None:
    """Models called "a-s1", "x-probe" and "distill-vit" are neither seeds nor probes nor arms."""
    runs = [PlannedRun.of(name, 0) for name in ("a-s1", "x-probe", "distill-vit", "x")]
    rows = [
        {"name": f"folder-{i}", "model": run.model, "network": run.network, "seed": 7}
        for i, run in enumerate(runs)
    ]
    files.write_json(tmp_path / "benchmark.json", {"runs": rows})
    read = Benchmark(tmp_path).runs
    assert [run.model for run in read] == ["a-s1", "x-probe", "distill-vit", "x"]
    assert {run.seed for run in read} == {7}
    assert {(run.planned.arm, run.planned.probe_of) for run in read} == {("", "")}


def test_a_part_of_a_run_is_of_its_model(tmp_path: Path) -> None:
    """A fold has the model and the seed of the whole, also where it is reached by its path."""
    row = {"name": "f", "model": "m", "network": "m", "seed": 3}
    files.write_json(tmp_path / "benchmark.json", {"runs": [row]})
    (run,) = Benchmark(tmp_path).runs
    fold = run.part("fold-2")
    assert (fold.model, fold.seed, fold.name) == ("m", 3, "f/fold-2")
    assert type(run)(run.folder / "fold-2" / "final").seed == 3


def test_a_probe_stands_beside_its_model() -> None:
    """The probe of an arm's model has a folder and a name of its own and knows whose it is."""
    probe = PlannedRun.of("timm/vit:1", 2, "distill").probe(0)
    assert (probe.name, probe.model, probe.probe_of) == (
        "distill-timm_vit_1-probe-s0", "distill-timm/vit:1-probe", "distill-timm/vit:1",
    )  # fmt: skip
    assert probe.beside == PlannedRun.of("timm/vit:1", 5, "distill").beside


@pytest.mark.parametrize("rows", [["vit-s0"], [{"name": "vit-s0"}], {"a": 1}, None])
def test_a_benchmark_of_another_version_is_refused(tmp_path: Path, rows: object) -> None:
    """One line names the file and what to do."""
    files.write_json(tmp_path / "benchmark.json", {"runs": rows})
    with pytest.raises(VitbenchError, match=r"benchmark\.json: by another version of vitbench.*restore it$"):
        _ = Benchmark(tmp_path).runs
