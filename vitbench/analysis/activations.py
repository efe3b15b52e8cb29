"""How large activations are from block to block: of the stream, and of what the two branches add to it.

A value is the variance of a channel over pictures and tokens, mean over channels, so that networks with
other tokens and norms are compared. What a block adds is taken where it is added (`drop_path1`,
`drop_path2`), in V2-cr before `norm3`, which the stream itself goes through; in + attention + MLP is out, to
the last bit.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.analysis.looking import blocks_of, looking, stage_of
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "layer": "Int64", "block": "string", "stage": "Int64", "stream_in": "float64", "attention": "float64",
    "mlp": "float64", "stream": "float64", "identity_error": "float64",
}  # fmt: skip
GROWTH: dict[str, Dtype] = {"stage": "Int64", "blocks": "Int64", "stream_in": "float64", "growth": "float64"}

ASLEEP = (
    "its branches begin at exactly 0 (the weights of their norms are 0) and it began from random weights: a "
    "stream that hardly grows is so by construction, and whether V2 bounds what V1 lets grow is not said"
)
MORE = (
    "its blocks do more than add attention and MLP to the stream (identity_error): the two are not all that "
    "changes it"
)
UNTRAINED = "random weights: how the stream grows is the initialisation's, not what training made of it"


def look(subject: Subject, pictures: Pictures) -> Finding:
    """`activations`: a row per block; `growth`: a row per stage, the stream behind it over that before it.

    Growth is within a stage, for a patch merging normalises.
    """
    blocks = blocks_of(subject.module)
    watches = [_Watch() for _ in blocks]
    with looking(subject.module) as hooks, torch.inference_mode():
        for (_, block), watch in zip(blocks, watches, strict=True):
            hooks.extend(watch.hooks(block))
        for _, batch in pictures.batches():
            subject.module(batch)
    rows = [
        (layer, name, stage_of(name), *watch.measured())
        for layer, ((name, _), watch) in enumerate(zip(blocks, watches, strict=True), start=1)
    ]
    frames = {"activations": by_rows(COLUMNS, rows), "growth": by_rows(GROWTH, _growth(rows))}
    inexact = (MORE,) if any(watch.error for watch in watches) else ()
    return Finding(frames, notes=(*_notes(subject), *inexact))


def why_not(subject: Subject) -> str:
    """ "" where every block adds two branches to a stream."""
    blocks = blocks_of(subject.module)
    if blocks and all(hasattr(block, "drop_path1") and hasattr(block, "drop_path2") for _, block in blocks):
        return ""
    return "has no blocks that add attention and then an MLP to a stream"


def _growth(rows: list[tuple[Any, ...]]) -> list[tuple[int, int, float, float | None]]:
    """(stage, blocks, variance before it, that behind it over this)."""
    found = []
    for stage in dict.fromkeys(row[2] for row in rows):
        within = [row for row in rows if row[2] == stage]
        begin, end = within[0][3], within[-1][6]
        found.append((stage, len(within), begin, end / begin if begin else None))
    return found


def _notes(subject: Subject) -> tuple[str, ...]:
    norms = _post_norms(subject.module)
    if norms and (subject.from_scratch or not any(bool(norm.weight.any()) for norm in norms)):
        return (ASLEEP,)
    return (UNTRAINED,) if subject.weights == "random" else ()


def _post_norms(model: nn.Module) -> list[Any]:
    """The norms at the end of Swin V2's and V2-cr's branches; [] for other networks."""
    blocks = [block for _, block in blocks_of(model) if hasattr(block.attn, "logit_scale")]
    return [norm for block in blocks for norm in (block.norm1, block.norm2)]


class _Spread:
    """Variance per channel over everything that was added, in constant memory (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """values (…, channels)."""
        rows = values.flatten(0, -2).double()
        mean, new = rows.mean(0), len(rows)
        apart, total = mean - self.mean, self.count + new
        self.squares = self.squares + ((rows - mean) ** 2).sum(0) + apart**2 * (self.count * new / total)
        self.mean, self.count = self.mean + apart * (new / total), total

    @property
    def value(self) -> float:
        """The mean over channels."""
        return float(torch.as_tensor(self.squares / self.count).mean())


@dataclass
class _Watch:
    """What hooks see of one block; only the tensors of the block at work are held."""

    spreads: tuple[_Spread, ...] = field(default_factory=lambda: tuple(_Spread() for _ in range(4)))
    """In, attention, MLP, out."""
    error: float = 0.0
    """The largest |in + attention + MLP − out|."""
    held: list[Tensor] = field(default_factory=list)

    def hooks(self, block: Any) -> list[Any]:
        """What to take off again. Behind `norm3` is another stream: that before it is the block's out."""
        end = getattr(block, "norm3", None)
        return [
            block.register_forward_pre_hook(lambda _, inputs: self._begin(inputs[0])),
            block.drop_path1.register_forward_hook(lambda _, inputs, output: self._add(1, output)),
            block.drop_path2.register_forward_hook(lambda _, inputs, output: self._add(2, output)),
            block.register_forward_hook(lambda _, inputs, output: self._end(output))
            if end is None
            else end.register_forward_pre_hook(lambda _, inputs: self._end(inputs[0])),
        ]

    def _begin(self, stream: Tensor) -> None:
        self.held = []
        self._add(0, stream)

    def _add(self, place: int, values: Tensor) -> None:
        self.spreads[place].add(values)
        self.held.append(values)

    def _end(self, out: Tensor) -> None:
        self.spreads[3].add(out)
        begin, *branches = self.held
        if {each.numel() for each in self.held} != {out.numel()}:  # VOLO's last blocks change one token alone
            self.error = math.inf
            return
        for branch in branches:  # in the order in which the block adds them: exact to the last bit
            begin = begin + branch.reshape(begin.shape)
        self.error = max(self.error, float((begin.reshape(out.shape) - out).abs().max()))

    def measured(self) -> tuple[float, ...]:
        """In, attention, MLP, out, and how far the sum is from exact."""
        return (*(spread.value for spread in self.spreads), self.error)


ACTIVATIONS = Analysis(
    name="activations",
    title="Activations: how the stream grows",
    sees="How large the stream is behind every block, and how large what attention and MLP add to it: the "
    "variance of a channel over pictures and tokens, mean over channels.",
    does_not_prove="That a block which adds much matters much: the next norm divides the size out, and one "
    "large channel can carry most of a mean.",
    applies=why_not,
    look=look,
)
