"""A probe: a linear head on the frozen features of a pretrained model, as a run among runs."""

import dataclasses
import time
from functools import partial

import numpy as np
import torch
from torch import nn

from vitbench import files
from vitbench.inference.features import feature_key, features_of
from vitbench.inference.forward import answering
from vitbench.inference.linear import Linear, fit_linear
from vitbench.inference.metrics import scores
from vitbench.models.create import create, state_sha256
from vitbench.models.heads import set_head
from vitbench.records import Array, Picture, Predictions, Run, Split, label_indices
from vitbench.records.watch import Watch
from vitbench.training.distributed.processes import first_alone
from vitbench.training.folds import out_of_fold
from vitbench.training.jobs import Job, is_done, keep_model, model_cost, write_identity, writing
from vitbench.training.machine import PeakMemory, in_memory, synchronise

SPEED_SECONDS = 1.0


@first_alone
def probe_run(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Fit a head to the frozen features of train and val, test it, and save the model with that head.

    Features come from the store where they are there. With folds there is a head per fold for the
    out-of-fold answers, and the saved model's head is fitted to all pictures. Out of memory halves the
    batch of the forward passes; RunFailedError where one picture does not fit.
    """
    with writing(run):
        if is_done(run):
            return
        torch.set_num_threads(job.machine.threads)
        in_memory(
            run.name,
            job.machine,
            lambda machine: _probe(dataclasses.replace(job, machine=machine), run, split, watch),
            watch.message,
            beside=job.beside,
        )


def _probe(job: Job, run: Run, split: Split, watch: Watch) -> None:
    device = torch.device(job.machine.device)
    model = create(job.plan, len(split.classes), job.weights, job.recipe.seed)
    recipe = job.recipe.model_copy(update={"initial_sha256": state_sha256(model)})
    write_identity(job, recipe, job.machine, [], run)
    peak = PeakMemory(device)
    pictures = list(dict.fromkeys((*split.train, *split.val, *split.test)))
    features = features_of(
        model.to(device),
        feature_key(job.plan, job.weights, job.recipe.seed, len(split.classes), split.pixel_range),
        split.root,
        pictures,
        job.recipe.preprocessing,
        job.machine,
        on_progress=partial(watch.work, "features"),
        on_event=watch.message,
    )
    by_path = dict(zip((p.path for p in pictures), features, strict=True))
    parts = split.folds or (split,)
    heads = []
    for number, part in enumerate(parts, start=1):
        heads.append(fit_head(by_path, part.classes, (*part.train, *part.val)))
        watch.work("heads", number, len(parts))
    answers = [head_answers(by_path, part, head) for part, head in zip(parts, heads, strict=True)]
    predictions = out_of_fold(split, answers) if split.folds else answers[0]
    run.add_evaluation("probe", len(predictions.paths))
    predictions.write(run.folder / "predictions.csv")
    head = fit_head(by_path, split.classes, split.train) if split.folds else heads[0]
    set_head(model, torch.from_numpy(head.weight), torch.from_numpy(head.bias))
    keep_model(model, job, run, split, job.recipe)
    _write_metrics(job, run, model, split, predictions, heads, peak)


def fit_head(features: dict[str, Array], classes: tuple[str, ...], pictures: tuple[Picture, ...]) -> Linear:
    """The head for these pictures, its strength chosen among them."""
    return fit_linear(
        np.stack([features[p.path] for p in pictures]),
        label_indices(pictures, classes),
        [p.group for p in pictures],
        len(classes),
    )


def head_answers(features: dict[str, Array], split: Split, head: Linear) -> Predictions:
    return Predictions(
        classes=split.classes,
        paths=tuple(p.path for p in split.test),
        labels=label_indices(split.test, split.classes),
        probabilities=head.probabilities(np.stack([features[p.path] for p in split.test])),
    )


def _write_metrics(
    job: Job,
    run: Run,
    model: nn.Module,
    split: Split,
    predictions: Predictions,
    heads: list[Linear],
    peak: PeakMemory,
) -> None:
    strengths = sorted({head.strength for head in heads})
    notes = dict.fromkeys(head.note for head in heads if head.note)
    cost, unmeasured = model_cost(job, job.machine, model)
    n_fit = [len(part.train) + len(part.val) for part in split.folds or (split,)]
    files.write_json(
        run.folder / "metrics.json",
        {
            "best_epoch": 0,
            "epochs": 0,
            "train": {"loss": None, "top1": None, "n": round(float(np.mean(n_fit)))},
            "val": {"n": 0, "loss": None, "top1": None},
            "test": scores(predictions),
            "probe": {"strengths": strengths},
            "cost": {
                **cost,
                "train_images_per_second": forward_speed(model, job, job.machine.eval_batch),
                "seconds_per_epoch": None,
                "peak_memory_mb": peak.sample(),
            },
            "notes": [*run.about()["notes"], *notes, *unmeasured],
        },
    )


def forward_speed(model: nn.Module, job: Job, pictures: int) -> float:
    """Pictures per second through the frozen model, in batches of so many that lie in memory."""
    device, size = torch.device(job.machine.device), job.plan.image_size
    noise = torch.randn(pictures, 3, size, size, generator=torch.Generator().manual_seed(0))
    batch = noise.to(device)
    with answering(model):
        model(batch[:1] if device.type == "cpu" else batch)  # a GPU's first pass chooses its algorithms
        synchronise(device)
        done, started = 0, time.perf_counter()
        while done == 0 or time.perf_counter() - started < SPEED_SECONDS:
            model(batch)
            synchronise(device)
            done += len(batch)
    return done / (time.perf_counter() - started)
