"""Options that would be passed over in silence, refused before anything is done."""

from collections.abc import Mapping
from typing import Any

from vitbench.errors import UsageError
from vitbench.options import Command
from vitbench.records import Benchmark, Settings
from vitbench.records.commands import command, verb_of

WHY: Mapping[Command, str] = {
    "train": "the test pictures are never trained on",
    "probe": "a probe trains nothing",
    "pretrain": "masked pre-training reads no labels",
}
"""Why a command does not know the options of others."""


def refuse_idle_options(explicit: Mapping[str, Any], benchmark: Benchmark | None) -> None:
    """Raise UsageError for options that would be passed over in silence."""
    known = benchmark.settings if benchmark is not None else None
    recipe = explicit.get("recipe", known.recipe if known else "finetune")
    if recipe == "probe" and known is not None and "recipe" not in explicit and "models" in explicit:
        raise UsageError(
            f"--name: is a benchmark of probes; {_adding(explicit, benchmark)}, or use a new --name"
        )
    if recipe == "simmim" and known is not None and "recipe" not in explicit and "models" in explicit:
        raise UsageError(
            f"--name: is a benchmark of encoders; {_adding(explicit, benchmark)}, or use a new --name"
        )
    verb = verb_of(str(recipe))
    meant = Settings.known_to(verb) | {"recipe"}
    idle = [name for name in explicit if name in Settings.model_fields and name not in meant]
    if idle:
        raise UsageError(f"{Settings.flags(idle[0])[0]}: {WHY[verb]}, so this has no meaning; leave it away")
    _refuse_idle_teaching(explicit, known)
    _refuse_parts("folds", explicit, explicit.get("folds", known.folds if known else None) is not None)


def _adding(explicit: Mapping[str, Any], benchmark: Benchmark | None) -> str:
    """The command that adds models to a benchmark that another command made."""
    assert benchmark is not None
    models, verb = Settings.of({"models": explicit["models"]}).models, verb_of(benchmark.settings.recipe)
    adding = command(verb, models=models, name=benchmark.name, results=benchmark.folder.parent)
    return f"`{adding}` adds to it"


def _refuse_idle_teaching(explicit: Mapping[str, Any], known: Settings | None) -> None:
    """The same for what only a teacher or masked pre-training would read."""
    arms = explicit.get("arms") or (known.arms if known else {})
    if arms and (found := [name for name in ("teacher", "pretrain", "plain") if name in explicit]):
        raise UsageError(f"--{found[0]}: where there are arms, each says so itself; leave it away")
    for needed in ("teacher", "pretrain"):
        asked = explicit.get(needed, getattr(known, needed, None)) or explicit.get("recipe") == "simmim"
        asked = asked or any(isinstance(arm, Mapping) and arm.get(needed) for arm in arms.values())
        _refuse_parts(needed, explicit, asked)


def _refuse_parts(of: str, explicit: Mapping[str, Any], asked: bool) -> None:
    """UsageError for an option that has no meaning without the option `of`, where that was not asked for."""
    parts = Settings.fields_where(lambda option: option.part_of == of) - {of}
    found = [name for name in explicit if name in parts]
    if found and not asked:
        on, off = Settings.flags(found[0])
        raise UsageError(f"{off if explicit[found[0]] is False else on}: needs {Settings.flags(of)[0]}")
