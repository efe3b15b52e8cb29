"""vitbench on a folder, from ImageNet's weights in the hub's cache, or from random ones."""

import csv
import subprocess

from peers_task import MODEL, Task, Told, run


def use(task: Task) -> Told:
    """What a user writes."""
    subprocess.run(
        [
            "vitbench", "train", task.folder, "--models", MODEL, "--image-size", str(task.px),
            "--epochs", str(task.epochs), "--per-class", "40", "--weights", task.start,
            "--name", "run", "--results", task.out,
        ],
        check=True,
    )  # fmt: skip
    with (task.out / "run" / f"{MODEL}-s0" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = sum(row["correct"] == "1" for row in rows) / len(rows)
    return Told({str(task.folder / row["path"]): row["prediction"] for row in rows}, own)


if __name__ == "__main__":
    run(use)
