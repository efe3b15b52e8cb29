"""A finished model as a folder that needs nothing but itself.

`config.json` and `model.safetensors` as timm writes them: `timm.create_model("local-dir:FOLDER",
pretrained=True)` gives bit-equal outputs without vitbench, class names and preprocessing included.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import load
from torch import nn
from torch.overrides import TorchFunctionMode

from vitbench import files
from vitbench.errors import VitbenchError, WeightsError
from vitbench.models.plan import preprocessing_from
from vitbench.models.tensors import check_safetensors
from vitbench.records import Fingerprints, PixelRange, Preprocessing
from vitbench.records.fingerprints import LEARNED_FROM, NOT_KNOWN

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
MAX_SIDE = 8192
"""Larger inputs, px, are no model's: such a config would turn each picture into gigabytes."""
UNBUILDABLE = (
    RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError,
    MemoryError,
)  # fmt: skip
"""What timm raises on a config that is not its own; RecursionError is a RuntimeError."""


@dataclass(frozen=True)
class LoadedModel:
    """A saved model, ready to answer."""

    module: nn.Module
    """In eval mode, on the CPU."""
    classes: tuple[str, ...]
    """In the order of the logits."""
    preprocessing: Preprocessing
    timm_name: str
    """With the tag of the weights that it was fine-tuned from, where there is one."""
    learned: Fingerprints = NOT_KNOWN
    """The pictures that it learned from or was chosen by."""


def save_model(
    model: nn.Module,
    folder: Path,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    learned: Fingerprints | None = None,
) -> None:
    """Write a model made by `create` to `folder`, in the place of what was there, whole or not at all.

    `learned`: the pictures that it learned from, so that whoever meets the model alone knows them again;
    None: not known.

    The arguments that shape it (img_size, window_size) are those that timm recorded when it was built.
    """
    from timm.models import save_for_hf

    with files.whole_folder(folder) as temporary:
        save_for_hf(
            model,
            str(temporary),
            model_config={"label_names": list(classes)},
            safe_serialization=True,
            data_config=preprocessing.timm_config(),
        )
        files.follow_umask(temporary / WEIGHTS_FILE)  # safetensors makes it for its owner alone
        config = files.read_json(temporary / CONFIG_FILE)
        if preprocessing.pixel_range is not None:  # beside timm's own, which take no further keys
            config["pixel_range"] = list(astuple(preprocessing.pixel_range))
        config["weights_crc32"] = zlib.crc32((temporary / WEIGHTS_FILE).read_bytes())
        files.write_json(temporary / CONFIG_FILE, config)
        if learned is not None:
            learned.write(temporary / LEARNED_FROM)


def load_model(folder: Path) -> LoadedModel:
    """The model saved in `folder`; bit-equal to timm's own `local-dir:` loading, and faster.

    A folder that is damaged, without class names or not a model's raises a one-line `WeightsError`.
    """
    config = _config(folder)
    classes = label_names(folder, config)
    if not classes:
        raise WeightsError(
            f"{folder}: its {CONFIG_FILE} names no classes (label_names); save the model with them"
        )
    file = folder / WEIGHTS_FILE
    if not file.exists():
        raise WeightsError(f"{folder}: has no {WEIGHTS_FILE}; vitbench opens safetensors only")
    check_safetensors(file)
    content = file.read_bytes()  # a copy: the file may be replaced while the model is in use
    if config.get("weights_crc32", zlib.crc32(content)) != zlib.crc32(content):
        raise WeightsError(
            f"{file}: its bytes changed since it was saved; copy it again from where it was made"
        )
    try:
        preprocessing = _sane(preprocessing_from(config["pretrained_cfg"]))
        preprocessing = replace(preprocessing, pixel_range=_pixel_range(config.get("pixel_range")))
        tensors = load(content)
        module = _empty(folder, largest=2 * len(tensors) + 100)
        module.load_state_dict(tensors, strict=True, assign=True)
    except UNBUILDABLE as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise WeightsError(f"{folder}: is not a model that timm can build ({reason[:150]})") from error
    if not (complete := _complete(classes, getattr(module, "num_classes", 0))):
        raise WeightsError(
            f"{folder}: has {len(classes)} class names for {getattr(module, 'num_classes', 0)} outputs"
        )
    tag = config["pretrained_cfg"].get("tag")
    name = f"{config['architecture']}.{tag}" if tag else str(config["architecture"])
    learned = Fingerprints.beside_model(folder)
    return LoadedModel(module.eval(), complete, preprocessing, name, learned)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = files.read_json(folder / CONFIG_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"{folder}: is no saved model (no {CONFIG_FILE} in it)") from error
    except (OSError, VitbenchError, RecursionError) as error:  # the last: brackets without end
        raise WeightsError(
            f"{folder / CONFIG_FILE}: not readable ({error}); copy the folder again"
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("pretrained_cfg"), dict):
        raise WeightsError(f"{folder}: its {CONFIG_FILE} is not one that timm writes")
    return config


