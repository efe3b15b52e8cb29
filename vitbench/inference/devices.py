"""Which device computes."""

import re

import torch

from vitbench.errors import UsageError, did_you_mean
from vitbench.options import quoted


def choose_device(asked: str) -> torch.device:
    """The torch device for `--device`; "auto" takes CUDA, then MPS, then the CPU.

    Raises UsageError for a device that this machine or this build of torch does not have.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"(cpu|mps|cuda|xpu)(:\d+)?", asked):
        near = did_you_mean(asked, ("auto", "cpu", "cuda", "mps"))
        raise UsageError(f"--device {quoted(asked)}: should be auto, cpu, cuda, cuda:1 or mps{near}")
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:80]
        raise UsageError(f"--device {asked}: not usable here ({reason}); try --device cpu") from error
    return device
