"""A model brought to an image size: which arguments, which windows, which preprocessing.

**The rule for windows.** At `native` a model keeps its own. At any stated size, 224 by default, a
Swin V2 gets the window that it would have at 224: its own times 224 / its native size, so 8 becomes 7
(what Swin V1 has) and 16 becomes 14. Where a stage's feature map is smaller than that, the window is
the map; maps that windows do not divide are padded by timm. So `swin` and `swinv2` have the same
windows, stage by stage, at every stated size. Swin V1 keeps its own window, for which its position
tables were learned; `swinv2-cr` derives its own (size / 32) and says so.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vitbench.errors import UsageError
from vitbench.models import families
from vitbench.models.families import Kind
from vitbench.records import Preprocessing

DEFAULT_SIZE = 224


@dataclass(frozen=True)
class ModelPlan:
    """One model at one image size, before any weight exists."""

    alias: str
    """What the user called it."""
    timm_name: str
    """With the tag of its weights, where it has any."""
    image_size: int
    model_args: dict[str, Any]
    """For `timm.create_model`: img_size, window_size; without num_classes. Not to be changed."""
    preprocessing: Preprocessing
    native_size: int
    windows: str
    """Attention windows per stage, verified on the built model: "7", "7,7,4,2"; "" without windows."""
    notes: tuple[str, ...]
    """What a table must say beside this model's numbers, each one line."""
    pretrained_on: str
    licence: str
    """Of the pretrained weights; "" where timm does not know."""
    kind: Kind
    linear_head: bool = True
    """Its classifier is a linear map of pooled features: it can be probed."""
    patch: int = 0
    """Side of the patches that it sees, px; 0: it has none."""
    distillation_token: bool = False
    """It has a second head that can learn from a teacher."""


@functools.cache
def plan_model(name: str, image_size: int | Literal["native"] | None, tag: str = "") -> ModelPlan:
    """How a model runs at an image size; None is 224 px. `tag`: of other weights than its default ones.

    Builds it once without memory (`meta`) and sends one picture through, so a size that it cannot
    take is a `UsageError` here, in one line.
    """
    timm_name = families.timm_name_of(families.expand([name])[0])
    if tag:
        timm_name = families.expand([f"{timm_name.partition('.')[0]}.{tag}"])[0]
    timm_name, config = _pretrained_config(timm_name)
    native = int(config["input_size"][1])
    size = native if image_size == "native" else image_size or DEFAULT_SIZE
    kind = _kind(timm_name)
    arguments = _arguments(timm_name, config, size, native if image_size == "native" else None)
    model = _built_on_meta(name, timm_name, arguments, size)
    windows = windows_of(model)
    return ModelPlan(
        alias=name,
        timm_name=timm_name,
        image_size=size,
        model_args=arguments,
        preprocessing=_preprocessing(config, size),
        native_size=native,
        windows=_in_words(windows),
        notes=_notes(kind, size, native, _in_words(windows), arguments.get("window_size")),
        pretrained_on=families.pretraining_in_words(timm_name.partition(".")[2]),
        licence=str(config.get("license") or ""),
        kind=kind,
        linear_head=_has_linear_head(model),
        patch=_patch(model),
        distillation_token=hasattr(model, "set_distilled_training"),
    )


def windows_of(model: Any) -> tuple[int, ...]:
    """The attention window of each stage of a Swin-like timm model; () for models without windows."""
    found = []
    for stage in getattr(model, "layers", None) or getattr(model, "stages", None) or ():
        size = getattr(next(iter(getattr(stage, "blocks", None) or ()), None), "window_size", None)
        if size is not None:
            found.append(int(size[0] if isinstance(size, Sequence) else size))
    return tuple(found)


