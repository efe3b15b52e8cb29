"""Mean attention distance."""

import pytest
import timm
from small import noise, subject

from vitbench.analysis.distance import DISTANCE


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
