"""The one training loop: every objective, every model, every device goes through `fit`.

All randomness is keyed, not carried: views by (seed, epoch, content, k), and what the model draws
inside a step (drop path, dropout, mixup) by (seed, epoch, step). A resumed run therefore needs weights
and optimiser state only (inside an epoch also the meter of its steps), and ends with the same bytes as
one that was never interrupted (CPU, same build and thread count).
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import timm.optim
import timm.scheduler
import torch
from torch import nn

from vitbench import files
from vitbench.data.crew import Crew
from vitbench.data.device_views import choose_making
from vitbench.data.epochs import epoch_size
from vitbench.data.store import open_store
from vitbench.errors import Interrupted, RunFailedError, first_line
from vitbench.inference.forward import predict_pictures
from vitbench.models.create import state_sha256
from vitbench.models.folder import LoadedModel
from vitbench.records import Epoch, Machine, Predictions, Recipe, Run, Split
from vitbench.records.watch import Watch
from vitbench.training import checkpoint, saving, signals
from vitbench.training.arithmetic import compute_as, fuse_attention, unfuse_attention
from vitbench.training.average import MovingAverage
from vitbench.training.distributed.processes import ALONE, Processes
from vitbench.training.graphs import Graphs, records_steps
from vitbench.training.log import Log
from vitbench.training.machine import PeakMemory, free_memory, is_out_of_memory
from vitbench.training.meter import EpochMeter
from vitbench.training.objectives.supervised import MixPictures
from vitbench.training.objectives.table import OBJECTIVES
from vitbench.training.step import memory_format, techniques, train_step
from vitbench.training.trainer import Trainer

LOOK_SECONDS = float(os.environ.get("VITBENCH_LOOK_SECONDS") or 1)
"""How often the loss is read, logged and shown; 0: at every step."""

Judgement = TypeVar("Judgement")


def build_trainer(
    model: nn.Module,
    recipe: Recipe,
    split: Split,
    machine: Machine,
    processes: Processes = ALONE,
    teacher: LoadedModel | None = None,
) -> Trainer:
    """Optimiser, schedule, moving average and objective around a freshly created model."""
    device = torch.device(machine.device)
    compute_as(machine)
    unfused = unfuse_attention(model) if "fused_attention" in machine.without else ()
    own = memory_format(model, device) if "channels_last" not in machine.without else torch.contiguous_format
    model.to(device=device, memory_format=own)  # type: ignore[call-overload]
    if teacher is not None:
        kept = memory_format(teacher.module, device)
        teacher.module.to(device=device, memory_format=kept)  # type: ignore[call-overload]
    steps = -(-epoch_size(split.train, recipe.per_class) // recipe.batch_size)
    # The fused step is one pass over the weights; MPS has none in all supported versions of torch.
    fused = {"fused": True} if device.type in ("cpu", "cuda") else {}
    if "fused_optimizer" in machine.without:
        fused = {}
    optimizer = timm.optim.create_optimizer_v2(
        model,
        opt=recipe.optimizer,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
        **fused,
    )
    scheduler = None
    if recipe.schedule == "cosine":
        warmup = round(recipe.warmup_epochs * steps)
        scheduler = timm.scheduler.CosineLRScheduler(
            optimizer,
            # A single step has the full rate either way; of a cosine that is one step long timm warns.
            t_initial=max(2, recipe.epochs * steps - warmup),
            lr_min=recipe.min_lr,
            warmup_t=warmup,
            warmup_lr_init=recipe.min_lr,
            warmup_prefix=True,
            t_in_epochs=False,
        )
    ema = None
    if recipe.ema_decay is not None:
        ema = MovingAverage(model, decay=recipe.ema_decay, use_warmup=True)
    objective = OBJECTIVES[recipe.objective](model, recipe, teacher).to(device)
    return Trainer(
        recipe=recipe,
        split=split,
        machine=machine,
        model=model,
        objective=objective,
        optimizer=optimizer,
        scheduler=scheduler,
        ema=ema,
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"),
        mix=MixPictures(recipe) if recipe.mixup or recipe.cutmix else None,
        steps_per_epoch=steps,
        memory_format=own,
        unfused=unfused,
        graphs=Graphs(objective, device) if records_steps(machine) is True else None,
        processes=processes,
        ahead=Crew(machine.workers, accelerated=device.type != "cpu", pinned=device.type == "cuda"),
        making=choose_making(recipe, device, machine.without),
    )


def fit(trainer: Trainer, run: Run, watch: Watch) -> None:
    """Train to the end, from the newest checkpoint in the run's folder if there is one.

    Afterwards `trainer.evaluated` carries the chosen epoch's weights. Raises RunFailedError when the
    loss is no longer a number, and whatever torch raises when memory runs out.
    """
    folder = run.folder / "checkpoint"
    log = Log(run.folder / "log.txt")
    if trainer.processes.first:
        saving.restore(trainer, folder, watch.message)
    share_state(trainer)
    peak = PeakMemory(trainer.device)
    if not trainer.stopped:
        epoch, inside = len(trainer.rows) + 1, trainer.meter
        watch.run_started(run.name, trainer.last, trainer.steps_per_epoch, epoch)
        log.line(
            f"start at epoch {epoch} of {trainer.last}" + (f", step {inside.step + 1}" if inside else "")
        )
    with signals.deferred(), trainer.saver, contextlib.closing(trainer.ahead):
        while not trainer.stopped:
            row = _train_epoch(trainer, run, watch, log, peak)
            best, asked = saving.take(trainer, row), trainer.processes.asked()
            prepared = trainer.ahead.in_words()
            if asked or trainer.stopped or saving.due(trainer):
                saving.save(trainer, run, partial(log.epoch, row, prepared, " saved"))
            else:
                saving.keep(trainer)
                log.epoch(row, prepared)
            watch.epoch_finished(run.name, row, best)
            for trouble in (open_store(trainer.machine.store).complaint(), trainer.ahead.complaint()):
                if trouble:
                    watch.message(trouble)
            if asked:
                trainer.saver.wait()
                signals.raise_if_stopped(f"{run.name} is saved after epoch {row.epoch}")
    if trainer.processes.first:  # the others are given its weights where they answer with it
        # A kill between checkpoint and epochs.csv leaves the table one row short.
        files.write_csv(run.folder / "epochs.csv", Epoch.columns(), [saving.as_row(r) for r in trainer.rows])
        chosen = checkpoint.best_path(folder, trainer.best_epoch)
        trainer.evaluated.load_state_dict(checkpoint.read_tensors(chosen, trainer.best_sha256))


def evaluate(
    trainer: Trainer,
    part: str,
    report: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """The judged weights' answers on "val" or "test"; `report` as of `eased`; `on_progress` counts them."""
    return eased(trainer, lambda: answer(trainer, part, on_progress), report)


