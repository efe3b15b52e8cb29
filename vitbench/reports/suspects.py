"""What `data suspects` says and leaves: sentences, a table to edit, a page of pictures with neighbours."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench import files
from vitbench.comparison.measured import Estimate
from vitbench.comparison.suspects import NEITHER, SMALL, Score, Suspect, Suspects
from vitbench.narrative.words import listed, named, pictures
from vitbench.records import PixelRange, counted, decimals, percent
from vitbench.records.frames import Dtype, by_rows, frame_csv
from vitbench.reports.html import rendered
from vitbench.reports.html_cells import Cell, Head, Line, Table, plain
from vitbench.reports.thumbnails import thumbnails

MOST_SHOWN = 40
"""Pictures on the page; the table has all."""
LIST = "suspects.csv"
NEIGHBOURS: dict[str, Dtype] = {
    "path": "string", "class": "string", "place": "Int64", "nearest": "string", "similarity": "float64",
}  # fmt: skip


@dataclass(frozen=True)
class Neighbour:
    """A picture near a suspect."""

    path: str
    similarity: float
    """Cosine of the angle between both features, less their mean; 1: the same direction."""


@dataclass(frozen=True)
class Nearest:
    """Of each suspect, by path, the nearest pictures of the class suspected and of its own."""

    by: str
    """Whose features decide what is near, or why there are none, in words."""
    suspected: Mapping[str, tuple[Neighbour, ...]]
    own: Mapping[str, tuple[Neighbour, ...]]


@dataclass(frozen=True)
class Shown:
    """A picture as it stands on the page."""

    source: str
    """A data URI; "": it cannot be read."""
    name: str
    words: str


@dataclass(frozen=True)
class Look:
    """A suspect on the page."""

    suspect: Suspect
    photo: str
    answers: Table
    rows: tuple[tuple[str, tuple[Shown, ...]], ...]
    """(class, its nearest pictures)."""


# --- sentences ------------------------------------------------------------------------------------


FLOOR = (
    "Of real photos whose labels were left alone two models named 0 to 2 in 100 with 40 pictures a class, 0 "
    "to 4 with 20, 2 to 7 with 10."
)
"""Measured: results/evidence/suspects.md."""


def answer(found: Suspects) -> list[str]:
    """What the list is worth, in a few sentences; the answer first."""
    return [
        _answer_line(found),
        *_small_lines(found),
        FLOOR,
        "A list of pictures to look at, no verdict and no count of errors: pictures that are hard or show "
        "two classes are on it beside wrong labels.",
        *_besides_lines(found),
    ]


def _answer_line(found: Suspects) -> str:
    whom = found.models[0] if len(found.models) == 1 else _most(found.models)
    look = "label looks" if len(found.named) == 1 else "labels look"
    more = len(found.ranked) - len(found.named)
    fewer = f", {more} more to fewer of them" if more else ""
    clean = found.if_clean
    return (
        f"{len(found.named)} of {found.n} {look} wrong to {whom}{fewer}; if every label were right it would "
        f"be about {clean.value:.0f} ({clean.low:.0f} to {clean.high:.0f})."
    )


def _most(models: Sequence[str]) -> str:
    if len(models) == 2:
        return f"both models ({listed(models)})"
    return f"more than half of {len(models)} models ({named(models)})"


def _small_lines(found: Suspects) -> list[str]:
    lines = []
    if found.small:
        least = min(found.small.values())
        which = named(sorted(found.small, key=lambda name: (found.small[name], name)))
        lines.append(
            f"Few pictures to learn from ({least} in the smallest class; {SMALL} or fewer in {which}): in "
            "such classes half of the labels that are named are right, with 10 pictures most of them."
        )
    if found.absent:
        lines.append(f"No picture here is labelled {named(found.absent)}: nothing can be said of that.")
    return lines


def _besides_lines(found: Suspects) -> list[str]:
    lines = []
    if found.unasked:
        lines.append(
            f"Only the {pictures(found.n)} could be asked about; of the other {found.unasked} the models "
            "learned, wrong labels too. With --folds 5 every picture is asked about."
        )
    if known := sum(bool(one.known) for one in found.ranked):
        lines.append(
            f"Of {counted(known, 'named picture')} training knows a copy, which vouches for its label: right "
            "or wrong, the models have learned it."
        )
    if found.guessing:
        lines.append(f"Without a say, for they cannot be told from guessing: {named(found.guessing)}.")
    if found.noted:
        lines.append(f"Looked at by a person: {found.noted}; found wrong: {found.mended}.")
    return lines


FLATTERS = (
    "Picking flatters: what is named was chosen because models get it wrong, so every score rises without "
    "it, whether or not the labels are wrong. The score of this benchmark stays the one as labelled."
)
HALF = (
    "Labels that a person has noted count only where pictures were looked at, and these were chosen by the "
    "models; wrong labels that the models agree with stay unseen. That flatters too, if less."
)


def score_rows(found: Suspects) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the scores with and without, in percent with their 95 % intervals."""
    head = ["model", "as labelled, %", f"without the {len(found.named)} named, %"]
    head += [f"{found.mended} mended by you, %"] if found.noted else []
    rows = [[one.model, *(_estimate(each, found.n) for each in _shown(one, found))] for one in found.scores]
    return head, rows


