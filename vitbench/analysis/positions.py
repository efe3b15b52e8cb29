"""What a network learned about places: position embeddings of a ViT, position biases of a Swin.

Both are shown as what they do, not as they are stored: the similarity of two patches' embeddings, and what a
head adds to the logit of a key so many rows below and columns right of the query.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitbench.analysis.before import beside_before
from vitbench.analysis.looking import blocks_of, looking
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows

SIMILARITY: dict[str, Dtype] = {"rows_down": "Int64", "columns_right": "Int64", "similarity": "float64"}
BIAS: dict[str, Dtype] = {
    "layer": "Int64", "block": "string", "head": "Int64", "window": "string", "lowest": "float64",
    "highest": "float64", "spread": "float64", "itself": "float64",
}  # fmt: skip
"""Of a head's centred map; `spread` is its standard deviation, `itself` its value for key = query."""
TAU: dict[str, Dtype] = {
    "layer": "Int64", "block": "string", "head": "Int64", "tau": "float64", "at_clamp": "boolean",
}  # fmt: skip
SMALLEST = 0.01
"""τ is clamped there: log(1 / τ) at most log(100)."""


# --- position embeddings --------------------------------------------------------------------------


def similarity(model: Any, size: int) -> Tensor:
    """(rows, columns, rows, columns) cosine similarity of the patches' position embeddings.

    At pictures of `size` px; a network with `dynamic_img_size` interpolates them to that, as it does here.
    """
    patches, own = _patch_positions(model)
    if getattr(model, "dynamic_img_size", False):
        from timm.layers import resample_abs_pos_embed

        grid = model.patch_embed.dynamic_feat_size((size, size))
        patches = resample_abs_pos_embed(patches[None], list(grid), list(own), num_prefix_tokens=0)[0]
        own = tuple(grid)
    unit = F.normalize(patches.float(), dim=-1)
    return (unit @ unit.T).view(*own, *own)


def why_no_positions(model: Any) -> str:
    """ "" where each patch has an embedding of its own, else the reason why not, one line."""
    try:
        _patch_positions(model)
    except ValueError as error:
        return str(error)
    return ""


def _patch_positions(model: Any) -> tuple[Tensor, tuple[int, int]]:
    """(patches, D) without those of prefix tokens, and the grid they stand on; ValueError without them."""
    embedding = getattr(model, "pos_embed", None)
    if not isinstance(embedding, Tensor):
        raise ValueError("has no position embeddings: places enter its attention, or nothing, in another way")
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if embedding.ndim == 3 and grid is not None:
        prefix = 0 if getattr(model, "no_embed_class", False) else getattr(model, "num_prefix_tokens", 0)
        patches = embedding[0, prefix:].detach()
        if len(patches) == grid[0] * grid[1]:
            return patches, (int(grid[0]), int(grid[1]))
    raise ValueError("its position embeddings are not one for each patch")


def look_at_positions(subject: Subject, _: Pictures) -> Finding:
    """`position_similarity`: means over all pairs of patches so far apart; the map holds every pair."""

    def similarities(model: nn.Module) -> Finding:
        values = similarity(model, subject.preprocessing.size).double().cpu().numpy()
        frame = by_rows(SIMILARITY, _by_offset(values))
        return Finding({"position_similarity": frame}, {"position_similarity": values}, {
            "position_similarity": ("row", "column"),
        })  # fmt: skip

    return beside_before(subject, similarities)


def _by_offset(values: Array) -> list[tuple[int, int, float]]:
    """(rows down, columns right, mean similarity), offsets that differ in sign alone once."""
    rows, columns = values.shape[:2]
    found = []
    for down in range(rows):
        for right in range(-(columns - 1) if down else 0, columns):
            pairs = [
                values[row, column, row + down, column + right]
                for row in range(rows - down)
                for column in range(max(0, -right), min(columns, columns - right))
            ]
            found.append((down, right, sum(pairs) / len(pairs)))
    return found


POSITIONS = Analysis(
    name="positions",
    title="Position embeddings: which patches are alike",
    sees="How alike the embeddings of two places are, for every pair of patches: near ones, and those of a "
    "row or a column, are alike where the network learned the grid.",
    does_not_prove="That the network uses places as they look here: attention compares them through learned "
    "maps of its own, and patches may tell where they are by what they show.",
    applies=lambda subject: why_no_positions(subject.module),
    look=look_at_positions,
    compares=True,
)


# --- position biases ------------------------------------------------------------------------------


