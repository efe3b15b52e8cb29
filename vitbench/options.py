"""Declarations of options: a field of a model, annotated with `On`, its docstring the help."""

import difflib
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vitbench.errors import UsageError

Command = Literal["train", "probe", "pretrain"]
EVERY: tuple[Command, ...] = get_args(Command)
TRAINING: tuple[Command, ...] = ("train", "pretrain")
TRAIN: tuple[Command, ...] = ("train",)
LEARNING, TEACHING = "How it learns", "Teachers, masks and arms"
DIVIDING, RUNNING = "How the pictures are divided", "How it runs"


@dataclass(frozen=True, slots=True)
class On:
    """What makes a field an option; its name, type and default are the field's, its help the docstring."""

    commands: tuple[Command, ...]
    """Which know it; elsewhere it is refused."""
    panel: str | None = None
    """Of `--help`."""
    arm: bool = False
    """It can be set differently in an arm; models, seeds and the split are the same in all."""
    between_calls: Literal["same", "free", "runs"] = "same"
    """Whether two calls on one benchmark may differ in it; "runs": it asks for runs, which are added."""
    part_of: Literal["", "teacher", "pretrain", "folds"] = ""
    """The option without which this one has no meaning; `teacher` and `pretrain` are part of themselves."""
    splits: bool = False
    """It decides which pictures are tested."""
    flag: str = ""
    """How it is written, where that is not the field's name with dashes: "--probe/--no-probe"."""
    metavar: str | None = None
    repeated: bool = False
    """A tuple is written as so many options, not comma-separated."""
    default: str | int | float | Mapping[Command, str | int | float] = ""
    """What the help calls its default where the field's own, None mostly, does not say it."""
    help: Mapping[Command, str] = field(default_factory=dict)
    """Of commands for which the docstring does not hold."""
    types: Mapping[Command, Any] = field(default_factory=dict)
    """Of commands that take fewer choices than the field."""


# --- kinds of values ------------------------------------------------------------------------------

MOST = 1_000_000
"""The largest count (epochs, views, pictures of a batch) that can be meant."""
MOST_PIXELS = 8192
MOST_SEED = 2**32 - 1
"""What every random generator takes."""
Whole = Annotated[
    int,
    Field(strict=True),
    BeforeValidator(
        # numpy's whole numbers too
        lambda value: (
            operator.index(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
        )
    ),
]
"""A whole number; True, 2.7 and "3" are none."""
Count = Annotated[Whole, Field(ge=1, le=MOST)]
Pixels = Annotated[Whole, Field(ge=1, le=MOST_PIXELS)]
Seed = Annotated[Whole, Field(ge=0, le=MOST_SEED)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; True and "0.1" are none."""
Share = Annotated[Real, Field(ge=0, lt=1)]
Place = Annotated[str, BeforeValidator(lambda value: os.fspath(value) if isinstance(value, Path) else value)]
"""A text that may name a file or folder; a `Path` is taken as its text."""

# --------------------------------------------------------------------------------------------------


class Declared(BaseModel):
    """Fields that are options: annotated with `On`, their docstrings the help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def option(cls, name: str) -> On:
        """What is declared of a field."""
        return next(one for one in cls.model_fields[name].metadata if isinstance(one, On))

    @classmethod
    def fields_where(cls, holds: Callable[[On], bool]) -> frozenset[str]:
        """The fields of which something is declared."""
        return frozenset(name for name in cls.model_fields if holds(cls.option(name)))

    @classmethod
    def known_to(cls, command: Command) -> frozenset[str]:
        """The fields that are options of a command."""
        return cls.fields_where(lambda option: command in option.commands)

    @classmethod
    def meaning(cls, name: str) -> str:
        """The docstring of a field, in one line."""
        return " ".join((cls.model_fields[name].description or "").split())

    @classmethod
    def flags(cls, name: str) -> tuple[str, str]:
        """How a field is given on the command line and how it is switched off, "" for what cannot be."""
        option, default = cls.option(name), cls.model_fields[name].default
        on, _, off = (option.flag or f"--{name.replace('_', '-')}").partition("/")
        switchable = bool in kinds(cls.model_fields[name].annotation) and default is not False
        return on, off or (f"--no-{on.removeprefix('--')}" if switchable else "")

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Self:
        """From named values; UsageError, naming the option, for what does not fit."""
        try:
            return cls.model_validate(dict(asked))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(cls.model_fields)}"
                raise UsageError(f"{name}: no such setting{hint}") from error
            option = cls.flags(name)[0]
            if first["type"] == "too_short":
                raise UsageError(f"{option}: names nothing; see --help") from error
            raise UsageError(f"{option} {unfit(error)}; see --help") from error


def kinds(annotation: Any) -> tuple[Any, ...]:
    """The plain types and words that a field takes, of a tuple its elements'.

    `Count | Literal["all"] | None`: (int, "all", NoneType).
    """

    def walk(part: Any) -> Iterator[Any]:
        origin, inner = get_origin(part), get_args(part)
        if origin is Literal:
            yield from inner
        elif origin is Annotated:
            yield from walk(inner[0])
        elif origin in (Union, UnionType, tuple):
            for one in inner:
                yield from walk(one)
        elif part is not Ellipsis:
            yield origin or part

    return tuple(walk(annotation))


def several(annotation: Any) -> bool:
    """Whether a field takes a tuple."""
    return tuple in (get_origin(annotation), *map(get_origin, get_args(annotation)))


def unfit(error: ValidationError) -> str:
    """The first value that does not fit and what it should be: "True: should be a valid integer or 'all'"."""
    first, *more = error.errors()
    value = first["input"]
    text = value if isinstance(value, str) and first["type"] == "literal_error" else repr(value)
    others = [one["msg"] for one in more if one["loc"][:1] == first["loc"][:1] and one["input"] is value]
    words = [reason.replace("Input should be ", "") for reason in dict.fromkeys([first["msg"], *others])]
    said = " or ".join(words)
    for theirs, ours in _WORDS.items():
        said = said.replace(theirs, ours)
    return f"{text if len(text) < 80 else text[:77] + '...'}: should be {said}"


_WORDS = {
    "Value error, ": "",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid tuple": "a list",
    "a valid dictionary": "a table of options",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
}
"""pydantic's words, and a reader's."""
