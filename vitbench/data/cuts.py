"""Pictures as models take them before they are normalised, batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vitbench.data.batches import Evaluation
from vitbench.data.made import decoded
from vitbench.data.prefetch import cores, in_batches
from vitbench.records import Array, Preprocessing


def cut_in_batches(
    root: Path, paths: Sequence[str], contents: Sequence[str], way: Preprocessing, batch: int
) -> Iterator[tuple[range, Array]]:
    """Places in `paths` with their pixels, uint8 (B, S, S, 3), decoded as everywhere and ahead of their use.

    contents: the sha256 of each file. Raises `LostPictureError` naming a file that is gone or another one.
    """
    evaluation = Evaluation(way)

    def cut(place: int) -> Array:
        return np.asarray(evaluation.cut(decoded(root / paths[place], contents[place], way.pixel_range)))

    batches = [range(first, min(first + batch, len(paths))) for first in range(0, len(paths), batch)]
    for places, found in zip(batches, in_batches(cut, batches, workers=cores()), strict=True):
        yield places, np.stack(found)
