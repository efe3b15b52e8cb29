"""Features of all pictures of a benchmark by one of its networks, for what lies near what."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from vitbench import files
from vitbench.analysis.before import began_with
from vitbench.comparison.results import ModelResult, Results
from vitbench.errors import VitbenchError, first_line
from vitbench.inference.devices import choose_device
from vitbench.inference.features import feature_key, features_of
from vitbench.models.create import create
from vitbench.models.folder import WEIGHTS_FILE, load_model
from vitbench.records import Array, Benchmark, Picture, Preprocessing, Run
from vitbench.records.watch import Watch
from vitbench.settings import Settings
from vitbench.training.machine import CPU_EVAL_BATCH, choose_machine


def features_by(home: Benchmark, results: Results, device: str, watch: Watch) -> tuple[str, Array]:
    """Whose they are, in words, and (N, D) float32 in the order of `split.csv`.

    Of the most accurate model that began from weights that had learned something: as it was before training,
    so that no label of these pictures takes part; a probe has left these in the store. Where no such weights
    are to be had, of the most accurate model as it is. VitbenchError where pictures are not what they were.
    """
    answered = sorted((one for one in results.models if one.answered), key=_accuracy, reverse=True)
    refused = ""
    for one in answered:
        if one.from_scratch:
            continue
        try:
            return f"frozen features of {one.of or one.model}", _frozen(home, one.runs[0], device, watch)
        except VitbenchError as error:
            refused = refused or first_line(error)
    run = answered[0].answered[0].run
    why = f" ({refused})" if refused else ""
    told = f"features of {run.name}, which has learned these labels, wrong ones too{why}"
    return told, _trained(home, run, device, watch)


def _accuracy(one: ModelResult) -> float:
    return float(one.correct.mean())


def _frozen(home: Benchmark, run: Run, device: str, watch: Watch) -> Array:
    recipe, plan, weights = began_with(run, home)
    classes, seen = len(home.classes), home.pixel_range
    key = feature_key(plan, weights, recipe.seed, classes, seen)
    return _features(
        home, partial(create, plan, classes, weights, recipe.seed), key, recipe.preprocessing, device, watch
    )


def _trained(home: Benchmark, run: Run, device: str, watch: Watch) -> Array:
    folder = run.model_folders[0]
    loaded = load_model(folder)
    key = files.sha256_of(folder / WEIGHTS_FILE)
    return _features(home, loaded.module, key, loaded.preprocessing, device, watch)


def _features(
    home: Benchmark,
    model: nn.Module | Callable[[], nn.Module],
    key: str,
    preprocessing: Preprocessing,
    device: str,
    watch: Watch,
) -> Array:
    chosen = choose_device(device)
    pictures = [
        Picture(row["path"], row["class"], None, row["sha256"], row["group"], 0, 0)
        for row in home.split_rows()
    ]
    return features_of(
        (lambda: model.to(chosen)) if isinstance(model, nn.Module) else (lambda: model().to(chosen)),
        key,
        Path(str(home.manifest["data"])),
        pictures,
        preprocessing,
        choose_machine(Settings(store=False), chosen, CPU_EVAL_BATCH),
        on_progress=partial(watch.work, "features"),
        on_event=watch.message,
    )
