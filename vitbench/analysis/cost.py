"""What networks cost over image sizes: multiply-adds split exactly, the papers' formulas, time and memory.

No weights are read: cost is a matter of shapes.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import timm
import torch

from vitbench.analysis.measuring import measured, megabytes, milliseconds
from vitbench.analysis.multiply_adds import PARTS, omega, split_macs
from vitbench.defaults import DEFAULT_MODELS
from vitbench.errors import UnfitModelError, UsageError
from vitbench.models import families
from vitbench.models.meta import on_meta
from vitbench.models.plan import plan_model
from vitbench.models.windows import in_words, windows_of
from vitbench.records.frames import Dtype, by_rows

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

SIZES = (224, 384, 512, 768, 1024)
LARGEST = 2048
STEP = 32
"""Sizes between the asked ones are tried in these steps, px: patches and stages divide them."""
Windows = Literal["own", "fitted"]

COUNTED: dict[str, Dtype] = {
    "model": "string", "timm_name": "string", "image_size": "Int64", "windows": "string", "tokens": "Int64",
    "params": "Int64", "macs": "Int64", **dict.fromkeys(PARTS, "Int64"), "omega_projections": "Int64",
    "omega_attention": "Int64", "deviations": "string",
}  # fmt: skip
"""A row per model and size, multiply-adds of one picture. tokens: those of the first block, prefix included;
omega_…: formulas (1) and (2) of the Swin paper; deviations: why the count is not the formula."""
MEASURED: dict[str, Dtype] = {
    "model": "string", "image_size": "Int64", "batch": "Int64", "fused": "boolean", "device": "string",
    "forward_ms": "float64", "training_ms": "float64", "forward_mb": "float64", "training_mb": "float64",
    "images_per_second": "float64",
}  # fmt: skip
"""A row per model, size and kind of attention; see `measuring.Measured`. images_per_second: forward."""
GROWTH: dict[str, Dtype] = {
    "model": "string", "quantity": "string", "exponent": "float64", "smallest": "Int64", "largest": "Int64",
}  # fmt: skip
"""Exponent e of quantity ∝ tokensᵉ, least squares on logarithms over the sizes from … to …, px."""
CROSSINGS: dict[str, Dtype] = {
    "model_a": "string", "model_b": "string", "image_size": "float64", "gmacs": "float64",
}  # fmt: skip
"""The size, px, at which two models need equally many multiply-adds; above it model_a needs more."""
AFFORDED: dict[str, Dtype] = {
    "model": "string", "limit": "string", "image_size": "Int64", "value": "float64",
}  # fmt: skip
"""The largest size within a limit, and what it needs there; no size: not even the smallest."""


@dataclass(frozen=True)
class Cost:
    """What was counted and measured, as frames; columns: `COUNTED`, `MEASURED`, `GROWTH`, `CROSSINGS`."""

    counted: "DataFrame"
    measured: "DataFrame"
    growth: "DataFrame"
    crossings: "DataFrame"
    afforded: "DataFrame"
    refused: tuple[tuple[str, int, str], ...]
    """(model, size, why not, one line)."""

    @property
    def frames(self) -> "Mapping[str, DataFrame]":
        """By the name of the csv that they become."""
        refused = by_rows({"model": "string", "image_size": "Int64", "reason": "string"}, list(self.refused))
        return {
            "macs": self.counted, "measured": self.measured, "growth": self.growth,
            "crossings": self.crossings, "afforded": self.afforded, "refused": refused,
        }  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a picture may need at most; None: no such limit."""

    latency_ms: float | None = None
    memory_mb: float | None = None


