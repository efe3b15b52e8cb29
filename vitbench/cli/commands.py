"""How commands are told about and read: one page of help for all, one sentence for every slip."""

import inspect
import itertools
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from vitbench.cli.declared import CommandOptions
from vitbench.errors import UsageError, did_you_mean
from vitbench.options import no_option, not_of, quoted
from vitbench.settings import Settings

CALL_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
"""click's UsageError, which some versions of typer carry inside."""

GROUPS = {
    "Which model, and how sure": ("train", "compare", "predict"),
    "Before that": ("demo", "data", "probe", "models"),
    "Deeper": ("inspect", "cost", "stress", "transfer", "sweep", "export", "pretrain"),
}
"""The commands in the order of `vitbench --help`; the last group has those that are named in none."""


class Command(TyperCommand):
    """A command whose `--help` explains what most need and names the rest, which `--help-all` explains."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """UsageError, in one line, for what the command does not know."""
        before = list(itertools.takewhile(lambda word: word != "--", args))
        known = set(_flags(self))
        for flag in (word.partition("=")[0] for word in before):
            if flag not in known and (having := _having(flag)):
                raise UsageError(not_of(self.name, flag, having))
        try:
            if not ctx.resilient_parsing:
                _refuse_twice(self.make_parser(ctx).parse_args(list(args))[2], before)
            return super().parse_args(ctx, args)
        except CALL_ERROR as error:
            error.ctx = error.ctx or ctx  # the parser does not always say whose options it reads
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Usage, what it does, examples, options."""
        _format_head(self, ctx, formatter)
        panels: defaultdict[str, list[Any]] = defaultdict(list)
        params = self.get_params(ctx)
        for param in sorted(params, key=lambda one: one.param_type_name == "option"):
            panels[getattr(param, "rich_help_panel", None) or ""].append(param)
        first = panels.pop("")
        if not panels:
            first = [param for param in first if param.name != HELP_ALL]
        _section(formatter, "Options", [_told(param, ctx) for param in first])
        if ctx.meta.get(HELP_ALL):
            for panel, params in panels.items():
                _section(formatter, panel, [_told(param, ctx) for param in params])
        elif panels:
            rows = [
                (panel, " ".join(flag for param in params for flag in param.opts))
                for panel, params in panels.items()
            ]
            _section(formatter, f"More, explained by `{path(ctx)} --help-all`", rows)


class Group(TyperGroup):
    """Commands in groups, those that are needed first first."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Usage, what it is for, examples, commands, options."""
        _format_head(self, ctx, formatter)
        there = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        told = {name: _first(command) for name, command in there.items() if command and not command.hidden}
        groups = {"Commands": list(told)}
        if "train" in told:
            groups = {title: [name for name in names if name in told] for title, names in GROUPS.items()}
            grouped = {name for names in groups.values() for name in names}
            groups[list(GROUPS)[-1]] += [name for name in told if name not in grouped]
        for title, names in groups.items():
            _section(formatter, title, [(name, told[name]) for name in names], max(map(len, told)))
        _section(formatter, "Options", [_told(param, ctx) for param in self.get_params(ctx)])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """UsageError, in one line, for a command that there is not."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            names = self.list_commands(ctx)
            there = f"; did you mean {path(ctx)} train {quoted(args[0])}?" if Path(args[0]).is_dir() else ""
            way_on = did_you_mean(args[0], names) or there or f"; there are {', '.join(names)}"
            raise UsageError(f"{path(ctx)} {quoted(args[0])}: no such command{way_on}")
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """typer's app, of such commands."""

    def command(self, name: str | None = None, **more: Any) -> Callable[[Any], Any]:
        """As typer's, with `--help-all`."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            super(App, self).command(name, cls=Command, **more)(_with_help_all(function))
            return function

        return register


# --- help -----------------------------------------------------------------------------------------

HELP_ALL = "help_all"
NAMES = 24
"""Cells for the names of options; what stands beside longer ones begins on the next line."""


def _show_all(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[HELP_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


def _with_help_all(function: Callable[..., None]) -> Callable[..., None]:
    """The function with one option more, which it does not hear of."""

    def called(**given: Any) -> None:
        del given[HELP_ALL]
        function(**given)

    option = typer.Option(
        "--help-all", is_eager=True, callback=_show_all, help="Show every option, explained, and exit."
    )
    signature = inspect.signature(function)
    asked = inspect.Parameter(
        HELP_ALL, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option]
    )
    called.__doc__ = function.__doc__
    called.__name__, called.__module__ = function.__name__, function.__module__
    called.__signature__ = signature.replace(parameters=[*signature.parameters.values(), asked])  # type: ignore[attr-defined]
    called.__annotations__ = {**function.__annotations__, HELP_ALL: asked.annotation}
    return called


def _first(command: Any) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0]


def _format_head(command: Any, ctx: Any, formatter: Any) -> None:
    """Usage, the first sentence, the examples, and what else is to be said."""
    command.format_usage(ctx, formatter)
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        title, _, lines = paragraph.partition(":\n")
        if title not in ("Examples", "More examples"):
            formatter.write("\n" + textwrap.fill(" ".join(paragraph.split()), formatter.width) + "\n")
        elif title == "Examples" or ctx.meta.get(HELP_ALL):
            formatter.write(f"\n{_heading(title)}\n" + textwrap.indent(lines, "  ") + "\n")


def _section(formatter: Any, title: str, rows: Sequence[tuple[str, str]], names: int = 0) -> None:
    """A heading, and below it names, in `names` cells or what they need, with what they mean beside them."""
    formatter.write(f"\n{_heading(title)}\n")
    left = (names or min(max(len(name) for name, _ in rows), NAMES)) + 2
    for name, told in rows:
        lines = textwrap.wrap(
            " ".join(told.split()), formatter.width - left - 2, break_on_hyphens=False, break_long_words=False
        )
        begins = [name.ljust(left) + line for line in lines[:1]] if len(name) + 2 <= left else [name]
        rest = lines[1:] if len(name) + 2 <= left else lines
        for line in [*(begins or [name]), *(" " * left + line for line in rest)]:
            formatter.write(f"  {line}\n")


def _heading(title: str) -> str:
    return typer.style(f"{title}:", bold=True)


def _told(param: Any, ctx: Any) -> tuple[str, str]:
    """How a parameter is written, and what it means."""
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper(), param.help or ""
    names, told = param.get_help_record(ctx)
    return names, told


def path(ctx: Any) -> str:
    """ "vitbench data check", of click's context of a call."""
    return f"{path(ctx.parent)} {ctx.info_name}" if ctx and ctx.parent else "vitbench"


