"""Views made on the device that trains, from stored pictures that lie there; Pillow's to the last bit.

The CPU draws them and decodes the pictures that are lacking; the device does the rest. That it does it as
Pillow is not believed: before a training some views are compared with the installed Pillow's, and where a
value differs the CPU makes them all.
"""

import importlib.util
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import PIL
import psutil
import torch
from PIL import Image
from torch import Tensor

from vitbench.data.batches import Share, planned_batches
from vitbench.data.epochs import view_epoch
from vitbench.data.made import NO_STORE, Views, stored_size, training_picture
from vitbench.data.prefetch import Prefetcher, in_batches, whole
from vitbench.data.resample import REACH, Crops, plan_crops, resample
from vitbench.data.retouch import plan_retouch, retouch
from vitbench.data.store import Store
from vitbench.data.views import PLAIN, View, draw_view, frame_of, render
from vitbench.errors import first_line
from vitbench.records import Array, Augment, Picture, Recipe, Split

DEVICES = frozenset({"cuda"})
"""The kinds of device that make views; on a CPU the threads are as fast with Pillow."""
ON_DEVICE: frozenset[Augment] = frozenset({"none", "geometry", "masked", "light"})
"""The levels that a device makes, for their tests find every value equal; the CPU makes the others."""
SHARE = 0.25
"""Of a device's free memory, what stored pictures may take."""
SHAPES = ((0.3, 0.4), (0.9, 0.5), (1.0, 1.0), (0.5, 3.0), (1.6, 1.7), (3.0, 0.7), (1.2, 2.9), (2.2, 1.6))
"""Width and height, as multiples of a view's side, of the pictures tried: enlarged, shrunk, wide, tall."""
TRIED = 2
"""Views that are tried of each."""

Resample = Callable[[Tensor, Crops], Tensor]
Make = Callable[[], Tensor]
"""Gives a batch's images, uint8 (B, 3, S, S) on the device: made when it is called, on the current stream."""


# --- pictures on the device -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch changes in what lies on the device; pictures by their sha256."""

    needed: tuple[str, ...]
    lacking: tuple[str, ...]
    """Has to be brought."""
    kept: frozenset[str]
    """Of what is brought, what stays there afterwards."""
    dropped: tuple[str, ...]
    """Makes way, before anything is brought."""


class KeptPictures:
    """Stored pictures on a device, as far as there is room; the least recently used make way.

    What a batch changes is planned on the host before its pictures are decoded, and done when it is made.
    Batches are made in the order in which they were planned, so what is planned to be there is there.
    """

    def __init__(self, device: torch.device, room: int) -> None:
        """`room`: bytes that they may take."""
        self.device = device
        self.room = room
        """Bytes that are left, once all that is planned is done."""
        self._planned: OrderedDict[str, int] = OrderedDict()
        """Bytes by picture, once all that is planned is done; the least recently used first."""
        self._there: dict[str, Tensor] = {}

    def plan(self, needed: Mapping[str, int]) -> Change:
        """What a batch changes that needs pictures of so many bytes."""
        for key in needed:
            if key in self._planned:
                self._planned.move_to_end(key)
        lacking = [key for key in needed if key not in self._planned]
        kept, dropped = set(), []
        for key in lacking:
            while self.room < needed[key] and (old := next(iter(self._planned), key)) not in needed:
                self.room += self._planned.pop(old)
                dropped.append(old)
            if self.room >= needed[key]:
                self.room -= needed[key]
                self._planned[key] = needed[key]
                kept.add(key)
        return Change(tuple(needed), tuple(lacking), frozenset(kept), tuple(dropped))

    def lay_out(self, change: Change, brought: Sequence[Tensor]) -> Tensor:
        """(any,) uint8 on the device: the pictures that a batch needs, one behind the other.

        `brought`: its lacking ones, RGB values row by row, in pinned memory where the device is a card.
        """
        for key in change.dropped:
            del self._there[key]
        new = {
            key: pixels.to(self.device, non_blocking=True)
            for key, pixels in zip(change.lacking, brought, strict=True)
        }
        self._there |= {key: new[key] for key in change.kept}
        return torch.cat([new[key] if key in new else self._there[key] for key in change.needed])

    def settle(self) -> None:
        """Take back what was planned for batches that nobody asked for any more."""
        for key in self._there.keys() - self._planned.keys():
            del self._there[key]
        for key in self._planned.keys() - self._there.keys():
            self.room += self._planned.pop(key)


