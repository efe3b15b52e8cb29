"""Networks at other sizes and windows: what stays, what is resized, what is saved, what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from vitbench.errors import UnfitModelError
from vitbench.models.create import create
from vitbench.models.folder import load_model, save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_as
from vitbench.models.transfer import (
    BICUBIC,
    EXTRAPOLATED,
    GEOMETRIC,
    LINEAR,
    RENORMALISED,
    Trained,
    Way,
    brought,
)
from vitbench.models.weights import saved_weights
from vitbench.records import Machine, Recipe, Split
from vitbench.training.loop import build_trainer

SHAPE = {"embed_dim": 16, "depths": (2, 1), "num_heads": (1, 2), "img_size": 32, "window_size": 4}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "swin": ("swin_tiny_patch4_window7_224", SHAPE),
    "swinv2": ("swinv2_tiny_window8_256", SHAPE),
    "linear": ("swinv2_linear_tiny_window8_256", SHAPE),
    "swinv2-cr": ("swinv2_cr_tiny_ns_224", SHAPE),
    "vit": ("vit_tiny_patch16_224", {"depth": 1, "embed_dim": 24, "img_size": 32}),
    "cnn": ("test_efficientnet", {}),
}
Saved = Callable[[str], tuple[nn.Module, Trained, Path]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """`saved("swin")`: a woken network at 32 px, how it was trained, its folder; its positions tell."""
    root, known = tmp_path_factory.mktemp("small"), {}

    def go(family: str) -> tuple[nn.Module, Trained, Path]:
        if family not in known:
            name, arguments = SMALL[family]
            plan = plan_as(name, 32, arguments)
            model = create(plan, 3, RANDOM, 0).eval()
            torch.manual_seed(1)
            for key, parameter in model.named_parameters():
                if key.endswith(("norm1.weight", "norm2.weight", "norm3.weight")):
                    parameter.data.fill_(1.0)
                if any(part in key for part in ("bias_table", "cpb_mlp", "meta_mlp", "pos_embed")):
                    parameter.data.normal_(0, 0.5)
            save_model(model, root / family, ["a", "b", "c"], plan.preprocessing)
            known[family] = (model, Trained.of(model, name, 32, arguments), root / family)
        return known[family]

    return go


def at(saved: Saved, family: str, size: int, window: int, way: Way) -> nn.Module:
    _, trained, folder = saved(family)
    return brought(trained.plan_at(size, window, way), saved_weights(folder), way)


def bias(model: Any) -> torch.Tensor:
    """(2M−1, 2M−1, heads): Swin V2's biases of its first block, by offset."""
    attention = model.layers[0].blocks[0].attn
    with torch.inference_mode():
        return (16 * attention.cpb_mlp(attention.relative_coords_table).sigmoid())[0]


def keep(model: nn.Module, folder: Path, trained: Trained) -> nn.Module:
    """A network at 64 px, saved and loaded."""
    save_model(model, folder, ["a", "b", "c"], dataclasses.replace(trained.plan.preprocessing, size=64))
    return load_model(folder).module


def logits(model: nn.Module, size: int) -> torch.Tensor:
    pictures = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found: torch.Tensor = model(pictures)
    return found


def test_the_inner_part_of_an_extrapolated_bias_is_the_small_one(saved: Saved) -> None:
    """Offsets that were trained keep their biases; renormalised ones are stretched and do not."""
    small = bias(saved("swinv2")[0])  # 7 × 7 offsets
    inner = bias(at(saved, "swinv2", 64, 8, EXTRAPOLATED))[4:11, 4:11]
    stretched = bias(at(saved, "swinv2", 64, 8, RENORMALISED))
    assert torch.allclose(inner, small, atol=1e-5)
    assert (stretched[4:11, 4:11] - small).abs().max() > 0.1
    assert torch.allclose(stretched[::14, ::14], small[::6, ::6], atol=1e-5)  # its corners are


