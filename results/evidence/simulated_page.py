"""The page of the statistics' simulation: rates over grids, and their tables."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[Any]
SEED = 20_000
TARGET_COVERAGE, TARGET_FALSE = 0.93, 0.05


@dataclass
class Rate:
    """How often something happened in every cell of a grid."""

    name: str
    runs: int
    """Per cell; 0: computed exactly."""
    cells: list[Mapping[str, Any]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, cell: Mapping[str, Any], share: Any, width: Any = float("nan")) -> None:
        self.cells.append(cell)
        self.shares.append(float(share))
        self.widths.append(float(width))

    def add_intervals(self, cell: Mapping[str, Any], limits: Array, truth: float | Array) -> None:
        """limits (R, 2); truth a number or (R,)."""
        low, high = np.asarray(limits, dtype=float).T
        self.add(cell, np.mean((low <= truth) & (truth <= high)), np.mean(high - low))

    @property
    def mean(self) -> float:
        return float(np.mean(self.shares))

    def extreme(self, *, lowest: bool) -> tuple[float, str]:
        place = int(np.argmin(self.shares) if lowest else np.argmax(self.shares))
        return self.shares[place], ", ".join(f"{k} {v}" for k, v in self.cells[place].items())

    def by(self, factor: str) -> Iterator[tuple[Any, float, float, float, float]]:
        """(level, mean, lowest, highest, mean width) for each level of a factor."""
        for level in dict.fromkeys(cell[factor] for cell in self.cells):
            own = [i for i, cell in enumerate(self.cells) if cell[factor] == level]
            shares = [self.shares[i] for i in own]
            width = float(np.mean([self.widths[i] for i in own]))
            yield level, float(np.mean(shares)), min(shares), max(shares), width


@dataclass
class Section:
    """A part of the page."""

    title: str
    words: str
    rates: list[Rate]
    coverage: bool = True
    """False: shares of false verdicts, or of power."""
    judged: int | None = None
    """So many of the rates have a target (None: all); the others stand beside them."""


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def monte_carlo(rate: Rate) -> str:
    """How well a cell is known."""
    if not rate.runs:
        return "computed exactly"
    p = TARGET_COVERAGE if rate.mean > 0.5 else TARGET_FALSE
    error = 100 * np.sqrt(p * (1 - p) / rate.runs)
    return f"{rate.runs} runs per cell, which is known to about ± {error:.1f} points (one standard error)"


def summary(sections: Sequence[Section]) -> list[str]:
    """The first table: every rate that has a target."""
    lines = [
        "| what | cells | runs per cell | mean | worst cell | which | cells off | target | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for section in sections:
        for rate in section.rates[: section.judged]:
            worst, where = rate.extreme(lowest=section.coverage)
            goal = (
                f"mean ≥ {percent(TARGET_COVERAGE)}"
                if section.coverage
                else f"mean ≤ {percent(TARGET_FALSE)}"
            )
            off = sum(s < TARGET_COVERAGE if section.coverage else s > TARGET_FALSE for s in rate.shares)
            met = rate.mean >= TARGET_COVERAGE if section.coverage else rate.mean <= TARGET_FALSE
            lines.append(
                f"| {rate.name} | {len(rate.cells)} | {rate.runs or 'exact'} | {percent(rate.mean)} "
                f"| {percent(worst)} | {where} | {off} | {goal} | {'yes' if met else '**no**'} |"
            )
    return lines


def details(section: Section) -> list[str]:
    """Words, then a table per rate: its mean by each factor of the grid."""
    lines = [f"## {section.title}", "", section.words, ""]
    for rate in section.rates:
        widths = not all(np.isnan(rate.widths))
        lines += [
            f"**{rate.name}**: mean {percent(rate.mean)} over {len(rate.cells)} cells; {monte_carlo(rate)}.",
            "",
            "| by | level | mean | lowest cell | highest cell |"
            + (" mean width, points |" if widths else ""),
            "|---|---|---|---|---|" + ("---|" if widths else ""),
        ]
        for factor in rate.cells[0]:
            if factor == "pictures" and len({c["pictures"] for c in rate.cells}) > 8:
                continue
            for level, mean, low, high, width in rate.by(factor):
                shown = f" {100 * width:.1f} |" if widths else ""
                lines.append(
                    f"| {factor} | {level} | {percent(mean)} | {percent(low)} | {percent(high)} |{shown}"
                )
        lines.append("")
    return lines


def page(sections: Sequence[Section]) -> str:
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    missed = [line for line in summary(sections)[2:] if line.endswith("**no** |")]
    verdict = "Every target is met." if not missed else f"{len(missed)} targets are missed; they say **no**."
    opening = [
        "# Can the intervals and verdicts be believed? A simulation",
        "",
        f"Generated by `python results/evidence/simulate_statistics.py` (seed {SEED}; {versions}); a change "
        "of the statistics should come with a new run.",
        "",
        "Made-up models answer made-up pictures, so that the truth is known; vitbench's own functions judge "
        "them. *Coverage* is the share of benchmarks whose 95 % interval holds the truth. An interval from "
        "whole counts cannot hold 95 % everywhere: the target is a mean of at least "
        f"{percent(TARGET_COVERAGE)} over a stated grid, and the worst cell is named. "
        'A *false "better"* is a verdict where no difference is; the target is at most '
        f"{percent(TARGET_FALSE)} of tables, on the mean of the grid. *Cells off* counts the cells that are "
        f"beyond the target by themselves. {verdict}",
        "",
    ]
    lines = opening + summary(sections) + [""]
    for section in sections:
        lines += details(section)
    return "\n".join(lines).rstrip() + "\n"
