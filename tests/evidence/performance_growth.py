"""What the work costs as it grows: files to scan, pictures to answer for, image sizes, classes."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from performance_arms import Case
from performance_photos import small_files
from performance_speed import children_cpu, cost_of, measure

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.inference.devices import choose_device
from vitbench.inference.forward import probabilities
from vitbench.inference.stream import batch_size
from vitbench.models.create import create
from vitbench.models.folder import load_model, save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model

VITBENCH = (sys.executable, "-m", "vitbench")
LIMIT_BATCHES = 20
LOOKS = 200
"""Answers between two looks at the memory of `predict`."""


STEPS = (("check", "check"), ("check again", "check"), ("split", "split"), ("split, written", "split"))


def scans(count: int, folder: Path) -> dict[str, Any]:
    """Cost of `data check` (twice) and `data split` (twice, then with copies) on `count` small files."""
    small_files(folder / "data", count)
    cache = {**os.environ, "VITBENCH_CACHE": str(folder / "cache")}
    found: dict[str, Any] = {"files": count}
    for name, word in STEPS:
        out = [str(folder / "copies")] if name.endswith("written") else []
        cost = cost_of([*VITBENCH, "data", word, str(folder / "data"), *out], cache)
        found[name] = dataclasses.asdict(cost)
    shutil.rmtree(folder / "copies")
    return found


def predictions(count: int, model: str, size: int, device: str, folder: Path) -> dict[str, Any]:
    """Images/s of `vitbench predict --json` over `count` pictures, and its memory on the way.

    From the first batch's answers to the last one's, so that imports don't count. The limit: the same
    model, batch and device, forward only, on batches in memory, before and after.
    """
    random_model(model, size, folder / "model")
    small_files(folder / "data", count)
    before = _forward_only(folder / "model", device)
    command = [*VITBENCH, "predict", str(folder / "data"), "--run", str(folder / "model"), "--json"]
    memory: dict[int, float] = {}
    first = last = peak = 0.0
    answers, spent = 0, children_cpu()
    with subprocess.Popen(
        [*command, "--device", device],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        watched = psutil.Process(process.pid)
        for _ in process.stdout or ():
            answers += 1
            last = time.perf_counter()
            first = first or last
            # The last look is a little before the end, for an ended process has no memory to look at.
            wanted = answers in (min(1000, count // 2), count - min(100, count // 10))
            if wanted or (answers % LOOKS == 0 and answers < count):
                peak = max(peak, now := watched.memory_info().rss / 1e6)
                memory |= {answers: now} if wanted else {}
    if process.returncode:
        sys.exit(f"{' '.join(command)}: failed with status {process.returncode}; run it by hand")
    spent = children_cpu() - spent
    after = _forward_only(folder / "model", device)
    return {
        "pictures": answers,
        "model": model,
        "image_size": size,
        "images_per_second": (answers - batch_size(size)) / (last - first),
        "limit": [before, after],
        "rss_mb": memory,
        "cpu_seconds": spent,
        "peak_mb": peak,
    }


def random_model(model: str, size: int, folder: Path) -> None:
    """Save a model of ten classes with random weights: their values take no time."""
    plan = plan_model(model, size)
    classes = tuple(f"class-{i:04d}" for i in range(10))
    save_model(create(plan, 10, RANDOM, 0), folder, classes, plan.preprocessing)


def _forward_only(model: Path, device: str) -> float:
    """Images/s of forward passes alone."""
    loaded, place = load_model(model), choose_device(device)
    loaded.module.to(place)
    size = loaded.preprocessing.size
    batch = batch_size(size)
    batches = [torch.zeros(batch, 3, size, size)] * LIMIT_BATCHES
    probabilities(loaded.module, batches[:2], place)
    started = time.perf_counter()
    probabilities(loaded.module, batches, place)  # ends with a copy to the host
    return batch * LIMIT_BATCHES / (time.perf_counter() - started)


def sizes(case: Case, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Limit and vitbench at one image size."""
    found = measure(dataclasses.replace(case, image_size=size), ("limit", "vitbench"), rounds, folder)
    return {
        name: found[name] for name in ("model", "image_size", "batch", "steps", "device", "rounds", "first")
    }


def classes(case: Case, count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Scan and split of a folder with so many classes of eight pictures each, then limit and vitbench."""
    small_files(folder / "data", 8 * count, count)
    started = time.perf_counter()
    images = scan_folder(folder / "data")
    scanned = time.perf_counter() - started
    started = time.perf_counter()
    split = split_images(images, 0)
    splitting = time.perf_counter() - started
    wanted = max(1, int(np.ceil(case.batch * 4 / count)))
    case = dataclasses.replace(case, split=split, per_class=wanted)
    found = measure(case, ("limit", "vitbench"), rounds, folder)
    kept = {name: found[name] for name in ("model", "image_size", "batch", "steps", "device", "rounds")}
    return {"classes": count, "scan_seconds": scanned, "split_seconds": splitting, **kept}
