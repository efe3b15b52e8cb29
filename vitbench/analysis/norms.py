"""What a network normalises by, and what follows for small batches."""

from torch import nn

from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "norm": "string", "layers": "Int64", "params": "Int64", "over": "string", "needs_batch": "boolean",
}  # fmt: skip

OVER = {
    "BatchNorm": "a channel of all pictures in a forward pass, over all places",
    "FrozenBatchNorm": "nothing: it keeps the mean and variance that it came with",
    "LayerNorm": "one place of one picture, over its channels",
    "RMSNorm": "one place of one picture, over its channels, their mean left in",
    "SimpleNorm": "one place of one picture, over its channels, their mean left in",
    "GroupNorm": "one picture, over all places and a group of channels",
    "InstanceNorm": "a channel of one picture, over all places",
}
"""What mean and variance are taken of in training. timm's layers are called as torch's, or begin so."""

BATCHED = (
    "batch normalisation: in training a picture's output depends on those beside it in a forward pass, and "
    "for evaluation running means of theirs are learned; few pictures in a forward pass (--micro-batch) make "
    "both noisy, and accumulated gradients do not help. Fine-tuning a CNN keeps its pretraining's means"
)
ALONE = (
    "no batch normalisation: each picture is normalised by itself, so what is beside it in a batch changes "
    "nothing, and one picture at a time trains as well as many with accumulated gradients"
)


def look(subject: Subject, _: Pictures) -> Finding:
    """`norms`: a row per kind, and a note of what follows for small batches."""
    found: dict[str, list[nn.Module]] = {}
    for module in subject.module.modules():
        if kind := kind_of(module):
            found.setdefault(kind, []).append(module)
    rows = [
        (
            kind,
            len(each),
            sum(p.numel() for m in each for p in m.parameters()),
            OVER[kind],
            kind == "BatchNorm",
        )
        for kind, each in found.items()
    ]
    return Finding({"norms": by_rows(COLUMNS, rows)}, notes=(BATCHED if "BatchNorm" in found else ALONE,))


def kind_of(module: nn.Module) -> str:
    """A key of `OVER`; "" for what is no such layer."""
    for kind in type(module).__mro__:
        for known in OVER:
            if kind.__name__.lstrip("_").lower().startswith(known.lower()):
                return known
    return ""


NORMS = Analysis(
    name="norms",
    title="Layer normalisation or batch normalisation",
    sees="By what the network normalises, in how many layers, and what mean and variance are taken of.",
    does_not_prove="That one of them is better: only what depends on the size of a batch, and what does not.",
    applies=lambda subject: "",
    look=look,
)
