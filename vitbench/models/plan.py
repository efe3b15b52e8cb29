"""A model brought to an image size: which arguments, which windows, which preprocessing.

**The rule for windows.** At `native` a model keeps its own. At any stated size, 224 by default, a Swin
gets the window nearest to its own that divides the map of every stage, for timm mixes opposite borders of
the picture where one does not (`windows`): 7 at 224, 8 at 64 and 256, 6 at 96. Swin V2 and Swin V2-CR get
the one nearest to what they would have at 224, their own times 224 / their native size: 8 at 256 becomes
7, which is Swin's own, so `swin`, `swinv2` and `swinv2-cr` have the same windows, stage by stage, at every
stated size. Where no window fits, or maps are odd and padded before they are halved, a note says so.

**The rule for sizes.** The network is asked: it is built without memory and sent a picture.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from vitbench.errors import UnfitModelError, UsageError, first_line
from vitbench.models import families
from vitbench.models.families import Kind
from vitbench.records import Preprocessing

if TYPE_CHECKING:
    from vitbench.models.windows import Padding

DEFAULT_SIZE = 224
MOST_ASKED = 16
"""How many smaller, and larger, sizes a network is asked about at most."""


@dataclass(frozen=True)
class ModelPlan:
    """One model at one image size, before any weight exists."""

    alias: str
    """What the user called it."""
    timm_name: str
    """With the tag of its weights, where it has any."""
    image_size: int
    model_args: dict[str, Any] = field(hash=False)
    """For `timm.create_model`: img_size, window_size; without num_classes. Not to be changed."""
    preprocessing: Preprocessing
    native_size: int
    windows: str
    """Attention windows per stage, verified on the built model: "7", "8,8,4,2"; "" without windows."""
    padding: "Padding"
    """What windows or merged maps are padded with inside, seen on a forward pass."""
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


def plan_model(name: str, image_size: int | Literal["native"] | None, tag: str = "") -> ModelPlan:
    """How a model runs at an image size; None is 224 px. `tag`: of other weights than its default ones.

    Builds it once without memory (`meta`) and sends one picture through, so a size that it cannot take,
    or whose last pixels it would never see, is an `UnfitModelError` here: one line that names sizes near by
    with which the same was tried and went well.
    """
    found = _planned(name, image_size, tag)
    if isinstance(found, str):
        raise UnfitModelError(found)
    return found


@functools.cache
def _planned(name: str, image_size: int | Literal["native"] | None, tag: str) -> ModelPlan | str:
    """The plan, or why there is none; both are asked for again and again."""
    timm_name = families.timm_name_of(families.expand([name])[0])
    if tag:
        timm_name = families.expand([f"{timm_name.partition('.')[0]}.{tag}"])[0]
    timm_name, config = _pretrained_config(timm_name)
    native = int(config["input_size"][1])
    size = native if image_size == "native" else image_size or DEFAULT_SIZE
    arguments = _arguments(timm_name, config, size, native if image_size == "native" else None)
    seen = _look(timm_name, arguments, size)
    if seen.trouble:
        near = _sizes_that_run(timm_name, config, size, seen.step)
        hint = f"try --image-size {' or '.join(map(str, near))}" if near else "leave it out"
        return f"{name} {seen.trouble}; {hint}"
    return _plan_of(name, timm_name, size, arguments, seen)


def plan_as(timm_name: str, image_size: int, arguments: Mapping[str, Any]) -> ModelPlan:
    """How a network runs at a size when it is made with these very arguments; windows are not chosen.

    UnfitModelError, which names no other size, where it does not run so or would never see the last pixels.
    """
    found = _planned_as(timm_name, image_size, _Arguments(arguments))
    if isinstance(found, str):
        raise UnfitModelError(found)
    return found


class _Arguments(dict[str, Any]):
    """Equal where they make the same network; not to be changed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


@functools.cache
def _planned_as(timm_name: str, image_size: int, arguments: _Arguments) -> ModelPlan | str:
    name, _ = _pretrained_config(timm_name)
    seen = _look(name, arguments, image_size)
    if seen.trouble:
        return f"{timm_name} {seen.trouble}"
    return _plan_of(timm_name, name, image_size, dict(arguments), seen)


