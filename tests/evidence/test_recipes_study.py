"""The recipe study: draws keep blocks whole, a way changes one thing and puts it back, the page adds up."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recipes as study
import recipes_page
import torch
from painted import paint_folder

from vitbench.models.folder import load_model, save_model
from vitbench.records import Benchmark, Run
from vitbench.training import recipes, saving


def test_a_draw_keeps_blocks_on_one_side_and_is_drawn_anew_by_seed(tmp_path: Path) -> None:
    """Of 40 pictures of a class, in blocks of four: three blocks test, one val, six to train."""
    paint_folder(tmp_path / "photos", 40)
    groups = study.draw(tmp_path / "photos", 4, study.Way("default"), 0, tmp_path / "a")
    test = {str(one.relative_to(tmp_path / "a")) for one in (tmp_path / "a" / "test").glob("*/*")}
    assert set(groups) == test
    assert len(test) == 3 * 12
    assert sorted(list(groups.values()).count(one) for one in set(groups.values())) == [4] * 9
    for part, size in (("val", 4), ("train", 24)):
        assert len(list((tmp_path / "a" / part).glob("*/*"))) == 3 * size
    more = study.Way("more", val=1)
    assert study.draw(tmp_path / "photos", 4, more, 0, tmp_path / "d") == groups
    for part, size in (("val", 1), ("train", 27)):
        assert len(list((tmp_path / "d" / part).glob("*/*"))) == 3 * size
    few = study.Way("few", pictures=10)
    assert study.draw(tmp_path / "photos", 4, few, 0, tmp_path / "b") == groups
    assert len(list((tmp_path / "b" / "train").glob("*/*"))) == 30
    assert study.draw(tmp_path / "photos", 4, few, 1, tmp_path / "c") != groups


def test_a_way_is_in_force_inside_and_gone_after_an_error() -> None:
    """The table's rows and how the epoch is chosen."""
    before, choose = dict(recipes.FINETUNE), vars(saving)["best_epoch"]

    def fail() -> None:
        with study.changed(study.Way("other", row={"layer_decay": 0.5}, last=True)):
            assert {row.layer_decay for row in recipes.FINETUNE.values()} == {0.5}
            assert vars(saving)["best_epoch"]([1, 2, 3]) == 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert before == recipes.FINETUNE
    assert vars(saving)["best_epoch"] is choose


def row(way: str, seed: int, right: int, probe: int) -> dict[str, Any]:
    """A draw of 30 pictures in 30 blocks, the first so many right."""
    paths = [f"test/a/{seed}-{place}.png" for place in range(30)]
    known = {"right": right, "probe": probe, "averaged": 30}
    answers = {name: [int(place < n) for place in range(30)] for name, n in known.items()}
    about = {"set": "s", "network": "cnn", "way": way, "seed": seed, "px": 112}
    more = {"views": {"epochs": 3, "per_class": 40}, "paths": paths, "groups": list(range(30))}
    return {**about, **more, **answers, "loss": dict.fromkeys(known, 0.5), "cpu": 1.0}


def test_the_page_pools_draws_and_names_what_lacks() -> None:
    """Two draws of 30: 54 of 60 right against 40; and a way without a row is not measured."""
    rows = [row("default", 0, 27, 20), row("default", 1, 27, 20), row("light", 0, 27, 20)]
    page = recipes_page.page(
        rows, [("default", "cnn"), ("light", "cnn"), ("other", "cnn")], ["s"], "# Earlier"
    )
    assert "| default | 2 | 60 | 90.0 [" in page
    assert "| the probe | 2 | 60 | 66.7 [" in page
    assert "above its probe: with 3 epochs of 40 views a class on 1 of 1 (p" in page
    assert "+23.3 [" in page
    assert "over their table: default (tf_efficientnet_lite0, s); probe and default" in page
    assert "flattered: probe and default, probabilities averaged (tf_efficientnet_lite0, s) +33.3 [" in page
    assert "other (cnn, s).\n" in page
    assert page.endswith("# Earlier\n")


def test_a_picture_that_two_draws_hold_out_is_in_one_group() -> None:
    """As are all that stood in a block with it."""
    first, second = row("default", 0, 27, 20), row("default", 1, 27, 20)
    second["paths"][0] = first["paths"][5]
    second["groups"][1] = 0
    blocks = recipes_page._blocks([first, second])
    assert blocks[30] == blocks[31] == blocks[5]
    assert len(set(blocks.tolist())) == 58


@pytest.mark.slow
def test_weights_of_one_training_averaged_answer_as_it_does(two_models: Benchmark, tmp_path: Path) -> None:
    """Of two different models of one kind they answer as neither; probabilities are averaged by picture."""
    run = two_models.runs[0]
    photos = Path(two_models.manifest["data"])
    same = study._averaged([run, run], photos, tmp_path / "same")
    np.testing.assert_allclose(same.probabilities, run.predictions().probabilities, atol=1e-6)
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    loaded = load_model(run.model_folder)
    with torch.no_grad():
        next(loaded.module.parameters()).mul_(3)
    save_model(loaded.module, Run(other, run.planned).model_folder, loaded.classes, loaded.preprocessing)
    mixed = study._averaged([run, Run(other, run.planned)], photos, tmp_path / "mixed")
    with torch.no_grad():
        next(loaded.module.parameters()).mul_(2 / 3)
    save_model(loaded.module, Run(other, run.planned).model_folder, loaded.classes, loaded.preprocessing)
    twice = study._averaged([Run(other, run.planned)] * 2, photos, tmp_path / "twice")
    np.testing.assert_allclose(mixed.probabilities, twice.probabilities, atol=1e-6)
    assert np.abs(mixed.probabilities - same.probabilities).max() > 1e-4
