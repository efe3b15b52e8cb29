"""The objectives that the loop can train, by `Recipe.objective`.

The loop knows nothing of what is learnt. To add an objective, write a module with an `Objective` in it, give
it a row here, and say in `Recipe.objective` when it is meant. One that trains more than the network itself
says below what that is, and what of it is saved.
"""

from collections.abc import Callable

from torch import nn

from vitbench.models.create import create
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import ModelPlan
from vitbench.records import Recipe
from vitbench.training.objectives.distillation import Distilled
from vitbench.training.objectives.objective import Objective
from vitbench.training.objectives.simmim import Masked, MaskedEncoder, masked_encoder
from vitbench.training.objectives.supervised import Supervised


def learner(plan: ModelPlan, recipe: Recipe, weights: InitialWeights) -> nn.Module:
    """The network that a recipe trains, on the CPU, bit-equal for equal arguments; see `create`."""
    if recipe.masking is not None:
        return masked_encoder(plan, recipe, weights)
    return create(plan, len(recipe.classes), weights, recipe.seed, recipe.drop_path, recipe.classes)


def encoder_of(model: nn.Module) -> nn.Module:
    """What is saved of a `learner`: the timm network, without what only its objective needs."""
    return model.encoder if isinstance(model, MaskedEncoder) else model


OBJECTIVES: dict[str, Callable[[nn.Module, Recipe, LoadedModel | None], Objective]] = {
    "supervised": Supervised,
    "distillation": Distilled,
    "simmim": Masked,
}
