"""The tables of the page of `inspect`."""

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from vitbench.analysis.nouns import Finding
from vitbench.narrative.words import p_digits, points
from vitbench.records import percent
from vitbench.records.frames import rows_of_frame
from vitbench.reports.columns import interval
from vitbench.reports.html_cells import Axis, Cell, Head, Line, Table
from vitbench.reports.meanings import meant

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_ROWS = 60
"""Of a table in the page; all are in its csv."""


def deletion_table(each: Mapping[str, Finding]) -> Table:
    """Per network and kind of map what the answer loses without its first quarter, and without others."""
    rows = [(model, row) for model, one in each.items() for row in one.frames["deletion"].to_dict("records")]
    ends = [
        abs(row[f"over_centre{end}"])
        for _, row in rows
        for end in ("", "_low", "_high")
        if _known(row[f"over_centre{end}"])
    ]
    reach = max(0.05, math.ceil(20 * max(ends, default=0.0)) / 20)
    axis = Axis(-reach, reach)
    heads = (
        Head("network", False),
        Head("map", False),
        Head("its first quarter", meaning="points of probability that the answer loses, mean, when "
             "the quarter of the picture that the map ranks highest is blurred"),
        Head("its last", meaning="the same for the quarter that the map ranks lowest"),
        Head("a random one", meaning="the same for a quarter drawn at random"),
        Head("the centre", meaning="the same for the quarter nearest to the middle of the picture"),
        Head("first − centre, points", axis=(f"−{100 * reach:.0f}", f"+{100 * reach:.0f}"),
             meaning="how much more the map's first quarter takes than the centre does, paired by picture"),
        Head("is the map true?", False),
    )  # fmt: skip
    return Table(
        "deletion",
        "What the answer loses without parts of the picture",
        heads,
        tuple(_deleted(*one, axis) for one in rows),
    )


MEANS = 1000
"""Means of probabilities have a decimal, as shares of so many pictures have."""


def _deleted(model: str, row: Mapping[str, Any], axis: Axis) -> Line:
    over, low, high = (row[f"over_centre{end}"] for end in ("", "_low", "_high"))
    known = _known(low) and _known(high)
    limits = interval(low, high, partial(points, n=MEANS)) if known else ""
    lost = interval(row["lost_low"], row["lost_high"], _lost) if _known(row["lost_low"]) else ""
    return Line((
        Cell(model), Cell(row["map"]), Cell(_lost(row["lost"]), row["lost"], lost),
        *(Cell(_lost(row[name]), row[name]) for name in ("lost_lowest", "lost_random", "lost_centre")),
        Cell(points(over, MEANS), over, limits, axis.bar(low, high, over, 0.0) if known else None),
        Cell(_judged(row, known)),
    ))  # fmt: skip


def _lost(value: float) -> str:
    return percent(value).replace("-", "−")


def _judged(row: Mapping[str, Any], known: bool) -> str:
    if not known:
        return "too few pictures to tell"
    if row["over_centre_low"] > 0:
        return "says more than the centre"
    if row["over_centre_high"] < 0:
        return "says less than the centre"
    return "not shown to beat it"


def stage_table(model: str, table: "DataFrame") -> Table:
    """A network's parts in the order of the forward pass."""
    heads = (
        Head("part", False),
        Head("map", meaning="rows × columns of the part's output"),
        Head("channels", meaning="of its output; of a patch merging behind those of the four that it joins"),
        Head("blocks", meaning="blocks in the stage"),
        Head("heads", meaning="attention heads of each block"),
        Head("window", meaning="side of the windows that attention stays in, tokens, and their shift"),
        Head("padded to", meaning="rows × columns with the zeros that windows need"),
        Head("params, M", meaning="millions of weights"),
        Head("GMACs", meaning="billions of multiplications with addition for one picture"),
    )  # fmt: skip
    lines = []
    for row in rows_of_frame(table):
        grid = f"{row['rows']} × {row['columns']}" if row["rows"] else ""
        channels = " → ".join(str(c) for c in (row["channels_in"], row["channels"]) if c)
        shift = f", shift {row['shift']}" if row["shift"] and str(row["shift"]) not in ("0", "0 × 0") else ""
        padded = f"{row['padded_rows']} × {row['padded_columns']}" if row["padded_rows"] else ""
        lines.append(Line((
            Cell(row["part"]), Cell(grid, row["tokens"]), Cell(channels, row["channels"]),
            Cell(str(row["blocks"] or "")), Cell(str(row["heads"] or "")),
            Cell(f"{row['window']}{shift}" if row["window"] else ""), Cell(padded),
            Cell(f"{row['params'] / 1e6:.2f}", row["params"]), Cell(f"{row['macs'] / 1e9:.2f}", row["macs"]),
        )))  # fmt: skip
    filled = [i for i in range(len(heads)) if i == 0 or any(line.cells[i].text for line in lines)]
    slim = tuple(Line(tuple(line.cells[i] for i in filled)) for line in lines)
    return Table(f"stages-{model}", f"The parts of {model}", tuple(heads[i] for i in filled), slim)


