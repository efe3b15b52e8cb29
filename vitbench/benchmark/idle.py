"""Options that would be passed over in silence, refused before anything is done."""

from collections.abc import Mapping

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


def refuse_idle_options(asked: Settings, benchmark: Benchmark | None) -> None:
    """Raise UsageError for options that would be passed over in silence."""
    named = [name for name in Settings.model_fields if name in asked.model_fields_set]
    now = asked if benchmark is None else asked.on_top_of(benchmark.settings)
    verb = verb_of(now.recipe)
    if benchmark is not None and verb != "train" and "models" in named and "recipe" not in named:
        what = "probes" if verb == "probe" else "encoders"
        adding = command(verb, models=asked.models, name=benchmark.name, results=benchmark.folder.parent)
        raise UsageError(f"--name: is a benchmark of {what}; `{adding}` adds to it, or use a new --name")
    for name in named:
        if name != "recipe" and name not in Settings.known_to(verb):
            raise UsageError(f"{Settings.flags(name)[0]}: {WHY[verb]}, so this has no meaning; leave it away")
    if now.arms and (said := [name for name in ("teacher", "pretrain", "plain") if name in named]):
        raise UsageError(f"--{said[0]}: where there are arms, each says so itself; leave it away")
    for name in named:
        part = Settings.option(name).part_of
        if name != part and not now.means(name):
            on, off = Settings.flags(name)
            given = asked.model_dump(include={name})[name]
            raise UsageError(f"{off if given is False else on}: needs {Settings.flags(part)[0]}")
