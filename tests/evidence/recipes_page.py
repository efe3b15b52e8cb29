"""The page of the recipe study, from the rows of recipes.py; what stands below the line on it stays."""

import itertools
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


class Against(NamedTuple):
    """A difference of accuracies, and its p adjusted over the table."""

    value: float
    low: float
    high: float
    p: float


class Told(NamedTuple):
    """A line of a table."""

    recipe: str
    draws: int
    pictures: int
    right: tuple[float, float, float]
    """Share, and its interval."""
    probe: Against | None
    default: Against | None
    loss: float


def told(rows: Sequence[Row], set_name: str, network: str) -> list[Told]:
    """The lines of one network on one set, the default's first."""
    mine = [row for row in rows if (row["set"], row["network"]) == (set_name, network)]
    defaults = {row["seed"]: row for row in mine if row["way"] == "default"}
    lines: list[tuple[str, Pooled, Array, float, Array | None, Array | None]] = []
    for way in dict.fromkeys(row["way"] for row in mine):
        one = pooled([row for row in mine if row["way"] == way], defaults)
        base = None if way == "default" else one.default
        lines.append((way, one, one.right, one.losses["right"], one.probe, base))
        if one.together is not None:
            loss = one.losses["together"]
            lines.append((f"{way}: probabilities instead", one, one.together, loss, one.probe, base))
        if way == "default":
            name, loss = "probe and default, probabilities averaged", one.losses["averaged"]
            lines.append((name, one, one.averaged, loss, one.probe, one.default))
            lines.append(("the probe", one, one.probe, one.losses["probe"], None, one.default))
    found = [
        [None if other is None else paired_difference(right, other, one.groups) for other in others]
        for _, one, right, _, *others in lines
    ]
    adjusted = iter(holm([each.p for pair in found for each in pair if each is not None]))
    out = []
    for (name, one, right, loss, *_), pair in zip(lines, found, strict=True):
        probe, default = (
            None if each is None else Against(each.value, each.low, each.high, next(adjusted))
            for each in pair
        )
        score = (float(right.mean()), *accuracy_interval(right, one.groups))
        out.append(Told(name, one.seeds, len(right), score, probe, default, loss))
    return out


def table(lines: Sequence[Told]) -> list[str]:
    """In Markdown."""

    def against(found: Against | None) -> str:
        return "–" if found is None else f"{in_points(*found[:3])}, {p_cell(found.p)}"

    out = [
        "| recipe | draws | held-out pictures | right % [95 %] | − probe, points [95 %], adjusted p "
        "| − default, points [95 %], adjusted p | log loss |",
        f"|{'---|' * 7}",
    ]
    for one in lines:
        score, low, high = (f"{100 * value:.1f}" for value in one.right)
        out.append(
            f"| {one.recipe} | {one.draws} | {one.pictures} | {score} [{low}, {high}] | {against(one.probe)} "
            f"| {against(one.default)} | {one.loss:.3f} |"
        )
    return out


def brings(tables: Mapping[tuple[str, str], Sequence[Told]]) -> str:
    """Which rows are clearly above their probe, and the one that is most so in each table."""
    clearly, most = list[str](), list[str]()
    for (set_name, network), lines in tables.items():
        where = f"{MODELS[network]}, {set_name}"
        beside = [(one.recipe, one.probe) for one in lines if one.probe is not None]
        clearly += [f"{name} ({where})" for name, it in beside if it.value > 0 and it.p <= ALPHA]
        name, best = max(beside, key=lambda pair: pair[1].value)
        most.append(f"{name} ({where}) {in_points(*best[:3])}")
    return (
        f"Clearly above their probe, p adjusted over their table: {'; '.join(clearly) or 'no row'}. "
        f"The largest difference in each table, picked as such and so flattered: {'; '.join(most)}."
    )


def verdict(rows: Sequence[Row], sets: Sequence[str]) -> str:
    """How often the default is clearly above its probe at each budget, Holm over a budget's pairings."""
    parts = []
    for way in dict.fromkeys(row["way"] for row in rows if row["way"] in ("default", "whole budget")):
        found, views = list[Difference](), dict[str, int]()
        for key in itertools.product(sets, MODELS):
            mine = [row for row in rows if (row["set"], row["network"]) == key and row["way"] == way]
            if mine:
                one, views = pooled(mine, {}), mine[0]["views"]
                found.append(paired_difference(one.right, one.probe, one.groups))
        adjusted = holm([one.p for one in found])
        clearly = sum(one.value > 0 and p <= ALPHA for one, p in zip(found, adjusted, strict=True))
        budget = f"{views['epochs']} epochs of {views['per_class']} views a class"
        parts.append(f"with {budget} on {clearly} of {len(found)}")
    return (
        f"Pairings of a network and a set on which the default recipe is clearly above its probe: "
        f"{', '.join(parts)} (p adjusted over them). The probe learned from train and val."
    )


ABOUT = """Generated by `tests/evidence/recipes.py` from recipes.jsonl; a call takes up where the last one
was broken off. Each row changes one thing of the default ({budget} where it says nothing else, {px} px,
batches of 32). 30 % of each set's pictures are held out, 15 % of the rest are val; ten neighbouring
frames of the apples stay together and count as one, as does a picture that several draws hold out;
`grocery_apples/test` took no part. The probe learned from train and val, the recipes from train alone,
but for rows that say otherwise. p: exact test over those groups, Holm over the table."""


def page(rows: Sequence[Row], cells: Cells, sets: Sequence[str], kept: str) -> str:
    """The page in Markdown."""
    short = [row for row in rows if row["way"] == "default"]
    about: Row = short[0] if short else {"px": 112, "views": {"epochs": 3, "per_class": 40}}
    budget = f"{about['views']['epochs']} epochs of {about['views']['per_class']} views a class"
    pairs = dict.fromkeys((row["set"], row["network"]) for row in rows)
    tables = {pair: told(rows, *pair) for pair in sorted(pairs, key=lambda pair: sets.index(pair[0]))}
    lines = [
        "# Which fine-tuning recipe",
        "",
        *([verdict(rows, sets), "", brings(tables)] if short else ["Not measured yet."]),
        "",
        ABOUT.format(budget=budget, px=about["px"]),
    ]
    for (set_name, network), found in tables.items():
        lines += ["", f"## {MODELS[network]}, {set_name}", "", *table(found)]
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
