"""Options: their words in `--help`, and how text becomes `Settings` fields."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vitbench import files
from vitbench.errors import UsageError

DATA = Path("data")
RESULTS = Path("results")
EXIT_FAILED, EXIT_PARTLY = 1, 3


def status_of(done: int, wanted: int) -> int:
    """The exit status where so many of the models or pictures that were wanted are there: 0, 1 or 3."""
    return 0 if done == wanted else EXIT_PARTLY if done else EXIT_FAILED


ResultsOption = Annotated[
    Path, typer.Option("--results", help="Folder in which benchmarks live.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]

NoImagesOption = Annotated[bool, typer.Option("--no-images", help="Leave the photographs out of --report.")]
AnonymousOption = Annotated[
    bool, typer.Option("--anonymous", help="No paths, file or folder names in --report; class names stay.")
]
FORMATS = ("md", "csv", "latex", "json")

# --- of train and probe ---------------------------------------------------------------------------

LEARNING, TEACHING = "How it learns", "Teachers, masks and arms"
DIVIDING, RUNNING = "How the pictures are divided", "How it runs"

DataArgument = Annotated[
    Path | None, typer.Argument(help="Folder of class folders, or of train/ val/ test/. [default: data]")
]
PicturesArgument = Annotated[
    Path | None, typer.Argument(help="Folder of pictures, with class folders or without. [default: data]")
]
SplitSeedOption = Annotated[
    int | None, typer.Option(help="Seed of the split. [default: 0]", rich_help_panel=DIVIDING)
]
LayoutOption = Annotated[
    str | None, typer.Option(help="auto, flat or split. [default: auto]", rich_help_panel=DIVIDING)
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="What keeps pictures on one side: a pattern over paths, such as 'scene(\\d+)', or a csv with "
        "the columns path and group.",
        rich_help_panel=DIVIDING,
    ),
]
BurstOption = Annotated[
    float | None,
    typer.Option(
        help="Keep pictures of a class on one side that were taken within so many seconds (EXIF).",
        rich_help_panel=DIVIDING,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]", rich_help_panel=RUNNING),
]
PrecisionOption = Annotated[
    str | None, typer.Option(help="auto, fp32, bf16, fp16. [default: auto]", rich_help_panel=RUNNING)
]
TrackOption = Annotated[
    str | None,
    typer.Option(
        help="Show every epoch in tensorboard, wandb or trackio too (`pip install 'vitbench[track]'`).",
        rich_help_panel=RUNNING,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Threads that prepare pictures ahead. [default: as many as are waited for]",
        rich_help_panel=RUNNING,
    ),
]
StoreDirOption = Annotated[
    Path | None,
    typer.Option(
        "--store-dir",
        help="Folder that keeps decoded pictures for later epochs, models and benchmarks. "
        "[default: decoded/ in $VITBENCH_CACHE or the user's cache folder]",
        rich_help_panel=RUNNING,
    ),
]
StoreOption = Annotated[
    bool | None,
    typer.Option("--store/--no-store", help="Keep decoded pictures. [default: yes]", rich_help_panel=RUNNING),
]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="pretrained, random, auto, a PATH, a benchmark or run, or MODEL=PATH; repeatable. "
        "[default: pretrained]"
    ),
]
MaskRatioOption = Annotated[
    float | None,
    typer.Option(help="Share of a picture that is hidden. [default: .6]", rich_help_panel=TEACHING),
]
MaskSizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Side of what is hidden, px. [default: 32 at 224 px]", rich_help_panel=TEACHING),
]
MaskTargetOption = Annotated[
    str | None,
    typer.Option(
        help="pixels, or normalised by their neighbourhood. [default: pixels]", rich_help_panel=TEACHING
    ),
]
ImageSizeOption = Annotated[
    str | None,
    typer.Option(help="Pixels, or native for each model's own. [default: 224]", rich_help_panel=LEARNING),
]
NameOption = Annotated[str | None, typer.Option(help="The benchmark's folder. [default: FOLDER-DATE-N]")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")]
AnywayOption = Annotated[
    bool,
    typer.Option(
        "--resume-anyway",
        help="Go on also where torch and its kin, or the number of threads, have changed since: the weights "
        "are then not equal to the last bit to those of an uninterrupted run, and the table says so.",
    ),
]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")]
NearOption = Annotated[
    bool | None,
    typer.Option(
        "--near-duplicates/--no-near-duplicates",
        help="Look for near-copies (encoded again, resized, mirrored …) and keep them on one side. "
        "[default: yes]",
        rich_help_panel=DIVIDING,
    ),
]
PixelRangeOption = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="What is black and what is white in pictures of more than 8 bits. [default: what the values of "
        "all of them show]",
        rich_help_panel=DIVIDING,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse leaks, clashing labels and signs of augmented copies.",
        rich_help_panel=DIVIDING,
    ),
]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML file with these options; options beat it.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Carry out every N-th run only, from the K-th on: N such calls with one --name fill one "
        "benchmark, at the same time or not; each can be started again as it was.",
        rich_help_panel=RUNNING,
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan (with --json as JSON), write nothing.")
]

# --------------------------------------------------------------------------------------------------

LISTS = ("models", "seeds")
SWITCHES = ("quick", "skip_bad", "strict", "pretrain", "with_test")
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


def two_ends(text: str | None) -> tuple[float, float] | None:
    """ "0,4095" as two numbers; UsageError for anything else."""
    if text is None:
        return None
    from vitbench.records import Settings

    return Settings.of({"pixel_range": text}).pixel_range


def explicit_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """The `Settings` fields that a call names: `--config` first, its options on top.

    Raises UsageError, naming option and value, for what does not fit.
    """
    from vitbench.records import Settings

    explicit = _config(Path(params["config"])) if params.get("config") else {}
    if params.get("arms"):
        teacher = params.get("teacher")
        explicit["arms"] = _arms(params["arms"], explicit.get("arms", {}), teacher)
        if teacher and all(arm.get("teacher") != teacher for arm in explicit["arms"].values()):
            raise UsageError(f"--teacher {teacher}: no arm learns from it; add distill to --arms")
    given_by_arms = ("arms", "teacher") if params.get("arms") else ("arms",)
    for field in Settings.model_fields:
        value = params.get(field) if field not in given_by_arms else None
        if value is None or value in ([], ()) or (value is False and field in SWITCHES):
            continue
        explicit[field] = _value(field, value)
    Settings.of(explicit)
    return explicit


def _value(field: str, value: Any) -> Any:
    """A text as the option's type has it; any other value (out of a TOML file) as it is."""
    if not isinstance(value, str):
        return value
    if field in LISTS:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [_whole(field, part) for part in parts] if field == "seeds" else parts
    if field in NUMBER_OR_WORD and value != NUMBER_OR_WORD[field]:
        return _whole(field, value)
    return value


