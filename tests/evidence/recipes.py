"""Which fine-tuning recipe: what one change of the default does, beside the probe; writes recipes.md.

    python tests/evidence/recipes.py ../shared/datasets ../shared/weights # hours: all cells that lack
    python tests/evidence/recipes.py ../shared/datasets ../shared/weights --ways default light --networks vit
    python tests/evidence/recipes.py ../shared/datasets ../shared/weights --ways "whole budget" --px 224

A cell is one training of one network on one draw of a set: 30 % of its pictures are held out to be reported
on, 15 % of the rest are val, neighbouring frames of the apples stay together, grocery_apples/test takes no
part. What was found is kept in recipes.jsonl, a row per cell; a call carries out those that lack and can be
broken off. What is below the line in recipes.md was measured before this script was, and stays as it is.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from pages import PAGES, kept_rows
from recipes_page import write
from torch.optim.swa_utils import AveragedModel

from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import train
from vitbench.models.folder import load_model, save_model
from vitbench.records import Predictions, Run
from vitbench.records.watch import Watch
from vitbench.training import recipes, saving

RECORD = PAGES / "recipes.jsonl"
PX = 112
SETS = {"flowers5": ("flowers5", 1), "apples": ("grocery_apples/train", 10)}
"""Folder, and how many neighbouring pictures of a class stay together."""
NETWORKS = {
    "cnn": ("tf_efficientnet_lite0", "efficientnet_lite0.safetensors"),
    "vit": ("vit_small_patch14_dinov2", "vit_small_patch14_dinov2.safetensors"),
}
SHORT = {"epochs": 3, "per_class": 40}


@dataclass(frozen=True)
class Way:
    """One change of the default recipe, or of its budget."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Settings`."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `training.recipes.Defaults`."""
    last: bool = False
    """The last epoch is taken, whatever val says."""
    pictures: int | None = None
    """So many training pictures of a class; None: all."""
    val: int | None = None
    """So many val pictures of a class, the others train too; None: all."""
    members: int = 1
    """So many trainings on one draw, whose weights are averaged; beside them, their probabilities."""
    networks: tuple[str, ...] = tuple(NETWORKS)


WAYS = (
    Way("default"),
    Way("light", {"augment": "light"}),
    Way("last epoch", last=True),
    Way("EMA .9", {"ema": 0.9}),
    Way("10 epochs", {"epochs": 10}),
    Way("drop path .1", {"drop_path": 0.1}, networks=("vit",)),
    Way("no layer decay", row={"layer_decay": None}, networks=("vit",)),
    Way("layer decay .65", row={"layer_decay": 0.65}, networks=("vit",)),
    Way("layer decay .9", row={"layer_decay": 0.9}, networks=("vit",)),
    Way("last epoch, val trains too", last=True, val=1),
    Way("10 epochs, the last, val trains too", {"epochs": 10}, last=True, val=1),
    Way("3 trainings, weights averaged", members=3),
    Way("10 pictures a class", pictures=10),
    Way("10 pictures a class, 10 epochs", {"epochs": 10}, pictures=10),
    Way("whole budget", {"epochs": 30, "per_class": 200}),
)


def draw(photos: Path, block: int, way: Way, seed: int, folder: Path) -> dict[str, int]:
    """train/, val/ and test/ of a draw; path of a test picture → number of the block it stands in."""
    rng = np.random.default_rng(seed)
    groups: dict[str, int] = {}
    for label in sorted(one for one in photos.iterdir() if one.is_dir()):
        files = sorted(label.iterdir())
        blocks = [files[start : start + block] for start in range(0, len(files), block)]
        order = [blocks[place] for place in rng.permutation(len(blocks))]
        held, val = max(1, round(0.3 * len(order))), max(1, round(0.105 * len(order)))
        parts = {
            part: [file for one in chosen for file in one]
            for part, chosen in (
                ("test", order[:held]), ("val", order[held : held + val]), ("train", order[held + val :]),
            )
        }  # fmt: skip
        kept = parts["val"][: way.val]
        parts["train"] = [*parts["train"][: way.pictures], *parts["val"][len(kept) :]]
        parts["val"] = kept
        for part, pictures in parts.items():
            (folder / part / label.name).mkdir(parents=True)
            for file in pictures:
                shutil.copy(file, folder / part / label.name)
        for one in order[:held]:
            number = len(groups)  # no other block has it, for each has a picture
            groups |= {f"test/{label.name}/{file.name}": number for file in one}
    return groups


@contextlib.contextmanager
def changed(way: Way) -> Iterator[None]:
    """The table of recipes, and how the epoch is chosen, as a way has it."""
    table, choose = dict(recipes.FINETUNE), vars(saving)["best_epoch"]
    try:
        for kind, row in table.items():
            recipes.FINETUNE[kind] = dataclasses.replace(row, **way.row)
        if way.last:
            vars(saving)["best_epoch"] = lambda rows: rows[-1]
        yield
    finally:
        recipes.FINETUNE.update(table)
        vars(saving)["best_epoch"] = choose


def cell(
    set_name: str, network: str, way: Way, seed: int, px: int, photos: Path, weights: Path
) -> dict[str, Any]:
    """One training beside its probe."""
    place, block = SETS[set_name]
    model, file = NETWORKS[network]
    started = time.process_time()
    with tempfile.TemporaryDirectory() as work, changed(way):
        folder = Path(work) / "photos"
        groups = draw(photos / place, block, way, seed, folder)
        benchmark = train(
            folder, name="cell", results=Path(work) / "results", watch=Watch(), models=(model,),
            weights=(f"{model}={weights / file}",), image_size=px, device="cpu", compile=False,
            seeds=tuple(100 * place + seed for place in range(way.members)), with_probe=True,
            near_duplicates=False, store=False, **{**SHORT, **way.settings},
        )  # fmt: skip
        runs = [one for one in benchmark.runs if one.planned.model == model]
        answers = [one.predictions() for one in runs]
        tuned = _averaged(runs, folder, Path(work) / "averaged") if len(runs) > 1 else answers[0]
        probe = next(one for one in benchmark.runs if one not in runs).predictions()
        told = {"right": tuned, "probe": probe, "averaged": _mean([tuned, probe])}
        if len(runs) > 1:
            told["together"] = _mean(answers)
        return {
            "set": set_name,
            "network": network,
            "way": way.name,
            "seed": seed,
            "px": px,
            "views": {**SHORT, **way.settings},
            "paths": list(tuned.paths),
            "groups": [groups[path] for path in tuned.paths],
            **{name: one.correct.astype(int).tolist() for name, one in told.items()},
            "loss": {name: round(float(one.losses.mean()), 4) for name, one in told.items()},
            "cpu": round(time.process_time() - started, 1),
        }


def _mean(answers: Sequence[Predictions]) -> Predictions:
    """Answers to the same pictures, their probabilities averaged."""
    assert len({one.paths for one in answers}) == 1
    mean = np.mean([one.probabilities for one in answers], axis=0)
    return dataclasses.replace(answers[0], probabilities=mean)


def _averaged(runs: Sequence[Run], photos: Path, place: Path) -> Predictions:
    """What a model says of the test pictures whose weights are the mean of the runs' weights."""
    loaded, known = [load_model(one.model_folder) for one in runs], runs[0].predictions()
    mean = AveragedModel(loaded[0].module)  # batch statistics are the network's own: frozen in every run
    for one in loaded:
        mean.update_parameters(one.module)
    save_model(mean.module, place, loaded[0].classes, loaded[0].preprocessing)
    pictures = [photos / path for path in known.paths]
    said = [
        dict(next(iter(answer.predictions.values())))
        for answer in predict(*pictures, run=place, device="cpu", top_k=len(known.classes))
    ]
    return dataclasses.replace(
        known, probabilities=np.array([[one[c] for c in known.classes] for one in said])
    )


