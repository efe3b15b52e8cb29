"""Shifts by whole windows: exact where theory says so, with real content at the borders."""

from collections.abc import Callable, Sequence

import pytest
import timm
import torch

from vitbench.analysis.equivariance import equivariance, on_map


def loading(size: int) -> Callable[[int, Sequence[int]], torch.Tensor]:
    """Crops of two pictures of noise."""

    def load(more: int, corners: Sequence[int]) -> torch.Tensor:
        wide = torch.randn(2, 3, size + more, size + more, generator=torch.Generator().manual_seed(0))
        return torch.cat([wide[:, :, at : at + size, at : at + size] for at in corners])

    return load


Rows = dict[tuple[str, int], tuple[float, float]]


def measured(name: str, size: int, **arguments: object) -> Rows:
    """(part, shift) → error and share of exact places, of random weights."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **arguments).eval()
    return {(row[0], row[2]): (row[4], row[5]) for row in equivariance(model, size, loading(size))}


def test_swin_is_exact_by_whole_windows_away_from_the_border() -> None:
    """Windows of 4 patches of 4 px: 16 px. Patches by 4 px; W-MSA everywhere, SW-MSA off the border."""
    swin = measured(
        "swin_tiny_patch4_window7_224", 128, img_size=128, window_size=4, embed_dim=24, depths=(2, 1),
        num_heads=(1, 2),
    )  # fmt: skip
    assert swin["patch_embed", 4] == (pytest.approx(0, abs=1e-6), 1.0)
    assert swin["layers.0.blocks.0", 16] == (pytest.approx(0, abs=1e-5), 1.0)
    assert swin["layers.0.blocks.0", 4][0] > 1e-3
    error, exact = swin["layers.0.blocks.1", 16]
    assert error > 1e-4
    # 28 of 32 places see the same both times; those within half a window of either border, 2 + 2, do not
    assert exact == pytest.approx((24 / 28) ** 2, abs=0.01)


def test_positions_make_a_vit_inexact_and_its_patches_are_not() -> None:
    """Without overlap, patches of 16 px are exact by 16 px; position embeddings are added behind them."""
    vit = measured("test_vit", 64, img_size=64)
    assert vit["patch_embed", 16] == (pytest.approx(0, abs=1e-6), 1.0)
    assert vit["blocks.0", 16][0] > 1e-3
    assert vit["blocks.0", 16][1] < 1


def test_a_cnn_is_exact_but_for_its_padding() -> None:
    """By the stride of its stem, away from the border."""
    cnn = measured("test_efficientnet", 64)
    error, exact = cnn["conv_stem", 2]
    assert 0.8 < exact < 1
    assert error > 0


def test_maps_are_told_from_what_is_none() -> None:
    """Tokens with and without a class token, maps of either layout; a vector is no map."""
    assert on_map(torch.zeros(1, 17, 8), 64).shape == (1, 4, 4, 8)
    assert on_map(torch.zeros(1, 16, 8), 64).shape == (1, 4, 4, 8)
    assert on_map(torch.zeros(1, 4, 4, 8), 64).shape == (1, 4, 4, 8)
    assert on_map(torch.zeros(1, 8, 4, 4), 64).shape == (1, 4, 4, 8)
    assert on_map(torch.zeros(1, 8), 64) is None
    assert on_map(torch.zeros(1, 8, 5, 5), 64) is None
