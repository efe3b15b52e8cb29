"""`vitbench data suspects` leaves a page, a table to edit and what lies near."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from safetensors.torch import save_file

from vitbench.benchmark import near_features
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model

Call = Callable[..., tuple[int, str]]
PROBED = ("probe", "my photos", "--models", "test_vit", "--image-size", "32", "--folds", "4", "--name", "p")


@pytest.mark.slow
def test_a_wrong_label_is_found_shown_and_noted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A red picture among the blue ones: named, its red neighbours beside it by the probe's own features.

    A note in the table outlives the next call, whose page has it.
    """
    weights = Path("first.safetensors")
    model = create(plan_model("test_vit", 32), 7, RANDOM, seed=3)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, weights)
    shutil.move("my photos/red/00.png", "my photos/blue/red.png")
    assert call(*PROBED, "--weights", str(weights))[0] == 0
    monkeypatch.setattr(near_features, "create", lambda *given: pytest.fail("the store has all features"))
    status, text = call("data", "suspects", "--json")
    assert status == 0
    told = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    assert [row["path"] for row in told["suspects"]] == ["blue/red.png"]
    assert told["suspects"][0]["suspected"] == "red"
    place = Path("results/p/suspects")
    near = pandas.read_csv(place / "nearest.csv")
    assert near["class"].tolist() == ["red"] * 3 + ["blue"] * 3
    assert all(path.startswith(f"{name}/") for name, path in zip(near["class"], near["nearest"], strict=True))
    page = (place / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 7
    assert "frozen features of test_vit" in page
    assert "Picking flatters" in page
    table = pandas.read_csv(place / "suspects.csv")
    table["right_label"] = "red"
    table.to_csv(place / "suspects.csv", index=False)
    status, text = call("data", "suspects", "p")
    assert status == 0
    assert "1 mended by you" in " ".join(text.split())
    assert pandas.read_csv(place / "suspects.csv")["right_label"].tolist() == ["red"]
    assert max(map(len, text.splitlines())) <= 120


def test_pictures_that_are_gone_cost_the_neighbours_only(call: Call) -> None:
    """The list is there from predictions.csv alone; a line says what is lacking."""
    shutil.move("my photos/red/00.png", "my photos/blue/red.png")
    assert call(*PROBED, "--weights", "random")[0] == 0
    shutil.rmtree("my photos")
    status, text = call("data", "suspects", "p")
    assert status == 0
    if "1 of 24" in text:
        assert "no nearest pictures" in text
    assert Path("results/p/suspects/report.html").exists()