def _plan_of(name: str, timm_name: str, size: int, arguments: dict[str, Any], seen: "_Look") -> ModelPlan:
    from vitbench.models.windows import in_words, windows_of

    config = _pretrained_config(timm_name)[1]
    kind, model = _kind(timm_name), seen.model
    windows = in_words(windows_of(model))
    return ModelPlan(
        alias=name,
        timm_name=timm_name,
        image_size=size,
        model_args=arguments,
        preprocessing=_preprocessing(config, size),
        native_size=int(config["input_size"][1]),
        windows=windows,
        padding=seen.padding,
        notes=_notes(seen, kind, size, windows, arguments, timm_name),
        pretrained_on=families.pretraining_in_words(timm_name.partition(".")[2]),
        licence=str(config.get("license") or ""),
        kind=kind,
        linear_head=_has_linear_head(model),
        patch=_patch(model),
        distillation_token=hasattr(model, "set_distilled_training"),
    )


def _pretrained_config(name: str) -> tuple[str, dict[str, Any]]:
    """The timm name with its tag, and timm's config of those weights."""
    from timm.models import get_pretrained_cfg

    import vitbench.models.linear_bias  # noqa: F401  # timm then knows it

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
    from vitbench.models.windows import clean_window, stage_maps

    if not config.get("fixed_input_size"):
        return {}
    kind = _kind(timm_name)
    if native is not None or kind not in ("swin", "swinv2", "swinv2-cr"):
        return {"img_size": size}
    own, patch = _own_windows(timm_name)
    if kind != "swin":
        own = tuple(max(1, round(window * 224 / int(config["input_size"][1]))) for window in own)
    maps = stage_maps(size, patch, len(own))
    if not all(maps) or len(set(own)) == 1:
        return {"img_size": size, "window_size": clean_window(maps, own[0]) if all(maps) else own[0]}
    each = [clean_window([side], window) for side, window in zip(maps, own, strict=True)]
    return {"img_size": size, "window_size": each}


@functools.cache
def _own_windows(timm_name: str) -> tuple[tuple[int, ...], int]:
    """A Swin's windows at its native size, stage by stage, and its patch.

    A window that a small map cut short counts as wide as the widest.
    """
    import timm

    from vitbench.models.meta import on_meta
    from vitbench.models.windows import stage_maps, windows_of

    with on_meta():
        model = timm.create_model(timm_name.partition(".")[0])
    windows, patch = windows_of(model), _patch(model)
    maps = stage_maps(int(model.pretrained_cfg["input_size"][1]), patch, len(windows))
    widest = max(windows)
    return tuple(
        widest if window == side else window for window, side in zip(windows, maps, strict=True)
    ), patch


@dataclass(frozen=True)
class _Look:
    """What a network without memory shows of itself when it is sent a picture."""

    model: Any
    padding: "Padding"
    trouble: str = ""
    """Why it cannot be used at this size, to follow its name; "" if it can."""
    step: int = 16
    """Multiples of this are the sizes to ask about instead, px."""
    edge_lost: bool = False
    """A convolution without padding ends one pixel before the picture does; of no weight."""


def _look(timm_name: str, arguments: dict[str, Any], size: int) -> _Look:
    """Build the network without memory and send a picture of `size` px through."""
    import timm
    import torch

    from vitbench.models.meta import on_meta
    from vitbench.models.sight import WatchingTheEdge
    from vitbench.models.windows import Padding, WatchingWindows

    step, nothing = 16, Padding()
    try:
        with on_meta(), torch.no_grad():
            model = timm.create_model(timm_name, num_classes=2, **arguments).eval()
            step = _patch(model) or step
            if shared := _shares_tensors(model):
                return _Look(model, nothing, shared, 0)
            picture = torch.empty(1, 3, size, size)
            with WatchingWindows(model) as windows, WatchingTheEdge(picture) as edge:
                answer = model(picture)
    except Exception as error:  # noqa: BLE001  # each network of timm's refuses a size in its own way
        reason = first_line(error) if str(error).strip() else "its layers do not fit it"
        return _Look(None, nothing, f"does not run at {size} px ({reason})", step)
    if tuple(getattr(answer, "shape", ())) != (1, 2):
        return _Look(model, nothing, "is an encoder without a classifier", 0)
    if edge.lost and edge.patches:
        trouble = f"sees patches of {edge.step} px, and {size} is no multiple of that: it never sees the rest"
        return _Look(model, windows.padding, trouble, edge.step)
    return _Look(model, windows.padding, edge_lost=edge.lost)


