"""Maps of what an answer rests on: a row of `KINDS` each, drawn, checked by deletion and explained alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vitbench.analysis import gradcam, layout, rollout
from vitbench.analysis.layout import class_rows, empty, layouts
from vitbench.analysis.looking import looking, seeing
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records import Array

LEAST_CELLS = 4
"""A map of fewer rows or columns shows nothing."""


@dataclass(frozen=True)
class MapKind:
    """One kind of map."""

    name: str
    title: str
    sees: str
    does_not_prove: str
    of_class: bool
    """It is another one for another class."""
    applies: Callable[[Subject], str]
    make: Callable[[Subject, Tensor, Tensor], Tensor]
    """(B, 3, S, S) pictures and (B,) classes → (B, rows, columns) ≥ 0."""

    def why_not(self, subject: Subject) -> str:
        """ "" where it can be made and has enough cells, else the reason why not, one line."""
        if reason := self.applies(subject):
            return reason
        blank = empty(subject)
        _, rows, columns = self.make(
            subject, blank, torch.zeros(1, dtype=torch.int64, device=blank.device)
        ).shape
        if too_coarse((rows, columns)):
            side = subject.preprocessing.size
            return (
                f"its map has {rows} × {columns} cells at {side} px, too few to say anything; "
                f"trained at {size_that_would_do(side, (rows, columns))} px it would have enough"
            )
        return ""

    @property
    def analysis(self) -> Analysis:
        """The kind as a way to look into networks."""
        return Analysis(self.name, self.title, self.sees, self.does_not_prove, self.why_not, self._look)

    def _look(self, subject: Subject, pictures: Pictures) -> Finding:
        """Array NAME (picture, rows, columns); of a class NAME-answered and NAME-label, NaN: not known."""
        import numpy as np

        found: dict[str, list[Array]] = {}
        for places, batch in pictures.batches():
            labels = torch.as_tensor(pictures.labels[places], device=batch.device)
            asked = {"answered": answered(subject, batch), "label": labels} if self.of_class else {"": labels}
            for suffix, classes in asked.items():
                maps = self.make(subject, batch, classes.clamp(min=0)).cpu().numpy()
                if suffix == "label":
                    maps[pictures.labels[places] < 0] = np.nan
                found.setdefault(f"{self.name}-{suffix}".removesuffix("-"), []).append(maps)
        arrays = {name: np.concatenate(parts) for name, parts in found.items()}
        return Finding(arrays=arrays, axes=dict.fromkeys(arrays, ("picture",)))


def answered(subject: Subject, batch: Tensor) -> Tensor:
    """(B,) int64: the class that the network names."""
    with looking(subject.module), torch.no_grad():
        return torch.as_tensor(subject.module(batch).argmax(-1))


def too_coarse(grid: tuple[int, int]) -> bool:
    """A map of so few cells shows nothing."""
    return min(grid) < LEAST_CELLS


def size_that_would_do(side: int, grid: tuple[int, int]) -> int:
    """The picture's side, px, at which such a map would have enough cells."""
    return -(-LEAST_CELLS * side // min(grid))


def _last_attention(subject: Subject, batch: Tensor, classes: Tensor) -> Tensor:
    """The last block's, mean over heads: of the class token, or what patches get."""
    model: Any = subject.module
    name, last = list(layouts(model).items())[-1]
    kept: list[Tensor] = []

    def keep(block: str, probabilities: Tensor) -> None:
        if block == name:
            kept.append(last.received(probabilities, class_rows(model)).mean(1))

    with seeing(model, keep):
        model(batch)
    return kept[0]


KINDS = (
    MapKind(
        name="attention",
        title="Attention of the last layer",
        sees="Where the last layer looks, on the mean over its heads, whatever the answer.",
        does_not_prove="What speaks for a class: it is the same map for every class.",
        of_class=False,
        applies=layout.why_not,
        make=_last_attention,
    ),
    MapKind(
        name="rollout",
        title="Attention rollout",
        sees="Where the last layer's view comes from, followed back through all layers, windows and shifts, "
        "half of it along the residual.",
        does_not_prove="What speaks for a class: it is the same map for every class, and leaves out what "
        "values and MLPs do.",
        of_class=False,
        applies=layout.why_not,
        make=lambda subject, batch, classes: rollout.rollout(subject, batch),
    ),
    MapKind(
        name="gradcam",
        title="Grad-CAM: what speaks for the class answered, and for the right one",
        sees="Which cells of the last map raise a class, for the answer and for the label.",
        does_not_prove="That the network needs these cells: the deletion check says how much goes with them.",
        of_class=True,
        applies=gradcam.why_not,
        make=gradcam.gradcam,
    ),
)
