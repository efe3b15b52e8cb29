"""`report.html`: one file, no network, no script; the answer first, then the pictures, then the proof."""

import base64
import io
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench import files
from vitbench.comparison.candidates import Candidate, competitors, read_candidates
from vitbench.comparison.confusion import confusion_counts, most_confused
from vitbench.comparison.table import Comparison, Row
from vitbench.comparison.words import parts_text
from vitbench.errors import VitbenchError
from vitbench.records import LOW_CONFIDENCE, Benchmark, Settings, percent
from vitbench.reports.figures import INK, MANY_CLASSES, Drawing
from vitbench.reports.tables import COLUMNS, LEGEND, MODEL, TOP1, table_rows

if TYPE_CHECKING:
    from markupsafe import Markup

Thumbnail = Callable[[str], bytes | None]
"""Path relative to the data folder → a small JPEG without metadata, or None."""

STRIP = 8
MOST_PICTURES = 200
THUMBNAIL = 144
"""Longest side, px; shown at half to full size."""


@dataclass(frozen=True)
class Said:
    """One run's answer on one picture."""

    run: str
    name: str
    probability: float
    right: bool

    @property
    def unsure(self) -> bool:
        return self.probability < LOW_CONFIDENCE


@dataclass(frozen=True)
class Shown:
    """One test picture with every run's answer."""

    path: str
    label: str
    said: tuple[Said, ...]
    image: str
    """A data URI; "" where the picture is not to be had or over the cap."""

    @property
    def disputed(self) -> bool:
        return len({one.name for one in self.said}) > 1

    @property
    def wrong(self) -> int:
        return sum(not one.right for one in self.said)


@dataclass(frozen=True)
class Bar:
    """A model's accuracy and interval in percent of the axis."""

    row: Row
    low: float
    high: float
    at: float
    text: str


@dataclass(frozen=True)
class Matrix:
    """A model's confusions: (count, share of the true class) per cell, or its most confused pairs."""

    model: str
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    pairs: tuple[tuple[str, str, int], ...]


