"""The page of what other tools did beside vitbench, from the rows of peers.py."""

import ast
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pages import PAGES, in_points, kept_rows

from vitbench import files
from vitbench.comparison.statistics import ALPHA, accuracy_interval, holm, paired_difference
from vitbench.narrative.words import p_cell
from vitbench.records import Array

PAGE = PAGES / "peers.md"
OURS, OURS_RANDOM = "vitbench", "vitbench, random weights"
SCRIPTS = {
    OURS: "peers_vitbench.py",
    "fastai": "peers_fastai.py",
    "timm's train.py": "peers_timm.py",
    "LightlyTrain": "peers_lightly.py",
    "Ultralytics, random weights": "peers_ultralytics.py",
}
NOT_MEASURED = {
    "AutoGluon-MultiModal": "1.6.3 asks for timm < 1.0.7 and torch < 2.14, another timm and another PyTorch "
    "than all others here, and some sixty packages",
}
Row = Mapping[str, Any]


class Beside(NamedTuple):
    """A tool against vitbench on the same test pictures; fractions."""

    name: str
    value: float
    low: float
    high: float
    p: float
    adjusted: float


def right(row: Row) -> Array:
    """(n,) bool: which of the test pictures of a call were named right; one without an answer is wrong."""
    return np.array([row["answers"].get(path) == Path(path).parts[1] for path in row["asked"]])


def lines_of(script: str) -> int:
    """Lines of `use`, what a user writes: no comment, blank or docstring."""
    text = (Path(__file__).parent / script).read_text(encoding="utf-8")
    function = next(
        one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == "use"
    )
    body = function.body[1:]
    lines = text.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def beside(rows: Sequence[Row]) -> list[Beside]:
    """Every tool against vitbench from the same start; Holm over all."""
    whole = {row["peer"]: row for row in rows if row["case"] == "whole" and row["answers"]}
    found = []
    for name, row in whole.items():
        ours = whole.get(OURS_RANDOM if name.endswith("random weights") else OURS)
        if ours is not None and name not in (OURS, OURS_RANDOM):
            found.append((name, paired_difference(right(row), right(ours))))
    adjusted = holm([one.p for _, one in found])
    return [Beside(name, *one, p) for (name, one), p in zip(found, adjusted, strict=True)]


def worse(rows: Sequence[Row], pairs: Sequence[Beside]) -> list[str]:
    """What vitbench does worse than one of them, a sentence each."""
    whole = {row["peer"]: row for row in rows if row["case"] == "whole" and not row["status"]}
    said = [
        f"{one.name} names more pictures right: {100 * one.value:+.0f} points "
        f"[{100 * one.low:+.0f}, {100 * one.high:+.0f}], adjusted p = {p_cell(one.adjusted)}."
        for one in pairs
        if one.value > 0 and one.adjusted <= ALPHA
    ]
    ahead = [one for one in pairs if one.value > 0 and one.adjusted > ALPHA]
    said += [
        f"{one.name} names {100 * one.value:.0f} points more right, which "
        f"{len(right(whole[one.name]))} pictures do not prove (adjusted p = {p_cell(one.adjusted)})."
        for one in ahead
    ]
    if OURS in whole:
        others = {name: row for name, row in whole.items() if name != OURS_RANDOM}
        less = [name for name, row in others.items() if row["memory_mb"] < 0.95 * whole[OURS]["memory_mb"]]
        if less:
            told = ", ".join(f"{name} {whole[name]['memory_mb']:,} MB" for name in less)
            said.append(f"It takes more memory ({whole[OURS]['memory_mb']:,} MB): {told}.")
        quicker = [name for name, row in others.items() if row["cpu"] < 0.95 * whole[OURS]["cpu"]]
        if quicker:
            told = ", ".join(f"{name} {whole[name]['cpu']:.0f} s" for name in quicker)
            said.append(f"It took more of the processor ({whole[OURS]['cpu']:.0f} s): {told}.")
    ours, shorter = lines_of(SCRIPTS[OURS]), []
    for name, script in SCRIPTS.items():
        if lines_of(script) < ours:
            shorter.append(f"{name} {lines_of(script)}")
    if shorter:
        said.append(f"A user writes more lines ({ours}): {', '.join(shorter)}.")
    bad = next((row for row in rows if row["peer"] == OURS and row["case"] == "truncated"), None)
    if bad is not None and bad["status"]:
        on = [row["peer"] for row in rows if row["case"] == "truncated" and not row["status"]]
        if on:
            said.append(
                "It stops before training at a picture that is cut off (until --skip-bad is said); "
                f"{', '.join(on)} trained on."
            )
    return said


