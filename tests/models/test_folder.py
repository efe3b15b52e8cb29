import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from timm.data import create_transform, resolve_model_data_config

from vitbench.errors import WeightsError
from vitbench.models.create import create, state_sha256
from vitbench.models.folder import load_model, save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan, plan_model

CLASSES = ("사과", "🍎 red", '"quoted", comma', "=SUM(A1)", "ünï")


def picture(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def saved(name: str, folder: Path, size: int = 64) -> torch.nn.Module:
    plan = plan_model(name, size)
    model = create(plan, len(CLASSES), RANDOM, seed=0).eval()
    save_model(model, folder, CLASSES, plan.preprocessing)
    return model


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    saved("test_vit", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "name",
    [
        "vit",
        pytest.param("deit", marks=pytest.mark.slow),  # a vit's network
        "deit-distilled",
        pytest.param("swin", marks=pytest.mark.slow),
        pytest.param("swinv2", marks=pytest.mark.slow),
        pytest.param("swinv2-w16", marks=pytest.mark.slow),  # swinv2's with other windows
        pytest.param("swinv2-cr", marks=pytest.mark.slow),
        "resnet18",
        "convnext_atto",
        "efficientnet_b0",
    ],
)
def test_a_saved_model_answers_to_the_bit(name: str, tmp_path: Path) -> None:
    """The fast loader and bare timm, from the folder alone, give the logits of the model in memory.

    Tensors and buffers too: none is left at its initial value.
    """
    model = saved(name, tmp_path / "m")
    loaded = load_model(tmp_path / "m").module
    bare = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True).eval()
    with torch.no_grad():
        expected = model(picture(64))
        assert torch.equal(loaded(picture(64)), expected)
        assert torch.equal(bare(picture(64)), expected)
    assert state_sha256(loaded) == state_sha256(model)
    for (key, mine), (_, theirs) in zip(loaded.named_buffers(), bare.named_buffers(), strict=True):
        assert torch.equal(mine, theirs), key


@pytest.mark.slow
def test_timm_without_vitbench_loads_the_folder(tiny_folder: Path) -> None:
    """A process that never imports vitbench gets the same logits from the folder."""
    script = (
        "import sys, json, torch, timm\n"
        f"m = timm.create_model('local-dir:{tiny_folder.as_posix()}', pretrained=True).eval()\n"
        "x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))\n"
        "assert 'vitbench' not in sys.modules\n"
        "print(json.dumps(m(x).tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    with torch.no_grad():
        expected = load_model(tiny_folder).module(picture(64))
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("vit", 64), ("swinv2", 96), ("resnet18", 64), ("test_vit", 224)])
def test_timms_own_transform_is_the_evaluation_transform(name: str, size: int, tmp_path: Path) -> None:
    """timm's data config of the loaded model is the plan's preprocessing, the trained size included."""
    plan = plan_model(name, size)
    model = create(plan, 2, RANDOM, 0)
    save_model(model, tmp_path / "m", ["a", "b"], plan.preprocessing)
    bare = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True)
    theirs = create_transform(**resolve_model_data_config(bare))
    mine = create_transform(**plan.preprocessing.timm_config())
    assert str(theirs) == str(mine)
    assert f"CenterCrop(size=({size}, {size}))" in str(theirs)
    assert load_model(tmp_path / "m").preprocessing == plan.preprocessing


def test_class_names_of_any_script_come_back(tiny_folder: Path) -> None:
    """Korean, emoji, quotes and formulas come back as they were, for us and for timm."""
    assert load_model(tiny_folder).classes == CLASSES
    bare = timm.create_model(f"local-dir:{tiny_folder}", pretrained=True)
    assert tuple(bare.pretrained_cfg["label_names"]) == CLASSES


def test_a_loaded_model_says_what_it_is(tiny_folder: Path) -> None:
    """It is in eval mode and names the timm model with the tag of its first weights."""
    loaded = load_model(tiny_folder)
    assert not loaded.module.training
    assert loaded.timm_name == "test_vit.r160_in1k"
    assert all(p.requires_grad for p in loaded.module.parameters())


def test_drop_path_is_not_saved(tmp_path: Path, tiny_plan: ModelPlan) -> None:
    """A model trained with drop path answers alike after loading and carries no drop rate."""
    model = create(tiny_plan, 2, RANDOM, 0, drop_path=0.5).eval()
    save_model(model, tmp_path / "m", ["a", "b"], tiny_plan.preprocessing)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "m").module(picture(64)), model(picture(64)))
    assert "drop" not in (tmp_path / "m" / "config.json").read_text(encoding="utf-8")


