"""Made-up benchmarks on disk, with answers that a test chooses: nothing is trained."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitbench import files
from vitbench.comparison.measured import Pair
from vitbench.narrative.verdicts import checked, verdict
from vitbench.records import (
    Benchmark,
    Distillation,
    Epoch,
    PlannedRun,
    Predictions,
    Preprocessing,
    Recipe,
    Run,
    Split,
)

CLASSES = ("daisy", "roses", "tulips")


def make_benchmark(
    folder: Path,
    runs: Mapping[str, Any],
    labels: Sequence[int],
    classes: Sequence[str] = CLASSES,
    paths: Sequence[str] | None = None,
    train: Sequence[int] = (0, 0, 1, 2),
    data: str = "nowhere",
    folds: int = 0,
    rule: str | None = None,
    probe: bool = False,
    groups: Sequence[str] | None = None,
    **manifest: Any,
) -> Benchmark:
    """A benchmark whose runs answered as told.

    runs: name → list of answered class indices (finished), an (N, C) array of probabilities
    (finished), "failed: reason", "interrupted" or "new"; one called "…-probe-s0" is a probe, with `probe`
    all are. labels: true class index per test picture; with folds these are all pictures, dealt in turn.
    groups: what each test picture stands together with; None: each with itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train = () if folds else train
    paths = paths or [f"{classes[label]}/{i}.jpg" for i, label in enumerate(labels)]
    rows = [_row(f"t{i}.jpg", classes[label], "train", 900 + i, "t") for i, label in enumerate(train)]
    rows += [
        _row(path, classes[label], "test", i, groups[i] if groups else str(i))
        for i, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]
    for i, row in enumerate(rows if folds else ()):
        row |= {"fold": i % folds + 1, "val_in": (i + 1) % folds + 1}
    files.write_csv(folder / "split.csv", Split.COLUMNS, rows)
    drawn = rule is None and not folds
    rule = rule or (f"{folds} folds of the class folders" if folds else "70 / 15 / 15 % of the class folders")
    split: dict[str, Any] = {"rule": rule, "seed": 0, "digest": "d", "notes": [], "folds": folds}
    split["test_drawn"] = drawn
    split |= {"n_train": len(train), "n_val": 5, "n_test": len(labels)}
    content = {
        "created": "2025-11-03T10:00:00+00:00",
        "data": data,
        "data_digest": "x",
        "classes": list(classes),
        "split": split,
        "settings": {"recipe": "probe"} if probe else {},
        "runs": [dataclasses.asdict(planned(name, runs)) for name in runs],
        "versions": {"timm": "1.0.31"},
        "machine": {"device": "cpu"},
        "notes": [],
    }
    files.write_json(folder / "benchmark.json", {**content, **manifest})
    for name, told in runs.items():
        make_run(folder / name, told, labels, classes, paths, probe=probe or "-probe-s" in name)
    return Benchmark(folder)


def planned(name: str, names: Iterable[str] = ()) -> PlannedRun:
    """What is noted of a run whose folder is called so; one "…-probe" beside its model is a probe."""
    model, _, seed = name.rpartition("-s")
    network = model.removesuffix("-probe")
    if network != model and any(other.rpartition("-s")[0] == network for other in names):
        return PlannedRun(name, model, network, int(seed), probe_of=network)
    return PlannedRun(name, model, model, int(seed))


def _row(path: str, label: str, part: str, content: int, group: str) -> dict[str, Any]:
    return {"path": path, "class": label, "split": part, "sha256": f"{content:064x}", "group": group}


def make_run(
    folder: Path,
    told: Any,
    labels: Sequence[int],
    classes: Sequence[str],
    paths: Sequence[str],
    probe: bool = False,
) -> None:
    """One run's folder in the state that `told` names."""
    if isinstance(told, str) and told == "new":
        return
    folder.mkdir()
    if isinstance(told, str) and told.startswith("failed"):
        files.write_json(folder / "failure.json", {"reason": told.removeprefix("failed: ")})
        return
    write_recipe(folder, classes, probe)
    if not probe:
        write_epochs(folder)
    if isinstance(told, str):
        return
    Predictions(tuple(classes), tuple(paths), np.asarray(labels), probabilities(told, len(classes))).write(
        folder / "predictions.csv"
    )
    cost = {"params_m": 5.5, "gmacs": 1.25, "train_images_per_second": 140.0, "seconds_per_epoch": 12.0}
    cost |= {"latency_ms_p50": 9.0, "latency_ms_p95": 11.0, "peak_memory_mb": 800.0}
    if "swin" in folder.name:
        cost |= {"params_m": 27.5, "gmacs": 4.49, "train_images_per_second": 31.4, "latency_ms_p50": 41.0}
    metrics = {"best_epoch": 2, "epochs": 3, "train": {"loss": 0.4, "top1": 0.9}, "cost": cost, "notes": []}
    metrics |= {"val": {"n": 5, "loss": 0.5, "top1": 0.8}}
    if probe:
        metrics |= {"best_epoch": 0, "epochs": 0, "train": {"loss": None, "top1": None, "n": 9}}
        metrics |= {"val": {"n": 0, "loss": None, "top1": None}, "cost": {**cost, "seconds_per_epoch": None}}
    files.write_json(folder / "metrics.json", metrics)