def _whole(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        word = f" or {NUMBER_OR_WORD[field]!r}" if field in NUMBER_OR_WORD else ""
        raise UsageError(f"--{field.replace('_', '-')} {text[:80]}: needs a whole number{word}") from None


def _config(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(files.text_of(path))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML ({error})") from error
    found = _fields(content)
    if isinstance(arms := found.get("arms"), dict):
        found["arms"] = {
            name: _fields(fields) if isinstance(fields, dict) else fields for name, fields in arms.items()
        }
    return found


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of options, named as on the command line or as in `Settings`."""
    found = {key.replace("-", "_"): value for key, value in table.items()}
    return {key: _value(key, value) for key, value in found.items()}


def _arms(names: str, known: Mapping[str, Any], teacher: str | None) -> dict[str, Any]:
    """The arms that `--arms` names: of the config file, or the usual ones."""
    from vitbench.records import ARMS, DISTILLED, TEACHER

    found: dict[str, Any] = {}
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        if name not in known and name not in ARMS:
            there = ", ".join(dict.fromkeys([*known, *ARMS]))
            raise UsageError(f"--arms {name}: no such arm; there are {there}, and those of a --config file")
        usual = {**ARMS.get(name, {}), **({"teacher": teacher or TEACHER} if name == DISTILLED else {})}
        found[name] = known.get(name, usual)
    return found