def eased(trainer: Trainer, judge: Callable[[], Judgement], report: Callable[[str], None]) -> Judgement:
    """What `judge` returns; where memory ends, with half as many pictures at a time, which `report` hears.

    Training keeps its micro-batch, which fitted.
    """
    while True:
        try:
            with trainer.processes.together():
                return judge()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or trainer.machine.eval_batch == 1:
                raise
        half = trainer.machine.eval_batch // 2
        free_memory(trainer.machine.device)
        trainer.machine = dataclasses.replace(trainer.machine, eval_batch=half)
        report(f"out of memory in evaluation: {half} pictures at a time there, training as before")


# --- several processes -----------------------------------------------------------------------------


def share_state(trainer: Trainer) -> None:
    """Give the first process's state to all; RunFailedError where their weights then differ."""
    processes = trainer.processes
    if processes.count == 1:
        return
    progress = processes.by_first(lambda: saving.progress_of(trainer))
    tensors = processes.spread(saving.state_of(trainer))
    if not processes.first:
        saving.take_up(trainer, dataclasses.replace(progress, tensors=tensors))
    processes.agree(state_sha256(trainer.model), "the weights to begin with")


def compare(trainer: Trainer) -> None:
    """RunFailedError where the learnt weights of the processes are not equal to the last bit."""
    if trainer.processes.count > 1:
        learnt = nn.ParameterList(trainer.model.parameters())  # batch statistics may differ, see `runs`
        trainer.processes.agree(state_sha256(learnt), "the weights after an epoch")


def answer(trainer: Trainer, part: str, on_progress: Callable[[int, int], None]) -> Predictions:
    """The answers on "val" or "test" of the first process's judged weights, a share of the batches each."""
    processes, model = trainer.processes, trainer.evaluated
    if processes.count > 1:
        state = processes.spread(model.state_dict())
        if not processes.first:
            model.load_state_dict(state)
    pictures = trainer.split.val if part == "val" else trainer.split.test
    with processes.together():
        given = (trainer.split, pictures, trainer.recipe.preprocessing, trainer.machine)
        mine = predict_pictures(model, *given, processes.share, on_progress)
    each = processes.gather(mine)
    return dataclasses.replace(
        mine,
        paths=tuple(path for one in each for path in one.paths),
        labels=np.concatenate([one.labels for one in each]),
        probabilities=np.concatenate([one.probabilities for one in each]),
    )


def to_contiguous(trainer: Trainer) -> None:
    """Have the judged weights compute as a saved model does when it is loaded."""
    fuse_attention(trainer.evaluated, trainer.unfused)
    trainer.evaluated.to(memory_format=torch.contiguous_format)


# --- epochs ---------------------------------------------------------------------------------------