def probabilities(told: Any, n_classes: int) -> Any:
    """(N, C): 0.9 on each answered class, the rest shared; an array comes back as it is."""
    told = np.asarray(told)
    if told.ndim == 2:
        return told
    rest = 0.1 / max(n_classes - 1, 1)
    table = np.full((len(told), n_classes), rest)
    table[np.arange(len(told)), told] = 0.9 if n_classes > 1 else 1.0
    return table


def write_recipe(folder: Path, classes: Sequence[str], probe: bool = False) -> None:
    size = Preprocessing(64, (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9)
    recipe = Recipe(
        model="vit_tiny_patch16_224", init={"kind": "hub"}, preprocessing=size, classes=tuple(classes),
        data_digest="x", split_digest="d", name="finetune", seed=0, epochs=3, per_class=40, augment="light",
        flip=True, fixed_views=False, batch_size=32, optimizer="adamw", lr=1e-4, min_lr=0.0,
        weight_decay=0.05, layer_decay=0.75, schedule="cosine", warmup_epochs=1.0, label_smoothing=0.1,
        drop_path=0.0, clip_grad=1.0, mixup=0.0, cutmix=0.0, ema_decay=None, patience=None, precision="fp32",
    )  # fmt: skip
    if probe:
        recipe = recipe.model_copy(
            update={"name": "probe", "epochs": 0, "per_class": "all", "augment": "none"}
        )
    source = "ImageNet-1k" if "swin" in folder.name else "ImageNet-21k, then 1k"
    about = {
        "timm_name": "vit_tiny",
        "pretrained_on": source,
        "init": "pretrained",
        "native_size": 224,
        "notes": [],
    }
    files.write_json(folder / "recipe.json", {"about": about, "recipe": recipe.model_dump(mode="json")})
    files.write_json(folder / "environment.json", {"device": "x86_64 CPU, 2 threads"})


def write_epochs(folder: Path, n: int = 3) -> None:
    rows = [
        Epoch(
            e,
            1.2 / e,
            0.5 + 0.1 * e,
            1.1 / e + 0.1 * max(0, e - 2),
            0.4 + 0.15 * min(e, 2),
            1e-4,
            12.0,
            140.0,
            800.0,
        )
        for e in range(1, n + 1)
    ]
    files.write_csv(folder / "epochs.csv", Epoch.columns(), (dataclasses.asdict(row) for row in rows))


def in_arm(run: Run, arm: str, model: str, seconds: float = 12.0, **recipe: Any) -> None:
    """Make a run one of an arm that trains `model`, in `seconds` per epoch; recipe: its own fields."""
    rewrite(run, about={}, recipe=recipe)
    note(run, arm=arm, network=model)
    metrics = run.metrics()
    metrics["cost"]["seconds_per_epoch"] = seconds
    files.write_json(run.folder / "metrics.json", metrics)


def note(run: Run, **what: Any) -> None:
    """Change what `benchmark.json` notes of a run: fields of `PlannedRun`."""
    place = run.folder.parent / "benchmark.json"
    manifest = files.read_json(place)
    for row in manifest["runs"]:
        if row["name"] == run.folder.name:
            row |= what
    files.write_json(place, manifest)


def distil(
    run: Run, columns: Mapping[str, Sequence[int]], teacher_run: str = "", classes: Sequence[str] = CLASSES
) -> None:
    """Give a finished run a teacher. columns: "teacher", and with a token "cls" and "dist" → answers."""
    through = "token" if "dist" in columns else "logits"
    told = Distillation(
        teacher=teacher_run or "FOLDER (vit_tiny)", teacher_sha256="f" * 64, kind="hard", alpha=0.5, tau=1.0,
        through=through,
    )  # fmt: skip
    about = {"teacher_run": teacher_run} if teacher_run else {}
    rewrite(run, about=about, recipe={"distillation": told.model_dump(mode="json")})
    said = run.predictions()
    answers = {"both": said.answers, **columns}
    rows = [
        {"path": path, "label": classes[int(label)], **{n: classes[int(a[i])] for n, a in answers.items()}}
        for i, (path, label) in enumerate(zip(said.paths, said.labels, strict=True))
    ]
    names = [name for name in ("both", "cls", "dist", "teacher") if name in answers]
    files.write_csv(run.folder / "heads.csv", ["path", "label", *names], rows)


def rewrite(run: Run, about: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Change what a run's recipe.json says."""
    told = files.read_json(run.folder / "recipe.json")
    files.write_json(
        run.folder / "recipe.json",
        {"about": {**told["about"], **about}, "recipe": {**told["recipe"], **recipe}},
    )


def said(pair: Pair) -> str:
    """The sentence on two models."""
    return checked(pair, verdict)
