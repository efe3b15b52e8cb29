"""Whether a network sees a picture to its last pixel: asked of its forward pass on `meta`."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class _Held:
    """A map that still holds some of the edge."""

    tensor: Tensor
    """(B, C, H, W); kept alive, so that its id stays its own."""
    first: int
    """The first of its rows with some of the edge in it."""
    scale: int
    """Pixels of the picture from one row to the next."""


class WatchingTheEdge(TorchFunctionMode):
    """Follows the last row of pixels through a forward pass: `with WatchingTheEdge(picture) as seen: …`.

    `seen.lost` then says whether it was cut off before anything but convolutions, pooling and what works
    on single places had read it: patches of 16 px cut one row off 225. Pictures are taken for square.
    """

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self._held: dict[int, _Held] = {id(picture): _Held(picture, picture.shape[-2] - 1, 1)}
        self._read = self._cut = False
        self.step = 1
        """Stride, in px of the picture, of what cut it off."""

    @property
    def patches(self) -> bool:
        """What cut it off were patches; else a convolution of stride 2 that ends one pixel before it."""
        return self.step > 2

    @property
    def lost(self) -> bool:
        return self._cut and not self._read

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        held = [self._held[id(one)] for one in _tensors((*args, *kwargs.values())) if id(one) in self._held]
        if held and isinstance(out, Tensor | tuple | list):
            for one in _tensors([out]):
                self._follow(func, one, min(held, key=lambda one: one.first), args, kwargs)
        return out

    def _follow(self, func: Any, out: Tensor, held: "_Held", args: Any, kwargs: Any) -> None:
        first, scale = held.first, held.scale
        if out.ndim != 4:
            self._read = True
            return
        sliding = _sliding(func, args, kwargs)
        if sliding is not None:
            kernel, stride, padding = sliding
            first, scale = max(0, -(-(first + padding - kernel + 1) // stride)), scale * stride
            if first >= out.shape[-2]:
                self._cut, self.step = True, max(self.step, scale)
                return
        elif getattr(func, "__name__", "") == "pad":
            sides = args[1] if len(args) > 1 else kwargs["pad"]
            first += sides[2] if len(sides) > 2 else 0
        elif out.shape[-2:] != held.tensor.shape[-2:]:
            self._read = True  # turned into tokens, pooled, resized: it is in there
            return
        self._held[id(out)] = _Held(out, first, scale)


def _sliding(func: Any, args: Any, kwargs: Any) -> tuple[int, int, int] | None:
    """(kernel, dilation counted in; stride; padding before the first row) of a convolution or pooling."""
    name = getattr(func, "__name__", "")
    if name == "conv2d":
        given = dict(zip(("input", "weight", "bias", "stride", "padding", "dilation"), args, strict=False))
        given |= kwargs
        kernel = _one(given.get("dilation", 1)) * (given["weight"].shape[2] - 1) + 1
        padding = given.get("padding", 0)
        same = {"valid": 0, "same": (kernel - 1) // 2}
        return kernel, _one(given.get("stride", 1)), same[padding] if padding in same else _one(padding)
    if name in ("max_pool2d", "avg_pool2d"):
        given = dict(zip(("input", "kernel_size", "stride", "padding"), args, strict=False)) | kwargs
        kernel = _one(given["kernel_size"])
        return kernel, _one(given.get("stride") or kernel), _one(given.get("padding", 0))
    return None


def _one(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple | list) else value)


def _tensors(values: Any) -> list[Tensor]:
    """The tensors among values, those in tuples and lists too."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [one for one in value if isinstance(one, Tensor)]
    return found
