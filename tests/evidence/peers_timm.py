"""timm's own scripts on a folder: train.py, validate.py and inference.py."""

import json
import subprocess
import sys

from peers_task import MODEL, Task, Told, run


def use(task: Task) -> Told:
    """What a user writes; rate and crops are for fine-tuning, those of train.py itself for ImageNet."""
    python, size = sys.executable, ["--input-size", "3", str(task.px), str(task.px)]
    same = [str(task.folder), "--model", MODEL, "--num-classes", str(len(task.classes)), *size]
    subprocess.run(
        [
            python, task.scripts / "train.py", *same, "--train-split", "train", "--val-split", "val",
            "--pretrained", "--epochs", str(task.epochs), "--opt", "adamw", "--lr", "3e-4",
            "--weight-decay", "0.05", "--warmup-epochs", "1", "--batch-size", "16", "--scale", "0.5", "1",
            "--device", "cpu", "--workers", "1", "--output", task.out, "--experiment", "run",
        ],
        check=True,
    )  # fmt: skip
    best = [*same, "--checkpoint", str(task.out / "run" / "model_best.pth.tar"), "--split", "test"]
    best += ["--device", "cpu", "--workers", "1", "--results-format", "json"]
    own, answered = task.out / "own.json", task.out / "answers.json"
    subprocess.run([python, task.scripts / "validate.py", *best, "--results-file", own], check=True)
    best += ["--results-file", str(answered), "--fullname", "--include-index", "--label-type", "none"]
    subprocess.run([python, task.scripts / "inference.py", *best, "--no-console-results"], check=True)
    names = {}
    for path, one in json.loads(answered.read_text(encoding="utf-8")).items():
        names[str(task.folder / "test" / path)] = task.classes[int(one["index"])]
    told = json.loads(own.read_text(encoding="utf-8"))
    return Told(names, (told[0] if isinstance(told, list) else told)["top1"] / 100)


if __name__ == "__main__":
    run(use)
