import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch._subclasses.fake_tensor import FakeTensorMode

from vitbench.data import batches, prefetch
from vitbench.data.batches import (
    Evaluation,
    eval_batches,
    pixels_of,
    train_batches,
)
from vitbench.data.crew import Crew
from vitbench.data.decode import decode
from vitbench.data.epochs import plan_epoch
from vitbench.data.made import stored_side, training_picture
from vitbench.data.prefetch import Prefetcher, in_batches
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.views import draw_view, render
from vitbench.errors import VitbenchError
from vitbench.records import Preprocessing, Recipe, Split

Maker = Callable[..., Path]
SIZE = 16
PREPROCESSING = Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic", 0.9)


def recipe(split: Split, **changes: Any) -> Recipe:
    """A recipe of which only the data's part matters here."""
    fields: dict[str, Any] = {
        "model": "none", "init": {"kind": "random"}, "preprocessing": PREPROCESSING, "classes": split.classes,
        "data_digest": split.data_digest, "split_digest": split.digest, "name": "finetune", "seed": 0,
        "epochs": 2, "per_class": 7, "augment": "strong", "flip": True, "fixed_views": False,
        "batch_size": 4, "optimizer": "adamw", "lr": 1e-3, "min_lr": 0, "weight_decay": 0,
        "layer_decay": None, "schedule": "constant", "warmup_epochs": 0, "label_smoothing": 0,
        "drop_path": 0, "clip_grad": None, "mixup": 0, "cutmix": 0, "ema_decay": None, "patience": None,
        "precision": "fp32",
    }  # fmt: skip
    return Recipe(**{**fields, **changes})


@pytest.fixture
def split(tmp_path: Path, classes: Maker) -> Split:
    """Two classes of 5 small pictures: 3 train, 1 val, 1 test each."""
    return split_images(scan_folder(classes(tmp_path / "data", {"cat": 5, "dog": 5})))


def joined(batches: Any) -> tuple[bytes, list[int]]:
    """All image bytes and labels of some batches."""
    pairs = list(batches)
    return b"".join(images.numpy().tobytes() for images, _ in pairs), [int(y) for _, ys in pairs for y in ys]


def test_batches_are_the_plan(split: Split) -> None:
    """Batches hold the planned views in order, as rendered bytes, evenly filled."""
    spec = recipe(split)
    batches = list(train_batches(split, spec, 2))
    plan = plan_epoch(split.train, 7, 0, 2)
    assert [len(labels) for _, labels in batches] == [3, 4, 3, 4]
    assert all(x.dtype == torch.uint8 and x.shape[1:] == (3, SIZE, SIZE) for x, _ in batches)
    assert all(y.dtype == torch.int64 for _, y in batches)
    images, labels = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    for place, (index, k) in enumerate(plan):
        picture = split.train[index]
        stored = training_picture(split.root, picture, stored_side(SIZE, "strong"))
        view = draw_view(0, 2, picture.sha256, k, picture.width / picture.height, "strong")
        assert np.array_equal(images[place].permute(1, 2, 0).numpy(), render(view, stored, SIZE))
        assert split.classes[labels[place]] == picture.label


def test_any_number_of_workers_gives_the_same_bytes(split: Split) -> None:
    """0, 1 and 2 threads give the same batches, over two epochs."""
    results = [
        [joined(train_batches(split, recipe(split), epoch, workers)) for epoch in (1, 2)]
        for workers in (0, 1, 2)
    ]
    assert results[0] == results[1] == results[2]
    assert results[0][0] != results[0][1]


def test_fixed_views_repeat(split: Split) -> None:
    """The slides' way: the same set of views in every epoch, in another order."""
    spec = recipe(split, fixed_views=True)
    one, two = (
        sorted(x.numpy().tobytes() for images, _ in train_batches(split, spec, e) for x in images)
        for e in (1, 2)
    )
    assert one == two


def test_flip_off_reaches_the_views(split: Split) -> None:
    """`flip` of the recipe is obeyed."""
    on, off = (joined(train_batches(split, recipe(split, flip=f), 1)) for f in (True, False))
    assert on != off


def test_global_random_state_is_left_alone(split: Split) -> None:
    """Loading draws nothing from torch's global generator: dropout does not depend on it."""
    before = torch.get_rng_state()
    list(train_batches(split, recipe(split), 1))
    list(eval_batches(split.root, split.test, PREPROCESSING, 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("fault", "workers"), [("gone", 0), ("changed", 0), ("changed", 1)])
def test_file_lost_during_training(split: Split, fault: str, workers: int) -> None:
    """A training file that vanished or changed stops with one line that names it, from a worker too."""
    path = split.root / split.train[0].path
    if fault == "gone":
        path.unlink()
    else:
        Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(VitbenchError, match=path.name) as error:
        list(train_batches(split, recipe(split), workers=workers, epoch=1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("augment", "side"), [("none", 224), ("geometry", 366), ("strong", 518)])
def test_stored_side(augment: str, side: int) -> None:
    """The stored side is just enough for the level's smallest crop: 224 / sqrt(.5 × .75) = 365.8."""
    assert stored_side(224, augment) == side


def test_training_picture_is_shrunk_never_enlarged(tmp_path: Path, classes: Maker, make: Maker) -> None:
    """The shorter side becomes the stored side, proportions kept; a smaller picture stays as it is."""
    classes(tmp_path, {"a": 1, "b": 1})
    make(tmp_path / "a" / "big.png", 99, (120, 60))
    by_name = {p.path: p for p in scan_folder(tmp_path).pictures}
    assert training_picture(tmp_path, by_name["a/big.png"], 30).size == (60, 30)
    small = training_picture(tmp_path, by_name["b/000.png"], 30)
    assert np.array_equal(np.asarray(small), np.asarray(decode(tmp_path / "b" / "000.png")))


@pytest.mark.parametrize(("interpolation", "workers"), [("bicubic", 0), ("bilinear", 0), ("bicubic", 1)])
def test_evaluation_is_timms(split: Split, interpolation: str, workers: int) -> None:
    """Evaluation tensors are exactly timm's transform of the decoded file: never augmented."""
    config = Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), interpolation, 0.9)
    timms = create_transform(
        input_size=(3, SIZE, SIZE), is_training=False, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4),
        interpolation=interpolation, crop_pct=0.9,
    )  # fmt: skip
    batches = list(eval_batches(split.root, split.train, config, 4, workers))
    assert [len(batch) for batch in batches] == [3, 3]
    for got, picture in zip(torch.cat(batches), split.train, strict=True):
        assert torch.equal(got, timms(decode(split.root / picture.path)))