def _pretrained_config(name: str) -> tuple[str, dict[str, Any]]:
    """The timm name with its tag, and timm's config of those weights."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name, allow_unregistered=False)
    if config is None:
        raise UsageError(f"timm has no settings for '{name}'; `vitbench models` lists what runs")
    base = name.partition(".")[0]
    return (f"{base}.{config.tag}" if config.tag else base), config.to_dict()


def _kind(timm_name: str) -> Kind:
    family = families.family_of(timm_name)
    if family is not None:
        return family.kind
    prefixes: tuple[tuple[str, Kind], ...] = (
        ("swinv2_cr", "swinv2-cr"),
        ("swinv2", "swinv2"),
        ("swin_", "swin"),
        ("deit", "deit"),
        ("vit_", "vit"),
        ("test_vit", "vit"),
    )
    for prefix, kind in prefixes:
        if timm_name.startswith(prefix):
            return kind
    return "other" if _has_fixed_input(timm_name) else "cnn"


def _has_fixed_input(timm_name: str) -> bool:
    return bool(_pretrained_config(timm_name)[1].get("fixed_input_size"))


def _arguments(timm_name: str, config: dict[str, Any], size: int, native: int | None) -> dict[str, Any]:
    """Arguments that bring a model to `size`; `native` is set where it stays as it was trained."""
    if not config.get("fixed_input_size"):
        return {}
    if native is not None:
        return {"img_size": size}
    if _kind(timm_name) != "swinv2":
        return {"img_size": size}
    own = _own_window(timm_name)
    return {"img_size": size, "window_size": max(1, round(own * 224 / int(config["input_size"][1])))}


@functools.cache
def _own_window(timm_name: str) -> int:
    """A Swin V2's window at its native size: the widest of its stages."""
    import timm
    import torch

    with torch.device("meta"):
        return max(windows_of(timm.create_model(timm_name.partition(".")[0])))


def _built_on_meta(name: str, timm_name: str, arguments: dict[str, Any], size: int) -> Any:
    """The model without memory, proven to take a picture of `size` px."""
    import timm
    import torch

    try:
        with torch.device("meta"), torch.no_grad():
            model = timm.create_model(timm_name, num_classes=2, **arguments).eval()
            _check_patches(model, name, size)
            _check_tensors(model, name)
            model(torch.empty(1, 3, size, size))
    except UsageError:
        raise
    except (AssertionError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise UsageError(
            f"{name} does not run at {size} px ({reason}); try --image-size 224 or native"
        ) from error
    return model


def _has_linear_head(model: Any) -> bool:
    from vitbench.models.create import linear_heads  # it needs torch, and this module

    try:
        linear_heads(model)
    except UsageError:
        return False
    return True


def _check_tensors(model: Any, name: str) -> None:
    """Refuse a network whose layers share parameters: safetensors cannot store them."""
    named = list(model.named_parameters(remove_duplicate=False))
    if len(named) != len(list(model.parameters())):
        raise UsageError(
            f"{name} shares parameters between layers, which safetensors cannot store; use another model"
        )


def _patch(model: Any) -> int:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    return int(patch[0] if isinstance(patch, Sequence) else patch) if patch is not None else 0


def _check_patches(model: Any, name: str, size: int) -> None:
    """Refuse a size that the patches do not divide: the rest of the picture would be cut off."""
    step = _patch(model) or 1
    if size % step:
        below = size // step * step
        near = f"{below} or {below + step}" if below else str(step)
        raise UsageError(f"{name} sees patches of {step} px, and {size} is no multiple of that; try {near}")


def _preprocessing(config: dict[str, Any], size: int) -> Preprocessing:
    from timm.data import resolve_data_config

    resolved = resolve_data_config(args={"input_size": (3, size, size)}, pretrained_cfg=config)
    return preprocessing_from(resolved)


def preprocessing_from(config: dict[str, Any]) -> Preprocessing:
    """The noun for a timm data config (input_size, mean, std, interpolation, crop_pct, crop_mode)."""
    mean, std = ([float(value) for value in config[key]] for key in ("mean", "std"))
    return Preprocessing(
        size=int(config["input_size"][1]),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=str(config["interpolation"]),
        crop_pct=float(config["crop_pct"]),
        crop_mode=str(config.get("crop_mode") or "center"),
    )


def _in_words(windows: tuple[int, ...]) -> str:
    """(7, 7, 4, 2) → "7,7,4,2"; (7, 7, 7, 7) → "7"."""
    shown = windows[:1] if len(set(windows)) == 1 else windows
    return ",".join(str(window) for window in shown)


def _notes(kind: Kind, size: int, native: int, windows: str, window: int | None) -> tuple[str, ...]:
    """`window` is the one that a Swin V2 was given, None where it keeps its own."""
    notes = []
    if kind == "swinv2" and window is not None:
        pair = "as Swin's" if window == 7 else f"{window / 7:.3g} times Swin's where the map is that large"
        notes.append(
            f"windows {windows}, its own scaled by 224 / {native}: {pair}; "
            "its position bias is interpolated to them (timm's default)"
        )
    elif kind == "swinv2-cr" and size != native:
        notes.append(f"windows {windows}: size / 32 by its own rule, not those of Swin at {size} px")
    elif kind == "swinv2":
        notes.append(f"windows {windows}: its own, not those of Swin V1")
    return tuple(notes)
