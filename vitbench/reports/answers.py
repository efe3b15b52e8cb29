"""What every model says about each picture: the words and marks for it, JSON, files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.errors import UsageError
from vitbench.records import LOW_CONFIDENCE, Answer
from vitbench.records.frames import Dtype, by_rows, frame_csv

if TYPE_CHECKING:
    from pandas import DataFrame

DISPUTED = "≠"
UNSURE = "?"
USED = ("train", "val")
"""Parts of a split whose pictures say nothing about new ones: trained on, or the epoch chosen by."""


def said(answer: Answer, run: str) -> str:
    """One run's answer: "roses 97 %", with ? where unsure and ✗ where wrong; "–" where it said nothing."""
    pairs = answer.predictions.get(run)
    if not pairs:
        return "–"
    name, probability = pairs[0]
    unsure = f" {UNSURE}" if probability < LOW_CONFIDENCE else ""
    wrong = " ✗" if answer.label is not None and answer.label != name else ""
    return f"{name} {100 * probability:.0f} %{unsure}{wrong}"


def legend(answers: Sequence[Answer]) -> list[str]:
    """What the marks mean, for those that occur; a line each."""
    disputed = sum(answer.disputed for answer in answers)
    unsure = sum(answer.unsure for answer in answers)
    parts = []
    if disputed:
        parts.append(f"{DISPUTED} the models disagree ({disputed} of {len(answers)})")
    if unsure:
        parts.append(f"{UNSURE} less than {100 * LOW_CONFIDENCE:.0f} % sure ({unsure} of {len(answers)})")
    if any(wrong(answer) for answer in answers):
        parts.append("✗ not what its folder says")
    return [*parts, *_seen_legend(answers)]


def marked_name(name: str, answer: Answer) -> str:
    """A picture's name with "(train)" or "(≈ train)" behind it, where it or a near-copy was in the split."""
    return f"{name} ({answer.mark})" if answer.seen else name


def _seen_legend(answers: Sequence[Answer]) -> list[str]:
    marks = {answer.mark for answer in answers if answer.seen}
    parts = [f"({part})" for part in ("train", "val", "test") if part in marks]
    near = [f"(≈ {part})" for part in ("train", "val", "test") if f"≈ {part}" in marks]
    lines = [f"{', '.join(parts)}: where this very picture was in the models' own data"] if parts else []
    return lines + ([f"{', '.join(near)}: it is a near-copy of a picture there"] if near else [])


def wrong(answer: Answer) -> bool:
    """Some model's answer is not the class that its folder names."""
    return answer.label is not None and any(p[0][0] != answer.label for p in answer.predictions.values() if p)


# --- files ----------------------------------------------------------------------------------------


def answer_json(answer: Answer) -> str:
    """One JSON line: path, label, seen, near, error, disputed, unsure, answers.

    `answers`: {run: [{class, probability} …]}. Where it is explained also `maps`: {run: {kind: rows}}.
    """
    value: dict[str, Any] = {
        "path": files.readable(answer.path),
        "label": None if answer.label is None else files.readable(answer.label),
        "seen": answer.seen,
        "near": answer.near,
        "error": files.readable(answer.error),
        "disputed": answer.disputed,
        "unsure": answer.unsure,
        "answers": {
            files.readable(run): [
                {"class": files.readable(name), "probability": float(p)} for name, p in pairs
            ]
            for run, pairs in answer.predictions.items()
        },
    }
    if answer.maps:
        value["maps"] = {
            files.readable(run): {
                kind: [[float(f"{cell:.4g}") for cell in row] for row in one] for kind, one in maps.items()
            }
            for run, maps in answer.maps.items()
        }
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write the answers as .csv (a row per picture, as `predictions.csv`) or .json (a list), by suffix.

    The second answer of a run stands in the columns <run>_2 and <run>_2_probability, and so on.
    Raises UsageError for another suffix.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        lines = ",\n  ".join(answer_json(answer) for answer in answers)
        files.write_text(path, f"[\n  {lines}\n]\n" if answers else "[]\n")
    elif suffix == ".csv":
        files.write_text(path, frame_csv(answers_frame(answers)))
    else:
        raise UsageError(f"{path}: cannot tell the format from its name; end it in .csv or .json")


def answers_frame(answers: Sequence[Answer]) -> "DataFrame":
    """A row per picture: path, label, seen, near, then each run's answers, then disputed, unsure, error."""
    most: dict[str, int] = {}
    for answer in answers:
        for run, pairs in answer.predictions.items():
            most[run] = max(most.get(run, 1), len(pairs))
    columns: dict[str, Dtype] = {"path": "string", "label": "string", "seen": "string", "near": "Int64"}
    for run, many in most.items():
        for name in _run_columns(run, many):
            columns |= {name: "string", f"{name}_probability": "float64"}
    columns |= {"disputed": "Int64", "unsure": "Int64", "error": "string"}
    return by_rows(columns, (_cells(answer, most) for answer in answers))


def _cells(answer: Answer, most: Mapping[str, int]) -> list[Any]:
    cells: list[Any] = [answer.path, answer.label, answer.seen, int(answer.near)]
    for run, many in most.items():
        pairs = answer.predictions.get(run, ())
        cells += [cell for pair in pairs for cell in pair] + [None, None] * (many - len(pairs))
    return [*cells, int(answer.disputed), int(answer.unsure), answer.error]


def _run_columns(run: str, answers: int) -> list[str]:
    """<run>, <run>_2, <run>_3 …"""
    return [run if place == 1 else f"{run}_{place}" for place in range(1, answers + 1)]
