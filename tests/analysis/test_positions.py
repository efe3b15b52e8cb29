"""Position embeddings, position biases, temperatures."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from small import CLEAN, PADDED, WINDOWS, noise, small, subject
from torch.nn import functional as F

from vitbench.analysis.filters import FILTERS
from vitbench.analysis.inspect import Seen, inspect
from vitbench.analysis.looking import blocks_of, seeing
from vitbench.analysis.positions import (
    BIASES,
    POSITIONS,
    TEMPERATURES,
    bias_map,
    centred,
    similarity,
    temperature,
)
from vitbench.analysis.stages import STAGES

SHALLOW = {"depth": 1, "embed_dim": 48, "num_heads": 3, "num_classes": 5}
VITS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "class token": ("vit_tiny_patch16_224", {"img_size": 64}, (4, 4)),
    "two tokens": ("deit_tiny_distilled_patch16_224", {"img_size": 64}, (4, 4)),
    "registers, no embedding for them": ("vit_small_patch14_reg4_dinov2", {"img_size": 56}, (4, 4)),
    "no class token": ("vit_base_patch16_siglip_224", {"img_size": 64}, (4, 4)),
    "not square": ("vit_tiny_patch16_224", {"img_size": (80, 144)}, (5, 9)),
    "any size": ("vit_tiny_patch16_224", {"dynamic_img_size": True}, (5, 5)),
}


@pytest.mark.parametrize("case", VITS)
def test_similarity_is_that_of_what_is_added_to_the_patches(case: str) -> None:
    """Any prefix, any grid, any size: what the network itself adds to empty patches at that size."""
    name, shape, grid = VITS[case]
    model = timm.create_model(name, **{**SHALLOW, **shape}).eval()
    torch.nn.init.normal_(model.pos_embed)
    empty = torch.zeros(1, *grid, 48) if case == "any size" else torch.zeros(1, grid[0] * grid[1], 48)
    with torch.inference_mode():
        added = F.normalize(model._pos_embed(empty)[0, model.num_prefix_tokens :], dim=-1)
    found = similarity(model, 80)
    assert found.shape == (*grid, *grid)
    assert torch.allclose(found.flatten(0, 1).flatten(1), added @ added.T, atol=1e-6)


def test_offsets_are_means_over_pairs() -> None:
    """Embeddings that say their row alone: patches of one row are alike (1), of two rows not at all (0)."""
    model = timm.create_model("vit_tiny_patch16_224", img_size=(48, 64), **SHALLOW)
    rows = torch.eye(48)[:3].repeat_interleave(4, 0)  # 3 rows of 4 patches
    model.pos_embed = torch.nn.Parameter(torch.cat([torch.ones(1, 48), rows])[None])
    table = POSITIONS.look(subject(model, 48), noise(48)).frames["position_similarity"]
    assert len(table) == 4 + 2 * 7
    same = table["rows_down"] == 0
    assert (table["similarity"][same] == 1).all()
    assert (table["similarity"][~same] == 0).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_resnet", "has no position embeddings: places enter its attention, or nothing, in another way"),
        ("vit_base_patch16_rope_224", "has no position embeddings"),
    ],
)
def test_a_network_without_position_embeddings_says_so(name: str, reason: str) -> None:
    """One line."""
    assert POSITIONS.applies(subject(timm.create_model(name, device="meta"), 64)).startswith(reason)


@pytest.mark.parametrize("size", [0, PADDED])
@pytest.mark.parametrize("family", WINDOWS)
def test_a_map_is_the_bias_that_attention_uses(family: str, size: int) -> None:
    """With queries and keys of zero, attention is the softmax of the bias, by key − query: in every block."""
    model, side = small(family, size), size or CLEAN.get(family, 112)
    blocks = dict(blocks_of(model))
    for block in blocks.values():
        for name, parameter in block.attn.named_parameters():
            if name.startswith(("qkv", "q_bias")):
                parameter.data.zero_()
    checked = []

    def compare(name: str, probabilities: torch.Tensor) -> None:
        block = blocks[name]
        if any(block.shift_size):  # where a mask is added
            return
        rows, columns = block.window_size
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        apart = places[None] - places[:, None] + torch.tensor([rows - 1, columns - 1])  # key − query
        expected = bias_map(block.attn)[:, apart[..., 0], apart[..., 1]].softmax(-1)
        assert torch.allclose(probabilities, expected[None].expand_as(probabilities), atol=1e-6)
        checked.append(name)

    with seeing(model, compare):
        model(noise(side).load([0]))
    assert checked


def test_beits_table_is_read_without_its_class_tokens_entries() -> None:
    """The same equality between patches; what a class token adds is three numbers more."""
    shape = {"depth": 1, "embed_dim": 48, "num_heads": 3, "img_size": 80, "num_classes": 5}
    model = timm.create_model("beit_base_patch16_224", **shape).eval()
    attention = model.blocks[0].attn
    torch.nn.init.normal_(attention.relative_position_bias_table)
    attention.qkv.weight.data.zero_()
    seen: dict[str, torch.Tensor] = {}
    with seeing(model, seen.__setitem__):
        model(noise(80).load([0]))
    found = seen["blocks.0"][0, :, 1:, 1:].log()
    apart = (
        found[:, 12, 13] - found[:, 12, 12]
    )  # in the middle of 5 × 5: the key to the right, the query itself
    assert torch.allclose(apart, bias_map(attention)[:, 4, 5] - bias_map(attention)[:, 4, 4], atol=1e-5)


def test_the_key_to_the_right_stands_right_of_the_middle() -> None:
    """Swin's table is by query − key: an entry for "the key one column left" is drawn left of the query."""
    attention = small("swin").layers[0].blocks[0].attn
    table = torch.zeros(13, 13, attention.num_heads)
    table[6, 7] = 1.0  # query − key = (0, 1)
    attention.relative_position_bias_table.data.copy_(table.view(169, -1))
    assert bias_map(attention)[0, 6, 5] == 1


