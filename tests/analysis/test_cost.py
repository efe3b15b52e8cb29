"""What networks cost over image sizes: parts add up, formulas hold where they should, memory by hand."""

import pytest
import timm
import torch
from torch import nn

from vitbench.analysis.cost import SIZES, built, cost, count
from vitbench.analysis.measuring import alive_at_once, milliseconds
from vitbench.analysis.multiply_adds import PARTS, omega, split_macs
from vitbench.errors import UsageError
from vitbench.models.count import forward_gmacs
from vitbench.models.families import FAMILIES
from vitbench.models.meta import on_meta


def hollow(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, **arguments).eval()


@pytest.mark.slow
@pytest.mark.parametrize("family", [family.alias for family in FAMILIES])
def test_the_parts_of_every_family_add_up_and_nothing_is_left(family: str) -> None:
    """Counted by part and as a whole: the same number of multiply-adds, none of them `other`."""
    row = count(family, 224)
    assert row["macs"] == sum(row[part] for part in PARTS)
    assert row["other"] == row["convolutions"] == 0
    assert row["attention"] > 0


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "test_efficientnet"])
def test_a_cnn_adds_up_too(name: str) -> None:
    """Convolutions, MLPs and the head are all there is; formulas of attention say nothing of it."""
    model = hollow(name)
    spent = split_macs(model, 64)
    assert sum(spent.values()) == round(1e9 * forward_gmacs(model, 64))
    assert spent["other"] == spent["attention"] == 0
    assert omega(model) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(family.alias for family in FAMILIES), "resnet50", "convnext_tiny"])
def test_nothing_is_left_at_any_size(name: str) -> None:
    """The whole, counted apart from the parts, is their sum at all five default sizes; `other` is 0."""
    for size in SIZES:
        row = count(name, size)
        with on_meta():
            model = built(name, size, "own")
        assert sum(row[part] for part in PARTS) == round(1e9 * forward_gmacs(model, size))
        assert row["other"] == 0


def test_formulas_and_count_are_equal_where_windows_divide() -> None:
    """Swin at 224 px: 4hwC² and 2M²hwC over its twelve blocks, to the last multiply-add."""
    row = count("swin", 224)
    assert (row["projections"], row["attention"]) == (row["omega_projections"], row["omega_attention"])
    assert row["deviations"] == ""
    stages = ((56, 96, 2), (28, 192, 2), (14, 384, 6), (7, 768, 2))
    assert row["attention"] == sum(blocks * 2 * 49 * side**2 * c for side, c, blocks in stages)


@pytest.mark.slow
def test_every_deviation_is_named() -> None:
    """The class token in a ViT, two tokens in a distilled one, padded maps in Swin at 256 px."""
    vit, distilled, swin = count("vit", 224), count("deit-distilled", 224), count("swin", 256)
    assert vit["deviations"] == "1 token beside the 196 patches"
    assert vit["attention"] == 12 * 2 * 197**2 * 192
    assert vit["omega_attention"] == 12 * 2 * 196**2 * 192
    assert distilled["deviations"] == "2 tokens beside the 196 patches"
    assert swin["deviations"].startswith("map 64 × 64 padded to 70 × 70; map 32 × 32 padded to 35 × 35")
    assert swin["projections"] > swin["omega_projections"]


@pytest.mark.slow
def test_attention_grows_with_the_square_of_tokens_or_in_step_with_them() -> None:
    """Exponents 2 and 1, at sizes that Swin's windows divide."""
    found = cost(("vit", "swin"), (224, 448, 896), times=False)
    rows = found.growth[found.growth["quantity"] == "attention"].set_index("model")
    assert rows["exponent"]["vit"] == pytest.approx(2, abs=1e-9)
    assert rows["exponent"]["swin"] == pytest.approx(1, abs=1e-9)


@pytest.mark.slow
def test_where_two_models_cross() -> None:
    """vit_tiny and swin_tiny need equally many between 992 and 1,024 px; there the order turns."""
    found = cost(("vit", "swin"), (960, 1024), times=False)
    (row,) = found.crossings.to_dict("records")
    assert (row["model_a"], row["model_b"]) == ("vit", "swin")
    assert 992 < row["image_size"] < 1024
    macs = {(name, size): count(name, size)["macs"] for name in ("vit", "swin") for size in (992, 1024)}
    assert macs["vit", 992] < macs["swin", 992]
    assert macs["vit", 1024] > macs["swin", 1024]


class Two(nn.Module):
    """Two layers whose tensors are counted by hand: 48 inputs, 1,000 hidden, 10 out, 4 bytes each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(48, 1000), nn.Linear(1000, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x.flatten(1)).relu())  # type: ignore[no-any-return]


def test_memory_by_hand() -> None:
    """Forward: hidden before and after relu. Training: every weight has a gradient in the end."""
    assert alive_at_once(Two(), 4, 1, training=False) == 2 * 4000
    weights = 4 * (48 * 1000 + 1000 + 1000 * 10 + 10)
    training = alive_at_once(Two(), 4, 1, training=True)
    assert weights <= training <= weights + 4 * 4000
    assert alive_at_once(Two(), 4, 8, training=False) == 8 * 2 * 4000


@pytest.mark.slow
def test_the_square_is_in_memory_only_where_attention_is_not_fused() -> None:
    """Unfused, a block holds N × N for each head, at twice the side sixteen times as much."""
    held = {}
    for size in (224, 448):
        model = timm.create_model("vit_tiny_patch16_224", img_size=size, depth=1)
        for fused in (True, False):
            model.blocks[0].attn.fused_attn = fused
            held[size, fused] = alive_at_once(model, size, 1, training=False)
    square = {size: 4 * 3 * (1 + (size // 16) ** 2) ** 2 for size in (224, 448)}
    assert held[448, True] < 5 * held[224, True]
    assert held[448, False] - held[448, True] > square[448]


def test_nothing_of_the_network_changes() -> None:
    """Measured and counted, it has its weights, no gradients, and as many threads as before."""
    model = Two()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    threads = torch.get_num_threads()
    assert milliseconds(model, 4, 2, training=True) > 0
    alive_at_once(model, 4, 1, training=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_sizes_that_do_not_run_are_named_and_left_out() -> None:
    """225 px is no multiple of the patch; where nothing runs it is an error with sizes that do."""
    found = cost(("vit",), (224, 225), times=False)
    assert found.counted["image_size"].tolist() == [224]
    assert "225 is no multiple" in found.refused[0][2]
    with pytest.raises(UsageError, match="try --image-size 224"):
        cost(("vit",), (225,), times=False)
