"""Checkpoints: what a killed run needs to go on, in safetensors and JSON, each with its sha256.

`checkpoint/epoch-0003.safetensors` holds the tensors after epoch 3, `epoch-0003.json` the rest; the
JSON is written last and names the tensors' sha256, so a checkpoint is whole or not there. A run that is
asked to stop inside epoch 4 leaves `epoch-0004-step-000012`, with what the epoch has added up to so far.
The last two are kept: a damaged newest one falls back to the one before. `best-0002.safetensors` holds the
chosen weights so far; its sha256 stands in the JSON too. No random state is stored: the loop derives
all randomness from (seed, epoch, step).
"""

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records import Epoch

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch or inside one, as read back."""

    rows: tuple[Epoch, ...]
    """The epochs that are done."""
    best_epoch: int
    """0: none is done."""
    best_sha256: str
    scaler: dict[str, Any]
    inside: dict[str, Any] | None
    """What the steps of the epoch after these rows have added up to; None: none was done."""
    tensors: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix.`, the prefix taken off."""
        start = f"{prefix}."
        return {name[len(start) :]: t for name, t in self.tensors.items() if name.startswith(start)}


def save(
    folder: Path,
    rows: tuple[Epoch, ...],
    best: tuple[int, str],
    tensors: bytes,
    scaler: Mapping[str, Any],
    inside: Mapping[str, Any] | None = None,
) -> None:
    """Write the checkpoint after `rows`, then drop what is older than the last two.

    `best`: the chosen epoch so far, and the sha256 of its weights' file. `tensors`: named "part.name", and
    packed. `inside`: what the next epoch's steps have added up to, `step` among it, where some are done.
    """
    folder.mkdir(exist_ok=True)
    # By name a step sorts behind the epoch before it, and before its own epoch's end.
    stem = f"epoch-{len(rows):04d}"
    if inside is not None:
        stem = f"epoch-{len(rows) + 1:04d}-step-{inside['step']:06d}"
    digest = write(folder / f"{stem}.safetensors", tensors)
    about = {
        "epoch": len(rows),
        "best_epoch": best[0],
        "best_sha256": best[1],
        "sha256": digest,
        "scaler": dict(scaler),
        "inside": None if inside is None else dict(inside),
        "rows": [asdict(row) for row in rows],
    }
    files.write_json(folder / f"{stem}.json", {**about, "digest": _digest(about)})
    _prune(folder)


def _digest(about: Mapping[str, Any]) -> str:
    """sha256 of what the JSON says, whatever its layout."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def load_newest(folder: Path, report: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None; damaged ones are reported and removed.

    OSError, nothing removed, where the system refuses to read one that may be whole.
    """
    damaged = False
    for path in sorted(folder.glob("epoch-*.json"), reverse=True):
        try:
            return _load(folder, path)
        except (OSError, ValueError, KeyError, TypeError, VitbenchError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.EIO):
                raise
            report(f"{path}: damaged ({error}); left out")
            damaged = True
            path.unlink(missing_ok=True)
            path.with_suffix(".safetensors").unlink(missing_ok=True)
    if damaged:
        report(f"{folder}: no checkpoint is whole; starting again at epoch 1")
    return None


def _load(folder: Path, path: Path) -> Checkpoint:
    about = files.read_json(path)
    if about.pop("digest") != _digest(about):
        raise VitbenchError("it does not have the sha256 that was written down")
    tensors = read_tensors(path.with_suffix(".safetensors"), about["sha256"])
    best = best_path(folder, about["best_epoch"])
    if about["best_epoch"] and files.sha256_of(best) != about["best_sha256"]:
        raise VitbenchError(f"{best.name} does not have the sha256 that was written down")
    rows = tuple(Epoch(**row) for row in about["rows"])
    inside = about.get("inside")
    return Checkpoint(rows, about["best_epoch"], about["best_sha256"], about["scaler"], inside, tensors)


def best_path(folder: Path, epoch: int) -> Path:
    """Where the weights of the chosen epoch lie."""
    return folder / f"best-{epoch:04d}.safetensors"


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """A copy of the tensors as they are now, as a safetensors file."""
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def write(path: Path, packed: bytes) -> str:
    """Write what `pack` gave, atomically; returns the sha256 of the file."""
    digest = hashlib.sha256(packed).hexdigest()
    files.write_bytes(path, packed)
    return digest


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors atomically as safetensors; returns the sha256 of the file."""
    return write(path, pack(tensors))


def read_tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; VitbenchError if its digest is another."""
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise VitbenchError(f"{path.name} does not have the sha256 that was written down")
    try:
        return dict(safetensors.torch.load(content))
    except safetensors.SafetensorError as error:
        raise VitbenchError(f"{path.name} is not whole: {error}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors: "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": t for index, named in state.items() for name, t in named.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; groups and learning rates stay as built.

    Each tensor takes the memory format of its parameter: the fused step walks both side by side.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, named_state in optimizer.state.items():
        for name, tensor in named_state.items():
            if torch.is_tensor(tensor) and tensor.shape == parameter.shape:
                named_state[name] = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def _prune(folder: Path) -> None:
    found = sorted(folder.glob("epoch-*.json"))
    for path in found[:-KEPT]:
        path.unlink()
        path.with_suffix(".safetensors").unlink(missing_ok=True)
    kept = {int(files.read_json(path)["best_epoch"]) for path in found[-KEPT:]}
    for path in folder.glob("best-*.safetensors"):
        if int(path.stem.removeprefix("best-")) not in kept:
            path.unlink()
    for path in folder.glob(".*.tmp"):  # left by a kill inside a write
        path.unlink()
