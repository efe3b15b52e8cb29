"""Under torchrun the first process is the command; the others help it where it trains, and are silent."""

from vitbench.benchmark.beside import COMMANDS, NOT_CARRIED_OUT
from vitbench.launch import started


def wanted() -> bool:
    """Whether torchrun has started this process as another one than the first."""
    return started()[0] > 0


def run(arguments: list[str]) -> int:
    """Help the first process if its command is one that trains; the exit status."""
    if arguments and arguments[0] in COMMANDS and not NOT_CARRIED_OUT.intersection(arguments):
        from vitbench.training.follow import follow

        follow()
    return 0
