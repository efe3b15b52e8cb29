"""vitbench beside other tools on one folder, split and budget: writes peers.md beside it.

    python -m venv peers/fastai && peers/fastai/bin/pip install fastai timm
    python -m venv peers/ultralytics && peers/ultralytics/bin/pip install ultralytics
    python -m venv peers/timm && peers/timm/bin/pip install timm pandas # and timm: a clone, for its scripts
    python -m venv peers/lightly && peers/lightly/bin/pip install lightly-train timm
    python tests/evidence/peers.py ../shared/datasets/flowers5 ../shared/weights peers timm # ten minutes

Each call is a process of its own with one thread; what was found is kept in peers.jsonl, a row per tool and
case; delete a row to measure it anew. Weights lie in a cache as the Hugging Face hub's client makes it, so
that what a user writes is what he writes with a network. The budget is in processor seconds, which are those
of the clock on an idle machine; each tool's epochs are chosen so that the whole call takes about as many.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pages import PAGES, kept_rows
from peers_page import write

RECORD = PAGES / "peers.jsonl"
HERE = Path(__file__).parent
PX = 112
PARTS = {"train": 16, "val": 4, "test": 20}
"""Pictures of a class; the rest takes no part."""
FEW = {"train": 6, "val": 2, "test": 6}
"""The same for a folder that is made faulty."""
WEIGHTS = "efficientnet_lite0.safetensors"
HUB = "models--timm--tf_efficientnet_lite0.in1k"


@dataclass(frozen=True)
class Peer:
    """A tool and how it begins."""

    name: str
    script: str
    environment: str
    epochs: int
    """So many that the whole call takes one to one and a half minutes of a core, by trial."""
    start: str = "pretrained"


PEERS = (
    Peer("vitbench", "peers_vitbench.py", "", 3),
    Peer("fastai", "peers_fastai.py", "fastai", 3),
    Peer("timm's train.py", "peers_timm.py", "timm", 10),
    Peer("LightlyTrain", "peers_lightly.py", "lightly", 10),
    Peer("Ultralytics, random weights", "peers_ultralytics.py", "ultralytics", 15, "random"),
    Peer("vitbench, random weights", "peers_vitbench.py", "", 3, "random"),
)


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    photos: Path
    weights: Path
    environments: Path
    scripts: Path
    work: Path


# --- the folders ------------------------------------------------------------------------------------


def lay(photos: Path, folder: Path, parts: Mapping[str, int] = PARTS) -> None:
    """train/, val/ and test/ with as many pictures of each class as `parts` says, drawn once and for all."""
    for place, label in enumerate(sorted(one for one in photos.iterdir() if one.is_dir())):
        files = sorted(label.iterdir())
        order = iter(np.random.default_rng(place).permutation(len(files)))
        for part, size in parts.items():
            (folder / part / label.name).mkdir(parents=True)
            for _ in range(size):
                shutil.copy(files[next(order)], folder / part / label.name)


def faulty(folder: Path) -> list[str]:
    """A training picture of each class lies in test/ too, renamed; test/ lacks the second class."""
    for label in sorted((folder / "train").iterdir()):
        shutil.copy(min(label.iterdir()), folder / "test" / label.name / "again.jpg")
    gone = sorted((folder / "test").iterdir())[1]
    shutil.rmtree(gone)
    return ["again.jpg", gone.name]


def truncated(folder: Path) -> list[str]:
    """The second half of a training picture and of a test picture is cut off."""
    files = [min(min((folder / part).iterdir()).iterdir()) for part in ("train", "test")]
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return [file.name for file in files]


CASES: Mapping[str, Callable[[Path], list[str]]] = {
    "whole": lambda folder: [],
    "faulty": faulty,
    "truncated": truncated,
}
"""What is done to the folder; it says what to look for. But the first is trained for one epoch."""


def digests(folder: Path) -> dict[str, str]:
    return {
        str(one.relative_to(folder)): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in sorted(folder.rglob("*"))
        if one.is_file()
    }


def hub_cache(weights: Path, folder: Path) -> Path:
    """A cache of the hub's client that holds the weights as if they had been fetched."""
    snapshot = folder / "hub" / HUB / "snapshots" / "local"
    if not snapshot.exists():
        snapshot.mkdir(parents=True)
        (folder / "hub" / HUB / "refs").mkdir()
        (folder / "hub" / HUB / "refs" / "main").write_text("local", encoding="utf-8")
        shutil.copy(weights / WEIGHTS, snapshot / "model.safetensors")
    return folder


