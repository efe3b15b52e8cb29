"""Networks as they were before they were trained here, and what is found in both beside one another."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from vitbench.analysis.nouns import Finding, Subject
from vitbench.errors import VitbenchError, first_line
from vitbench.models import hub
from vitbench.models.create import state_sha256
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import WORDS, asked_of_each, resolve_weights, saved_weights
from vitbench.records import Benchmark, Origin, Recipe, Run
from vitbench.training.objectives.table import learner

if TYPE_CHECKING:
    from pandas import DataFrame


def before_training(run: Run, benchmark: Benchmark | None) -> Callable[[], nn.Module | str]:
    """What gives the network that a run began with, on the CPU, or says in one line why it is not to be had.

    Random weights are drawn again under the run's seed, and must be the very ones; others are read again
    from the hub's cache, the run's pre-training or the path that the benchmark names, if the file there is
    still the same. Nothing is downloaded. What is asked for again and again is made once, but only the last
    one of all runs is kept.
    """

    def make() -> nn.Module | str:
        try:
            recipe, plan, weights = began_with(run, benchmark)
            model = learner(plan, recipe, weights)
        except VitbenchError as error:
            return first_line(error).partition(";")[0]  # what to do next is advice for another command
        if weights.path is None and state_sha256(model) != recipe.initial_sha256:
            return "this version of torch or timm draws other random weights than it began with"
        return model.eval()

    return lambda: _last(make)


@functools.lru_cache(maxsize=1)
def _last(make: Callable[[], nn.Module | str]) -> nn.Module | str:
    return make()


def began_with(run: Run, benchmark: Benchmark | None) -> tuple[Recipe, ModelPlan, InitialWeights]:
    """A run's recipe, its network and the weights that it began from.

    VitbenchError, one line, where these are not there or another file now. Nothing is downloaded.
    """
    recipe = run.recipe()
    plan = plan_model(recipe.model, recipe.preprocessing.size)
    plan = dataclasses.replace(plan, model_args=recipe.model_args)
    return recipe, plan, _weights(run, benchmark, recipe, plan)


def _weights(run: Run, benchmark: Benchmark | None, recipe: Recipe, plan: ModelPlan) -> InitialWeights:
    """What a run began from; VitbenchError where that is not there or another file now."""
    origin = recipe.init
    if origin.kind == "random":
        return RANDOM
    found = _found(run, benchmark, origin, plan)
    if found is None:
        raise VitbenchError(f"{_WHERE[origin.kind]} is not here")
    if origin.sha256 not in ("", found.origin.sha256):
        raise VitbenchError(f"{found.path} is another file than it began from")
    return found


def _found(run: Run, benchmark: Benchmark | None, origin: Origin, plan: ModelPlan) -> InitialWeights | None:
    """The weights where they should be; None if nothing is there."""
    part = run.part("pretrain").model_folder
    if origin.kind == "masked" and part.exists():
        return saved_weights(part)
    asked = "pretrained"
    if benchmark is not None:
        named = dataclasses.replace(plan, alias=run.planned.network)
        asked = asked_of_each(benchmark.settings.weights, [named])[named.alias]
    if asked in WORDS:
        if origin.kind != "hub" or hub.cached(plan.timm_name) is None:
            return None
        asked = "pretrained"
    return resolve_weights((asked,), [plan])[plan.alias]


_WHERE = {
    "hub": "the pretrained file that it began from (in the hub's cache, or the folder that --weights named)",
    "file": "the file that it began from",
    "model": "the saved model that it began from",
    "masked": "the pre-trained encoder that it began from",
}


def beside_before(subject: Subject, measure: Callable[[nn.Module], Finding]) -> Finding:
    """What is found in a network, and where it was trained here, beside what was found in it before that.

    Each column of floats is followed by `…_before` and `…_change`, each array by the same; by nothing where
    that network is not to be had.
    """
    after = measure(subject.module)
    first = subject.before()
    if isinstance(first, str):
        return after
    device = next(subject.module.parameters()).device
    before = measure(first.to(device))
    arrays, axes = dict(after.arrays), dict(after.axes)
    for name, values in after.arrays.items():
        arrays |= {f"{name}_before": before.arrays[name], f"{name}_change": values - before.arrays[name]}
        axes |= {f"{name}_{what}": after.axes[name] for what in ("before", "change")}
    frames = {name: _beside(table, before.frames[name]) for name, table in after.frames.items()}
    return Finding(frames, arrays, axes, after.notes)


def _beside(after: "DataFrame", before: "DataFrame") -> "DataFrame":
    """Both tables have the same rows in the same order."""
    table = after.copy()
    for name in after.columns:
        if after[name].dtype == "float64":
            place = table.columns.get_loc(name) + 1
            table.insert(place, f"{name}_before", before[name])
            table.insert(place + 1, f"{name}_change", after[name] - before[name])
    return table
