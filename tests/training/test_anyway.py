"""Resuming where something has changed: refused with the difference named, or accepted and noted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitbench.errors import UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.records import Benchmark
from vitbench.records.watch import Watch

Trained = Callable[..., Benchmark]


class Stop(Watch):
    """Raises KeyboardInterrupt after the first epoch."""

    def epoch_finished(self, run: str, row: Any, best: bool) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def cut(trained: Trained, tmp_path: Path) -> Path:
    """The folder of a run that was cut off after its first epoch."""
    with pytest.raises(KeyboardInterrupt):
        trained(Stop())
    return tmp_path / "results" / "tiny" / "test_vit-s0"


def pretend(run: Path, **changes: Any) -> None:
    """Let the run have been begun with another version of torch, number of threads or techniques."""
    path = run / "environment.json"
    known = json.loads(path.read_text())
    known["versions"].update({name: value for name, value in changes.items() if name in known["versions"]})
    known |= {name: changes[name] for name in ("threads", "without") if name in changes}
    path.write_text(json.dumps(known))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"torch": "2.0.1"}, r"torch 2\.0\.1 → \d"),
        ({"pillow": "9.0", "timm": "1.0.0"}, r"timm 1\.0\.0 → .*pillow 9\.0 → "),
        ({"threads": 64}, r"threads 64 → \d+\); set OMP_NUM_THREADS=64, or"),
        (
            {"without": ["fused_optimizer", "tf32"]},
            r"\(--without fused_optimizer → --without none\); give --without fused_optimizer, or go on",
        ),
    ],
    ids=["torch", "several", "threads", "techniques"],
)
def test_a_changed_machine_is_refused_with_the_difference(
    cut: Path, trained: Trained, change: dict[str, Any], named: str
) -> None:
    """Nothing of the run is touched."""
    pretend(cut, **change)
    before = {path: sha256_of(path) for path in cut.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=named):
        trained(resume=True)
    assert {path: sha256_of(path) for path in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("without", ["cuda_graphs", "device_views", "tf32"])
def test_what_changes_no_byte_is_no_change(cut: Path, trained: Trained, without: str) -> None:
    """On a CPU there is no graph to replay: the run goes on, whatever the call says of one."""
    pretend(cut, without=[without])
    assert trained(resume=True).runs[0].status == "finished"


@pytest.mark.slow
def test_what_only_costs_bits_is_accepted_and_noted(cut: Path, trained: Trained) -> None:
    """--allow-changed: the run goes on from its checkpoint; run, table and environment say what happened."""
    pretend(cut, torch="2.0.1")
    done = trained(resume=True, allow_changed=True)
    run = done.runs[0]
    assert "start at epoch 2 of 2" in (cut / "log.txt").read_text()
    (note,) = [note for note in run.metrics()["notes"] if "torch 2.0.1 → " in note]
    assert note in json.loads((cut / "recipe.json").read_text())["fallbacks"]
    assert "torch 2.0.1 → " in (done.folder / "comparison.json").read_text()
    assert run.environment()["versions"]["torch"] != "2.0.1"
    assert len(read_csv(cut / "epochs.csv")) == 2


def test_other_data_are_refused_all_the_same(cut: Path, trained: Trained, coloured: Path) -> None:
    """--allow-changed is no way around a picture that is gone."""
    pretend(cut, torch="2.0.1")
    (coloured / "red" / "00.png").unlink()
    with pytest.raises(UsageError, match="1 pictures are gone"):
        trained(resume=True, allow_changed=True)


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_run_of_which_nothing_was_trained_begins_anew(cut: Path, trained: Trained) -> None:
    """Without a checkpoint no two versions meet in one run: nothing is refused, nothing to be noted."""
    pretend(cut, torch="2.0.1")
    shutil.rmtree(cut / "checkpoint")
    run = trained(resume=True).runs[0]
    assert run.status == "finished"
    assert not any("torch" in note for note in run.metrics()["notes"])


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_fold_that_begins_under_another_version_is_refused_too(trained: Trained, tmp_path: Path) -> None:
    """One fold done, the next not begun: its folds would be of two versions; accepted, the run notes it."""

    class StopAfterFold(Watch):
        def run_finished(self, run: str, text: str) -> None:
            raise KeyboardInterrupt

    asked: dict[str, Any] = {"folds": 2, "epochs": 1}
    with pytest.raises(KeyboardInterrupt):
        trained(StopAfterFold(), name="folded", **asked)
    pretend(tmp_path / "results" / "folded" / "test_vit-s0", torch="2.0.1")
    with pytest.raises(UsageError, match=r"torch 2\.0\.1 → "):
        trained(name="folded", resume=True)
    done = trained(name="folded", resume=True, allow_changed=True).runs[0]
    assert any("torch 2.0.1 → " in note for note in done.metrics()["notes"])
