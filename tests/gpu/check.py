"""What vitbench does on a GPU: is it right, then how fast against the limit. One JSON line per check.

    make gpu                                              # about eight minutes, and results/evidence/gpu.md
    python tests/gpu/check.py --device cpu --quick        # the script itself, in a few minutes anywhere

`--only limit,graph`: some of the checks. Needs no network and no installed vitbench, but the clone that it
lies in. A check that fails says so in its line and leaves the others alone; one that would begin after
--minutes is passed over. Speeds: [pictures/s, ms until a step is launched, peak MB].
"""

import argparse
import atexit
import contextlib
import csv
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

STARTED, HERE, WORK = (
    time.monotonic(),
    Path(__file__).resolve(),
    Path(tempfile.mkdtemp(prefix="vitbench-gpu-")),
)
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
ROOT = next((p for p in HERE.parents if (p / "vitbench" / "__init__.py").exists()), Path.cwd())
os.environ |= {
    "VITBENCH_CACHE": str(WORK / "cache"),
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(WORK / "site"), os.environ.get("PYTHONPATH", "")])
sys.path[:0] = [str(ROOT), str(WORK / "site")]
(WORK / "site" / "vitbench-0.1.0.dist-info").mkdir(
    parents=True
)  # for a clone that was never installed: `environment.json` asks
(WORK / "site" / "vitbench-0.1.0.dist-info" / "METADATA").write_text(
    "Metadata-Version: 2.1\nName: vitbench\nVersion: 0.1.0\n"
)

import numpy as np
import timm.layers
import torch
from device_views import checked
from PIL import Image
from safetensors.numpy import load_file
from vitbench.benchmark.predict import predict as ask
from vitbench.benchmark.train import train as carry_out
from vitbench.data.batches import train_batches
from vitbench.data.crew import Crew
from vitbench.data.demo import write_demo
from vitbench.data.device_views import DeviceViews, choose_making
from vitbench.data.resample import resample
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.store import open_store, store_folder
from vitbench.inference.features import features_of
from vitbench.models.create import create, state_sha256
from vitbench.models.plan import plan_model
from vitbench.models.initial import RANDOM
from vitbench.records import Origin, Settings
from vitbench.training import loop, step, upload
from vitbench.training.arithmetic import compute_as
from vitbench.training.machine import choose_machine, free_memory, synchronise
from vitbench.training.probe import forward_speed
from vitbench.training.recipes import build_recipe
from vitbench.records.watch import Watch

RESULTS, SPLITS = WORK / "results", {}
FULL = {
    "models": ["vit", "swin", "swinv2"],
    "size": 224,
    "small": 64,
    "batches": (32, 128, 256),
    "seconds": 1.5,
    "photo": (1600, 1200),
    "views": 200,
}
TINY = {
    "models": ["test_vit"],
    "size": 64,
    "small": 32,
    "batches": (4, 8),
    "seconds": 0.3,
    "photo": (320, 240),
    "views": 12,
}


PATIENCE = {"times": 1}
"""A busy CPU has longer than a card that is lent by the minute."""


def start(*words, launcher=(), code="", **more):
    """A vitbench command, started; `code` runs first in each of its processes, `more` is environment."""
    script = WORK / f"start-{len(list(WORK.glob('start-*.py')))}.py"
    script.write_text("from vitbench.cli import main\nmain()\n")
    if code:
        place = script.with_suffix("")
        place.mkdir()
        (place / "sitecustomize.py").write_text(code + "\n")
        more["PYTHONPATH"] = os.pathsep.join([str(place), os.environ["PYTHONPATH"]])
    with script.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *launcher, str(script), *map(str, words)],
            cwd=WORK,
            stdout=log,
            stderr=log,
            env={**os.environ, **more},
            start_new_session=True,
        )
    process.log = script.with_suffix(".log")
    return process


