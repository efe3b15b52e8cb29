"""Small networks for tests of the models room; no test here needs a network."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan, plan_model

TINY = "test_vit"
"""timm's own test network: 0.4 M parameters."""


@pytest.fixture(scope="session")
def tiny_plan() -> ModelPlan:
    return plan_model(TINY, 64)


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of the small network with 1000 classes at its native size, as the hub has it."""
    model = create(plan_model(TINY, "native"), 1000, RANDOM, seed=11)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(model.state_dict(), path)
    return path
