"""`--resume`: one call for a job that a scheduler starts again; it begins what is not there."""

import json
from pathlib import Path
from typing import Any

import pytest
from painted import TINY, Listening, StopAt

from vitbench.benchmark import folder
from vitbench.benchmark.train import train
from vitbench.errors import UsageError, VitbenchError
from vitbench.files import sha256_of
from vitbench.records import Benchmark, Settings

pytestmark = pytest.mark.usefixtures("no_reports")  # no test here looks at them

SHORT: dict[str, Any] = {**TINY, "epochs": 1, "with_probe": False}


@pytest.mark.slow
def test_the_same_call_begins_goes_on_and_leaves_alone(coloured: Path, tmp_path: Path) -> None:
    """Not there: begun, and said so; cut off: gone on with; a further model: begun as well."""
    call: dict[str, Any] = {**SHORT, "name": "job", "results": tmp_path / "results", "resume": True}
    half_made = tmp_path / "results" / "job"
    half_made.mkdir(parents=True)
    (half_made / "split.csv").write_text("path,cl")  # killed before benchmark.json was there
    with pytest.raises(KeyboardInterrupt):
        train(coloured, watch=StopAt(1, 2), **call)
    watch = Listening()
    benchmark = train(coloured, watch=watch, **call)
    assert [run.status for run in benchmark.runs] == ["finished"]
    assert not any("is begun" in line for line in watch.heard)
    weights = benchmark.runs[0].model_folder / "model.safetensors"
    before = sha256_of(weights)
    both = train(coloured, watch=watch, **{**call, "models": ("test_vit", "test_vit2")})
    assert [run.status for run in both.runs] == ["finished", "finished"]
    assert any("begins test_vit2-s0" in line for line in watch.heard)
    assert sha256_of(weights) == before
    with pytest.raises(UsageError, match="epochs 1 → 2"):
        train(coloured, **{**call, "epochs": 2})


def test_what_is_begun_is_said(coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where neither the benchmark nor its pictures are there, what benchmarks there are."""
    monkeypatch.chdir(tmp_path)
    watch = Listening()
    train(coloured, name="new", results=tmp_path / "results", resume=True, watch=watch, **SHORT)
    assert any("new: nothing to go on with yet, so it is begun" in line for line in watch.heard)
    with pytest.raises(VitbenchError, match=r"no benchmark called 'nwe'; did you mean new\?"):
        train(name="nwe", results=tmp_path / "results", resume=True)


def test_a_bare_resume_keeps_to_its_own_command(tmp_path: Path) -> None:
    """`pretrain --resume` does not go on with a newer training; the other kind is named with its command."""
    for number, (name, recipe) in enumerate({"a": "simmim", "b": "probe", "c": "finetune"}.items()):
        (tmp_path / name).mkdir()
        settings = Settings.of({"recipe": recipe}).model_dump(mode="json")
        manifest = {
            "created": f"2026-01-0{number + 1}",
            "settings": settings,
            "runs": [{"name": "vit-s0", "model": "vit", "network": "vit", "seed": 0}],
            "data": "x",
        }
        (tmp_path / name / "benchmark.json").write_text(json.dumps(manifest))
    found = {verb: folder.newest_interrupted(tmp_path, verb) for verb in ("pretrain", "probe", "train")}
    assert {verb: one.name for verb, one in found.items()} == {"pretrain": "a", "probe": "b", "train": "c"}
    (Benchmark(tmp_path / "a").folder / "benchmark.json").unlink()
    with pytest.raises(
        VitbenchError, match=r"no benchmark of `vitbench pretrain` .*`vitbench train --resume --name c"
    ):
        folder.newest_interrupted(tmp_path, "pretrain")
