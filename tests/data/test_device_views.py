"""Views made on a device are those that Pillow makes, to the last bit; the device is the CPU here."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cropped import compare_views
from PIL import Image
from test_batches import PREPROCESSING, SIZE, joined, recipe
from torch._subclasses.fake_tensor import FakeTensorMode

from vitbench.data import device_views
from vitbench.data.batches import train_batches
from vitbench.data.device_views import ON_DEVICE, SHAPES, DeviceViews, KeptPictures, Making, choose_making
from vitbench.data.prefetch import Prefetcher, whole
from vitbench.data.resample import Crops, resample
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.store import open_store
from vitbench.data.views import LEVELS
from vitbench.errors import VitbenchError
from vitbench.records import PixelRange, Recipe, Split

CPU = torch.device("cpu")
PLENTY = 10**9
SIZES = [(40, 30), (21, 90), (200, 41), (33, 33), (64, 128)]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Two classes of five noisy pictures: wide, tall, small, and larger than what is stored of them."""
    noise = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number, (width, height) in enumerate(SIZES):
            pixels = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    return split_images(scan_folder(tmp_path / "data"))


def made(split: Split, asked: Recipe, epochs: int = 2, room: int = PLENTY, **more: Any) -> list[Any]:
    """Bytes and labels of whole epochs, made by one `DeviceViews`."""
    views = DeviceViews(CPU, resample, room)
    threads = more.pop("threads", Prefetcher(0))
    return [
        joined((make(), labels) for make, labels in views.batches(split, asked, epoch, threads, **more))
        for epoch in range(1, epochs + 1)
    ]


def by_pillow(split: Split, asked: Recipe, epochs: int = 2, **more: Any) -> list[Any]:
    return [joined(train_batches(split, asked, epoch, **more)) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("level", sorted(ON_DEVICE))
def test_epochs_have_pillows_bytes(split: Split, level: str, interpolation: str) -> None:
    """Every batch of two epochs, at every level that a device makes."""
    prepared = dataclasses.replace(PREPROCESSING, interpolation=interpolation)
    asked = recipe(split, augment=level, preprocessing=prepared)
    assert made(split, asked) == by_pillow(split, asked)


@pytest.mark.parametrize("level", sorted(ON_DEVICE))
def test_views_of_any_size(level: Any) -> None:
    """At 64 to 384 px, of small and large pictures."""
    assert compare_views(resample, level, 400_000, largest=500).differ == 0


@pytest.mark.slow
@pytest.mark.parametrize("level", sorted(ON_DEVICE))
def test_tens_of_millions_of_values_of_every_level(level: Any) -> None:
    """Pictures of 20 to 4,000 px, at 64 to 384 px, both orders of the passes: 0 values differ."""
    found = compare_views(resample, level, 20_000_000)
    print(f"{level}: {found.values} values, {found.differ} differ; {sorted(found.ways)}")
    assert found.differ == 0


@pytest.mark.parametrize(
    "changes",
    [{"flip": False}, {"fixed_views": True}, {"repeats": 3}, {"batch_size": 3}, {"per_class": "all"},
     {"preprocessing": dataclasses.replace(PREPROCESSING, pixel_range=PixelRange(0, 255))}],
)  # fmt: skip
def test_whatever_the_recipe_asks_for(split: Split, changes: dict[str, Any]) -> None:
    """Not mirrored, the same views in every epoch, several of one picture in a batch, other batches."""
    asked = recipe(split, augment="geometry", **changes)
    assert made(split, asked) == by_pillow(split, asked)


def test_real_photos_at_224_px(photos: Callable[[str], Path]) -> None:
    """Photos that were shrunk while they were decoded."""
    split = split_images(scan_folder(photos("hemlock_cherry")))
    prepared = dataclasses.replace(PREPROCESSING, size=224)
    asked = recipe(split, augment="geometry", preprocessing=prepared)
    assert made(split, asked, epochs=1) == by_pillow(split, asked, epochs=1)


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 20_000])
@pytest.mark.parametrize("workers", [0, 2])
def test_neither_store_nor_room_nor_threads_change_them(
    split: Split, tmp_path: Path, room: int, workers: int
) -> None:
    """With a store or without, kept on the device or brought for each batch, by any threads."""
    asked = recipe(split, augment="geometry")
    expected = by_pillow(split, asked, 3)
    for store in ("", str(tmp_path / "store"), str(tmp_path / "store")):
        found = made(split, asked, 3, room, threads=Prefetcher(workers), store=open_store(store))
        assert found == expected


