"""The loop: bit-equal after an interruption, honest about failure, right about batches and epochs."""

import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import StopAt

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.files import read_csv, sha256_of
from vitbench.models.create import create, state_sha256
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Epoch, Machine, Recipe, Run, Settings, Split, best_epoch
from vitbench.records.watch import Watch
from vitbench.training import loop
from vitbench.training.objectives.supervised import MixPictures, Supervised
from vitbench.training.objectives.table import OBJECTIVES
from vitbench.training.recipes import build_recipe

pytestmark = pytest.mark.usefixtures("no_reports")

Trained = Callable[..., Benchmark]
TIMES = ("seconds", "images_per_second", "peak_memory_mb")
STRESSED: dict[str, Any] = {"drop_path": 0.2, "ema": 0.9, "micro_batch": 6, "mixup": 0.2}


def weights_of(benchmark: Benchmark) -> list[str]:
    return [sha256_of(run.model_folder / "model.safetensors") for run in benchmark.runs]


def rows_of(run: Run) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_csv(run.folder / "epochs.csv")]


def built(folder: Path, **settings: Any) -> tuple[Recipe, Split, loop.Trainer]:
    """A trainer for test_vit on a folder."""
    split = split_images(scan_folder(folder), 0)
    plan = plan_model("test_vit", 32)
    asked = Settings.model_validate({"per_class": 12, "batch_size": 16, "epochs": 2, **settings})
    recipe = build_recipe(asked, plan, split, 0, RANDOM.origin, "fp32")
    machine = Machine("cpu", "CPU", asked.micro_batch or 16, 16, torch.get_num_threads(), 0)
    model = create(plan, 3, RANDOM, 0, recipe.drop_path)
    return recipe, split, loop.build_trainer(model, recipe, split, machine)


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", [(1, 2), (2, 1), (3, 3)], ids=["before-any-checkpoint", "epoch-2", "last-step"]
)
def test_interrupted_run_ends_with_the_same_bytes(trained: Trained, at: tuple[int, int]) -> None:
    """Stopped inside an epoch and resumed: same weights, same rows, each epoch once."""
    whole = trained(name="whole", epochs=3, **STRESSED)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(*at), name="cut", epochs=3, **STRESSED)
    cut = trained(name="cut", resume=True)
    assert weights_of(cut) == weights_of(whole)
    assert rows_of(cut.runs[0]) == rows_of(whole.runs[0])
    assert [row["epoch"] for row in rows_of(cut.runs[0])] == ["1", "2", "3"]


@pytest.mark.slow
def test_interrupted_convolutional_run_ends_with_the_same_bytes(trained: Trained) -> None:
    """Channels-last parameters and their optimiser state come back side by side, to the last epoch."""
    asked: dict[str, Any] = {"models": ("test_efficientnet",), "epochs": 4}
    whole = trained(name="whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(3, 1), name="cut", **asked)
    cut = trained(name="cut", resume=True)
    assert rows_of(cut.runs[0]) == rows_of(whole.runs[0])
    assert weights_of(cut) == weights_of(whole)


@pytest.mark.slow
def test_damaged_checkpoint_falls_back_to_the_one_before(trained: Trained) -> None:
    """A flipped byte in the newest checkpoint is noticed, said, and costs one epoch, not the run."""
    whole = trained(name="whole", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(4, 1), name="cut", epochs=4)
    heard: list[str] = []

    class Listening(Watch):
        def message(self, text: str) -> None:
            heard.append(text)

        def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
            heard.append(f"from {epoch}")

    newest = whole.folder.parent / "cut" / "test_vit-s0" / "checkpoint" / "epoch-0003.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    cut = trained(Listening(), name="cut", resume=True)
    assert any("epoch-0003" in text and "damaged" in text for text in heard)
    assert "from 3" in heard
    assert weights_of(cut) == weights_of(whole)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_damaged_best_weights_are_noticed(trained: Trained) -> None:
    """A flipped byte in the chosen weights is not saved and tested: the run starts again, and ends equal."""
    whole = trained(name="whole", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(3, 1), name="cut", epochs=3)
    for best in (whole.folder.parent / "cut" / "test_vit-s0" / "checkpoint").glob("best-*"):
        flip_a_byte(best)
    assert weights_of(trained(name="cut", resume=True)) == weights_of(whole)


@pytest.mark.slow
def test_a_restart_after_damage_can_be_interrupted_again(trained: Trained) -> None:
    """All checkpoints damaged: epoch 1 again, and its new checkpoint is kept and gone on from."""
    whole = trained(name="whole", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(4, 1), name="cut", epochs=4)
    folder = whole.folder.parent / "cut" / "test_vit-s0" / "checkpoint"
    for tensors in folder.glob("epoch-*.safetensors"):
        flip_a_byte(tensors)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 1), name="cut", resume=True)
    assert [path.name for path in folder.glob("epoch-*.json")] == ["epoch-0001.json"]
    assert weights_of(trained(name="cut", resume=True)) == weights_of(whole)


