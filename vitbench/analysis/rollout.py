"""Attention rollout, through windows, shifts and merged patches too.

Abnar & Zuidema 2020 (arXiv:2005.00928): per block half of the mean over heads and half of the residual,
multiplied over blocks. Here a row vector goes backwards through the blocks instead, from where the answer is
read: the same product, windowed throughout, so a Swin's costs no more than its attention. A patch that was
merged from four hands each a quarter.
"""

import torch
from torch import Tensor

from vitbench.analysis.layout import NOWHERE, Layout, class_rows, layouts
from vitbench.analysis.looking import seeing
from vitbench.analysis.nouns import Subject


def rollout(subject: Subject, batch: Tensor, start: Tensor | None = None) -> Tensor:
    """(B, rows, columns): how much of the answer comes from each patch of the first layer.

    `start` (tokens,): the shares in the last layer's tokens that are followed back, prefix tokens first;
    None: as the answer is read. Prefix tokens and padding keep what goes to them: a map sums to 1 less that.
    """
    places, heard = layouts(subject.module), dict[str, Tensor]()

    def keep(name: str, probabilities: Tensor) -> None:
        heard[name] = places[name].by_window(probabilities).mean(2)  # (B, windows, area, area)

    with seeing(subject.module, keep):
        subject.module(batch)
    order = list(places)
    last = places[order[-1]]
    if start is None:
        start = _read_from(last, class_rows(subject.module)).to(batch.device)
    shares, after = start.expand(len(batch), -1), last
    for name in reversed(order):
        layout = places[name]
        if layout.grid != after.grid:
            shares = _to_children(shares, after.grid, layout.grid)
        shares = _before(shares, heard[name], layout)
        after = layout
    return shares[:, after.prefix :].reshape(-1, *after.grid)


def _read_from(layout: Layout, rows: tuple[int, ...]) -> Tensor:
    """(tokens,): 1 shared by the class tokens, or by all patches."""
    tokens = layout.prefix + layout.grid[0] * layout.grid[1]
    start = torch.zeros(tokens)
    start[list(rows) if rows else slice(layout.prefix, None)] = 1.0
    return start / start.sum()


def _before(shares: Tensor, attention: Tensor, layout: Layout) -> Tensor:
    """(B, tokens) shares one block further back."""
    tokens = shares.shape[1]
    index = layout.places + layout.prefix  # patches stand behind the prefix tokens
    index = torch.arange(tokens, device=index.device)[None] if layout.prefix else index
    padded = torch.cat([shares, shares.new_zeros(len(shares), 1)], 1)  # the last: padding
    place = torch.where(index == NOWHERE, tokens, index)
    moved = torch.einsum("bwq,bwqk->bwk", padded[:, place], attention)
    back = torch.zeros_like(padded).index_add_(1, place.flatten(), moved.flatten(1))
    return 0.5 * shares + 0.5 * back[:, :-1]


def _to_children(shares: Tensor, after: tuple[int, int], before: tuple[int, int]) -> Tensor:
    """Shares of merged patches, a quarter to each of the four; what a padded border would get is lost."""
    quarters = (shares / 4).reshape(-1, *after).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return quarters[:, : before[0], : before[1]].flatten(1)