def test_each_process_makes_its_share(split: Split) -> None:
    """Of several processes each makes its part of every batch; one may have none of it."""
    asked = recipe(split, augment="geometry")
    for share in (lambda n: slice(n // 2), lambda n: slice(n // 2, n), lambda n: slice(0, 0), whole):
        assert made(split, asked, share=share) == by_pillow(split, asked, share=share)


def test_what_is_stored_comes_to_the_device_once(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over three epochs a picture is decoded and copied once where all have room; else again and again."""
    real, asked = device_views.training_picture, []

    def spying(root: Path, picture: Any, *more: Any) -> Image.Image:
        asked.append(picture.path)
        return real(root, picture, *more)

    monkeypatch.setattr(device_views, "training_picture", spying)
    made(split, recipe(split, augment="geometry"), 3)
    assert len(asked) == len(set(asked)) == len(split.train)
    asked.clear()
    made(split, recipe(split, augment="geometry"), 3, room=0)
    assert len(asked) > 3 * len(split.train)


def test_an_epoch_that_was_left_takes_no_room(split: Split) -> None:
    """What was planned for batches that nobody asked for is brought when an epoch needs it."""
    asked = recipe(split, augment="geometry")
    views = DeviceViews(CPU, resample, PLENTY)
    begun = views.batches(split, asked, 1, Prefetcher(0))
    next(begun)
    begun.close()
    again = joined((make(), labels) for make, labels in views.batches(split, asked, 1, Prefetcher(0)))
    assert again == joined(train_batches(split, asked, 1))


def test_a_lost_picture_is_named(split: Split) -> None:
    """As where the CPU makes the views."""
    path = split.root / split.train[0].path
    path.unlink()
    with pytest.raises(VitbenchError, match=path.name):
        made(split, recipe(split, augment="geometry"))


@pytest.mark.slow
@pytest.mark.parametrize("level", sorted(ON_DEVICE))
def test_on_a_card_nothing_stays_behind(split: Split, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tensors that only say they lie on one: what is computed is there, what goes up is pinned."""
    up: list[torch.Tensor] = []
    to = torch.Tensor.to

    def pinned(tensor: torch.Tensor) -> torch.Tensor:  # which needs a card
        up.append(tensor)
        return tensor

    def copied(tensor: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        if given == (torch.device("cuda"),):
            assert more == {"non_blocking": True}
            assert any(tensor is one for one in up)
        return to(tensor, *given, **more)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(torch.Tensor, "to", copied)
    with FakeTensorMode(allow_non_fake_inputs=True):
        views = DeviceViews(torch.device("cuda"), resample, PLENTY)
        for make, labels in views.batches(split, recipe(split, augment=level), 1, Prefetcher(0)):
            images = make()
            assert (images.device.type, images.dtype) == ("cuda", torch.uint8)
            assert images.shape == (len(labels), 3, SIZE, SIZE)
    assert len(up) > len(split.train)


# --- what lies on the device ----------------------------------------------------------------------


class Kept:
    """Pictures of a byte or more that are the bytes of their names."""

    def __init__(self, room: int) -> None:
        self.kept = KeptPictures(CPU, room)

    def ask(self, needed: str) -> str:
        """Plan and make a batch of words; what had to be brought."""
        words = dict.fromkeys(needed.split())
        change = self.kept.plan({word: len(word) for word in words})
        brought = [torch.tensor(list(word.encode()), dtype=torch.uint8) for word in change.lacking]
        assert bytes(self.kept.lay_out(change, brought).tolist()).decode() == "".join(words)
        return " ".join(change.lacking)


def test_the_least_recently_used_make_way() -> None:
    """Of three places b's goes to d, for a was asked for after it."""
    kept = Kept(3)
    assert [kept.ask(one) for one in ("a b c", "a", "d", "a c d", "b")] == ["a b c", "", "d", "", "b"]
    assert kept.ask("a") == "a"  # it made way for b


def test_what_finds_no_room_is_brought_for_its_batch_alone() -> None:
    """Nothing that the same batch needs makes way for it."""
    kept = Kept(3)
    assert kept.ask("a b cc") == "a b cc"
    assert kept.ask("a b") == ""
    assert kept.ask("cccc") == "cccc"
    assert kept.kept.room >= 0


def test_batches_are_planned_ahead_of_those_that_are_made() -> None:
    """A picture that makes way in a later plan is still there for an earlier one."""
    kept = KeptPictures(CPU, 1)
    changes = [kept.plan({name: 1}) for name in "aabba"]
    assert [change.lacking for change in changes] == [("a",), (), ("b",), (), ("a",)]
    for change, name in zip(changes, "aabba", strict=True):
        there = kept.lay_out(change, [torch.tensor([ord(one)], dtype=torch.uint8) for one in change.lacking])
        assert there.tolist() == [ord(name)]


# --- who makes them -------------------------------------------------------------------------------


def wrong(pixels: torch.Tensor, crops: Crops) -> torch.Tensor:
    """One value of all is off by one."""
    views = resample(pixels, crops)
    views[3, 1, 5, 7] ^= 1
    return views


def broken(pixels: torch.Tensor, crops: Crops) -> torch.Tensor:
    raise RuntimeError("no compiler here\nand more lines")


@pytest.fixture
def choose(split: Split, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Making]:
    """`choose(ways)` is what `choose_making` chooses, for a CPU that is asked as a card is."""

    def go(*ways: Any, without: tuple[str, ...] = (), **changes: Any) -> Making:
        monkeypatch.setattr(device_views, "DEVICES", {"cpu"})
        monkeypatch.setattr(device_views, "ways", lambda device: [(way.__name__, way) for way in ways])
        return choose_making(recipe(split, **{"augment": "geometry", **changes}), CPU, without)

    return go


def test_the_levels_do_nothing_else(split: Split) -> None:
    """They crop, rotate, mirror and change three factors; operations and erasing are the CPU's."""
    for name in ON_DEVICE:
        assert (LEVELS[name].ops, LEVELS[name].erase) == (0, 0)
    assert set(LEVELS) - ON_DEVICE == {"strong", "deit"}


def test_equal_views_are_the_devices(choose: Callable[..., Making]) -> None:
    """The run's file names the Pillow that they are equal to; nothing is said."""
    making = choose(resample)
    assert making.views is not None
    assert making.how.startswith("device, equal to Pillow ")
    assert making.how.endswith(" (resample)")
    assert not making.trouble


def test_the_next_way_stands_in(choose: Callable[..., Making]) -> None:
    """Where one way fails or differs, another that is equal makes them, and the run's file says it."""
    making = choose(broken, wrong, resample)
    assert making.views is not None
    assert "(resample; not by broken: no compiler here; not by wrong: 1 of " in making.how


@pytest.mark.parametrize(("way", "why"), [(wrong, "1 of "), (broken, "no compiler here")])
def test_unequal_views_are_the_cpus(choose: Callable[..., Making], way: Any, why: str) -> None:
    """One value of millions is enough; one line says so."""
    making = choose(way)
    assert making.views is None
    assert making.how.startswith(f"CPU, not by {way.__name__}: {why}")
    assert making.trouble.startswith("views are made on the CPU, for cpu cannot make them: not by ")
    assert "\n" not in making.trouble


def test_who_is_not_asked(choose: Callable[..., Making], split: Split) -> None:
    """Other levels and interpolations, a switch, and a device on which nothing is gained: the CPU, unsaid."""
    lanczos = dataclasses.replace(PREPROCESSING, interpolation="lanczos")
    found = [
        choose(broken, augment="deit"),
        choose(broken, preprocessing=lanczos),
        choose(broken, without=("device_views",)),
    ]
    assert [one.how for one in found] == [
        "CPU, which alone makes deit ones",
        "CPU, which alone makes lanczos ones",
        "CPU, as asked for by --without device_views",
    ]
    assert not any(one.views or one.trouble for one in found)


def test_a_cpu_makes_them_with_pillow(split: Split) -> None:
    """Its threads are as fast."""
    assert choose_making(recipe(split, augment="geometry"), CPU) == Making("CPU")


def test_both_orders_of_the_passes_are_tried() -> None:
    """Before a training: some pictures that Pillow 13 resizes along the height first, and some others."""
    turned = [high > 1 and high - 1 > 2 * (wide - 1) for wide, high in SHAPES]
    assert any(turned)
    assert not all(turned)
