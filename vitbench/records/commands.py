"""Commands to be printed: the one place that makes them, so that each carries what it needs when pasted.

Whatever is not its option's default stands in them, quoted for a POSIX shell. A word in capitals (IMAGE,
NEWPLACE) is for the reader to fill in.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vitbench.errors import VitbenchError
from vitbench.records.recipes import ARMS, DISTILLED, TEACHER, Settings
from vitbench.records.results import Benchmark

RESULTS = Path("results")
"""Where benchmarks live unless `--results` says otherwise."""
Trains = Literal["train", "probe", "pretrain"]

UNNAMED = {"group": "GROUPS", "teacher": "TEACHER"}
"""Options whose values may be files or folders, and what stands for them where nobody is to see them."""
ARMS_FILE = "arms.toml"
"""Beside a report whose command needs it."""
OFF = {"with_probe": "--no-probe", "near": "--no-near-duplicates"}
"""How an option is switched off, where that is not `--no-` and its name."""
SAME_SPLIT = frozenset({"layout", "group", "burst_seconds", "split_seed", "skip_bad", "near"})
"""What decides which pictures are tested."""


def command(verb: str, *places: str | Path, **options: Any) -> str:
    """`vitbench VERB PLACES --option value …`, quoted: `command("train", "my photos", models=("vit",))`.

    None, False, () and `--results results` are left out, True is the bare option. Of a tuple `--weights`
    is repeated, other options take it comma-separated. A place that begins with "-" stands behind "--".
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
        elif isinstance(value, tuple) and name == "weights":
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join([*words, "--", *map(str, places)] if dashed else words)


def verb_of(recipe: str) -> Trains:
    """The command that makes benchmarks of such a recipe (`Settings.recipe`)."""
    return "probe" if recipe == "probe" else "pretrain" if recipe == "simmim" else "train"


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
    plain, found = Settings(), {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if name in fields and value != getattr(plain, name):
            found[name if value is not False else _off(name)] = True if value is False else value
    return found


def _off(field: str) -> str:
    return OFF.get(field, f"--no-{field}").removeprefix("--")


def asking(benchmark: Benchmark, anonymous: bool = False) -> str:
    """The command that asks for the same benchmark, defaults left out; its paths too if `anonymous`."""
    manifest, settings = benchmark.manifest, benchmark.settings
    verb = verb_of(settings.recipe)
    plain = Settings.model_validate({} if verb == "train" else {"recipe": settings.recipe})
    options: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value == getattr(plain, name):
            continue
        if value is False:
            options[_off(name)] = True
        elif isinstance(value, Mapping):
            options |= _arms(value, "ARMS.toml" if anonymous else str(benchmark.folder / ARMS_FILE))
        elif name == "weights":
            options[name] = tuple(_weights(str(one), anonymous) for one in value)
        elif name in UNNAMED and anonymous:
            options[name] = UNNAMED[name]
        elif name not in options:
            options[name] = value
    return command(verb, "DATA" if anonymous else str(manifest.get("data", "data")), **options)


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