def label_names(folder: Path, config: Mapping[str, Any]) -> dict[int, str]:
    """Output → class, from `label_names`: a list, or, as timm also has it, an object of indices to names.

    {} where it names none.
    """
    named = config.get("label_names") or config["pretrained_cfg"].get("label_names")
    pairs = named.items() if isinstance(named, dict) else enumerate(named if isinstance(named, list) else ())
    try:
        classes = {int(index): str(name) for index, name in pairs}
    except ValueError as error:
        raise WeightsError(
            f"{folder}: label_names in its {CONFIG_FILE} must be a list, or names by the number of their "
            f"output ({error}); mend it"
        ) from error
    if classes and len(set(classes.values())) < len(named):
        raise WeightsError(f"{folder}: its {CONFIG_FILE} names a class twice; copy the folder again")
    return dict(sorted(classes.items()))


def _complete(classes: Mapping[int, str], outputs: int) -> tuple[str, ...]:
    """The class of every output, "unnamed 3" where an object of names has a gap; () where they do not fit."""
    if set(classes) - set(range(outputs)) or (max(classes) == len(classes) - 1 and len(classes) < outputs):
        return ()
    return tuple(classes.get(index, f"unnamed {index}") for index in range(outputs))


def _sane(preprocessing: Preprocessing) -> Preprocessing:
    """A stranger's preprocessing, if it can be meant; else ValueError, before a picture becomes gigabytes."""
    numbers = (*preprocessing.mean, *preprocessing.std, preprocessing.crop_pct)
    if not (
        0 < preprocessing.size <= MAX_SIDE
        and 0.1 <= preprocessing.crop_pct <= 2  # 1.15 is timm's largest
        and all(math.isfinite(number) for number in numbers)
        and all(preprocessing.std)
        and preprocessing.interpolation.upper() in Image.Resampling.__members__
    ):
        raise ValueError("its preprocessing cannot be meant")
    return preprocessing


def _pixel_range(ends: Any) -> PixelRange | None:
    """What was black and white in pictures of more than 8 bits; ValueError if that cannot be meant."""
    if ends is None:
        return None
    low, high = (float(end) for end in ends)
    if not -math.inf < low < high < math.inf:
        raise ValueError("its pixel_range cannot be meant")
    return PixelRange(low, high)


def _empty(folder: Path, largest: int) -> nn.Module:
    """The network that the folder's config describes, its parameters not yet set.

    More than `largest` parameters, those counted that timm replaces while it builds, are a ValueError: a
    depth of a million would take hours.
    """
    import timm

    import vitbench.models.linear_bias  # noqa: F401  # timm then knows it

    made = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        made += 1
        if made > largest:
            raise ValueError("it describes a larger network than its weights are of")

    watching = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        with _ParametersLeftAlone():
            model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=False)
    finally:
        watching.remove()
    return model


class _ParametersLeftAlone(TorchFunctionMode):
    """Nothing is written into parameters: the file fills them, so initialising them is wasted time.

    Buffers are left as they are: many stand in no file (Swin's position indices).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")
        name = getattr(func, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        return target if in_place and isinstance(target, nn.Parameter) else func(*args, **kwargs)
