"""Versions and machine of a run; torch is not loaded for it."""

import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from vitbench.records import Machine, Run

PACKAGES = (
    "vitbench", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn", "scipy",
)  # fmt: skip

MATTER = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow")
"""The packages in which another version may give other weights from the same recipe."""

version = cache(metadata.version)  # looked up once: each is a file to be parsed

NO_COMPILER = "no C++ compiler"


def environment(machine: Machine) -> dict[str, Any]:
    """Versions and machine: what a reader needs to judge times and to repeat weights bit by bit."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
        "device": machine.device_name,
        "card": machine.card,
        "libraries": machine.libraries,
        "threads": machine.threads,
        "workers": machine.workers,
        "micro_batch": machine.micro_batch,
        "processes": machine.processes,
        "jobs": machine.jobs,
        "without": list(machine.without),
        "deterministic": machine.deterministic is not False,
        "compiled": bool(machine.compiled),
        "compiler": machine.compiler,
        "resumes_to_the_same_bytes": resumes_exactly(machine),
    }


def resumes_exactly(machine: Machine) -> bool:
    """Whether a run that is cut off and gone on with ends with the bytes of one that was not."""
    kind = _kind(machine.device)
    exact = kind == "cuda" and machine.deterministic is not False and machine.processes == 1
    return exact or kind == "cpu"


def _kind(device: str) -> str:
    """ "cuda" of "cuda:1"."""
    return device.partition(":")[0]


SAME_BYTES: Mapping[bool, tuple[str, ...]] = {
    True: ("device_views", "cuda_graphs"),
    False: ("device_views", "cuda_graphs", "tf32"),
}
"""Techniques that change no byte of the weights, on CUDA and elsewhere; what comes of the others may."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is other than when a run began."""

    what: str
    """For people: "torch 2.9 → 2.10"."""
    way_back: str = ""
    """What makes it as it was, if this is easily done: "give --jobs 2"."""

    def __str__(self) -> str:
        return self.what


def _ways(known: Mapping[str, Any], machine: Machine) -> list[Change]:
    """The options in which a device computes otherwise than when a run began."""
    cuda = _kind(machine.device) == "cuda"

    def left_out(without: Iterable[str]) -> str:
        return ",".join(sorted(name for name in without if name not in SAME_BYTES[cuda])) or "none"

    found = []
    was, now = left_out(known.get("without", ())), left_out(machine.without)
    if was != now:
        found.append(Change(f"--without {was} → --without {now}", f"give --without {was}"))
    if cuda and (strict := bool(known.get("deterministic", False))) != bool(machine.deterministic):
        words = ("deterministic", "not deterministic")
        back = "give --deterministic" if strict else "give --no-deterministic"
        found.append(Change(" → ".join(words if strict else reversed(words)), back))
    return found


def changed_since(run: Run, machine: Machine) -> list[Change]:
    """What is other than when a run began and can change the last bits of its weights.

    [] for a run of which nothing was trained yet, for it begins anew.
    """
    parts = (part for part in run.folder.glob("*/recipe.json"))
    if not (run.folder / "checkpoint").is_dir() and not any(parts):
        return []
    known = run.environment()
    versions = known.get("versions", {})
    found = [
        Change(f"{name} {versions[name]} → {version(name)}")
        for name in MATTER
        if name in versions and versions[name] != version(name)
    ]
    if (before := known.get("libraries")) and machine.libraries:  # on a card then and now
        pairs = ((known.get("card", machine.card), machine.card), (before, machine.libraries))
        found += [Change(f"{was} → {now}") for was, now in pairs if was != now]
    # The arithmetic of other devices does not depend on it.
    if machine.device == "cpu" and known.get("threads", machine.threads) != machine.threads:
        jobs = known.get("jobs", 1)
        so, back = "", f"set OMP_NUM_THREADS={known['threads'] * jobs}"
        if jobs != machine.jobs:
            so, back = f" (--jobs {jobs} → {machine.jobs})", f"give --jobs {jobs}"
        found.append(Change(f"threads {known['threads']} → {machine.threads}{so}", back))
    found += _ways(known, machine)
    if (before := known.get("compiler")) and (now := compiler()) != before:
        found.append(Change(f"{before} → {now}"))
    if (before := known.get("processes", 1)) != machine.processes:
        back = f"start it with torchrun --nproc_per_node {before}"
        found.append(Change(f"processes {before} → {machine.processes}", back))
    return found


def refusal(run: Run, changed: Sequence[Change]) -> str:
    """The line for a run that began with other versions, threads or techniques than are here."""
    what = ", ".join(change.what for change in changed)
    ways_back = "".join(f"{change.way_back}, or " for change in changed if change.way_back)
    return (
        f"{run.folder}: was begun with other versions, threads or techniques ({what}); {ways_back}"
        "go on where they are the same, or add --allow-changed, which costs that its weights are equal to "
        "the last bit"
    )


def compiler() -> str:
    """The C++ compiler that torch takes, with its version; or `NO_COMPILER`."""
    from torch._inductor import cpp_builder  # of a run that has compiled its steps alone

    try:
        found = str(cpp_builder.get_compiler_version_info(cpp_builder.get_cpp_compiler()))
    except (RuntimeError, OSError, subprocess.SubprocessError):
        return NO_COMPILER
    version = re.search(r"(g[+c]+|clang) version [\d.]+", found)
    return version[0] if version else found[:80]
