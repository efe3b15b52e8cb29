"""Learning from labels and a teacher (DeiT, Touvron et al. 2021): hard or soft, by token or by logits.

timm's `TokenDistillationTask` computes the loss; a student without a distillation token passes its logits
for both of its answers. The teacher is frozen, and no part of what is optimised, saved or checkpointed.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from timm.task import TokenDistillationTask
from timm.task.distillation import DistillationTeacher
from torch import Tensor, nn
from torch.nn import functional as F

from vitbench import files
from vitbench.data.batches import eval_batches
from vitbench.data.store import open_store
from vitbench.inference.forward import answering, predict_pictures
from vitbench.models.folder import LoadedModel
from vitbench.records import Array, Machine, Picture, Predictions, Preprocessing, Recipe, Split
from vitbench.training.objectives.objective import Normalise, Objective
from vitbench.training.objectives.supervised import by_labels


class Distilled(Objective):
    """(1 − α) · cross-entropy with the labels + α · what the teacher asks for.

    Hard: cross-entropy with the class that the teacher names. Soft: τ² KL(teacher, student), both at
    temperature τ, summed over classes, a mean over the batch.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: LoadedModel | None = None) -> None:
        super().__init__(model, recipe)
        what = recipe.distillation
        assert what is not None
        assert teacher is not None
        self.asked = teacher
        self.task = TokenDistillationTask(
            _Student(model, self.normalise, what.through == "token"),
            DistillationTeacher(_Teacher(teacher, recipe.classes, recipe.preprocessing.size)),
            criterion=by_labels(recipe),
            distill_type=what.kind,
            task_loss_weight=1 - what.alpha,
            temperature=what.tau,
            device=next(model.parameters()).device,
            verbose=False,
        )
        self._val_answers: Array | None = None

    def forward(self, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """As of `Supervised`; "output" is the class head's where the student has two."""
        found = self.task(pixels, targets)
        return {"loss": found["loss"], "output": found["output"]}

    def agreement(self, val: Predictions, split: Split, machine: Machine) -> float:
        """Share of val on which the student answers as the teacher does, who is asked once."""
        if self._val_answers is None:
            self._val_answers = teacher_answers(self.asked, split, split.val, machine)
        return float((val.answers == self._val_answers).mean())


class _Student(nn.Module):
    """Pixels in, two answers out: of class and distillation token, or twice the logits."""

    pretrained_cfg = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # noqa: RUF012  (timm reads it)

    def __init__(self, model: nn.Module, normalise: Normalise, by_token: bool) -> None:
        super().__init__()
        self.model, self.normalise, self.by_token = model, normalise, by_token

    def set_distilled_training(self, enable: bool) -> None:
        """Have a network with a distillation token give both answers in train mode."""
        if self.by_token:
            self.model.set_distilled_training(enable)  # type: ignore[operator]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model(self.normalise(pixels))
        return found if isinstance(found, tuple) else (found, found)


class _Teacher(nn.Module):
    """Pixels in, logits in the order of the student's classes out; brought to the teacher's own size."""

    pretrained_cfg = _Student.pretrained_cfg

    def __init__(self, teacher: LoadedModel, classes: tuple[str, ...], size: int) -> None:
        super().__init__()
        self.network = teacher.module.requires_grad_(False)  # "module" is what timm would unwrap
        self.normalise = Normalise(teacher.preprocessing)
        self.size = None if teacher.preprocessing.size == size else teacher.preprocessing.size
        order = torch.tensor([teacher.classes.index(name) for name in classes])
        self.register_buffer("order", order, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        if self.size is not None:
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        logits: Tensor = self.network(self.normalise(pixels))
        return logits[:, self.order]  # type: ignore[index]


def teacher_answers(
    teacher: LoadedModel, split: Split, pictures: tuple[Picture, ...], machine: Machine
) -> Array:
    """(N,) int64 indices into the split's classes: the teacher's answers, pictures prepared its own way.

    What is black and white in pictures of more than 8 bits is the split's, as in the views that it teaches.
    """
    own = replace(teacher.preprocessing, pixel_range=split.pixel_range)
    found = predict_pictures(teacher.module, split, pictures, own, machine)
    return np.array([split.classes.index(teacher.classes[i]) for i in found.answers], dtype=np.int64)


def head_answers(
    model: nn.Module, split: Split, preprocessing: Preprocessing, machine: Machine
) -> dict[str, Array]:
    """Per head of a network with a distillation token, "cls" and "dist": (N,) int64 answers on test."""
    store, device = open_store(machine.store), torch.device(machine.device)
    batches = eval_batches(
        split.root, split.test, preprocessing, machine.eval_batch, machine.workers, store=store, device=device
    )
    heads: dict[str, list[Array]] = {"cls": [], "dist": []}
    try:
        with answering(model):
            model.set_distilled_training(True)  # type: ignore[operator]
            model.training = True  # this module alone: it returns both answers, nothing in it drops out
            for batch in batches:
                for name, logits in zip(heads, model(batch), strict=True):
                    heads[name].append(logits.argmax(dim=1).cpu().numpy())
    finally:
        model.eval()
    return {name: np.concatenate(answers) for name, answers in heads.items()}


def write_heads(path: Path, answers: Predictions, found: Mapping[str, Array]) -> None:
    """Write what each head, and the teacher, name for the pictures of `answers`: a column of classes each."""
    rows = [
        {
            "path": name,
            "label": answers.classes[int(answers.labels[i])],
            **{head: answers.classes[int(said[i])] for head, said in found.items()},
        }
        for i, name in enumerate(answers.paths)
    ]
    files.write_csv(path, ["path", "label", *found], rows)
