"""Versions and machine of a run; torch is not loaded for it."""

import platform
import sys
import time
from importlib.metadata import version
from typing import Any

from vitbench.records import Machine

PACKAGES = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn")


def environment(machine: Machine) -> dict[str, Any]:
    """Versions and machine: what a reader needs to judge times and to repeat weights bit by bit."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
        "device": machine.device_name,
        "threads": machine.threads,
        "workers": machine.workers,
        "micro_batch": machine.micro_batch,
    }
