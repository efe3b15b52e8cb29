"""Versions and machine of a run; torch is not loaded for it."""

import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from vitbench.records import Machine, Run

PACKAGES = (
    "vitbench", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn", "scipy",
)  # fmt: skip

MATTER = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow")
"""The packages in which another version may give other weights from the same recipe."""


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
        "libraries": machine.libraries,
        "threads": machine.threads,
        "workers": machine.workers,
        "micro_batch": machine.micro_batch,
        "processes": machine.processes,
        "jobs": machine.jobs,
        "without": list(machine.without),
        "deterministic": machine.deterministic,
        "compiled": bool(machine.compiled),
        "compiler": machine.compiler,
        "resumes_to_the_same_bytes": resumes_exactly(machine),
    }


def resumes_exactly(machine: Machine) -> bool:
    """Whether a run that is cut off and gone on with ends with the bytes of one that was not."""
    kind = _kind(machine.device)
    return kind == "cpu" or (kind == "cuda" and machine.deterministic and machine.processes == 1)


def _kind(device: str) -> str:
    """ "cuda" of "cuda:1"."""
    return device.partition(":")[0]


SAME_BYTES: Mapping[bool, tuple[str, ...]] = {
    True: ("device_views",),
    False: ("device_views", "cuda_graphs", "tf32"),
}
"""Techniques that change no byte of the weights, on CUDA and elsewhere; what comes of the others may."""


def _ways(without: Iterable[str], deterministic: bool, device: str) -> tuple[str, str]:
    """In which way a device computes: the option that leaves techniques out, and "deterministic" or not."""
    cuda = _kind(device) == "cuda"
    names = ",".join(sorted(name for name in without if name not in SAME_BYTES[cuda]))
    strict = deterministic and cuda
    return f"--without {names or 'none'}", "deterministic" if strict else "not deterministic"


def changed_since(run: Run, machine: Machine) -> list[str]:
    """What is other than when a run began and can change the last bits of its weights: "torch 2.9 → 2.10".

    [] for a run of which nothing was trained yet, for it begins anew.
    """
    parts = (part for part in run.folder.glob("*/recipe.json"))
    if not (run.folder / "checkpoint").is_dir() and not any(parts):
        return []
    known = run.environment()
    versions = known.get("versions", {})
    found = [
        f"{name} {versions[name]} → {version(name)}"
        for name in MATTER
        if name in versions and versions[name] != version(name)
    ]
    if (before := known.get("libraries")) and machine.libraries:  # on a card then and now
        cards = [name.partition(", ")[0] for name in (known["device"], machine.device_name)]
        pairs = (cards, (before, machine.libraries))
        found += [f"{was} → {now}" for was, now in pairs if was != now]
    # The arithmetic of other devices does not depend on it.
    if machine.device == "cpu" and known.get("threads", machine.threads) != machine.threads:
        jobs = known.get("jobs", 1)
        so = f" (--jobs {jobs} → {machine.jobs})" if jobs != machine.jobs else ""
        found.append(f"threads {known['threads']} → {machine.threads}{so}")
    began = _ways(known.get("without", ()), known.get("deterministic", False), machine.device)
    asked = _ways(machine.without, machine.deterministic, machine.device)
    found += [f"{was} → {now}" for was, now in zip(began, asked, strict=True) if was != now]
    if (before := known.get("compiler")) and (now := compiler()) != before:
        found.append(f"{before} → {now}")
    if (before := known.get("processes", 1)) != machine.processes:
        found.append(f"processes {before} → {machine.processes}")
    return found


def refusal(run: Run, changed: list[str]) -> str:
    """The line for a run that began with other versions or threads than are here."""
    hint = ""
    for name, before, *more in (change.split() for change in changed):
        if name == "--without":
            hint += f"give {name} {before}, or "
        elif name == "deterministic":
            hint += "give --deterministic, or "
        elif name == "not":  # deterministic
            hint += "leave --deterministic away, or "
        elif name == "threads":
            jobs = int(run.environment().get("jobs", 1))
            in_all = int(before) * jobs
            hint += f"give --jobs {jobs}, or " if "(--jobs" in more else f"set OMP_NUM_THREADS={in_all}, or "
        elif name == "processes":
            hint += f"start it with torchrun --nproc_per_node {before}, or "
    return (
        f"{run.folder}: was begun with other versions or threads ({', '.join(changed)}); {hint}go on where "
        "they are the same, or add --resume-anyway, which costs that its weights are equal to the last bit"
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
