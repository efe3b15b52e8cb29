"""Options that would be passed over in silence, refused before anything is done."""

from collections.abc import Mapping
from typing import Any

from vitbench.errors import UsageError
from vitbench.records import Benchmark, Settings
from vitbench.records.commands import command, verb_of

FOR_PROBES = frozenset(
    {
        "models", "recipe", "image_size", "weights", "split_seed", "folds", "group", "burst_seconds",
        "layout", "skip_bad", "near", "pixel_range", "strict", "device", "workers", "store", "store_dir",
    }
)  # fmt: skip
"""The settings that mean something where nothing is trained."""
FOR_PRETRAINING = FOR_PROBES - {"folds"} | {
    "epochs", "batch_size", "lr", "augment", "flip", "drop_path", "seeds", "mask_ratio", "mask_size",
    "mask_target", "with_test", "precision", "micro_batch", "without", "deterministic", "quick",
}  # fmt: skip
"""The settings that mean something where no classes are learnt."""


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
    meant, why = {
        "probe": (FOR_PROBES, "a probe trains nothing"),
        "simmim": (FOR_PRETRAINING, "masked pre-training reads no labels"),
    }.get(recipe, (explicit.keys(), ""))
    idle = [name for name in explicit if name not in meant]
    if idle:
        option = "--" + idle[0].replace("_", "-")
        raise UsageError(f"{option}: {why}, so this has no meaning; leave it away")
    _refuse_idle_teaching(explicit, known)
    if "final" in explicit and explicit.get("folds", known.folds if known else None) is None:
        raise UsageError(f"--final {explicit['final']}: needs --folds")


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
    for needed, option, idle in (
        ("teacher", "--teacher", ("distill", "alpha", "tau", "distill_through", "plain")),
        ("pretrain", "--pretrain", ("pretrain_epochs", "mask_ratio", "mask_size", "mask_target")),
    ):
        asked = explicit.get(needed, getattr(known, needed, None)) or explicit.get("recipe") == "simmim"
        asked = asked or any(isinstance(arm, Mapping) and arm.get(needed) for arm in arms.values())
        found = [name for name in idle if name in explicit]
        if found and not asked:
            name = found[0].replace("_", "-") if explicit[found[0]] is not False else f"no-{found[0]}"
            raise UsageError(f"--{name}: needs {option}")
