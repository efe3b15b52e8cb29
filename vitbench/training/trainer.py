"""A run in the making, as the loop, its steps and its checkpoints know it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import timm.optim
import timm.scheduler
import torch
from torch import Tensor, nn

from vitbench.data.batches import train_batches
from vitbench.data.crew import Crew
from vitbench.data.device_views import Making
from vitbench.data.prefetch import whole
from vitbench.data.store import open_store
from vitbench.records import Epoch, Machine, Recipe, Split
from vitbench.training.average import MovingAverage
from vitbench.training.distributed.processes import ALONE, Processes
from vitbench.training.graphs import Graphs
from vitbench.training.meter import EpochMeter
from vitbench.training.objectives.objective import Objective
from vitbench.training.objectives.supervised import MixPictures
from vitbench.training.saver import Saver
from vitbench.training.upload import uploaded


@dataclass
class Trainer:
    """One run in the making: what changes from step to step."""

    recipe: Recipe
    split: Split
    machine: Machine
    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    scheduler: timm.scheduler.scheduler.Scheduler | None
    ema: MovingAverage | None
    scaler: torch.amp.GradScaler
    mix: MixPictures | None
    steps_per_epoch: int
    memory_format: torch.memory_format = torch.contiguous_format
    """Of the model's weights and of the pictures that it is given."""
    graphs: Graphs | None = None
    """Forward and backward, recorded; None: they are computed operation by operation."""
    unfused: tuple[str, ...] = ()
    """Modules whose attention is computed product by product, and is not in a model that is loaded."""
    processes: Processes = field(default_factory=lambda: ALONE)
    notes: tuple[str, ...] = ()
    """Approximations and fallbacks that its `recipe.json` tells."""
    rows: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_sha256: str = ""
    ahead: Crew = field(default_factory=lambda: Crew(0))
    making: Making = field(default_factory=lambda: Making("CPU"))
    saver: Saver = field(default_factory=Saver)
    meter: EpochMeter | None = None
    """Of the epoch that was left inside; None: the next one begins at its first step."""
    held: dict[str, Tensor] | None = None
    """The chosen epoch's weights, where they are not on disk yet."""
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def device(self) -> torch.device:
        return torch.device(self.machine.device)

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """What is learnt; looking it up anew costs as much as a tenth of a step's launches."""
        return list(self.model.parameters())

    @property
    def counts_right(self) -> bool:
        """Right answers can be counted while it trains: there are answers, and pictures are not mixed."""
        return self.objective.answers and self.mix is None

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are judged and saved: the moving average where there is one."""
        return self.model if self.ema is None else self.ema.module

    def batches(self, epoch: int, done: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's global batches but for the first `done`, prepared ahead in the machine's threads.

        Of several processes each has the images of its own share, but those of all where they are mixed.
        """
        if done == self.steps_per_epoch:
            return
        share = whole if self.mix is not None else self.processes.share
        makes = train_batches if self.making.views is None else self.making.views.batches
        made = makes(self.split, self.recipe, epoch, self.ahead, share, open_store(self.machine.store))
        batches = islice(uploaded(made, self.device), done, None)
        for _ in range(done, self.steps_per_epoch):
            with self.processes.together():
                batch = next(batches)
            yield batch

    def update(self, step: int) -> int:
        """The number, from 0, of a step (from 1) of the epoch under way, over all epochs."""
        return len(self.rows) * self.steps_per_epoch + step - 1

    @property
    def stopped(self) -> bool:
        """All epochs are done, or `patience` epochs brought nothing better."""
        done = len(self.rows)
        patience = self.recipe.patience
        return done >= self.last or (patience is not None and done - self.best_epoch >= patience)

    @property
    def last(self) -> int:
        """The last epoch there will be, from 1."""
        return self.recipe.last_epoch or self.recipe.epochs

    def train_mode(self) -> None:
        """Ready to learn: dropout and drop path on; frozen normalisation keeps its statistics."""
        self.objective.train()
        if self.recipe.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