def lacking(
    rows: Sequence[Mapping[str, Any]], asked: argparse.Namespace
) -> Iterator[tuple[str, str, Way, int]]:
    """The cells that were asked for and are not there."""
    there = {(row["set"], row["network"], row["way"], row["seed"], row["px"]) for row in rows}
    ways = [way for way in WAYS if way.name in asked.ways]
    for way, seed, network, set_name in itertools.product(
        ways, range(asked.seeds), asked.networks, asked.sets
    ):
        if network in way.networks and (set_name, network, way.name, seed, asked.px) not in there:
            yield set_name, network, way, seed


def main() -> None:
    ways = [way.name for way in WAYS]
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--ways", nargs="*", choices=ways, default=ways[:-1], help="all but the whole budget")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--px", type=int, default=PX)
    asked = parser.parse_args()
    for set_name, network, way, seed in lacking(kept_rows(RECORD), asked):
        row = cell(set_name, network, way, seed, asked.px, asked.photos.resolve(), asked.weights.resolve())
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        scores = {name: f"{sum(row[name])} of {len(row[name])}" for name in ("right", "probe", "averaged")}
        print(set_name, network, way.name, seed, scores, row["loss"], row["cpu"], flush=True)
    write(kept_rows(RECORD), [(way.name, network) for way in WAYS for network in way.networks], list(SETS))


if __name__ == "__main__":
    main()
