"""Looking in every way there is leaves nothing on a network."""

from dataclasses import replace

import pytest
import timm
from small import CLEAN, FAMILIES, PADDED, noise, small, subject
from torch import nn

from vitbench.analysis.inspect import ANALYSES, Seen, inspect
from vitbench.models.create import state_sha256

LEARNED = {
    "stages", "activations", "positions", "position_bias", "temperature", "filters", "token_mass", "norms",
}  # fmt: skip


def marks(model: nn.Module) -> tuple[object, ...]:
    """All that a look could leave behind."""
    modules = list(model.modules())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules)
    fused = [getattr(module, "fused_attn", None) for module in modules]
    modes = [module.training for module in modules]
    learning = [(p.requires_grad, p.grad is None, p.device) for p in model.parameters()]
    return hooks, fused, modes, learning, state_sha256(model)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, PADDED])
@pytest.mark.parametrize("name", [*FAMILIES, "test_resnet"])
def test_nothing_is_left_on_a_network_nor_on_what_it_was_before(name: str, size: int) -> None:
    """No hooks, the same switches, modes, gradients and values, with and without padding."""
    side = size or CLEAN.get(name, 112)
    model, before = (
        (small(name, size) if name in FAMILIES else timm.create_model(name, num_classes=5)) for _ in range(2)
    )
    model.train()
    was = marks(model), marks(before)
    looked = replace(subject(model, side), before=lambda: before)
    rows = [row for row in ANALYSES if row.name in LEARNED]
    found = inspect([Seen(looked, noise(side), noise(side))], rows=rows)
    assert (marks(model), marks(before)) == was
    assert was[0][0] == 0
    refused = {analysis for _, analysis, _ in found.refusals}
    assert refused | {name for name, each in found.findings.items() if each} == LEARNED