# --- views ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What a device has to do for a batch of views."""

    crops: Crops
    size: int
    """Of a view, px."""
    retouched: Tensor | None
    """The table of `retouch`; None: they are done once they are resized."""

    def through(self, move: Callable[[Tensor], Tensor]) -> "Plan":
        """The same with its tables as `move` leaves them."""
        crops = self.crops.with_table(move(self.crops.table))
        return Plan(crops, self.size, None if self.retouched is None else move(self.retouched))

    def make(self, pixels: Tensor, resampled: Resample) -> Tensor:
        """uint8 (B, 3, S, S), of pictures that lie one behind the other in `pixels`."""
        made = resampled(pixels, self.crops)
        return made if self.retouched is None else retouch(made, self.retouched, self.size)


def plan_views(
    drawn: Sequence[View],
    sizes: Sequence[tuple[int, int]],
    begins: Sequence[int],
    size: int,
    interpolation: str,
) -> Plan:
    """Views of a level that a device makes, of pictures of such widths and heights that begin there."""
    frames = [frame_of(view, *sides, size) for view, sides in zip(drawn, sizes, strict=True)]
    further = any(view.rotation or view.colour != PLAIN for view in drawn)
    crops = plan_crops(
        np.array(sizes, dtype=np.int64).reshape(-1, 2),
        np.array(begins, dtype=np.int64),
        np.array([frame.box for frame in frames]).reshape(-1, 4),
        np.array([(one.left + one.right, one.top + one.bottom) for one in frames]).reshape(-1, 2) + size,
        np.array([view.flip and not further for view in drawn], dtype=bool),
        interpolation,
    )
    return Plan(crops, size, torch.from_numpy(plan_retouch(drawn, frames, size)) if further else None)


