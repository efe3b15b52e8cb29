"""How many planted wrong labels are found, and how many right ones are named: writes suspects.md beside it.

    python tests/evidence/suspects.py ../shared/datasets ../shared/weights # half an hour
    python tests/evidence/suspects.py ../shared/datasets ../shared/weights --seeds 1

The datasets are flowers5 and the training part of grocery_apples, the networks the two real ones. Of each
class 40, 20 or 10 pictures are drawn, none, 5 or 10 % of the labels are turned into another class, and frozen
features are probed with five folds, groups whole, as `vitbench probe --folds 5` does. What was found is kept
in suspects.jsonl, a row per set of labels; delete it to begin anew. cleanlab reads the same probabilities.
"""

import argparse
import dataclasses
import functools
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from pages import PAGES, kept_rows

from vitbench.comparison.confident import doubt_ranks, doubted, doubted_if_clean
from vitbench.comparison.suspects import is_named
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.inference.devices import choose_device
from vitbench.inference.features import feature_key, features_of
from vitbench.models.create import create
from vitbench.models.plan import plan_model
from vitbench.models.weights import resolve_weights
from vitbench.records import Array, ImageSet, Picture, Settings
from vitbench.training.folds import out_of_fold
from vitbench.training.machine import CPU_EVAL_BATCH, choose_machine
from vitbench.training.probe import fit_head, head_answers

PAGE = PAGES / "suspects.md"
RECORD = PAGE.with_suffix(".jsonl")
SETS = {"flowers5": "flowers5", "apples": "grocery_apples/train"}
NETWORKS = {
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2.safetensors",
    "tf_efficientnet_lite0": "efficientnet_lite0.safetensors",
}
SIZES, NOISES, FOLDS, PX = (40, 20, 10), (0.0, 0.05, 0.1), 5, 224
EARLIER = {
    ("flowers5", 40, 0.0): "4.8 named", ("flowers5", 40, 0.05): "14.6 named, precision .49, recall .70",
    ("flowers5", 40, 0.1): "26 named, precision .60, recall .79", ("apples", 40, 0.0): "1.0 named",
    ("apples", 40, 0.05): "9.4 named, precision .72, recall .66",
    ("apples", 40, 0.1): "22 named, precision .80, recall .87",
}  # fmt: skip
"""cleanlab's default filter on EfficientNet's features, C = .01, stratified folds: an earlier trial."""


@dataclass(frozen=True)
class Features:
    """A folder of pictures and what two networks see of them."""

    images: ImageSet
    by_network: Mapping[str, Mapping[str, Array]]
    """Network → path → (D,) features."""


def features(folder: Path, weights: Path) -> Features:
    """The pictures of a folder with their frozen features, from the store where they are there."""
    images = scan_folder(folder)
    device = choose_device("cpu")
    found = {}
    for name, file in NETWORKS.items():
        plan = plan_model(name, PX)
        first = resolve_weights((str(weights / file),), [plan])[plan.alias]
        make = functools.partial(create, plan, len(images.classes), first, 0)
        rows = features_of(
            make,
            feature_key(plan, first, 0, len(images.classes)),
            images.root,
            images.pictures,
            plan.preprocessing,
            choose_machine(Settings(store=False), device, CPU_EVAL_BATCH),
        )
        found[name] = dict(zip((p.path for p in images.pictures), rows, strict=True))
    return Features(images, found)


def turned(images: ImageSet, per_class: int, noise: float, seed: int) -> tuple[ImageSet, dict[str, str]]:
    """So many pictures of each class, a share of their labels another one; and the true label by path."""
    rng = np.random.default_rng(seed)
    kept: list[Picture] = []
    for name in images.classes:
        own = [p for p in images.pictures if p.label == name]
        kept += [own[i] for i in sorted(rng.permutation(len(own))[:per_class])]
    truth = {p.path: p.label for p in kept}
    for place in rng.permutation(len(kept))[: round(noise * len(kept))]:
        others = [name for name in images.classes if name != kept[place].label]
        kept[place] = dataclasses.replace(kept[place], label=others[rng.integers(len(others))])
    return dataclasses.replace(images, pictures=tuple(kept)), truth


