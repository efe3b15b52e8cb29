"""Measures how fast vitbench is, each case with one command, and writes performance.md from the records.

    python tests/evidence/performance.py all --photos ../shared/datasets    # `make bench`: hours
    python tests/evidence/performance.py speed FOLDER --model vit --image-size 224 --batch 8
    python tests/evidence/performance.py page                               # the page anew from the records

Every command appends one record, its raw figures and its own words to performance.jsonl beside this file.
"""

import argparse
import dataclasses
import json
import os
import pickle
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pages import PAGES, kept_rows

# As the command line sets it before torch is loaded; it favours the loaders' processes too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RECORDS = PAGES / "performance.jsonl"
ROUNDS, STEPS = 5, 60
PACKAGES = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow")
GROWTH = {
    "files": (1_000, 10_000, 100_000),
    "predictions": (1_000, 20_000),
    "sizes": (64, 96, 128, 160, 192, 224, 288, 384),
    "classes": (2, 10, 100, 1_000),
}
ALL = (
    "speed {mosaics} --model vit --image-size 224 --batch 8",
    "speed {photos}/flowers5 --model vit --image-size 224 --batch 8",
    "speed {photos}/flowers5 --model vit --image-size 64 --batch 32",
    "speed {photos}/flowers5 --model swin --image-size 64 --batch 8",
    "profile {mosaics} --model vit --image-size 224 --batch 8",
    "whole {mosaics} --models vit,swin,swinv2 --image-size 224 --batch 8",
    "growth --photos {photos}",
    "start --model vit --image-size 224",
    "techniques {photos}/flowers5 --model vit --image-size 64 --batch 32",
    "techniques {photos}/flowers5 --model swin --image-size 64 --batch 8",
    "techniques {photos}/flowers5 --model tf_efficientnet_lite0 --image-size 64 --batch 32",
)
"""What `all` runs, one process after the other; {mosaics} is the folder that `photos` writes first."""
ON_A_CARD = tuple(
    f"speed {{mosaics}} --model {model} --image-size 224 --batch {batch}"
    for model in ("vit", "swin", "swinv2")
    for batch in (32, 128, 256)
)
"""What it runs besides on a GPU, which a small batch leaves idle: a step of 8 is launch time there."""


def main() -> None:
    asked = _parser().parse_args()
    if asked.command == "page":
        write_page(asked.record)
        return
    if asked.command == "photos":
        from performance_photos import mosaics

        count = mosaics(asked.folder, asked.photos, asked.per_class, (asked.width, asked.height))
        print(f"{count} pictures in {asked.folder}")
        return
    if asked.command == "all":
        _all(asked)
        return
    # Nothing that an earlier run stored may help: the first epoch is a cold one.
    with tempfile.TemporaryDirectory(prefix="vitbench-bench-") as folder:
        os.environ["VITBENCH_CACHE"] = str(Path(folder) / "cache")
        for record in COMMANDS[asked.command](asked, Path(folder)):
            keep(asked.record, {**_header(asked), **record})


def keep(path: Path | None, record: dict[str, Any]) -> None:
    """Append a record, and write the page anew; to standard output where no file is wanted."""
    line = json.dumps(record, ensure_ascii=False)
    if path is None:
        print(line)
        return
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    write_page(path)


def write_page(path: Path) -> None:
    """performance.md from the records and nothing else."""
    from performance_page import page

    from vitbench import files

    files.write_bytes(path.with_suffix(".md"), page(kept_rows(path)).encode())


