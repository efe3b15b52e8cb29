"""The machine: which device, how many threads and workers, what fits into one forward pass."""

import dataclasses
import gc
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import psutil
import torch

from vitbench.data.prefetch import cores
from vitbench.data.store import store_folder
from vitbench.errors import CrowdedError, DeviceLostError, RunFailedError, UsageError, first_line
from vitbench.launch import niceness, started, started_here
from vitbench.records import Machine, Settings, counted
from vitbench.training.arithmetic import prepare_deterministic
from vitbench.training.environment import compiler
from vitbench.training.graphs import RECORDING, records_steps

Result = TypeVar("Result")

CPU_EVAL_BATCH = 32
ACCELERATOR_EVAL_BATCH = 128
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")
"""What says so in an error that is no `torch.OutOfMemoryError`; the last is cuBLAS's and cuDNN's."""


def unused_card(device: torch.device) -> str:
    """One line on an NVIDIA card that is here and that torch cannot use: why, and what helps; else ""."""
    tool = shutil.which("nvidia-smi")
    if device.type != "cpu" or tool is None or "CUDA_VISIBLE_DEVICES" in os.environ:  # or somebody hides it
        return ""
    try:
        said = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    card = re.search(r"^GPU \d+: (.+?) \(", said, re.MULTILINE)
    if card is None:
        return ""
    if torch.version.cuda is None:
        wheel = "https://download.pytorch.org/whl/cu130"
        why = (
            f"this torch ({torch.__version__}) is built without CUDA; one with it comes by "
            f"`pip install --force-reinstall torch torchvision --index-url {wheel}`"
        )
    else:
        try:
            torch.zeros(1, device="cuda")
            why = "torch finds no device; restart the machine, or its driver"
        except (RuntimeError, AssertionError) as error:
            why = first_line(error)
    return f"{card[1]} is here and is not used: {why}"


