"""What `transfer` leaves: sentences, the paper's table with one's own above it, a figure, a page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.analysis.transfer import (
    OWN,
    PUBLISHED,
    PUBLISHED_CELLS,
    PUBLISHED_SCALES,
    QUESTIONS,
    Score,
    Transfer,
)
from vitbench.models.transfer import LINEAR, WAYS
from vitbench.narrative.words import p_text
from vitbench.records import counted
from vitbench.records.frames import rows_of_frame, write_frames
from vitbench.reports.drawing import COLOURS, MARKERS, Drawing, draw, plain
from vitbench.reports.html import rendered, themed, write_drawing

if TYPE_CHECKING:
    from pandas import DataFrame

Column = tuple[int, int]
"""(image size, which of a row's windows at that size, from 0)."""
NONE = "–"
"""In a table where nothing was measured."""


@dataclass(frozen=True)
class Shown:
    """A cell of the table: as it is, and after further training."""

    window: int
    before: Score | None
    after: Score | None

    @property
    def scores(self) -> str:
        """ "W8 71.2 / 80.1", in percent."""
        values = " / ".join(NONE if one is None else f"{100 * one.value:.1f}" for one in self._told)
        return f"W{self.window} {values}" if self.window else values

    @property
    def intervals(self) -> str:
        """ "64–78 / 73–86"."""
        return " / ".join(
            NONE if one is None else f"{100 * one.low:.0f}–{100 * one.high:.0f}" for one in self._told
        )

    @property
    def _told(self) -> Sequence[Score | None]:
        return (self.before,) if self.after is None else (self.before, self.after)


@dataclass(frozen=True)
class Row:
    """A model in one way, over the columns; None where it was not there."""

    model: str
    title: str
    cells: tuple[Shown | None, ...]


@dataclass(frozen=True)
class Grid:
    """One's own table, in the form of the paper's."""

    columns: tuple[Column, ...]
    scales: tuple[float | None, ...]
    """Of each column over the models' own size; None where models differ in it."""
    rows: tuple[Row, ...]

    @property
    def titles(self) -> list[str]:
        """ "128 px (×2)"."""
        return [
            f"{size} px" + (f" (×{scale:g})" if scale is not None else "")
            for (size, _), scale in zip(self.columns, self.scales, strict=True)
        ]

    def published(self) -> Iterator[tuple[str, list[str]]]:
        """The paper's rows over the same scales: (bias, "W16 77.2 / 83.0" …)."""
        for bias, values in PUBLISHED.items():
            cells = []
            for scale in self.scales:
                if scale not in PUBLISHED_SCALES:
                    cells.append("")
                    continue
                place = PUBLISHED_SCALES.index(scale)
                known = " / ".join(f"{one:.1f}" for one in values[place] if one is not None)
                cells.append(f"{PUBLISHED_CELLS[place].partition(' ')[0]} {known}")
            if any(cells):
                yield bias, cells


def grid_of(found: Transfer) -> Grid:
    """The rows and columns of one's own table."""
    rows = list(dict.fromkeys((cell.model, cell.title) for cell in found.answers if cell.way != OWN))
    placed = {row: _placed(found, *row) for row in rows}
    columns = sorted({column for each in placed.values() for column in each})
    scales = []
    for size, _ in columns:
        each = {cell.scale for cell in found.answers if cell.size == size}
        scales.append(next(iter(each)) if len(each) == 1 else None)
    shown = (
        Row(model, title, tuple(placed[model, title].get(column) for column in columns))
        for model, title in rows
    )
    return Grid(tuple(columns), tuple(scales), tuple(shown))


def _placed(found: Transfer, model: str, title: str) -> dict[Column, Shown]:
    """The own size is the same for all ways of a model."""
    by_place: dict[tuple[int, int], dict[bool, Score]] = {}
    for cell in found.answers:
        if cell.model == model and (cell.way == OWN or cell.title == title):
            by_place.setdefault((cell.size, cell.window), {})[bool(cell.tuned)] = found.score(cell)
    placed: dict[Column, Shown] = {}
    for size, window in sorted(by_place):
        rank = sum(1 for other, _ in placed if other == size)
        each = by_place[size, window]
        placed[size, rank] = Shown(window, each.get(False), each.get(True))
    return placed


# --- sentences ------------------------------------------------------------------------------------


def answer(found: Transfer) -> list[str]:
    """What is lost at the largest size, what further training brings back, who loses less, the paper."""
    rows = rows_of_frame(found.frames["differences"])
    largest = max((row["image_size"] for row in rows), default=0)
    mine = [row for row in rows if row["way"] == found.paper_ways[row["model"]]]
    there = [row for row in mine if row["image_size"] == largest]
    n = len(found.test.paths)
    lines = [_changes(f"At {largest} px as they are, top-1 on {counted(n, 'test picture')}", there, 0)]
    if found.epochs:
        begin = f"After {counted(found.epochs, 'more epoch')} there, beside as many at their own size"
        lines.append(_changes(begin, there, found.epochs))
    lines += [*_who_loses_less(there), *_paper(found, largest)]
    return [line for line in lines if line]


def _changes(begin: str, rows: Iterable[dict[str, Any]], tuned: int) -> str:
    """Each model's change from its own size, by its paper's way."""
    question = "size tuned alike" if tuned else "size"
    each = [
        f"{row['model']} {_points(row)}"
        for row in rows
        if row["question"] == question and row["tuned_epochs"] == tuned
    ]
    if not each:
        return ""
    return f"{begin}: {', '.join(each)} points against their own size [95 %]."


def _points(row: dict[str, Any]) -> str:
    low, high = (_signed(100 * row[end], 0) for end in ("low", "high"))
    return f"{_signed(100 * row['difference'])} [{low}, {high}]"


def _who_loses_less(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Which differences between models' changes are shown; one sentence where none is."""
    asked = [row for row in rows if row["question"] == "models" and not row["tuned_epochs"]]
    decided = [row for row in asked if row["decided"]]
    for row in decided:
        better, worse = row["model"], row["other_model"]
        if row["difference"] < 0:
            better, worse = worse, better
            row = {**row, "difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
        chance = p_text(row["p_adjusted"])
        yield f"{better} keeps more than {worse}: {_points(row)} points, adjusted {chance}."
    if asked and not decided:
        yield "Which model keeps more is not distinguishable on these pictures."


def _paper(found: Transfer, size: int) -> Iterator[str]:
    """The published change at the same scale."""
    scales = {cell.scale for cell in found.answers if cell.size == size}
    for scale in sorted(scales & set(PUBLISHED_SCALES)):
        place = PUBLISHED_SCALES.index(scale)
        each = [
            f"{bias} {_signed(before - own)}"
            for bias, values in PUBLISHED.items()
            if (before := values[place][0]) is not None and (own := values[0][0]) is not None
        ]
        what = f"The paper's Swin-T on ImageNet-1k at ×{scale:g}, without fine-tuning"
        yield f"{what}: {', '.join(each)} points."


def _signed(points: float, digits: int = 1) -> str:
    """ "−4.5", "+0.6"."""
    return f"{points:+.{digits}f}".replace("-", "−")


# --- the figure -----------------------------------------------------------------------------------


def draw_transfer(found: Transfer) -> Drawing:
    """Top-1 over size, dashed after further training, with intervals; the paper's beside it."""
    grid = grid_of(found)
    names = [f"{row.model}, {row.title}" for row in grid.rows]

    def paint(figure: Any) -> None:
        own, paper = figure.subplots(1, 2, squeeze=False)[0]
        for place, (row, name) in enumerate(zip(grid.rows, names, strict=True)):
            _paint_row(own, grid, row, name, place)
        for place, (bias, values) in enumerate(PUBLISHED.items()):
            look = {"color": COLOURS[-1 - place], "marker": MARKERS[place], "markersize": 4}
            for tuned, line in ((False, "-"), (True, "--")):
                known = [(s, v[tuned]) for s, v in zip(PUBLISHED_SCALES, values, strict=True)]
                shown = [(scale, value) for scale, value in known if value is not None]
                paper.plot(*zip(*shown, strict=True), line, label=None if tuned else f"paper: {bias}", **look)
        own.set_title("these pictures: top-1, %", loc="left")
        own.set_xlabel("image size, px")
        own.set_xticks(sorted({size for size, _ in grid.columns}))
        paper.set_title("the paper, ImageNet-1k: top-1, %", loc="left")
        paper.set_xlabel("size and window over those trained with")
        for ax in (own, paper):
            plain(ax)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)

    text = (
        "Top-1 over the image size for every model and way, dashed after further training, with 95 % "
        "intervals; beside it the paper's three biases on ImageNet-1k."
    )
    return draw(paint, (7.6, 3.6 + 0.2 * len(names)), names, text)


def _paint_row(ax: Any, grid: Grid, row: Row, name: str, place: int) -> None:
    look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 4}
    for tuned, line in ((False, "-"), (True, "--")):
        points = [
            (size, score)
            for (size, _), cell in zip(grid.columns, row.cells, strict=True)
            if cell is not None and (score := cell.after if tuned else cell.before) is not None
        ]
        if not points:
            continue
        sizes = [size for size, _ in points]
        values = [100 * score.value for _, score in points]
        below = [100 * (score.value - score.low) for _, score in points]
        above = [100 * (score.high - score.value) for _, score in points]
        ax.errorbar(
            sizes, values, yerr=[below, above], linestyle=line, label=None if tuned else name,
            elinewidth=0.6, capsize=2, **look,
        )  # fmt: skip


# --- the page -------------------------------------------------------------------------------------


def write_transfer(found: Transfer, place: Path, command: str) -> list[str]:
    """Write every number as csv, `transfer.svg|png` and `report.html`; what could not be drawn."""
    drawing = draw_transfer(found)
    frames = found.frames
    with files.whole_folder(place) as new:
        write_frames(frames, new)
        write_drawing(drawing, new, "transfer")
        page = rendered(
            "transfer.html.j2",
            name=found.benchmark,
            lines=answer(found),
            grid=grid_of(found),
            epochs=found.epochs,
            n=len(found.test.paths),
            groups=len(set(found.test.groups)),
            published=PUBLISHED,
            published_cells=PUBLISHED_CELLS,
            questions=_by_question(frames["differences"]),
            ways=_ways(found),
            notes=found.notes,
            refused=found.refused,
            drawing=themed(drawing),
            command=command,
        )
        files.write_text(new / "report.html", page)
    return list(drawing.notes)


def _by_question(table: "DataFrame") -> list[tuple[str, list[dict[str, Any]]]]:
    """(what is asked, its rows), in the order of `QUESTIONS`."""
    rows = rows_of_frame(table)
    found = []
    for question, told in QUESTIONS.items():
        each = [{**row, "points": _points(row)} for row in rows if row["question"] == question]
        if each:
            found.append((told, each))
    return found


def _ways(found: Transfer) -> list[tuple[str, str]]:
    """(title, what it does) of the ways that were taken."""
    taken = {cell.title for cell in found.answers if cell.way != OWN}
    known = dict.fromkeys((*(way for ways in WAYS.values() for way in ways), LINEAR))
    return [(way.title, way.told) for way in known if way.title in taken]
