"""The objectives that the loop can train, by `Recipe.objective`.

The loop knows nothing of what is learnt. To add an objective, write a module with an `Objective` in it, give
it a row here, and say in `Recipe.objective` when it is meant.
"""

from collections.abc import Callable

from torch import nn

from vitbench.models.folder import LoadedModel
from vitbench.records import Recipe
from vitbench.training.objective import Objective
from vitbench.training.supervised import Supervised

OBJECTIVES: dict[str, Callable[[nn.Module, Recipe, LoadedModel | None], Objective]] = {
    "supervised": Supervised,
}
