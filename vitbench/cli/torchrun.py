"""Under torchrun the first process is the command; the others train with it, and are silent."""

import contextlib

from vitbench.benchmark.beside import COMMANDS, NOT_CARRIED_OUT
from vitbench.errors import VitbenchError


def run(arguments: list[str]) -> int:
    """In another process than the first: train with it if its command is one that trains; the exit status."""
    if arguments and arguments[0] in COMMANDS and not NOT_CARRIED_OUT.intersection(arguments):
        from vitbench.benchmark.train import take_part

        with contextlib.suppress(VitbenchError):  # the first one says it
            take_part()
    return 0
