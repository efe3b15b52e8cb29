"""What goes to a machine of a grid and what comes back: a work, what it needs, where its run comes to lie."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.benchmark.parcels import Parcel

SCRATCH = "VITBENCH_SCRATCH"
TOKEN = ".grid"
"""A file of the benchmark by which another machine sees whether it has the same folder."""
STATE = "state"
Progress = tuple[bool, int, str]
"""Whether a run is finished, how many parts of it are, its last checkpoint; to be compared."""
OVER = -1
"""What is told instead of a signal to who is not the one any more that carries a work out."""


@dataclass(frozen=True)
class Need:
    """Files that a work reads, and by what a machine knows that it has them."""

    kind: str
    """ "pictures", "weights", "teacher"."""
    place: Path
    """Where they lie on the machine that asks."""
    sample: str
    """One of them; "": the place is a file."""
    sha256: str
    """Of that one."""
    key: str
    """Names them where they are sent."""

    def is_here(self) -> bool:
        """Whether the same files lie in the same place."""
        try:
            return files.sha256_of(self.place / self.sample) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Target:
    """Where a run comes to lie."""

    benchmark: Path
    """Its folder on the machine that asks."""
    key: str
    """Names that folder elsewhere."""
    run: str
    part: str = ""
    """ "fold-2": the part of the run that is carried out."""
    token: str = ""

    @property
    def name(self) -> str:
        return f"{self.run}/{self.part}".rstrip("/")

    def is_here(self) -> bool:
        """Whether this machine has that folder, and nobody wants it to write elsewhere."""
        with contextlib.suppress(OSError):
            return not os.environ.get(SCRATCH) and (self.benchmark / TOKEN).read_text() == self.token
        return False


@dataclass(frozen=True)
class Task:
    """A work on its way."""

    content: bytes
    """Pickled."""
    name: str
    tries: int
    """The how manieth time it is handed out."""
    threads: int
    needs: tuple[Need, ...]
    target: Target | None
    session: str
    """Names what is sent in one call."""
    versions: Mapping[str, str]
    arguments: tuple[str, ...]
    """Of the command that asks."""
    progress: Progress = (False, 0, "")
    """How far its run has come where it asks."""


@dataclass(frozen=True)
class Returned:
    """What comes back of a task."""

    kind: str
    """ "result", "error", "stopped" as of `worker.carry_out`; "killed"; "lacks" files that are to be sent."""
    details: tuple[Any, ...] = ()
    parcel: Parcel | None = None
    """The run's folder, or its part's, where it is not in its place already."""
    identity: Mapping[str, bytes] = field(default_factory=dict)
    """With a part: files of the run itself."""
