"""One graph from pixels to probabilities, and how it becomes a file."""

import contextlib
import ctypes
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vitbench import files
from vitbench.errors import VitbenchError, first_line
from vitbench.models.exported import BY_FOLD, PIXELS, PROBABILITIES, description, library
from vitbench.models.folder import UNBUILDABLE, LoadedModel

Kind = Literal["onnx", "pt2"]
ONNX_PARTS = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 2**24
"""Bytes of weights: an ONNX file, which is one protobuf message, holds 2 GiB in all."""


class Graph(nn.Module):
    """One model, or those of several folds, as a graph that takes pixels.

    uint8 (B, S, S, 3), RGB as Pillow gives it → float32 (B, C) probabilities; of several models their mean,
    and beside it (B, models, C).
    """

    def __init__(self, models: Sequence[LoadedModel]) -> None:
        super().__init__()
        first = models[0]
        if len({(one.preprocessing, one.classes) for one in models}) > 1:
            raise VitbenchError("the models of its folds take pictures in different ways; export one fold")
        self.networks = nn.ModuleList([one.module for one in models])
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(first.preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(first.preprocessing.std).view(1, 3, 1, 1))
        self.size = first.preprocessing.size

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        inputs = (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std  # (B, 3, S, S)
        each: list[Tensor] = [network(inputs).float().softmax(dim=1) for network in self.networks]
        if len(each) == 1:
            return each[0]
        together = torch.stack(each, dim=1)
        return together.mean(dim=1), together

    @property
    def outputs(self) -> list[str]:
        """The names of what comes out."""
        return [PROBABILITIES] if len(self.networks) == 1 else [PROBABILITIES, BY_FOLD]

    def example(self) -> Tensor:
        """Two pictures of noise: exporters take a batch of one for a constant."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (2, self.size, self.size, 3), dtype=torch.uint8, generator=generator)


def needed(kind: Kind) -> None:
    """UsageError, before any work, where a package is not installed that such a file needs."""
    for name in ONNX_PARTS if kind == "onnx" else ():
        library(name)


def write_graph(models: Sequence[LoadedModel], kind: Kind, file: Path) -> None:
    """Write a graph of the models with all its weights as one file.

    Raises VitbenchError, one line, for a network that cannot be exported.
    """
    graph = Graph(models)
    about = description(models)
    try:
        with _unfused(graph.eval()), quiet(), torch.no_grad():
            content = _onnx(graph, about) if kind == "onnx" else _pt2(graph, about)
    except UNBUILDABLE as error:
        cause = error.__cause__ or error
        way_on = "; --to pt2 may do" if kind == "onnx" else ""
        raise VitbenchError(
            f"{models[0].timm_name}: cannot be exported to {kind} ({first_line(cause)}){way_on}"
        ) from error
    files.write_bytes(file, content)


def _onnx(graph: Graph, about: dict[str, str]) -> bytes:
    """By torch's exporter on `torch.export`."""
    size = sum(one.numel() * one.element_size() for one in graph.state_dict().values())
    if size > LARGEST:
        raise ValueError(f"{size / 1e9:.1f} GB of weights, and an ONNX file holds 2 GB")
    program = torch.onnx.export(
        graph,
        (graph.example(),),
        dynamo=True,
        verbose=False,  # it would print its progress among the results
        external_data=False,  # one file
        input_names=[PIXELS],
        output_names=graph.outputs,
        dynamic_shapes={PIXELS: {0: torch.export.Dim("batch")}},
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the paths of this machine
        node.doc_string = None
    program.model.metadata_props.update(about)
    return bytes(program.model_proto.SerializeToString())


def _pt2(graph: Graph, about: dict[str, str]) -> bytes:
    shapes = {PIXELS: {0: torch.export.Dim("batch")}}
    program = torch.export.export(graph, (graph.example(),), dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{name}.json": text for name, text in about.items()})
    return buffer.getvalue()


@contextlib.contextmanager
def _unfused(graph: nn.Module) -> Iterator[None]:
    """Inside, attention is written out: of Swin's fused one, with its mask, the exporter makes nothing."""
    fused: list[Any] = [one for one in graph.modules() if getattr(one, "fused_attn", False) is True]
    try:
        for one in fused:
            one.fused_attn = False
        yield
    finally:
        for one in fused:
            one.fused_attn = True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing that exporters print, warn of or log is seen, nor what C libraries write to stdout.

    stdout has results only.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with _closed(1), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _closed(stream: int) -> Iterator[None]:
    """Inside, what is written to a file descriptor goes nowhere; to one that is not open, as before."""
    try:
        kept = os.dup(stream)
    except OSError:
        yield
        return
    try:
        _write_out()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream)
        os.close(nothing)
        yield
    finally:
        _write_out()  # C keeps what is printed until its buffer is full, into whatever is there then
        os.dup2(kept, stream)
        os.close(kept)


def _write_out() -> None:
    """What Python and C still hold for stdout is written."""
    if sys.stdout is not None:
        sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
