"""What differs between the models beside the model, as notes."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from vitbench.comparison.arms import arm_word
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.nouns import Note
from vitbench.narrative.words import listed, named

ALIKE = {
    "epochs": "epochs",
    "per_class": "views per class",
    "augment": "augmentation",
    "flip": "mirroring",
    "batch_size": "batch size",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "repeats": "views side by side",
    "ema_decay": "moving average",
    "precision": "precision",
    "seed": "seeds",
}
"""Fields of `Recipe` that a fair comparison holds equal, in words."""


def budgets(comparison: Comparison) -> Iterator[Note]:
    """What the runs were trained with differently, beside the model."""
    for name, values in comparison.differing.items():
        who = "; ".join(f"{listed(models)}: {value}" for value, models in values.items())
        yield Note(
            f"Trained with different {ALIKE[name]} ({who}): a difference can come from that",
            f"Trained with different {ALIKE[name]}: a difference can come from that",
        )


def random_weights(comparison: Comparison) -> Iterator[Note]:
    """Models that began from nothing."""
    tested = comparison.tested
    random = [row.model for row in tested if row.from_scratch]
    if random:
        who = "All models" if len(random) == len(tested) > 1 else named(random)
        yield Note(
            f"{listed(random)}: trained from random weights, not from pretrained ones",
            f"{who} began from random weights: from pretrained ones the answer can be another",
        )


def pretraining(comparison: Comparison) -> Iterator[Note]:
    """What the models learned from before."""
    sources: dict[str, list[str]] = {}
    for row in comparison.tested:
        if not row.from_scratch and row.pretrained_on:
            sources.setdefault(row.pretrained_on, []).append(row.model)
    if len(sources) > 1:
        who = "; ".join(f"{listed(models)} on {source}" for source, models in sources.items())
        yield Note(
            f"Pretrained on different pictures ({who}): a difference can come from that",
            "Pretrained on different pictures: a difference can come from that",
        )


def off_size(comparison: Comparison) -> Iterator[Note]:
    """Models that do not see pictures of the size that they were made for."""
    tested = comparison.tested
    off = [row for row in tested if row.native_size and row.image_size not in (None, row.native_size)]
    if off:
        each = [f"{row.model} ({row.image_size} px, made for {row.native_size})" for row in off]
        sizes = listed([f"{size}" for size in sorted({row.image_size or 0 for row in off})])
        made = listed([f"{size}" for size in sorted({row.native_size or 0 for row in off})])
        who = "All models" if len(off) == len(tested) > 1 else named([row.model for row in off])
        yield Note(
            f"Not at the size that they were made for: {', '.join(each)}",
            f"{who} at {sizes} px, made for {made}: at that size the answer can be another",
        )


def unlike(comparison: Comparison) -> Iterator[Note]:
    """What else differs between the models beside the model."""
    tested = comparison.tested
    alone, costs = "not the model alone", "speeds, latencies and memory are not comparable"
    for what, told, so in (
        ("input size", lambda row: f"{row.image_size} px" if row.image_size else "", alone),
        ("recipe", lambda row: row.recipe, alone),
        ("device", lambda row: row.device, costs),
    ):
        values = _distinct(told(row) for row in tested)
        arms = _of_arms(tested, told)
        if arms and so == alone:
            yield Note(f"The arms differ in {what} ({arms}): part of what arm against arm compares")
        elif len(values) > 1:
            said = f"The models differ in {what} ({', '.join(values)}): {so}"
            yield Note(said, said if so == alone else "")


def masked(comparison: Comparison) -> Iterator[Note]:
    """What masked pre-training costs beside the epochs that all have."""
    begun = [row.model for row in comparison.tested if row.masked]
    if begun:
        yield Note(
            f"{listed(begun)}: masked pre-training came first; its epochs are not among those that rows "
            "share, nor its time in seconds per epoch"
        )


def _of_arms(tested: Sequence[Row], told: Callable[[Row], str]) -> str:
    """ "plain: finetune, distill: deit" where each arm has one value and two differ; else ""."""
    values: dict[str, set[str]] = {}
    for row in tested:
        values.setdefault(row.arm, set()).add(told(row))
    if any(len(of_arm) > 1 for of_arm in values.values()) or len(set().union(*values.values())) < 2:
        return ""
    return ", ".join(f"{arm_word(arm)}: {next(iter(one))}" for arm, one in values.items())


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(v for v in values if v))