def test_evaluation_brings_8_bits_to_the_device_and_normalises_there(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied is uint8, from pinned memory for a card; what comes lies there as the models want it."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        evaluation = Evaluation(PREPROCESSING)
        empty, to, asked, brought = torch.empty, torch.Tensor.to, set(), []

        def pinning(*given: Any, pin_memory: bool = False, **more: Any) -> torch.Tensor:
            asked.add(pin_memory)  # which needs a card
            return empty(*given, **more)

        def copying(self: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
            brought.append((self.dtype, *given, *more.values()))
            return to(self, *given, **more)

        monkeypatch.setattr(torch, "empty", pinning)
        monkeypatch.setattr(torch.Tensor, "to", copying)
        cuts = [torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8) for _ in range(2)]
        inputs = evaluation.inputs(cuts, torch.device("cuda"))
    assert True in asked
    assert brought[0] == (torch.uint8, torch.device("cuda"), True)
    assert (inputs.device.type, inputs.dtype, inputs.shape) == ("cuda", torch.float32, (2, 3, SIZE, SIZE))
    assert inputs.is_contiguous()


def test_evaluation_notices_a_changed_picture(split: Split) -> None:
    """A test picture that is no longer the one that was scanned is an error."""
    picture = split.test[0]
    Image.new("RGB", (9, 9)).save(split.root / picture.path)
    with pytest.raises(VitbenchError, match="changed since the data were read"):
        list(eval_batches(split.root, [picture], PREPROCESSING, 2))


def test_real_photos_keep_their_crops_at_any_size(photos: Callable[[str], Path]) -> None:
    """Two models of different input size see the same part of each photo."""
    split = split_images(scan_folder(photos("hemlock_cherry")))
    small, large = (
        torch.cat([
            x.float()
            for x, _ in train_batches(
                split,
                recipe(split, augment="geometry", preprocessing=dataclasses.replace(PREPROCESSING, size=s)),
                1,
            )
        ])
        for s in (32, 64)
    )  # fmt: skip
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (small - shrunk).abs().mean() < 6
    assert (small - shrunk.flip(0)).abs().mean() > 30


def test_transform_follows_the_preprocessing() -> None:
    """Mean and standard deviation are the model's own."""
    white = Image.new("RGB", (40, 40), (255, 255, 255))
    evaluation = Evaluation(PREPROCESSING)
    [got] = evaluation.inputs([pixels_of(evaluation.cut(white))], torch.device("cpu"))
    assert got[:, 0, 0].tolist() == pytest.approx([2.5, 2.0, 1.75])


def test_views_lie_side_by_side_as_pillow_gives_them(split: Split) -> None:
    """A batch is one copy of its views' rows, (B, S, S, 3) in memory; nothing turns them one by one."""
    for images, _ in train_batches(split, recipe(split), 1):
        assert images.permute(0, 2, 3, 1).is_contiguous()


def test_a_cards_batches_are_put_into_pinned_memory(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """From there alone a copy to a CUDA device is asynchronous; the views are stacked right into it."""
    empty, asked = torch.empty, []

    def pinning(*given: Any, pin_memory: bool = False, **more: Any) -> torch.Tensor:
        asked.append(pin_memory)  # which needs a card
        return empty(*given, **more)

    monkeypatch.setattr(torch, "empty", pinning)
    for pinned in (True, False):
        asked.clear()
        found = joined(train_batches(split, recipe(split), 1, Crew(1, pinned=pinned)))
        assert set(asked) == {pinned}
        assert found == joined(train_batches(split, recipe(split), 1))


def test_evaluation_decodes_on_every_core(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures are seen once: as many threads as cores prepare the first batch, as the default is."""
    threads: list[Prefetcher] = []

    def spying(prepare: Any, work: Any, workers: Prefetcher) -> Any:
        threads.append(workers)
        return in_batches(prepare, work, workers)

    monkeypatch.setattr(prefetch, "cores", lambda: 16)
    monkeypatch.setattr(batches, "in_batches", spying)
    list(eval_batches(split.root, split.test, PREPROCESSING, 2, None))
    list(eval_batches(split.root, split.test, PREPROCESSING, 2, 3))
    assert [one.workers for one in threads] == [16, 3]
