"""Learning from pictures alone: most of each is hidden, and the network says what was there (SimMIM).

Xie et al. 2022, arXiv:2111.09886: hidden cells are one learnt token instead of their pixels, a single linear
layer turns the encoder's last feature map into pixels, and L1 counts where nothing was to be seen. What is
wanted of it is the encoder.
"""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench import files
from vitbench.data.batches import eval_batches
from vitbench.data.prefetch import even_slices
from vitbench.data.store import open_store
from vitbench.data.views import KeyedRandom
from vitbench.errors import UnfitModelError
from vitbench.inference.forward import answering
from vitbench.models.create import create
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.meta import on_meta
from vitbench.models.plan import ModelPlan
from vitbench.records import Machine, Masking, Picture, Recipe, Split
from vitbench.training.objectives.objective import Objective

KINDS = ("vit", "deit", "swin", "swinv2", "swinv2-cr")
"""Whose pictures enter through `patch_embed` alone, so that nothing else sees what is hidden."""
NEIGHBOURHOOD = 47
"""Side, px, of the square around a pixel that normalises its target (the Swin V2 variant)."""
SHEETS = 10
"""About so many times over a whole training reconstructions are kept."""
SHOWN = 8
"""Pictures that are reconstructed, at most."""


# --- the network ----------------------------------------------------------------------------------