def _train_epoch(trainer: Trainer, run: Run, watch: Watch, log: Log, peak: PeakMemory) -> Epoch:
    recipe, epoch, steps = trainer.recipe, len(trainer.rows) + 1, trainer.steps_per_epoch
    meter = trainer.meter or EpochMeter.fresh(trainer.device)
    trainer.meter = None
    trainer.train_mode()
    looked = time.perf_counter()
    for images, labels in trainer.batches(epoch, meter.step):
        loss, right = train_step(trainer, images, labels, trainer.update(meter.step + 1))
        meter.add(loss, right, len(labels))
        now = time.perf_counter()
        # Reading the loss waits for the device: once in a while, not at every step.
        if trainer.processes.first and (now - looked >= LOOK_SECONDS or meter.step == steps):
            looked = now
            mean = _finite(meter.mean_loss, epoch, meter.step, recipe)
            trainer.saver.look()
            peak.sample()
            _tell_of_graphs(trainer, run, watch)
            log.line(f"epoch {epoch} step {meter.step}/{steps} loss {mean:.4f}")
            watch.step(epoch, meter.step, mean, meter.seen / meter.seconds)
            if saving.SAVE_SECONDS > 0 and saving.due(trainer) and meter.step < steps:
                with meter.left_out():
                    saving.save(trainer, run, inside=meter.saved())
        if trainer.processes.asked():
            _save_inside(trainer, meter, run, watch)
    seconds = meter.seconds
    compare(trainer)
    val = _judge(trainer, meter, run, watch) if trainer.split.val else Judged()
    if val.loss is not None:
        _finite(val.loss, epoch, steps, recipe)
    try:
        if trainer.processes.first:
            trainer.objective.show(trainer.evaluated, trainer.split, trainer.machine, epoch, run.folder)
    except Exception as error:  # noqa: BLE001  # a picture never decides whether an epoch counts
        watch.message(f"{run.name}: epoch {epoch}: its pictures could not be drawn ({first_line(error)})")
    row = Epoch(
        epoch=epoch,
        train_loss=meter.mean_loss,
        train_top1=float(meter.right) / meter.seen if trainer.counts_right else None,
        val_loss=val.loss,
        val_top1=val.top1,
        lr=max(group["lr"] for group in trainer.optimizer.param_groups),
        seconds=seconds,
        images_per_second=meter.seen / seconds,
        peak_memory_mb=peak.sample(),
        val_agreement=val.agreement,
    )
    return trainer.processes.by_first(lambda: row)  # to the last bit, for what it decides


def _tell_of_graphs(trainer: Trainer, run: Run, watch: Watch) -> None:
    """Say and write down, once, that steps cannot be recorded; they are done all the same."""
    if trainer.graphs is None or not (trouble := trainer.graphs.complaint()):
        return
    watch.message(
        f"{run.name}: its steps cannot be recorded as CUDA graphs ({trouble}); each operation is launched "
        "by itself, which is slower"
    )
    about = {**run.environment(), "techniques": techniques(trainer)}
    files.write_json(run.folder / "environment.json", about)


def _save_inside(trainer: Trainer, meter: EpochMeter, run: Run, watch: Watch) -> None:
    """Save the epoch's steps so far for a signal that came in; raises Interrupted where it asks to stop."""
    epoch = len(trainer.rows) + 1
    with meter.left_out():
        _finite(meter.mean_loss, epoch, meter.step, trainer.recipe)
        saving.save(trainer, run, inside=meter.saved())
        trainer.saver.wait()
        saved = f"{run.name} is saved at step {meter.step} of {trainer.steps_per_epoch} of epoch {epoch}"
        signals.raise_if_stopped(saved)
        watch.message(saved)


@dataclass(frozen=True, slots=True)
class Judged:
    """What val says of an epoch's weights; fields as of `Epoch`."""

    loss: float | None = None
    top1: float | None = None
    agreement: float | None = None


def _judge(trainer: Trainer, meter: EpochMeter, run: Run, watch: Watch) -> Judged:
    """What val says; a call to stop does not wait for it, the epoch's steps are saved then."""
    objective, split, judged = trainer.objective, trainer.split, trainer.evaluated
    by_first = trainer.processes.by_first

    def report(text: str) -> None:
        watch.message(f"{run.name}: {text}")

    try:
        with signals.immediate():
            if not objective.answers:
                loss = partial(objective.val_loss, judged, split)
                return Judged(eased(trainer, lambda: by_first(lambda: loss(trainer.machine)), report))
            val = evaluate(trainer, "val", report)
            agreement = partial(objective.agreement, val, split)
            agreed = eased(trainer, lambda: by_first(lambda: agreement(trainer.machine)), report)
            return Judged(float(val.losses.mean()), float(val.correct.mean()), agreed)
    except Interrupted:
        _save_inside(trainer, meter, run, watch)
        raise


def _finite(loss: float, epoch: int, step: int, recipe: Recipe) -> float:
    if not np.isfinite(loss):
        raise RunFailedError(
            f"the loss is {loss} at epoch {epoch}, step {step}; try a smaller --lr than {recipe.lr:g}"
            + ("" if recipe.precision == "fp32" else " or --precision fp32")
            + " under a new --name"
        )
    return loss
