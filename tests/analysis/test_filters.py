"""The first layer's filters, and attention to tokens that are no patches."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from sklearn.decomposition import PCA
from small import FAMILIES, noise, small, subject

from vitbench.analysis.filters import FILTERS, components, first_filters, random_shares
from vitbench.analysis.tokens import TOKEN_MASS


def test_components_are_those_of_scikit_learns_full_svd() -> None:
    """Shares to 1e-6, directions but for their sign; its "auto" solver finds others."""
    filters = torch.randn(96, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    filters += 2 * torch.randn(96, 1, 1, 1) * torch.randn(3, 7, 7)
    found, shares = components(filters)
    known = PCA(28, svd_solver="full").fit(filters.flatten(1).double().numpy())
    assert shares.numpy() == pytest.approx(known.explained_variance_ratio_, rel=1e-6)
    alike = np.abs((found.flatten(1).numpy() * known.components_).sum(1))
    assert (alike > 0.999999).all()


def test_random_filters_explain_what_the_floor_says() -> None:
    """A network that learned nothing has components too, none above twice the floor."""
    torch.manual_seed(3)
    model = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64)
    filters = first_filters(model)
    assert filters is not None
    assert components(filters)[1].numpy() == pytest.approx(random_shares(filters).numpy(), rel=0.05)
    found = FILTERS.look(subject(model, 64), noise(64))
    assert "; 0 explain more than twice what random ones do" in found.notes[0]


def test_a_planted_colour_stands_above_the_floor() -> None:
    """Filters that are mostly one pattern, more or less of it: the first component is that pattern."""
    model = small("vit")
    pattern = torch.linspace(-1, 1, 3 * 256).view(3, 16, 16)
    weights = torch.linspace(-5, 5, 48).view(48, 1, 1, 1)
    model.patch_embed.proj.weight.data.normal_(0, 0.01).add_(weights * pattern)
    found = FILTERS.look(subject(model, 112), noise(112))
    table = found.frames["filters"]
    assert table["explained"][0] > 0.99
    assert table["explained_random"][0] < 0.05
    first = torch.from_numpy(found.arrays["components"][0]).flatten()
    assert abs(float(first @ pattern.flatten().double() / pattern.norm())) > 0.999


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [("resnet18", (64, 3, 7, 7), 28), ("swin", (24, 3, 4, 4), 24), ("vit", (48, 3, 16, 16), 28)],
)
def test_any_first_convolution_will_do(name: str, shape: tuple[int, ...], count: int) -> None:
    """A CNN's, a Swin's 4 × 4 and a ViT's patches: components, and small filters themselves."""
    model = small(name) if name in FAMILIES else timm.create_model(name)
    found = FILTERS.look(subject(model, 112), noise(112))
    assert ("filters" in found.arrays) == (name != "vit")
    assert found.arrays.get("filters", np.empty(shape)).shape == shape
    assert found.arrays["components"].shape == (count, *shape[1:])


def test_filters_before_training_stand_beside_and_components_are_not_subtracted() -> None:
    """The change of raw filters is theirs; of components, which may come in another order, there is none."""
    model, before = small("swin"), small("swin")
    before.patch_embed.proj.weight.data.fill_(0.5)
    model.patch_embed.proj.weight.data.fill_(0.6)
    found = FILTERS.look(replace(subject(model, 112), before=lambda: before), noise(112))
    assert np.allclose(found.arrays["filters_change"], 0.1)
    assert found.notes[1] == "training moved the filters by 20.00% of their length"
    assert set(found.arrays) == {
        "filters", "filters_before", "filters_change", "components", "components_before",
    }  # fmt: skip


def test_patches_of_no_convolution_are_refused() -> None:
    """A linear map of patches that were cut out before is no filter bank that can be read here."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    assert FILTERS.applies(subject(model, 2)) == "its first layer is no convolution of three channels"


@pytest.mark.parametrize("family", ["vit", "deit-distilled"])
def test_uniform_attention_gives_each_token_its_share(family: str) -> None:
    """Queries of zero look everywhere alike: 1 of 50 or of 51 tokens."""
    model = small(family)
    for block in model.blocks:
        block.attn.qkv.weight.data.zero_()
        block.attn.qkv.bias.data.zero_()
    table = TOKEN_MASS.look(subject(model, 112), noise(112)).frames["token_mass"]
    tokens = ["cls", "dist"] if family == "deit-distilled" else ["cls"]
    assert table["token"].tolist() == tokens * 9
    assert table["mass"].tolist() == pytest.approx([1 / (49 + len(tokens))] * len(table))
    assert table["mass_uniform"].tolist() == pytest.approx(table["mass"].tolist())


def test_mass_is_that_of_patches_as_queries() -> None:
    """What the class token gives itself does not count: equal to attention read by hand."""
    from vitbench.analysis.looking import seeing

    model, pictures = small("vit"), noise(112, 3)
    seen: dict[str, torch.Tensor] = {}
    with seeing(model, seen.__setitem__):
        model(pictures.load(range(3)))
    table = TOKEN_MASS.look(subject(model, 112), pictures).frames["token_mass"]
    assert table["mass"][:3].tolist() == pytest.approx(seen["blocks.0"][:, :, 1:, 0].mean((0, 2)).tolist())


def test_a_swin_has_no_such_tokens() -> None:
    """It says so in one line."""
    assert TOKEN_MASS.applies(subject(small("swin"), 112)) == "has no tokens but its patches"
