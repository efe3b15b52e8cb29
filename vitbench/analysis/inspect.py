"""Every way to look into networks, and one look at several of them side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.analysis.activations import ACTIVATIONS
from vitbench.analysis.attention import ATTENTION
from vitbench.analysis.deletion import DELETION
from vitbench.analysis.distance import DISTANCE
from vitbench.analysis.filters import FILTERS
from vitbench.analysis.norms import NORMS
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.analysis.pooling import POOLING
from vitbench.analysis.positions import BIASES, POSITIONS, TEMPERATURES
from vitbench.analysis.saliency import KINDS
from vitbench.analysis.stages import STAGES
from vitbench.analysis.tokens import TOKEN_MASS
from vitbench.records.frames import by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

ANALYSES: tuple[Analysis, ...] = (
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
class Inspection:
    """What was found in several networks: `findings[analysis][network]`."""

    findings: Mapping[str, Mapping[str, Finding]]
    refusals: tuple[tuple[str, str, str], ...]
    """(network, analysis, why not, one line)."""

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
        return {**joined, "notes": self._notes()}

    def _notes(self) -> "DataFrame":
        """Refusals and approximations: a row each."""
        notes = [
            (model, analysis, note)
            for analysis, found in self.findings.items()
            for model, finding in found.items()
            for note in finding.notes
        ]
        return by_rows({"model": "string", "analysis": "string", "note": "string"}, [*self.refusals, *notes])


def inspect(
    seen: Iterable[Seen], report: Callable[[str], None] = lambda _: None, rows: Sequence[Analysis] = ANALYSES
) -> Inspection:
    """Look into each network in every way that applies to it, one network after the other.

    `report` hears which network is being looked into. Only one is needed at a time.
    """
    findings: dict[str, dict[str, Finding]] = {row.name: {} for row in rows}
    refusals: list[tuple[str, str, str]] = []
    for one in seen:
        for row in rows:
            report(f"{one.subject.name}: {row.title}")
            if reason := row.applies(one.subject):
                refusals.append((one.subject.name, row.name, reason))
                continue
            pictures = one.shown if row.over == "shown" else one.test
            findings[row.name][one.subject.name] = row.look(one.subject, pictures)
    return Inspection(findings, tuple(refusals))
