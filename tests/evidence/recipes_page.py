"""The page of the recipe study, from the rows of recipes.py; what stands below the line on it stays."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from pages import PAGES, in_points

from vitbench import files
from vitbench.comparison.statistics import ALPHA, Difference, accuracy_interval, holm, paired_difference
from vitbench.narrative.words import p_cell
from vitbench.records import Array

PAGE = PAGES / "recipes.md"
KEPT = "# Earlier: a lab note"
MODELS = {"cnn": "tf_efficientnet_lite0", "vit": "vit_small_patch14_dinov2"}
Row = Mapping[str, Any]
Cells = Sequence[tuple[str, str]]
"""Ways and networks that there are."""


class Pooled(NamedTuple):
    """A way over its draws; a picture that two draws hold out is in one group with itself."""

    right: Array
    probe: Array
    averaged: Array
    together: Array | None
    """Of several trainings, their probabilities averaged; None of one."""
    default: Array | None
    """The default's answers to the same pictures; None where a draw of it lacks."""
    groups: Array
    seeds: int
    losses: Mapping[str, float]


def pooled(rows: Sequence[Row], defaults: Mapping[int, Row]) -> Pooled:
    """The draws of one way, one network and one set, one after the other."""

    def joined(name: str) -> Array:
        return np.concatenate([np.array(row[name], bool) for row in rows])

    blocks = _blocks(rows)
    same = all(row["seed"] in defaults and defaults[row["seed"]]["paths"] == row["paths"] for row in rows)
    base = [np.array(defaults[row["seed"]]["right"], bool) for row in rows] if same else []
    losses = {name: float(np.mean([row["loss"][name] for row in rows])) for name in rows[0]["loss"]}
    return Pooled(
        joined("right"), joined("probe"), joined("averaged"),
        joined("together") if "together" in losses else None,
        np.concatenate(base) if base else None, blocks, len(rows), losses,
    )  # fmt: skip


def _blocks(rows: Sequence[Row]) -> Array:
    """(n,) ints: pictures that stand in one block of any draw, and a picture in two draws, are one group."""
    group: dict[str, int] = {}
    for row in rows:
        members: dict[int, list[str]] = {}
        for path, block in zip(row["paths"], row["groups"], strict=True):
            members.setdefault(block, []).append(path)
        for paths in members.values():
            old = {group[path] for path in paths if path in group}
            new = min(old, default=len(group))
            group |= {path: new for path, one in group.items() if one in old} | dict.fromkeys(paths, new)
    return np.array([group[path] for row in rows for path in row["paths"]])


def table(rows: Sequence[Row], set_name: str, network: str) -> list[str]:
    """The table of one network on one set."""
    mine = [row for row in rows if (row["set"], row["network"]) == (set_name, network)]
    defaults = {row["seed"]: row for row in mine if row["way"] == "default"}
    ways = {
        way: pooled([row for row in mine if row["way"] == way], defaults)
        for way in dict.fromkeys(row["way"] for row in mine)
    }
    lines: list[Told] = []
    for way, one in ways.items():
        base = None if way == "default" else one.default
        lines.append(_told(way, one, one.right, one.losses["right"], (one.probe, base)))
        if one.together is not None:
            name, loss = f"{way}: probabilities instead", one.losses["together"]
            lines.append(_told(name, one, one.together, loss, (one.probe, base)))
        if way == "default":
            name, loss = "probe and default, probabilities averaged", one.losses["averaged"]
            lines.append(_told(name, one, one.averaged, loss, (one.probe, one.default)))
            lines.append(_told("the probe", one, one.probe, one.losses["probe"], (None, one.default)))
    adjusted = iter(holm([found.p for line in lines for found in line.differences if found is not None]))
    out = [
        "| recipe | draws | held-out pictures | right % [95 %] | − probe, points [95 %], adjusted p "
        "| − default, points [95 %], adjusted p | log loss |",
        f"|{'---|' * 7}",
    ]
    for line in lines:
        cells = [
            "–" if found is None else f"{in_points(*found[:3])}, {p_cell(next(adjusted))}"
            for found in line.differences
        ]
        out.append(f"{line.start} | {' | '.join(cells)} | {line.loss:.3f} |")
    return out