def cost(
    models: Sequence[str] = DEFAULT_MODELS,
    sizes: Sequence[int] = SIZES,
    *,
    batch: int = 1,
    windows: Windows = "own",
    times: bool = True,
    limits: Limits | None = None,
    device: torch.device | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Cost:
    """Count, and with `times` measure, what models cost at image sizes.

    windows: "own" keeps a Swin's windows at every size, padding its maps, as the papers count; "fitted" takes
    those that `train` would, which divide them. `report` hears how much of the measuring is done. A model
    that does not run at a size is left out there and named in `refused`; UsageError where nothing is left.
    """
    names = families.expand(models)
    counted: list[dict[str, Any]] = []
    timed: list[list[Any]] = []
    refused: list[tuple[str, int, str]] = []
    runs: list[tuple[str, int]] = []
    for name, size in itertools.product(names, sorted(set(sizes))):
        try:
            counted.append(count(name, size, windows))
            runs.append((name, size))
        except UnfitModelError as error:
            refused.append((name, size, str(error)))
    if not counted:
        raise UsageError(refused[0][2])
    where = device or torch.device("cpu")
    for place, (name, size) in enumerate(runs if times else ()):
        report(place, len(runs))
        timed += [[name, size, batch, *row] for row in _measured(name, size, windows, batch, where)]
    table = by_rows(COUNTED, [[row[column] for column in COUNTED] for row in counted])
    measurements = by_rows(MEASURED, timed)
    afforded = [row for name in names for row in _afforded(name, windows, limits or Limits(), where)]
    return Cost(
        table,
        measurements,
        by_rows(GROWTH, list(_growth(table, measurements))),
        by_rows(CROSSINGS, list(_crossings(names, table, windows))),
        by_rows(AFFORDED, afforded),
        tuple(refused),
    )


def count(name: str, size: int, windows: Windows = "own") -> dict[str, Any]:
    """A row of `COUNTED`; UnfitModelError where the model does not run at the size."""
    with on_meta():
        model = built(name, size, windows)
    formulas = omega(model)
    return {
        "model": name,
        "timm_name": families.timm_name_of(name),
        "image_size": size,
        "windows": in_words(windows_of(model)),
        "tokens": formulas.tokens if formulas else None,
        "params": sum(one.numel() for one in model.parameters()),
        **(spent := split_macs(model, size)),
        "macs": sum(spent.values()),
        "omega_projections": formulas.projections if formulas else None,
        "omega_attention": formulas.attention if formulas else None,
        "deviations": "; ".join(formulas.deviations) if formulas else "",
    }


def built(name: str, size: int, windows: Windows) -> "nn.Module":
    """A network with random weights at a size; UnfitModelError where it does not run there."""
    plan = plan_model(name, size)
    arguments = dict(plan.model_args)
    if windows == "own":
        arguments.pop("window_size", None)
    model: nn.Module = timm.create_model(plan.timm_name, pretrained=False, **arguments)
    return model.eval()


def _measured(
    name: str, size: int, windows: Windows, batch: int, device: torch.device
) -> Iterator[list[Any]]:
    """Fused as timm has it, and, where anything is, not fused."""
    model = built(name, size, windows).to(device)
    fusing = [one for one in model.modules() if getattr(one, "fused_attn", False) is True]
    kinds = (True, False) if fusing else (False,)
    for fused in kinds:
        for one in fusing:
            one.fused_attn = fused  # type: ignore[assignment]
        found = measured(model, size, batch)
        each = [found.forward_ms, found.training_ms, found.forward_mb, found.training_mb]
        yield [fused, device.type, *each, 1000 * batch / found.forward_ms]


def _growth(counted: "DataFrame", timed: "DataFrame") -> Iterator[list[Any]]:
    """Exponents over tokens, or over pixels where a network has none."""
    for model, rows in counted.groupby("model", sort=False):
        if len(rows) < 2:
            continue
        tokens = _tokens(rows)
        ends = [rows["image_size"].min(), rows["image_size"].max()]
        for quantity in ("macs", "attention"):
            values = rows[quantity].astype(float).to_numpy()
            if values.all():
                yield [model, quantity, _slope(tokens, values), *ends]
        mine = timed[timed["model"] == model].merge(rows[["image_size", "tokens"]], on="image_size")
        for fused, each in mine.groupby("fused"):
            if len(each) > 1:
                at = _tokens(each)
                for quantity in ("forward_ms", "forward_mb"):
                    kind = "" if fused or len(mine) == len(each) else " unfused"
                    yield [model, quantity + kind, _slope(at, each[quantity].to_numpy()), *ends]


def _tokens(rows: "DataFrame") -> Any:
    """Those of the first block; pixels where a network has none."""
    return rows["tokens"].fillna(rows["image_size"] ** 2).astype(float).to_numpy()


def _slope(tokens: Any, values: Any) -> float:
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


def _crossings(names: Sequence[str], counted: "DataFrame", windows: Windows) -> Iterator[list[Any]]:
    """Where the order of two models turns between neighbouring sizes: lines in logarithms between steps."""
    macs = counted.pivot(index="image_size", columns="model", values="macs")
    for a, b in itertools.permutations(names, 2):
        both = macs[[a, b]].dropna() if {a, b} <= set(macs.columns) else macs.iloc[:0]
        sizes = [int(size) for size in both.index]
        for low, high in itertools.pairwise(sizes):
            if both[a][low] < both[b][low] and both[a][high] >= both[b][high]:
                known = {size: (int(both[a][size]), int(both[b][size])) for size in (low, high)}
                yield [a, b, *_crossing(a, b, known, windows)]


def _crossing(a: str, b: str, known: dict[int, tuple[int, int]], windows: Windows) -> tuple[float, float]:
    """Size and GMACs; known: the multiply-adds of both at the two sizes that the crossing lies between."""
    low, high = known
    while high - low > STEP:
        middle = (low + high) // (2 * STEP) * STEP
        if middle <= low:
            break
        try:
            one, other = known[middle] = tuple(count(name, middle, windows)["macs"] for name in (a, b))
        except UnfitModelError:
            break
        low, high = (low, middle) if one >= other else (middle, high)
    (a_low, b_low), (a_high, b_high) = known[low], known[high]
    before, after = math.log(b_low / a_low), math.log(a_high / b_high)
    share = before / (before + after) if before + after else 0.5
    size = math.exp(math.log(low) + share * math.log(high / low))
    return size, math.exp(math.log(a_low) + share * math.log(a_high / a_low)) / 1e9


def _afforded(name: str, windows: Windows, limits: Limits, device: torch.device) -> Iterator[list[Any]]:
    """The largest size within each limit, in steps of 32 px up to 2,048: by doubling, then by halving."""
    for limit, most, value_of in (
        ("latency_ms", limits.latency_ms, milliseconds),
        ("memory_mb", limits.memory_mb, megabytes),
    ):
        if most is None:
            continue
        best: tuple[int | None, float | None] = (None, None)
        within, beyond = 0, LARGEST // STEP + 1
        while within + 1 < beyond:
            steps = min(max(1, 2 * within), (within + beyond) // 2)
            value = _value(name, steps * STEP, windows, device, value_of)
            if value is not None and value <= most:
                within, best = steps, (steps * STEP, value)
            else:
                beyond = steps
        yield [name, f"{limit} {most:g}", *best]


def _value(
    name: str, size: int, windows: Windows, device: torch.device, value_of: Callable[..., float]
) -> float | None:
    """Of a forward pass of one picture; None where the model does not run at the size."""
    try:
        return value_of(built(name, size, windows).to(device), size, 1, training=False)
    except UnfitModelError:
        return None
