"""`predict --explain`: maps of what answers rest on."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitbench.benchmark.explain import Explainer
from vitbench.benchmark.predict import model_set_for, predict
from vitbench.cli.options import Outputs
from vitbench.errors import UsageError
from vitbench.inference.devices import choose_device
from vitbench.models.create import create
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark
from vitbench.reports.answers import answer_json


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model at 64 px, of patches of 16 px, saved on its own."""
    plan = plan_model("test_vit", 64)
    folder = tmp_path_factory.mktemp("saved") / "mine"
    save_model(create(plan, 3, RANDOM, 0), folder, ("blue", "green", "red"), plan.preprocessing)
    return folder


def test_each_readable_picture_has_the_maps_of_its_answer(
    saved: Path, coloured: Path, tmp_path: Path
) -> None:
    """4 × 4 cells each; the answers are those without maps; what cannot be read has none."""
    picture, broken = next(coloured.rglob("*.png")), tmp_path / "broken.png"
    broken.write_bytes(b"")
    plain, _ = predict(picture, broken, run=saved)
    explained, lost = predict(picture, broken, run=saved, explain=True)
    assert explained == plain
    assert {kind: one.shape for kind, one in explained.maps["mine"].items()} == {
        "attention": (4, 4),
        "rollout": (4, 4),
        "gradcam": (4, 4),
    }
    assert not plain.maps
    assert not lost.maps
    written = json.loads(answer_json(explained))["maps"]["mine"]["rollout"]
    assert np.allclose(written, explained.maps["mine"]["rollout"], rtol=1e-3)
    assert "maps" not in json.loads(answer_json(plain))


def test_maps_that_there_are_none_of_are_a_line_each(two_models: Benchmark) -> None:
    """A network without attention; 2 × 2 cells at 32 px."""
    models = model_set_for(str(two_models.folder), (), Path()).models
    lines = Explainer(models, choose_device("cpu")).refusals
    assert "test_efficientnet-s0: rollout: has no attention whose weights can be read" in lines
    assert any(line.startswith("test_vit-s0: rollout: its map has 2 × 2 cells at 32 px") for line in lines)


def test_maps_need_a_place_where_they_are_shown() -> None:
    """The table on the screen has none."""
    with pytest.raises(UsageError, match="--explain: needs --sheet"):
        Outputs(explain=True).check()