def _sizes_that_run(timm_name: str, config: dict[str, Any], size: int, step: int) -> list[int]:
    """The nearest size below and above that the network takes whole and without padding, as it says itself.

    [] for a network that runs at none of those that are asked about.
    """
    if not step:
        return []
    native = int(config["input_size"][1])

    def runs(other: int) -> bool:
        seen = _look(timm_name, _arguments(timm_name, config, other, None), other)
        return not seen.trouble and not seen.padding.maps and not seen.padding.merged

    first = size // step * step
    below = (other for other in range(first, 0, -step) if other != size)
    above = range(first + step, max(2 * size, native) + 1, step)
    found = [next((one for one in _first_few(side) if runs(one)), None) for side in (below, above)]
    if found[native > size] is None and native != size and runs(native):
        found[native > size] = native
    return [one for one in found if one is not None]


def clean_sizes(plan: ModelPlan) -> list[int]:
    """The nearest size below and above a plan's own at which nothing is padded, px; [] for none near by."""
    config = _pretrained_config(plan.timm_name)[1]
    return _sizes_that_run(plan.timm_name, config, plan.image_size, plan.patch or 16)


def _first_few(sizes: Iterable[int]) -> Iterator[int]:
    return islice(sizes, MOST_ASKED)


def _has_linear_head(model: Any) -> bool:
    from vitbench.models.heads import linear_heads  # it needs torch

    try:
        linear_heads(model)
    except UsageError:
        return False
    return True


def _shares_tensors(model: Any) -> str:
    """Why a network whose layers share parameters is refused: safetensors cannot store them. "" else."""
    named = list(model.named_parameters(remove_duplicate=False))
    if len(named) == len(list(model.parameters())):
        return ""
    return "shares parameters between layers, which safetensors cannot store"


def _patch(model: Any) -> int:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    return int(patch[0] if isinstance(patch, Sequence) else patch) if patch is not None else 0


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


def _notes(
    seen: _Look, kind: Kind, size: int, windows: str, arguments: dict[str, Any], timm_name: str
) -> tuple[str, ...]:
    notes = []
    if "window_size" in arguments:
        notes += _window_notes(kind, windows, arguments["window_size"], timm_name)
    elif kind in ("swinv2", "swinv2-cr"):
        notes.append(f"windows {windows}: its own, not those of Swin V1")
    if getattr(seen.model, "linear_bias", False):
        notes.append("biases from linear-spaced offsets, which timm does not have: vitbench alone opens it")
    padding = seen.padding
    if padding.maps:
        side, window = padding.maps[0]
        mixed = (
            "; its shifted windows mix opposite borders of the picture (timm rolls before it pads)"
            if padding.shifted
            else ""
        )
        notes.append(
            f"windows of {window} do not divide a map of {side} × {side}: it is padded with zeros, which are "
            f"attended to{mixed}"
        )
    if padding.merged:
        notes.append(
            f"its map of {padding.merged[0]} × {padding.merged[0]} is odd and padded with zeros before it is "
            f"halved: the right and lower border are seen through them; at multiples of 32 px none is"
        )
    if seen.edge_lost:
        notes.append(f"its first convolution ends one pixel before the right and lower edge of {size} px")
    return tuple(notes)


_BIAS: dict[Kind, str] = {
    "swin": "a table, which timm interpolates to them when weights are loaded",
    "swinv2": "interpolated to them (timm's default)",
    "swinv2-cr": "computed for them",
}
"""What other windows than those of its training mean to a family."""


def _window_notes(kind: Kind, windows: str, window: int | list[int], timm_name: str) -> list[str]:
    own, _ = _own_windows(timm_name)
    if window in (own[0], list(own)):
        return []
    why = "the nearest to its own that divide every map"
    if kind != "swin":
        why = "the nearest to its own × 224 / its native size that divide every map"
    was = ",".join(str(one) for one in own) if len(set(own)) > 1 else str(own[0])
    return [f"windows {windows} (its own: {was}), {why}; its position bias is {_BIAS[kind]}"]
