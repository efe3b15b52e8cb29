"""Swin V2 with biases computed from linear-spaced offsets: what its paper measures log-spaced ones against.

timm has none, so importing this module makes it known to timm by name, for training, saving and loading. All
else is timm's Swin V2, tensor for tensor; trained weights of the log-spaced one fit and mean something else.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.swin_transformer_v2 import SwinTransformerV2, WindowAttention, _cfg, checkpoint_filter_fn

NAME = "swinv2_linear_tiny_window8_256"
default_cfgs = generate_default_cfgs({NAME: _cfg()})


class LinearWindowAttention(WindowAttention):  # type: ignore[misc]
    """Offsets Δ / (M − 1), M the window that was trained with, in the place of their logarithms."""

    def _make_pair_wise_relative_positions(self, device: Any = None, dtype: Any = None) -> Any:
        """(1, 2 Mh − 1, 2 Mw − 1, 2) offsets, in [−1, 1] at the trained window; and timm's own index."""
        _, index = super()._make_pair_wise_relative_positions(device=device, dtype=dtype)
        trained = zip(self.pretrained_window_size, self.window_size, strict=True)
        rows, columns = (
            torch.arange(1 - own, own, device=device, dtype=torch.float32) / max((given or own) - 1, 1)
            for given, own in trained
        )
        table = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        return table[None].to(dtype=dtype), index


class LinearSwinV2(SwinTransformerV2):  # type: ignore[misc]
    """timm's network, its windows attending with linear-spaced offsets."""

    linear_bias = True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for module in self.modules():
            if isinstance(module, WindowAttention):
                module.__class__ = LinearWindowAttention  # a block of timm's makes no other one
                module._init_buffers()


@register_model  # type: ignore[untyped-decorator]
def swinv2_linear_tiny_window8_256(pretrained: bool = False, **arguments: Any) -> Any:
    """Of the shape of `swinv2_tiny_window8_256`."""
    shape = {"window_size": 8, "embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
    made = {"pretrained_filter_fn": checkpoint_filter_fn, "feature_cfg": {"flatten_sequential": True}}
    return build_model_with_cfg(LinearSwinV2, NAME, pretrained, **made, **{**shape, **arguments})
