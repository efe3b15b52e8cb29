"""Batches are copied to a card beside the step before, and nobody reads what is not there yet (no card)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from painted import paint_folder
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Machine, Settings
from vitbench.training import loop, step
from vitbench.training.recipes import build_recipe
from vitbench.training.upload import side_stream, uploaded

CUDA = torch.device("cuda")


class Event(str):
    told: list[str]

    def __new__(cls, name: str, told: list[str]) -> "Event":
        event = super().__new__(cls, name)
        event.told = told
        return event

    def synchronize(self) -> None:
        self.told.append("host waits")


class Stream:
    """Writes down what is asked of it."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def record_event(self) -> "Event":
        self.told.append(f"{self.name}: event")
        return Event(f"event of {self.name}", self.told)

    def wait_event(self, event: "Event") -> None:
        self.told.append(f"{self.name}: waits for {event}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of the two streams of a simulated card, in order."""
    said: list[str] = []
    own, now = Stream("step", said), ["step"]
    to = Tensor.to

    @contextlib.contextmanager
    def within(stream: Stream) -> Iterator[None]:
        now.append(stream.name)
        yield
        now.pop()

    def copied(self: Tensor, *given: Any, non_blocking: bool = False, **more: Any) -> Tensor:
        assert non_blocking
        said.append(f"{now[-1]}: copies {tuple(self.shape)}")
        return to(self, *given, **more)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side", said))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: own)
    monkeypatch.setattr(Tensor, "to", copied)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: said.append(f"kept for {stream.name}"))
    side_stream.cache_clear()
    with FakeTensorMode():
        yield said
    side_stream.cache_clear()


def test_batches_are_copied_beside_the_steps_before(told: list[str]) -> None:
    """The next two are under way, on their own stream, when the step gets this one and waits for it alone."""
    rows = [(torch.zeros(n, 3, 2, 2, dtype=torch.uint8), torch.zeros(n)) for n in (1, 2, 3)]
    for images, labels in uploaded(rows, CUDA):
        told.append(f"step on {len(images)}")
        assert images.device.type == labels.device.type == "cuda"
    handed = ["step: waits for event of side", "kept for step", "kept for step"]
    assert told == [
        "side: copies (1, 3, 2, 2)", "side: copies (1,)", "side: event",
        "host waits",
        "side: copies (2, 3, 2, 2)", "side: copies (2,)", "side: event",
        "host waits",
        "side: copies (3, 3, 2, 2)", "side: copies (3,)", "side: event",
        *handed, "step on 1",
        "host waits",
        *handed, "step on 2",
        *handed, "step on 3",
    ]  # fmt: skip


def test_what_makes_a_batch_is_called_on_the_side_stream(told: list[str]) -> None:
    """Views made on the card are, as copies, made beside the steps before."""

    def make() -> Tensor:
        return torch.zeros(4, 3, 2, 2, dtype=torch.uint8).to(CUDA, non_blocking=True)

    [(images, _)] = uploaded([(make, torch.zeros(4))], CUDA)
    assert images.shape == (4, 3, 2, 2)
    assert told[:3] == ["side: copies (4, 3, 2, 2)", "side: copies (4,)", "side: event"]


def test_elsewhere_batches_are_as_they_were() -> None:
    """On a CPU nothing is copied, and no batch is made before it is asked for."""
    made: list[int] = []
    source = ((torch.full((1,), made.append(i) or i), torch.zeros(1)) for i in range(3))  # type: ignore[func-returns-value]
    assert int(next(uploaded(source, torch.device("cpu")))[0]) == 0
    assert made == [0]


def built(folder: Path, name: str) -> loop.Trainer:
    split, plan = split_images(scan_folder(paint_folder(folder)), 0), plan_model(name, 32)
    settings = Settings.of({"per_class": 12, "batch_size": 16})
    recipe = build_recipe(settings, plan, split, 0, RANDOM.origin, "fp32")
    return loop.build_trainer(create(plan, 3, RANDOM, 0), recipe, split, Machine("cpu", "CPU", 16, 16, 1, 0))


@pytest.mark.parametrize(
    ("name", "own"), [("test_vit", torch.contiguous_format), ("test_efficientnet", torch.channels_last)]
)
def test_the_memory_format_is_looked_up_once(tmp_path: Path, name: str, own: torch.memory_format) -> None:
    """No step walks through all modules for it; pictures come in it, whichever way they lay."""
    trainer, seen = built(tmp_path / "data", name), []
    trainer.objective.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    trainer.train_mode()
    with mock.patch.object(nn.Module, "modules", side_effect=AssertionError("walked")):
        images, labels = next(trainer.batches(1))
        step.gradients(trainer, images, labels, 0)
        step.gradients(trainer, images.contiguous(), labels, 0)
    assert all(pixels.is_contiguous(memory_format=own) for pixels in seen)
    assert torch.equal(*seen)
    assert torch.equal(seen[0], images.float() / 255)