def bias_map(attention: Any) -> Tensor | None:
    """(heads, 2 Mh − 1, 2 Mw − 1): what is added to the logit of a key, by key − query; None without a bias.

    The middle is the query itself, the next place in a row the key one column to its right. Tables are
    stored by query − key, so both axes are turned. V1 has a table, V2 16 · sigmoid of an MLP, V2-cr an MLP;
    BEiT's table has three more entries, for its class token.
    """
    rows, columns = getattr(attention, "window_size", None) or (0, 0)
    if isinstance(table := getattr(attention, "relative_position_bias_table", None), Tensor):
        found = table[: (2 * rows - 1) * (2 * columns - 1)]
    elif hasattr(attention, "cpb_mlp"):
        found = 16 * torch.sigmoid(attention.cpb_mlp(attention.relative_coords_table))
    elif hasattr(attention, "meta_mlp"):
        device = attention.logit_scale.device
        down = torch.arange(1 - rows, rows, device=device, dtype=torch.float32)
        right = torch.arange(1 - columns, columns, device=device, dtype=torch.float32)
        apart = torch.cartesian_prod(down, right)
        found = attention.meta_mlp(apart.sign() * apart.abs().log1p())
    else:
        return None
    found = found.detach().reshape(2 * rows - 1, 2 * columns - 1, -1)
    return found.permute(2, 0, 1).flip(1, 2)


def centred(bias: Tensor) -> Tensor:
    """Each head's map minus its mean: softmax makes what is added to all keys of a query vanish."""
    return bias - bias.mean((1, 2), keepdim=True)


def why_no_bias(model: nn.Module) -> str:
    """ "" where blocks add a bias for how far a key is from the query."""
    if _biases(model):
        return ""
    return "has no windows whose position bias can be read"


def _biases(model: nn.Module) -> dict[str, Tensor]:
    """By block; in evaluation mode, for V2-cr's MLP has dropout."""
    with looking(model), torch.inference_mode():
        found = {name: bias_map(block.attn) for name, block in blocks_of(model)}
    return {name: centred(bias) for name, bias in found.items() if bias is not None}


def look_at_biases(subject: Subject, _: Pictures) -> Finding:
    """`position_bias`: a row per block and head; a map by block, centred, the query in its middle."""

    def biases(model: nn.Module) -> Finding:
        rows, maps = [], {}
        for layer, (name, bias) in enumerate(_biases(model).items(), start=1):
            maps[f"position_bias {name}"] = values = bias.double().cpu().numpy()
            down, right = values.shape[1] // 2, values.shape[2] // 2
            window = f"{down + 1} × {right + 1}"
            for head, one in enumerate(values, start=1):
                rows.append((layer, name, head, window, one.min(), one.max(), one.std(), one[down, right]))
        return Finding({"position_bias": by_rows(BIAS, rows)}, maps, dict.fromkeys(maps, ("head",)))

    return beside_before(subject, biases)


BIASES = Analysis(
    name="position_bias",
    title="Position bias: where a head looks before it sees anything",
    sees="What each head adds to a key's logit for being so many rows below and columns right of the query, "
    "which stands in the middle; each map minus its mean, for a constant changes nothing.",
    does_not_prove="Where the head looks in a picture: the bias is added to what queries and keys say to "
    "each other, which can be much more.",
    applies=lambda subject: why_no_bias(subject.module),
    look=look_at_biases,
    compares=True,
)


# --- temperature ----------------------------------------------------------------------------------


def temperature(attention: Any) -> Tensor | None:
    """(heads,) τ ≥ .01, with logits = cos / τ + bias; None where attention is no cosine."""
    scale = getattr(attention, "logit_scale", None)
    if not isinstance(scale, Tensor) or scale.numel() != attention.num_heads:
        return None
    return (-scale.detach().double().flatten().clamp(max=math.log(1 / SMALLEST))).exp()


def why_no_temperature(model: nn.Module) -> str:
    """ "" where attention is a cosine over a temperature that is learned."""
    if any(temperature(block.attn) is not None for _, block in blocks_of(model)):
        return ""
    return "has no learned temperature: its attention is no cosine"


def look_at_temperatures(subject: Subject, _: Pictures) -> Finding:
    """`temperature`: a row per block and head, and a note of how many are as small as they can be."""
    found = beside_before(subject, _temperatures)
    table = found.frames["temperature"]
    clamped = int(table["at_clamp"].sum())
    note = f"{clamped} of {len(table)} heads at the clamp of τ ({SMALLEST})"
    return Finding(found.frames, notes=(*found.notes, note))


def _temperatures(model: nn.Module) -> Finding:
    rows = []
    for layer, (name, block) in enumerate(blocks_of(model), start=1):
        scale, values = block.attn.logit_scale.flatten(), temperature(block.attn)
        assert values is not None
        rows += [
            (layer, name, head + 1, float(values[head]), bool(scale[head] >= math.log(1 / SMALLEST)))
            for head in range(len(values))
        ]
    return Finding({"temperature": by_rows(TAU, rows)})


TEMPERATURES = Analysis(
    name="temperature",
    title="τ: how sharply a head compares",
    sees="The temperature that each head of a Swin V2 divides its cosines by: it begins at 0.1, smaller is "
    "sharper, and 0.01 is the least that it can be.",
    does_not_prove="That a head with a small τ attends to few places: cosines that are all alike stay alike, "
    "and the position bias is added after the division.",
    applies=lambda subject: why_no_temperature(subject.module),
    look=look_at_temperatures,
    compares=True,
)
