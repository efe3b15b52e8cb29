"""Mean attention distance."""

import dataclasses

import pytest
import timm
import torch
from small import PADDED, noise, small, subject

from vitbench.analysis.attention import ATTENTION
from vitbench.analysis.distance import DISTANCE, UNTRAINED
from vitbench.analysis.looking import seeing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "px"),
    [
        ("vit_tiny_patch16_224", [116.5] * 12),
        (
            "swin_tiny_patch4_window7_224",
            [14.4, 13.6, 28.9, 25.5, 57.8, 43.7, 57.8, 43.7, 57.8, 43.7, 115.5, 115.5],
        ),
    ],
)
def test_the_reference_is_uniform_attention_in_that_very_block_under_its_mask(
    name: str, px: list[float]
) -> None:
    """14 × 14 patches of 16 px: 116.5 px; masks leave a Swin's shifted blocks less than the others."""
    found = DISTANCE.look(subject(timm.create_model(name, num_classes=5).eval(), 224), noise(224, 1))
    uniform = found.frames["distance"].groupby("layer")["uniform_px"].first()
    assert uniform.tolist() == pytest.approx(px, abs=0.06)


def test_prefix_tokens_are_left_out_renormalised_and_their_share_stands_beside() -> None:
    """Over patch queries and patch keys alone, from the attention itself, in a distilled network."""
    model = small("deit-distilled")
    kept: list[torch.Tensor] = []
    with seeing(model, lambda name, probabilities: kept.append(probabilities.clone())):
        model(noise(112).load([0, 1]))
    among = kept[0][:, :, 2:, 2:]
    at = torch.cartesian_prod(torch.arange(7), torch.arange(7)) * 16.0
    px = (among / among.sum(-1, keepdim=True) * torch.cdist(at, at)).sum(-1).mean((0, 2))
    table = DISTANCE.look(subject(model, 112), noise(112)).frames["distance"]
    first = table[table.layer == 1]
    assert first.distance_px.tolist() == pytest.approx(px.tolist(), abs=1e-3)
    assert first.prefix_share.tolist() == pytest.approx((1 - among.sum(-1)).mean((0, 2)).tolist(), abs=1e-5)
    assert first.padding_share.isna().all()


@pytest.mark.parametrize("family", ["swin", "swinv2", "swinv2-cr"])
def test_padding_and_borders_that_meet_are_named_and_measured(family: str) -> None:
    """80 px: no window divides 20 × 20; timm rolls before it pads. At clean sizes both shares are 0."""
    one = subject(small(family, PADDED), PADDED)
    found = DISTANCE.look(one, noise(PADDED))
    (note,) = found.notes
    assert "20 × 20" in note
    assert "opposite borders" in note
    assert note in ATTENTION.look(one, noise(PADDED)).notes
    assert found.frames["distance"].padding_share.max() > 0.01
    assert found.frames["distance"].wrapped_share.max() > 0.01
    clean = 64 if family == "swinv2" else 112
    table = DISTANCE.look(subject(small(family), clean), noise(clean)).frames["distance"]
    assert table.padding_share.max() == pytest.approx(0, abs=1e-5)
    assert table.wrapped_share.max() == pytest.approx(0, abs=1e-5)


def test_random_weights_carry_a_label() -> None:
    """Their distances say nothing of learning: they lie at the reference of each block."""
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64, depth=2).eval()
    found = DISTANCE.look(dataclasses.replace(subject(plain, 64), weights="random"), noise(64))
    assert UNTRAINED in found.notes
    table = found.frames["distance"]
    assert table.distance_px.tolist() == pytest.approx(table.uniform_px.tolist(), rel=0.05)
