"""How long a command takes before it does anything: `--help`, and `predict` of one picture."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from performance_growth import VITBENCH, random_model
from performance_photos import small_files

IMPORTS = (sys.executable, "-c", "import torch, torchvision, timm")


def measure(model: str, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of each command in each round, the commands in turn; a first round warms up and is left out."""
    random_model(model, size, folder / "model")
    small_files(folder / "data", 3, 3)
    picture = next((folder / "data").rglob("*.jpg"))
    commands = {
        "help": (*VITBENCH, "--help"),
        "predict": (*VITBENCH, "predict", str(picture), "--run", str(folder / "model")),
        "imports": IMPORTS,
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = _seconds(command, folder)
            if number:
                found[name].append(seconds)
    return {"model": model, "image_size": size, "rounds": found}


def _seconds(command: Sequence[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - started
