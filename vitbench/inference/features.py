"""Frozen features: what a network's classifier sees of each picture, computed once and kept.

They stand in a cache folder, one file per network, weights and preprocessing, and are found again by
the content of a picture. Deleting the folder costs time, nothing else.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitbench import files
from vitbench.data.batches import eval_batches
from vitbench.data.cache import cache_folder
from vitbench.data.store import open_store
from vitbench.errors import RunFailedError
from vitbench.inference.forward import answering
from vitbench.models.heads import linear_heads
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import ModelPlan
from vitbench.records import Array, Machine, Picture, PixelRange, Preprocessing

Rows = Mapping[str, Array]
"""Features (D,) float32 of pictures, by the sha256 of their content."""


def feature_key(
    plan: ModelPlan,
    weights: InitialWeights,
    seed: int,
    n_classes: int,
    pixel_range: PixelRange | None = None,
) -> str:
    """Hex sha256 of all that decides a picture's features, but for the picture and the device.

    Seed and classes count for random weights only, whose random numbers the head draws from too;
    `pixel_range` only where there are pictures of more than 8 bits.
    """
    first: object = [seed, n_classes]
    if weights.path is not None:
        first = weights.origin.sha256 or files.sha256_of(weights.path)
    decides = {
        "model": plan.timm_name,
        "arguments": plan.model_args,
        "preprocessing": plan.preprocessing.timm_config(),
        "weights": first,
        "timm": version("timm"),
        "torch": ".".join(torch.__version__.split(".")[:2]),
        **({"pixel_range": astuple(pixel_range)} if pixel_range else {}),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def features_of(
    model: nn.Module | Callable[[], nn.Module],
    key: str,
    root: Path,
    pictures: Sequence[Picture],
    preprocessing: Preprocessing,
    machine: Machine,
    on_progress: Callable[[int, int], None] | None = None,
    on_event: Callable[[str], None] = lambda _: None,
) -> Array:
    """(N, D) float32: the input of the model's classifier for each of N ≥ 1 pictures, in their order.

    Evaluation mode, fp32, timm's evaluation transform. `key` is the model's `feature_key`; what the
    store holds under it is not computed again, and a `model` that is a function is called only where
    something is lacking. The model stands on `machine.device` and is left there in evaluation mode.
    `on_progress(done, total)` counts the pictures that are computed. `on_event` gets a line where the
    features cannot be kept. Raises `UsageError` for a network without a linear classifier,
    `RunFailedError` where features are not finite, `VitbenchError` naming a file that is gone or changed.
    """
    device = torch.device(machine.device)
    path = _place(key, device)
    rows = _stored(path)
    lacking = {p.sha256: p for p in pictures if p.sha256 not in rows}
    if lacking:
        network = model if isinstance(model, nn.Module) else model()
        linear_heads(network)
        ordered = tuple(lacking.values())
        store = open_store(machine.store)
        batches = eval_batches(
            root, ordered, preprocessing, machine.eval_batch, machine.workers, store=store, device=device
        )
        table = _computed(network, batches, device, len(ordered), on_progress)
        # Kept as a whole or not at all, and what is there stays as it is: a run that is killed and
        # resumed reads the features that it started from, or computes all of them in the same batches.
        kept, found = _stored(path), dict(zip(lacking, table, strict=True))
        rows = {**kept, **found, **kept}  # new ones at the end
        _keep(path, rows, on_event)
    return np.stack([rows[p.sha256] for p in pictures])


def stored_contents(key: str, device: str) -> frozenset[str]:
    """sha256 of the pictures whose features the store holds for a model's `feature_key` and a device."""
    return frozenset(_stored(_place(key, torch.device(device))))


def store_folder() -> Path:
    """Where features are kept."""
    return cache_folder() / "features"


def _computed(
    model: nn.Module,
    batches: Iterable[Tensor],
    device: torch.device,
    total: int,
    on_progress: Callable[[int, int], None] | None,
) -> Array:
    """(N, D) float32 features over batches (B, 3, S, S) of normalised pictures."""
    found: list[Array] = []
    done = 0
    with answering(model):
        for batch in batches:
            maps = model.forward_features(batch.to(device, non_blocking=True))  # type: ignore[operator]
            pooled = model.forward_head(maps, pre_logits=True)  # type: ignore[operator]
            found.append(pooled.flatten(1).float().cpu().numpy())
            done += len(batch)
            if on_progress is not None:
                on_progress(done, total)
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise RunFailedError("its features are not finite numbers; the weights may be damaged")
    return features


# --- the store ------------------------------------------------------------------------------------


def _place(key: str, device: torch.device) -> Path:
    return store_folder() / f"{key}-{device.type}.safetensors"  # devices differ in the last bits


def _stored(path: Path) -> dict[str, Array]:
    """What a store file holds; {} where it is not there or damaged, for it can be computed again."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            digest = (file.metadata() or {}).get("sha256")
            contents, features = file.get_tensor("sha256"), file.get_tensor("features")
    except (SafetensorError, OSError):
        return {}
    if digest != _digest(contents, features):
        return {}
    return {content.tobytes().hex(): row for content, row in zip(contents, features, strict=True)}


def _keep(path: Path, rows: Rows, on_event: Callable[[str], None]) -> None:
    """Replace the store file, or say why not. Of two processes the last one wins; neither does harm."""
    from safetensors.numpy import save

    contents = np.frombuffer(bytes.fromhex("".join(rows)), dtype=np.uint8).reshape(-1, 32)
    features = np.stack(list(rows.values()))
    tensors = {"sha256": contents, "features": features}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, save(tensors, metadata={"sha256": _digest(contents, features)}))
    except OSError as error:
        reason = error.strerror or error
        on_event(f"{path.parent}: features cannot be kept ({reason}); set VITBENCH_CACHE to a folder")


def _digest(contents: Array, features: Array) -> str:
    """Hex sha256 over both tables; safetensors itself has no checksum."""
    return hashlib.sha256(contents.tobytes() + features.tobytes()).hexdigest()