def test_maps_are_centred_for_softmax_forgets_a_constant() -> None:
    """A table and the same with 3 more everywhere are one map."""
    attention = small("swin").layers[0].blocks[0].attn
    before = centred(bias_map(attention))
    attention.relative_position_bias_table.data.add_(3)
    assert torch.allclose(centred(bias_map(attention)), before, atol=1e-5)
    assert torch.allclose(before.mean((1, 2)), torch.zeros(attention.num_heads), atol=1e-6)


def test_dropout_in_v2_crs_mlp_is_off_whatever_the_mode() -> None:
    """It would change the map by .8 from call to call; the network's mode is as it was."""
    model = small("swinv2-cr").train()
    looks = [BIASES.look(subject(model, 112), noise(112)).arrays for _ in range(2)]
    assert all(np.array_equal(values, looks[1][name]) for name, values in looks[0].items())
    assert all(module.training for module in model.modules())


def test_what_training_changed_stands_beside() -> None:
    """Columns and maps: after, before and the difference."""
    model, before = small("swin"), small("swin")
    for block in before.layers[0].blocks:
        block.attn.relative_position_bias_table.data.zero_()
    looked = subject(model, 112)
    found = BIASES.look(replace(looked, before=lambda: before), noise(112))
    name = "position_bias layers.0.blocks.0"
    assert np.array_equal(found.arrays[f"{name}_change"], found.arrays[name])
    assert (found.arrays[f"{name}_before"] == 0).all()
    table = found.frames["position_bias"]
    assert table["spread_change"].tolist() == (table["spread"] - table["spread_before"]).tolist()


def test_a_beginning_that_is_not_to_be_had_is_one_note() -> None:
    """However many analyses would compare with it; what is found after training stands alone."""
    gone = replace(subject(small("swin"), 112), before=lambda: "gone")
    found = inspect([Seen(gone, noise(112), noise(112))], rows=(BIASES, FILTERS, STAGES))
    notes = found.frames["notes"]
    assert (
        notes["note"].tolist()[0]
        == "what was learned is not compared with what was there before training: gone"
    )
    assert notes["note"].str.contains("gone").sum() == 1
    assert "spread_before" not in found.frames["position_bias"]
    assert not inspect([Seen(gone, noise(112), noise(112))], rows=(STAGES,)).refusals


@pytest.mark.parametrize("family", ["swinv2", "swinv2-cr"])
def test_temperatures_are_what_cosines_are_divided_by(family: str) -> None:
    """log 10 is τ = .1, where training begins; what is beyond log 100 stays at .01 and is counted."""
    model, side = small(family), CLEAN.get(family, 112)
    for _, block in blocks_of(model):
        block.attn.logit_scale.data.fill_(math.log(10))
    scale = blocks_of(model)[0][1].attn.logit_scale
    scale.data.view(-1)[0] = 9.0
    assert temperature(blocks_of(model)[0][1].attn).tolist() == pytest.approx([0.01, 0.1])
    found = TEMPERATURES.look(subject(model, side), noise(side))
    assert found.frames["temperature"]["at_clamp"].tolist() == [True] + 11 * [False]
    assert found.notes == ("1 of 12 heads at the clamp of τ (0.01)",)


def test_a_temperature_is_the_one_in_the_logits() -> None:
    """Two equal queries and keys have the logit 1 / τ, beside the bias."""
    attention = small("swinv2", 64).layers[0].blocks[0].attn
    heads = attention.num_heads
    weight = torch.zeros_like(attention.qkv.weight)
    attention.qkv.weight.data.copy_(weight)
    attention.q_bias.data.fill_(1.0)  # k_bias is a constant zero: keys have no direction
    attention.k_bias.fill_(1.0)
    seen: list[torch.Tensor] = []
    hook = attention.softmax.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        attention(torch.randn(1, 64, attention.dim))
    hook.remove()
    middle = bias_map(attention)[:, 7, 7]
    assert torch.allclose(seen[0][0, :, 0, 0], 1 / temperature(attention).float() + middle, rtol=1e-5)
    assert len(middle) == heads


def test_networks_without_them_say_so() -> None:
    """A ViT has neither windows nor a temperature, Swin V1 no temperature."""
    vit, swin = subject(small("vit"), 112), subject(small("swin"), 112)
    assert BIASES.applies(vit) == "has no windows whose position bias can be read"
    assert TEMPERATURES.applies(swin) == TEMPERATURES.applies(vit) != ""
    assert BIASES.applies(swin) == ""
