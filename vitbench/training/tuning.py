"""`--tune N`: which settings are tried for a run, and which of them val chooses.

Each try is a whole training with its own learning rate and strength of augmentation, so every model
gets the same budget, and the chosen one needs no further training. Test pictures play no part.
"""

from collections.abc import Sequence
from pathlib import Path

from vitbench import files
from vitbench.records import Augment, Epoch, Recipe, best_epoch

LR_FACTORS = (1.0, 1 / 3, 3.0)
"""In the order in which they are tried; a third of a decade is about what a recipe can be off by."""
OTHER_AUGMENT: dict[Augment, Augment] = {
    "none": "geometry",
    "geometry": "light",
    "light": "geometry",
    "strong": "light",
}
MOST = {True: len(LR_FACTORS) * 2, False: len(LR_FACTORS)}
"""How many settings there are, by whether the augmentation may change."""
COLUMNS = ("trial", "lr", "augment", "epoch", "val_top1", "val_loss", "seconds", "chosen")


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


def choose(best: Sequence[Epoch]) -> int:
    """The place of the trial whose best epoch is best on val: top-1, then loss, then the earlier one."""
    return max(range(len(best)), key=lambda i: (best[i].val_top1 or 0.0, -(best[i].val_loss or 0.0), -i))


def write_trials(path: Path, recipes: Sequence[Recipe], rows: Sequence[Sequence[Epoch]], chosen: int) -> None:
    """Write `tuning.csv`: a row per setting that was tried, with the epoch that val chose in it."""
    table = []
    for place, (recipe, epochs) in enumerate(zip(recipes, rows, strict=True)):
        best = best_epoch(epochs)
        table.append(
            {
                "trial": place + 1,
                "lr": recipe.lr,
                "augment": recipe.augment,
                "epoch": best.epoch,
                "val_top1": best.val_top1,
                "val_loss": best.val_loss,
                "seconds": sum(row.seconds for row in epochs),
                "chosen": int(place == chosen),
            }
        )
    files.write_csv(path, COLUMNS, table)


def in_words(recipe: Recipe, count: int) -> str:
    """The note beside a tuned run's scores."""
    return (
        f"lr {recipe.lr:.2g} and augmentation {recipe.augment} were chosen on val "
        f"among {count} settings (tuning.csv)"
    )
