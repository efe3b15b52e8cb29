"""`report.html`: one file, no network, drawn from a `Report`; the answer first, then pictures, then proof."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.narrative.resolution import parts_text
from vitbench.narrative.words import measured, p_cell
from vitbench.records import percent
from vitbench.reports import html_arms, html_tables
from vitbench.reports.costed import Costed
from vitbench.reports.drawing import INK, Drawing
from vitbench.reports.explained import Mapped
from vitbench.reports.figures import COSTS, CURVES, MANY_CLASSES, draw_cost, draw_curves
from vitbench.reports.html_arms import BEST
from vitbench.reports.html_cells import Cell, Table
from vitbench.reports.meanings import MEANINGS
from vitbench.reports.report import Picture, Report, report_json

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).parent


def write_report(
    report: Report,
    path: Path,
    small: Mapping[int, bytes] | None = None,
    rebuilt: Mapping[str, str] | None = None,
    maps: Mapped | None = None,
    costs: Costed | None = None,
) -> tuple[str, ...]:
    """Write the page to `path` and `report.json` beside it, each whole or not at all.

    `small`: JPEGs of the pictures that it shows, by number; `rebuilt`: sheets of masked pre-training by run
    (`reconstructions_by`); `maps`: what answers rest on (`explained`); all left out where photographs are;
    `costs`: what models cost at other sizes (`costed`).
    Returns a line for each thing that could not be drawn. Raises OSError where the folder cannot be written.
    """
    drawings = page_figures(report)
    files.write_text(path.with_suffix(".json"), report_json(report))
    shown = rebuilt if rebuilt and report.images and not report.anonymous else {}
    under = maps if report.images else {}
    files.write_text(path, render(report, small if report.images else {}, drawings, shown, under, costs))
    return tuple(dict.fromkeys(note for each in drawings.values() for one in each for note in one.notes))


def shown_numbers(report: Report) -> list[int]:
    """The numbers of the pictures that it shows, those of the first screen in front; [] without images."""
    if not report.images:
        return []
    readable = (picture for picture in report.pictures if not picture.error)
    twins = (number for twin in report.twins for number in (twin.number, twin.other_number))
    return list(dict.fromkeys([*(p.number for p in (*report.strip, *readable)), *twins]))


def page_figures(report: Report) -> dict[str, list[Drawing]]:
    """The figures of the page, one panel each so that a phone can stack them."""
    found: dict[str, list[Drawing | None]] = {"curves": [draw_curves(report.curves, [m]) for m in CURVES]}
    if report.comparison is not None:
        order = [curve.model for curve in report.curves]
        found["cost"] = [draw_cost(report.comparison.tested, [cost], order) for cost in COSTS]
    return {name: [one for one in drawings if one is not None] for name, drawings in found.items()}


def render(
    report: Report,
    thumbnails: Mapping[int, bytes] | None = None,
    drawings: Mapping[str, Sequence[Drawing]] | None = None,
    rebuilt: Mapping[str, str] | None = None,
    maps: Mapped | None = None,
    costs: Costed | None = None,
) -> str:
    """The whole page as text.

    `thumbnails`: a JPEG per picture number; `drawings`: those of `page_figures(report)` that are wanted,
    all of them where left out.
    """
    drawings = page_figures(report) if drawings is None else drawings
    comparison = report.comparison
    tables, shared = _tables(report), _shared(report)
    confused, more_confused = html_tables.confused_table(report)
    return rendered(
        "report.html.j2",
        report=report,
        comparison=comparison,
        told=report.narrative,
        lead=sentences(report.headline),
        advice=sentences(report.advice),
        images=_data_uris(thumbnails or {}),
        strip_title=_strip_title(report.strip),
        figures={name: [themed(one) for one in drawings.get(name, ())] for name in ("curves", "cost")},
        tables=tables,
        glossary=_glossary([*(one for name, one in tables.items() if name != "differences"), confused]),
        marked=any(cell.bar and cell.bar.mark is not None for cell in _cells(tables["results"])),
        best=BEST,
        rebuilt=rebuilt or {},
        maps=maps or {},
        costed=costs,
        parts=parts_text(comparison) if comparison else "",
        confused=confused,
        more_confused=more_confused,
        easier=max(0, len({recall.label for recall in comparison.recalls}) - html_tables.MOST_CLASSES)
        if comparison
        else 0,
        matrices=[] if len(report.classes) > MANY_CLASSES else html_tables.matrices(report),
        flags=_flags,
        shown_name=lambda picture: _cut(picture.name[0 if picture.error else shared :]),
        run_places={run: place for place, run in enumerate(report.runs)},
        truths=sorted({picture.truth for picture in report.pictures if picture.truth is not None}),
    )


def rendered(template: str, **content: Any) -> str:
    """A page as text, of one of our templates; the style and the script are in reach of each."""
    return files.readable(page_environment().get_template(template).render(**content))


def write_drawing(drawing: Drawing, folder: Path, name: str) -> None:
    """Write a figure as NAME.svg and NAME.png."""
    files.write_text(folder / f"{name}.svg", drawing.svg)
    files.write_bytes(folder / f"{name}.png", drawing.png)


PANEL_INCHES, LEGIBLE = 6.0, 66
"""A wider figure has several panels; so many CSS pixels an inch, its text can still be read."""


@cache
def page_environment() -> Any:
    """Jinja2 for our templates, each compiled once; whatever is put into them is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pct"] = percent
    environment.filters["unbroken"] = unbroken
    environment.filters["p_cell"] = p_cell
    environment.filters["measured"] = measured
    environment.filters["explained"] = explained
    environment.filters["decapitalised"] = lambda text: text[:1].lower() + text[1:]
    script = (HERE / "report.js").read_text(encoding="utf-8")
    environment.globals |= {
        "style": trusted((HERE / "report.css").read_text(encoding="utf-8")),
        "script": trusted(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment


TABLES = (
    *("results", "pairs", "differences", "probes", "arms", "between_arms", "distillation", "agreements"),
    *("leak_free", "evaluations", "costs", "recalls", "scores", "outlook"),
)


def _tables(report: Report) -> dict[str, Table | None]:
    """The tables of the page by name; None for those that it has not."""
    found: dict[str, Table | None] = dict.fromkeys(TABLES)
    comparison = report.comparison
    if comparison is None:
        new = html_tables.new_scores_table(report)
        return {**found, "results": new, "agreements": html_tables.agreement_table(report)}
    own, beside = comparison.pairs, comparison.probes
    found["results"] = html_tables.models_table(
        comparison, "results", "results", "Accuracy on the test pictures", report.badges
    )
    if own:
        found["differences"] = html_tables.differences_table(own)
        found["pairs"] = html_tables.pairs_table(own, "pairs", "Every two models on the same pictures")
    if beside:
        found["probes"] = html_tables.pairs_table(beside, "probes", "Each model and its own frozen probe")
    if comparison.outlook:
        found["outlook"] = html_tables.outlook_table(comparison.outlook)
    found["arms"] = html_arms.arms_table(comparison)
    if comparison.arms:
        found["between_arms"] = html_tables.pairs_table(comparison.arms, "between_arms", "Arm against arm")
    found["distillation"] = html_arms.distillation_table(comparison)
    found["leak_free"] = html_tables.leak_free_table(comparison)
    found["evaluations"] = html_tables.evaluations_table(comparison)
    found["costs"] = html_tables.models_table(comparison, "costs", "costs", "What each model costs")
    found["recalls"] = html_tables.recall_table(comparison)
    title = "Other scores, and how far the probabilities can be believed"
    if comparison.tested:
        found["scores"] = html_tables.models_table(comparison, "scores", "scores", title)
    return found


def _glossary(tables: Sequence[Table | None]) -> dict[str, str]:
    """What each number of the tables is, by its heading; of columns that are called by a model one word."""
    heads = [
        (head, meaning)
        for table in tables
        if table is not None
        for head, meaning in zip(table.heads, table.meanings, strict=True)
        if meaning
    ]
    names: dict[str, str] = {}
    for head, meaning in heads:
        names.setdefault(meaning, NAMELESS.get(head.meaning, head.title))
    return {name: meaning for meaning, name in names.items()}


NAMELESS = {MEANINGS["recall"]: "class by class", MEANINGS["confused"]: "confusions", MEANINGS["arm"]: "arms"}
"""What columns are called that bear the names of models and arms."""


def _cells(table: Table | None) -> list[Cell]:
    return [] if table is None else [cell for line in table.lines for cell in line.cells]


def _strip_title(strip: Sequence[Picture]) -> str:
    if any(picture.disputed for picture in strip):
        return "The most disputed photos"
    return "Photos with wrong answers" if any(p.wrong for p in strip) else "The least certain photos"


def _shared(report: Report) -> int:
    """How many characters of new photos' names are a folder that all of them share."""
    if report.kind == "comparison":
        return 0
    names = [picture.name for picture in report.pictures if not picture.error]
    first, last = min(names, default=""), max(names, default="")
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first.rfind("/", 0, same) + 1


def _cut(name: str) -> tuple[str, str]:
    """A path's folders and its last part: the page cuts the folders short first."""
    folders, slash, last = name.rpartition("/")
    return folders + slash, last


def _flags(picture: Picture) -> str:
    """What the page's filter knows a picture by."""
    named = {
        "disputed": picture.disputed,
        "wrong": picture.wrong > 0,
        "all-wrong": 0 < picture.wrong == len(picture.said),
        "unsure": picture.unsure,
        "unread": bool(picture.error),
    }
    return " ".join(name for name, holds in named.items() if holds)


def sentences(text: str) -> list[str]:
    """The sentences of a text: a full stop, a space, and no small letter behind."""
    return [part for part in re.split(r"(?<=\.) (?=[^a-z])", text) if part]


def unbroken(text: str) -> str:
    """The text with a no-break space between each number and its "%"."""
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def options(text: str) -> "Markup":
    """The text, escaped, with every option of the command line ("--folds 5") set as code in one piece."""
    from markupsafe import Markup, escape

    coded = re.sub(r"(?<!\w)--[a-z][a-z-]*(?: \d+(?:,\d+)*)?", r"<code>\g<0></code>", str(escape(text)))
    return Markup(coded)


TERM = re.compile(
    r"(?P<p>\bp (?:=|&lt;|≤|&gt;) [01]?\.?\d+)|(?P<interval>\[[+−]?\d[^\]]*\]|95.% (?:CI|interval))"
    r"|(?P<McNemar>McNemar)|(?P<sign_flips>sign flips)"
)
"""What an escaped sentence has of statistics, by the name of its meaning."""


def explained(text: str) -> "Markup":
    """The text, escaped: options set as code; p-values, intervals and tests tell what they are."""
    from markupsafe import Markup, escape

    def told(found: re.Match[str]) -> str:
        meaning = escape(MEANINGS[str(found.lastgroup).replace("_", " ")])
        return f'<span class="term" title="{meaning}">{found[0]}</span>'

    return Markup(TERM.sub(told, str(options(unbroken(text)))))


def _data_uris(thumbnails: Mapping[int, bytes]) -> dict[int, str]:
    return {
        number: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        for number, jpeg in thumbnails.items()
    }


def trusted(text: str) -> "Markup":
    """Our own style, script or figure, put into the page as it is."""
    from markupsafe import Markup

    return Markup(text)


def themed(drawing: Drawing) -> dict[str, Any]:
    """The SVG for the page: its ink follows the page's text colour, its groups have no ids to clash.

    Several panels side by side have a row of the page to themselves, and are read by scrolling on a phone.
    """
    body = drawing.svg[drawing.svg.index("<svg") :].replace(INK, "currentColor")
    body = re.sub(r"<g id=\"[a-z0-9]+_\d+\">", "<g>", body)
    # figures.py wrote it: names inside are escaped text; it is not user markup
    inches = drawing.size[0]
    return {
        "svg": trusted(body),
        "text": drawing.text,
        "across": inches > PANEL_INCHES,
        "least": round(LEGIBLE * inches),
    }
