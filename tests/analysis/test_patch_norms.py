"""Lengths of patch vectors and their artifact score."""

import numpy as np
import pytest
import torch
from small import noise, small, subject

from vitbench.analysis.looking import blocks_of
from vitbench.analysis.patch_norms import PATCH_NORMS, artifact_score


@pytest.mark.parametrize("family", ["vit", "swin", "swinv2-cr"])
def test_a_patch_is_as_long_as_what_the_last_block_gives_for_it(family: str) -> None:
    """Prefix tokens are left out; the map has the last block's rows and columns."""
    model = small(family)
    given: list[torch.Tensor] = []
    hook = blocks_of(model)[-1][1].register_forward_hook(lambda _, taken, out: given.append(out))
    with torch.no_grad():
        model(noise(112).load([0, 1]))
    hook.remove()
    found = PATCH_NORMS.look(subject(model, 112), noise(112))
    last = given[0].flatten(1, -2)[:, 1 if family == "vit" else 0 :].norm(dim=-1).numpy()
    assert np.allclose(found.arrays["patch-norms"].reshape(2, -1), last, rtol=1e-5)
    assert found.frames["patch_norms"].norm_largest[0] == pytest.approx(last.max(), rel=1e-5)


def test_a_few_long_patches_are_artifacts_and_one_kind_is_none() -> None:
    """1 in 20 of ten times the length: the score is far beyond 2, the share 5 %; without them below 2."""
    usual = np.random.default_rng(0).lognormal(0, 0.1, 1000)
    long = np.random.default_rng(1).lognormal(np.log(10), 0.1, 50)
    score, share, ratio = artifact_score(np.concatenate([usual, long]))
    assert score > 10
    assert share == pytest.approx(50 / 1050, abs=0.005)
    assert ratio == pytest.approx(10, rel=0.1)
    assert artifact_score(usual)[0] < 2
    assert artifact_score(np.ones(100)) == (0.0, 0.0, 1.0)
