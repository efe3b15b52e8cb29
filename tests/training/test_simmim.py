"""Masked pre-training: the loss as computed by hand, nothing hidden is seen, every family, one loop."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError, WeightsError
from vitbench.models.create import create, state_sha256
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.models.weights import resolve_weights
from vitbench.records import Machine, Masking, Recipe, Run, Settings, Split
from vitbench.records.watch import Watch
from vitbench.reports.reconstructions import sheet
from vitbench.training import loop
from vitbench.training.objectives.simmim import (
    NEIGHBOURHOOD,
    Masked,
    MaskedEncoder,
    check_masking,
    draw_masks,
    enlarge,
    local_statistics,
    masked_loss,
    own_masks,
)
from vitbench.training.objectives.table import encoder_of, learner
from vitbench.training.recipes import build_recipe
from vitbench.training.step import seed_step, train_step

FAMILIES = ("vit", "deit", "deit-distilled", "swin", "swinv2", "swinv2-cr")
OTHERS = tuple(name for name in FAMILIES if name not in ("vit", "swin"))
MASKING = Masking(ratio=0.6, size=16, target="pixels")
Made = Callable[..., tuple[Recipe, Split]]


@pytest.fixture
def made(coloured: Path) -> Made:
    """`made("vit", 64, epochs=3, target="normalised")`: a recipe with masking, and a split of pictures."""

    def go(
        model: str = "test_vit", size: int = 32, target: str = "pixels", **asked: Any
    ) -> tuple[Recipe, Split]:
        split = split_images(scan_folder(coloured), 0)
        settings = Settings.model_validate({"per_class": 12, "batch_size": 16, "epochs": 2, **asked})
        recipe = build_recipe(settings, plan_model(model, size), split, 0, RANDOM.origin, "fp32")
        masking = MASKING.model_copy(update={"target": target})
        return recipe.model_copy(update={"masking": masking}), split

    return go


def network(model: str = "test_vit", size: int = 32) -> MaskedEncoder:
    return MaskedEncoder(create(plan_model(model, size), 0, RANDOM, 0), 0)


def learner_of(recipe: Recipe) -> torch.nn.Module:
    """test_vit at 32 px for a recipe."""
    return learner(plan_model("test_vit", 32), recipe, RANDOM)


def one_of(split: Split, place: int) -> Split:
    """A split with one picture of val."""
    return replace(split, val=split.val[place : place + 1])


def machine(micro_batch: int = 16) -> Machine:
    return Machine("cpu", "CPU", micro_batch, 5, torch.get_num_threads(), 0)


def some(size: int, count: int = 2) -> tuple[Tensor, Tensor]:
    """Pictures of noise, and masks of cells of 16 px."""
    seed_step(0, 1, 1)
    return torch.randn(count, 3, size, size), draw_masks(count, size // 16, MASKING)


# --- the loss -------------------------------------------------------------------------------------


def test_the_loss_is_the_one_computed_by_hand() -> None:
    """(|x − x̂| · M).sum() / (M.sum() + 1e-5) / 3, pixel by pixel, in double precision."""
    pictures, masks = some(32)
    rebuilt = torch.randn_like(pictures)
    total, hidden = 0.0, 0
    for b in range(2):
        for y in range(32):
            for x in range(32):
                if masks[b, y // 16, x // 16]:
                    hidden += 1
                    total += sum(
                        abs(float(pictures[b, c, y, x]) - float(rebuilt[b, c, y, x])) for c in range(3)
                    )
    assert float(masked_loss(rebuilt, pictures, masks)) == pytest.approx(
        total / (hidden + 1e-5) / 3, rel=1e-6
    )


def test_the_loss_ignores_what_is_predicted_of_visible_pixels() -> None:
    """Other predictions where the picture could be seen: the same bits; where it was hidden: another loss."""
    pictures, masks = some(32)
    rebuilt = torch.randn_like(pictures)
    hidden = enlarge(masks, 32).unsqueeze(1)
    loss = masked_loss(rebuilt, pictures, masks)
    assert torch.equal(masked_loss(torch.where(hidden, rebuilt, rebuilt + 9), pictures, masks), loss)
    assert masked_loss(torch.where(hidden, rebuilt + 9, rebuilt), pictures, masks) > loss


def test_normalised_targets_are_those_computed_by_hand(made: Made) -> None:
    """(x − mean) / √(variance + 1e-6) of 47 × 47 px around a pixel, n − 1, nothing from beyond the edge."""
    recipe, _ = made(target="normalised")
    pictures = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    wanted = Masked(network(), recipe).wanted(pictures)
    half = NEIGHBOURHOOD // 2
    for c, y, x in [(0, 0, 0), (1, 63, 5), (2, 31, 33), (0, 40, 63)]:
        near = pictures[0, c, max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].double()
        by_hand = (pictures[0, c, y, x] - near.mean()) / math.sqrt(float(near.var(correction=1)) + 1e-6)
        assert float(wanted[0, c, y, x]) == pytest.approx(float(by_hand), abs=1e-5)


def test_normalised_targets_of_a_flat_picture_are_nothing() -> None:
    """Rounding never makes a negative variance, nor a target that is no number."""
    mean, deviation = local_statistics(torch.full((1, 3, 64, 64), 0.7))
    assert torch.isfinite(deviation).all()
    assert float(deviation.min()) >= 1e-3 * 0.999
    torch.testing.assert_close(mean, torch.full_like(mean, 0.7))


def test_micro_batches_add_up_to_the_whole_batch(made: Made) -> None:
    """Every picture hides equally many pixels, so the mean of parts is the mean of all, also its gradient."""
    recipe, split = made()
    found = []
    for micro_batch in (16, 3):
        trainer = loop.build_trainer(learner_of(recipe), recipe, split, machine(micro_batch))
        images, labels = next(trainer.batches(1))
        loss, _ = train_step(trainer, images, labels, 0)
        found.append((float(loss), next(trainer.model.parameters()).grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)


# --- masks ----------------------------------------------------------------------------------------


def test_thirty_of_forty_nine_cells_are_hidden() -> None:
    """At 224 px and cells of 32 px, ratio .6: the paper's 29.4, rounded up, in every picture."""
    masks = draw_masks(20, 7, Masking(ratio=0.6, size=32, target="pixels"))
    assert masks.shape == (20, 7, 7)
    assert masks.dtype == torch.bool
    assert masks.flatten(1).sum(dim=1).tolist() == [30] * 20
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 20