def test_saving_again_replaces_the_folder_whole(tiny_folder: Path, tiny_plan: ModelPlan) -> None:
    """A second save leaves the new model alone in the folder, and nothing beside it."""
    (tiny_folder / "stray.txt").write_text("old")
    model = create(tiny_plan, 2, RANDOM, seed=9)
    save_model(model, tiny_folder, ["a", "b"], tiny_plan.preprocessing)
    assert state_sha256(load_model(tiny_folder).module) == state_sha256(model)
    assert sorted(p.name for p in tiny_folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [p.name for p in tiny_folder.parent.iterdir()] == ["model"]


def test_who_may_read_new_files_may_read_a_saved_model(tiny_folder: Path) -> None:
    """Weights and configuration have the permissions of any new file here, not their owner's alone."""
    usual = tiny_folder.parent / "usual"
    usual.touch()
    found = {path.name: path.stat().st_mode for path in tiny_folder.iterdir()}
    assert found == dict.fromkeys(("config.json", "model.safetensors"), usual.stat().st_mode)


def test_a_save_that_fails_leaves_the_old_model(
    tiny_folder: Path, tiny_plan: ModelPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fails half-way, the old folder stands and no half is left beside it."""
    before = state_sha256(load_model(tiny_folder).module)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vitbench.files.replace_folder", full)
    with pytest.raises(OSError, match="No space"):
        save_model(create(tiny_plan, 2, RANDOM, 9), tiny_folder, ["a", "b"], tiny_plan.preprocessing)
    assert state_sha256(load_model(tiny_folder).module) == before
    assert [p.name for p in tiny_folder.parent.iterdir()] == ["model"]


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-500] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


def _preprocess(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _edit(folder, pretrained_cfg={**config["pretrained_cfg"], **changes})


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "damaged or not whole"),
        (_flip_a_byte, "bytes changed"),
        (_only_a_pickle, "safetensors only"),
        (lambda f: (f / "config.json").unlink(), "is no saved model"),
        (lambda f: (f / "config.json").write_text("{"), "not readable"),
        (lambda f: (f / "config.json").write_text("[1]"), "not one that timm writes"),
        (lambda f: _edit(f, label_names=[]), "names no classes"),
        (lambda f: _edit(f, architecture="no_such_net"), "timm can build"),
        (lambda f: _edit(f, architecture="hf-hub:timm/resnet18.a1_in1k"), "timm can build"),
        (lambda f: _edit(f, architecture=f"local-dir:{f}"), "timm can build"),
        (lambda f: _edit(f, architecture="../model"), "timm can build"),
        (lambda f: _edit(f, architecture=["test_vit"]), "timm can build"),
        (lambda f: _edit(f, model_args=["test_vit"]), "timm can build"),
        (lambda f: _edit(f, model_args={"patch_size": 0}), "timm can build"),
        (lambda f: _edit(f, model_args={"depth": 10**4}), "a larger network than its weights are of"),
        (lambda f: _edit(f, model_args={"norm_layer": "os.system"}), "timm can build"),
        (lambda f: _edit(f, label_names=["a", "b", "c", "d", "a"]), "names a class twice"),
        (lambda f: _preprocess(f, input_size=[3, 10**6, 10**6]), "preprocessing cannot be meant"),
        (lambda f: _preprocess(f, crop_pct=1e-9), "preprocessing cannot be meant"),
        (lambda f: _preprocess(f, crop_pct=float("nan")), "preprocessing cannot be meant"),
        (lambda f: _preprocess(f, std=[0, 1, 1]), "preprocessing cannot be meant"),
        (lambda f: _preprocess(f, interpolation="os.system"), "preprocessing cannot be meant"),
        (lambda f: (f / "config.json").write_text("[" * 10**6), "not readable"),
        (lambda f: _replace(f / "model.safetensors", Path.mkdir), "is not a file"),
        (lambda f: _replace(f / "model.safetensors", os.mkfifo), "is not a file"),
        (lambda f: _edit(f, model_args={"num_classes": 7}), "timm can build"),
        (lambda f: _edit(f, label_names=["one"]), "1 class names for 5 outputs"),
        (lambda f: _edit(f, label_names={"0": "a", "7": "b"}), "2 class names for 5 outputs"),
        (lambda f: _edit(f, label_names={"cat": "a"}), "names by the number of their output"),
        (lambda f: _edit(f, label_names={}), "names no classes"),
        (lambda f: _edit(f, label_names={"0": "a", "1": "a"}), "names a class twice"),
    ],
)
def test_a_damaged_folder_is_one_line(tiny_folder: Path, damage: object, message: str) -> None:
    """Whatever is wrong with a saved model, or meant badly, is a `WeightsError` of one line that names it."""
    damage(tiny_folder)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(tiny_folder)
    assert "\n" not in str(caught.value)
    assert str(tiny_folder) in str(caught.value)


def test_class_names_by_the_number_of_their_output(tiny_folder: Path) -> None:
    """timm also writes `label_names` as an object; JSON makes its numbers texts, in any order, with gaps."""
    _edit(tiny_folder, label_names={"4": "e", "0": "a", "2": "c", "1": "b", "3": "d"})
    assert load_model(tiny_folder).classes == ("a", "b", "c", "d", "e")
    _edit(tiny_folder, label_names={"4": "e", "0": "a"})
    assert load_model(tiny_folder).classes == ("a", "unnamed 1", "unnamed 2", "unnamed 3", "e")