class MaskedEncoder(nn.Module):
    """An encoder that sees a mask token instead of hidden patches, and a linear decoder to pixels.

    `encoder` is a timm network without a head, as it is used elsewhere: outside of `forward` nothing
    hangs on it. The mask token and the decoder are bit-equal for equal seeds; the global random state is
    neither read nor changed.
    """

    encoder: Any

    def __init__(self, encoder: Any, seed: int) -> None:
        super().__init__()
        stride = int(encoder.feature_info[-1]["reduction"])
        self.encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.mask_token = nn.Parameter(torch.empty(encoder.patch_embed.proj.out_channels))
            nn.init.trunc_normal_(self.mask_token, std=0.02)
            self.decoder = nn.Sequential(
                nn.Conv2d(encoder.num_features, stride**2 * 3, 1), nn.PixelShuffle(stride)
            )

    def forward(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """Normalised pictures (B, 3, S, S) rebuilt, (B, 3, S, S); masks (B, c, c) bool, True is hidden."""
        reconstruction: Tensor = self.decoder(self.features(pictures, masks))
        return reconstruction

    def features(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """(B, D, S / stride, S / stride): the encoder's last map; hidden pixels play no part in it."""
        hook = self.encoder.patch_embed.register_forward_hook(
            lambda _module, _inputs, patches: self._hide(patches, masks)
        )
        try:
            found: Tensor = self.encoder.forward_features(pictures)
        finally:
            hook.remove()
        if found.ndim == 3:  # (B, prefix + h·w, D), class and distillation tokens first
            found = found[:, self.encoder.num_prefix_tokens :].transpose(1, 2)
            side = math.isqrt(found.shape[2])
            return found.reshape(*found.shape[:2], side, side)
        return found.permute(0, 3, 1, 2) if _channels_last(self.encoder) else found

    def _hide(self, patches: Tensor, masks: Tensor) -> Tensor:
        """Patches (B, L, D), (B, h, w, D) or (B, D, h, w) with the mask token in the place of hidden ones."""
        first = patches.ndim == 4 and not _channels_last(self.encoder.patch_embed)
        last = patches.movedim(1, -1) if first else patches
        side = math.isqrt(last[0, ..., 0].numel())
        hidden = enlarge(masks, side).reshape(*last.shape[:-1], 1)
        seen = torch.where(hidden, self.mask_token.to(last.dtype), last)
        return seen.movedim(-1, 1) if first else seen

    def no_weight_decay(self) -> set[str]:
        """The encoder's own exceptions, by their names here: timm's optimisers ask for them."""
        own = getattr(self.encoder, "no_weight_decay", set)
        return {f"encoder.{name}" for name in own()}


def _channels_last(module: Any) -> bool:
    """Maps of this timm module are (B, H, W, D); those without a word on it are (B, D, H, W)."""
    return getattr(module, "output_fmt", "NCHW") == "NHWC"


def enlarge(masks: Tensor, side: int) -> Tensor:
    """Masks (B, c, c) as (B, side, side), each cell side / c wide."""
    cell = side // masks.shape[-1]
    return masks.repeat_interleave(cell, dim=1).repeat_interleave(cell, dim=2)


# --- what can be masked ---------------------------------------------------------------------------


def check_masking(plan: ModelPlan, masking: Masking) -> None:
    """`UnfitModelError` where a model cannot be pre-trained so, or not with these cells; takes no memory."""
    with on_meta():
        check_encoder(create(plan, 0, RANDOM, seed=0), plan, masking)


def check_encoder(encoder: Any, plan: ModelPlan, masking: Masking) -> None:
    """`UnfitModelError` where cells do not fit the patches, strides and pictures of a built network."""
    proj: Any = getattr(getattr(encoder, "patch_embed", None), "proj", None)
    # Not so: a convolutional stem (hybrids), and patches that overlap. Visible ones would see hidden pixels.
    plain = isinstance(proj, nn.Conv2d) and proj.in_channels == 3 and proj.kernel_size == proj.stride
    if plan.kind not in KINDS or not plain:
        raise UnfitModelError(
            f"{plan.alias}: masked pre-training needs patches cut straight from the pixels; "
            f"use {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    size, patch = plan.image_size, int(proj.kernel_size[0])
    stride = int(encoder.feature_info[-1]["reduction"])
    if size % stride:
        below = size // stride * stride
        near = f"{below} or {below + stride}" if below else str(stride)
        raise UnfitModelError(
            f"{plan.alias}: masked pre-training rebuilds squares of {stride} px, and {size} is no multiple "
            f"of that; try --image-size {near}"
        )
    possible = [str(cell) for cell in range(patch, size, patch) if size % cell == 0]
    if str(masking.size) not in possible:
        works = f"{', '.join(possible)} do" if possible else "none does, use a larger --image-size"
        raise UnfitModelError(
            f"--mask-size {masking.size} does not fit {plan.alias} at {size} px: cells are whole patches of "
            f"{patch} px, and several side by side fill the picture; {works}"
        )
    cells = (size // masking.size) ** 2
    if hidden_cells(masking, cells) == cells:
        raise UnfitModelError(
            f"--mask-ratio {masking.ratio:g} hides all {cells} cells of {masking.size} px; "
            "use a smaller one, or a smaller --mask-size"
        )


def masked_encoder(plan: ModelPlan, recipe: Recipe, weights: InitialWeights) -> MaskedEncoder:
    """The network that a recipe with masking trains, bit-equal for equal arguments."""
    assert recipe.masking is not None
    encoder = create(plan, 0, weights, recipe.seed, recipe.drop_path)
    check_encoder(encoder, plan, recipe.masking)
    return MaskedEncoder(encoder, recipe.seed)


# --- masks ----------------------------------------------------------------------------------------


def hidden_cells(masking: Masking, cells: int) -> int:
    """How many of so many cells are hidden: the ratio's share, rounded up."""
    return math.ceil(round(masking.ratio * cells, 6))  # .55 × 100 is 55.00000000000001


def draw_masks(count: int, side: int, masking: Masking) -> Tensor:
    """(count, side, side) bool, True is hidden, from torch's global CPU generator; all hide equally many."""
    order = torch.rand(count, side**2).argsort(dim=1, stable=True)
    return (order < hidden_cells(masking, side**2)).view(-1, side, side)


def own_masks(pictures: Sequence[Picture], side: int, masking: Masking) -> Tensor:
    """(N, side, side) bool: the mask that each picture's content has, in every epoch and every run."""
    orders = np.stack([KeyedRandom("vitbench mask", picture.sha256).order(side**2) for picture in pictures])
    hidden = torch.from_numpy(orders) < hidden_cells(masking, side**2)
    return hidden.view(-1, side, side)


# --- the loss -------------------------------------------------------------------------------------


def masked_loss(reconstruction: Tensor, wanted: Tensor, masks: Tensor) -> Tensor:
    """L1 between (B, 3, S, S) and (B, 3, S, S) on the hidden pixels alone; masks (B, c, c); a scalar.

    (|x − x̂| · M).sum() / (M.sum() + 1e-5) / 3, as the authors' code has it.
    """
    hidden = enlarge(masks, wanted.shape[-1]).unsqueeze(1)
    off = (reconstruction.float() - wanted).abs() * hidden
    return off.sum() / (hidden.sum() + 1e-5) / 3


def local_statistics(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (n − 1) around each pixel, per channel: two of (B, 3, S, S).

    Over a square of `NEIGHBOURHOOD` px, what lies beyond the picture left out, and √(variance + 1e-6): the
    targets of the authors' Swin V2 variant.
    """
    mean, square = _around(pictures), _around(pictures**2)
    ones = torch.ones_like(pictures[:1, :1])
    count = _around(ones, padded=True) * NEIGHBOURHOOD**2
    variance = ((square - mean**2) * (count / (count - 1))).clamp(min=0)
    return mean, (variance + 1e-6).sqrt()


def _around(maps: Tensor, padded: bool = False) -> Tensor:
    """Each pixel's mean over its neighbourhood; `padded`: as if zeros lay beyond the picture."""
    k = NEIGHBOURHOOD  # the mean of a column of rows' means: k + k terms instead of k²
    rows = F.avg_pool2d(maps, (1, k), 1, (0, k // 2), count_include_pad=padded)
    return F.avg_pool2d(rows, (k, 1), 1, (k // 2, 0), count_include_pad=padded)


# --- the objective --------------------------------------------------------------------------------


class Masked(Objective):
    """The masked loss of a `MaskedEncoder`; labels are counted and not read."""

    answers = False

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: LoadedModel | None = None) -> None:
        super().__init__(model, recipe)
        assert recipe.masking is not None
        self.recipe, self.masking = recipe, recipe.masking
        self.side = recipe.preprocessing.size // recipe.masking.size
        """Cells side by side."""

    def targets(self, labels: Tensor) -> Tensor:
        """(B, c, c) bool: new masks for a global batch, of which labels (B,) tell the length and device."""
        return draw_masks(len(labels), self.side, self.masking).to(labels.device)

    def forward(self, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """pixels (B, 3, S, S) in [0, 1]; targets (B, c, c) bool, True is hidden.

        Returns "loss", a scalar mean over the hidden pixels, and "output", the reconstruction (B, 3, S, S).
        """
        pictures = self.normalise(pixels)
        reconstruction = self.model(pictures, targets)
        return {
            "loss": masked_loss(reconstruction, self.wanted(pictures), targets),
            "output": reconstruction,
        }

    def wanted(self, pictures: Tensor) -> Tensor:
        """What is to be predicted of normalised pictures (B, 3, S, S)."""
        if self.masking.target == "pixels":
            return pictures
        mean, deviation = local_statistics(pictures)
        return (pictures - mean) / deviation

    def val_loss(self, judged: nn.Module, split: Split, machine: Machine) -> float:
        """Mean loss over val, unaugmented, each picture under its own mask; leaves `judged` in eval mode."""
        total = 0.0
        for pictures, masks in self._prepared(split, split.val, machine):
            reconstruction = _reconstruct(judged, pictures, masks)
            total += float(masked_loss(reconstruction, self.wanted(pictures), masks)) * len(pictures)
        return total / len(split.val)

    def show(self, judged: nn.Module, split: Split, machine: Machine, epoch: int, folder: Path) -> None:
        """Every tenth of the training and after its last epoch: `reconstructions/epoch-0010.npz`.

        Its `pixels`, (N, 3, S, S, 3) uint8: each picture as it is, with the hidden cells grey, and with them
        as predicted. Always
        the same pictures, from all over val (of train where there is no val), under their own masks. Where
        targets are normalised, a prediction is shown with the mean and deviation of the true picture.
        `judged` is left in eval mode.
        """
        last = self.recipe.last_epoch or self.recipe.epochs
        if epoch != last and epoch % math.ceil(last / SHEETS):
            return
        pictures = _spread(split.val or split.train, SHOWN)
        rows: list[Tensor] = []
        for originals, masks in self._prepared(split, pictures, machine):
            rows.extend(self._shown(judged, originals, masks))
        place = folder / "reconstructions"
        place.mkdir(exist_ok=True)
        pixels = (torch.stack(rows) * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, pixels=pixels)
        files.write_bytes(place / f"epoch-{epoch:04d}.npz", buffer.getvalue())

    def _shown(self, judged: nn.Module, originals: Tensor, masks: Tensor) -> Tensor:
        """(B, 3, 3, S, S) in [0, 1]: each picture as it is, masked, and reconstructed."""
        predicted = _reconstruct(judged, originals, masks).float()
        if self.masking.target == "normalised":
            mean, deviation = local_statistics(originals)
            predicted = predicted * deviation + mean
        hidden = enlarge(masks, originals.shape[-1]).unsqueeze(1)
        before, after = (x * self.normalise.std + self.normalise.mean for x in (originals, predicted))
        columns = [before, before.masked_fill(hidden, 0.5), torch.where(hidden, after, before)]
        return torch.stack(columns, dim=1).clamp(0, 1).cpu()

    def _prepared(
        self, split: Split, pictures: Sequence[Picture], machine: Machine
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches as evaluation sees them, normalised (B, 3, S, S), and the pictures' own masks (B, c, c)."""
        preprocessing, device = self.recipe.preprocessing, torch.device(machine.device)
        batches = eval_batches(
            split.root,
            pictures,
            preprocessing,
            machine.eval_batch,
            machine.workers,
            store=open_store(machine.store),
            device=device,
        )
        parts = even_slices(len(pictures), machine.eval_batch)
        for part, batch in zip(parts, batches, strict=True):
            yield batch, own_masks(pictures[part], self.side, self.masking).to(device)


def _reconstruct(judged: nn.Module, pictures: Tensor, masks: Tensor) -> Tensor:
    """(B, 3, S, S) as the network predicts it; it is put into evaluation mode and left there."""
    with answering(judged):
        reconstruction: Tensor = judged(pictures, masks)
    return reconstruction


def _spread(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """At most so many of the pictures, from all over them, so that no one class fills the places."""
    count = min(most, len(pictures))
    return [pictures[place * len(pictures) // count] for place in range(count)]