def pooling_tables(each: Mapping[str, Finding]) -> tuple[Table, ...]:
    """Each pooling's accuracy, then the pair's difference with its test; () where nothing was measured."""
    measured = {model: one for model, one in each.items() if "pooling" in one.frames}
    if not measured:
        return ()
    rows = [(m, row) for m, one in measured.items() for row in one.frames["pooling"].to_dict("records")]
    tested = {model: row["n_test"] for model, row in rows}
    axis = Axis.over([row[name] for _, row in rows for name in ("top1_low", "top1_high")])
    lines = tuple(
        Line((
            Cell(model), Cell(row["pooling"] + (" (its own)" if row["own"] else "")),
            Cell(percent(row["top1"]), row["top1"], interval(row["top1_low"], row["top1_high"]),
                 axis.bar(row["top1_low"], row["top1_high"], row["top1"])),
        ))
        for model, row in rows
    )  # fmt: skip
    heads = (
        Head("network", False), Head("what the head reads", False),
        Head("right, %", axis=axis.ends, meaning="how many test pictures in 100 are named right"),
    )  # fmt: skip
    tests = [(m, row) for m, one in measured.items() for row in one.frames["pooling_pair"].to_dict("records")]
    paired = tuple(
        Line((
            Cell(model), Cell(f"{row['a']} − {row['b']}"),
            Cell(
                points(row["difference"], tested[model]), row["difference"],
                interval(row["low"], row["high"], partial(points, n=tested[model])),
            ),
            Cell(str(row["a_only"]), row["a_only"]), Cell(str(row["b_only"]), row["b_only"]),
            Cell(p_digits(row["p"]), row["p"]),
        ))
        for model, row in tests
    )  # fmt: skip
    pair_heads = (
        Head("network", False), Head("difference", False),
        Head("points", meaning="how many more of 100 test pictures the first one names right"),
        Head("only first right", meaning="test pictures"), Head("only second right", meaning="test pictures"),
        meant("p"),
    )  # fmt: skip
    return (
        Table("pooling", "What a linear head reads off the frozen network", heads, lines),
        Table("pooling_pair", "The same pictures, both poolings", pair_heads, paired),
    )


def frame_table(name: str, title: str, each: Mapping[str, Finding]) -> Table:
    """A frame as it is, the networks below one another."""
    frames = {model: one.frames[name] for model, one in each.items() if name in one.frames}
    columns = list(dict.fromkeys(column for table in frames.values() for column in table.columns))
    numeric = [any(c in t and t[c].dtype.kind in "fiu" for t in frames.values()) for c in columns]
    heads = (
        Head("network", False), *(Head(c.replace("_", " "), n) for c, n in zip(columns, numeric, strict=True))
    )  # fmt: skip
    lines = [
        Line((Cell(model), *(_cell(row.get(column)) for column in columns)))
        for model, table in frames.items()
        for row in table.to_dict("records")
    ]
    return Table(name, title, heads, tuple(lines[:MOST_ROWS]))


def _cell(value: Any) -> Cell:
    if not _known(value):
        return Cell("–")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, float):
        return Cell(f"{value:.3g}", value)
    return Cell(
        f"{value:,}" if isinstance(value, int) and value > 9999 else str(value),
        float(value) if isinstance(value, int) else None,
    )


def _known(value: Any) -> bool:
    """Neither None, NaN nor pandas' NA."""
    return value is not None and value == value and str(value) != "<NA>"
