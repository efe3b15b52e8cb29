"""What is saved of a trainer, how often, and how it is taken up again.

Every `SAVE_SECONDS`, at the end, and when a signal asks, not every epoch: to copy a state of several hundred
MB takes as long as an epoch that lasts a second. What a kill loses is trained again, to the same bytes: no
randomness is carried. Between two checkpoints the chosen weights are held where the model is.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vitbench import files
from vitbench.records import Epoch, Run, best_epoch
from vitbench.training import checkpoint
from vitbench.training.meter import EpochMeter
from vitbench.training.trainer import Trainer

SAVE_SECONDS = float(os.environ.get("VITBENCH_SAVE_SECONDS") or 30)
"""0: after every epoch, and never inside one (tests)."""


def due(trainer: Trainer) -> bool:
    """Whether a kill would cost more than `SAVE_SECONDS` soon, however large the state is."""
    return time.monotonic() - trainer.saved_at >= SAVE_SECONDS


def take(trainer: Trainer, row: Epoch) -> bool:
    """Count an epoch as done, and hold its weights where it is the best so far; whether it is."""
    trainer.rows.append(row)
    trainer.best_epoch = best_epoch(trainer.rows).epoch
    best = trainer.best_epoch == row.epoch
    if best and trainer.processes.first:
        trainer.held = trainer.evaluated.state_dict()  # the very tensors, until `keep` copies them
    return best


def keep(trainer: Trainer) -> None:
    """Hold the best weights through the steps to come; nothing is copied that is on disk or held already."""
    if trainer.held is not None and trainer.best_epoch == len(trainer.rows):
        trainer.held = {name: tensor.detach().clone() for name, tensor in trainer.held.items()}


def save(
    trainer: Trainer,
    run: Run,
    say: Callable[[], None] = lambda: None,
    inside: Mapping[str, Any] | None = None,
) -> None:
    """Copy the trainer's state, and write it beside the steps to come; `say` is called when it is on disk.

    `inside`: what the steps of an epoch under way have added up to. Of several processes the first writes.
    """
    if not trainer.processes.first:
        return
    folder = run.folder / "checkpoint"
    trainer.saver.wait()  # before the state is copied: memory holds one copy, not two
    rows, scaler, chosen = tuple(trainer.rows), trainer.scaler.state_dict(), trainer.best_epoch
    best = None if trainer.held is None else checkpoint.pack(trainer.held)
    state = checkpoint.pack(state_of(trainer))
    trainer.held = None

    def write() -> None:
        folder.mkdir(exist_ok=True)
        if best is not None:
            trainer.best_sha256 = checkpoint.write(checkpoint.best_path(folder, chosen), best)
        checkpoint.save(folder, rows, (chosen, trainer.best_sha256), state, scaler, inside)
        files.write_csv(run.folder / "epochs.csv", Epoch.columns(), [as_row(row) for row in rows])
        say()

    trainer.saver.begin(write)
    trainer.saved_at = time.monotonic()


def as_row(row: Epoch) -> dict[str, float | None]:
    """A row of `epochs.csv`."""
    return {name: getattr(row, name) for name in Epoch.columns()}


def restore(trainer: Trainer, folder: Path, report: Callable[[str], None]) -> None:
    """Take up the newest whole checkpoint; without one the trainer stays as it was built."""
    saved = checkpoint.load_newest(folder, report)
    if saved is not None:
        take_up(trainer, saved)


def take_up(trainer: Trainer, saved: checkpoint.Checkpoint) -> None:
    """Bring a trainer to the state that was saved."""
    trainer.model.load_state_dict(saved.part("model"))
    checkpoint.load_optimizer(trainer.optimizer, saved.part("optimizer"))
    if trainer.ema is not None:
        trainer.ema.module.load_state_dict(saved.part("ema"))
    if saved.scaler:
        trainer.scaler.load_state_dict(saved.scaler)
    trainer.rows = list(saved.rows)
    trainer.best_epoch, trainer.best_sha256 = saved.best_epoch, saved.best_sha256
    if saved.inside is not None:
        trainer.meter = EpochMeter.carried(trainer.device, saved.inside)
        if trainer.scheduler is not None:  # the epoch's row names the rate of its last step
            trainer.scheduler.step_update(trainer.update(trainer.meter.step))


def progress_of(trainer: Trainer) -> checkpoint.Checkpoint:
    """All of a trainer's state but its tensors."""
    rows, scaler = tuple(trainer.rows), trainer.scaler.state_dict()
    inside = None if trainer.meter is None else trainer.meter.saved()
    return checkpoint.Checkpoint(rows, trainer.best_epoch, trainer.best_sha256, scaler, inside, {})


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    """All tensors that a step changes, as "model.…", "optimizer.…" and "ema.…"."""
    parts = {
        "model": trainer.model.state_dict(),
        "optimizer": checkpoint.optimizer_tensors(trainer.optimizer),
    }
    if trainer.ema is not None:
        parts["ema"] = trainer.ema.module.state_dict()
    return {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