@pytest.mark.slow
def test_linear_spaced_offsets_go_on_beyond_those_that_were_trained(saved: Saved) -> None:
    """Δ / 3 at windows of 4: up to 7 / 3 at 8, the inner ones as they were; logarithms end at 1.4."""
    there: Any = at(saved, "linear", 64, 8, LINEAR)
    table = there.layers[0].blocks[0].attn.relative_coords_table[0, :, 0, 0]
    assert torch.allclose(table, torch.arange(-7, 8) / 3)
    assert torch.allclose(bias(there)[4:11, 4:11], bias(saved("linear")[0]), atol=1e-5)
    assert saved("linear")[1].ways == (LINEAR,)
    logarithms: Any = at(saved, "swinv2", 64, 8, EXTRAPOLATED)
    assert logarithms.layers[0].blocks[0].attn.relative_coords_table.abs().max() < 1.45


@pytest.mark.parametrize("way", [EXTRAPOLATED, RENORMALISED, BICUBIC, GEOMETRIC])
def test_at_its_own_window_every_way_gives_the_network_itself_to_the_last_bit(saved: Saved, way: Way) -> None:
    """And at another one none of them does."""
    family = "swinv2" if way in (EXTRAPOLATED, RENORMALISED) else "swin"
    model = saved(family)[0]
    assert torch.equal(logits(at(saved, family, 32, 4, way), 32), logits(model, 32))
    assert not torch.equal(logits(at(saved, family, 32, 8, way), 32), logits(model, 32))


def test_the_papers_interpolation_is_plain_bicubic_and_timms_keeps_the_nearest_offsets(saved: Saved) -> None:
    """Recomputed by torch alone; the two are different tables."""
    key = "layers.0.blocks.0.attn.relative_position_bias_table"
    small = saved("swin")[0].state_dict()[key].view(7, 7, 1).permute(2, 0, 1)
    tables = {
        way: at(saved, "swin", 64, 8, way).state_dict()[key].view(15, 15, 1).permute(2, 0, 1)
        for way in (BICUBIC, GEOMETRIC)
    }
    plain = nn.functional.interpolate(small[None], size=(15, 15), mode="bicubic", align_corners=False)[0]
    assert torch.allclose(tables[BICUBIC], plain, atol=1e-6)
    near = tables[GEOMETRIC][:, 6:9, 6:9]
    assert torch.allclose(near, small[:, 2:5, 2:5], atol=1e-5)
    assert not torch.allclose(tables[BICUBIC][:, 6:9, 6:9], small[:, 2:5, 2:5], atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SMALL))
def test_a_saved_one_is_the_same_to_the_last_bit_when_it_is_loaded(
    saved: Saved, family: str, tmp_path: Path
) -> None:
    """By vitbench and by timm alone: windows and normalisers are given when it is made."""
    trained = saved(family)[1]
    for place, way in enumerate(trained.ways):
        model = at(saved, family, 64, trained.window_at(64), way)
        expected = logits(model, 64)
        assert torch.equal(logits(keep(model, tmp_path / str(place), trained), 64), expected)
        by_timm = timm.create_model(f"local-dir:{tmp_path / str(place)}", pretrained=True).eval()
        assert torch.equal(logits(by_timm, 64), expected)


def test_a_normaliser_that_is_set_afterwards_is_lost_when_it_is_saved(saved: Saved, tmp_path: Path) -> None:
    """So the test above can fail: timm's `_model_args` know nothing of it."""
    model: Any = at(saved, "swinv2", 64, 8, RENORMALISED)
    for stage in model.layers:
        for block in stage.blocks:
            block.attn.pretrained_window_size = (4, 4)
            block.attn._init_buffers()
    assert torch.equal(logits(model, 64), logits(at(saved, "swinv2", 64, 8, EXTRAPOLATED), 64))
    loaded = keep(model, tmp_path / "set", saved("swinv2")[1])
    assert not torch.equal(logits(loaded, 64), logits(model, 64))


