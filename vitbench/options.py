"""Declarations of options: a field of a model, annotated with `On`, its docstring the help."""

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from vitbench.errors import UsageError, did_you_mean

Command = Literal["train", "probe", "pretrain"]
EVERY: tuple[Command, ...] = get_args(Command)
TRAINING: tuple[Command, ...] = ("train", "pretrain")
TRAIN: tuple[Command, ...] = ("train",)
LEARNING, TEACHING = "How it learns", "Teachers, masks and arms"
DIVIDING, RUNNING = "How pictures are divided", "How it runs"


@dataclass(frozen=True, slots=True)
class On:
    """What makes a field an option; its name, type and default are the field's, its help the docstring."""

    commands: tuple[Command, ...]
    """Which know it; elsewhere it is refused."""
    panel: str
    """Of `--help-all`; `--help` names its options only."""
    common: bool = False
    """One of the dozen that most need: `--help` explains it first."""
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
Folds = Annotated[Whole, Field(ge=2, le=MOST)] | Literal["auto"]
Pixels = Annotated[Whole, Field(ge=1, le=MOST_PIXELS)]
Seed = Annotated[Whole, Field(ge=0, le=MOST_SEED)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; True and "0.1" are none."""
Positive = Annotated[Real, Field(gt=0)]
Points = Annotated[Positive, Field(lt=100)]
"""Of accuracy, in percent."""
Drop = Annotated[Real, Field(ge=0, lt=100)]
"""Points that may be lost."""
Share = Annotated[Real, Field(ge=0, lt=1)]
Switch = Annotated[bool, Field(strict=True)]
"""True or False; 1 and "yes" are none."""
Place = Annotated[str, BeforeValidator(lambda value: os.fspath(value) if isinstance(value, Path) else value)]
"""A text that may name a file or folder; a `Path` is taken as its text."""


def _each_once(value: Any) -> Any:
    """One name or number stands for a tuple of one; nothing counts twice."""
    many = (value,) if isinstance(value, str | Integral | Path) else value
    if not isinstance(many, list | tuple | range) or any(isinstance(one, list | dict) for one in many):
        return many
    return tuple({(type(one), one): one for one in many}.values())


def _two_ends(value: Any) -> Any:
    """ "0,4095" as its two numbers; ValueError unless the first is the smaller one."""
    if value is None:
        return None
    try:
        given = value.split(",") if isinstance(value, str) else value
        low, high = ends = tuple(math.nan if isinstance(one, bool) else float(one) for one in given)
    except (TypeError, ValueError):
        low, high = ends = (math.nan, math.nan)
    if not -math.inf < low < high < math.inf:
        raise ValueError("two numbers, the smaller one first, such as 0,4095")
    return ends


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_each_once)]
"""One or several, each once."""
Ends = Annotated[tuple[float, float] | None, BeforeValidator(_two_ends)]
"""The smaller number first."""

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
            raise cls.refusal(error) from error

    @classmethod
    def refusal(cls, error: ValidationError, where: str = "") -> UsageError:
        """The sentence for the first value that does not fit, behind `where` ("arms: deep: ")."""
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            return UsageError(where + no_option(name, cls.model_fields))
        flag, field = cls.flags(name)[0], cls.model_fields[name]
        return UsageError(where + _refusal(flag, first, Annotated[field.annotation, *field.metadata]))


def no_option(name: str, known: Iterable[str], command: str = "vitbench train") -> str:
    """What to say of an option that there is not: "--epoch: no such option; did you mean --epochs?"."""
    name, flags = _dashed(name), [_dashed(one) for one in known]
    near = did_you_mean(name, flags)
    return f"{name}: no such option{near or f'; see {command} --help'}"


def not_of(command: str | None, flag: str, having: Iterable[str]) -> str:
    """What to say of an option that only other commands have."""
    return f"{flag}: is no option of vitbench {command}, only of {' and '.join(having)}"


def _dashed(name: str) -> str:
    return name if name.startswith("-") else f"--{name.replace('_', '-')}"


def fit(flag: str, annotation: Any, value: Any) -> Any:
    """A value as its kind has it; UsageError, naming the option, for one that does not fit."""
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        raise UsageError(_refusal(flag, error.errors()[0], annotation)) from error


def _refusal(flag: str, first: Any, annotation: Any) -> str:
    """The one sentence for a wrong value: "--distill sift: should be hard or soft; did you mean soft?"."""
    if first["type"] == "too_short":
        return f"{flag}: names nothing; name at least one"
    value = first["input"]
    if first["type"] == "value_error":
        return f"{flag} {quoted(value)}: should be {first['ctx']['error']}"
    words = [kind for kind in kinds(annotation) if isinstance(kind, str)]
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"{flag} {quoted(value)}: should be {takes(annotation)}{near}"


def quoted(value: Any) -> str:
    """A value as one would write it; a text in quotes where it could be taken for a number, or has spaces."""
    plain = not isinstance(value, str) or (_PLAIN.fullmatch(value) and number(value) == value)
    text = str(value) if plain else repr(value)
    return text if len(text) < 80 else text[:77] + "..."


_PLAIN = re.compile(r"[^\s'\"]+( [^\s'\"]+)*")


def number(text: str) -> int | float | str:
    """The number that a text is, or the text: neither spaces nor underscores stand in a number."""
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    try:
        return float(text) if re.fullmatch(r"[+-]?[0-9a-zA-Z.+-]+", text) else text
    except ValueError:
        return text


def parsed(annotation: Any, text: str) -> Any:
    """What a text on the command line stands for; one that stands for nothing of the kind stays a text."""
    taken = kinds(annotation)
    if several(annotation) and float not in taken:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [number(part) for part in parts] if int in taken else parts
    numeric = (int in taken or float in taken) and not several(annotation)
    return number(text) if numeric and text not in taken else text


def read(flag: str, annotation: Any, text: str) -> Any:
    """The value that a text on the command line stands for; UsageError that names the option otherwise."""
    return fit(flag, annotation, parsed(annotation, text))


# --- kinds of values in words ---------------------------------------------------------------------


def takes(annotation: Any) -> str:
    """What fits, in words: "a whole number from 1 to 8192, or native"."""
    said, words = [], [kind for kind in kinds(annotation) if isinstance(kind, str)]
    for kind, bounds in _alternatives(annotation, {}):
        if kind in _SAID and (text := _SAID[kind](bounds)) not in said:
            said.append(text)
    if words:
        said.append(words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}")
    return ", or ".join(said)


def _alternatives(part: Any, bounds: Mapping[str, float]) -> Iterator[tuple[Any, Mapping[str, float]]]:
    """The plain types of an annotation with the ends (ge, gt, le, lt) that hold for each."""
    origin, inner = get_origin(part), get_args(part)
    if origin is Annotated:
        for one in inner[1:]:
            for end in one.metadata if isinstance(one, FieldInfo) else [one]:
                found = {key: getattr(end, key) for key in ("ge", "gt", "le", "lt") if hasattr(end, key)}
                bounds = {**bounds, **found}
        yield from _alternatives(inner[0], bounds)
    elif origin in (Union, UnionType, tuple):
        for one in inner:
            yield from _alternatives(one, bounds)
    else:
        yield origin or part, bounds


def _numbers(kind: str, bounds: Mapping[str, float]) -> str:
    ge, gt, le, lt = (bounds.get(key) for key in ("ge", "gt", "le", "lt"))
    if ge is not None and le is not None:
        return f"a {kind} from {ge:.12g} to {le:.12g}"
    ends = [f"at least {ge:.12g}"] if ge is not None else [f"above {gt:.12g}"] if gt is not None else []
    ends += [f"at most {le:.12g}"] if le is not None else [f"below {lt:.12g}"] if lt is not None else []
    endless = kind == "number" and le is None and lt is None
    return " ".join([f"a {'finite ' * endless}{kind}", " and ".join(ends)]).rstrip()


_SAID: Mapping[Any, Callable[[Mapping[str, float]], str]] = {
    int: partial(_numbers, "whole number"),
    float: partial(_numbers, "number"),
    bool: lambda _: "true or false",
    str: lambda _: "a text",
    Path: lambda _: "a path",
    dict: lambda _: "a table of options",
}


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