def test_a_share_that_comes_out_whole_is_not_rounded_up() -> None:
    """.55 × 100 is 55.00000000000001 to a computer, and hides 55 cells."""
    assert int(draw_masks(1, 10, Masking(ratio=0.55, size=8, target="pixels")).sum()) == 55


def test_masks_depend_on_seed_epoch_and_step_alone(made: Made) -> None:
    """What a step draws comes again when the step does, and is another one at the next."""
    objective = Masked(network(), made()[0])
    drawn = []
    for step in (1, 1, 2):
        seed_step(0, 1, step)
        drawn.append(objective.targets(torch.zeros(16, dtype=torch.int64)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_picture_of_val_has_one_mask_of_its_own(made: Made) -> None:
    """It follows the picture's content, whatever the others beside it, and is not everybody's."""
    _, split = made()
    one, other = split.train[0], split.train[1]
    masking = Masking(ratio=0.6, size=32, target="pixels")
    masks = own_masks([one, other], 7, masking)
    assert torch.equal(own_masks([other], 7, masking)[0], masks[1])
    assert not torch.equal(masks[0], masks[1])
    assert masks.flatten(1).sum(dim=1).tolist() == [30, 30]


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_what_is_hidden_plays_no_part(model: str) -> None:
    """Other pixels under the mask: bit-identical features; other visible ones: other features."""
    encoder = network(model, 64).eval()
    pictures, masks = some(64)
    hidden = enlarge(masks, 64).unsqueeze(1)
    with torch.no_grad():
        features = encoder.features(pictures, masks)
        beneath = encoder.features(torch.where(hidden, pictures * 5 + 1, pictures), masks)
        visible = encoder.features(torch.where(hidden, pictures, pictures * 5 + 1), masks)
    assert torch.equal(beneath, features)
    assert not torch.equal(visible, features)


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_the_token_lies_where_the_mask_is(model: str) -> None:
    """A hidden corner changes the patches of that corner, and no other: rows and columns are not swapped."""
    encoder = network(model, 64)
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 0, 3] = True  # above, right
    patches = encoder.encoder.patch_embed(torch.randn(1, 3, 64, 64))
    seen = encoder._hide(patches, masks)
    channel = {3: 2, 4: 1 if model == "swinv2-cr" else 3}[patches.ndim]
    changed = (seen != patches).any(dim=channel).reshape(1, -1)
    side = math.isqrt(changed.shape[1])
    assert torch.equal(changed.reshape(1, side, side), enlarge(masks, side))


@pytest.mark.parametrize(
    "model", ["vit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("swin", *OTHERS))]
)
def test_every_family_learns_and_its_encoder_is_taken_for_classification(
    model: str, made: Made, tmp_path: Path
) -> None:
    """A step changes mask token and encoder; saved, all but the head is loaded, bit by bit."""
    recipe, split = made(model, 64, batch_size=4, lr=1e-3)
    plan = plan_model(model, 64)
    check_masking(plan, MASKING)
    trainer = loop.build_trainer(learner(plan, recipe, RANDOM), recipe, split, machine(4))
    assert isinstance(trainer.model, MaskedEncoder)
    before = trainer.model.encoder.patch_embed.proj.weight.detach().clone()
    images, labels = next(trainer.batches(1))
    train_step(trainer, images, labels, 5)
    assert trainer.model.mask_token.grad is not None
    assert float(trainer.model.mask_token.grad.abs().sum()) > 0
    encoder = encoder_of(trainer.model)
    save_model(encoder, tmp_path / "model", (), recipe.preprocessing)
    weights = resolve_weights((str(tmp_path / "model"),), [plan])[model]
    taken = create(plan, 3, weights, 0, 0.0, split.classes).state_dict()
    saved = encoder.state_dict()
    assert "mask_token" not in saved
    assert all(torch.equal(taken[name], tensor) for name, tensor in saved.items())
    assert {name.partition(".")[0] for name in taken.keys() - saved.keys()} <= {"head", "head_dist"}
    assert not torch.equal(saved["patch_embed.proj.weight"], before)


def test_an_encoder_of_another_family_is_refused(tmp_path: Path) -> None:
    """A ViT's encoder for a Swin: one line that names the file, before anything starts."""
    plan = plan_model("test_vit", 32)
    save_model(create(plan, 0, RANDOM, 0), tmp_path / "model", (), plan.preprocessing)
    with pytest.raises(WeightsError, match=r"model\.safetensors: of test_vit, which does not fit swin"):
        resolve_weights((str(tmp_path / "model"),), [plan_model("swin", 64)])


def test_a_learner_is_bit_equal_and_leaves_the_random_state_alone(made: Made) -> None:
    """Equal arguments, equal bytes, whatever was drawn before; another seed is another network."""
    recipe, _ = made()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = learner_of(recipe)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert state_sha256(learner_of(recipe)) == state_sha256(one)
    assert state_sha256(learner_of(recipe.model_copy(update={"seed": 1}))) != state_sha256(one)


def test_a_learner_without_masking_is_the_classifier(made: Made) -> None:
    """And what is saved of it is all of it."""
    recipe, _ = made()
    recipe = recipe.model_copy(update={"masking": None})
    model = learner_of(recipe)
    plain = create(plan_model("test_vit", 32), 3, RANDOM, 0, recipe.drop_path, recipe.classes)
    assert state_sha256(model) == state_sha256(plain)
    assert encoder_of(model) is model


def test_a_copy_uses_its_own_token() -> None:
    """The moving average is a copy of the network: its mask token counts in it, not the original's."""
    original = network().eval()
    twin = copy.deepcopy(original)
    pictures, masks = some(32)
    with torch.no_grad():
        before = original(pictures, masks)
        original.mask_token += 1
        assert torch.equal(twin(pictures, masks), before)
        assert not torch.equal(original(pictures, masks), before)


@pytest.mark.slow
def test_what_swin_spares_from_weight_decay_is_spared_here() -> None:
    """timm's optimisers ask the network for its exceptions, and these have other names in it."""
    plan = plan_model("swin", 64)
    spared = network("swin", 64).no_weight_decay()
    assert spared == {f"encoder.{name}" for name in create(plan, 0, RANDOM, 0).no_weight_decay()}  # type: ignore[operator]
    assert any("relative_position_bias_table" in name for name in spared)


@pytest.mark.slow
def test_one_batch_is_overfitted(made: Made) -> None:
    """Four pictures of noise under the same masks, 200 steps: less than a tenth of the loss is left."""
    recipe, _ = made()
    objective = Masked(learner_of(recipe), recipe)
    seed_step(0, 1, 1)
    pixels, masks = torch.rand(4, 3, 32, 32), draw_masks(4, 2, MASKING)
    optimizer = torch.optim.AdamW(objective.parameters(), 2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    losses = []
    for _ in range(200):
        loss = objective(pixels, masks)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


# --- what cannot be masked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "size", "cell", "ratio", "line"),
    [
        ("resnet50", 64, 32, 0.6, "resnet50: masked .* use vit, deit, swin, swinv2 or swinv2-cr"),
        (
            "vit_tiny_r_s16_p8_224",
            64,
            32,
            0.6,
            "vit_tiny_r_s16_p8_224: masked pre-training needs patches cut",
        ),
        (
            "vit",
            96,
            20,
            0.6,
            r"--mask-size 20 does not fit vit at 96 px: .* patches of 16 px, .*; 16, 32, 48 do",
        ),
        ("vit", 96, 64, 0.6, "--mask-size 64 does not fit vit at 96 px"),
        ("vit", 96, 96, 0.6, "--mask-size 96 does not fit vit at 96 px"),
        ("vit", 16, 16, 0.6, ".*; none does, use a larger --image-size"),
        ("swin", 80, 16, 0.6, "swin: .* 80 is no multiple of that; try --image-size 64 or 96"),
        ("vit", 32, 16, 0.9, "--mask-ratio 0.9 hides all 4 cells of 16 px"),
    ],
)
def test_what_does_not_fit_is_one_line(model: str, size: int, cell: int, ratio: float, line: str) -> None:
    """A network without plain patches, cells that do not fit, nothing left to see: said before a start."""
    with pytest.raises(UsageError, match=f"^{line}") as raised:
        check_masking(plan_model(model, size), Masking(ratio=ratio, size=cell, target="pixels"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", ["vit", "swin"])
def test_the_papers_cells_pass(model: str) -> None:
    """32 px at 224 px, although they are no multiple of a window."""
    check_masking(plan_model(model, 224), Masking(ratio=0.6, size=32, target="normalised"))


# --- what a training shows ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["pixels", "normalised"])
def test_val_loss_is_the_mean_over_pictures_and_comes_again(made: Made, target: str) -> None:
    """The same bits in repeated calls, the random state untouched; each picture weighs alike."""
    recipe, split = made(target=target, drop_path=0.3)
    objective = Masked(learner_of(recipe), recipe)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = objective.val_loss(objective.model, split, machine())
    objective.train()
    assert objective.val_loss(objective.model, split, machine()) == first
    assert torch.equal(torch.get_rng_state(), state)
    each = [
        objective.val_loss(objective.model, one_of(split, place), machine())
        for place in range(len(split.val))
    ]
    assert len(split.val) == 6  # in batches of 5: 3 and 3
    assert first == pytest.approx(np.mean(each), rel=1e-5)


def test_sheets_come_every_tenth_of_the_training_and_last(made: Made, tmp_path: Path) -> None:
    """25 epochs: after every third, and after the 25th; equal bytes for an epoch that is done again."""
    recipe, split = made(epochs=25)
    objective = Masked(learner_of(recipe), recipe)
    state = torch.get_rng_state()
    for epoch in range(1, 26):
        objective.show(objective.model, split, machine(), epoch, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    sheets = sorted((tmp_path / "reconstructions").iterdir())
    assert [path.name for path in sheets] == [f"epoch-{n:04d}.npz" for n in (3, 6, 9, 12, 15, 18, 21, 24, 25)]
    before = sheets[-1].read_bytes()
    objective.show(objective.model, split, machine(), 25, tmp_path)
    assert sheets[-1].read_bytes() == before


@pytest.mark.parametrize("target", ["pixels", "normalised"])
def test_a_sheet_holds_the_picture_the_mask_and_the_prediction(
    made: Made, tmp_path: Path, target: str
) -> None:
    """Grey where it is hidden; outside of the mask the third column is the first."""
    recipe, split = made(epochs=1, target=target)
    objective = Masked(learner_of(recipe), recipe)
    objective.show(objective.model, split, machine(), 1, tmp_path)
    with np.load(tmp_path / "reconstructions" / "epoch-0001.npz") as kept:
        paper = np.array(sheet(kept["pixels"]))
    assert paper.shape == (6 * 100 + 4, 3 * 100 + 4, 3)  # 32-px pictures at 96 px, 4 px between them
    before, masked, after = (paper[4:100, 4 + 100 * x : 100 + 100 * x] for x in range(3))
    hidden = enlarge(own_masks(split.val[:1], 2, MASKING), 96)[0].numpy()
    assert (masked[hidden] == 128).all()
    assert (masked[~hidden] == before[~hidden]).all()
    assert (after[~hidden] == before[~hidden]).all()
    assert (after[hidden] != before[hidden]).any()


def test_a_perfect_prediction_looks_like_the_picture(made: Made) -> None:
    """Normalised targets are brought back to pixels before they are shown."""
    recipe, _ = made(target="normalised")
    pictures, masks = some(32)
    objective = Masked(network(), recipe)

    class Knows(torch.nn.Module):
        def forward(self, pictures: Tensor, masks: Tensor) -> Tensor:
            return objective.wanted(pictures)

    before, _, after = objective._shown(Knows(), pictures / 4, masks).unbind(dim=1)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_a_sheet_does_not_shrink_large_pictures() -> None:
    """224 px stay 224 px."""
    assert sheet(np.zeros((1, 3, 224, 224, 3), np.uint8)).size == (3 * 228 + 4, 228 + 4)


@pytest.mark.slow
def test_the_loop_trains_it_like_any_other(made: Made, tmp_path: Path) -> None:
    """Rows with a val loss and without top-1, sheets, and the best epoch's weights in the end."""
    recipe, split = made(epochs=3, ema=0.9, lr=2e-3)
    trainer = loop.build_trainer(learner_of(recipe), recipe, split, machine())
    loop.fit(trainer, Run(tmp_path), Watch())
    assert len(trainer.rows) == 3
    assert all(row.train_top1 is None and row.val_top1 is None for row in trainer.rows)
    val = [row.val_loss for row in trainer.rows]
    assert trainer.best_epoch == 1 + val.index(min(loss for loss in val if loss is not None))
    assert len(list((tmp_path / "reconstructions").iterdir())) == 3
    assert trainer.objective.val_loss(trainer.evaluated, split, machine()) == val[trainer.best_epoch - 1]
