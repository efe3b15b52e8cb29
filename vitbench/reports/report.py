"""What a report says, as one structure: `report.html` is drawn from it, `report.json` is it.

`comparison_report` makes it of a benchmark, `answers_report` of the answers to new photos.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from vitbench import files
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import Narrative
from vitbench.records import LOW_CONFIDENCE
from vitbench.reports.figures import Curve

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).parent / "report.schema.json"
"""The published JSON schema of `report.json`."""
MOST_PICTURES = 200
"""Pictures in a report; the rest are counted."""
MOST_TWINS = 24
"""Pairs of copies in a report; the rest are counted."""
STRIP = 8
"""Photos on the first screen."""


@dataclass(frozen=True)
class Options:
    """What a report may tell."""

    images: bool = True
    """Small copies of the photographs stand in the page."""
    anonymous: bool = False
    """No path, file name, folder or benchmark name stands in page or JSON; class names do."""


@dataclass(frozen=True)
class Guess:
    """One answer."""

    answer: str
    """A class."""
    probability: float


@dataclass(frozen=True)
class Said:
    """One run's answer on one picture."""

    run: str
    answer: str
    """The most probable class."""
    probability: float
    right: bool | None
    """None: the picture's class is not known."""
    others: tuple[Guess, ...] = ()
    """The next answers, where they were asked for."""

    @property
    def unsure(self) -> bool:
        return self.probability < LOW_CONFIDENCE


@dataclass(frozen=True)
class Picture:
    """One picture with every run's answer."""

    number: int
    """Its place among all pictures, from 1: what its photograph is looked up by."""
    name: str
    """Its path as the benchmark or the user named it; "picture 17" in anonymous reports."""
    truth: str | None
    """Its class; None: not known."""
    said: tuple[Said, ...]
    seen: str = ""
    """The part of the models' own split that it lies in: "train", "val", "test"; "": none, or not asked."""
    error: str = ""
    """Why it could not be read, one line."""

    @property
    def disputed(self) -> bool:
        """The runs do not all name the same class."""
        return len({one.answer for one in self.said}) > 1

    @property
    def wrong(self) -> int:
        """How many runs name another class than the picture's."""
        return sum(one.right is False for one in self.said)

    @property
    def unsure(self) -> bool:
        return any(one.unsure for one in self.said)


@dataclass(frozen=True)
class Confused:
    """How often pictures of one class got one answer, the right one included."""

    truth: str
    answer: str
    count: int


@dataclass(frozen=True)
class Confusion:
    """A model's answers by true class, summed over its tested seeds."""

    model: str
    cells: tuple[Confused, ...]
    """Counts above 0, in class order."""


@dataclass(frozen=True)
class Badge:
    """What a reader must know of one model before comparing it."""

    model: str
    text: str
    """Two or three words."""
    meaning: str
    """One sentence."""


@dataclass(frozen=True)
class Score:
    """How often a run was right on new pictures whose class is known."""

    run: str
    correct: int
    n: int
    """Pictures that took no part in its training; this is what `correct` is counted over."""
    top1: float
    low: float
    """95 %, Wilson."""
    high: float


@dataclass(frozen=True)
class Agreement:
    """How often two runs gave the same answer."""

    run_a: str
    run_b: str
    same: int
    n: int


@dataclass(frozen=True)
class Twins:
    """A test picture and one like it that training knows."""

    number: int
    """Of the test picture, as in `Picture`."""
    name: str
    other_number: int
    """What the other one's photograph is looked up by: behind all test pictures."""
    other_name: str
    part: str
    """Where the other one is: "train", "val", "fold 2"."""
    how: str
    """What was done to one to get the other."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A comparison on a test set, or answers to new photos; scores are fractions."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}  # of all dataclasses in it
    schema_version: int = SCHEMA_VERSION
    kind: Literal["comparison", "answers"]
    name: str
    """Of the benchmark."""
    created: str
    """When the benchmark was started, or the answers were given; "" where it is not known."""
    images: bool
    anonymous: bool
    notice: str
    """Which kind of report this is, one or two sentences."""
    headline: str
    """The answer in plain words with the numbers that carry it."""
    gap: str
    """The smallest difference that this test set could show, in plain words; "" for new photos."""
    advice: str
    """The next step; "" where no rule applies."""
    classes: tuple[str, ...]
    runs: tuple[str, ...]
    """Those that answered, as named in `pictures`."""
    comparison: Comparison | None
    """None for new photos, as the next."""
    narrative: Narrative | None
    """What the comparison says."""
    badges: tuple[Badge, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    scores: tuple[Score, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    pictures: tuple[Picture, ...]
    """The most telling ones, at most 200: disputed first, then wrong, then unsure."""
    n_pictures: int
    """All pictures that were answered, those left out here included."""
    left_out: int
    twins: tuple[Twins, ...] = ()
    """The first of the test pictures that training knows; all are in `comparison.leaks`."""
    notes: tuple[str, ...]
    """What a reader must know to trust it, one line each."""
    command: str
    """What makes the same again; a line per benchmark."""
    versions: Mapping[str, str]
    machine: Mapping[str, str]

    @property
    def strip(self) -> tuple[Picture, ...]:
        """The photos of the first screen: the disputed ones, or else the wrong or unsure ones."""
        readable = [picture for picture in self.pictures if not picture.error]
        chosen = [p for p in readable if p.disputed] or [p for p in readable if p.wrong or p.unsure]
        return tuple(chosen[:STRIP])

    @property
    def disputed(self) -> int:
        """Pictures here on which the runs do not agree."""
        return sum(picture.disputed for picture in self.pictures)


def report_json(report: Report) -> str:
    """`report.json`: the whole report; it holds no photographs, and NaN never occurs."""
    return (
        json.dumps(_plain(dataclasses.asdict(report)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def _plain(value: Any) -> Any:
    """The value with text that is UTF-8, and None for numbers that are none."""
    if isinstance(value, str):
        return files.readable(value)
    if isinstance(value, Mapping):
        return {files.readable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- schema ---------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """The JSON schema of `report.json` (draft 2020-12), with the docstrings of the fields in it.

    `python -m vitbench.reports.report` prints it; `report.schema.json` is that.
    """
    from pydantic import TypeAdapter

    found = TypeAdapter(Report).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def schema_text() -> str:
    """What `report.schema.json` holds."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
