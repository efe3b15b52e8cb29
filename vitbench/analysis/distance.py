"""How far blocks and heads look: mean attention distance in pixels, beside what uniform attention would give.

Dosovitskiy et al. 2021, appendix D.7. Only queries and keys that lie in the picture count: weights are
renormalised over them, and what went to prefix tokens or padding stands in columns of its own. The reference
is that of the very block, uniform over the keys that its window and its mask leave to each query.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitbench.analysis.layout import Layout, layouts, padding_notes, why_not
from vitbench.analysis.looking import seeing
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "layer": "Int64", "block": "string", "head": "Int64", "distance_px": "float64", "uniform_px": "float64",
    "prefix_share": "float64", "padding_share": "float64", "wrapped_share": "float64", "rows": "Int64",
    "columns": "Int64", "window": "Int64", "shift": "Int64",
}  # fmt: skip

UNTRAINED = "random weights attend all but uniformly: these distances are those of the windows alone"


def look(subject: Subject, pictures: Pictures) -> Finding:
    """`distance`: a row per block and head, means over queries and pictures."""
    size = subject.preprocessing.size
    places = layouts(subject.module)
    geometry = {name: _Geometry.of(layout, size) for name, layout in places.items()}
    sums: dict[str, Tensor] = {}

    def add(name: str, probabilities: Tensor) -> None:
        found = geometry[name].measures(probabilities)
        sums[name] = sums[name] + found if name in sums else found

    with seeing(subject.module, add):
        for _, batch in pictures.batches():
            subject.module(batch)
    rows = []
    for layer, (name, layout) in enumerate(places.items(), start=1):
        distance, off, wrapped = (sums[name] / len(pictures.names)).tolist()
        for head in range(len(distance)):
            prefix = (off[head], None, None) if layout.prefix else (None, off[head], wrapped[head])
            rows.append((
                layer, name, head + 1, distance[head], geometry[name].uniform, *prefix,
                *layout.grid, layout.window[0], layout.shift[0],
            ))  # fmt: skip
    untrained = (UNTRAINED,) if subject.weights == "random" else ()
    return Finding({"distance": by_rows(COLUMNS, rows)}, notes=(*padding_notes(places), *untrained))


@dataclass(frozen=True)
class _Geometry:
    """What a block's distances are made of."""

    layout: Layout
    apart: Tensor
    """(windows, area, area) px between places."""
    beyond: Tensor
    """(windows, area, area) bool: a window or more apart, so brought together by the roll alone."""

    @classmethod
    def of(cls, layout: Layout, size: int) -> "_Geometry":
        positions = layout.positions(size)
        steps = (positions[:, :, None] - positions[:, None]).abs()  # (windows, area, area, 2)
        token = torch.tensor([size / side for side in layout.grid], device=steps.device)
        reach = token * torch.tensor(layout.window, device=steps.device)
        return cls(layout, steps.square().sum(-1).sqrt(), (steps > reach - token / 2).any(-1))

    def measures(self, probabilities: Tensor) -> Tensor:
        """(3, heads): px, share of prefix and padding, share a window or more away; summed over pictures."""
        real = self.layout.real
        seen = self.layout.by_window(probabilities) * real[:, None, None, :]
        kept = seen.sum(-1, keepdim=True)
        shares = seen / kept.clamp(min=torch.finfo(kept.dtype).tiny)
        queries = real[:, None, :]
        found = [
            (shares * self.apart[:, None]).sum(-1),
            1 - kept[..., 0],
            (seen * self.beyond[:, None]).sum(-1),
        ]
        return torch.stack([(one * queries).sum((0, 1, 3)) / real.sum() for one in found])

    @property
    def uniform(self) -> float:
        """Mean distance, px, if every query looked alike at all keys that it can see."""
        keys = self.layout.keys & self.layout.real[:, :, None]
        each = (self.apart * keys).sum(-1) / keys.sum(-1).clamp(min=1)
        return float(each.sum() / self.layout.real.sum())


DISTANCE = Analysis(
    name="distance",
    title="Local to global: how far heads look",
    sees="Mean distance between a patch and what it looks at, per head, beside that of uniform attention in "
    "the same block.",
    does_not_prove="That a head which looks far uses what it sees there: attention weights say where values "
    "come from, not what they do to the answer.",
    applies=why_not,
    look=look,
)
