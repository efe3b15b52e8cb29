"""What a run is to be, as `benchmark.json` names it: decisions read this, never the name of its folder."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitbench.errors import VitbenchError


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A row of `runs` in `benchmark.json`: one model × seed."""

    name: str
    """Of its folder."""
    model: str
    """What the runs of all seeds share, and what tables call them: "vit", "distill-vit", "vit-probe"."""
    network: str
    """What is trained, as it was asked for: "vit", or a timm name; the same under every arm."""
    seed: int
    arm: str = ""
    """The way of training; "": the plain one."""
    probe_of: str = ""
    """The model of the same benchmark whose frozen probe this is; "" for one that was asked for by itself."""

    @classmethod
    def of(cls, network: str, seed: int, arm: str = "") -> "PlannedRun":
        """A model's run, in an arm where there are any."""
        model = f"{arm}-{network}" if arm else network
        return cls(_folder_name(model, seed), model, network, seed, arm)

    def probe(self, seed: int) -> "PlannedRun":
        """The frozen probe beside this run's model."""
        model = probe_name(self.model)
        return PlannedRun(_folder_name(model, seed), model, self.network, seed, self.arm, self.model)

    @property
    def beside(self) -> str:
        """The same for a model and the probe beside it: the model's name."""
        return self.probe_of or self.model


def planned_runs(rows: Any, where: str) -> tuple[PlannedRun, ...]:
    """The rows of `runs`; VitbenchError naming `where` if they are no such rows, or name a place outside."""
    try:
        found = TypeAdapter(tuple[PlannedRun, ...]).validate_python(rows)
    except ValidationError as error:
        raise VitbenchError(
            f"{where}: by another version of vitbench, or damaged (runs); restore it"
        ) from error
    if any(not re.fullmatch(r"[^./\\\0][^/\\\0]*", run.name) for run in found):
        raise VitbenchError(f"{where}: names a run outside its folder; restore it")
    return found


def probe_name(model: str) -> str:
    """What the frozen probe beside a model is called in tables."""
    return f"{model}-probe"


def _folder_name(model: str, seed: int) -> str:
    """`<model>-s<seed>`; characters of a timm name that are not for file names become `_`."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in model).lstrip(".")
    return f"{kept}-s{seed}"
