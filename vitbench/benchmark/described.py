"""A plan for readers: lines of text, and the same as JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any

from vitbench.benchmark.estimate import Estimate, plan_lines, shortcut_line
from vitbench.benchmark.plan import Plan


def described(plan: Plan, estimates: Mapping[str, Estimate]) -> list[str]:
    """The plan, every warning, and what would be quicker."""
    failed = (f"{run.name}: failed: {reason}" for run, reason in plan.unfit.items())
    lines = [*plan_lines(plan, estimates), *failed, *(f"note: {note}" for note in _notes(plan))]
    shortcut = shortcut_line(plan, estimates) if plan.jobs else ""
    return [*lines, *([shortcut] if shortcut else [])]


def plan_json(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """One JSON object: data, pictures, classes, train, val, test, folds, split, runs [{…}], at_once (runs at
    a time), finished, failed {run: why it cannot be}, notes.

    Of a run: run, timm_name, image_size, native_size, init, params_m, seconds (null where unknown), disk_mb
    while it trains and model_mb afterwards. With folds train, val and test count the first one.
    """
    one = plan.split.folds[0] if plan.split.folds else plan.split
    content: dict[str, Any] = {
        "data": str(plan.split.root),
        "pictures": len(plan.images.pictures),
        "classes": list(plan.split.classes),
        "train": len(one.train),
        "val": len(one.val),
        "test": len(one.test),
        "folds": len(plan.split.folds),
        "split": plan.split.rule,
        "runs": [
            {
                "run": job.run_name,
                "timm_name": job.plan.timm_name,
                "image_size": job.plan.image_size,
                "native_size": job.plan.native_size,
                "init": job.begins_with,
                "params_m": estimates[job.run_name].params_m,
                "seconds": _known(estimates[job.run_name].seconds),
                "disk_mb": estimates[job.run_name].disk_mb,
                "model_mb": estimates[job.run_name].model_mb,
            }
            for job in plan.jobs
        ],
        "at_once": plan.at_once,
        "finished": list(plan.finished),
        "failed": {run.name: reason for run, reason in plan.unfit.items()},
        "notes": _notes(plan),
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds


def _notes(plan: Plan) -> list[str]:
    by_model = {job.plan.alias: job.plan.notes for job in plan.jobs}
    own = [f"{model}: {note}" for model, notes in by_model.items() for note in notes]
    return [*plan.notes, *own]
