"""`--tune N`: which settings are tried for a run, and which of them val chooses.

Each try is a whole training with its own learning rate and strength of augmentation, so every model
gets the same budget, and the chosen one needs no further training. Test pictures play no part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.records import Augment, Epoch, Recipe

LR_FACTORS = (1.0, 1 / 3, 3.0)
"""In the order in which they are tried; a third of a decade is about what a recipe can be off by."""
OTHER_AUGMENT: dict[Augment, Augment] = {
    "none": "geometry",
    "geometry": "light",
    "masked": "geometry",
    "light": "geometry",
    "strong": "light",
    "deit": "strong",
}
COLUMNS = ("trial", "lr", "augment", "epoch", "val_top1", "val_loss", "status", "chosen")


def trials(recipe: Recipe, count: int, vary_augment: bool) -> tuple[Recipe, ...]:
    """The first `count` settings around a recipe, itself first; fewer where there are no more.

    The learning rate times 1, 1/3 and 3, and then the same with the neighbouring strength of
    augmentation, if that may change.
    """
    levels = (recipe.augment, OTHER_AUGMENT[recipe.augment]) if vary_augment else (recipe.augment,)
    found = [
        recipe.model_copy(
            update={"lr": recipe.lr * factor, "min_lr": recipe.min_lr * factor, "augment": level}
        )
        for level in levels
        for factor in LR_FACTORS
    ]
    return tuple(found[:count])


def choose(best: Sequence[Epoch | None]) -> int:
    """The place of the trial whose best epoch is best on val: top-1, then loss, then the earlier one.

    None stands for a trial that failed; at least one must not have.
    """

    def merit(place: int) -> tuple[float, float, int]:
        row = best[place]
        assert row is not None
        return (row.val_top1 or 0.0, -(row.val_loss or 0.0), -place)

    return max((place for place, row in enumerate(best) if row is not None), key=merit)


def write_trials(path: Path, recipes: Sequence[Recipe], best: Sequence[Epoch | None], chosen: int) -> None:
    """Write `tuning.csv`: a row per setting that was tried, with the epoch that val chose in it."""
    rows: list[dict[str, Any]] = []
    for place, (recipe, row) in enumerate(zip(recipes, best, strict=True)):
        said: dict[str, Any] = {"lr": recipe.lr, "augment": recipe.augment, "chosen": int(place == chosen)}
        if row is not None:
            said |= {"epoch": row.epoch, "val_top1": row.val_top1, "val_loss": row.val_loss}
        rows.append({"trial": place + 1, "status": "finished" if row else "failed", **said})
    files.write_csv(path, COLUMNS, rows)


def in_words(recipe: Recipe, count: int) -> str:
    """The note beside a tuned run's scores."""
    return (
        f"lr {recipe.lr:.2g} and augmentation {recipe.augment} were chosen on val "
        f"among {count} settings (tuning.csv)"
    )
