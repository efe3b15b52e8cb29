"""A ViT of one block: what an exporter does takes as long as a graph has nodes, and tells no more of six."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, _cfg

NAME = "shallow_vit"
default_cfgs = generate_default_cfgs({NAME: _cfg(input_size=(3, 160, 160), crop_pct=0.95)})


@register_model
def shallow_vit(pretrained: bool = False, **arguments: Any) -> Any:
    """Otherwise timm's `test_vit`."""
    shape = {"patch_size": 16, "embed_dim": 64, "depth": 1, "num_heads": 2, "mlp_ratio": 3}
    return build_model_with_cfg(VisionTransformer, NAME, pretrained, **{**shape, **arguments})
