"""The page of the statistics' simulation: rates over grids, and their tables."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[Any]
SEED = 20_000
Before = Mapping[str, tuple[float, float]]
"""Name of a rate → its mean and its worst cell before a change."""
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
    unit: str = "%"
    """"%" of a share, or "nats" of log loss."""

    def add(self, cell: Mapping[str, Any], share: Any, width: Any = float("nan")) -> None:
        self.cells.append(cell)
        self.shares.append(float(share))
        self.widths.append(float(width))

    def add_intervals(self, cell: Mapping[str, Any], limits: Array, truth: float | Array) -> None:
        """limits (R, 2); truth a number or (R,)."""
        low, high = np.asarray(limits, dtype=float).T
        self.add(cell, np.mean((low <= truth) & (truth <= high)), np.mean(high - low))

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Rate":
        """The rate that a stored section holds."""
        widths = [float("nan") if width is None else width for width in content["widths"]]
        return cls(**{**content, "widths": widths})

    def text(self, value: float) -> str:
        return percent(value) if self.unit == "%" else f"{value:+.4f} {self.unit}".replace("-", "−")

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
    limit: float | None = None
    """Another target than the page's own."""
    every_cell: bool = False
    """The target holds for each cell by itself, up to two Monte Carlo errors, not for the mean."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Section":
        """The section whose `stored` this is."""
        return cls(**{**content, "rates": [Rate.read(rate) for rate in content["rates"]]})

    def stored(self) -> dict[str, Any]:
        """As JSON; widths that are not known are null."""
        content = asdict(self)
        for rate in content["rates"]:
            rate["widths"] = [None if np.isnan(w) else round(w, 5) for w in rate["widths"]]
            rate["shares"] = [round(share, 5) for share in rate["shares"]]
        return content

    @property
    def target(self) -> float:
        if self.limit is not None:
            return self.limit
        return TARGET_COVERAGE if self.coverage else TARGET_FALSE

    @property
    def goal(self) -> str:
        what = "each cell" if self.every_cell else "mean"
        return f"{what} {'≥' if self.coverage else '≤'} {self.rates[0].text(self.target)}"

    def meets(self, rate: "Rate") -> bool:
        """Whether a rate of this section reaches its target."""
        if not self.every_cell:
            return rate.mean >= self.target if self.coverage else rate.mean <= self.target
        worst, _ = rate.extreme(lowest=self.coverage)
        share = rate.runs and rate.unit == "%"
        slack = 2 * np.sqrt(self.target * (1 - self.target) / rate.runs) if share else 0.0
        return bool(worst >= self.target - slack if self.coverage else worst <= self.target + slack)


@dataclass(frozen=True)
class Part:
    """One function of a module and how much of it makes the page."""

    stream: int
    """Of random numbers; no two parts have the same."""
    runs: int
    """Per cell."""
    sections: Callable[[np.random.Generator, int], Section | list[Section]]

    def simulate(self, scale: float) -> list[Section]:
        """scale 1: the runs per cell of the page."""
        rng = np.random.default_rng([SEED, self.stream])
        found = self.sections(rng, max(4, round(self.runs * scale)))
        return [found] if isinstance(found, Section) else found


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def monte_carlo(rate: Rate) -> str:
    """How well a cell is known."""
    if not rate.runs:
        return "computed exactly"
    if rate.unit != "%":
        return f"{rate.runs} runs per cell"
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
            off = sum(s < section.target if section.coverage else s > section.target for s in rate.shares)
            lines.append(
                f"| {rate.name} | {len(rate.cells)} | {rate.runs or 'exact'} | {rate.text(rate.mean)} "
                f"| {rate.text(worst)} | {where} | {off} | {section.goal} "
                f"| {'yes' if section.meets(rate) else '**no**'} |"
            )
    return lines


def details(section: Section) -> list[str]:
    """Words, then a table per rate: its mean by each factor of the grid."""
    lines = [f"## {section.title}", "", section.words, ""]
    for rate in section.rates:
        widths = not all(np.isnan(rate.widths))
        lines += [
            f"**{rate.name}**: mean {rate.text(rate.mean)} over {len(rate.cells)} cells; "
            f"{monte_carlo(rate)}.",
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
                three = " | ".join(rate.text(value) for value in (mean, low, high))
                lines.append(f"| {factor} | {level} | {three} |{shown}")
        lines.append("")
    return lines


def changes(sections: Sequence[Section], before: Before) -> list[str]:
    """The table before / after; [] where nothing is known from before."""
    lines = []
    for section in sections:
        for rate in section.rates:
            if rate.name in before:
                old_mean, old_worst = before[rate.name]
                worst, where = rate.extreme(lowest=section.coverage)
                four = " | ".join(rate.text(value) for value in (old_mean, old_worst, rate.mean, worst))
                lines.append(f"| {rate.name} | {four} | {where} |")
    if not lines:
        return []
    head = "| what | mean before | worst cell before | mean now | worst cell now | which |"
    return ["## Before and after", "", BEFORE_WORDS, "", head, "|---|---|---|---|---|---|", *lines, ""]


BEFORE_WORDS = "What the same simulation found in version 5bac591; each on its own grid, as below."


def page(sections: Sequence[Section], before: Before) -> str:
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    missed = [line for line in summary(sections)[2:] if line.endswith("**no** |")]
    verdict = "Every target is met." if not missed else "One target is missed; it says **no**."
    if len(missed) > 1:
        verdict = f"{len(missed)} targets are missed; they say **no**."
    opening = [
        "# Can the intervals and verdicts be believed? A simulation",
        "",
        f"Generated by `python tests/evidence/simulate_statistics.py` (seed {SEED}; {versions}); a change "
        "of the statistics should come with a new run.",
        "",
        "Made-up models answer made-up pictures, so that the truth is known; vitbench's own functions judge "
        "them. *Coverage* is the share of benchmarks whose 95 % interval holds the truth. An interval from "
        "whole counts cannot hold 95 % everywhere: the target is a mean of at least "
        f"{percent(TARGET_COVERAGE)} over a stated grid, and the worst cell is named; *each cell* where the "
        "target holds for every cell by itself (up to two Monte Carlo errors). "
        'A *false "better"* is a verdict where no difference is; the target is at most '
        f"{percent(TARGET_FALSE)} of tables, on the mean of the grid. *Cells off* counts the cells that are "
        f"beyond the target by themselves. {verdict}",
        "",
    ]
    lines = [*opening, *summary(sections), "", *changes(sections, before)]
    for section in sections:
        lines += details(section)
    return "\n".join(lines).rstrip() + "\n"
