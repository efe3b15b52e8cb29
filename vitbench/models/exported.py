"""Exported models: what an ONNX file says of itself, and its answers by onnxruntime.

Pixels go in as a picture has them, probabilities come out: scaling, normalisation and softmax are in the
graph. Only resizing and cropping stay outside, and how they are done stands in the file.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vitbench import files
from vitbench.errors import UsageError, WeightsError, first_line
from vitbench.models.folder import MAX_SIDE, LoadedModel
from vitbench.records import Array, Fingerprints, PixelRange, Preprocessing
from vitbench.records.fingerprints import NOT_KNOWN

PIXELS, PROBABILITIES, BY_FOLD = "pixels", "probabilities", "by_fold"
"""What goes in, uint8 (B, S, S, 3) RGB; what comes out, float32 (B, C); of folds also (B, folds, C)."""
ONNX = ".onnx"
INSTALL = "pip install 'vitbench[onnx]'"


def library(name: str) -> Any:
    """A package of the extra `onnx`; UsageError with what installs it where it is not there."""
    try:
        module = import_module(name)
    except ImportError as error:
        raise UsageError(f"ONNX: needs {name}, which is not installed; {INSTALL}") from error
    if getattr(module, "__file__", None) is None:  # a folder of that name is imported as if it were one
        raise UsageError(f"ONNX: needs {name}, and only a folder of that name is here; {INSTALL}")
    return module


def description(models: Sequence[LoadedModel]) -> dict[str, str]:
    """What stands in an exported file beside its graph: texts, each the JSON of a value.

    `resize` as `resized` has it; with crop_mode "squash" both sides are brought to it.
    """
    first = models[0]
    way = first.preprocessing
    about = {
        "classes": list(first.classes),
        "image_size": way.size,
        "resize": resized(way),
        **{name: value for name, value in dataclasses.asdict(way).items() if name != "size"},
        "pixel_range": way.pixel_range and list(dataclasses.astuple(way.pixel_range)),
        "timm_name": first.timm_name,
        "models": len(models),
        "vitbench": version("vitbench"),
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()}


def resized(way: Preprocessing) -> int:
    """The length, px, that the shorter side of a picture is brought to before the middle is cut out."""
    return math.floor(way.size / way.crop_pct)


@dataclass(frozen=True)
class ExportedModel:
    """An ONNX file that `vitbench export` wrote, ready to answer on the CPU."""

    file: Path
    classes: tuple[str, ...]
    """In the order of the probabilities."""
    preprocessing: Preprocessing
    timm_name: str
    session: Any
    """onnxruntime's."""
    learned: Fingerprints = NOT_KNOWN

    def answers(self, pixels: Array) -> tuple[Array, Array | None]:
        """(B, C) and, of several folds' models, (B, folds, C) float64 of uint8 (B, S, S, 3)."""
        names = [one.name for one in self.session.get_outputs()]
        found = dict(zip(names, self.session.run(None, {PIXELS: pixels}), strict=True))
        parts = found.get(BY_FOLD)
        return found[PROBABILITIES].astype(np.float64), None if parts is None else parts.astype(np.float64)


def is_exported(path: Path) -> bool:
    """Whether a path names an ONNX file, or a folder with one that `export` wrote."""
    return files.is_there(_file(path)) and _file(path).suffix.lower() == ONNX


def _file(path: Path) -> Path:
    """The model in a folder that `export` wrote; else the path itself."""
    inside = path / f"model{ONNX}"
    return inside if files.is_there(inside) else path


def open_exported(path: Path, threads: int | None = None) -> ExportedModel:
    """The exported model in a file, or in the folder that `export` wrote.

    threads: of its arithmetic; None: as many as torch has here. Raises `WeightsError`, one line, for a file
    that is damaged or does not say how it takes pictures, UsageError where onnxruntime is not installed.
    """
    import torch

    runtime = library("onnxruntime")
    file = _file(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 4  # what it cannot do it raises
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        reason = first_line(error).rpartition(" : ")[2]
        raise WeightsError(f"{file}: is no ONNX model that onnxruntime can open ({reason})") from error
    about = session.get_modelmeta().custom_metadata_map
    try:
        told = {name: json.loads(about[name]) for name in ("classes", "timm_name")}
        return ExportedModel(
            file, tuple(map(str, told["classes"])), _preprocessing(about), str(told["timm_name"]), session
        )
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{file}: does not say its classes and how it takes pictures; what `vitbench export` writes does"
        ) from error


def _preprocessing(about: Mapping[str, str]) -> Preprocessing:
    """How a file takes pictures; KeyError, ValueError or TypeError where it does not say."""
    told = {
        name: json.loads(about[name]) for name in ("mean", "std", "interpolation", "crop_pct", "crop_mode")
    }
    size, ends = int(json.loads(about["image_size"])), json.loads(about["pixel_range"])
    if not (0 < size <= MAX_SIDE and 0.1 <= told["crop_pct"] <= 2):
        raise ValueError("its preprocessing cannot be meant")
    return Preprocessing(
        size=size,
        mean=tuple(map(float, told["mean"])),  # type: ignore[arg-type]
        std=tuple(map(float, told["std"])),  # type: ignore[arg-type]
        interpolation=str(told["interpolation"]),
        crop_pct=float(told["crop_pct"]),
        crop_mode=str(told["crop_mode"]),
        pixel_range=PixelRange(*map(float, ends)) if ends else None,
    )


def _errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises on files: each a class of its own, of no common base."""
    state = library("onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (*kinds, RuntimeError, ValueError)
