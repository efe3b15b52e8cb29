"""Versions and machine of a run; torch is not loaded for it."""

import platform
import sys
import time
from importlib.metadata import version
from typing import Any

from vitbench.records import Machine, Run

PACKAGES = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn")

MATTER = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow")
"""The packages in which another version may give other weights from the same recipe."""


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
    }


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
        found.append(f"threads {known['threads']} → {machine.threads}")
    if (before := known.get("processes", 1)) != machine.processes:
        found.append(f"processes {before} → {machine.processes}")
    return found
