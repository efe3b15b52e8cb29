"""Options: their words in `--help`, and how text becomes `Settings` fields."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vitbench.errors import UsageError

DATA = Path("data")
RESULTS = Path("results")
EXIT_FAILED, EXIT_PARTLY = 1, 3

ResultsOption = Annotated[
    Path, typer.Option("--results", help="Folder in which benchmarks live.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]

NoImagesOption = Annotated[bool, typer.Option("--no-images", help="Leave the photographs out of --report.")]
AnonymousOption = Annotated[
    bool, typer.Option("--anonymous", help="No paths, file or folder names in --report; class names stay.")
]
FORMATS = ("md", "csv", "latex", "json")

LISTS = ("models", "seeds")
SWITCHES = ("quick", "skip_bad", "strict")
"""Options that can only be switched on."""
NUMBER_OR_WORD = {"per_class": "all", "image_size": "native", "folds": "auto"}


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

    def check(self) -> None:
        """UsageError before any work for a file that could not be written in the end."""
        if self.out is not None and self.out.suffix.lower() not in (".csv", ".json"):
            raise UsageError(f"--out {self.out}: name a .csv or .json file")
        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise UsageError(f"--sheet {self.sheet}: name a .png file")
        check_report(self.report, images=self.images, anonymous=self.anonymous)
        for path in (self.out, self.sheet):
            if path is not None and not path.parent.is_dir():
                raise UsageError(f"{path.parent}: no such folder; make it first")
        if self.report is not None and self.out == self.report.with_suffix(".json"):
            raise UsageError(f"--out {self.out}: --report writes its data there; name another file")


@dataclass(frozen=True, slots=True)
class Output:
    """How a comparison is shown."""

    form: str | None = None
    """One of `FORMATS` on stdout; None: a table for the screen."""
    report: Path | None = None
    images: bool = True
    anonymous: bool = False

    def check(self) -> None:
        """UsageError before any work for what could not be written in the end."""
        if self.form is not None and self.form not in FORMATS:
            raise UsageError(f"--format {self.form}: there are {', '.join(FORMATS)}")
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


def explicit_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """The `Settings` fields that a call names: `--config` first, its options on top.

    Raises UsageError, naming option and value, for what does not fit.
    """
    from vitbench.records import Settings

    explicit = _config(Path(params["config"])) if params.get("config") else {}
    for field in Settings.model_fields:
        value = params.get(field)
        if value is None or value in ([], ()) or (value is False and field in SWITCHES):
            continue
        explicit[field] = _value(field, value)
    Settings.of(explicit)
    return explicit


def _value(field: str, value: Any) -> Any:
    if field in LISTS and isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [_whole(field, part) for part in parts] if field == "seeds" else parts
    if field in NUMBER_OR_WORD and value != NUMBER_OR_WORD[field]:
        return _whole(field, value)
    return value


def _whole(field: str, text: Any) -> int:
    option = field.replace("_", "-")
    try:
        number = int(text)
    except ValueError:
        word = f" or {NUMBER_OR_WORD[field]!r}" if field in NUMBER_OR_WORD else ""
        raise UsageError(f"--{option} {text}: needs a whole number{word}") from None
    if number < (0 if field == "seeds" else 1):
        raise UsageError(f"--{option} {text}: too small")
    return number


def _config(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML ({error})") from error
    found = {key.replace("-", "_"): value for key, value in content.items()}
    return {key: _value(key, value) for key, value in found.items()}