def answers(found: Features, images: ImageSet, seed: int) -> tuple[Array, Array, list[str]]:
    """(M, N, C) out-of-fold probabilities, (N,) labels and the paths, as a probe with folds gives them."""
    split = split_images(images, seed, FOLDS)
    told = []
    for rows in found.by_network.values():
        by_path = dict(rows)
        heads = [fit_head(by_path, one.classes, (*one.train, *one.val)) for one in split.folds]
        each = [head_answers(by_path, one, head) for one, head in zip(split.folds, heads, strict=True)]
        told.append(out_of_fold(split, each))
    return np.stack([one.probabilities for one in told]), told[0].labels, list(told[0].paths)


def row_of(each: Array, labels: Array, wrong: Array) -> dict[str, Any]:
    """What is named by each model, by both, and by cleanlab; wrong (N,) bool: the planted ones."""
    doubts = np.stack([doubted(one, labels) for one in each])
    ranks = np.stack([doubt_ranks(one, labels) for one in each])
    lists = {name: doubts[m] for m, name in enumerate(NETWORKS)} | {"both": is_named(doubts)}
    lists["either"] = doubts.any(axis=0)
    for m, name in enumerate(NETWORKS):
        same = find_label_issues(labels, each[m], filter_by="confident_learning", min_examples_per_class=0)
        assert (same == doubts[m]).all()
        lists[f"cleanlab, {name}"] = find_label_issues(labels, each[m])
    mean = each.mean(axis=0)
    lists["cleanlab, mean"] = find_label_issues(labels, mean)
    k = int(wrong.sum())
    orders = {name: ranks[m] for m, name in enumerate(NETWORKS)} | {"both": ranks.mean(axis=0)}
    orders["cleanlab, mean"] = get_label_quality_scores(labels, mean)
    clean = doubted_if_clean(each, labels, is_named)
    return {
        "n": len(labels),
        "wrong": k,
        "lists": {name: [int(one.sum()), int(wrong[one].sum())] for name, one in lists.items()},
        "first": {
            name: int(wrong[np.argsort(order, kind="stable")[:k]].sum()) for name, order in orders.items()
        },
        "if_clean": list(clean),
    }


def tried(photos: Path, weights: Path, seeds: int, known: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """A row per set of labels that is not known yet."""
    for name, folder in SETS.items():
        found: Features | None = None
        for per_class in SIZES:
            for noise in NOISES:
                for seed in range(seeds):
                    if (name, per_class, noise, seed) in known:
                        continue
                    found = found or features(photos / folder, weights)
                    images, truth = turned(found.images, per_class, noise, seed)
                    each, labels, paths = answers(found, images, seed)
                    wrong = np.array(
                        [images.classes[label] != truth[p] for label, p in zip(labels, paths, strict=True)]
                    )
                    about = {"set": name, "per_class": per_class, "noise": noise, "seed": seed}
                    yield {**about, **row_of(each, labels, wrong)}


# --- the page ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    rows = kept_rows(RECORD)
    known = {(row["set"], row["per_class"], row["noise"], row["seed"]) for row in rows}
    for row in tried(asked.photos, asked.weights, asked.seeds, known):
        rows.append(row)
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row["set"], row["per_class"], row["noise"], row["seed"], row["lists"]["both"], flush=True)
    PAGE.write_text(page(rows), encoding="utf-8")