def ended(process, seconds):
    """(exit status, what it said last); one that hangs is killed with its children."""
    try:
        process.wait(seconds * PATIENCE["times"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    lines = [line for line in process.log.read_text().splitlines() if line.strip()]
    own = [line for line in lines if re.search(r"^vitbench:|failed: |right$", line)]
    return process.poll() if process.poll() is not None else "hung", " | ".join((own or lines)[-2:])[-250:]


def training(c, name, models, size, **more):
    """The words of `vitbench train` on the built-in pictures."""
    usual = {
        "weights": "random",
        "epochs": 2 if c.quick else 3,
        "per-class": 40,
        "device": c.device,
        "results": RESULTS,
    }
    asked = {**usual, "models": ",".join(models), "image-size": size, "name": name, **more}
    return [
        "train",
        "demo",
        "--no-near-duplicates",
        *itertools.chain(*((f"--{key}", value) for key, value in asked.items())),
    ]


def trainer_for(c, model, batch, precision="bf16", data="demo", **asked):
    """vitbench's own trainer, by the fine-tuning recipe on random weights, and a batch on its device."""
    free_memory(c.device)
    torch.cuda.reset_peak_memory_stats() if c.cuda else None
    if data not in SPLITS:
        SPLITS[data] = split_images(scan_folder(WORK / data, near=False), 0)
    split, plan = SPLITS[data], plan_model(model, c.size)
    settings = Settings.of({"image_size": c.size, "batch_size": batch, "device": c.device, **asked})
    recipe = build_recipe(settings, plan, split, 0, Origin(kind="hub"), precision)
    network = create(plan, len(split.classes), RANDOM, 0, recipe.drop_path)
    trainer = loop.build_trainer(
        network, recipe, split, choose_machine(settings, torch.device(c.device), batch)
    )
    trainer.train_mode()
    images = torch.randint(
        0, 256, (batch, 3, c.size, c.size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return trainer, images.to(c.device), (torch.arange(batch) % len(split.classes)).to(c.device)


def speed(c, work, pictures, seconds=None):
    """[pictures/s, ms until the call returns (lower quartile), MB]."""
    for _ in range(4):
        work()
    synchronise(torch.device(c.device))
    began, calls = time.perf_counter(), []
    while time.perf_counter() - began < (seconds or c.seconds):
        before = time.perf_counter()
        work()
        calls.append(time.perf_counter() - before)
    synchronise(torch.device(c.device))
    rate = len(calls) * pictures / (time.perf_counter() - began)
    return [
        round(rate),
        round(1000 * sorted(calls)[len(calls) // 4], 3),
        round(torch.cuda.max_memory_allocated() / 1e6) if c.cuda else 0,
    ]


def environment(c):
    """Versions, and what torch is set to."""
    names = [
        "vitbench",
        "torch",
        "torchvision",
        "timm",
        "numpy",
        "pillow",
        "scikit-learn",
        "scipy",
        "pydantic",
    ]
    found = {
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        **{name: version(name) for name in names},
    }
    found |= {
        "convolutions": torch.backends.cudnn.conv.fp32_precision,
        "products": torch.backends.cuda.matmul.fp32_precision,
    }
    return found | (
        {
            "gpu": torch.cuda.get_device_name(0),
            "MB": torch.cuda.get_device_properties(0).total_memory // 10**6,
            "cudnn": torch.backends.cudnn.version(),
            "nccl": torch.cuda.nccl.version(),
        }
        if c.cuda
        else {}
    )


def train(c):
    """Three models in each precision by the command line, side by side: finite, learning, finished."""
    running = {
        p: start(*training(c, p, c.models, c.small, precision=p))
        for p in ("fp32", "bf16", *(["fp16"] if c.cuda else []))
    }
    found = {"good": True}
    for precision, process in running.items():
        found[precision] = {"ended": ended(process, 240)}
        for run in sorted((RESULTS / precision).glob("*-s0")):
            with (run / "epochs.csv").open(newline="") as stream:
                rows = [
                    {key: float(value) for key, value in row.items() if value}
                    for row in csv.DictReader(stream)
                ]
            first, last = rows[0]["train_loss"], rows[-1]["train_loss"]
            found[precision][run.name] = [
                round(first, 3),
                round(last, 3),
                f"val {rows[-1]['val_top1']:.3f}",
                f"{rows[-1]['peak_memory_mb']:.0f} MB",
            ]
            found["good"] &= process.returncode == 0 and last < first < 1e9
    return found


def resume(c):
    """Killed (SIGKILL) and gone on with, beside two that were not: what differs? The same
    with --no-deterministic."""
    ways, model = {"": [], "-free": ["--no-deterministic"]}, f"{c.models[0]}-s0"
    size, epochs = (c.size, 8) if c.cuda else (32, 4)
    running = {
        name + way: start(
            *training(c, name + way, c.models[:1], size, epochs=epochs), *more, VITBENCH_SAVE_SECONDS="0"
        )
        for way, more in ways.items()
        for name in ("cut", "whole", "again")
    }
    killed, until = set(), time.monotonic() + 200 * PATIENCE["times"]
    while len(killed) < len(ways) and time.monotonic() < until:
        for way in ways.keys() - killed:
            if (RESULTS / f"cut{way}" / model / "checkpoint" / "epoch-0002.json").exists():
                os.killpg(running["cut" + way].pid, signal.SIGKILL)
                killed.add(way)
        time.sleep(0.02)
    early = [way for way in ways if running["cut" + way].wait(60) == 0]
    found = {"good": not early and len(killed) == len(ways)}
    for way in ways:
        status, said = ended(start("train", "--resume", "--name", f"cut{way}", "--results", RESULTS), 200)
        for name in ("whole", "again"):
            assert ended(running[name + way], 200)[0] == 0, "an uninterrupted run failed"
        whole, again, cut = (
            load_file(RESULTS / f"{name}{way}" / model / "model" / "model.safetensors")
            for name in ("whole", "again", "cut")
        )
        apart = {
            name: max(float(np.abs(whole[key] - there[key]).max()) for key in whole)
            for name, there in (("repeated", again), ("resumed", cut))
        }
        found["good"] &= status == 0 and (bool(way) or max(apart.values()) == 0)
        found[f"largest difference of a weight{', --no-deterministic' if way else ''}"] = apart
        found[f"said{', --no-deterministic' if way else ''}"] = said
    return found


DEAR = 0.1
"""Deterministic steps are the default as long as they take less than this longer."""


def repeatable(c):
    """Eight steps done twice: [equal weights, pictures/s], with --no-deterministic and as it is; its cost."""
    found, dearest, equal = {}, 0.0, True
    for model, precision in itertools.product(c.models, ("bf16", "fp32")):
        rates = {}
        for strict in (False, True):
            name, digests = f"{model} {precision}{' deterministic' if strict else ''}", set()
            try:
                for _ in range(2):
                    trainer, images, labels = trainer_for(
                        c, model, c.batches[0], precision, deterministic=strict
                    )
                    for number in range(8):
                        step.train_step(trainer, images, labels, number)
                    digests.add(state_sha256(trainer.model))
                again = functools.partial(step.train_step, trainer, images, labels, 9)
                rates[strict] = speed(c, again, len(labels), 0.4)[0]
                found[name] = [len(digests) == 1, rates[strict]]
                equal &= len(digests) == 1 or not strict
            except Exception as error:
                found[name], equal = f"{type(error).__name__}: {str(error)[:120]}", False
        if len(rates) == 2:
            dearest = max(dearest, rates[False] / rates[True] - 1)
    compute_as(choose_machine(Settings.of({}), torch.device("cpu"), 1))
    found["deterministic costs at most"] = f"{dearest:.1%}"
    found["deterministic may stay the default"] = c.cuda and equal and dearest < DEAR
    return found


def predict(c):
    """One saved benchmark asked on CPU and device: how far apart probabilities and answers are."""

    def said(device):
        answers = ask(WORK / "demo" / "test", run=RESULTS / "bf16", results=RESULTS, device=device, top_k=99)
        return [dict(pairs) for answer in answers for pairs in answer.predictions.values()]

    both = list(zip(said("cpu"), said(c.device), strict=True))
    apart = max(abs(one[key] - other[key]) for one, other in both for key in one)
    changed = sum(next(iter(one)) != next(iter(other)) for one, other in both)
    return {"good": apart < 1e-3, "largest difference": apart, "answers": f"{changed} of {len(both)} change"}


MEMORY_TOLD = """
import sys, torch
torch.cuda.set_per_process_memory_fraction({share})
give_back = torch.cuda.empty_cache
def empty_cache():
    give_back()
    left = torch.cuda.memory_allocated() // 10**6, torch.cuda.memory_reserved() // 10**6
    print("memory left", *left, file=sys.stderr)
torch.cuda.empty_cache = empty_cache
"""


def memory_ends(c):
    """With 1.5 GB of the card: smaller micro-batches, and the run is finished all the same."""
    if not c.cuda:
        return {"skipped": "needs CUDA"}
    share = 1.5e9 / torch.cuda.get_device_properties(0).total_memory
    code = MEMORY_TOLD.format(share=share)
    status, said = ended(start(*training(c, "oom", ["swin"], c.size, epochs=1), code=code), 200)
    about = json.loads((RESULTS / "oom" / "swin-s0" / "recipe.json").read_text())
    (log,) = [one for one in WORK.glob("start-*.log") if "memory left" in one.read_text()]
    return {
        "good": status == 0 and bool(about["fallbacks"]),
        "MB in use, reserved, whenever unused memory is given back": [
            [int(word) for word in line.split()[-2:]]
            for line in log.read_text().splitlines()
            if line.startswith("memory left")
        ],
        "micro_batch": about["machine"]["micro_batch"],
        "fallbacks": about["fallbacks"],
        "said": said,
    }


def processes(c):
    """Two under torchrun: on this machine's CPU, and on the device, where one card is refused in a line."""
    twice = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    short = {"epochs": 1, "batch-size": 32, "workers": 1}
    running = {
        "device": start(*training(c, "two", c.models[:1], c.small, **short), launcher=twice),
        "cpu": start(*training(c, "two-cpu", ["test_vit"], 32, **{**short, "device": "cpu"}), launcher=twice),
    }
    found = {name: ended(process, 120) for name, process in running.items()}
    alone = c.cuda and torch.cuda.device_count() == 1
    there = "which has 1 GPU" in found["device"][1] if alone else found["device"][0] == 0
    return {"good": found["cpu"][0] == 0 and there, **found}


@contextlib.contextmanager
def products(name):
    """Inside, fp32 products are computed so: "ieee" or "tf32"."""
    usual = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = name
    yield
    torch.backends.cuda.matmul.fp32_precision = usual


@contextlib.contextmanager
def fused_windows():
    """Inside, Swin is built with fused attention, which timm calls experimental."""
    timm.layers.set_fused_attn(True, experimental=True)
    yield
    timm.layers.set_fused_attn(True)


def limit(c, compiled=False):
    """The full step on a batch that lies in the device's memory, and each technique the other way round.

    32 is the recipe's batch; "without": `--without NAME`.
    """
    small, large, usual = *c.batches[:2], contextlib.nullcontext
    last = mock.patch.object(loop, "memory_format", return_value=torch.channels_last)
    ways = {f"bf16 {batch}": (batch, "bf16", "none", usual) for batch in c.batches} | {
        f"fp32 {large}": (large, "fp32", "none", usual),
        f"fp32 without tf32 {large}": (large, "fp32", "tf32", usual),
        f"fp32, products too in tf32 {large}": (large, "fp32", "none", lambda: products("tf32")),
        **({f"fp16 {large}": (large, "fp16", "none", usual)} if c.cuda else {}),
        f"without cuda_graphs {small}": (small, "bf16", "cuda_graphs", usual),
        f"without fused_optimizer {small}": (small, "bf16", "fused_optimizer", usual),
        f"without fused_attention {large}": (large, "bf16", "fused_attention", usual),
        f"fused attention in windows {large}": (large, "bf16", "none", fused_windows),
        f"channels last {large}": (large, "bf16", "none", lambda: last),
    }
    found, ways = {}, {f"compiled bf16 {large}": (large, "bf16", "none", usual)} if compiled else ways
    for model, (name, (batch, precision, without, during)) in itertools.product(
        c.models[: 2 if compiled else 3], ways.items()
    ):
        name = f"{model} {name}"
        try:
            with during():
                trainer, images, labels = trainer_for(c, model, batch, precision, without=without)
                began, trainer.objective = (
                    time.perf_counter(),
                    torch.compile(trainer.objective) if compiled else trainer.objective,
                )
                float(step.train_step(trainer, images, labels, 1)[0])
                first = [f"first step after {time.perf_counter() - began:.0f} s"] * compiled
                found[name] = [*first, *speed(c, lambda: step.train_step(trainer, images, labels, 1), batch)]
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error)[:80]}"
        trainer = images = labels = None
    return found


def compiled(c):
    """The same with a compiled objective, and the seconds until its first step is done."""
    return limit(c, compiled=True) if c.cuda else {"skipped": "needs CUDA"}


class Clock(Watch):
    """(training s, all s, pictures/s) of every epoch by run."""

    def run_started(self, run, epochs, steps, epoch):
        self.last, self.rows = time.perf_counter(), {**getattr(self, "rows", {}), run: []}

    def epoch_finished(self, run, row, best):
        self.rows[run].append((row.seconds, time.perf_counter() - self.last, row.images_per_second))
        self.last = time.perf_counter()


def end_to_end(c):
    """Trainings on photos: pictures/s, threads, waiting, the share of the epochs' time that is training."""
    found = {}
    for augment, batch in (("geometry", c.batches[0]), ("light", c.batches[0]), ("geometry", c.batches[-1])):
        clock, began, name = Clock(), time.perf_counter(), f"{augment}-{batch}"
        asked = {
            "models": tuple(c.models),
            "weights": ("random",),
            "image_size": c.size,
            "epochs": 4,
            "per_class": c.views,
            "device": c.device,
        }
        carry_out(
            WORK / "photos",
            name=name,
            results=RESULTS,
            watch=clock,
            augment=augment,
            batch_size=batch,
            near_duplicates=False,
            **asked,
        )
        for run, rows in clock.rows.items():
            who = re.findall(
                r"(\d+ thread|\d+ process|training's own).*?([\d.]+%) of the time",
                (RESULTS / name / run / "log.txt").read_text(),
            )[-1]
            found[f"{run} {name}"] = [
                round(rows[-1][2]),
                *who,
                f"{sum(row[0] for row in rows[1:]) / sum(row[1] for row in rows[1:]):.0%}",
            ]
        found[f"{name}: s in all, in epochs"] = [
            round(time.perf_counter() - began, 1),
            round(sum(row[1] for rows in clock.rows.values() for row in rows), 1),
        ]
    return found


def graph(c):
    """The recipe's steps replayed as CUDA graphs, and launched one by one: speeds, and equal weights.

    Batches of two sizes in turn, deterministic algorithms, drop path: [pictures/s, ms until launched, MB].
    """
    found = {"good": True}
    for model, precision in itertools.product(c.models, ("bf16", *(("fp16",) if c.cuda else ()))):
        digests, batch = set(), c.batches[0]
        for without in ("none", "cuda_graphs"):
            trainer, images, labels = trainer_for(
                c, model, batch, precision, without=without, deterministic=True, drop_path=0.1, ema=0.9
            )
            for number in range(6):
                end = batch - number % 2
                step.train_step(trainer, images[:end], labels[:end], number)
            digests.add(state_sha256(trainer.evaluated) + state_sha256(trainer.model))
            name = f"{model} {precision} {'replayed' if without == 'none' else 'launched'}"
            found[name] = speed(c, lambda: step.train_step(trainer, images, labels, 6), batch)
            if without == "none":
                found[f"{model} {precision}"] = said = step.techniques(trainer)["cuda_graphs"]
                found["good"] &= said is c.cuda
        found[f"{model} {precision}, equal weights"] = len(digests) == 1
        found["good"] &= len(digests) == 1
    compute_as(choose_machine(Settings.of({}), torch.device("cpu"), 1))
    return found


def attention(c):
    """Swin's attention fused, as timm can experimentally, and as it is: is it right?

    Largest differences of the logits, and of a gradient relative to the largest gradient, to float64.
    """
    found, size = {"good": True}, c.small if c.small % 32 == 0 else 64
    plan = plan_model("swin", size)
    pictures = torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(0))

    def gone(fused, dtype):
        with fused_windows() if fused else contextlib.nullcontext():
            network = create(plan, 5, RANDOM, 0)
        network.eval().to(c.device, torch.float64 if dtype is torch.float64 else torch.float32)
        with torch.autocast(c.device.partition(":")[0], dtype, enabled=dtype is torch.bfloat16):
            logits = network(pictures.to(c.device, next(network.parameters()).dtype))
            logits.double().logsumexp(1).sum().backward()
        gradients = [one.grad.double().flatten() for one in network.parameters() if one.grad is not None]
        return logits.detach().double(), torch.cat(gradients)

    true = gone(False, torch.float64)
    for dtype in (torch.float32, torch.bfloat16):
        apart = {}
        for fused in (False, True):
            logits, gradients = gone(fused, dtype)
            apart[fused] = [
                float((logits - true[0]).abs().max()),
                float((gradients - true[1]).abs().max() / true[1].abs().max()),
            ]
            found[f"{str(dtype)[6:]}{' fused' if fused else ''}"] = [f"{one:.1e}" for one in apart[fused]]
        found["good"] &= all(there < 3 * here + 1e-5 for here, there in zip(*apart.values(), strict=True))
    return found


def views(c):
    """Views of the device against Pillow's; views/s, alone and beside launches, by whom; ms to copy 32.

    "beside": the main thread launches the steps of a network that costs the device nothing, [views/s, ms a
    step]; "steps alone": ms of one when nobody makes views.
    """
    trainer, images, _ = trainer_for(c, "test_vit", 32, "fp32", "photos")
    found, store = {"good": True}, open_store(str(store_folder()))
    much = (20_000_000, 4000, 32) if c.cuda else (500_000, 500, 4)  # values, px, views: a CPU is slow at it
    for line in checked(c.device, *much, c.seconds):
        found["good"] &= line.pop("good")
        found[f"on the device by {line.pop('way')}"] = line
    device, step_of = torch.device(c.device), launches(c)
    making = choose_making(trainer.recipe, device)
    found["made by"] = making.how
    maker = making.views or DeviceViews(device, resample, 10**9)
    recipe = trainer.recipe.model_copy(update={"augment": "geometry", "per_class": 20_000})
    crew = Crew(1)
    batches = upload.uploaded(maker.batches(trainer.split, recipe, 1, crew, store=store), device)
    for _ in range(6):
        next(batches)
    found["geometry, the device"] = speed(c, lambda: next(batches), 32)[0]
    found["geometry, the device, beside"] = beside(c, step_of, batches)
    batches.close()
    crew.close()
    found["steps alone, ms"] = round(1000 * timed_steps(c, step_of)[1], 2)
    for augment, who in itertools.product(("geometry", "light", "deit"), (1, 16, "processes")):
        recipe = trainer.recipe.model_copy(update={"augment": augment, "per_class": 20_000})
        crew = Crew(None if who == "processes" else who, processes=who == "processes", pinned=c.cuda)
        batches = train_batches(trainer.split, recipe, 1, crew, store=store)
        for _ in range(6):
            next(batches)
        name = f"{augment}, {crew.who()}"
        found[name] = speed(c, lambda: next(batches), 32)[0]
        found[f"{name}, beside"] = beside(c, step_of, batches)
        batches.close()
        crew.close()
    host = images.cpu()
    for name, batch in (("pageable", host), *((("pinned", host.pin_memory()),) if c.cuda else ())):
        found[f"ms to copy, {name}"] = round(
            32_000 / speed(c, lambda: batch.to(c.device, non_blocking=True), 32, 0.2)[0], 3
        )
    return found


def launches(c):
    """A training step of twelve blocks on tiny tensors: nothing but launches."""
    block = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    model = torch.nn.TransformerEncoder(block, 12, enable_nested_tensor=False).to(c.device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pixels = torch.zeros(1, 4, 8, device=c.device)

    def one():
        optimizer.zero_grad(set_to_none=True)
        model(pixels).sum().backward()
        optimizer.step()

    return one


def timed_steps(c, one, seconds=None):
    """(steps, seconds of one)."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < (seconds or c.seconds):
        one()
        count += 1
    synchronise(torch.device(c.device))
    return count, (time.perf_counter() - began) / count


def beside(c, one, batches):
    """[views/s, ms of a step] while steps are launched and as many batches are taken as there are."""
    taken, stop = [0], threading.Event()

    def take():
        for images, _ in batches:
            taken[0] += len(images)
            if stop.is_set():
                return

    taker = threading.Thread(target=take)
    taker.start()
    began = time.perf_counter()
    _, each = timed_steps(c, one)
    made, seconds = taken[0], time.perf_counter() - began
    stop.set()
    taker.join()
    return [round(made / seconds), round(1000 * each, 2)]


def probe(c):
    """Features/s of a frozen model, first and from stored cuts, beside its forward passes alone (fp32)."""
    found = {}
    for model in c.models[:2]:
        trainer, _, _ = trainer_for(c, model, 32, "fp32", "photos")
        split, machine, rates = trainer.split, trainer.machine, []
        pictures = (*split.train, *split.val, *split.test)
        alone = forward_speed(
            trainer.model,
            SimpleNamespace(machine=machine, plan=SimpleNamespace(image_size=c.size)),
            machine.eval_batch,
        )
        for turn in range(2):
            began = time.perf_counter()
            features_of(
                trainer.model, f"{model}{turn}", split.root, pictures, trainer.recipe.preprocessing, machine
            )
            rates.append(round(len(pictures) / (time.perf_counter() - began)))
        found[model] = {"forward alone": round(alone), "first": rates[0], "stored": rates[1]}
    return found


def together(c):
    """One benchmark, so many of its runs at a time (`--jobs`): [status, s in all, pictures/s of each run]."""
    found, answers = {}, {}
    for jobs in (1, 2, 4, "auto") if c.cuda else (1, 2):
        name, began = f"jobs-{jobs}", time.perf_counter()
        more = {"seeds": "0,1,2,3" if c.cuda else "0,1", "per-class": c.views, "jobs": jobs}
        process = start(*training(c, name, c.models[:1], c.size, **more), "--no-probe", OMP_NUM_THREADS="1")
        found[name] = [ended(process, 150)[0], round(time.perf_counter() - began, 1)]
        runs = sorted((RESULTS / name).glob("*-s?"))
        costs = [json.loads((run / "metrics.json").read_text())["cost"] for run in runs]
        found[name] += [round(cost["train_images_per_second"]) for cost in costs]
        answers[name] = [(run / "predictions.csv").read_bytes() for run in runs]
        if jobs == "auto":
            found["auto"] = re.search(r"--jobs auto: (.*)", process.log.read_text())[1]
    found["equal answers"] = answers["jobs-1"] == answers["jobs-2"]
    done = all(value[0] == 0 for name, value in found.items() if name.startswith("jobs-"))
    return {"good": done and (c.cuda or found["equal answers"]), **found}


CHECKS = (  # what must be right first, then what takes longest last: minutes may end
    environment,
    train,
    predict,
    memory_ends,
    resume,
    repeatable,
    end_to_end,
    together,
    compiled,
    graph,
    attention,
    processes,
    probe,
    views,
    limit,
)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model and tiny pictures: does the script run?"
    )
    parser.add_argument(
        "--only", default=",".join(check.__name__ for check in CHECKS), help="[default: %(default)s]"
    )
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="no check begins later [default: %(default)s]"
    )
    parser.add_argument("--out", type=Path, help="the lines, in a file too")
    asked = parser.parse_args()
    c = SimpleNamespace(
        **vars(asked), cuda=asked.device.startswith("cuda"), **(TINY if asked.quick else FULL)
    )
    PATIENCE["times"] = 1 if c.cuda else 5
    write_demo(WORK / "demo")
    for label, number in itertools.product("abcde", range(14)):  # synthetic JPEG photos
        small = np.random.default_rng([ord(label), number]).integers(
            0, 256, (c.photo[1] // 40, c.photo[0] // 40, 3), dtype=np.uint8
        )
        (WORK / "photos" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize(c.photo, Image.Resampling.BICUBIC).save(
            WORK / "photos" / label / f"{number}.jpg", quality=90
        )
    for check in [check for check in CHECKS if check.__name__ in asked.only.split(",")]:
        began = time.monotonic()
        try:
            found = check(c) if began - STARTED < 60 * asked.minutes else {"skipped": "no time left"}
        except Exception as error:  # whatever it is, it is the finding
            found = {"good": False, "error": f"{type(error).__name__}: {str(error)[:300]}"}
        line = json.dumps(
            {"check": check.__name__, "seconds": round(time.monotonic() - began, 1), **found}, default=str
        )
        print(line, flush=True)
        if asked.out:
            asked.out.write_text((asked.out.read_text() if asked.out.exists() else "") + line + "\n")


if __name__ == "__main__":
    main()
