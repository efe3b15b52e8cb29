"""One network of every module of timm: planned and trained, or refused in one true line? Writes families.md.

    python tests/evidence/families.py                # all modules; goes on where it was interrupted
    python tests/evidence/families.py pit cait swin  # these modules, to standard output

Each network is tried in a process of its own, so that a crash is seen as one. Random weights, two classes,
two steps on two pictures each, as `vitbench train` takes them: the plan with its timed steps, the training,
the test, costs, and the saved model read back and asked. What was found is kept in families.jsonl; delete it
to try all anew.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # children are forked: other threads would not be in them

import numpy as np
import timm
import torch
from pages import PAGES, kept_rows
from PIL import Image
from timm.models import _registry

from vitbench.benchmark.engine import InTurn
from vitbench.benchmark.estimate import estimate_jobs
from vitbench.benchmark.plan import make_plan
from vitbench.errors import UnfitModelError, first_line
from vitbench.models.create import gmacs
from vitbench.models.folder import load_model
from vitbench.models.plan import plan_model
from vitbench.records import Run, Settings
from vitbench.records.watch import Watch
from vitbench.training.runs import train_run

PAGE = PAGES / "families.md"
RECORD = PAGE.with_suffix(".jsonl")
SMALL_WORDS = (
    "test_", "tiny", "nano", "atto", "femto", "pico", "small", "18", "26", "_xxs", "_xs", "_s", "b0",
    "_t", "50",
)  # fmt: skip
"""In the names of small networks; of those with the fewest, the one with the fewest parameters is taken."""
COUNTED, FEW = 5, 12.0
BESIDES = ("repvgg_a0", "mobileone_s0", "fastvit_t8")
"""Networks that are tried too, at their native size: what began with them ended in a crash."""
TRAINED_AT_MOST = 0.3
"""GMACs at the native size; what takes more is planned there, and trained at the smallest of `SIZES`."""
WHOLE_AT_MOST = 12.0
"""Million parameters; of larger networks only the steps are taken, for their checkpoints take minutes."""
SIZES = (64, 96, 128, 160, 192, 224, 240, 256, 288, 384, 448, 512)
SECONDS = 600


@dataclass(frozen=True)
class Tried:
    """What came of one network."""

    module: str
    name: str
    millions: float
    native: int = 0
    size: int = 0
    """At which it was trained; 0: it was not."""
    outcome: str = ""
    """trained (to a finished run), steps (two or more were taken), refused, failed or crashed."""
    line: str = ""
    """Why not, or what its row would be noted with."""
    seconds: float = 0.0


# --- which networks -------------------------------------------------------------------------------


def modules() -> dict[str, list[str]]:
    """timm's classifiers by the module that they stand in, those that look small first."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        found[_registry._model_to_module[name]].append(name)
    return {module: sorted(names, key=_rank) for module, names in sorted(found.items())}


def _rank(name: str) -> tuple[int, int, str]:
    first = min((i for i, word in enumerate(SMALL_WORDS) if word in name), default=len(SMALL_WORDS))
    return first, len(name), name


def smallest(names: Sequence[str]) -> tuple[str, float]:
    """The first network with few parameters, or of the first few that with fewest; its millions of them."""
    counted: dict[str, float] = {}
    for name in names[:COUNTED]:
        counted[name] = _millions(name)
        if counted[name] <= FEW:
            break
    return min(counted.items(), key=lambda pair: (pair[1], pair[0]))


def _millions(name: str) -> float:
    with torch.device("meta"):
        network: torch.nn.Module = timm.create_model(name, num_classes=2)
        return round(sum(p.numel() for p in network.parameters()) / 1e6, 2)


# --- one network, in a process of its own ---------------------------------------------------------


def paint(folder: Path) -> Path:
    """Two classes of five noisy pictures that colour tells apart."""
    for number, (name, colour) in enumerate((("blue", (50, 60, 200)), ("red", (200, 50, 60)))):
        (folder / name).mkdir(parents=True)
        for place in range(5):
            noise = np.random.default_rng(10 * number + place).normal(0, 30, (90, 90, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{place}.png")
    return folder


def attempt(module: str, name: str, millions: float, data: Path) -> Tried:
    """What comes of a network; its process may die of it."""
    reader, writer = os.pipe()
    started = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(SECONDS)
        try:
            told: dict[str, Any] = _carry_out(name, millions, data)
        except Exception as error:  # noqa: BLE001
            told = {"outcome": "failed", "line": f"{type(error).__name__}: {first_line(error)}"}
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    told = json.loads(said) if said else {}
    if not told:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"
        told = {"outcome": "crashed", "line": f"its process ended by {ended}"}
    return Tried(module, name, millions, **told, seconds=round(time.monotonic() - started, 1))


def _carry_out(name: str, millions: float, data: Path) -> dict[str, object]:
    try:
        native = plan_model(name, "native")
    except UnfitModelError as error:
        return {"outcome": "refused", "line": str(error)}
    costly = name not in BESIDES and gmacs(native, 2) > TRAINED_AT_MOST
    sizes = [size for size in SIZES if size < native.image_size and costly]
    size = next((s for s in sizes if _runs(name, s)), native.image_size)
    asked = {
        "models": (name,), "weights": ("random",), "image_size": size, "epochs": 1, "per_class": 2,
        "batch_size": 2, "workers": 0, "with_probe": False, "store": False, "near_duplicates": False,
    }  # fmt: skip
    settings = Settings.of({key: value for key, value in asked.items() if key in Settings.model_fields})
    plan = make_plan(settings, data, Watch())
    (job,) = plan.jobs
    timed = estimate_jobs(plan, InTurn(), Watch())[1][job.run_name]
    if np.isnan(timed.seconds):
        raise RuntimeError("its timed steps failed")
    told = {"native": native.image_size, "size": size}
    if millions > WHOLE_AT_MOST:
        return {**told, "outcome": "steps"}
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place) / job.run_name)
        train_run(job, run, plan.split, Watch())
        loaded = load_model(run.model_folder)
        with torch.inference_mode():
            answer = loaded.module(torch.zeros(1, 3, size, size))
        if tuple(answer.shape) != (1, 2) or run.status != "finished":
            raise RuntimeError(f"answers of shape {tuple(answer.shape)}, run {run.status}")
        notes = run.metrics()["notes"]
    return {**told, "outcome": "trained", "line": "; ".join(notes)}