class Told(NamedTuple):
    """A line of the table, before p-values are adjusted over all of it."""

    start: str
    differences: Sequence[Difference | None]
    """To the probe, and to the default."""
    loss: float


def _told(name: str, one: Pooled, right: Array, loss: float, others: Sequence[Array | None]) -> Told:
    low, high = accuracy_interval(right, one.groups)
    score = f"{100 * right.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    differences = [None if other is None else paired_difference(right, other, one.groups) for other in others]
    return Told(f"| {name} | {one.seeds} | {len(right)} | {score}", differences, loss)


def verdict(rows: Sequence[Row], sets: Sequence[str]) -> str:
    """How often the default is clearly above the probe that saw the same pictures, Holm over the pairings."""
    told: list[Difference] = []
    for set_name in sets:
        for network in dict.fromkeys(row["network"] for row in rows):
            key = (set_name, network, "default")
            mine = [row for row in rows if (row["set"], row["network"], row["way"]) == key]
            if mine:
                one = pooled(mine, {})
                told.append(paired_difference(one.right, one.probe, one.groups))
    adjusted = holm([found.p for found in told])
    clearly = sum(found.value > 0 and p <= ALPHA for found, p in zip(told, adjusted, strict=True))
    return (
        f"At this budget the default is clearly above its probe, which learned from train and val, on "
        f"{clearly} of {len(told)} pairings of a network and a set (p adjusted over them)."
    )


ABOUT = """Generated by `tests/evidence/recipes.py` from recipes.jsonl; a call takes up where the last one
was broken off. Each row changes one thing of the default ({budget} where it says nothing else, {px} px,
batches of 32). 30 % of each set's pictures are held out, 15 % of the rest are val; ten neighbouring
frames of the apples stay together and count as one, as does a picture that several draws hold out;
`grocery_apples/test` took no part. The probe learned from train and val, the recipes from train alone. p:
exact test over those groups, Holm over the table."""


def page(rows: Sequence[Row], cells: Cells, sets: Sequence[str], kept: str) -> str:
    """The page in Markdown."""
    short = [row for row in rows if row["way"] == "default"]
    about: Row = short[0] if short else {"px": 112, "views": {"epochs": 3, "per_class": 40}}
    budget = f"{about['views']['epochs']} epochs of {about['views']['per_class']} views a class"
    lines = [
        "# Which fine-tuning recipe",
        "",
        verdict(rows, sets) if short else "Not measured yet.",
        "",
        ABOUT.format(budget=budget, px=about["px"]),
    ]
    for set_name in sets:
        for network in dict.fromkeys(row["network"] for row in rows):
            if any((row["set"], row["network"]) == (set_name, network) for row in rows):
                lines += ["", f"## {MODELS[network]}, {set_name}", "", *table(rows, set_name, network)]
    there = {(row["way"], row["network"], row["set"]) for row in rows}
    every = [(way, network, one) for way, network in cells for one in sets]
    gone = [f"{way} ({network}, {one})" for way, network, one in every if (way, network, one) not in there]
    lines += [
        "",
        "## Not measured",
        "",
        f"{'; '.join(gone)}." if gone else "Every cell has at least one draw.",
        "",
        "Nor were a pretrained Swin and 224 px.",
        "",
        f"Linux x86-64, PyTorch {version('torch')}, timm {version('timm')}, one thread.",
        "",
        kept,
    ]
    return "\n".join(lines).rstrip() + "\n"


def write(rows: Sequence[Row], cells: Cells, sets: Sequence[str]) -> None:
    """Write the page; what was below the line stays."""
    text = PAGE.read_text(encoding="utf-8")
    files.write_text(PAGE, page(rows, cells, sets, text[text.index(KEPT) :]))
