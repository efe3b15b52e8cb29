"""What torchrun, or a grid, says to the processes that it starts, in their environment."""

import os


def started() -> tuple[int, int]:
    """This process's rank and how many torchrun has started; (0, 1) without it."""
    count = int(os.environ.get("WORLD_SIZE") or 1)
    return (int(os.environ.get("RANK") or 0), count) if count > 1 else (0, 1)


def started_here() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or started()[1])


NICENESS = "VITBENCH_NICENESS"


def niceness() -> int:
    """How far this process stands back behind others because a grid made it so: its times suffer; else 0."""
    return int(os.environ.get(NICENESS) or 0)
