"""`train`, `probe`, `pretrain` and TOML take the options that are declared (`Settings`, `CommandOptions`)."""

import functools
import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vitbench import files
from vitbench.cli.options import RESULTS, text_option
from vitbench.defaults import ARMS, DISTILLED, RECIPE_OF, TEACHER
from vitbench.errors import UsageError, did_you_mean
from vitbench.options import (
    EVERY,
    LEARNING,
    RUNNING,
    TRAINING,
    Command,
    Declared,
    On,
    Positive,
    Switch,
    kinds,
    parsed,
)
from vitbench.settings import Settings


class CommandOptions(Declared):
    """What a call says besides its `Settings`."""

    data: Annotated[
        Path | None,
        On(
            EVERY,
            LEARNING,
            flag="DATA",
            default="data",
            help={"pretrain": "Folder of pictures, with class folders or without."},
        ),
    ] = None
    """Folder of class folders, or of train/ val/ test/."""
    max_params: Annotated[Positive | None, On(("probe",), LEARNING, common=True)] = None
    """Only models of at most so many million parameters."""
    max_gmacs: Annotated[Positive | None, On(("probe",), LEARNING, common=True)] = None
    """Only models of at most so many GMACs."""
    track: Annotated[Literal["tensorboard", "wandb", "trackio"] | None, On(TRAINING, RUNNING)] = None
    """Show every epoch in tensorboard, wandb or trackio too (`pip install 'vitbench[track]'`)."""
    shard: Annotated[str | None, On(EVERY, RUNNING, metavar="K/N")] = None
    """Carry out every N-th run only, from the K-th on: N such calls with one --name fill one benchmark, at
    the same time or not; each can be started again as it was.
    """
    engine: Annotated[Literal["local", "ray"], On(EVERY, RUNNING)] = "local"
    """local, or ray: each run is a task of a Ray cluster, or of a Ray started here (`pip install
    'vitbench[ray]'`); what is lost with a machine goes on elsewhere.
    """
    address: Annotated[
        str | None,
        On(EVERY, RUNNING, metavar="WHERE", default="the one that is there, else one started here"),
    ] = None
    """Which Ray: auto, ray://HOST:10001, HOST:6379 or local.
    """
    results: Annotated[Path, On(EVERY, RUNNING)] = RESULTS
    """Folder in which benchmarks live."""
    name: Annotated[str | None, On(EVERY, RUNNING, common=True, metavar="NAME", default="FOLDER-DATE-N")] = (
        None
    )
    """The benchmark's folder."""
    resume: Annotated[Switch, On(EVERY, RUNNING, common=True)] = False
    """Go on with what was interrupted."""
    allow_changed: Annotated[Switch, On(EVERY, RUNNING)] = False
    """Go on also where torch and its kin, or the number of threads, have changed since: the weights are then
    not equal to the last bit to those of an uninterrupted run, and the table says so.
    """
    config: Annotated[Path | None, On(EVERY, RUNNING, metavar="FILE.toml")] = None
    """TOML file with these options; options beat it."""
    dry_run: Annotated[Switch, On(EVERY, RUNNING, common=True)] = False
    """Print the plan (with --json as JSON), write nothing."""
    as_json: Annotated[Switch, On(EVERY, RUNNING, flag="--json")] = False
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
            named = CommandOptions.of(
                {name: _value(CommandOptions, name, value) for name, value in call.items()}
            )
            body(named_settings(given, command), named)

        parameters = [*parameters_of(Settings, command), *parameters_of(CommandOptions, command)]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {}
        return called

    return wrap


def parameters_of(model: type[Declared], command: Command) -> Iterator[inspect.Parameter]:
    """A parameter for each option that the command knows, as typer reads them; None where it is not given."""
    for name in model.model_fields:
        if command in model.option(name).commands:
            yield parameter_of(model, name, command)


def parameter_of(model: type[Declared], name: str, command: Command) -> inspect.Parameter:
    """The parameter for an option as a command has it."""
    option, field = model.option(name), model.model_fields[name]
    annotation = option.types.get(command, field.annotation)
    told = _help(model, name, command)
    on, off = model.flags(name)
    panel = None if option.common else option.panel
    taken: Any = bool if bool in kinds(annotation) else list[str] if option.repeated else str
    info = (
        typer.Argument(help=told, metavar=on)
        if not on.startswith("-")
        else typer.Option(f"{on}/{off}" if off else on, help=told, rich_help_panel=panel)
        if taken is bool
        else text_option(on, annotation, told, metavar=option.metavar, panel=panel)
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, info]
    )


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


# --- what a call names ----------------------------------------------------------------------------


def named_settings(given: Mapping[str, Any], command: Command = "train") -> Settings:
    """What a call of a command names: `--config` first, its options on top.

    Raises UsageError, naming option and value, for what does not fit.
    """
    explicit = _config(Path(given["config"]), command) if given.get("config") else {}
    said = {
        name: value for name, value in given.items() if name in Settings.model_fields and value is not None
    }
    if arms := said.pop("arms", None):
        teacher = said.pop("teacher", None)
        explicit["arms"] = _arms(arms, explicit.get("arms", {}), teacher)
        if teacher and all(arm.get("teacher") != teacher for arm in explicit["arms"].values()):
            raise UsageError(f"--teacher {teacher}: no arm learns from it; add distill to --arms")
    explicit |= {name: _value(Settings, name, value) for name, value in said.items()}
    return Settings.asked(command, explicit)


def _value(model: type[Declared], name: str, value: Any) -> Any:
    """A text as its field has it; any other value (out of a TOML file) as it is."""
    if not isinstance(value, str) or name not in model.model_fields or model.option(name).repeated:
        return value
    return parsed(model.model_fields[name].annotation, value)


def _config(path: Path, command: Command) -> dict[str, Any]:
    """The options that a file names; UsageError, with the file's name in front, for what does not fit."""
    try:
        content = tomllib.loads(files.text_of(path))
    except OSError as error:
        raise UsageError(f"--config {path}: {str(error.strerror).lower()}{files.near_path(path)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML ({error})") from error
    found = _fields(content)
    if isinstance(arms := found.get("arms"), dict):
        found["arms"] = {
            name: _fields(fields) if isinstance(fields, dict) else fields for name, fields in arms.items()
        }
    if calling := [name for name in found if name in CommandOptions.model_fields]:
        raise UsageError(
            f"--config {path}: {CommandOptions.flags(calling[0])[0]}: stands on the command line, in no file"
        )
    try:
        Settings.asked(command, {**found, "recipe": RECIPE_OF.get(command, found.get("recipe", "finetune"))})
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from error
    return found


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of options, named as on the command line or as in `Settings`."""
    found = {key.replace("-", "_"): value for key, value in table.items()}
    return {key: _value(Settings, key, value) for key, value in found.items()}


def _arms(names: str, known: Mapping[str, Any], teacher: str | None) -> dict[str, Any]:
    """The arms that `--arms` names: of the config file, or the usual ones."""
    found: dict[str, Any] = {}
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        if name not in known and name not in ARMS:
            there = ", ".join(dict.fromkeys([*known, *ARMS]))
            near = did_you_mean(name, [*known, *ARMS])
            way_on = near or f"; there are {there}, and those of a --config file"
            raise UsageError(f"--arms {name}: no such arm{way_on}")
        usual = {**ARMS.get(name, {}), **({"teacher": teacher or TEACHER} if name == DISTILLED else {})}
        found[name] = known.get(name, usual)
    return found
