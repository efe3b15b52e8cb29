"""`vitbench sweep` answers first, keeps every cell, and leaves csv files that add up without vitbench."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from painted import paint_folder

Call = Callable[..., tuple[int, str]]
TINY = {
    "--models": "test_vit,test_efficientnet",
    "--weights": "random",
    "--image-size": "32",
    "--workers": "0",
    "--folds": "none",
    "--shots": "1,2,4",
}


def words(**changed: str) -> list[str]:
    """The options of `TINY`, some otherwise: `words(shots="1")`."""
    asked = {**TINY, **{f"--{name}": value for name, value in changed.items()}}
    return [word for pair in asked.items() for word in pair]


@pytest.mark.slow
def test_the_command_answers_first_and_its_files_add_up(call: Call) -> None:
    """Accuracies and gains from the bits of cells.csv; more draws reuse what is there, byte for byte."""
    paint_folder(Path("data"))
    status, text = call("sweep", "data", *words(draws="2"))
    assert status == 0
    lines = text.splitlines()
    assert lines[0].startswith("2 more photos per class (2 → 4) are worth ")
    assert max(map(len, lines)) <= 120
    place = Path("results/data-sweep")
    before = (place / "cells.csv").read_bytes()
    status, text = call("sweep", "data", *words(draws="3"), "--json")
    assert status == 0
    assert (place / "cells.csv").read_bytes().startswith(before)
    looks = pandas.read_csv(place / "test_evaluations.csv")
    assert list(looks["by"]) == ["sweep"] * 4  # two models, two calls
    assert "were looked at 4 times (a model in a call is one)" in (place / "report.html").read_text()
    cells = pandas.read_csv(place / "cells.csv", dtype={"right": str})
    assert len(cells) == 2 * 3 * 3
    right = np.array([[c == "1" for c in row] for row in cells["right"]])
    assert (right.sum(axis=1) == cells["correct"]).all()
    curve = pandas.read_csv(place / "curve.csv").set_index(["model", "shots"])
    cells["top1"] = right.mean(axis=1)
    means = cells.groupby(["model", "shots"])["top1"].mean()
    for (model, shots), value in means.items():
        assert curve.loc[(model.removesuffix("-probe"), shots), "top1"] == pytest.approx(value)
    gains = pandas.read_csv(place / "gains.csv")
    for row in gains.itertuples():
        both = [curve.loc[(row.model, int(size)), "top1"] for size in (row.shots, row.more_shots)]
        assert row.gain == pytest.approx(both[1] - both[0])
    found = json.JSONDecoder().raw_decode(text)[0]
    assert found["folder"] == str(place)
    assert len(found["curve"]) == 6
    assert "vitbench sweep data --models test_vit,test_efficientnet" in (place / "report.html").read_text()


def test_less_memory_than_a_batch_costs_no_cell(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that holds 16 pictures: half as many at a time, said in a line, until they fit."""
    from vitbench.benchmark import sweep_probed

    paint_folder(Path("data"))
    original = sweep_probed.features_of

    def small(*given: Any, **named: Any) -> Any:
        if given[5].eval_batch > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*given, **named)

    monkeypatch.setattr(sweep_probed, "features_of", small)
    status, text = call("sweep", "data", *words(models="test_vit", shots="1", draws="1"))
    assert status == 0
    said = [line for line in text.splitlines() if "out of memory" in line]
    assert said == [f"test_vit-probe: out of memory: {n} pictures per forward pass" for n in (16, 8)]


@pytest.mark.slow
def test_other_pictures_are_refused_and_what_there_is_stays(call: Call) -> None:
    """A folder that changed is another sweep; options that would do nothing are refused."""
    paint_folder(Path("data"))
    small = words(models="test_vit", shots="1", draws="1")
    assert call("sweep", "data", *small)[0] == 0
    before = Path("results/data-sweep/cells.csv").read_bytes()
    Path("data/red/00.png").unlink()
    for more, said in (
        ([], "a sweep of another split"),
        (["--epochs", "3"], "--epochs: nothing is trained without --arms"),
        (["--trained-draws", "3"], "--trained-draws: nothing is trained without --arms"),
    ):
        status, text = call("sweep", "data", *small, *more)
        assert status == 2
        assert said in text
    assert Path("results/data-sweep/cells.csv").read_bytes() == before


@pytest.mark.slow
def test_arms_are_trained_at_fewer_sizes_and_each_is_a_curve(call: Call) -> None:
    """Fine-tuned, distilled (its teacher learns from the same draw) and from scratch, beside the probes."""
    paint_folder(Path("data"))
    trained = {"arms": "finetune,distill,scratch", "trained-shots": "2,4", "trained-draws": "1"}
    small = {"epochs": "1", "per-class": "6", "batch-size": "16", "teacher": "test_efficientnet"}
    teachers = ["--weights", "test_efficientnet=random"]
    asked = [*words(models="test_vit", draws="2", **trained, **small), *teachers]
    status, text = call("sweep", "data", *asked)
    assert status == 0, text
    place = Path("results/data-sweep")
    cells = pandas.read_csv(place / "cells.csv", dtype={"right": str})
    counts = cells.groupby("model").size().to_dict()
    assert {arm: counts[f"{arm}-test_vit"] for arm in ("finetune", "distill", "scratch")} == {
        "finetune": 2, "distill": 2, "scratch": 2,
    }  # fmt: skip
    assert counts["test_vit-probe"] == 2 * 3
    before = (place / "cells.csv").read_bytes()
    assert call("sweep", "data", *asked)[0] == 0
    assert (place / "cells.csv").read_bytes() == before
