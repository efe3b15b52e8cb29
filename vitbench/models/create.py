"""Networks from plans: built, given their first weights, counted and digested."""

import contextlib
import functools
import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vitbench.errors import UsageError, WeightsError, first_line
from vitbench.models.count import forward_gmacs
from vitbench.models.initial import InitialWeights
from vitbench.models.meta import on_meta
from vitbench.models.plan import ModelPlan

NO_HEAD = -1
"""As a checkpoint's number of classes: never that of a model, so timm always leaves its head out."""


@dataclass
class _Mismatch:
    missing: list[str]
    unexpected: list[str]


def create(
    plan: ModelPlan,
    n_classes: int,
    weights: InitialWeights,
    seed: int,
    drop_path: float = 0.0,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """A network on the CPU, in train mode, with a head for `n_classes`, bit-equal for equal arguments.

    The head is new (timm's own initialisation under `seed`), except where the weights come from a
    saved folder with exactly these `classes`. The global random state is neither read nor changed.
    Weights that do not fit raise `WeightsError`: only head tensors may be missing or left over.
    """
    keep_head = classes is not None and len(classes) > 0 and tuple(classes) == weights.classes
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if weights.path is None:
            return _build(plan, n_classes, drop_path)
        overlay = {"file": str(weights.path), "num_classes": n_classes if keep_head else NO_HEAD}
        try:
            with _watching_the_load() as seen:
                model = _build(plan, n_classes, drop_path, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, OSError, ValueError, KeyError, AttributeError) as error:
            raise WeightsError(_does_not_fit(plan, weights, first_line(error))) from error
    _check_fit(plan, weights, seen, () if keep_head else _head_names(model))
    model.__dict__["pretrained_cfg"] = model.__dict__["default_cfg"] = _registered_config(plan)
    return model


def count_parameters(model: nn.Module) -> int:
    """Number of scalars in the parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


@functools.cache
def gmacs(plan: ModelPlan, n_classes: int) -> float:
    """Thousand million multiply-adds of one forward pass of one picture (FLOPs / 2).

    Counted by torch's `FlopCounterMode` on `meta`, where fused attention is seen too; matrix
    products, convolutions and attention only, as everywhere in the field.
    """
    with on_meta():
        model = _build(plan, n_classes, 0.0).eval()
    return forward_gmacs(model, plan.image_size)


def state_sha256(model: nn.Module) -> str:
    """Hex sha256 over the state dict: each name in sorted order, its dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
    return digest.hexdigest()


def _build(plan: ModelPlan, n_classes: int, drop_path: float, **more: Any) -> nn.Module:
    """The network with exactly this drop path: some families have one of their own (Swin .1) unless told."""
    import timm

    import vitbench.models.linear_bias  # noqa: F401  # timm then knows it

    arguments = {**plan.model_args, **more, "num_classes": n_classes}
    try:
        model: nn.Module = timm.create_model(plan.timm_name, drop_path_rate=drop_path, **arguments)
        return model
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        if drop_path:
            raise UsageError(f"{plan.alias} has no drop path; run it with --drop-path 0") from error
    without: nn.Module = timm.create_model(plan.timm_name, **arguments)
    return without


@contextlib.contextmanager
def _watching_the_load() -> Iterator[_Mismatch]:
    """Collect what timm's loader found missing and left over; timm itself only logs it."""
    from timm.models import _builder

    seen = _Mismatch([], [])
    original = _builder.load_pretrained

    def note(_: nn.Module, keys: Any) -> None:
        seen.missing.extend(keys.missing_keys)
        seen.unexpected.extend(keys.unexpected_keys)

    def watched(model: nn.Module, *arguments: Any, **options: Any) -> None:
        handle = model.register_load_state_dict_post_hook(note)  # type: ignore[no-untyped-call]
        try:
            original(model, *arguments, **options)
        finally:
            handle.remove()

    _builder.load_pretrained = watched
    logger = logging.getLogger(_builder.__name__)  # what it says of left over keys is judged by ours
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():  # of code that resizes tables, about itself
            warnings.filterwarnings("ignore", module=r"timm\.layers\.interpolate")
            yield seen
    finally:
        _builder.load_pretrained = original
        logger.setLevel(level)


def _check_fit(plan: ModelPlan, weights: InitialWeights, seen: _Mismatch, heads: tuple[str, ...]) -> None:
    """Only tensors of the `heads` may be missing; left over ones may stand in published files only."""
    missing = [key for key in seen.missing if not key.startswith(heads)]
    over = [key for key in seen.unexpected if not key.startswith(heads)]
    if missing:
        reason = f"{len(missing)} tensors are missing, the first is {missing[0]}"
        raise WeightsError(_does_not_fit(plan, weights, reason))
    if over and weights.origin.kind != "hub":
        reason = f"{len(over)} tensors are left over, the first is {over[0]}"
        raise WeightsError(_does_not_fit(plan, weights, reason))


def _head_names(model: Any) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors: "head.fc.", ("head.", "head_dist.")."""
    names = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _does_not_fit(plan: ModelPlan, weights: InitialWeights, reason: str) -> str:
    return f"{weights.path}: does not fit {plan.timm_name}: {reason}; give this model's own file"


def _registered_config(plan: ModelPlan) -> dict[str, Any]:
    """timm's config as registered, without the file that this run happened to load from."""
    from timm.models import get_pretrained_cfg

    return dict(get_pretrained_cfg(plan.timm_name).to_dict())
