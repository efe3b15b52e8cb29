"""Learning from labels: cross-entropy, and the mixing of pictures."""

import torch
from timm.data import Mixup
from timm.data.mixup import mixup_target
from torch import Tensor, nn

from vitbench.models.folder import LoadedModel
from vitbench.records import Recipe
from vitbench.training.objectives.objective import Objective


def by_labels(recipe: Recipe) -> nn.Module:
    """Cross-entropy with the recipe's label smoothing; mixup smooths its soft targets itself."""
    return nn.CrossEntropyLoss(
        label_smoothing=0.0 if recipe.mixup or recipe.cutmix else recipe.label_smoothing
    )


class Supervised(Objective):
    """Cross-entropy with label smoothing on class indices, or on the soft targets of mixup/cutmix."""

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: LoadedModel | None = None) -> None:
        super().__init__(model, recipe)
        self.criterion = by_labels(recipe)

    def forward(self, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """pixels (B, 3, H, W) in [0, 1]; targets (B,) int64 or (B, C) probabilities.

        Returns "loss", a scalar mean over the batch, and "output", logits (B, C).
        """
        logits = self.model(self.normalise(pixels))
        return {"loss": self.criterion(logits, targets), "output": logits}


class MixPictures:
    """timm's mixup and cutmix on a global batch, for batches of any length.

    timm asserts on an odd batch; its last picture is passed on unmixed, with a smoothed target.
    Draws from NumPy's global generator, which the loop seeds at every step.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.classes = len(recipe.classes)
        self.smoothing = recipe.label_smoothing
        self.mixup = Mixup(
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            label_smoothing=recipe.label_smoothing,
            num_classes=self.classes,
        )

    def __call__(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) and (B,) → mixed pixels (B, 3, H, W) and targets (B, C)."""
        even = len(labels) // 2 * 2
        targets = mixup_target(labels, self.classes, lam=1.0, smoothing=self.smoothing)
        if even:
            mixed, mixed_targets = self.mixup(pixels[:even], labels[:even])
            pixels = torch.cat([mixed, pixels[even:]])
            targets = torch.cat([mixed_targets, targets[even:]])
        return pixels, targets
