"""What `vitbench cost` found of a benchmark's models at other sizes, for the report of the benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench import files
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import Results
from vitbench.errors import VitbenchError
from vitbench.narrative.sizes import affordable
from vitbench.narrative.words import amount, measured, share
from vitbench.reports.html_cells import Cell, Head, Line, Table, kept

MOST_TOLD = 3
"""Models in sentences; the table has all."""


@dataclass(frozen=True)
class Costed:
    """Sentences that go on from "Which size?" (`narrative.sizes`), and a table."""

    folder: str
    """Name of what `vitbench cost` left, beside the benchmark."""
    lines: tuple[str, ...]
    table: Table


@dataclass(frozen=True)
class Price:
    """One size of one network; None: not measured."""

    size: int
    windows: str
    macs: float
    ms: float | None
    mb: float | None


def costed(results: Results, comparison: Comparison) -> Costed | None:
    """The newest `cost-…` folder beside the benchmark that has one of its models; None where none has."""
    beside = results.first.benchmark.folder.parent.glob("cost-*/macs.csv")
    for path in sorted(beside, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            found = _told(path.parent, comparison.tested)
        except (OSError, KeyError, ValueError, VitbenchError):  # of another version, or somebody's own
            continue
        if found is not None:
            return found
    return None


def _told(folder: Path, tested: Sequence[Row]) -> Costed | None:
    prices = _prices(folder)
    rows = [row for row in tested if _network(row.timm_name) in prices and row.image_size]
    by_network = {_network(row.timm_name): row for row in reversed(rows)}
    if not by_network:
        return None
    models = [row for row in rows if by_network[_network(row.timm_name)] is row]
    lines = [_sentence(row, prices[_network(row.timm_name)]) for row in models[:MOST_TOLD]]
    for row in files.read_csv(folder / "afforded.csv"):
        if any(row["model"] in (one.model, one.of) for one in models):
            size, value = (float(row[name]) if row[name] else None for name in ("image_size", "value"))
            lines.append(affordable(row["model"], row["limit"], size, value))
    return Costed(folder.name, tuple(line for line in lines if line), _table(models, rows, prices))


def _network(timm_name: str) -> str:
    """Without what it was pretrained on: cost is a matter of shapes."""
    return timm_name.partition(".")[0]


def _prices(folder: Path) -> Mapping[str, list[Price]]:
    """By network its sizes, the smallest first; times and memory as timm runs it, of one picture."""
    timed = {
        (row["model"], row["image_size"]): row
        for row in sorted(files.read_csv(folder / "measured.csv"), key=lambda row: row["fused"] == "True")
        if row["batch"] == "1"
    }
    found: dict[str, list[Price]] = {}
    for row in files.read_csv(folder / "macs.csv"):
        there = timed.get((row["model"], row["image_size"]), {})
        ms, mb = (float(there[name]) if there else None for name in ("forward_ms", "forward_mb"))
        price = Price(int(row["image_size"]), row["windows"], float(row["macs"]), ms, mb)
        found.setdefault(_network(row["timm_name"]), []).append(price)
    return {name: sorted(prices, key=lambda one: one.size) for name, prices in found.items()}


def _own(row: Row, prices: Sequence[Price]) -> Price | None:
    """At the size that the model was trained at; multiply-adds are known without `cost` too."""
    there = next((one for one in prices if one.size == row.image_size), None)
    if there is None and row.gmacs and row.image_size:
        return Price(row.image_size, row.windows, 1e9 * row.gmacs, None, None)
    return there


def _sentence(row: Row, prices: Sequence[Price]) -> str:
    """The next larger size and the largest, against the own one; "" where there is none."""
    own, name = _own(row, prices), row.of or row.model
    larger = [one for one in prices if one.size > (row.image_size or 0)]
    if own is None or not larger:
        return ""
    each = [f"{one.size} px {_times(one, own)}" for one in dict.fromkeys((larger[0], larger[-1]))]
    return f"{name} would need, against {own.size} px, at {' and at '.join(each)}."


def _times(one: Price, own: Price) -> str:
    """ "3.7 times the multiply-adds and 3.9 times the time (117 ms)"."""
    work = f"{one.macs / own.macs:.2g} times the multiply-adds"
    if one.ms is None:
        return work
    took = f"({measured(one.ms)} ms)"
    return f"{work} {took}" if own.ms is None else f"{work} and {one.ms / own.ms:.2g} times the time {took}"


def _table(models: Sequence[Row], rows: Sequence[Row], prices: Mapping[str, Sequence[Price]]) -> Table:
    """A row per network and size; accuracy where it was trained at that size."""
    heads = (
        Head("model", False), Head("px", meaning="side of the picture"),
        Head("right, %", meaning="how many test pictures in 100 are named right, where it was trained so"),
        Head("windows", False), Head("GMACs", meaning="multiply-adds of one picture, 10⁹"),
        Head("ms", meaning="a forward pass of one picture, by `vitbench cost`"),
        Head("MB", meaning="tensors of that pass alive at once, weights left out"),
    )  # fmt: skip
    lines: list[Line] = []
    for model in models:
        network = _network(model.timm_name)
        at = {row.image_size: row for row in reversed(rows) if _network(row.timm_name) == network}
        lines += [_line(model.of or model.model, one, at.get(one.size)) for one in prices[network]]
    return kept("costed", "The same models at other sizes", heads, lines)


def _line(name: str, price: Price, row: Row | None) -> Line:
    ms, mb = (Cell("–") if value is None else Cell(measured(value), value) for value in (price.ms, price.mb))
    size, work = Cell(str(price.size), price.size), Cell(amount(price.macs / 1e9), price.macs)
    return Line((Cell(name), size, _right(row), Cell(price.windows), work, ms, mb))


def _right(row: Row | None) -> Cell:
    if row is None:
        return Cell("–")
    value, _, interval = share(row.metrics["top1"], row.n_test).partition(" % ")
    return Cell(value, row.top1, interval)