def report_html(
    benchmark: Benchmark,
    comparison: Comparison,
    drawings: Mapping[str, Drawing],
    thumbnail: Thumbnail | None = None,
) -> str:
    """The whole page as text; pictures are left out where `thumbnail` is None or gives None."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pct"] = percent
    environment.filters["unbroken"] = unbroken
    environment.filters["options"] = options
    candidates = competitors(read_candidates([benchmark]))
    pictures = most_telling(candidates, thumbnail)
    rows = table_rows(comparison)
    manifest = benchmark.manifest
    page = environment.get_template("report.html.j2").render(
        comparison=comparison,
        created=str(manifest.get("created", ""))[:16].replace("T", " "),
        versions=manifest.get("versions") or {},
        machine=manifest.get("machine") or {},
        columns=[c for c in COLUMNS if c in (MODEL, TOP1) or any(c.cell(row) for row in rows)],
        rows=rows,
        legend=LEGEND,
        parts=parts_text(comparison),
        bars=[_bar(row) for row in rows if row.top1 is not None],
        strip=[picture for picture in pictures if picture.disputed][:STRIP],
        pictures=pictures[:MOST_PICTURES],
        left_out=max(0, len(pictures) - MOST_PICTURES),
        curves=_themed(drawings.get("curves")),
        matrices=[_matrix(candidate) for candidate in candidates],
        many_classes=len(comparison.classes) > MANY_CLASSES,
        command=reproduce(benchmark),
    )
    return files.readable(page)


def unbroken(text: str) -> str:
    """The text with a no-break space between each number and its "%"."""
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def options(text: str) -> "Markup":
    """The text, escaped, with every option of the command line ("--folds 5") set as code in one piece."""
    from markupsafe import Markup, escape

    coded = re.sub(r"(?<!\w)--[a-z][a-z-]*(?: \d+(?:,\d+)*)?", r"<code>\g<0></code>", str(escape(text)))
    return Markup(coded)


def thumbnails_from(data: str) -> Thumbnail | None:
    """Thumbnails of the pictures under a data folder; None where the folder is gone."""
    root = Path(data)
    if not data or not root.is_dir():
        return None

    def thumbnail(path: str) -> bytes | None:
        from vitbench.data.decode import decode

        try:
            image = decode(root / path)
        except (OSError, ValueError, VitbenchError):
            return None
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=72, optimize=True)  # a new file: no metadata goes along
        return buffer.getvalue()

    return thumbnail


def most_telling(candidates: Sequence[Candidate], thumbnail: Thumbnail | None) -> list[Shown]:
    """Every test picture, the most telling first: disputed, then wrong, then least sure.

    Among disputed ones those lead on which some models are right and some wrong. The first 200 get a
    thumbnail.
    """
    if not candidates:
        return []
    runs = [(run, p) for c in candidates for run, p in zip(c.answered, c.predictions, strict=True)]
    names = _run_names(candidates)
    reference = runs[0][1]
    sure = np.stack([p.probabilities.max(axis=1) for _, p in runs])  # (runs, n)
    answers = np.stack([p.answers for _, p in runs])
    correct = np.stack([p.correct for _, p in runs])
    disputed = (answers != answers[0]).any(axis=0)
    split = np.minimum(correct.mean(axis=0), 1 - correct.mean(axis=0))
    order = np.lexsort((sure.mean(axis=0), correct.mean(axis=0), -split, ~disputed))
    shown = []
    for place, i in enumerate(int(i) for i in order):
        path = reference.paths[i]
        jpeg = thumbnail(path) if thumbnail is not None and place < MOST_PICTURES else None
        image = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
        said = tuple(
            Said(name, p.classes[int(p.answers[i])], float(p.probabilities[i].max()), bool(p.correct[i]))
            for name, (_, p) in zip(names, runs, strict=True)
        )
        shown.append(Shown(path, reference.classes[int(reference.labels[i])], said, image))
    return shown


def _run_names(candidates: Sequence[Candidate]) -> list[str]:
    return [
        candidate.model if len(candidate.runs) == 1 else f"{candidate.model} s{run.seed}"
        for candidate in candidates
        for run in candidate.answered
    ]


def _bar(row: Row) -> Bar:
    low, high = row.top1_low or 0.0, 1.0 if row.top1_high is None else row.top1_high
    text = f"{percent(row.top1)} % [{percent(low)}, {percent(high)}]"
    return Bar(row, 100 * low, 100 * high, 100 * (row.top1 or 0.0), text)


def _matrix(candidate: Candidate) -> Matrix:
    counts = confusion_counts(candidate)
    classes = candidate.predictions[0].classes
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = tuple(
        (name, tuple((int(k), float(s)) for k, s in zip(line, part, strict=True)))
        for name, line, part in zip(classes, counts, share, strict=True)
    )
    return Matrix(candidate.model, rows, tuple(most_confused(counts, classes, 12)))


def _themed(drawing: Drawing | None) -> Any:
    """The SVG for the page: its ink follows the page's text colour; None without one."""
    import markupsafe

    if drawing is None:
        return None
    body = drawing.svg[drawing.svg.index("<svg") :].replace(INK, "currentColor")
    # figures.py wrote it: names inside are escaped text; it is not user markup
    return {"svg": markupsafe.Markup(body), "text": drawing.text}


def reproduce(benchmark: Benchmark) -> str:
    """The command that asks for the same benchmark, defaults left out."""
    manifest = benchmark.manifest
    settings = Settings.model_validate(manifest["settings"])
    command = "probe" if settings.recipe == "probe" else "train"
    plain = Settings.model_validate({"recipe": "probe"} if command == "probe" else {})
    words = ["vitbench", command, str(manifest.get("data", "data"))]
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value == getattr(plain, name):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else OFF.get(name, option.replace("--", "--no-")))
        elif isinstance(value, tuple) and name == "weights":
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


OFF = {"with_probe": "--no-probe"}
"""How an option is switched off, where that is not `--no-` and its name."""
