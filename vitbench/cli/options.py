"""What the commands share: options of more than one, outputs, exit statuses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vitbench.errors import UsageError
from vitbench.options import RUNNING, fit, kinds, parsed, several
from vitbench.settings import Settings

DATA = Path("data")
RESULTS = Path("results")
EXIT_FAILED, EXIT_PARTLY = 1, 3


def status_of(done: int, wanted: int) -> int:
    """The exit status where so many of the models or pictures that were wanted are there: 0, 1 or 3."""
    return 0 if done == wanted else EXIT_PARTLY if done else EXIT_FAILED


def option(flag: str, kind: Any, told: str, *, metavar: str | None = None, panel: str | None = None) -> Any:
    """typer's option whose value is of a `kind`; what is not is refused as everywhere (`fit`)."""
    info = text_option(flag, kind, told, metavar=metavar, panel=panel)
    info.parser = lambda text: fit(flag, kind, parsed(kind, text) if isinstance(text, str) else text)
    return info


def text_option(
    flag: str, kind: Any, told: str, *, metavar: str | None = None, panel: str | None = None
) -> Any:
    """typer's option whose value, of a `kind`, is handed on as the text that it is."""
    words = [one for one in kinds(kind) if isinstance(one, str)]
    return typer.Option(
        flag,
        metavar=metavar or _metavar(kind, words),
        help=told,
        show_default=False,
        autocompletion=_completing(words, several(kind)) if words else None,
        rich_help_panel=panel,
    )


def _metavar(kind: Any, words: Sequence[str]) -> str:
    """What stands for a value in the help."""
    taken = kinds(kind)
    number = "N" if int in taken else "X" if float in taken else ""
    named = "PATH" if Path in taken else "NAME" if words else "TEXT"
    return f"{number or named},…" if several(kind) else number or named


def _completing(words: Sequence[str], many: bool) -> Callable[[str], list[str]]:
    """What the shell offers; where words stand comma-separated, those that are not there yet."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if many else ("", "", incomplete)
        left = [word for word in words if word not in before.split(",")]
        return [before + comma + word for word in left if word.startswith(last)]

    return complete


OUTPUTS = "Outputs"
READING = "How pictures are read"
"""Panels of `--help-all`."""

ResultsOption = Annotated[
    Path, option("--results", Path, "Folder in which benchmarks live. [default: results]", panel=RUNNING)
]
DeviceOption = Annotated[str, option("--device", str, "auto, cpu, cuda, mps. [default: auto]", panel=READING)]
JsonOption = Annotated[
    bool, typer.Option("--json", help="JSON on stdout instead of a table.", rich_help_panel=OUTPUTS)
]
BenchmarkArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="A benchmark. [default: the newest]", show_default=False)
]
NoImagesOption = Annotated[
    bool,
    typer.Option("--no-images", help="Leave the photographs out of --report.", rich_help_panel=OUTPUTS),
]
AnonymousOption = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        help="No paths, file or folder names in --report; class names stay.",
        rich_help_panel=OUTPUTS,
    ),
]
PixelRangeOption = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help=f"{Settings.meaning('pixel_range')} [default: what the values of all of them show]",
        rich_help_panel=READING,
    ),
]
Format = Literal["md", "csv", "latex", "json"]

# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where answers go besides, or instead of, the table."""

    as_json: bool = False
    out: Path | None = None
    sheet: Path | None = None
    report: Path | None = None
    images: bool = True
    """Small copies of the photographs stand in the report."""
    anonymous: bool = False
    every: bool = False
    """The table has every picture, also where they are more than a screen."""
    explain: bool = False
    """Maps of what each answer rests on."""

    @property
    def streams(self) -> bool:
        """True where no answer is needed any more once it is printed: JSON lines and nothing else."""
        return self.as_json and self.out is None and self.sheet is None and self.report is None

    def check(self) -> None:
        """UsageError before any work for a file that could not be written in the end."""
        if self.out is not None and self.out.suffix.lower() not in (".csv", ".json"):
            raise UsageError(f"--out {self.out}: name a .csv or .json file")
        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise UsageError(f"--sheet {self.sheet}: name a .png file")
        check_report(self.report, images=self.images, anonymous=self.anonymous)
        drawn = self.as_json or self.sheet or self.report or (self.out and self.out.suffix == ".json")
        if self.explain and not drawn:
            raise UsageError("--explain: needs --sheet, --report, --json or --out FILE.json for its maps")
        for path in (self.out, self.sheet):
            if path is not None and not path.parent.is_dir():
                raise UsageError(f"{path.parent}: no such folder; make it first")
        if self.report is not None and self.out == self.report.with_suffix(".json"):
            raise UsageError(f"--out {self.out}: --report writes its data there; name another file")


@dataclass(frozen=True, slots=True)
class Output:
    """How a comparison is shown."""

    form: Format | None = None
    """On stdout; None: a screen."""
    report: Path | None = None
    images: bool = True
    anonymous: bool = False
    details: bool = False
    """Everything that there is to say, not the first screen."""

    def check(self) -> None:
        """UsageError before any work for what cannot be meant, or could not be written in the end."""
        if self.details and self.form is not None:
            raise UsageError("--details: is what a screen shows; leave --format and --json away")
        check_report(self.report, images=self.images, anonymous=self.anonymous)


def check_report(report: Path | None, *, images: bool, anonymous: bool) -> None:
    """UsageError for a report that could not be written, and for options that need one."""
    if report is None:
        for option, given in (("--no-images", not images), ("--anonymous", anonymous)):
            if given:
                raise UsageError(f"{option}: needs --report FILE.html")
        return
    if report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {report}: name an .html file")
    if not report.parent.is_dir():
        raise UsageError(f"{report.parent}: no such folder; make it first")


def two_ends(text: str | None) -> tuple[float, float] | None:
    """ "0,4095" as two numbers; UsageError for anything else."""
    return None if text is None else Settings.of({"pixel_range": text}).pixel_range