# --- slips ----------------------------------------------------------------------------------------


def refused(error: Any) -> UsageError:
    """The house's sentence for a call that click cannot read."""
    command, kind = path(error.ctx), type(error).__name__
    option = getattr(error, "option_name", "")
    if kind == "NoSuchOption":
        return UsageError(no_option(option, _flags(error.ctx.command), command))
    if kind == "BadOptionUsage" and error.ctx is None:
        return UsageError(f"{option}: takes no value; leave it away")
    if kind == "BadOptionUsage":
        param = next(p for p in error.ctx.command.params if option in (*p.opts, *p.secondary_opts))
        what = (
            "takes no value; leave it away"
            if param.is_flag
            else f"needs a value, {_told(param, error.ctx)[0]}"
        )
        return UsageError(f"{option}: {what}")
    if kind == "MissingParameter":
        return UsageError(f"{command}: needs {_told(error.param, error.ctx)[0]}; see {command} --help")
    message = error.format_message().rstrip(".")
    if "unexpected extra argument" in message:
        extra = message.rpartition("(")[2].rstrip(")")
        message = f"{extra}: more than {command} takes"
        if extra.startswith("-"):
            return UsageError(f"{message}; options stand before --")
    return UsageError(f"{message}; see {command} --help")


def _flags(command: Any) -> Iterator[str]:
    for param in command.params:
        yield from (flag for flag in (*param.opts, *param.secondary_opts) if flag.startswith("-"))


def _refuse_twice(given: Sequence[Any], args: Sequence[str]) -> None:
    """UsageError for an option with two different values; given: the parameters in the order of `args`."""
    for param in dict.fromkeys(param for param in given if param.param_type_name == "option"):
        if param.multiple or given.count(param) < 2:
            continue
        values = []
        for word, following in itertools.pairwise([*args, ""]):
            flag, equals, value = word.partition("=")
            if flag in (*param.opts, *param.secondary_opts):
                values.append(flag if param.is_flag else value if equals else following)
        if len(different := list(dict.fromkeys(values))) > 1:
            raise UsageError(f"{param.opts[0]}: given twice, {' and '.join(different)}; give one of them")


def _having(flag: str) -> tuple[str, ...]:
    """The commands that have an option."""
    for model in (Settings, CommandOptions):
        for name in model.model_fields:
            if flag in model.flags(name) and flag.startswith("-"):
                return model.option(name).commands
    return ()
