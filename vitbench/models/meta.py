"""Networks on torch's `meta` device, where tensors have shapes and no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@contextmanager
def on_meta() -> Iterator[None]:
    """Inside, torch makes tensors on `meta`, and networks that are made get no first weights."""
    with torch.device("meta"), _ShapesOnly():
        yield


class _ShapesOnly(TorchFunctionMode):
    """Passes over what changes values alone and takes torch long on `meta`, where it does it in Python."""

    IN_PLACE = frozenset({Tensor.erfinv_, Tensor.clamp_})
    """Of timm's truncated normals: nine tenths of what making a network takes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.IN_PLACE and args[0].is_meta:
            return args[0]
        if func is functional.layer_norm and _fits(*args[:2]):
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


def _fits(values: Tensor, shape: Any = None) -> bool:
    """Whether values on `meta` end in the shape that is normalised; torch says what is wrong where not."""
    return shape is not None and values.is_meta and tuple(values.shape[-len(shape) :]) == tuple(shape)