def _header(asked: argparse.Namespace) -> dict[str, Any]:
    import torch

    return {
        "kind": asked.command,
        "command": shlex.join(
            ["python", "tests/evidence/performance.py", *map(_without_place, sys.argv[1:])]
        ),
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ["OMP_WAIT_POLICY"],
        "load_before": LOAD,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _without_place(word: str) -> str:
    """An absolute path by its name: where a folder lies on a machine says nothing to others."""
    return Path(word).name if Path(word).is_absolute() else word


LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
"""Processes that wanted a core in the minute before: about 0 on an idle machine."""


# --- the commands ---------------------------------------------------------------------------------


def _case(asked: argparse.Namespace, split: Any) -> Any:
    from performance_arms import Case, per_class_for

    return Case(
        split=split,
        model=asked.model,
        image_size=asked.image_size,
        batch=asked.batch,
        per_class=per_class_for(split, asked.steps, asked.batch) if split is not None else "all",
        device=asked.device,
        augment=asked.augment,
        loader_workers=asked.loader_workers,
    )


def speed(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One model, size, batch and folder."""
    import performance_speed as measured
    import torch
    from performance_arms import ARMS
    from performance_whole import scanned

    split = pickle.loads(asked.split.read_bytes()) if asked.split else scanned(asked.data)
    case = _case(asked, split)
    arms = asked.arms.split(",") if asked.arms else list(ARMS)
    found = measured.measure(case, arms, asked.rounds, folder)
    if asked.only_rounds:
        return [found]
    device = torch.device(found["device"])
    found["peak_flops"] = measured.peak_flops(device, found["precision"])
    found["parts"] = measured.parts(case)
    found["pictures"] = measured.pictures(split, case)
    found["supply"] = measured.supply(split, case)
    # Each arm alone in a process, and without the scan, which may take more memory than training.
    kept = folder / "split.pickle"
    kept.write_bytes(pickle.dumps(split))
    found["memory_mb"] = {}
    for arm in arms:
        alone = ["--arms", arm, "--rounds", "1", "--steps", "8", "--only-rounds", "--no-record"]
        command = [sys.executable, *sys.argv, *alone, "--split", str(kept)]  # of an option the last counts
        found["memory_mb"][arm] = measured.cost_of(command).peak_mb
    return [found]


def whole(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A whole training of several models against the slides' loop over them."""
    import performance_whole as measured

    split = measured.scanned(asked.data)
    asked.model, asked.steps = asked.models.split(",")[0], 1
    case = dataclasses.replace(_case(asked, split), per_class="all")
    models = asked.models.split(",")
    views = len(split.train)
    ours = measured.whole_train(asked.data, models, case, asked.measured, folder)
    slides = measured.whole_slides(models, case, asked.measured)
    full = asked.per_class * len(split.classes)
    seconds = {
        name: measured.extrapolated(one, views, full, asked.epochs)
        for name, one in (("vitbench", ours), ("slides", slides))
    }
    return [
        {
            "folder": asked.data.name,
            "models": models,
            "image_size": asked.image_size,
            "batch": asked.batch,
            "device": asked.device,
            "views_measured": views,
            "views": full,
            "epochs_measured": asked.measured,
            "epochs": asked.epochs,
            "raw": {"vitbench": ours, "slides": slides},
            "seconds": seconds,
        }
    ]


def profile(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One training epoch, the second, as `fit` runs it."""
    import performance_whole as measured

    return [measured.profile(_case(asked, measured.scanned(asked.data)), folder)]


def techniques(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """The full step with each technique the other way round."""
    import performance_techniques as measured
    from performance_whole import scanned

    return [measured.measure(_case(asked, scanned(asked.data)), asked.rounds, asked.steps)]


def start(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """`--help`, and `predict` of one picture against the imports alone."""
    import performance_start as measured

    return [measured.measure(asked.model, asked.image_size, asked.rounds, folder)]


def growth(asked: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """The cost as the work grows; a record per row, kept at once: a run that is stopped leaves its rows."""
    import performance_growth as measured
    from performance_whole import scanned

    case = _case(asked, None)
    wanted = {name: _numbers(getattr(asked, name)) for name in GROWTH}
    if wanted["sizes"] and asked.photos is None:
        sys.exit("growth: --sizes needs --photos, the folder that holds flowers5; or give --sizes ''")
    for place, count in enumerate(wanted["files"]):
        yield {"what": "files", **measured.scans(count, folder / f"files-{place}")}
    for place, count in enumerate(wanted["predictions"]):
        target = folder / f"predictions-{place}"
        yield {"what": "predictions", **measured.predictions(count, asked.model, 64, asked.device, target)}
    if wanted["sizes"]:
        split = scanned(asked.photos / "flowers5")
        sized = dataclasses.replace(_case(asked, split), batch=asked.batch)
        for size in wanted["sizes"]:
            yield {"what": "sizes", **measured.sizes(sized, size, asked.rounds, folder / f"size-{size}")}
    for count in wanted["classes"]:
        small = dataclasses.replace(case, image_size=64)
        yield {"what": "classes", **measured.classes(small, count, asked.rounds, folder / f"classes-{count}")}


def _all(asked: argparse.Namespace) -> None:
    """Every row in a process of its own; the mosaics are made first."""
    with tempfile.TemporaryDirectory(prefix="vitbench-mosaics-") as temporary:
        folder = asked.mosaics or Path(temporary) / "mosaics"
        script = [sys.executable, str(Path(__file__))]
        subprocess.run([*script, "photos", str(folder), "--photos", str(asked.photos)], check=True)
        for row in rows_for(asked.device):
            words = [word.format(mosaics=folder, photos=asked.photos) for word in row.split()]
            subprocess.run([*script, *words, "--device", asked.device], check=True)


def rows_for(device: str) -> tuple[str, ...]:
    """What `all` runs on a device."""
    from vitbench.inference.devices import choose_device

    return (*ALL, *ON_A_CARD) if choose_device(device).type == "cuda" else ALL


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


COMMANDS = {
    "speed": speed,
    "whole": whole,
    "profile": profile,
    "growth": growth,
    "start": start,
    "techniques": techniques,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", default="vit")
    common.add_argument("--image-size", type=int, default=224)
    common.add_argument("--batch", type=int, default=8)
    common.add_argument("--steps", type=int, default=STEPS, help="at least so many in a round")
    common.add_argument("--rounds", type=int, default=ROUNDS)
    common.add_argument("--device", default="auto")
    common.add_argument("--augment", help="none, geometry, light, strong; default: the recipe's own")
    common.add_argument("--loader-workers", type=int, default=2, help="of torchvision's and timm's loader")
    common.add_argument("--record", type=Path, default=RECORDS)
    common.add_argument("--no-record", dest="record", action="store_const", const=None)
    one = commands.add_parser("speed", parents=[common], help="images/s of the four arms")
    one.add_argument("data", type=Path)
    one.add_argument("--arms", help="only these, of limit,vitbench,slides,timm")
    one.add_argument("--only-rounds", action="store_true", help="no parts, no decode times, no memory")
    one.add_argument("--split", type=Path, help=argparse.SUPPRESS)
    one = commands.add_parser("profile", parents=[common], help="what one epoch spends outside the step")
    one.add_argument("data", type=Path)
    one = commands.add_parser("techniques", parents=[common], help="the step with each one on or off")
    one.add_argument("data", type=Path)
    one = commands.add_parser("whole", parents=[common], help="a whole train against the slides' loop")
    one.add_argument("data", type=Path)
    one.add_argument("--models", default="vit,swin,swinv2")
    one.add_argument("--epochs", type=int, default=30)
    one.add_argument("--measured", type=int, default=3, help="epochs that are really trained")
    one.add_argument("--per-class", type=int, default=200, help="views that are extrapolated to")
    one = commands.add_parser("growth", parents=[common], help="cost as the work grows")
    one.add_argument("--photos", type=Path, help="folder that holds flowers5, for --sizes")
    for name, numbers in GROWTH.items():
        one.add_argument(f"--{name}", default=",".join(map(str, numbers)), help="'' leaves them out")
    commands.add_parser("start", parents=[common], help="--help, and predict against the imports")
    one = commands.add_parser("photos", help="write the folder of 12-megapixel mosaics")
    one.add_argument("folder", type=Path)
    one.add_argument("--photos", type=Path, required=True, help="folder with JPEG photos, any depth")
    one.add_argument("--per-class", type=int, default=60)
    one.add_argument("--width", type=int, default=4000)
    one.add_argument("--height", type=int, default=3000)
    one = commands.add_parser("all", help="everything (hours)")
    one.add_argument("--photos", type=Path, required=True)
    one.add_argument("--mosaics", type=Path, help="folder for the mosaics, kept; default: temporary")
    one.add_argument("--device", default="auto")
    one = commands.add_parser("page", help="write performance.md anew")
    one.add_argument("--record", type=Path, default=RECORDS)
    return parser


if __name__ == "__main__":
    main()