def test_vits_positions_are_those_that_timm_gives_another_size(saved: Saved) -> None:
    """`set_input_size` from the trained network: equal to the last bit."""
    model, _, folder = saved("vit")
    there: Any = load_model(folder).module
    there.set_input_size((64, 64))
    found = at(saved, "vit", 64, 0, saved("vit")[1].ways[0])
    assert torch.equal(logits(found, 64), logits(there, 64))
    assert sum(p.numel() for p in found.parameters()) > sum(p.numel() for p in model.parameters())


def test_the_optimiser_holds_the_resized_table(saved: Saved, recipe: Recipe, tmp_path: Path) -> None:
    """The very parameter that is in the network; one that is resized afterwards is not."""
    model: Any = at(saved, "swin", 64, 8, BICUBIC)
    machine = Machine("cpu", "CPU", micro_batch=2, eval_batch=2, threads=1, workers=0)
    split = Split(tmp_path, ("a", "b", "c"), (), (), (), "none", 0, "")
    trainer = build_trainer(model, recipe, split, machine)
    table = model.layers[0].blocks[0].attn.relative_position_bias_table
    assert table.shape == (225, 1)

    def held() -> set[int]:
        return {id(one) for group in trainer.optimizer.param_groups for one in group["params"]}

    assert held() == {id(one) for one in model.parameters()}
    model.set_input_size((32, 32))  # as it must not be done
    assert held() != {id(one) for one in model.parameters()}


@pytest.fixture
def recipe() -> Recipe:
    half = (0.5, 0.5, 0.5)
    return Recipe.model_validate(
        {
            "model": "swin", "init": {"kind": "random"}, "classes": ("a", "b", "c"), "data_digest": "",
            "preprocessing": {
                "size": 64, "mean": half, "std": half, "interpolation": "bicubic", "crop_pct": 1.0,
            },
            "split_digest": "", "name": "finetune", "seed": 0, "epochs": 1, "per_class": "all",
            "augment": "none", "flip": False, "fixed_views": False, "batch_size": 2, "optimizer": "adamw",
            "lr": 1e-3, "min_lr": 0.0, "weight_decay": 0.0, "layer_decay": None, "schedule": "constant",
            "warmup_epochs": 0.0, "label_smoothing": 0.0, "drop_path": 0.0, "clip_grad": None, "mixup": 0.0,
            "cutmix": 0.0, "ema_decay": None, "patience": None, "precision": "fp32",
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("family", "size", "window", "said"),
    [
        ("swin", 72, 4, r"windows of 4 do not divide its map of 18 × 18.*a window of 3 divides them all"),
        ("swin", 36, 9, r"map of 9 × 9 is odd"),
        ("swin", 66, 4, r"patches of 4 px, and 66 is no multiple"),
        ("vit", 40, 0, r"patches of 16 px, and 40 is no multiple"),
    ],
)
def test_what_pads_or_would_never_see_the_last_pixels_is_refused_by_name(
    saved: Saved, family: str, size: int, window: int, said: str
) -> None:
    """The next size up, which fits, is not."""
    trained = saved(family)[1]
    with pytest.raises(UnfitModelError, match=said):
        trained.plan_at(size, window, trained.ways[0])
    assert trained.plan_at(64, trained.window_at(64), trained.ways[0]).image_size == 64


def test_windows_grow_with_the_picture(saved: Saved) -> None:
    """4 at 32 px: 8 at 64, 6 at 48; where that is no whole number the nearest that divides every map."""
    trained = saved("swinv2")[1]
    assert [trained.window_at(size) for size in (32, 48, 64, 96)] == [4, 6, 8, 12]
    assert trained.window_at(40) == 5
    assert saved("vit")[1].window_at(64) == 0
    assert trained.plan_at(64, 8, EXTRAPOLATED).model_args["pretrained_window_sizes"] == [4, 4]
