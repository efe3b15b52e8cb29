"""What every objective is: a module that turns a batch into a loss and an output, and owns its extras."""

from pathlib import Path

import torch
from torch import Tensor, nn

from vitbench.models.folder import LoadedModel
from vitbench.records import Machine, Predictions, Preprocessing, Recipe, Split


class Normalise(nn.Module):
    """Pixels in [0, 1] to a model's input: (x − mean) / std per channel, (B, 3, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


class Objective(nn.Module):
    """Base of all objectives; `model` is what the optimiser trains, the rest is the objective's own."""

    answers = True
    """Its output are logits of the classes: val and test are answered, and top-1 chooses the epoch."""

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: LoadedModel | None = None) -> None:
        super().__init__()
        self.model = model
        self.normalise = Normalise(recipe.preprocessing)

    def targets(self, labels: Tensor) -> Tensor:
        """What `forward` is to hit, from the labels (B,) of a global batch; generators are seeded."""
        return labels

    def forward(self, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """pixels (B, 3, H, W) in [0, 1]; targets (B, …).

        Returns "loss", a scalar mean over the batch, and "output", logits (B, C) where it `answers`.
        """
        raise NotImplementedError

    def val_loss(self, judged: nn.Module, split: Split, machine: Machine) -> float:
        """The loss of the judged weights on val, where the objective does not answer."""
        raise NotImplementedError

    def agreement(self, val: Predictions, split: Split, machine: Machine) -> float | None:
        """Share of val that is answered as a teacher does; None without one."""
        return None

    def show(self, judged: nn.Module, split: Split, machine: Machine, epoch: int, folder: Path) -> None:
        """Write into the run's folder what can be seen of an epoch, before it is saved; most show nothing."""
