"""Is the map true? How much of the answer's probability goes when the cells that a map ranks first go.

In the manner of RISE's deletion (Petsiuk et al. 2018, arXiv:1806.07421), in one step: of 14 × 14 cells a
quarter is blurred, whatever the map's own size. Beside it stand the quarter that the map ranks lowest, a
random quarter and the quarter nearest to the centre, for photographers put things there: a map that does not
beat that one shows nothing that a disc in the middle would not. Differences are paired by picture.
"""

import zlib
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vitbench.analysis.gradcam import NO_HEAD
from vitbench.analysis.looking import looking
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.analysis.saliency import KINDS, MapKind
from vitbench.comparison.statistics import mean_interval
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows, frame

CELLS = 14
QUARTER = CELLS * CELLS // 4
BLUR = 1 / 14
"""Standard deviation of the blur, of the picture's side: a cell, so that only its colour is left."""
FLOORS = ("random", "centre")


def look(subject: Subject, pictures: Pictures) -> Finding:
    """`deletion`, a row per kind of map; `deletion_pictures`, what each picture lost: all follows from it.

    Shares are of probability: what the answered class loses, mean over pictures, 95 % intervals over them.
    """
    kinds = [kind for kind in KINDS if not kind.why_not(subject)]
    lost: dict[str, list[Array]] = {}
    for places, batch in pictures.batches():
        names = [pictures.names[place] for place in places]
        for name, values in _losses(subject, kinds, batch, names).items():
            lost.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in lost.items()}
    rows = [_row(kind, whole, pictures.groups) for kind in kinds]
    each: dict[str, Dtype] = {"picture": "string", **dict.fromkeys(whole, "float64")}
    return Finding(
        {
            "deletion": by_rows(COLUMNS, rows),
            "deletion_pictures": frame(each, [pictures.names, *whole.values()]),
        }
    )


def _losses(
    subject: Subject, kinds: Sequence[MapKind], batch: Tensor, names: Sequence[str]
) -> Mapping[str, Array]:
    """(B,) each: what the answered class loses, by what is blurred: `gradcam_top`, …, `centre`."""
    before, said = _probabilities(subject, batch).max(1)
    orders = {kind.name: _order(kind.make(subject, batch, said), names) for kind in kinds}
    flat = torch.zeros(len(batch), CELLS, CELLS, device=batch.device)
    blurred_first = {
        **{f"{name}_top": order for name, order in orders.items()},
        **{f"{name}_lowest": order.flip(1) for name, order in orders.items()},
        "random": _order(flat, names),
        "centre": _order(flat + _nearness(batch.device), names),
    }
    smooth = blurred(batch)
    found = {}
    for name, order in blurred_first.items():
        after = _probabilities(subject, torch.where(_mask(order, batch), smooth, batch))
        lost = before - after.gather(1, said[:, None])[:, 0]
        found[name] = lost.double().cpu().numpy()
    return found


def _probabilities(subject: Subject, batch: Tensor) -> Tensor:
    with looking(subject.module), torch.no_grad():
        return torch.as_tensor(subject.module(batch).float().softmax(-1))


def _order(maps: Tensor, names: Sequence[str]) -> Tensor:
    """(B, cells): the cells of each map, the highest first; equal ones in an order that the name decides."""
    cells = F.interpolate(maps[:, None].float(), (CELLS, CELLS), mode="bilinear", antialias=True).flatten(1)
    shuffled = torch.stack([torch.from_numpy(_shuffle(name)) for name in names]).to(maps.device)
    ranks = cells.gather(1, shuffled).argsort(stable=True, dim=1, descending=True)
    return shuffled.gather(1, ranks)


def _shuffle(name: str) -> Array:
    return np.random.default_rng(zlib.crc32(name.encode(errors="surrogateescape"))).permutation(CELLS * CELLS)


def _nearness(device: torch.device) -> Tensor:
    """(cells, cells): higher nearer to the centre."""
    steps = torch.arange(CELLS, device=device) - (CELLS - 1) / 2
    return -(steps[:, None] ** 2 + steps**2)


def _mask(order: Tensor, batch: Tensor) -> Tensor:
    """(B, 1, S, S) bool: the pixels of the first quarter of the cells."""
    chosen = torch.zeros_like(order, dtype=torch.float32).scatter_(1, order[:, :QUARTER], 1.0)
    return F.interpolate(chosen.view(-1, 1, CELLS, CELLS), batch.shape[-2:], mode="nearest").bool()


def blurred(batch: Tensor) -> Tensor:
    """The pictures, their borders mirrored, through a Gaussian of `BLUR` of their side."""
    from torchvision.transforms.functional import gaussian_blur

    sigma = BLUR * batch.shape[-1]
    half = min(round(3 * sigma), batch.shape[-1] - 1)
    found: Tensor = gaussian_blur(batch, [2 * half + 1] * 2, [sigma] * 2)
    return found


COLUMNS: dict[str, Dtype] = {
    "map": "string", "pictures": "Int64", "lost": "float64", "lost_low": "float64", "lost_high": "float64",
    "lost_lowest": "float64", "lost_random": "float64", "lost_centre": "float64",
    **{
        f"over_{other}{end}": "float64"
        for other in ("lowest", *FLOORS)
        for end in ("", "_low", "_high")
    },
    "beats_lowest": "boolean", "beats_random": "boolean", "beats_centre": "boolean",
}  # fmt: skip


def _row(kind: MapKind, lost: Mapping[str, Array], groups: Array | None) -> list[Any]:
    """What goes with a map's first quarter, and by how much more than with other quarters."""
    top = lost[f"{kind.name}_top"]
    others = [lost[f"{kind.name}_lowest"], *(lost[name] for name in FLOORS)]
    over = [mean_interval(top - other, groups) for other in others]
    beats = [None if low is None else low > 0 for _, low, _ in over]
    means = [float(other.mean()) for other in others]
    return [kind.name, len(top), *mean_interval(top, groups), *means, *chain.from_iterable(over), *beats]


def why_not(subject: Subject) -> str:
    """ "" where there is an answer to lose and a map to check."""
    if not subject.classes:
        return NO_HEAD
    reasons = [kind.why_not(subject) for kind in KINDS]
    return reasons[-1] if all(reasons) else ""


DELETION = Analysis(
    name="deletion",
    title="Is the map true? What the answer loses without the quarter that a map ranks first",
    sees="How much probability goes when a map's first quarter is blurred, against its lowest quarter, "
    "random cells and the centre of the picture, over the test pictures.",
    does_not_prove="That a map which beats the centre is complete or right in every picture: it is a mean, "
    "and blurred pictures are not like those that the network knows.",
    applies=why_not,
    look=look,
    over="test",
)
