"""The rows of `vitbench models`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from vitbench.errors import UsageError, did_you_mean
from vitbench.models import families
from vitbench.models.families import FAMILIES

COLUMNS = (
    "model",
    "timm_name",
    "native_size",
    "params_m",
    "gmacs",
    "pretrained_on",
    "published_top1",
    "licence",
)
"""published_top1: ImageNet-1k percent in timm's tables, not measured here; None where we have none."""

MOST_MATCHES = 200
"""Names of timm that one pattern may count; building each takes up to a second."""


def models_table(
    max_params: float | None = None,
    max_gmacs: float | None = None,
    pattern: str | None = None,
    names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Rows (keys: `COLUMNS`) of the families, of these `names`, or of timm's that match a shell `pattern`.

    `max_params` in millions, `max_gmacs` in thousand million multiply-adds at the native size, both
    inclusive. For timm's names both are counted on networks without memory; None where one cannot be
    built or run so. At most `MOST_MATCHES` names are looked at, which the last row says if it cuts.
    """
    if names:
        rows = [row for name in families.expand(names) for row in _named_rows(name, max_params)]
    elif pattern is None:
        rows = [_family_row(family) for family in FAMILIES]
    else:
        rows = _timm_rows(pattern, max_params)
        if not rows:
            raise _no_match(pattern, pattern)
    return [row for row in rows if _within(row["params_m"], max_params) and _within(row["gmacs"], max_gmacs)]


def _no_match(said: str, pattern: str) -> UsageError:
    import timm

    kinds = {name.partition("_")[0] for name in timm.list_models(pretrained=True)}
    near = did_you_mean(pattern.strip("*?").partition("_")[0], kinds)
    return UsageError(f"{said}: matches no network of timm's that has weights{near}")


def _named_rows(name: str, max_params: float | None) -> list[dict[str, Any]]:
    """The row of an alias, or those of a timm name, one for each of its weights."""
    own = [_family_row(family) for family in FAMILIES if family.alias == name]
    return own or _timm_rows(name if "." in name else f"{name}.*", max_params)


def matches(pattern: str) -> list[str]:
    """timm's names with weights that match a shell pattern ("resnet*"), the default tag of each first.

    A plain word matches anywhere in the name.
    """
    import timm

    shell = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [str(name) for name in timm.list_models(shell, pretrained=True)]


def selected(
    names: Sequence[str],
    max_params: float | None = None,
    max_gmacs: float | None = None,
    image_size: int | Literal["native"] | None = None,
    on_event: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Models by name for `probe`, each once: aliases, timm names, "all", "tiny", shell patterns.

    "all" is every alias; "tiny" every network of timm's with weights and the word in its name; a pattern
    ("convnext_*") every one that it matches; each with timm's default weights. The limits, as in
    `models_table`, leave out what is larger; of what a word or a pattern named, networks that cannot take
    `image_size` or cannot be probed are left out too, with a line for each. UsageError where nothing is left.
    """
    found: dict[str, bool] = {}  # name → whether it was named itself
    for name in names:
        pattern = "*_tiny*" if name == "tiny" else name if any(c in name for c in "*?[") else ""
        many = [match.partition(".")[0] for match in matches(pattern)] if pattern else []
        if pattern and not many:
            raise _no_match(f"--models {name}", pattern)
        found |= {one: found.get(one, not pattern) for one in many or families.expand([name])}
    limited = max_params is not None or max_gmacs is not None
    kept = [name for name in found if not limited or _fits(name, max_params, max_gmacs)]
    kept = [name for name in kept if found[name] or _runs_at(name, image_size, on_event)]
    if not kept:
        raise UsageError("no model named is within --max-params and --max-gmacs; `vitbench models` has sizes")
    return kept


def _runs_at(name: str, image_size: int | Literal["native"] | None, on_event: Callable[[str], None]) -> bool:
    from vitbench.models.plan import plan_model

    try:
        linear = plan_model(name, image_size).linear_head
    except UsageError as error:
        on_event(f"left out: {error}")
        return False
    if not linear:
        on_event(f"left out: {name} has no linear classifier on pooled features")
    return linear


def _fits(name: str, max_params: float | None, max_gmacs: float | None) -> bool:
    family = families.family_of(name)
    params_m, gmacs = (
        (family.params_m, family.gmacs) if family else _counts(name.partition(".")[0], max_params)
    )
    return _within(params_m, max_params) and _within(gmacs, max_gmacs)


def _within(value: float | None, most: float | None) -> bool:
    return most is None or (value is not None and value <= most)


def _family_row(family: families.Family) -> dict[str, Any]:
    return {
        "model": family.alias,
        "timm_name": family.timm_name,
        "native_size": family.native_size,
        "params_m": family.params_m,
        "gmacs": family.gmacs,
        "pretrained_on": family.pretrained_on,
        "published_top1": family.published_top1,
        "licence": family.licence,
    }


def _timm_rows(pattern: str, max_params: float | None) -> list[dict[str, Any]]:
    counted: dict[str, tuple[float | None, float | None]] = {}
    rows = []
    for name in matches(pattern)[:MOST_MATCHES]:
        base = name.partition(".")[0]
        if base not in counted:
            counted[base] = _counts(base, max_params)
        rows.append(_timm_row(name, *counted[base]))
    return rows


def _timm_row(name: str, params_m: float | None, gmacs: float | None) -> dict[str, Any]:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    family = families.family_of(name)
    return {
        "model": family.alias if family else name,
        "timm_name": name,
        "native_size": int(config.input_size[1]),
        "params_m": params_m,
        "gmacs": gmacs,
        "pretrained_on": families.pretraining_in_words(name.partition(".")[2]),
        "published_top1": family.published_top1 if family else None,
        "licence": str(config.license or ""),
    }


def _counts(name: str, max_params: float | None) -> tuple[float | None, float | None]:
    """Millions of parameters and GMACs at the native size; no pass through what is too large anyway."""
    import timm
    import torch

    from vitbench.models.count import forward_gmacs
    from vitbench.models.meta import on_meta

    try:
        with on_meta(), torch.no_grad():
            model = timm.create_model(name).eval()
            params_m = sum(p.numel() for p in model.parameters()) / 1e6
            if not _within(params_m, max_params):
                return params_m, None
            gmacs = forward_gmacs(model, model.pretrained_cfg["input_size"][1])
    except (RuntimeError, NotImplementedError, AssertionError, TypeError, ValueError, AttributeError):
        return None, None  # some networks compute with real values while they are built
    return round(params_m, 3), round(gmacs, 3)