LISTS = {
    "named (both models)": "both", "doubted (either)": "either",
    "ViT-S alone": "vit_small_patch14_dinov2", "EfficientNet alone": "tf_efficientnet_lite0",
    "cleanlab, EfficientNet": "cleanlab, tf_efficientnet_lite0", "cleanlab, mean of both": "cleanlab, mean",
}  # fmt: skip
"""Titles of columns → lists."""
ORDERS = {"mean ranks": "both", "ViT-S": "vit_small_patch14_dinov2", "EfficientNet": "tf_efficientnet_lite0"}
HEAD = f"""# Wrong labels: how many are found, how many right ones are named

Generated by `tests/evidence/suspects.py` from suspects.jsonl. Labels of real photos were turned into another
class at random; frozen features of two real networks, {FOLDS} folds, groups whole, the head as
`vitbench probe --folds {FOLDS}` fits it. Each cell: pictures listed · precision · recall, over all draws.
"named" is what `vitbench data suspects` counts: more than half of the models, here both, doubt the label by
confident learning; "doubted" is its whole list. By one model alone our list is cleanlab's
`confident_learning` to the last picture (asserted on every row); "cleanlab" is its default filter. Labels
that were not turned are taken for right; some may be wrong, or show two classes.
"""


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a page in Markdown."""
    ordered = (*ORDERS.values(), "cleanlab, mean")
    groups: dict[tuple[str, int, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["per_class"], row["noise"]), []).append(row)
    lines = [
        HEAD,
        f"| set | per class | turned, % | draws | {' | '.join(LISTS)} |",
        f"|{'---|' * (len(LISTS) + 4)}",
    ]
    lines += [
        f"{_about(key, each)} | {' | '.join(_list(each, one) for one in LISTS.values())} |"
        for key, each in groups.items()
    ]
    lines += [
        "",
        "Of as many pictures as were turned, taken from the top of the order: the share that was turned.",
        "",
    ]
    lines += [
        f"| set | per class | turned, % | draws | {' | '.join(ORDERS)} | cleanlab, mean |",
        f"|{'---|' * 8}",
    ]
    lines += [
        f"{_about(key, each)} | {' | '.join(_first(each, one) for one in ordered)} |"
        for key, each in groups.items()
        if key[2]
    ]
    lines += [
        "",
        "What the page says beside the list: how many would be named if every label were right.",
        "",
    ]
    lines += [
        "| set | per class | turned, % | foretold [95 of 100] | named where none is turned |",
        f"|{'---|' * 5}",
    ]
    for key, each in groups.items():
        clean = groups.get((*key[:2], 0.0), [])
        told = [fmean(row["if_clean"][place] for row in each) for place in range(3)]
        true = f"{fmean(row['lists']['both'][0] for row in clean):.1f}" if clean else "–"
        about = f"| {key[0]} | {key[1]} | {100 * key[2]:.0f}"
        lines.append(f"{about} | {told[0]:.1f} [{told[1]:.1f}, {told[2]:.1f}] | {true} |")
    lacking = [name for name in SETS if all(key[0] != name for key in groups)]
    lines += ["", *([f"Not measured yet: {', '.join(lacking)}."] if lacking else [])]
    lines += [
        "",
        "An earlier trial (cleanlab's default filter, EfficientNet, C = .01, folds without groups):",
        "",
    ]
    lines += [
        f"- {name}, {size} per class, {100 * noise:.0f} %: {told}"
        for (name, size, noise), told in EARLIER.items()
    ]
    lines += [
        "",
        f"{platform.machine()}, cleanlab {version('cleanlab')}, scikit-learn {version('scikit-learn')}.",
    ]
    return "\n".join(lines) + "\n"


def _about(key: tuple[str, int, float], each: Sequence[Mapping[str, Any]]) -> str:
    return f"| {key[0]} | {key[1]} | {100 * key[2]:.0f} | {len(each)}"


def _list(each: Sequence[Mapping[str, Any]], name: str) -> str:
    """ "6.3 · .89 · .57" """
    listed, right = (sum(row["lists"][name][place] for row in each) for place in (0, 1))
    wrong = sum(row["wrong"] for row in each)
    if not wrong:
        return f"{listed / len(each):.1f}"
    return f"{listed / len(each):.1f} · {right / max(listed, 1):.2f} · {right / wrong:.2f}"


def _first(each: Sequence[Mapping[str, Any]], name: str) -> str:
    return f"{sum(row['first'][name] for row in each) / sum(row['wrong'] for row in each):.2f}"


if __name__ == "__main__":
    main()
