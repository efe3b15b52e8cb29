"""The model families that vitbench knows by a short name; any other timm classifier goes by its own.

Adding a family is a row in `FAMILIES`, at the end of this file. Importing it needs neither torch nor
timm: the command line's help reads it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vitbench.errors import UsageError
from vitbench.models.names import near_names

Kind = Literal["vit", "deit", "swin", "swinv2", "swinv2-cr", "cnn", "other"]


@dataclass(frozen=True, slots=True)
class Family:
    """A transformer with a short name, and what is known about its default weights."""

    alias: str
    """What the user types: "swin"."""
    timm_name: str
    """With the tag of timm's default weights: "swin_tiny_patch4_window7_224.ms_in1k"."""
    kind: Kind
    title: str
    native_size: int
    """The size that the weights were trained at, px."""
    pretrained_on: str
    """In words: "IN-1k", "IN-21k → IN-1k"."""
    licence: str
    """Of the weights, as timm's own config states it."""
    params_m: float
    """Millions of parameters with 1000 classes."""
    gmacs: float
    """Thousand million multiply-adds at the native size, 1000 classes (`create.gmacs`)."""
    published_top1: float
    """ImageNet-1k top-1 in timm's results tables, percent: a reference, not measured here."""
    paper: str


def expand(names: Sequence[str]) -> list[str]:
    """Model names as given, in order, each once, with "all" in the place of every alias.

    A name is an alias or a timm name, with or without a tag. Unknown ones raise `UsageError` with
    near matches.
    """
    found: dict[str, None] = {}
    for name in names:
        for one in [family.alias for family in FAMILIES] if name == "all" else [name]:
            found[one] = None
    if not found:
        raise UsageError("no model named; `vitbench models` lists them")
    for name in found:
        if name not in BY_ALIAS:
            _check_timm_name(name)
    return list(found)


def timm_name_of(name: str) -> str:
    """The timm name behind an alias; any other name as it is."""
    return BY_ALIAS[name].timm_name if name in BY_ALIAS else name


def family_of(name: str) -> Family | None:
    """The family that an alias or a timm name (with or without its default tag) stands for."""
    for family in FAMILIES:
        if name in (family.alias, family.timm_name, family.timm_name.partition(".")[0]):
            return family
    return None


def pretraining_in_words(tag: str) -> str:
    """What timm's weights saw, from their tag: "augreg_in21k_ft_in1k" → "IN-21k → IN-1k".

    A tag that names no data set we know stands as it is; no tag is "no published weights".
    """
    if not tag:
        return "no published weights"
    return " → ".join(pretraining(tag)) or tag


def pretraining(tag: str) -> tuple[str, ...]:
    """The data sets that timm's weights saw, in order, from their tag; () where it names none we know."""
    seen = [_DATASETS[word] for word in re.split(r"[_.]", tag.lower()) if word in _DATASETS]
    return tuple(dict.fromkeys(seen))


@cache
def _timm_names(pattern: str = "", pretrained: bool = False) -> list[str]:
    """Those that timm lists; sorting a thousand names takes a while."""
    import timm

    import vitbench.models.linear_bias  # noqa: F401  # timm then knows it

    return [str(name) for name in timm.list_models(pattern, pretrained=pretrained)]


def _check_timm_name(name: str) -> None:
    base, _, tag = name.partition(".")
    known = _timm_names()
    if base not in known:
        if name.count("/") > 1 or name.startswith(("./", "../", "~")):  # a hub's name has one: google/vit-…
            raise UsageError(f"no model is called '{name}', and no saved model lies there; check the path")
        near = near_names(name, known, {family.alias: family.timm_name for family in FAMILIES})
        hint = f"did you mean {' or '.join(near)}?" if near else "`vitbench models` lists them"
        raise UsageError(f"no model is called '{name}'; {hint}")
    tags = [full.partition(".")[2] for full in _timm_names(f"{base}.*", pretrained=True)] if tag else []
    if tag and tag not in tags:
        raise UsageError(f"'{base}' has no weights tagged '{tag}'; it has {', '.join(tags) or 'none'}")


