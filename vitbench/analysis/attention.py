"""Attention of every layer and head, laid on the picture through windows and shifts."""

from torch import Tensor

from vitbench.analysis.layout import class_rows, layouts, padding_notes, why_not
from vitbench.analysis.looking import seeing
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.analysis.saliency import size_that_would_do, too_coarse
from vitbench.records import Array


def look(subject: Subject, pictures: Pictures) -> Finding:
    """Arrays `heads-LAYER` and `centre-LAYER`, (picture, head, rows, columns), layers from 1.

    `heads`: what the class token looks at; where the answer is pooled from patches, what patches get on
    the mean over all that look. `centre`: what the patch in the middle of the map looks at.
    """
    import numpy as np

    places, rows = layouts(subject.module), class_rows(subject.module)
    layer_of = {name: layer for layer, name in enumerate(places, start=1)}
    kept: dict[str, list[Array]] = {}

    def keep(name: str, probabilities: Tensor) -> None:
        layout = places[name]
        if too_coarse(layout.grid):
            return
        middle = layout.seen_from(probabilities, layout.grid[0] // 2, layout.grid[1] // 2)
        maps = {"heads": layout.received(probabilities, rows), "centre": middle}
        for kind, found in maps.items():
            kept.setdefault(f"{kind}-{layer_of[name]:02d}", []).append(found.cpu().numpy())

    with seeing(subject.module, keep):
        for _, batch in pictures.batches():
            subject.module(batch)
    arrays = {name: np.concatenate(parts) for name, parts in sorted(kept.items())}
    coarse = [layout.grid for layout in places.values() if too_coarse(layout.grid)]
    notes = [*padding_notes(places)]
    if coarse:
        side = size_that_would_do(subject.preprocessing.size, coarse[-1])
        notes.append(
            f"{len(coarse)} of {len(places)} layers work on maps of {coarse[-1][0]} × {coarse[-1][1]} cells, "
            f"which show nothing; at {side} px they would"
        )
    return Finding(arrays=arrays, axes=dict.fromkeys(arrays, ("picture", "head")), notes=tuple(notes))


ATTENTION = Analysis(
    name="heads",
    title="Attention of every layer and head",
    sees="Where each head looks: from the class token, or what patches get on the mean where there is none; "
    "and what the patch in the middle sees, inside its window.",
    does_not_prove="That the answer rests on it: attention mixes values, and what a head takes from a place "
    "may count for nothing later.",
    applies=why_not,
    look=look,
)
