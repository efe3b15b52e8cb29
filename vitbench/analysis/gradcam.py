"""Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) for every network that ends in a map or in patches.

The map is what `forward_features` gives, channels first or last. Where the answer is read from a class token,
patches have no gradient there any more, and the map would be black: it is taken before the last block's
attention then, behind `norm1`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vitbench.analysis.layout import class_rows, empty
from vitbench.analysis.looking import looking
from vitbench.analysis.nouns import Subject

NO_HEAD = "names no classes: its head was never trained"


def gradcam(subject: Subject, batch: Tensor, classes: Tensor) -> Tensor:
    """(B, rows, columns) ≥ 0: what speaks for `classes` (B,), the network's outputs, picture by picture."""
    model: Any = subject.module
    with looking(model) as handles, torch.enable_grad():
        if class_rows(model):
            features: list[Tensor] = []
            handles.append(model.blocks[-1].norm1.register_forward_hook(_leaf_into(features)))
            logits = model(batch)
            leaf = features[0]
        else:
            leaf = model.forward_features(batch).detach().requires_grad_()
            logits = model.forward_head(leaf)
        (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), leaf)
        values, slopes = (_on_map(model, one.detach()) for one in (leaf, gradient))
    return (values * slopes.mean((1, 2), keepdim=True)).sum(-1).relu()


def _leaf_into(kept: list[Tensor]) -> Any:
    def hook(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    return hook


def _on_map(model: Any, values: Tensor) -> Tensor:
    """(B, rows, columns, channels) of features or their gradient; ValueError where they are no map."""
    if values.ndim == 3:
        prefix = getattr(model, "num_prefix_tokens", 0)
        rows, columns = getattr(getattr(model, "patch_embed", None), "grid_size", None) or (0, 0)
        if values.shape[1] != prefix + rows * columns:
            raise ValueError("ends in tokens whose places in the picture are not known")
        return values[:, prefix:].reshape(len(values), rows, columns, -1)
    if values.ndim != 4:
        raise ValueError("ends in features that are no map")
    last = values.shape[-1] == model.num_features != values.shape[1]
    return values if last or getattr(model, "output_fmt", "") == "NHWC" else values.permute(0, 2, 3, 1)


def why_not(subject: Subject) -> str:
    """ "" where there is such a map and a head that names classes, else the reason why not."""
    if not subject.classes:
        return NO_HEAD
    try:
        gradcam(subject, empty(subject), torch.zeros(1, dtype=torch.int64, device=empty(subject).device))
    except (ValueError, AttributeError, TypeError, RuntimeError) as error:
        return f"has no map for Grad-CAM ({str(error).splitlines()[0][:100]})"
    return ""