def choose_precision(
    asked: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device
) -> Literal["fp32", "bf16", "fp16"]:
    """The precision of training; "auto": bf16 or fp16 on CUDA, fp32 elsewhere. Evaluation is fp32."""
    if asked == "fp16" and device.type != "cuda":
        raise UsageError(f"--precision fp16 needs a CUDA device, this is {device}; use bf16 or fp32")
    if asked != "auto":
        return asked
    if device.type != "cuda":
        return "fp32"
    with torch.cuda.device(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def choose_machine(settings: Settings, device: torch.device, batch_size: int) -> Machine:
    """How a run with this global batch is carried out on `device`, by the processes that are there.

    UsageError where a batch has not a picture for each of them, or all would share one accelerator, and for
    more runs at a time than there are cores.
    """
    jobs = 1 if settings.jobs == "auto" else settings.jobs
    _check_jobs(jobs, device)
    count = 1 if settings.recipe == "probe" else started()[1]
    if batch_size < count:
        raise UsageError(f"--batch-size {batch_size}: has not a picture for each of {count} processes")
    if count > 1 and (device.index is not None or device.type == "mps"):
        raise UsageError(f"--device {device}: {count} processes cannot share it; use cuda, or --device cpu")
    if count > 1 and device.type == "cuda" and started_here() > torch.cuda.device_count():
        cards = torch.cuda.device_count()
        raise UsageError(
            f"--device {device}: {started_here()} processes on this machine, which has {cards} "
            f"{'GPU' if cards == 1 else 'GPUs'}; start one for each (--nproc_per_node), or use --device cpu"
        )
    if settings.deterministic is not False:
        prepare_deterministic(device)
    share = -(-batch_size // count)
    accelerated = device.type != "cpu"
    store = str(Path(settings.store_dir).absolute() if settings.store_dir else store_folder())
    machine = Machine(
        device=str(device),
        device_name="",
        micro_batch=min(settings.micro_batch or share, share),
        eval_batch=ACCELERATOR_EVAL_BATCH if accelerated else CPU_EVAL_BATCH,
        threads=threads_each(jobs),
        workers=settings.workers,
        processes=count,
        jobs=jobs,
        store=store if settings.store else "",
        without=tuple(sorted(settings.without)),
        deterministic=settings.deterministic if device.type == "cuda" else False,
        compiled=False if settings.recipe == "probe" else settings.compile,
    )
    return named(machine)


def _check_jobs(jobs: int, device: torch.device) -> None:
    if jobs > 1 and started()[1] > 1:
        raise UsageError(
            f"--jobs {jobs}: torchrun's processes train one model together; leave one of them away"
        )
    if device.type == "cpu" and jobs > cores():
        raise UsageError(f"--jobs {jobs}: more than this machine has cores, which is {cores()}")


def threads_each(jobs: int) -> int:
    """The threads of each of so many runs at a time: together no more than one alone would have."""
    return max(1, torch.get_num_threads() // jobs)


def shared_out(machine: Machine, jobs: int) -> Machine:
    """The machine for one of so many runs at a time."""
    return named(dataclasses.replace(machine, jobs=jobs, threads=threads_each(jobs)))


def named(machine: Machine) -> Machine:
    """The machine with the names that its device and the device's libraries have here and now."""
    device = torch.device(machine.device)
    name = device_name(device, machine.threads)
    card = name if device.type == "cuda" else ""
    name += f", {machine.processes} processes" if machine.processes > 1 else ""
    name += f", {machine.jobs} runs at a time" if machine.jobs > 1 else ""
    name += f", niceness {niceness()}" if niceness() else ""
    return dataclasses.replace(machine, device_name=name, card=card, libraries=device_libraries(device))


def alone(machine: Machine) -> Machine:
    """The machine for what the first process does without the others, such as a probe."""
    return named(dataclasses.replace(machine, processes=1, compiled=False))


def settled(machine: Machine) -> Machine:
    """The machine with what compiles its steps, if they are compiled, and what was left open decided."""
    compiled = bool(machine.compiled)
    used = compiler() if compiled and machine.device == "cpu" else ""
    strict = machine.deterministic is not False
    return dataclasses.replace(machine, compiled=compiled, compiler=used, deterministic=strict)


def smaller(machine: Machine) -> Machine:
    """The machine after its memory ended: half the pictures per forward pass, and no step recorded.

    A recording keeps its gradients and activations apart from what else is computed; without one the same
    steps give the same bytes (results/evidence/gpu.md).
    """
    half = machine.micro_batch // 2
    without = machine.without
    if records_steps(machine) is True:
        without = tuple(sorted({*without, RECORDING}))
    return dataclasses.replace(
        machine, micro_batch=half, eval_batch=min(machine.eval_batch, half), without=without
    )


def device_name(device: torch.device, threads: int) -> str:
    """What a person calls the device: the GPU's name, or the processor and its threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {counted(threads, 'thread')}"


def device_libraries(device: torch.device) -> str:
    """ "CUDA 13.0, cuDNN 91900"; "" on other devices."""
    if device.type != "cuda":
        return ""
    cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"CUDA {torch.version.cuda}, cuDNN {cudnn}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the machine had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(said in text for said in NO_MEMORY)


def refuse_lost(device: str) -> None:
    """DeviceLostError where a CUDA device does not even add two numbers any more, as after an illegal access.

    Such an error stays with the process: whatever it asks of the device from then on fails with it.
    """
    if not device.startswith("cuda"):
        return
    try:
        torch.ones(1, device=device).add(1).cpu()
    except RuntimeError as error:
        if is_out_of_memory(error):
            return
        line = first_line(error)
        raise DeviceLostError(
            f"{device}: can do nothing more for this process ({line}); --resume goes on with what is left"
        ) from error


def starves_batch_norm(error: BaseException) -> bool:
    """Whether an error is batch normalisation's, which cannot learn from one value per channel."""
    return isinstance(error, ValueError) and "more than 1 value per channel" in str(error)


def free_memory(device: str) -> None:
    """Give back what unreachable tensors still hold."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.startswith("mps"):
        torch.mps.empty_cache()


def in_memory(
    name: str,
    machine: Machine,
    compute: Callable[[Machine], Result],
    told: Callable[[str], None],
    *,
    beside: bool,
) -> Result:
    """What `compute` returns; where memory ends, with half as many pictures a pass: `told` hears it.

    CrowdedError at once where other runs are `beside` it; RunFailedError where one picture does not fit.
    """
    while True:
        try:
            return compute(machine)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if beside:
                raise CrowdedError(f"{name}: out of memory beside other runs") from error
            if machine.eval_batch == 1:
                raise RunFailedError(
                    f"{name}: out of memory with one picture; use a smaller --image-size or model"
                ) from error
        free_memory(machine.device)
        machine = dataclasses.replace(machine, eval_batch=machine.eval_batch // 2)
        told(f"{name}: out of memory: {counted(machine.eval_batch, 'picture')} per forward pass")


class PeakMemory:
    """The largest memory seen: CUDA's own peak, elsewhere the largest of the samples.

    On a CPU it is this process's resident set, what earlier models in it left behind included.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.process = psutil.Process()
        self.peak_bytes = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def sample(self) -> float:
        """Look once; the peak so far in MB (10⁶ bytes)."""
        if self.device.type == "cuda":
            now = torch.cuda.max_memory_allocated(self.device)
        elif self.device.type == "mps":
            now = torch.mps.driver_allocated_memory()
        else:
            now = int(self.process.memory_info().rss)
        self.peak_bytes = max(self.peak_bytes, now)
        return self.peak_bytes / 1e6
