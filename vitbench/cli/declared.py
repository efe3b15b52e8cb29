"""`train`, `probe`, `pretrain` and TOML take the options that are declared (`Settings`, `CommandOptions`)."""

import functools
import inspect
import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from vitbench import files
from vitbench.cli.options import RESULTS
from vitbench.errors import UsageError
from vitbench.options import EVERY, RUNNING, TRAINING, Command, Declared, On, kinds, several
from vitbench.settings import ARMS, DISTILLED, RECIPE_OF, TEACHER, Settings


class CommandOptions(Declared):
    """What a call says besides its `Settings`."""

    data: Annotated[
        Path | None,
        On(
            EVERY,
            flag="DATA",
            default="data",
            help={"pretrain": "Folder of pictures, with class folders or without."},
        ),
    ] = None
    """Folder of class folders, or of train/ val/ test/."""
    max_params: Annotated[float | None, On(("probe",))] = None
    """Only models of at most so many million parameters."""
    max_gmacs: Annotated[float | None, On(("probe",))] = None
    """Only models of at most so many GMACs."""
    track: Annotated[Literal["tensorboard", "wandb", "trackio"] | None, On(TRAINING, RUNNING)] = None
    """Show every epoch in tensorboard, wandb or trackio too (`pip install 'vitbench[track]'`)."""
    shard: Annotated[str | None, On(EVERY, RUNNING, metavar="K/N")] = None
    """Carry out every N-th run only, from the K-th on: N such calls with one --name fill one benchmark, at
    the same time or not; each can be started again as it was.
    """
    results: Annotated[Path, On(EVERY)] = RESULTS
    """Folder in which benchmarks live."""
    name: Annotated[str | None, On(EVERY, default="FOLDER-DATE-N")] = None
    """The benchmark's folder."""
    resume: Annotated[bool, On(EVERY)] = False
    """Go on with what was interrupted."""
    allow_changed: Annotated[bool, On(EVERY)] = False
    """Go on also where torch and its kin, or the number of threads, have changed since: the weights are then
    not equal to the last bit to those of an uninterrupted run, and the table says so.
    """
    config: Annotated[Path | None, On(EVERY)] = None
    """TOML file with these options; options beat it."""
    dry_run: Annotated[bool, On(EVERY)] = False
    """Print the plan (with --json as JSON), write nothing."""
    as_json: Annotated[bool, On(EVERY, flag="--json")] = False
    """JSON on stdout instead of a table."""


# --- from declarations to a command ---------------------------------------------------------------

Body = Callable[[Settings, CommandOptions], None]
"""What a command does with the settings that a call names, and with the rest of it."""


def declares(command: Command) -> Callable[[Body], Callable[..., None]]:
    """Make a function the command of that name, with all options that it knows."""

    def wrap(body: Body) -> Callable[..., None]:
        @functools.wraps(body)
        def called(**given: Any) -> None:
            call = {name: given[name] for name in CommandOptions.model_fields if given.get(name) is not None}
            if command in RECIPE_OF:
                given["recipe"] = RECIPE_OF[command]
            body(named_settings(given), CommandOptions.of(call))

        parameters = [*parameters_of(Settings, command), *parameters_of(CommandOptions, command)]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {}
        return called

    return wrap


def parameters_of(model: type[Declared], command: Command) -> Iterator[inspect.Parameter]:
    """A parameter for each option that the command knows, as typer reads them; None where it is not given."""
    for name, field in model.model_fields.items():
        option = model.option(name)
        if command not in option.commands:
            continue
        annotation = option.types.get(command, field.annotation)
        taken, metavar = _taken(annotation, option.repeated)
        words = [kind for kind in kinds(annotation) if isinstance(kind, str)]
        told = _help(model, name, command)
        on, off = model.flags(name)
        info = (
            typer.Option(
                f"{on}/{off}" if off else on,
                metavar=option.metavar or metavar,
                help=told,
                rich_help_panel=option.panel,
                autocompletion=_completing(words) if words and several(annotation) else None,
            )
            if on.startswith("-")
            else typer.Argument(help=told)
        )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, info]
        )


