"""Folders that programs write and no photographer: benchmarks, stores, environments, other tools' runs.

They are known by what lies in them, whatever their names. Pictures in them (curves, contact sheets, icons)
are of no class.
"""

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

from vitbench.data.decode import is_picture_name

SYSTEM_NAMES = frozenset(
    {
        "__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information",
        "lost+found", "node_modules", "__pycache__", "site-packages", "thumbs.db", "desktop.ini"
    }
)  # fmt: skip
"""In lower case; left behind by archivers, file servers and tools, and passed over like hidden ones."""

BENCHMARK, RUN = "a benchmark of vitbench", "a run of vitbench"
STORE = "pictures that vitbench keeps decoded"
_BEGUN = re.compile(r"(split|leaks)\.csv|\.(split\.csv|leaks\.csv|benchmark\.json)\..*|\.lock")
"""What lies in a benchmark that is being made, or was when its process was killed."""
SIGNS: tuple[tuple[str, Callable[[Path, Collection[str]], bool]], ...] = (
    (BENCHMARK, lambda folder, names: "benchmark.json" in names and _is_benchmark(folder)),
    (BENCHMARK, lambda _, names: bool(names) and all(map(_BEGUN.fullmatch, names))),
    (RUN, lambda _, names: {"recipe.json", "environment.json"} <= set(names)),
    (STORE, lambda folder, names: _is_store(folder, names)),
    ("what vitbench keeps", lambda _, names: _any(names, r"known-.*\.sqlite|[0-9a-f]{16,}-\w+\.safetensors")),
    ("a virtual environment", lambda _, names: "pyvenv.cfg" in names or "conda-meta" in names),
    ("a cache", lambda _, names: "CACHEDIR.TAG" in names),
    ("a git repository", lambda _, names: {"HEAD", "objects", "refs"} <= set(names)),
    ("a run of Ultralytics", lambda _, names: {"args.yaml", "weights"} <= set(names)),
    ("a run of Weights & Biases", lambda _, names: _any(names, r"run-.*\.wandb")),
    ("a run of MLflow", lambda _, names: {"meta.yaml", "artifacts", "params"} <= set(names)),
)  # fmt: skip
"""What a folder is, and how that is seen from its path and the names in it.

Only of what writes pictures too: in logs and checkpoints without any, an empty class is an error anyway.
"""

_WAY = re.compile(r"(train|eval)-.+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_hidden(name: str) -> bool:
    """True for dot files and what systems leave behind."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


NO_DATA = frozenset({BENCHMARK, RUN, STORE})
"""What no folder of pictures can be at the same time; in others somebody may keep pictures too."""


def output_of(folder: Path, names: Collection[str]) -> str:
    """What a program made of a folder in which these names lie, "" where nothing says so."""
    return next((what for what, shows in SIGNS if shows(folder, names)), "")


def output_in(folder: Path) -> str:
    """The same, also for a folder that holds nothing but such folders, as `results/` does; links apart."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  (a path for each of a million files takes long)
    except OSError:
        return ""
    if what := output_of(folder, set(names)):
        return what
    found = ""
    for name in names:
        if is_picture_name(name):
            return ""
        path = folder / name
        if is_hidden(name) or path.is_symlink() or not path.is_dir():
            continue
        found = output_in(path)
        if not found:
            return ""
    return found


def _is_benchmark(folder: Path) -> bool:
    """Whether `benchmark.json` is what vitbench writes, of any version; others have such names too."""
    try:
        return b'"data_digest"' in (folder / "benchmark.json").read_bytes()
    except OSError:
        return False


def _is_store(folder: Path, names: Collection[str]) -> bool:
    """Whether a file of its first folder `train-…` or `eval-…` is called as the store's are."""
    way = next((name for name in sorted(names) if _WAY.fullmatch(name)), None)
    if way is None:
        return False
    try:
        first = next((folder / way).iterdir(), folder)  # named by two digits of what lies in it
        return any(_SHA256.fullmatch(path.name) for path in first.iterdir())
    except OSError:
        return False


def _any(names: Collection[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)