class DeviceViews:
    """Makes the views of one training on one device."""

    def __init__(self, device: torch.device, resampled: Resample, room: int) -> None:
        """`room`: bytes of the device that stored pictures may take."""
        self.device = device
        self._resampled = resampled
        self._kept = KeptPictures(device, room)

    def batches(
        self,
        split: Split,
        recipe: Recipe,
        epoch: int,
        threads: Prefetcher,
        share: Share = whole,
        store: Store = NO_STORE,
    ) -> Iterator[tuple[Make, Tensor]]:
        """What `train_batches` gives, to the last bit, but that the images are still to be made.

        Each has to be called before the next one is asked for. Pictures are decoded, and views drawn, ahead.
        """
        views, turn = Views.of(split, recipe), view_epoch(epoch, recipe.fixed_views)
        planned = planned_batches(split, recipe, epoch, share)
        changes: deque[Change] = deque()
        self._kept.settle()

        def to_do() -> Iterator[list[Callable[[], Any]]]:
            for part, _ in planned:
                pictures = {views.pictures[i].sha256: views.pictures[i] for i, _ in part}
                changes.append(self._kept.plan({key: _bytes(one, views) for key, one in pictures.items()}))
                lacking = [pictures[key] for key in changes[-1].lacking]
                yield [
                    partial(self._draw, views, turn, part),
                    *(partial(self._bring, views, picture, store) for picture in lacking),
                ]

        for (_, labels), (plan, *brought) in zip(planned, in_batches(_done, to_do(), threads), strict=True):
            yield partial(self._make, changes.popleft(), plan, brought), labels

    def _draw(self, views: Views, turn: int, part: Sequence[tuple[int, int]]) -> Plan:
        """What to do for a batch's views, of the pictures one behind the other, each once."""
        pictures = [views.pictures[index] for index, _ in part]
        begins, end = {}, 0
        for picture in {one.sha256: one for one in pictures}.values():
            begins[picture.sha256] = end
            end += _bytes(picture, views)
        plan = plan_views(
            [views.drawn(turn, views.pictures[index], k) for index, k in part],
            [stored_size(one, views.side) for one in pictures],
            [begins[one.sha256] for one in pictures],
            views.size,
            views.interpolation,
        )
        return plan.through(self._pinned)

    def _bring(self, views: Views, picture: Picture, store: Store) -> Tensor:
        """A stored picture's RGB values, row by row, from where the device fetches them by itself."""
        image = training_picture(views.root, picture, views.side, store, views.meant)
        assert image.size == stored_size(picture, views.side), picture.path
        return self._pinned(torch.from_numpy(np.array(image).reshape(-1)))

    def _pinned(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _make(self, change: Change, plan: Plan, brought: Sequence[Tensor]) -> Tensor:
        if not change.needed:  # fewer views than processes
            return torch.empty((0, 3, plan.size, plan.size), dtype=torch.uint8, device=self.device)
        pixels = self._kept.lay_out(change, brought)
        return plan.through(lambda table: table.to(self.device, non_blocking=True)).make(
            pixels, self._resampled
        )


def _bytes(picture: Picture, views: Views) -> int:
    width, height = stored_size(picture, views.side)
    return 3 * width * height


def _done(work: Callable[[], Any]) -> Any:
    return work()


# --- the choice -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Making:
    """Who makes the views of a training."""

    how: str
    """ "device, equal to Pillow 13.0.0 (Triton)", or "CPU" and why, as a run's `environment.json` says it."""
    views: DeviceViews | None = None
    """None: the CPU, by `train_batches`."""
    trouble: str = ""
    """One line for the user, where the device should make them and cannot."""


def choose_making(recipe: Recipe, device: torch.device, without: Collection[str] = ()) -> Making:
    """The device where it makes a recipe's views to the last bit, which is tried out; else the CPU."""
    if device.type not in DEVICES:
        return Making("CPU")
    if "device_views" in without:
        return Making("CPU, as asked for by --without device_views")
    interpolation = recipe.preprocessing.interpolation
    for what, known in ((recipe.augment, ON_DEVICE), (interpolation, REACH)):
        if what not in known:
            return Making(f"CPU, which alone makes {what} ones")
    reasons: list[str] = []
    for name, resampled in ways(device):
        try:
            reason = _difference(resampled, recipe, device)
        except Exception as error:  # noqa: BLE001  # a compiler, a driver: the CPU can do without either
            reason = first_line(error)
        if not reason:
            how = f"device, equal to Pillow {PIL.__version__} ({'; '.join([name, *reasons])})"
            return Making(how, DeviceViews(device, resampled, int(SHARE * _free_memory(device))))
        reasons.append(f"not by {name}: {reason}")
    why = "; ".join(reasons)
    return Making(f"CPU, {why}", None, f"views are made on the CPU, for {device} cannot make them: {why}")


def ways(device: torch.device) -> Iterator[tuple[str, Resample]]:
    """The ways in which a device may make views, the fastest first."""
    if device.type == "cuda" and importlib.util.find_spec("triton"):  # there are no wheels for Windows
        from vitbench.data.resample_triton import resample as by_triton

        yield "Triton", by_triton
    yield "torch", resample


def _difference(resampled: Resample, recipe: Recipe, device: torch.device) -> str:
    """How views made so differ from the installed Pillow's; "" where they are equal to the last bit."""
    size, interpolation = recipe.preprocessing.size, recipe.preprocessing.interpolation
    noise = np.random.default_rng(0)
    pictures: list[Array] = []
    drawn: list[View] = []
    for number, (wide, high) in enumerate(SHAPES * TRIED):
        shape = (round(high * size), round(wide * size), 3)
        pictures.append(noise.integers(0, 256, shape, dtype=np.uint8))
        drawn.append(draw_view(0, 1, str(number), 0, shape[1] / shape[0], recipe.augment, recipe.flip))
    ends = np.cumsum([0, *(one.size for one in pictures)])
    sizes = [(one.shape[1], one.shape[0]) for one in pictures]
    plan = plan_views(drawn, sizes, list(ends[:-1]), size, interpolation).through(lambda one: one.to(device))
    pixels = torch.from_numpy(np.concatenate([one.reshape(-1) for one in pictures])).to(device)
    made = plan.make(pixels, resampled).permute(0, 2, 3, 1).cpu().numpy()
    wanted = [
        render(view, Image.fromarray(one), size, interpolation)
        for view, one in zip(drawn, pictures, strict=True)
    ]
    differ = int((made != np.stack(wanted)).sum())
    return f"{differ} of {made.size} values differ from Pillow {PIL.__version__}'s" if differ else ""


def _free_memory(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