_DATASETS = {
    "in1k": "IN-1k",
    "in12k": "IN-12k",
    "in21k": "IN-21k",
    "in22k": "IN-22k",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "openai": "OpenAI CLIP",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "webli": "WebLI",
    "jft300m": "JFT-300M",
    "ig1b": "Instagram-1B",
    "yfcc100m": "YFCC-100M",
    "inat21": "iNaturalist-2021",
    "sa1b": "SA-1B",
    "m38m": "Merged-38M",
    "merged2b": "Merged-2B",
}

_VIT = "Dosovitskiy et al. 2021, arXiv:2010.11929; weights: Steiner et al. 2022, arXiv:2106.10270"
_DEIT = "Touvron et al. 2021, arXiv:2012.12877"
_SWIN = "Liu et al. 2021, arXiv:2103.14030"
_SWIN_V2 = "Liu et al. 2022, arXiv:2111.09883"

FAMILIES: tuple[Family, ...] = (
    Family(
        alias="vit",
        timm_name="vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        kind="vit",
        title="ViT-Tiny: patches as words, global attention",
        native_size=224,
        pretrained_on="IN-21k → IN-1k",
        licence="apache-2.0",
        params_m=5.717,
        gmacs=1.254,
        published_top1=75.45,
        paper=_VIT,
    ),
    Family(
        alias="deit",
        timm_name="deit_tiny_patch16_224.fb_in1k",
        kind="deit",
        title="DeiT-Tiny: the same network, trained on ImageNet-1k alone",
        native_size=224,
        pretrained_on="IN-1k",
        licence="apache-2.0",
        params_m=5.717,
        gmacs=1.254,
        published_top1=72.19,
        paper=_DEIT,
    ),
    Family(
        alias="deit-distilled",
        timm_name="deit_tiny_distilled_patch16_224.fb_in1k",
        kind="deit",
        title="DeiT-Tiny distilled: a second head that learned from a CNN",
        native_size=224,
        pretrained_on="IN-1k",
        licence="apache-2.0",
        params_m=5.911,
        gmacs=1.261,
        published_top1=74.54,
        paper=_DEIT,
    ),
    Family(
        alias="swin",
        timm_name="swin_tiny_patch4_window7_224.ms_in1k",
        kind="swin",
        title="Swin-Tiny: attention in shifted windows of 7",
        native_size=224,
        pretrained_on="IN-1k",
        licence="mit",
        params_m=28.288,
        gmacs=4.491,
        published_top1=81.39,
        paper=_SWIN,
    ),
    Family(
        alias="swinv2",
        timm_name="swinv2_tiny_window8_256.ms_in1k",
        kind="swinv2",
        title="Swin V2-Tiny: res-post-norm, cosine attention, log-spaced positions",
        native_size=256,
        pretrained_on="IN-1k",
        licence="mit",
        params_m=28.347,
        gmacs=5.940,
        published_top1=81.82,
        paper=_SWIN_V2,
    ),
    Family(
        alias="swinv2-w16",
        timm_name="swinv2_tiny_window16_256.ms_in1k",
        kind="swinv2",
        title="Swin V2-Tiny with windows twice as wide",
        native_size=256,
        pretrained_on="IN-1k",
        licence="mit",
        params_m=28.347,
        gmacs=6.661,
        published_top1=82.83,
        paper=_SWIN_V2,
    ),
    Family(
        alias="swinv2-cr",
        timm_name="swinv2_cr_tiny_ns_224.sw_in1k",
        kind="swinv2-cr",
        title="Swin V2-Tiny, an independent implementation (Christoph Reich)",
        native_size=224,
        pretrained_on="IN-1k",
        licence="apache-2.0",
        params_m=28.333,
        gmacs=4.640,
        published_top1=81.80,
        paper=_SWIN_V2,
    ),
)

BY_ALIAS = {family.alias: family for family in FAMILIES}