# --- the calls --------------------------------------------------------------------------------------


def call(peer: Peer, case: str, epochs: int, places: Places) -> dict[str, Any]:
    """One tool on one folder: what it took, said and answered."""
    with tempfile.TemporaryDirectory(dir=places.work) as work:
        folder, out = Path(work) / "photos", Path(work) / "out"
        lay(places.photos, folder, PARTS if case == "whole" else FEW)
        out.mkdir()
        looked_for = CASES[case](folder)
        before = digests(folder)
        python = places.environments / peer.environment / "bin" / "python" if peer.environment else Path()
        command = [str(python.absolute()) if peer.environment else sys.executable, str(HERE / peer.script)]
        command += [str(one) for one in (folder, out, places.scripts, epochs, PX, peer.start)]
        log, started = out / "log", time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=_environment(places, out), cwd=out
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", log.read_text(encoding="utf-8", errors="replace"))
        if not (out / "told.json").exists():
            print(text[-3000:])
        told = json.loads((out / "told.json").read_text("utf-8")) if (out / "told.json").exists() else {}
        after = {name: one for name, one in digests(folder).items() if name in before}
        lines = [line.strip().replace(work, "") for line in re.split(r"[\r\n]+", text) if line.strip()]
        return {
            "peer": peer.name,
            "case": case,
            "epochs": epochs,
            "status": process.returncode,
            "wall": round(time.monotonic() - started, 1),
            "cpu": round(used.ru_utime + used.ru_stime, 1),
            "memory_mb": round(used.ru_maxrss / 1024),
            "said": _said(lines, looked_for),
            "last": lines[-1][:300] if lines else "",
            "changed": sorted(name for name, one in before.items() if after.get(name) != one),
            "asked": sorted(name for name in before if name.startswith("test/")),
            "answers": told.get("answers", {}),
            "own": told.get("top1"),
        }


SAYING = re.compile(
    r"[1-9]\d* corrupt|corrupt JPEG|truncat|duplicat|cop(y|ies) |leak|unreadable|no pictures of|missing",
    re.IGNORECASE,
)
MEANS_NOTHING = re.compile(
    r"near-duplicates: none|missing keys|^\"\d+\": |^(\w+ \d+, )+\w+ \d+$", re.IGNORECASE
)
"""Of no fault: of layers that a new head has not, of class names, of how many pictures a class has."""


def _said(lines: Sequence[str], looked_for: Sequence[str]) -> list[str]:
    """The lines that speak of what was planted, three at most."""
    found = [line for line in lines if SAYING.search(line) or any(word in line for word in looked_for)]
    return [line[:300] for line in dict.fromkeys(found) if not MEANS_NOTHING.search(line)][:3]


def _environment(places: Places, out: Path) -> dict[str, str]:
    mine = {
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(hub_cache(places.weights, places.work)),
        "HF_HUB_OFFLINE": "1",
        "VITBENCH_CACHE": str(out / "cache"),
        "YOLO_CONFIG_DIR": str(out),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return {**os.environ, **mine}


def measured(places: Places, rows: list[dict[str, Any]], only: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per tool and case that is not known yet."""
    for peer in PEERS:
        if peer.name not in only:
            continue
        for case in CASES:
            if not any(row["peer"] == peer.name and row["case"] == case for row in rows):
                yield call(peer, case, peer.epochs if case == "whole" else 1, places)


def main() -> None:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser()
    for name in ("photos", "weights", "environments", "scripts"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        photos, weights, scripts = (one.resolve() for one in (asked.photos, asked.weights, asked.scripts))
        places = Places(photos, weights, asked.environments.absolute(), scripts, Path(work))
        rows = kept_rows(RECORD)
        for row in measured(places, rows, asked.only):
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            right = [Path(path).parts[1] == name for path, name in row["answers"].items()]
            told = {key: row[key] for key in ("peer", "case", "epochs", "status", "cpu", "wall", "memory_mb")}
            print(told, f"{sum(right)} of {len(right)}", row["own"], row["said"], row["last"], flush=True)
    write(kept_rows(RECORD))


if __name__ == "__main__":
    main()
