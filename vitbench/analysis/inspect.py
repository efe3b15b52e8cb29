"""Every way to look into networks, and one look at several of them side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.analysis.activations import ACTIVATIONS
from vitbench.analysis.answers import ANSWERS
from vitbench.analysis.attention import ATTENTION
from vitbench.analysis.deletion import DELETION
from vitbench.analysis.distance import DISTANCE
from vitbench.analysis.filters import FILTERS
from vitbench.analysis.norms import NORMS
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.analysis.patch_norms import PATCH_NORMS
from vitbench.analysis.pooling import POOLING
from vitbench.analysis.positions import BIASES, POSITIONS, TEMPERATURES
from vitbench.analysis.saliency import KINDS
from vitbench.analysis.stages import STAGES
from vitbench.analysis.tokens import TOKEN_MASS
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

ANALYSES: tuple[Analysis, ...] = (
    ANSWERS,
    *(kind.analysis for kind in KINDS),
    DELETION,
    ATTENTION,
    DISTANCE,
    STAGES,
    ACTIVATIONS,
    POSITIONS,
    BIASES,
    TEMPERATURES,
    FILTERS,
    TOKEN_MASS,
    POOLING,
    NORMS,
    PATCH_NORMS,
)
"""In the order in which they are shown."""


@dataclass(frozen=True)
class Seen:
    """A network with the pictures that it is looked at with."""

    subject: Subject
    shown: Pictures
    """The few that are shown."""
    test: Pictures
    """All that shares over pictures are measured on."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture that networks are looked at with; analyses number them from 1 in their order."""

    path: Path
    name: str
    label: str
    """Its class as its folder has it; "" where that is not known."""


BEFORE = "before"
"""In refusals, for an analysis: that of a network as it was before it was trained here."""
NOT_COMPARED = "what was learned is not compared with what was there before training"

MAP_COLUMNS = ("model", "map", "at", "rows", "columns", "values")


@dataclass(frozen=True)
class Inspection:
    """What was found in several networks: `findings[analysis][network]`."""

    findings: Mapping[str, Mapping[str, Finding]]
    refusals: tuple[tuple[str, str, str], ...]
    """(network, analysis, why not, one line); "" for all networks."""
    pictures: tuple[ShownPicture, ...] = ()

    @property
    def arrays(self) -> Mapping[str, Mapping[str, Array]]:
        """By network and name: maps, the last two axes rows and columns."""
        arrays: dict[str, dict[str, Array]] = {}
        for found in self.findings.values():
            for model, finding in found.items():
                arrays.setdefault(model, {}).update(finding.arrays)
        return arrays

    def map_rows(self) -> Iterator[dict[str, Any]]:
        """Maps as rows of `MAP_COLUMNS`: `at` such as "picture 1, head 2", values row by row, 4 digits."""
        import numpy as np

        for found in self.findings.values():
            for model, finding in found.items():
                for name, array in finding.arrays.items():
                    for index in np.ndindex(array.shape[:-2]):
                        axes = zip(finding.axes.get(name, ()), index, strict=False)
                        yield {
                            "model": model,
                            "map": name,
                            "at": ", ".join(f"{axis} {place + 1}" for axis, place in axes),
                            "rows": array.shape[-2],
                            "columns": array.shape[-1],
                            "values": " ".join(f"{value:.4g}" for value in array[index].flat),
                        }

    @property
    def frames(self) -> "Mapping[str, DataFrame]":
        """By name, those of all networks below one another, the column `model` first."""
        import pandas

        tables: dict[str, list[DataFrame]] = {}
        for found in self.findings.values():
            for model, finding in found.items():
                for name, table in finding.frames.items():
                    named = table.copy()
                    named.insert(0, "model", pandas.Series([model] * len(table), dtype="string"))
                    tables.setdefault(name, []).append(named)
        joined = {name: pandas.concat(each, ignore_index=True) for name, each in tables.items()}
        columns: dict[str, Dtype] = {"picture": "Int64", "path": "string", "label": "string"}
        shown = ((number, one.name, one.label) for number, one in enumerate(self.pictures, start=1))
        return {"pictures": by_rows(columns, shown), **joined, "notes": self._notes()}

    def _notes(self) -> "DataFrame":
        """Refusals and approximations: a row each."""
        columns: dict[str, Dtype] = {"model": "string", "analysis": "string", "note": "string"}
        return by_rows(columns, [*self.refusals, *self.notes])

    @property
    def notes(self) -> tuple[tuple[str, str, str], ...]:
        """(network, analysis, what to know of what was found there)."""
        return tuple(
            (model, analysis, note)
            for analysis, found in self.findings.items()
            for model, finding in found.items()
            for note in finding.notes
        )


def inspect(
    seen: Iterable[Seen], report: Callable[[str], None] = lambda _: None, rows: Sequence[Analysis] = ANALYSES
) -> Inspection:
    """Look into each network in every way that applies to it, one network after the other.

    `report` hears which network is being looked into. Only one is needed at a time.
    """
    findings: dict[str, dict[str, Finding]] = {row.name: {} for row in rows}
    refusals: list[tuple[str, str, str]] = []
    for one in seen:
        report(f"looking into {one.subject.name}")
        for row in rows:
            if reason := row.applies(one.subject):
                refusals.append((one.subject.name, row.name, reason))
                continue
            pictures = one.shown if row.over == "shown" else one.test
            findings[row.name][one.subject.name] = row.look(one.subject, pictures)
        compared = any(row.compares and one.subject.name in findings[row.name] for row in rows)
        before = one.subject.before() if compared else ""
        if isinstance(before, str) and before:
            refusals.append((one.subject.name, BEFORE, f"{NOT_COMPARED}: {before}"))
    return Inspection(findings, tuple(refusals))
