"""The stage table: maps, windows, parameters and multiply-adds of each part."""

import pytest
import timm
import torch
from small import CLEAN, FAMILIES, PADDED, noise, small, subject

from vitbench.analysis.stages import STAGES, stage_rows
from vitbench.models.count import forward_gmacs, without_memory
from vitbench.models.create import count_parameters, gmacs
from vitbench.models.plan import plan_model

SWIN = "swin_tiny_patch4_window7_224"
CNNS = ("resnet18", "tf_efficientnet_lite0", "convnext_atto")


def hooks(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_swins_table_is_the_papers() -> None:
    """56² × 96 to 7² × 768 in windows of 7, shifted by 3 but in the last stage, and mergings of 4C to 2C."""
    rows = stage_rows(timm.create_model(SWIN, device="meta"), 224)
    stages = [row for row in rows if row["part"].startswith("stage")]
    assert [(row["rows"], row["columns"], row["channels"]) for row in stages] == [
        (56, 56, 96), (28, 28, 192), (14, 14, 384), (7, 7, 768),
    ]  # fmt: skip
    assert [(row["blocks"], row["heads"]) for row in stages] == [(2, 3), (2, 6), (6, 12), (2, 24)]
    assert [(row["window"], row.get("shift")) for row in stages] == [("7 × 7", "3 × 3")] * 3 + [
        ("7 × 7", None)
    ]
    merging = [row for row in rows if row["part"].startswith("patch merging")]
    assert [(row["channels_in"], row["channels"]) for row in merging] == [(384, 192), (768, 384), (1536, 768)]
    # a merging's linear map from 4C to 2C, without bias, at each place of the new map
    assert [row["macs"] for row in merging] == [28**2 * 384 * 192, 14**2 * 768 * 384, 7**2 * 1536 * 768]
    assert merging[0]["params"] == 384 * 192 + 2 * 384
    assert not any("padded_rows" in row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, PADDED])
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_add_up_to_what_vitbench_counts_elsewhere(family: str, size: int) -> None:
    """Parameters and multiply-adds, to the last one, with and without padding; the network is untouched."""
    model = small(family, size)
    rows = stage_rows(model, side := size or CLEAN.get(family, 112))
    assert sum(row["params"] for row in rows) == count_parameters(model)
    assert sum(row["macs"] for row in rows) / 1e9 == forward_gmacs(without_memory(model), side)
    assert hooks(model) == 0
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_those_of_a_real_forward_pass(family: str) -> None:
    """Rows, columns and channels after each stage, or a ViT's block, are timm's own intermediates'."""
    model = small(family)
    side = CLEAN.get(family, 112)
    with torch.inference_mode():
        maps = model.forward_intermediates(torch.zeros(1, 3, side, side), intermediates_only=True)
    rows = [row for row in stage_rows(model, side) if row["part"].startswith(("stage", "block"))]
    assert [(row["channels"], row["rows"], row["columns"]) for row in rows] == [
        each.shape[1:] for each in maps
    ]


@pytest.mark.slow
def test_padding_stands_where_windows_or_a_merging_need_it() -> None:
    """At 72 px maps are 18, 9, 5 and 3: windows of 7 pad two of them, mergings the odd 9 and 5."""
    rows = stage_rows(timm.create_model(SWIN, img_size=72, device="meta"), 72)
    padded = {row["part"]: row["padded_rows"] for row in rows if "padded_rows" in row}
    assert padded == {
        "stage 1": 21, "stage 2": 14, "patch merging 768 → 384": 10, "patch merging 1536 → 768": 6,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CNNS)
def test_a_cnn_has_the_stages_that_timm_names(name: str) -> None:
    """Each reduction of `feature_info` is a row, and the sums are the network's."""
    model = timm.create_model(name, num_classes=5, device="meta").eval()
    rows = stage_rows(model, 96)
    stages = [row for row in rows if row["part"].startswith("stage")]
    assert [96 // row["rows"] for row in stages] == [one["reduction"] for one in model.feature_info]
    assert sum(row["params"] for row in rows) == count_parameters(model)
    assert sum(row["macs"] for row in rows) / 1e9 == forward_gmacs(model, 96)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_vit_5m_224", "gcvit_xxtiny"])
def test_windows_that_never_shift_are_windows_too(name: str) -> None:
    """TinyViT and GC ViT: one number for both sides, no shift; the sums are the network's."""
    model = timm.create_model(name, num_classes=5, device="meta").eval()
    rows = stage_rows(model, 224)
    assert any(row.get("window") == "7 × 7" for row in rows)
    assert not any("shift" in row for row in rows)
    assert sum(row["params"] for row in rows) == count_parameters(model)


@pytest.mark.slow
def test_a_class_token_and_positions_are_no_parts() -> None:
    """ViT-Tiny: 197 tokens of 192, and a class token; everything else belongs to a part."""
    rows = stage_rows(timm.create_model("vit_tiny_patch16_224", device="meta"), 224)
    assert (rows[-1]["part"], rows[-1]["params"]) == ("cls_token, pos_embed", 198 * 192)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["native", 96])
@pytest.mark.parametrize("family", FAMILIES)
def test_whole_networks_add_up_to_a_runs_gmacs(family: str, size: int | str) -> None:
    """What a benchmark's tables say of a model is the sum of its stage table."""
    plan = plan_model(family, size)  # type: ignore[arg-type]
    model = timm.create_model(
        plan.timm_name.partition(".")[0], num_classes=7, device="meta", **plan.model_args
    )
    rows = stage_rows(model, plan.image_size)
    assert sum(row["macs"] for row in rows) / 1e9 == gmacs(plan, 7)
    assert sum(row["params"] for row in rows) == count_parameters(model)


def test_the_frame_says_what_was_padded() -> None:
    """As an analysis it is one frame, and a note where maps are padded."""
    found = STAGES.look(subject(small("swin", PADDED), PADDED), noise(PADDED))
    assert found.frames["stages"]["macs"].dtype == "Int64"
    assert found.notes == ("a map is padded with zeros in stage 1, stage 2",)