@pytest.mark.slow
def test_batch_norm_on_single_pictures_fails_that_model_alone(trained: Trained) -> None:
    """Batch size 1 cannot work with batch norm at 32 px: a clear line; the transformer goes on."""
    cnn, vit = trained(models=("test_efficientnet", "test_vit"), batch_size=1, epochs=1).runs
    assert cnn.status == "failed"
    assert "batch normalisation" in cnn.failure
    assert vit.status == "finished"


@pytest.mark.slow
def test_pictures_are_learnt(trained: Trained) -> None:
    """Three colours are told apart after a few epochs: the labels belong to the pictures."""
    run = trained(epochs=6, per_class=40).runs[0]
    test = run.metrics()["test"]
    assert test["correct"] == test["n"] == 6


def test_accumulated_micro_batches_give_the_full_batch_step(coloured: Path) -> None:
    """One step in micro-batches of 5, 5, 5, 1 moves the weights as one batch of 16 does."""
    after = []
    for micro in (16, 5):
        recipe, _, trainer = built(coloured, micro_batch=micro)
        trainer.model.train()
        images, labels = next(trainer.batches(1))
        loop.train_step(trainer, images, labels, recipe.epochs)
        after.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    assert after[0].shape == after[1].shape
    torch.testing.assert_close(after[0], after[1], atol=2e-5, rtol=0)


