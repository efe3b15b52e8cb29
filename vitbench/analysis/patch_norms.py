"""How long the vectors of patches are, and whether a few are of another kind.

Large ViTs keep notes in background patches, whose vectors grow to many times the others' length (Darcet et
al. 2024, arXiv:2309.16588). A mixture of two normal distributions is fitted to the logarithms of
the lengths behind the last block. The artifact score is how far apart the two lie, Ashman's D (Ashman, Bird &
Zepf 1994); beyond 2 they are two kinds. It is 0 where the longer kind is the greater part.
"""

import numpy as np
import torch

from vitbench.analysis.layout import layouts, why_not
from vitbench.analysis.looking import blocks_of, looking
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.analysis.saliency import too_coarse
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "patches": "Int64", "norm_median": "float64", "norm_largest": "float64", "artifact_score": "float64",
    "long_share": "float64", "long_over_usual": "float64",
}  # fmt: skip


def look(subject: Subject, pictures: Pictures) -> Finding:
    """Array `patch-norms` (picture, rows, columns); `patch_norms`, a row: the score over all of them."""
    name, block = blocks_of(subject.module)[-1]
    layout = layouts(subject.module)[name]
    maps: list[Array] = []

    def keep(_: object, inputs: object, output: torch.Tensor) -> None:
        tokens = output.flatten(1, -2)[:, layout.prefix :]
        maps.append(tokens.norm(dim=-1).reshape(-1, *layout.grid).cpu().numpy())

    with looking(subject.module) as handles, torch.no_grad():
        handles.append(block.register_forward_hook(keep))
        for _, batch in pictures.batches():
            subject.module(batch)
    norms = np.concatenate(maps)
    row = (norms.size, float(np.median(norms)), float(norms.max()), *artifact_score(norms.ravel()))
    arrays = {} if too_coarse(layout.grid) else {"patch-norms": norms}
    return Finding({"patch_norms": by_rows(COLUMNS, [row])}, arrays, {"patch-norms": ("picture",)})


def artifact_score(norms: Array) -> tuple[float, float, float]:
    """Ashman's D of the longer kind, its share, and its mean length over the others'; (0, 0, 1): one kind."""
    from sklearn.mixture import GaussianMixture

    logs = np.log(np.maximum(norms, 1e-12))[:, None]
    if len(logs) < 2 or float(np.ptp(logs)) < 1e-6:
        return 0.0, 0.0, 1.0
    mixture = GaussianMixture(2, random_state=0, n_init=3).fit(logs)
    usual, long = np.argsort(mixture.means_[:, 0])
    share = float(mixture.weights_[long])
    if share > 0.5:
        return 0.0, 0.0, 1.0
    apart = float(mixture.means_[long, 0] - mixture.means_[usual, 0])
    spread = float(mixture.covariances_[:, 0, 0].sum())
    return float(np.sqrt(2 / spread) * apart), share, float(np.exp(apart))


PATCH_NORMS = Analysis(
    name="patch_norms",
    title="Lengths of patch vectors",
    sees="How long each patch's vector is behind the last block, and whether a few are of a longer kind: a "
    "score beyond 2 says so.",
    does_not_prove="That long patches harm the answer: what they spoil is maps of features and attention.",
    applies=why_not,
    look=look,
)