def _taken(annotation: Any, repeated: bool) -> tuple[Any, str | None]:
    """The type by which typer reads a value, and what stands for it in the help, None: what typer says."""
    plain = tuple(kind for kind in kinds(annotation) if kind is not NoneType)
    words = tuple(kind for kind in plain if isinstance(kind, str))
    if several(annotation):
        return (list[str], "<str>") if repeated else (str, None)
    if words == plain:
        return Literal[words], "<choice>"
    if words:
        return str, "<int>"
    return plain[0] if plain[0] in (bool, int, float, Path) else str, None


def _completing(words: Sequence[str]) -> Callable[[str], list[str]]:
    """What the shell offers where words stand comma-separated."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        left = [word for word in words if word not in before.split(",")]
        return [before + comma + word for word in left if word.startswith(last)]

    return complete


def _help(model: type[Declared], name: str, command: Command) -> str:
    """The docstring, or what holds for this command, and the default."""
    option = model.option(name)
    said = option.help.get(command) or model.meaning(name)
    named = option.default
    shown = _shown(named.get(command, "") if isinstance(named, Mapping) else named)
    shown = shown or _shown(model.model_fields[name].default)
    return f"{said} [default: {shown}]" if shown else said


def _shown(value: Any) -> str:
    """A default for readers, "" where there is nothing to say of it."""
    if value is None or value is False or value in ({}, ()):
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


class DeclaredCommand(TyperCommand):
    """A command that says of another one's option which has it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """UsageError for an option that `train`, `probe` or `pretrain` has, and this one has not."""
        known = {flag for param in self.params for flag in (*param.opts, *param.secondary_opts)}
        for word in itertools.takewhile(lambda word: word != "--", args):
            flag = word.partition("=")[0]
            if flag not in known and (having := _commands_with(flag)):
                only = " and ".join(having)
                raise UsageError(f"{flag}: is no option of vitbench {self.name}, only of {only}")
        return super().parse_args(ctx, args)


def _commands_with(flag: str) -> tuple[Command, ...]:
    for model in (Settings, CommandOptions):
        for name in model.model_fields:
            if flag in model.flags(name) and flag.startswith("-"):
                return model.option(name).commands
    return ()


# --- what a call names ----------------------------------------------------------------------------


def named_settings(given: Mapping[str, Any]) -> Settings:
    """What a call names: `--config` first, its options on top.

    Raises UsageError, naming option and value, for what does not fit.
    """
    explicit = _config(Path(given["config"])) if given.get("config") else {}
    said = {
        name: value for name, value in given.items() if name in Settings.model_fields and value is not None
    }
    if arms := said.pop("arms", None):
        teacher = said.pop("teacher", None)
        explicit["arms"] = _arms(arms, explicit.get("arms", {}), teacher)
        if teacher and all(arm.get("teacher") != teacher for arm in explicit["arms"].values()):
            raise UsageError(f"--teacher {teacher}: no arm learns from it; add distill to --arms")
    explicit |= {name: _value(name, value) for name, value in said.items()}
    return Settings.of(explicit)


def _value(name: str, value: Any) -> Any:
    """A text as its field has it: comma-separated ones as a list, a number where it is no word.

    Any other value (out of a TOML file) as it is.
    """
    if not isinstance(value, str) or name not in Settings.model_fields:
        return value
    annotation = Settings.model_fields[name].annotation
    plain = kinds(annotation)
    if several(annotation) and not Settings.option(name).repeated and float not in plain:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [_whole(name, part) for part in parts] if int in plain else parts
    words = [kind for kind in plain if isinstance(kind, str)]
    return _whole(name, value, words) if int in plain and words and value not in words else value


def _whole(name: str, text: str, words: Sequence[str] = ()) -> int:
    try:
        return int(text)
    except ValueError:
        also = "".join(f" or {word!r}" for word in words)
        raise UsageError(f"{Settings.flags(name)[0]} {text[:80]}: needs a whole number{also}") from None


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
    found: dict[str, Any] = {}
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        if name not in known and name not in ARMS:
            there = ", ".join(dict.fromkeys([*known, *ARMS]))
            raise UsageError(f"--arms {name}: no such arm; there are {there}, and those of a --config file")
        usual = {**ARMS.get(name, {}), **({"teacher": teacher or TEACHER} if name == DISTILLED else {})}
        found[name] = known.get(name, usual)
    return found