def _shown(one: Score, found: Suspects) -> list[Estimate | None]:
    return [one.labelled, one.without, *([one.corrected] if found.noted else [])]


def _estimate(one: Estimate | None, n: int) -> str:
    if one is None:
        return "–"
    digits = decimals(n)
    return f"{percent(one.value, digits)} [{percent(one.low, digits)}, {percent(one.high, digits)}]"


# --- files ----------------------------------------------------------------------------------------


def write_suspects(
    found: Suspects, nearest: Nearest, root: Path, folder: Path, again: str, meant: PixelRange | None = None
) -> None:
    """Write `suspects.csv`, `scores.csv`, `nearest.csv` and `report.html` into a folder that is there.

    root: where the pictures are; again: the command that does it anew; meant: black and white in pictures of
    more than 8 bits.
    """
    files.write_text(folder / LIST, frame_csv(found.frame))
    files.write_text(folder / "scores.csv", frame_csv(found.scores_frame))
    files.write_text(folder / "nearest.csv", frame_csv(by_rows(NEIGHBOURS, _neighbour_rows(found, nearest))))
    page = rendered(
        "suspects.html.j2",
        found=found,
        lines=answer(found),
        looks=_looks(found, nearest, root, meant),
        scores=_scores_table(found),
        flatters=[FLATTERS, *([HALF] if found.noted else [])],
        nearest=nearest,
        more=max(0, len(found.ranked) - MOST_SHOWN),
        list=LIST,
        neither=NEITHER,
        command=again,
    )
    files.write_text(folder / "report.html", page)


def _neighbour_rows(found: Suspects, nearest: Nearest) -> list[tuple[str, str, int, str, float]]:
    return [
        (one.path, label, place, near.path, near.similarity)
        for one in found.ranked
        for label, each in ((one.suspected, nearest.suspected), (one.label, nearest.own))
        for place, near in enumerate(each.get(one.path, ()), start=1)
    ]


def _scores_table(found: Suspects) -> Table | None:
    head, rows = score_rows(found)
    return plain(
        "scores", "Accuracy with and without them", [Head(head[0], False), *map(Head, head[1:])], rows
    )


def _looks(found: Suspects, nearest: Nearest, root: Path, meant: PixelRange | None) -> list[Look]:
    shown = found.ranked[:MOST_SHOWN]
    near = [
        n.path for one in shown for each in (nearest.suspected, nearest.own) for n in each.get(one.path, ())
    ]
    paths = list(dict.fromkeys([*(one.path for one in shown), *near]))
    small = thumbnails([root / path for path in paths], range(1, len(paths) + 1), meant)
    uris = {
        paths[number - 1]: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        for number, jpeg in small.items()
    }
    return [
        Look(
            suspect=one,
            photo=uris.get(one.path, ""),
            answers=_answers(one),
            rows=tuple(
                (
                    label,
                    tuple(Shown(uris.get(n.path, ""), n.path, f"{n.similarity:.2f}") for n in each[one.path]),
                )
                for label, each in ((one.suspected, nearest.suspected), (one.label, nearest.own))
                if each.get(one.path)
            ),
        )
        for one in shown
    ]


def _answers(one: Suspect) -> Table:
    heads = (
        Head("model", False), Head("says", False), Head("sure, %"), Head("of the label, %"),
        Head("label", False),
    )  # fmt: skip
    lines = [
        Line(
            (
                Cell(said.model),
                Cell(said.answer),
                Cell(percent(said.answer_probability, 0), said.answer_probability),
                Cell(percent(said.label_probability, 0), said.label_probability),
                Cell("doubted" if said.doubts else ""),
            )
        )
        for said in one.said
    ]
    return Table(
        f"answers-{one.number}", f"What every model says of number {one.number}", heads, tuple(lines)
    )
