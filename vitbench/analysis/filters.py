"""The first layer's filters: what is looked for in a patch, or a CNN's first neighbourhood of pixels.

Principal components by full singular value decomposition. (scikit-learn's "auto" solver draws at random here,
and of components that explain all but the same it finds others.) Shares stand beside those of random filters
of the same shape, for noise has components too.
"""

import torch
from torch import Tensor, nn

from vitbench.analysis.before import beside_before
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COMPONENTS = 28
DRAWS = 5
"""Of random filters, whose shares are averaged."""
SHOWN_WHOLE = 7
"""px: filters no larger than a CNN's are shown themselves too."""
COLUMNS: dict[str, Dtype] = {"component": "Int64", "explained": "float64"}


def first_filters(model: nn.Module) -> Tensor | None:
    """(filters, 3, rows, columns) of the first convolution of three channels; None without one."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            return module.weight.detach().float()
    return None


def components(filters: Tensor) -> tuple[Tensor, Tensor]:
    """(k, 3, rows, columns) principal components, and (k,) the share of the variance that each explains.

    k = min(28, filters, values of a filter). Of unit length; the sign is that of the largest value.
    """
    _, sizes, axes = torch.linalg.svd(_apart(filters), full_matrices=False)
    axes = axes[:COMPONENTS]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return axes.view(-1, *filters.shape[1:]), _shares(sizes)


def random_shares(filters: Tensor) -> Tensor:
    """(k,) what the components of random filters of this shape explain, mean of five draws.

    Drawn as torch initialises a convolution, whose width is of no consequence for shares.
    """
    generator = torch.Generator().manual_seed(0)
    draws = [torch.rand(filters.shape, generator=generator) for _ in range(DRAWS)]
    return torch.stack([_shares(torch.linalg.svdvals(_apart(each))) for each in draws]).mean(0)


def _apart(filters: Tensor) -> Tensor:
    """(filters, values of a filter) float64, minus the mean filter."""
    flat = filters.cpu().flatten(1).double()
    return flat - flat.mean(0)


def _shares(sizes: Tensor) -> Tensor:
    return (sizes**2 / (sizes**2).sum().clamp(min=1e-300))[:COMPONENTS]


def look(subject: Subject, _: Pictures) -> Finding:
    """`filters`: a row per component, its share beside that of random filters; maps of them, per channel.

    And the filters themselves where they are few pixels wide. Components have no change, for they may come
    in another order; how far training moved the filters is a note.
    """
    filters = first_filters(subject.module)
    assert filters is not None
    found = beside_before(subject, _measure)
    table, random = found.frames["filters"].copy(), random_shares(filters).numpy()
    table["explained_random"] = random
    above = int((table["explained"].to_numpy() > 2 * random).sum())
    notes = [
        f"{len(table)} components explain {table['explained'].sum():.0%} of {len(filters)} filters, of "
        f"random ones {random.sum():.0%}; {above} explain more than twice what random ones do"
    ]
    before = subject.before()
    if isinstance(before, nn.Module) and (first := first_filters(before)) is not None:
        moved = float((filters - first.to(filters.device)).norm() / first.norm())
        notes.append(f"training moved the filters by {moved:.2%} of their length")
    arrays = {name: values for name, values in found.arrays.items() if name != "components_change"}
    return Finding({"filters": table}, arrays, found.axes, tuple(notes))


def _measure(model: nn.Module) -> Finding:
    filters = first_filters(model)
    assert filters is not None
    axes, shares = components(filters)
    table = by_rows(COLUMNS, enumerate(shares.tolist(), start=1))
    maps = {"components": axes.cpu().numpy()}
    if max(filters.shape[2:]) <= SHOWN_WHOLE:
        maps["filters"] = filters.cpu().numpy()
    return Finding({"filters": table}, maps, dict.fromkeys(maps, ("filter", "channel")))


FILTERS = Analysis(
    name="filters",
    title="First filters: colours and edges",
    sees="The patterns that the first layer's filters are mostly made of, strongest first, with the share of "
    "their variance that each explains and the share that random filters' would.",
    does_not_prove="That the network uses these patterns one by one: components are axes of a cloud of "
    "filters, and such as explain the same share may be mixed at will.",
    applies=lambda subject: (
        ""
        if first_filters(subject.module) is not None
        else "its first layer is no convolution of three channels"
    ),
    look=look,
    compares=True,
)
