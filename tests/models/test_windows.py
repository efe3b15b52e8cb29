"""Windows that divide every map: by gradient no border sees the opposite one, at any size of the contract."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.models.weights import saved_weights
from vitbench.models.windows import clean_window, stage_maps, window_of

SWINS = ("swin", "swinv2", "swinv2-cr")


@pytest.mark.parametrize(
    ("size", "window"),
    [(56, 7), (112, 7), (224, 7), (448, 7), (64, 8), (128, 8), (256, 8), (512, 8), (96, 6), (160, 5),
     (192, 6), (288, 9), (320, 5), (352, 11), (384, 6)],
)  # fmt: skip
def test_the_window_of_a_size_is_the_nearest_that_divides_every_map(size: int, window: int) -> None:
    """At 96 px the maps have sides 24, 12, 6 and 3: 7 and 8 divide not all of them, 6 does."""
    assert clean_window(stage_maps(size, 4, 4), 7) == window


@given(k=st.integers(1, 64), own=st.sampled_from([7, 8, 12, 14, 16, 24]))
def test_every_multiple_of_32_has_a_window_that_pads_nothing(k: int, own: int) -> None:
    """k itself divides 8k, 4k, 2k and k; the window found does too, and is no single pixel."""
    maps = stage_maps(32 * k, 4, 4)
    window = clean_window(maps, own)
    assert window >= own / 2
    if k <= 2 * own and k >= own / 2:
        assert all(side % min(window, side) == 0 for side in maps)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 448, 544])
def test_the_three_swins_have_the_same_clean_windows_at_every_size(size: int) -> None:
    """Read from forward passes of the built networks: nothing is padded, and all three attend alike."""
    plans = [plan_model(name, size) for name in SWINS]
    assert len({plan.windows for plan in plans}) == 1
    assert all(not plan.padding.maps and not plan.padding.merged for plan in plans)


SMALL = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 1, 1, 1)}


def shifted(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """The blocks that shift their windows, each with the side of its map."""
    found = []
    for block in model.modules():
        if window_of(block) and any(getattr(block, "shift_size", (0,))):
            place = getattr(block, "input_resolution", None) or block.feat_size
            found.append((block, int(place[0])))
    return found


def rows_seen(block: nn.Module, side: int, row: int) -> list[int]:
    """The rows of a map on which the attention's output in a row depends, by gradient."""
    torch.manual_seed(0)
    tokens = torch.randn(1, side, side, block.dim, requires_grad=True)
    attend = block._attn if hasattr(block, "_attn") else block._shifted_window_attn
    (slope,) = torch.autograd.grad(attend(tokens)[0, row].sum(dim=-1)[side // 2], tokens)
    return [place for place in range(side) if float(slope[0, place].abs().max()) > 1e-8]


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 96, 128, 160, 224, 256])
@pytest.mark.parametrize("name", SWINS)
def test_a_border_row_does_not_see_the_opposite_border(name: str, size: int) -> None:
    """In every shifted block row 0 depends on rows of its own half alone, the last row likewise."""
    plan = plan_model(name, size)
    blocks = shifted(timm.create_model(plan.timm_name, **plan.model_args, **SMALL).eval())
    assert blocks
    for block, side in blocks:
        assert max(rows_seen(block, side, 0)) < side / 2
        assert min(rows_seen(block, side, side - 1)) >= side / 2


def test_a_window_that_does_not_divide_the_map_mixes_borders() -> None:
    """What the rule is for: timm's own swin at 64 px, window 7 on a map of 16; row 0 sees row 15."""
    model = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, **SMALL).eval()
    block, side = shifted(model)[0]
    assert side == 16
    assert 15 in rows_seen(block, side, 0)


def test_what_cannot_be_clean_is_a_note() -> None:
    """At 100 px the maps are 25, 13, 7 and 4: no window divides 25 and 13, and both are odd when merged."""
    plan = plan_model("swin", 100)
    assert plan.padding.maps == ((25, 7), (13, 7))
    assert plan.padding.shifted
    assert plan.padding.merged == (25, 13, 7)
    assert any("mix opposite borders" in note for note in plan.notes)
    assert any("odd" in note for note in plan.notes)


@pytest.mark.slow
def test_windows_of_other_networks_are_said_as_they_are() -> None:
    """TinyViT at 64 px pads its maps to its windows; HRNet, whose `stages` is a method, has none."""
    assert plan_model("tiny_vit_5m_224", 64).padding.maps == ((8, 7), (4, 14), (2, 7))
    assert plan_model("tiny_vit_5m_224", 224).padding.maps == ()
    assert plan_model("hrnet_w18_small", 64).windows == ""


@pytest.mark.slow
def test_weights_of_another_window_are_interpolated_and_then_kept_to_the_bit(tmp_path: object) -> None:
    """A Swin saved at 224 px (window 7) begins at 64 px with window 8: timm resizes its bias table."""
    from timm.layers import resize_rel_pos_bias_table

    from vitbench.models.folder import load_model, save_model

    folder = tmp_path / "saved"  # type: ignore[operator]
    large = plan_model("swin", 224)
    model = create(large, 2, RANDOM, 3)
    save_model(model, folder, ("a", "b"), large.preprocessing)
    small = plan_model("swin", 64)
    again = create(small, 2, saved_weights(folder), 0, classes=("a", "b"))
    table = model.layers[0].blocks[0].attn.relative_position_bias_table.detach()
    found = again.layers[0].blocks[0].attn.relative_position_bias_table.detach()
    assert (table.shape, found.shape) == ((169, 3), (225, 3))
    assert torch.equal(found, resize_rel_pos_bias_table(table, (8, 8), (225, 3)))
    save_model(again, tmp_path / "small", ("a", "b"), small.preprocessing)  # type: ignore[operator]
    loaded = load_model(tmp_path / "small").module.state_dict()  # type: ignore[operator]
    assert all(torch.equal(loaded[name], value) for name, value in again.state_dict().items())
    timms = timm.create_model(f"local-dir:{tmp_path / 'small'}", pretrained=True).eval()  # type: ignore[operator]
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(timms(picture), again.eval()(picture))
