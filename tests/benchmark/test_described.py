"""Plans: a probe's counts its heads, a dry run's JSON is JSON, what helps nothing is not advised."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from painted import paint_folder
from typer.testing import CliRunner

from vitbench.benchmark import heads
from vitbench.benchmark.described import shortcut_line
from vitbench.benchmark.estimate import Estimate
from vitbench.benchmark.plan import make_plan
from vitbench.benchmark.train import TrainRequest, prepare
from vitbench.cli.app import app
from vitbench.records import PlannedRun, Settings
from vitbench.records.watch import Watch


def test_heads_are_counted_by_pictures_features_and_classes(
    coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 pictures × 10 features × 3 classes take 1 s; six heads take as long as their pictures together."""
    plan = make_plan(Settings(recipe="probe", models=("test_vit",), weights=("random",)), coloured, Watch())
    monkeypatch.setattr(heads, "_timed", lambda width, classes: 1.0)
    sizes = [len(part.train) + len(part.val) for part in plan.split.folds] + [36]
    assert heads.heads_seconds(plan.split, 10) == pytest.approx(sum(sizes) / 120)
    assert heads.heads_seconds(plan.split, 0) == 0


def test_a_dry_run_prints_the_plan_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    """--json: one object; progress goes to stderr; nothing is written."""
    paint_folder(tmp_path / "my photos", 8)
    words = ["train", str(tmp_path / "my photos"), "--models", "test_vit", "--weights", "random"]
    words += ["--image-size", "32", "--dry-run", "--no-probe", "--results", str(tmp_path / "results")]
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    plan = json.loads(found.stdout)
    assert (plan["pictures"], plan["train"], plan["val"], plan["test"]) == (24, 18, 3, 3)
    assert [run["run"] for run in plan["runs"]] == ["test_vit-s0"]
    text = CliRunner().invoke(app, words)
    assert "timing" not in text.stdout
    assert re.search(r"^test_vit +1 .* random$", text.stdout, re.MULTILINE)
    assert not (tmp_path / "results").exists()


def test_a_lone_model_is_not_advised_alone(coloured: Path) -> None:
    """A long plan of one model: another command with its data and size, no `--models` of the same."""
    asked = {"models": ("test_vit",), "weights": ("random",), "image_size": 96, "with_probe": False}
    plan, _ = prepare(TrainRequest(Settings.of(asked), coloured), Watch(), dry_run=True)
    line = shortcut_line(plan, {"test_vit-s0": Estimate(1, 36000, 1, 1)})
    assert f"`vitbench probe {coloured} --models test_vit --weights random --image-size 96` ranks" in line
    assert "alone" not in line
    other = dataclasses.replace(plan.jobs[0].plan, alias="other")
    jobs = (*plan.jobs, dataclasses.replace(plan.jobs[0], planned=PlannedRun.of("other", 0), plan=other))
    hours = {job.run_name: Estimate(1, 36000, 1, 1) for job in jobs}
    assert "--models test_vit alone about 10.0 h" in shortcut_line(
        dataclasses.replace(plan, jobs=jobs), hours
    )
