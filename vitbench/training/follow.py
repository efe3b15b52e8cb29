"""The processes that help the first one to train: they do what it orders, and read nothing but pictures.

They write nothing, print nothing, and leave signals to the first process; when it has gone, they end.
"""

import contextlib
import dataclasses
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitbench.errors import RunFailedError, VitbenchError
from vitbench.models.folder import load_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan
from vitbench.records import Machine, Recipe, Split
from vitbench.training.compiled import compile_step
from vitbench.training.loop import PARTS, answer, build_trainer, compare, share_state, to_contiguous
from vitbench.training.machine import free_memory
from vitbench.training.objectives.table import learner
from vitbench.training.processes import ElsewhereError, LostError, Order, Processes, joined
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer


@dataclass(frozen=True)
class Blueprint:
    """What a process needs to build the trainer that the first one has."""

    plan: ModelPlan
    recipe: Recipe
    split: Split
    machine: Machine
    teacher: Path | None = None
    """The folder of the model that teaches."""


def follow() -> Path | None:
    """Help until the first process is done: the benchmark it made, None where it did not say."""
    warnings.simplefilter("ignore")  # the first process says them too
    with joined() as processes, _deaf():
        follower = _Follower(processes)
        try:
            while follower.obey():
                pass
            return Path(processes.send())
        except LostError:
            return None


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Inside, the signals that a launcher passes to all processes mean nothing: the first one hears them."""
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if (number := getattr(signal, name, None)) is not None:  # Windows has no SIGUSR1
            before[number] = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Follower:
    """What is kept from order to order."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.trainer: Trainer | None = None
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self.at = (0, 0)
        """The epoch and step that `batches` gives next."""

    def obey(self) -> bool:
        """Carry one order out; False where it was the last."""
        order, one, two = self.processes.ordered()
        try:
            self._carry_out(order, one, two)
        except ElsewhereError:
            self.at = (0, 0)
        except (VitbenchError, OSError, RuntimeError, MemoryError, ValueError) as error:
            self.processes.failed = error
        return order is not Order.END

    def _carry_out(self, order: Order, one: int, two: int) -> None:
        if order is Order.BUILD:
            self._build()
        elif self.trainer is None:
            return
        elif order is Order.LOAD:
            share_state(self.trainer)
        elif order is Order.STEP:
            self._step(self.trainer, one, two)
        elif order is Order.ANSWER:
            self.at = (0, 0)
            self.trainer.machine = dataclasses.replace(self.trainer.machine, eval_batch=two)
            answer(self.trainer, PARTS[one])
        elif order is Order.SETTLE:
            to_contiguous(self.trainer)
        elif order is Order.COMPARE:
            compare(self.trainer)

    def _build(self) -> None:
        if self.trainer is not None:
            self.trainer.ahead.close()
        self.trainer, self.batches, self.at = None, iter(()), (0, 0)
        blueprint: Blueprint = self.processes.send()
        free_memory(blueprint.machine.device)
        with self.processes.together():
            torch.set_num_threads(blueprint.machine.threads)
            recipe = blueprint.recipe
            model = learner(blueprint.plan, recipe, RANDOM)
            teacher = None if blueprint.teacher is None else load_model(blueprint.teacher)
            self.trainer = build_trainer(
                model, recipe, blueprint.split, blueprint.machine, self.processes, teacher
            )
            if blueprint.machine.compiled and (trouble := compile_step(self.trainer)):
                raise RunFailedError(f"a process could not compile its step ({trouble}); try --no-compile")

    def _step(self, trainer: Trainer, epoch: int, step: int) -> None:
        if self.at != (epoch, step):
            self.batches, self.at = trainer.batches(epoch, step - 1), (epoch, step)
            trainer.train_mode()
        images, labels = next(self.batches)
        self.at = (epoch, step + 1)
        train_step(trainer, images, labels, (epoch - 1) * trainer.steps_per_epoch + step - 1)


def lead(trainer: Trainer, plan: ModelPlan, teacher: Path | None) -> None:
    """In the first process: have the others build a trainer like this one."""
    if trainer.processes.count > 1:
        trainer.processes.order(Order.BUILD)
        trainer.processes.send(Blueprint(plan, trainer.recipe, trainer.split, trainer.machine, teacher))
        with trainer.processes.together():
            pass
