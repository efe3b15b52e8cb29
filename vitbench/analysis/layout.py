"""Where a block's tokens lie in the picture: through windows, shifts, padding and prefix tokens.

A ViT's block is one window of all tokens; its prefix tokens (class, distillation, registers) lie nowhere, as
padding does. So whatever is asked of attention is asked once for all families.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitbench.analysis.looking import blocks_of, seeing
from vitbench.analysis.nouns import Subject
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

    @property
    def keys(self) -> Tensor:
        """(windows, area, area) bool: the keys that a query can see: in the picture, left by the mask."""
        real = self.real[:, None, :].expand(-1, self.places.shape[1], -1)
        return real if self.allowed is None else real & self.allowed

    def positions(self, size: int) -> Tensor:
        """(windows, area, 2) float: row and column of each place in a picture of `size` px; 0: nowhere."""
        height, width = self.grid
        index = self.places.clamp(min=0)
        scale = torch.tensor([size / height, size / width], device=index.device)
        return torch.stack([index // width, index % width], -1) * scale

    def by_window(self, probabilities: Tensor) -> Tensor:
        """(B · windows, heads, area, area) as (B, windows, heads, area, area)."""
        return probabilities.view(-1, len(self.places), *probabilities.shape[1:])

    def on_map(self, values: Tensor) -> Tensor:
        """(B, windows, heads, area) summed where they belong: (B, heads, rows, columns)."""
        heads = values.permute(0, 2, 1, 3).flatten(2)
        cells = self.grid[0] * self.grid[1]
        out = heads.new_zeros(*heads.shape[:2], cells + 1)  # the last: nowhere
        out.index_add_(2, self.places.flatten() % (cells + 1), heads)
        return out[..., :-1].reshape(*out.shape[:2], *self.grid)

    def received(self, probabilities: Tensor, rows: tuple[int, ...] = ()) -> Tensor:
        """(B, heads, rows, columns): what the tokens of the map get, on the mean over queries.

        `rows`: only these queries of the one window (class tokens); (): all that lie in the picture.
        """
        attention = self.by_window(probabilities)
        if rows:
            return self.on_map(attention[..., list(rows), :].mean(-2))
        return self.on_map((attention * self.real[:, None, :, None]).sum(-2) / self.real.sum())

    def seen_from(self, probabilities: Tensor, row: int, column: int) -> Tensor:
        """(B, heads, rows, columns): what the token in that row and column looks at; 0 outside its window."""
        window, place = (self.places == row * self.grid[1] + column).nonzero()[0].tolist()
        query = self.by_window(probabilities)[:, window, :, place]  # (B, heads, area)
        whole = query.new_zeros(len(query), len(self.places), *query.shape[1:])
        whole[:, window] = query
        return self.on_map(whole)


def layouts(model: nn.Module) -> dict[str, Layout]:
    """By the name of the block, in order of depth; {} without attention.

    ValueError where it is not known which part of the picture a token is.
    """
    return {name: _layout(model, name, block) for name, block in blocks_of(model)}


def _layout(model: Any, name: str, block: Any) -> Layout:
    map_size = getattr(block, "input_resolution", None) or getattr(block, "feat_size", None)
    if window_of(block) and map_size:
        return _windowed(block, *map_size)
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    prefix = getattr(model, "num_prefix_tokens", None)
    if grid is None or prefix is None or not name.startswith("blocks."):
        raise ValueError(f"has attention ({name}) between tokens whose places in the picture are not known")
    device = next(block.parameters()).device
    patches = torch.arange(grid[0] * grid[1], device=device)
    places = torch.cat([patches.new_full((prefix,), NOWHERE), patches])
    return Layout(tuple(grid), places[None], None, tuple(grid), prefix=prefix)


def _windowed(block: Any, height: int, width: int) -> Layout:
    """Of Swin, Swin V2 and V2-cr: rolled, then padded, then cut into windows, as timm's blocks do."""
    from timm.models.swin_transformer import window_partition

    rows, columns = block.window_size
    index = torch.arange(height * width, device=next(block.parameters()).device).view(1, height, width, 1)
    index = torch.roll(index, [-step for step in block.shift_size], (1, 2))
    index = F.pad(index, (0, 0, 0, -width % columns, 0, -height % rows), value=NOWHERE)
    places = window_partition(index, (rows, columns)).reshape(-1, rows * columns)
    mask = getattr(block, "attn_mask", None)
    allowed = None if mask is None else mask == 0
    return Layout((height, width), places, allowed, (rows, columns), tuple(block.shift_size))


def padding_notes(places: dict[str, Layout]) -> tuple[str, ...]:
    """What to say of maps that windows do not divide; () where there are none."""
    padded = [(name, layout) for name, layout in places.items() if layout.padded]
    if not padded:
        return ()
    maps = ", ".join(dict.fromkeys(f"{one.grid[0]} × {one.grid[1]} by {one.window[0]}" for _, one in padded))
    mixed = sum(layout.wraps for _, layout in padded)
    wrapping = f"; in {mixed} shifted blocks opposite borders of the picture meet" if mixed else ""
    return (f"windows do not divide the map ({maps}): padding is attended to{wrapping}",)


def class_rows(model: Any) -> tuple[int, ...]:
    """The tokens that the answer is read from, class and distillation; () where it is pooled from patches."""
    if not getattr(model, "num_prefix_tokens", 0) or getattr(model, "global_pool", "token") != "token":
        return ()
    return (0, 1) if hasattr(model, "dist_token") else (0,)


_KNOWN: "WeakKeyDictionary[nn.Module, str]" = WeakKeyDictionary()


def why_not(subject: Subject) -> str:
    """ "" where every block's attention can be read and laid on the picture, else the reason why not.

    The network is asked: one empty picture goes through it, once.
    """
    if subject.module not in _KNOWN:
        _KNOWN[subject.module] = _why_not(subject)
    return _KNOWN[subject.module]


def _why_not(subject: Subject) -> str:
    try:
        places = layouts(subject.module)
    except ValueError as error:
        return str(error)
    heard: dict[str, bool] = {}

    def check(name: str, probabilities: Tensor) -> None:
        windows, area = places[name].places.shape
        fits = probabilities.ndim == 4 and (len(probabilities), probabilities.shape[-1]) == (windows, area)
        sums = probabilities.sum(-1)
        heard[name] = fits and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3))

    with seeing(subject.module, check):
        subject.module(empty(subject))
    strange = next((name for name in places if not heard.get(name)), "")
    if strange:
        return f"has attention of another kind ({strange}), whose weights cannot be laid on the picture"
    return "" if places else "has no attention whose weights can be read"


def empty(subject: Subject) -> Tensor:
    """(1, 3, S, S): a picture of nothing, as the network takes it."""
    side = subject.preprocessing.size
    return torch.zeros(1, 3, side, side, device=next(subject.module.parameters()).device)