@pytest.mark.slow
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forward pass that only takes 4 pictures ends with micro-batches of 4, said in the run's notes."""

    class Small(Supervised):
        def forward(self, pixels: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
            if len(pixels) > 4:
                raise torch.OutOfMemoryError("planted")
            return super().forward(pixels, targets)

    monkeypatch.setitem(OBJECTIVES, "supervised", Small)
    run = trained().runs[0]
    assert run.status == "finished"
    assert run.environment()["micro_batch"] == 4
    assert run.recipe().batch_size == 16
    assert any("4 pictures per forward pass" in note for note in run.metrics()["notes"])


@pytest.mark.slow
def test_out_of_memory_for_good_fails_that_model_alone(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture that does not fit fails the model in one line; the other model finishes."""

    class Full(Supervised):
        def forward(self, pixels: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
            if type(self.model).__name__ == "VisionTransformer":
                raise torch.OutOfMemoryError("planted")
            return super().forward(pixels, targets)

    monkeypatch.setitem(OBJECTIVES, "supervised", Full)
    failed, finished = trained(models=("test_vit", "test_efficientnet")).runs
    assert failed.status == "failed"
    assert "out of memory" in failed.failure
    assert finished.status == "finished"


def test_a_loss_that_is_no_number_fails_that_model_alone(trained: Trained) -> None:
    """A learning rate of 1e30 ends the run with a line that names it."""
    runs = trained(lr=1e30, recipe="slides").runs
    assert runs[0].status == "failed"
    assert "loss is" in runs[0].failure
    assert "--lr" in runs[0].failure


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),
        ([(0.5, 1.0), (0.5, 0.8), (0.5, 0.9)], 2),
        ([(0.5, 1.0), (0.5, 1.0)], 1),
    ],
    ids=["highest-top1", "tie-lower-loss", "tie-earlier"],
)
def test_best_epoch(scores: list[tuple[float, float]], best: int) -> None:
    """Highest val top-1; ties go to the lower loss, then to the earlier epoch."""
    rows = [
        Epoch(i, 1.0, None, loss, top1, 0.1, 1.0, 1.0, 1.0) for i, (top1, loss) in enumerate(scores, start=1)
    ]
    assert best_epoch(rows).epoch == best


def test_patience_stops_early(coloured: Path) -> None:
    """With patience 2 a run stops two epochs after its best one, not before."""
    _, _, trainer = built(coloured, epochs=10, patience=2)
    rows = [Epoch(i, 1, None, 1, 0.5, 0.1, 1, 1, 1) for i in range(1, 6)]
    trainer.rows, trainer.best_epoch = rows[:4], 3
    assert not trainer.stopped
    trainer.rows = rows
    assert trainer.stopped


def test_layer_decay_reaches_the_optimiser(coloured: Path) -> None:
    """At a step of the cosine schedule the first block's lr is the head's times the decay's power."""
    _, _, trainer = built(coloured, lr=1e-3)
    recipe = trainer.recipe.model_copy(update={"layer_decay": 0.5, "warmup_epochs": 0.0})
    trainer = loop.build_trainer(trainer.model, recipe, trainer.split, trainer.machine)
    assert trainer.scheduler is not None
    trainer.scheduler.step_update(0)
    rates = sorted({group["lr"] for group in trainer.optimizer.param_groups})
    assert rates[-1] == pytest.approx(1e-3)
    assert rates[-2] / rates[-1] == pytest.approx(0.5, rel=0.02)
    assert len(rates) > 5


@pytest.mark.slow
def test_lr_warms_up_then_falls(trained: Trained) -> None:
    """epochs.csv shows the cosine's end; the first step's lr is the smallest of all."""
    rows = trained(epochs=5).runs[0].epochs()
    assert rows[0].lr > rows[2].lr > rows[4].lr > 0


@pytest.mark.slow
def test_slides_recipe_is_adam_at_a_constant_rate_on_fixed_views(trained: Trained) -> None:
    """`--recipe slides`: Adam, no schedule, and each epoch shows the same set of views."""
    run = trained(recipe="slides", epochs=3).runs[0]
    recipe = run.recipe()
    assert (recipe.optimizer, recipe.schedule, recipe.fixed_views) == ("adam", "constant", True)
    assert {row.lr for row in run.epochs()} == {recipe.lr}


def test_fixed_views_are_the_same_pictures_in_each_epoch(coloured: Path) -> None:
    """The multiset of training tensors of epochs 1 and 2 is equal under the slides' recipe only."""
    for name, same in (("slides", True), ("finetune", False)):
        _, _, trainer = built(coloured, recipe=name)
        seen = [
            sorted(image.numpy().tobytes() for images, _ in trainer.batches(epoch) for image in images)
            for epoch in (1, 2)
        ]
        assert (seen[0] == seen[1]) is same


@pytest.mark.slow
def test_mixup_leaves_the_training_accuracy_empty(trained: Trained) -> None:
    """Under mixup no running accuracy is made up: the cell is empty."""
    run = trained(mixup=0.5, cutmix=0.5).runs[0]
    with (run.folder / "epochs.csv").open() as stream:
        assert {row["train_top1"] for row in csv.DictReader(stream)} == {""}


@pytest.mark.parametrize("length", [1, 2, 5])
def test_mixing_takes_any_batch_length(coloured: Path, length: int) -> None:
    """Odd batches, on which timm asserts, are mixed but for their last picture; targets sum to 1."""
    recipe, _, _ = built(coloured, mixup=0.8)
    pixels, targets = MixPictures(recipe)(torch.rand(length, 3, 8, 8), torch.arange(length) % 3)
    assert pixels.shape == (length, 3, 8, 8)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(length))


@pytest.mark.slow
def test_moving_average_is_what_is_saved(trained: Trained, coloured: Path) -> None:
    """With EMA the saved model is the average, not the last weights."""
    plain, averaged = trained(name="plain", epochs=3), trained(name="ema", epochs=3, ema=0.99)
    assert weights_of(plain) != weights_of(averaged)


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_other_weights(trained: Trained) -> None:
    """A run is decided by its recipe; the seed is part of it."""
    first, again, other = trained(name="a"), trained(name="b"), trained(name="c", seeds=(1,))
    assert weights_of(first) == weights_of(again) != weights_of(other)


@pytest.mark.slow
def test_initial_weights_stand_in_the_recipe(trained: Trained) -> None:
    """recipe.json names the sha256 of the very state that training started from."""
    run = trained().runs[0]
    model = create(plan_model("test_vit", 32), 3, RANDOM, 0, run.recipe().drop_path)
    assert run.recipe().initial_sha256 == state_sha256(model)


@pytest.mark.slow
def test_a_run_of_one_step_is_no_librarys_business(
    trained: Callable[..., Benchmark], caplog: pytest.LogCaptureFixture
) -> None:
    """A single step in a single epoch: no library logs or warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        benchmark = trained(epochs=1, batch_size=64)
    assert [record.getMessage() for record in caplog.records] == []
    (run,) = benchmark.runs
    assert len(run.epochs()) == 1
