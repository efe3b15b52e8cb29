"""Class token against average pooling: two heads on one frozen network, tested on the same pictures."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.comparison.statistics import accuracy_interval, paired_difference
from vitbench.errors import VitbenchError, first_line
from vitbench.inference.features import features_of
from vitbench.models.create import state_sha256
from vitbench.records import Array, Benchmark, Picture, Settings, Split
from vitbench.records.frames import Dtype, by_rows
from vitbench.training.machine import CPU_EVAL_BATCH, choose_machine
from vitbench.training.probe import fit_head, head_answers

COLUMNS: dict[str, Dtype] = {
    "pooling": "string", "own": "boolean", "n_test": "Int64", "correct": "Int64", "top1": "float64",
    "top1_low": "float64", "top1_high": "float64", "strength": "float64",
}  # fmt: skip
"""`own`: the network's own classifier reads it."""
PAIR: dict[str, Dtype] = {
    "a": "string", "b": "string", "a_only": "Int64", "b_only": "Int64", "difference": "float64",
    "low": "float64", "high": "float64", "p": "float64",
}  # fmt: skip
MOST = 1000
"""Pictures that the heads learn from at most: passes through a network cost minutes beyond."""
POOLINGS = ("class token", "average")

TRAINED = (
    "of the network as training left it ({why}): its class token was trained for these classes on these "
    "pictures, the average was not, so the token has the advantage"
)


def split_of(benchmark: Benchmark, fold: int = 0) -> Split:
    """The pictures of a benchmark by what they did, from `split.csv`; of one of its folds, from 1."""
    parts: dict[str, list[Picture]] = {"train": [], "val": [], "test": []}
    for row in benchmark.split_rows():
        part = row["split"]
        if fold and row["fold"] != str(fold):
            part = "val" if str(fold) in row["val_in"].split() else "train"
        if part in parts:
            parts[part].append(Picture(row["path"], row["class"], None, row["sha256"], row["group"], 0, 0))
    train, val, test = (tuple(each) for each in parts.values())
    manifest = benchmark.manifest
    return Split(
        Path(manifest["data"]), benchmark.classes, train, val, test, "split.csv", 0, "",
        pixel_range=benchmark.pixel_range,
    )  # fmt: skip


class BothPoolings(nn.Module):
    """A frozen network whose features are those of its class token and then the mean of its patches'."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def get_classifier(self) -> Any:
        return self.model.get_classifier()

    def forward_features(self, pictures: Tensor) -> Any:
        return self.model.forward_features(pictures)

    def forward_head(self, tokens: Tensor, pre_logits: bool = True) -> Tensor:
        """(B, 2 D). A distilled network's token is the mean of both, as in its own answer."""
        classes = 2 if hasattr(self.model, "dist_token") else 1
        pooled = (tokens[:, :classes].mean(1), tokens[:, self.model.num_prefix_tokens :].mean(1))
        return torch.cat([getattr(self.model, "fc_norm", nn.Identity())(each) for each in pooled], 1)


def why_not(subject: Subject) -> str:
    """ "" where there is a class token, and pictures to learn from."""
    model: Any = subject.module
    if getattr(model, "cls_token", None) is None or not getattr(model, "num_prefix_tokens", 0):
        return "has no class token before its patches"
    if subject.split is None or not subject.split.train:  # with folds, one more model may learn from all
        return "no pictures are known that a head could learn from, and others to test it: name a benchmark"
    return ""


def look(subject: Subject, _: Pictures) -> Finding:
    """`pooling`: a row per pooling; `pooling_pair`: their paired difference on the test pictures.

    Heads and features are a probe's: the same extraction, the same fit on train and val.
    """
    assert subject.split is not None
    split, (model, note) = _fewer(subject.split), _frozen(subject)
    notes = [note] if note else []
    if len(split.train) < (learn := len(subject.split.train) + len(subject.split.val)):
        notes.append(f"heads learned from {len(split.train)} of {learn} training and validation pictures")
    try:
        both = _features(model, subject, split)
    except VitbenchError as error:
        return Finding(notes=(*notes, f"not measured: {first_line(error)}"))
    features = dict(zip(POOLINGS, np.split(both, 2, axis=1), strict=True))
    rows, right = [], []
    groups = np.unique([p.group for p in split.test], return_inverse=True)[1]
    for pooling, table in features.items():
        by_path = {picture.path: row for picture, row in zip((*split.train, *split.test), table, strict=True)}
        head = fit_head(by_path, split.classes, split.train)
        answers = head_answers(by_path, split, head)
        correct = answers.probabilities.argmax(1) == answers.labels
        counts = (len(correct), int(correct.sum()), float(correct.mean()))
        own = (pooling == "average") == (getattr(model, "global_pool", "token") == "avg")
        rows.append((pooling, own, *counts, *accuracy_interval(correct, groups), head.strength))
        right.append(correct)
    token, average = right
    only = (int((token & ~average).sum()), int((average & ~token).sum()))
    pair = by_rows(PAIR, [(*POOLINGS, *only, *paired_difference(token, average, groups))])
    return Finding({"pooling": by_rows(COLUMNS, rows), "pooling_pair": pair}, notes=tuple(notes))


def _fewer(split: Split) -> Split:
    """Val joins train, and of each class its share of `MOST` is left, the first by their content."""
    learn = (*split.train, *split.val)
    kept: list[Picture] = []
    for label in split.classes:
        own = sorted((p for p in learn if p.label == label), key=lambda p: p.sha256)
        kept += own[: -(-len(own) * MOST // max(MOST, len(learn)))]
    return dataclasses.replace(split, train=tuple(kept), val=())


def _frozen(subject: Subject) -> tuple[nn.Module, str]:
    """The network before training; where that is not to be had or knew nothing, as it is, with a note."""
    before = "it began from random weights" if subject.from_scratch else subject.before()
    if isinstance(before, nn.Module):
        return before, ""
    return subject.module, TRAINED.format(why=before) if before or subject.weights == "trained" else ""


def _features(model: nn.Module, subject: Subject, split: Split) -> Array:
    """(N, 2 D) of train and test, kept in the probes' store."""
    device = next(subject.module.parameters()).device
    decides = (
        f"{state_sha256(model)} {subject.preprocessing} class token and average, torch {torch.__version__}"
    )
    return features_of(
        BothPoolings(model.to(device)),
        hashlib.sha256(decides.encode()).hexdigest(),
        split.root,
        (*split.train, *split.test),
        dataclasses.replace(subject.preprocessing, pixel_range=split.pixel_range),
        choose_machine(Settings(store=False), device, CPU_EVAL_BATCH),
    )


POOLING = Analysis(
    name="pooling",
    title="Class token or average",
    sees="How well a linear head does on the class token, and on the mean of the patches, of one frozen "
    "network on the same test pictures, with the paired difference and its interval.",
    does_not_prove="Which would be better after fine-tuning: that can teach either to the network.",
    applies=why_not,
    look=look,
)
