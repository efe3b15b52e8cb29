"""Activations: the variance of stream and branches from block to block."""

import dataclasses

import pytest
import timm
import torch
from small import CLEAN, FAMILIES, PADDED, noise, small, subject

from vitbench.analysis.activations import ACTIVATIONS, ASLEEP, MORE, UNTRAINED
from vitbench.analysis.nouns import Finding
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model

V2 = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}


def looked(model: torch.nn.Module, size: int, **known: object) -> Finding:
    return ACTIVATIONS.look(dataclasses.replace(subject(model, size), **known), noise(size, 6))


@pytest.mark.parametrize("size", [0, PADDED])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_and_both_branches_are_out_to_the_last_bit(family: str, size: int) -> None:
    """In every block of every family, with and without padding; nothing is left on the network."""
    model, side = small(family, size), size or CLEAN.get(family, 112)
    fused = [getattr(module, "fused_attn", None) for module in model.modules()]
    table = looked(model, side).frames["activations"]
    assert (table["identity_error"] == 0).all()
    assert (table[["stream_in", "attention", "mlp", "stream"]] > 0).all(axis=None)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    assert [getattr(module, "fused_attn", None) for module in model.modules()] == fused


@pytest.mark.parametrize("family", ["vit", "swin", "swinv2-cr"])
def test_values_are_variances_over_all_pictures_and_tokens(family: str) -> None:
    """Six pictures in batches of four give what one batch of six gives, the mean of channels' variances."""
    model, side = small(family), CLEAN.get(family, 112)
    seen = {}
    block = dict(model.named_modules())[name := "blocks.0" if family == "vit" else _first(model)]
    hook = block.register_forward_hook(lambda _, inputs, output: seen.update(stream=output, begin=inputs[0]))
    with torch.inference_mode():
        model(noise(side, 6).load(range(6)))
    hook.remove()
    row = looked(model, side).frames["activations"].iloc[0]
    assert row["block"] == name
    for column, tensor in (("stream_in", seen["begin"]), ("stream", seen["stream"])):
        channels = tensor.flatten(0, -2).double().var(0, correction=0)
        assert row[column] == pytest.approx(float(channels.mean()), rel=1e-5)


def _first(model: torch.nn.Module) -> str:
    return next(name for name, _ in model.named_modules() if name.endswith("0.blocks.0"))


def test_in_v2_cr_the_stream_is_that_before_norm3() -> None:
    """Its last block of a stage ends in a norm, behind which a channel's variance says nothing of the sum."""
    table = looked(small("swinv2-cr"), 112).frames["activations"]
    assert table["stage"].tolist() == [1, 1, 2, 2]
    assert table["stream"].iloc[1] != pytest.approx(table["stream_in"].iloc[2])


def test_growth_is_within_a_stage() -> None:
    """Two stages of two blocks: a row each, the stream behind the second block over that before the first."""
    found = looked(small("swin"), 112)
    table, growth = found.frames["activations"], found.frames["growth"]
    assert growth["blocks"].tolist() == [2, 2]
    assert growth["growth"].tolist() == pytest.approx(
        [table["stream"][1] / table["stream_in"][0], table["stream"][3] / table["stream_in"][2]]
    )


@pytest.mark.parametrize("name", ["swinv2_tiny_window8_256", "swinv2_cr_tiny_ns_224"])
def test_v1_against_v2_is_refused_where_v2_began_at_zero(name: str) -> None:
    """Untrained, its branches are exactly 0; trained from there, they were: both say so, and why."""
    asleep = timm.create_model(name, img_size=64, window_size=8, **V2).eval()
    found = looked(asleep, 64, weights="random")
    assert (found.frames["activations"][["attention", "mlp"]] == 0).all(axis=None)
    assert found.notes == (ASLEEP,)
    awake = small("swinv2" if "cr" not in name else "swinv2-cr", 64)
    assert looked(awake, 64, from_scratch=True).notes == (ASLEEP,)
    assert looked(awake, 64).notes == ()


def test_random_v1_weights_are_named() -> None:
    """Swin's stream does grow from random weights, which is no finding about a trained network either."""
    assert looked(small("swin"), 112, weights="random").notes == (UNTRAINED,)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xcit_nano_12_p16_224", "volo_d1_224"])
def test_blocks_that_do_more_say_so(name: str) -> None:
    """XCiT adds a third branch, VOLO's last blocks change one token: the sum is not exact."""
    model = timm.create_model(name, num_classes=5).eval()
    found = ACTIVATIONS.look(subject(model, 224), noise(224, 1))
    assert (found.frames["activations"]["identity_error"] > 0).any()
    assert found.notes == (MORE,)


def test_a_cnn_is_refused_in_one_line() -> None:
    """It has no branches of attention and MLP."""
    model = timm.create_model("test_resnet", num_classes=5)
    assert (
        ACTIVATIONS.applies(subject(model, 64))
        == "has no blocks that add attention and then an MLP to a stream"
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_whole_networks_have_exact_sums_too(family: str) -> None:
    """All blocks at the native size, as `create` makes them."""
    plan = plan_model(family, "native")
    model = create(plan, 5, RANDOM, 0)
    assert (looked(model, plan.image_size).frames["activations"]["identity_error"] == 0).all()