ABOUT = """One folder (flowers5: five flowers; of each class 16 pictures to train, 4 for val, 20 to test;
{n} test pictures, the same for all), 112 px, one thread, no GPU. Those that begin from pretrained weights
have the same ones, ImageNet's of tf_efficientnet_lite0; where a tool takes none that can be had without a
network it begins from random ones of a network of its own (Ultralytics: YOLO11n-cls), and is compared
with vitbench from random ones too: in so few steps a lesson in what pretraining is worth. Each tool as its
documentation has it, with epochs for one to one and a half minutes of a core from start to end: what was
taken stands in the table, and the clock shows how busy the machine was besides. Memory is that of the
largest process. One seed each: another one may tell another order.
"""
LINES = """Lines: what a user writes, from the folder to an answer per test picture and an accuracy: `use`
in peers_*.py of [tests/evidence](../../tests/evidence). vitbench's call also fits its probe and writes
its table with intervals and tests, and the report."""
FAULTS = """One epoch each, with six pictures of a class to train and six to test. *Cut off*: the second
half of the bytes of a training and a test picture is gone. *Copies, a class missing*: of each class one
training picture lies in test/ too under another name, and test/ lacks the second of five classes. "Own"
is the accuracy that the tool itself reports of test/, "true" that of its answers by the names of the
classes: where they differ, classes were mixed up."""


def page(rows: Sequence[Row]) -> str:
    """The rows as a page in Markdown."""
    pairs = beside(rows)
    n = len(next((row["asked"] for row in rows if row["case"] == "whole"), []))
    names = list(dict.fromkeys(row["peer"] for row in rows))
    lines = [
        "# vitbench beside other tools",
        "",
        "Generated by `tests/evidence/peers.py` from peers.jsonl. What vitbench does worse than one of them:",
        "",
        *[f"- {one}" for one in worse(rows, pairs) or ["Nothing that was measured here."]],
        "",
        ABOUT.format(n=n),
        "| tool | epochs | right % [95 %] | own evaluation | processor s | clock s | memory MB | lines |",
        f"|{'---|' * 8}",
        *[_line(row) for row in rows if row["case"] == "whole"],
        "",
        LINES,
        "",
        "## Against vitbench, on the same test pictures",
        "",
        "Exact McNemar, Newcombe's paired interval, Holm over the rows.",
        "",
        "| tool − vitbench | points [95 %] | p | adjusted p |",
        f"|{'---|' * 4}",
        *[_pair(one) for one in pairs],
        "",
        "## What each does with a faulty folder",
        "",
        FAULTS,
        "",
        "| tool | a picture cut off | copies across the split, a class missing in test/ |",
        f"|{'---|' * 3}",
    ]
    lines += [
        f"| {name} | {_fault(rows, name, 'truncated')} | {_fault(rows, name, 'faulty')} |" for name in names
    ]
    lines += ["", "## Not measured", "", *[f"- {name}: {why}." for name, why in NOT_MEASURED.items()]]
    lines += [f"- {name}: not yet." for name in SCRIPTS if name not in names]
    lines += [
        "- Ultralytics from its own pretrained weights: the page they come from could not be reached.",
        "- Larger budgets, other folders, a GPU.",
        "",
        f"Linux x86-64; PyTorch {version('torch')}, timm {version('timm')}.",
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    correct = right(row)
    script = SCRIPTS[OURS if row["peer"] == OURS_RANDOM else row["peer"]]
    start = f"| {row['peer']} | {row['epochs']}"
    if not row["answers"]:
        return f"{start} | stopped: {_code(row['last'])} | – | {row['cpu']:.0f} | – | – | – |"
    low, high = accuracy_interval(correct)
    own = "–" if row["own"] is None else f"{100 * row['own']:.1f}"
    return (
        f"{start} | {100 * correct.mean():.0f} [{100 * low:.0f}, {100 * high:.0f}] | {own} "
        f"| {row['cpu']:.0f} | {row['wall']:.0f} | {row['memory_mb']:,} | {lines_of(script)} |"
    )


def _pair(one: Beside) -> str:
    points = in_points(one.value, one.low, one.high)
    return f"| {one.name} | {points} | {p_cell(one.p)} | {p_cell(one.adjusted)} |"


def _fault(rows: Sequence[Row], name: str, case: str) -> str:
    row = next((one for one in rows if one["peer"] == name and one["case"] == case), None)
    if row is None:
        return "not measured"
    said = "; ".join(_code(one) for one in row["said"]) or "nothing"
    if row["status"]:
        return f"stops: {said if row['said'] else _code(row['last'])}"
    answered = sum(path in row["answers"] for path in row["asked"])
    told = f"goes on, answers {answered} of {len(row['asked'])}; says: {said}"
    if case == "faulty" and row["own"] is not None:
        told += f"; own {100 * row['own']:.1f} %, true {100 * right(row).mean():.1f} %"
    if row["changed"]:
        told += f"; rewrites {', '.join(row['changed'])}"
    return told


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|").replace("`", "'")[:180] + "`"


def write(rows: Sequence[Row]) -> None:
    """Write the page."""
    files.write_text(PAGE, page(rows))


if __name__ == "__main__":
    write(kept_rows(PAGE.with_suffix(".jsonl")))
