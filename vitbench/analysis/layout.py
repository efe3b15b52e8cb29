"""Where a block's tokens lie in the picture: through windows, shifts, padding and prefix tokens.

A ViT's block is one window of all tokens; its prefix tokens (class, distillation, registers) lie nowhere, as
padding does. So whatever is asked of attention is asked once for all families.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitbench.analysis.looking import blocks_of
from vitbench.models.windows import window_of

NOWHERE = -1
"""In `Layout.places`: a prefix token, or padding."""


@dataclass(frozen=True)
class Layout:
    """What the places of a block's attention are."""

    grid: tuple[int, int]
    """Rows and columns of the map that it works on."""
    places: Tensor
    """(windows, area) int64: which token of the map, row by row, lies in a window's place; or `NOWHERE`."""
    allowed: Tensor | None
    """(windows, area, area) bool: which keys the block's mask leaves to a query; None: all."""
    window: tuple[int, int]
    """Rows and columns of a window; a ViT's is the whole map."""
    shift: tuple[int, int] = (0, 0)
    prefix: int = 0
    """Tokens before the patches."""

    @property
    def padded(self) -> bool:
        """The windows do not divide the map: zeros stand in some places, and are attended to."""
        return not self.prefix and bool((self.places == NOWHERE).any())

    @property
    def wraps(self) -> bool:
        """Windows hold tokens of opposite borders that no mask keeps apart: timm rolls before it pads."""
        return self.padded and any(self.shift)

    @property
    def real(self) -> Tensor:
        """(windows, area) bool: there is a token of the map."""
        return self.places != NOWHERE

    def positions(self, size: int) -> Tensor:
        """(windows, area, 2) float: row and column of each place in a picture of `size` px; 0: nowhere."""
        height, width = self.grid
        index = self.places.clamp(min=0)
        scale = torch.tensor([size / height, size / width], device=index.device)
        return torch.stack([index // width, index % width], -1) * scale

    def keys(self) -> Tensor:
        """(windows, area, area) bool: the keys that a query can see: in the picture, left by the mask."""
        real = self.real[:, None, :].expand(-1, self.places.shape[1], -1)
        return real if self.allowed is None else real & self.allowed


def why_not(model: nn.Module) -> str:
    """ "" where the attention of every block can be read and laid on the picture, else the reason why not."""
    try:
        found = layouts(model)
    except ValueError as error:
        return str(error)
    return "" if found else "has no attention whose weights can be read"


def layouts(model: nn.Module) -> dict[str, Layout]:
    """By the name of the block, in order of depth; {} without attention.

    ValueError where it is not known which part of the picture a token is.
    """
    return {name: _layout(model, name, block) for name, block in blocks_of(model)}


def _layout(model: Any, name: str, block: Any) -> Layout:
    if window_of(block):
        return _windowed(block)
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    prefix = getattr(model, "num_prefix_tokens", None)
    if grid is None or prefix is None or not name.startswith("blocks."):
        raise ValueError(f"has attention ({name}) on tokens whose places in the picture are not known")
    device = next(block.parameters()).device
    patches = torch.arange(grid[0] * grid[1], device=device)
    places = torch.cat([patches.new_full((prefix,), NOWHERE), patches])
    return Layout(tuple(grid), places[None], None, tuple(grid), prefix=prefix)


def _windowed(block: Any) -> Layout:
    """Of Swin, Swin V2 and V2-cr: rolled, then padded, then cut into windows, as timm's blocks do."""
    from timm.models.swin_transformer import window_partition

    height, width = getattr(block, "input_resolution", None) or block.feat_size
    rows, columns = block.window_size
    index = torch.arange(height * width, device=next(block.parameters()).device).view(1, height, width, 1)
    index = torch.roll(index, [-step for step in block.shift_size], (1, 2))
    index = F.pad(index, (0, 0, 0, -width % columns, 0, -height % rows), value=NOWHERE)
    places = window_partition(index, (rows, columns)).reshape(-1, rows * columns)
    mask = getattr(block, "attn_mask", None)
    allowed = None if mask is None else mask == 0
    return Layout((height, width), places, allowed, (rows, columns), tuple(block.shift_size))
