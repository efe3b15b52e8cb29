"""Writes gpu.md from gpu.jsonl, the lines that `make gpu` leaves on a machine with a GPU.

    python tests/evidence/gpu.py

A check without a line, or without a card, is "not measured".
"""

import json
import sys
from pathlib import Path
from typing import Any

from pages import PAGES, kept_rows

CHECKS = {
    "environment": "Versions, and the card",
    "train": "Three models in each precision: first and last loss, val top-1, memory",
    "predict": "One saved benchmark asked on CPU and card: largest difference of a probability",
    "resume": "Killed and gone on with, or repeated: largest difference of a weight; deterministic or not",
    "memory_ends": "With 1.5 GB of the card: smaller micro-batches, and finished all the same",
    "limit": "The full step on a batch that lies on the card: pictures/s, ms until it is launched, peak MB",
    "end_to_end": "Whole trainings on photos: pictures/s, threads, waiting, share that is training",
    "graph": "Steps replayed as CUDA graphs and launched one by one: pictures/s, ms until launched, peak MB",
    "attention": "Swin's attention fused, and as it is: differences of logits and gradients to float64",
    "views": "Views made on the card against Pillow's, and ms for 32; views/s of the card, threads and "
    "processes, alone and beside launches (with ms a step); ms to copy 32",
    "repeatable": "The same steps twice: equal weights?, pictures/s; deterministic or not",
    "processes": "Two processes under torchrun",
    "probe": "Features/s of a frozen model",
    "together": "So many runs of a benchmark at a time (`--jobs`): status, s in all, pictures/s of each",
    "compiled": "The step compiled",
}
NOT_A_FIGURE = ("check", "seconds")


def lines_of(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each check; none where nothing was measured."""
    return {line["check"]: line for line in kept_rows(path)}


def page(lines: dict[str, dict[str, Any]]) -> str:
    """The page in Markdown."""
    card = lines.get("environment", {}).get("gpu")
    where = f"Measured on {card}." if card else "Not measured: no machine with a GPU was at hand."
    parts = [
        f"# vitbench on a GPU\n\n{where} `make gpu` measures it, `tests/evidence/gpu.py` writes this page."
    ]
    for name, about in CHECKS.items():
        found = lines.get(name, {}) if card else {}
        rows = [f"| {key} | {_shown(value)} |" for key, value in found.items() if key not in NOT_A_FIGURE]
        table = "\n".join(["| | |", "|---|---|", *rows]) if rows else "Not measured."
        parts.append(f"## {name}\n\n{about}.\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|")


if __name__ == "__main__":
    record = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES / "gpu.jsonl"
    record.with_suffix(".md").write_text(page(lines_of(record)), encoding="utf-8")
