"""Commands to be printed: the one place that makes them, so that each carries what it needs when pasted.

Whatever is not its option's default stands in them, quoted for a POSIX shell. A word in capitals (IMAGE,
NEWPLACE) is for the reader to fill in.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from vitbench.defaults import ARMS, DISTILLED, RECIPE_OF, TEACHER
from vitbench.errors import VitbenchError
from vitbench.files import quoted
from vitbench.options import Command, Place
from vitbench.records.results import Benchmark
from vitbench.settings import Settings

RESULTS = Path("results")
"""Where benchmarks live unless `--results` says otherwise."""

ARMS_FILE = "arms.toml"
"""Beside a report whose command needs it."""
PLACES = frozenset(
    name for name, field in Settings.model_fields.items() if Place in get_args(field.annotation)
)
"""Options whose values may be files or folders, which a report for others does not name."""
REPEATED = Settings.fields_where(lambda option: option.repeated)
SAME_SPLIT = Settings.fields_where(lambda option: option.splits)
"""What decides which pictures are tested."""


def command(verb: str, *places: str | Path, **options: Any) -> str:
    """`vitbench VERB PLACES --option value …`, quoted: `command("train", "my photos", models=("vit",))`.

    None, False, () and `--results results` are left out, True is the bare option. A tuple is comma-separated,
    or the option is repeated as it is declared. A place that begins with "-" stands behind "--".
    """
    words = ["vitbench", *verb.split()]
    dashed = any(str(place).startswith("-") for place in places)
    words += [] if dashed else map(str, places)
    for name, value in options.items():
        if value is None or value is False or value == () or (name == "results" and Path(value) == RESULTS):
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, tuple) and name in REPEATED:
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return " ".join(map(quoted, [*words, "--", *map(str, places)] if dashed else words))


def verb_of(recipe: str) -> Command:
    """The command that makes benchmarks of such a recipe (`Settings.recipe`)."""
    return next((command for command, its in RECIPE_OF.items() if its == recipe), "train")


def going_on(benchmark: Benchmark, *places: str | Path, **more: Any) -> str:
    """What goes on with a benchmark, by the command that made it; `places`: where its pictures are now."""
    try:
        verb = verb_of(benchmark.settings.recipe)
    except (OSError, ValueError, KeyError, TypeError, VitbenchError):  # `train` goes on with every kind
        verb = "train"
    own = {"name": benchmark.name, "results": benchmark.folder.parent, **more}
    return command(verb, *places, resume=True, **own)


def predicting(benchmark: Benchmark, newest: Benchmark | None) -> str:
    """What asks its models about a picture; it is named unless it is the `newest` anyway."""
    run = None if newest is not None and newest.name == benchmark.name else benchmark.name
    return command("predict", "IMAGE", run=run, results=benchmark.folder.parent)


def probing(settings: Settings, data: Path | str) -> str:
    """What ranks the same models on the same pictures in minutes."""
    chosen = _differing(settings, SAME_SPLIT | {"models", "weights", "image_size", "device"})
    return command("probe", data, **chosen)


def training_from(encoders: Benchmark) -> str:
    """What trains classes from the encoders that masked pre-training made; of a loose heap DATA is open."""
    manifest, settings = encoders.manifest, encoders.settings
    loose = manifest.get("layout") == "loose"
    fields = frozenset({"models", "image_size", "quick"}) | (frozenset() if loose else SAME_SPLIT)
    chosen = {**_differing(settings, fields), "weights": encoders.name, "results": encoders.folder.parent}
    return command("train", "DATA" if loose else manifest.get("data", "DATA"), **chosen)


def training_of(models: tuple[str, ...], probes: Benchmark) -> str:
    """What fine-tunes models of a benchmark of probes, on the same pictures, split and first weights."""
    chosen = _differing(probes.settings, SAME_SPLIT | {"weights", "image_size", "device"})
    weights = [
        spec for spec in chosen.pop("weights", ()) if "=" not in spec or spec.partition("=")[0] in models
    ]
    chosen = {**chosen, "weights": tuple(weights), "results": probes.folder.parent}
    return command("train", probes.manifest.get("data", "DATA"), models=models, **chosen)


def _differing(settings: Settings, fields: frozenset[str]) -> dict[str, Any]:
    """Those of the fields that are not at their defaults, as options of `command`."""
    asked = settings.model_dump(include=set(fields), exclude_defaults=True)
    return dict(_given(name, value) for name, value in asked.items())


def _given(name: str, value: Any) -> tuple[str, Any]:
    """A setting as an option of `command`: what is switched off by the option that does so."""
    return (name, value) if value is not False else (Settings.flags(name)[1].removeprefix("--"), True)


def asking(benchmark: Benchmark, anonymous: bool = False, **other: Any) -> str:
    """The command that asks for the same benchmark, defaults left out; its paths too if `anonymous`.

    other: what it asks for otherwise, or besides.
    """
    manifest, settings = benchmark.manifest, benchmark.settings
    verb = verb_of(settings.recipe)
    options = _differing(settings, Settings.known_to(verb) - {"arms"})
    if settings.arms:
        options |= _arms(settings.arms, "ARMS.toml" if anonymous else str(benchmark.folder / ARMS_FILE))
    if anonymous:
        options |= {name: name.upper() for name in PLACES & options.keys()}
    if "weights" in options:
        options["weights"] = tuple(_weights(one, anonymous) for one in settings.weights)
    return command(verb, "DATA" if anonymous else str(manifest.get("data", "data")), **{**options, **other})


def surer(benchmark: Benchmark, options: Mapping[str, Any]) -> str:
    """What trains the same with these options: seeds join the benchmark, anything else makes a new one."""
    place = benchmark.folder.parent
    if "seeds" in options:
        return command("train", name=benchmark.name, results=place, **options)
    return asking(benchmark, results=place, **options)


def comparing(*benchmarks: Benchmark, **options: Any) -> str:
    """What compares them."""
    return command("compare", *(b.name for b in benchmarks), results=benchmarks[0].folder.parent, **options)


def _arms(arms: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The usual arms by their names; others by a file, for a command line cannot say them."""
    teacher = arms.get(DISTILLED, {}).get("teacher")
    if unusual_arms(arms):
        return {"config": file}
    return {"arms": tuple(arms), "teacher": None if teacher == TEACHER else teacher}


def unusual_arms(arms: Mapping[str, Any]) -> bool:
    """Whether some arm is not one of those that `--arms` and `--teacher` can name."""
    given = {name: {**arm, "weights": _one(arm.get("weights"))} for name, arm in arms.items()}
    teacher = given.get(DISTILLED, {}).get("teacher")
    known = {
        name: {**arm, **({"teacher": teacher} if name == DISTILLED else {})} for name, arm in ARMS.items()
    }
    return any(given[name] != known.get(name) for name in given)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def arms_toml(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Arms as a `--config` file; what they are told is text, numbers, yes or no, and lists of these."""
    tables = [
        "\n".join([f"[arms.{json.dumps(name)}]", *(f"{key} = {json.dumps(arm[key])}" for key in arm)])
        for name, arm in arms.items()
    ]
    return "\n\n".join(tables) + "\n"


def _weights(value: str, anonymous: bool) -> str:
    """A value of --weights; "MODEL=WEIGHTS" for a path that nobody is to see."""
    if not anonymous or re.fullmatch(r"([\w.-]+=)?(pretrained|random|auto)", value):
        return value
    model, named, _ = value.partition("=")
    return f"{model}=WEIGHTS" if named else "WEIGHTS"