def _runs(name: str, size: int) -> bool:
    try:
        plan_model(name, size)
    except UnfitModelError:
        return False
    return True


# --- the page -------------------------------------------------------------------------------------


def page(rows: Sequence[Tried]) -> str:
    """families.md."""
    count = Counter(row.outcome for row in rows)
    minutes = sum(row.seconds for row in rows) / 60
    every, done = modules(), {row.module for row in rows}
    left = [module for module in every if module not in done]
    lines = [
        "# One network of every module of timm",
        "",
        f"Written by `python tests/evidence/families.py` with timm {version('timm')}, torch "
        f"{version('torch')}, Python {platform.python_version()} on {platform.machine()}, one thread, "
        f"{minutes:.0f} minutes beside other work. The smallest network of each module; random weights, "
        "two classes, two steps on two pictures each, each network in a process of its own: plan with timed "
        "steps, training, test, costs, and the saved model read back and asked. Each is planned at its "
        f"native size, and trained there where a forward pass takes at most {TRAINED_AT_MOST:g} GMACs, else "
        f"at the smallest size that it takes ({', '.join(BESIDES)}: at the native one). Of networks with "
        f"more than {WHOLE_AT_MOST:g} million parameters the steps alone are taken, no run is saved.",
        "",
        f"- modules tried: **{len(done)}** of {len(every)}, with {len(rows)} networks",
        *([f"- not tried yet: {', '.join(left)}"] if left else []),
        f"- planned: **{len(rows) - count['refused'] - count['crashed']}**",
        f"- trained: **{count['trained'] + count['steps']}**, {count['steps']} of them by steps alone",
        f"- refused with their line: **{count['refused']}**",
        f"- failed in another way: **{count['failed']}**",
        f"- crashes: **{count['crashed']}**",
        "",
    ]
    for title, outcomes in (
        ("Not trained", ("refused", "failed", "crashed")),
        ("Trained", ("trained", "steps")),
    ):
        chosen = [row for row in rows if row.outcome in outcomes]
        if chosen:
            lines += [f"## {title}", "", *_table(chosen), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Tried]) -> list[str]:
    head = "| module | network | M parameters | native px | trained at px | outcome | line, or notes |"
    cells = [
        f"| {row.module} | {row.name} | {row.millions:.1f} | {row.native or ''} | {row.size or ''} "
        f"| {row.outcome} | {row.line.replace('|', '/')} |"
        for row in rows
    ]
    return [head, "| --- | --- | ---: | ---: | ---: | --- | --- |", *cells]


def tried(only: Sequence[str], record: Path | None = None) -> list[Tried]:
    """What came of the smallest network of these modules; a line on stderr, and in `record`, for each."""
    torch.set_num_threads(1)
    known = [Tried(**row) for row in kept_rows(record)] if record else []
    rows = [row for row in known if row.module in only]
    names = modules()
    chosen = {one: (module, millions) for module in only for one, millions in _chosen(names[module])}
    missing = [one for one in chosen if one not in {row.name for row in rows}]
    with tempfile.TemporaryDirectory() as place:
        data = paint(Path(place) / "pictures")
        for name in sorted(missing, key=lambda one: chosen[one][1]):  # an interruption costs the large ones
            module, millions = chosen[name]
            rows.append(attempt(module, name, millions, data))
            line = json.dumps(asdict(rows[-1])) + "\n"
            print(line, end="", file=sys.stderr, flush=True)
            if record:
                with record.open("a", encoding="utf-8") as stream:
                    stream.write(line)
    return sorted(rows, key=lambda row: (row.module, row.name))


def _chosen(names: Sequence[str]) -> list[tuple[str, float]]:
    """A module's smallest network, and those that are tried too; each with its millions of parameters."""
    besides = [(name, _millions(name)) for name in BESIDES if name in names]
    return list(dict.fromkeys([smallest(names), *besides]))


def main() -> None:
    """Try all and write the page, or some and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", help="of timm.models, such as pit; all")
    only = parser.parse_args().modules
    if only:
        print(page(tried(only)))
        return
    RECORD.touch()
    PAGE.write_text(page(tried(list(modules()), RECORD)), encoding="utf-8")


if __name__ == "__main__":
    main()
