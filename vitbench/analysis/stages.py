"""The stage table: what a network is made of, part by part, measured on a forward pass at its own size.

A hook at the end of each part closes it. A part's multiply-adds are those since the part before it ended, its
parameters those of the modules that were first called in between: so both add up to the whole network's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.models.count import Counter, counting, without_memory
from vitbench.models.windows import window_of
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "part": "string", "rows": "Int64", "columns": "Int64", "channels": "Int64", "channels_in": "Int64",
    "tokens": "Int64", "blocks": "Int64", "heads": "Int64", "window": "string", "shift": "string",
    "padded_rows": "Int64", "padded_columns": "Int64", "params": "Int64", "macs": "Int64",
}  # fmt: skip
"""`channels_in`: of a patch merging, those of four neighbours; `padded_…`: the map with the zeros that
windows or a merging need, where they need any; `macs` are multiply-adds of one picture."""

Row = dict[str, Any]
"""A cell for some of `COLUMNS`."""


def look(subject: Subject, _: Pictures) -> Finding:
    """`stages`: a row per part in the order of the forward pass; params and macs add up to the network's."""
    rows = stage_rows(subject.module, subject.preprocessing.size)
    padded = ", ".join(row["part"] for row in rows if "padded_rows" in row)
    notes = (f"a map is padded with zeros in {padded}",) if padded else ()
    cells = [[row.get(column) for column in COLUMNS] for row in rows]
    return Finding({"stages": by_rows(COLUMNS, cells)}, notes=notes)


def stage_rows(model: nn.Module, size: int) -> list[Row]:
    """What `COLUMNS` says of each part at pictures of `size` px, seen on a copy without memory.

    Parameters that no module's call reads (a class token, positions) are a row of their own, the last.
    """
    copied = without_memory(model).eval()
    watch = _Watch()
    for module in copied.modules():
        module.register_forward_pre_hook(watch.call)
    with counting() as counter:
        for part in _parts(copied):
            part.end.register_forward_hook(watch.closing(part, counter))
        copied(torch.empty(1, 3, size, size))
        watch.end(_Part("head", copied), None, counter.macs)
    params, outside = watch.parameters(copied)
    rows: list[Row] = []
    counted, grid = 0, None
    for place, (part, output, total) in enumerate(watch.ended):
        row = {"part": part.name, **_shape(part, output, grid, copied)}
        rows.append(row | {"params": params.get(place, 0), "macs": total - counted})
        counted, grid = total, (row["rows"], row["columns"]) if "rows" in row else grid
    if outside:
        rows.append({"part": ", ".join(outside), "params": sum(outside.values()), "macs": 0})
    return rows


@dataclass(frozen=True)
class _Part:
    """A stretch of the forward pass, known by the module that it ends with."""

    name: str
    end: nn.Module
    channels: int = 0
    """Of its output; 0: not known."""
    blocks: tuple[Any, ...] = ()
    four_channels: int = 0
    """Of a patch merging: what it makes a place's new channels of."""


@dataclass
class _Watch:
    """What hooks see of one forward pass."""

    ended: list[tuple[_Part, Any, int]] = field(default_factory=list)
    """Parts with their output and the multiply-adds so far."""
    first: dict[nn.Module, int] = field(default_factory=dict)
    """How many parts had ended when a module was first called."""

    def call(self, module: nn.Module, _: Any) -> None:
        self.first.setdefault(module, len(self.ended))

    def closing(self, part: _Part, counter: Counter) -> Callable[..., None]:
        return lambda module, inputs, output: self.end(part, output, counter.macs)

    def end(self, part: _Part, output: Any, macs: int) -> None:
        self.ended.append((part, output, macs))

    def parameters(self, model: nn.Module) -> tuple[dict[int, int], dict[str, int]]:
        """Scalars by place of the part; and by name, those that are the whole network's own."""
        modules = dict(model.named_modules())
        within: dict[int, int] = {}
        outside: dict[str, int] = {}
        for name, parameter in model.named_parameters():
            owner = name.rpartition(".")[0]
            while owner and modules[owner] not in self.first:  # Swin V2 reads the weights of its qkv itself
                owner = owner.rpartition(".")[0]
            if owner:
                place = self.first[modules[owner]]
                within[place] = within.get(place, 0) + parameter.numel()
            else:
                outside[name] = parameter.numel()
        return within, outside


