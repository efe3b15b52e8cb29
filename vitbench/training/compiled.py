"""The step compiled by torch: before the first one, for every size of batch there is, or not at all.

What is compiled is the objective's forward pass, and by it its backward pass: names, saved weights and
checkpoints stay as they are, and val and test are answered by the model itself, as by a saved one. In
another process the same code comes out again, which a resumed run relies on.
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vitbench.data.epochs import epoch_size
from vitbench.data.prefetch import even_slices
from vitbench.errors import first_line
from vitbench.training.environment import NO_COMPILER
from vitbench.training.machine import is_out_of_memory, synchronise
from vitbench.training.step import gradients, scaled_bn_momentum
from vitbench.training.trainer import Trainer

SIZES = 64
"""Graphs of one piece of code at most, for sizes of batches; torch's own 8 would end in uncompiled ones."""
NOISY = ("torch._dynamo", "torch._inductor", "torch.utils.cpp_extension")
"""Loggers that tell on stderr of what is no concern of a user's."""
ROUNDS = 3


def compile_step(trainer: Trainer) -> str:
    """Compile the trainer's step; "", or why it stays as it was: of several processes, in all of them.

    Weights, statistics and whatever a step changes are afterwards what they were. Raises what torch raises
    where memory runs out.
    """
    trouble = next(filter(None, trainer.processes.gather(_compile(trainer))), "")
    if trouble:
        _uncompile(trainer)
    return trouble


def _uncompile(trainer: Trainer) -> None:
    trainer.objective._compiled_call_impl = None
    if trainer.graphs is not None:
        trainer.graphs.forget()  # what was recorded may be of the compiled step


def _compile(trainer: Trainer) -> str:
    if os.environ.get("TORCH_COMPILE_DISABLE") == "1" or os.environ.get("TORCHDYNAMO_DISABLE") == "1":
        return "TORCH_COMPILE_DISABLE is set"
    if trainer.machine.compiler == NO_COMPILER:
        return NO_COMPILER
    torch._dynamo.reset()  # what an earlier run left behind counts against `SIZES`
    torch._dynamo.config.recompile_limit = SIZES
    # Draws are those of a step that is not compiled; the number of threads stands in the code.
    options = {"fallback_random": True, "cpp.threads": torch.get_num_threads()}
    trainer.objective.compile(dynamic=False, options=options)
    try:
        with _quiet():
            for count in _batches(trainer):
                rehearse(trainer, count)
    except Exception as error:  # compilers, their files and torch's two stages fail in ways of their own
        if is_out_of_memory(error):
            _uncompile(trainer)
            raise
        return first_line(error)
    return ""


def rehearse(trainer: Trainer, count: int) -> None:
    """Forward and backward of a global batch of so many pictures of noise; no weight is changed."""
    side = trainer.recipe.preprocessing.size
    own = trainer.processes.share(count)
    mine = count if trainer.mix is not None else own.stop - own.start
    images = torch.randint(0, 256, (mine, 3, side, side), dtype=torch.uint8)
    labels = torch.arange(count) % len(trainer.split.classes)
    trainer.train_mode()
    with _untouched(trainer), scaled_bn_momentum(trainer.model, len(_sizes(trainer, count))):
        gradients(trainer, images, labels, 0)
        synchronise(trainer.device)


def _batches(trainer: Trainer) -> list[int]:
    """The sizes of an epoch's global batches, the largest first."""
    views = epoch_size(trainer.split.train, trainer.recipe.per_class)
    parts = even_slices(views, trainer.recipe.batch_size)
    return sorted({part.stop - part.start for part in parts}, reverse=True)


def _sizes(trainer: Trainer, count: int) -> list[slice]:
    own = trainer.processes.share(count)
    return even_slices(own.stop - own.start, trainer.machine.micro_batch)


@contextlib.contextmanager
def _untouched(trainer: Trainer) -> Iterator[None]:
    """Inside, a pass may move running statistics and leave gradients; afterwards nothing is left of it."""
    buffers: list[Tensor] = list(trainer.objective.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
        trainer.objective.zero_grad(set_to_none=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- whether it pays ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """What compiling a step brought and took."""

    gain: float
    """How many times as fast forward and backward are; NaN where it could not be compiled."""
    seconds: float
    """Until it was compiled."""
    trouble: str = ""


def tried(trainer: Trainer) -> Trial:
    """Compile the step, and time it and the other one in turns on a batch of noise; the fastest of each."""
    count = _batches(trainer)[0]
    started = time.perf_counter()
    if trouble := compile_step(trainer):
        return Trial(math.nan, time.perf_counter() - started, trouble)
    took = time.perf_counter() - started
    objective, compiled = trainer.objective, trainer.objective._compiled_call_impl
    fastest = {True: math.inf, False: math.inf}
    for _ in range(ROUNDS):
        for way in fastest:
            objective._compiled_call_impl = compiled if way else None
            started = time.perf_counter()
            rehearse(trainer, count)
            fastest[way] = min(fastest[way], time.perf_counter() - started)
    return Trial(fastest[False] / fastest[True], took)
