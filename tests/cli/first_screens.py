"""The first screens of typical benchmarks, as text at two widths.

The benchmarks are made up, their speeds too, so that nothing depends on the machine; all behind the training
is what a command does.
"""

import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fabricate import distil, in_arm, make_benchmark, rewrite

from vitbench import files
from vitbench.cli.demo import demo_screen
from vitbench.cli.show import closing
from vitbench.comparison.compare import compare
from vitbench.records import Benchmark
from vitbench.reports.lines import Line
from vitbench.reports.screen import first_screen

WIDTHS = (80, 120)
CLASSES = ("bag", "boot", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "top", "trouser")
COSTS = {"vit": (5.49, 0.0939, 186.0, 7.79), "swin": (27.51, 0.371, 62.4, 22.6)}
"""Millions of parameters, GMACs, images per second, ms per image of made-up models."""
Screen = Callable[[int], list[Line]]


def answers(labels: list[int], right: float, seed: int) -> list[int]:
    """Answers of which such a share is right, the mistakes strewn about."""
    dice, classes = random.Random(seed), max(labels) + 1
    wrong = set(dice.sample(range(len(labels)), round(len(labels) * (1 - right))))
    return [
        (label + dice.randrange(1, classes)) % classes if i in wrong else label
        for i, label in enumerate(labels)
    ]


def made(name: str, runs: dict[str, Any], labels: list[int], **more: Any) -> Benchmark:
    """A finished benchmark of these answers, its pictures in `photos`."""
    more = {"classes": CLASSES[: max(labels) + 1], "train": labels * 3, "data": "photos", **more}
    benchmark = make_benchmark(Path("results") / name, runs, labels, **more)
    for run in benchmark.runs:
        for word, (params, gmacs, speed, latency) in COSTS.items():
            if word in run.folder.name and (run.folder / "metrics.json").exists():
                metrics = run.metrics()
                metrics["cost"] |= {"params_m": params, "gmacs": gmacs}
                metrics["cost"] |= {"train_images_per_second": speed, "latency_ms_p50": latency}
                files.write_json(run.folder / "metrics.json", metrics)
    (benchmark.folder / "report.html").touch()
    return benchmark


def of(benchmark: Benchmark) -> Screen:
    """What a command prints of it in the end."""
    found = compare(benchmark)
    return lambda width: first_screen(found, width, closing(benchmark, found, width))


def demo() -> Screen:
    """Three models from random weights on 200 small pictures."""
    labels = [i % 10 for i in range(200)]
    runs = {
        f"{m}-s0": answers(labels, right, 1)
        for m, right in (("vit", 0.285), ("swin", 0.58), ("swinv2", 0.555))
    }
    benchmark = made("demo-1", runs, labels, rule="train/ and test/ as they are on disk")
    for run in benchmark.runs:
        rewrite(run, {"pretrained_on": "", "init": "random"}, {"init": {"kind": "random"}})
    found = compare(benchmark)
    return lambda width: demo_screen(benchmark, found, benchmark.folder / "sheet.png", width)


def two() -> Screen:
    """Two fine-tuned models beside their probes, on 36 pictures."""
    labels = [i % 3 for i in range(36)]
    right = {"vit-probe-s0": 0.84, "vit-s0": 0.9, "swin-probe-s0": 0.75, "swin-s0": 0.95}
    return of(made("photos-1", {name: answers(labels, share, 2) for name, share in right.items()}, labels))


def folds() -> Screen:
    """Three models, three seeds each, five folds over 240 pictures."""
    labels = [i % 4 for i in range(240)]
    right = {"vit": 0.85, "swin": 0.93, "deit": 0.8}
    runs = {
        f"{model}-s{seed}": answers(labels, share + seed / 100, 10 * i + seed)
        for i, (model, share) in enumerate(right.items())
        for seed in range(3)
    }
    return of(made("photos-2", runs, labels, folds=5))


def arms() -> Screen:
    """Two models, plain and with a teacher, and the teacher."""
    labels = [i % 3 for i in range(120)]
    right = {"vit": 0.75, "swin": 0.9, "distill-vit": 0.93, "distill-swin": 0.92, "resnet50": 0.97}
    benchmark = made("photos-3", {f"{m}-s0": answers(labels, share, 3) for m, share in right.items()}, labels)
    for run in benchmark.runs[2:4]:
        in_arm(run, "distill", run.model.removeprefix("distill-"), seconds=18.0)
        distil(run, {"teacher": answers(labels, 0.97, 3)}, "resnet50-s0", CLASSES[:3])
    return of(benchmark)


def failed() -> Screen:
    """Three models, one of them failed."""
    labels = [i % 5 for i in range(150)]
    reason = (
        "failed: out of memory (cuda: 23.4 of 24.0 GB in use) in epoch 3; take a smaller --batch-size, or "
        "let --micro-batch auto find what fits, and go on with vitbench train --resume --name photos-4"
    )
    runs: dict[str, Any] = {
        "vit-s0": answers(labels, 0.8, 4),
        "swin-s0": reason,
        "deit-s0": answers(labels, 0.6, 5),
    }
    return of(made("photos-4", runs, labels))


TWELVE = (
    "vit", "deit", "swin", "swinv2", "resnet50", "convnext_tiny.fb_in22k_ft_in1k", "efficientnet_b0.ra_in1k",
    "vit_base_patch16_clip_224.openai_ft_in12k_in1k", "mobilenetv3_large_100", "regnety_016.tv2_in1k",
    "swinv2-cr", "deit-distilled",
)  # fmt: skip


def twelve() -> Screen:
    """Twelve models, each beside its probe."""
    labels, runs = [i % 10 for i in range(400)], {}
    for i, model in enumerate(TWELVE):
        runs[f"{model}-probe-s0"] = answers(labels, 0.7, i)
        runs[f"{model}-s0"] = answers(labels, 0.95 - i / 60, 20 + i)
    return of(made("photos-5", runs, labels))


BENCHMARKS: dict[str, tuple[int, Callable[[], Screen]]] = {
    "demo": (3, demo),
    "two": (2, two),
    "folds": (3, folds),
    "arms": (5, arms),
    "failed": (3, failed),
    "twelve": (12, twelve),
}
"""Name → how many models it compares, and what makes it."""


@contextlib.contextmanager
def photos() -> Iterator[None]:
    """Inside a folder of its own with `photos` in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            (Path(place) / "photos").mkdir()
            yield
        finally:
            os.chdir(before)


def texts(name: str) -> dict[int, str]:
    """Width → the screen, as it stands in a file."""
    with photos():
        screen = BENCHMARKS[name][1]()
        return {width: "".join(f"{line.text}\n" for line in screen(width)) for width in WIDTHS}