def _parts(model: Any) -> Iterator[_Part]:
    """The parts but for the head: patches, mergings and, as timm names them, stages or a ViT's blocks."""
    if isinstance(patches := getattr(model, "patch_embed", None), nn.Module):
        channels = getattr(getattr(patches, "proj", None), "out_channels", 0)
        yield _Part("patch embedding", patches, channels)
    info = getattr(model, "feature_info", None) or ()
    for number, stage in enumerate(getattr(info, "info", info), start=1):
        try:
            module: Any = model.get_submodule(stage["module"])
        except (AttributeError, KeyError):  # timm names what it would make on request, or nothing
            continue
        channels = int(stage["num_chs"])
        if hasattr(module, "attn"):
            yield _Part(f"block {number}", module, channels, (module,))
            continue
        blocks = getattr(module, "blocks", None)
        blocks = tuple(blocks) if isinstance(blocks, nn.Sequential | nn.ModuleList) else ()
        if blocks and isinstance(down := getattr(module, "downsample", None), nn.Module):
            yield from _smaller(down, channels)
        yield _Part(f"stage {number}", blocks[-1] if blocks else module, channels, blocks)


def _smaller(down: Any, channels: int) -> Iterator[_Part]:
    """What makes a stage's map of the one before it, where that learns anything."""
    if isinstance(reduction := getattr(down, "reduction", None), nn.Linear):
        name = f"patch merging {reduction.in_features} → {reduction.out_features}"
        yield _Part(name, down, channels, four_channels=reduction.in_features)
    elif any(True for _ in down.parameters()):
        yield _Part(f"downsampling → {channels}", down, channels)


def _shape(part: _Part, output: Any, before: tuple[int, int] | None, model: Any) -> Row:
    """The map that a part ends in, how it attends there, and with what it is padded."""
    if not isinstance(output, Tensor):
        return {}
    row: Row = {"channels": part.channels or output.shape[-1]}
    if grid := _grid(output, part.channels, model):
        row |= {"rows": grid[0], "columns": grid[1], "tokens": grid[0] * grid[1]}
    if output.ndim == 3:
        row["tokens"] = output.shape[1]
    if part.four_channels:
        row["channels_in"] = part.four_channels
        return row | _padding(before, (2 * grid[0], 2 * grid[1])) if grid else row
    if part.blocks:
        row["blocks"] = len(part.blocks)
        if heads := getattr(getattr(part.blocks[0], "attn", None), "num_heads", 0):
            row["heads"] = heads
        if grid and window_of(part.blocks[0]):
            row |= _windows(part.blocks, grid)
    return row


def _grid(output: Tensor, channels: int, model: Any) -> tuple[int, int] | None:
    """Rows and columns of a map (B, C, H, W), (B, H, W, C), or of patches behind prefix tokens (B, N, C)."""
    if output.ndim == 4:
        last = output.shape[3] == channels
        return (output.shape[1], output.shape[2]) if last else (output.shape[2], output.shape[3])
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if grid is None or output.ndim != 3:
        return None
    prefix = output.shape[1] - grid[0] * grid[1]
    return tuple(grid) if prefix in (0, getattr(model, "num_prefix_tokens", 0)) else None


def _windows(blocks: tuple[Any, ...], grid: tuple[int, int]) -> Row:
    """Windows and shifts as the blocks have them, whatever the model's name says."""
    window = _pair(blocks[0].window_size)
    shift = max(_pair(getattr(block, "shift_size", 0)) for block in blocks)
    row = {"window": f"{window[0]} × {window[1]}"}
    if any(shift):
        row["shift"] = f"{shift[0]} × {shift[1]}"
    return row | _padding(grid, (-(-grid[0] // window[0]) * window[0], -(-grid[1] // window[1]) * window[1]))


def _pair(sides: Any) -> tuple[int, int]:
    """Rows and columns, which some blocks have as one number."""
    return (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))


def _padding(grid: tuple[int, int] | None, whole: tuple[int, int]) -> Row:
    return {} if grid in (None, whole) else {"padded_rows": whole[0], "padded_columns": whole[1]}


STAGES = Analysis(
    name="stages",
    title="The stage table",
    sees="Which maps the network makes of a picture, in which windows it attends there, and where its "
    "parameters and multiply-adds lie.",
    does_not_prove="That a part with more of them takes more time or does more for the answer: multiply-adds "
    "leave out memory, norms and softmax.",
    applies=lambda subject: "",
    look=look,
)
