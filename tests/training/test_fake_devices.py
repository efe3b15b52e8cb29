"""Every kind of training step, and evaluation, with tensors that only say they lie on a CUDA device.

`FakeTensorMode` carries no values, needs no GPU, and raises where an operation meets two devices. What needs
a real device is replaced: `Module.to` (fake parameters cannot be swapped), `backward` (the engine wants a
context) and device generators.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from painted import paint_folder
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.inference import features, forward
from vitbench.models.create import create
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.records import Distillation, Machine, Recipe, Settings, Split
from vitbench.training.loop import build_trainer
from vitbench.training.meter import EpochMeter
from vitbench.training.objectives import distillation, simmim
from vitbench.training.objectives.supervised import Supervised
from vitbench.training.objectives.table import learner
from vitbench.training.recipes import build_recipe, masking_of, pretraining_recipe
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer

SIZE, BATCH = 64, 8
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # that there is no CUDA
]
MACHINE = Machine("cuda", "no card", BATCH, 16, 1, 0, without=("cuda_graphs",))
SHALLOW: dict[str, dict[str, Any]] = {"vit": {"depth": 2}, "swin": {"depths": (1, 2, 1, 1)}}
"""Networks of the real kinds, with fewer blocks: every kind of block is there."""

FAMILIES = ("vit", "deit", "deit-distilled", "swin", "swinv2", "swinv2-cr", "resnet10t", "test_efficientnet")
RECIPES: dict[str, dict[str, Any]] = {
    "drop path": {"drop_path": 0.2},
    "ema": {"ema_decay": 0.99},
    "mixup": {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1},
    "constant rate": {"schedule": "constant", "optimizer": "adam", "clip_grad": None},
}
THROUGH = {"deit-distilled": "token", "swin": "logits"}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_images(scan_folder(paint_folder(tmp_path_factory.mktemp("fake")), near=False), 0)


@functools.cache
def shallow(name: str) -> ModelPlan:
    with unset_fake_temporarily():
        plan = plan_model(name, SIZE)
    kind = "vit" if plan.kind in ("vit", "deit") else "swin" if plan.kind.startswith("swin") else ""
    return dataclasses.replace(plan, model_args={**plan.model_args, **SHALLOW.get(kind, {})})


def recipe_for(plan: ModelPlan, split: Split, **changes: Any) -> Recipe:
    settings = Settings.of({"image_size": SIZE, "batch_size": BATCH, "device": "cpu"})
    return build_recipe(settings, plan, split, 0, RANDOM.origin, "bf16").model_copy(update=changes)


def each_tensor(network: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """Replace every parameter and buffer of a network by what `change` makes of it."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            new = None if parameter is None else change(parameter.detach())
            if parameter is not None and (type(new), new.device) != (type(parameter.data), parameter.device):
                module._parameters[name] = nn.Parameter(new, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else change(buffer)
    return network


def moved(self: nn.Module, *given: Any, device: Any = None, **more: Any) -> nn.Module:
    """`Module.to` for parameters that cannot be swapped in place."""
    devices = [one for one in (device, *given) if isinstance(one, torch.device)]
    return each_tensor(self, lambda tensor: tensor.to(devices[0])) if devices else self


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[nn.Module], nn.Module]]:
    """Inside, all new tensors are fake; `fake(module)` makes those of a network so."""
    mode, generator = FakeTensorMode(allow_non_fake_inputs=True), torch.Generator
    learning: list[nn.Module] = []

    def faked(network: nn.Module) -> nn.Module:
        learning.append(each_tensor(network, mode.from_tensor))
        return network

    def backward(self: Tensor, *given: Any, **more: Any) -> None:
        for parameter in nn.ModuleList(learning).parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None

    def equal(one: Tensor, other: Tensor) -> bool:
        assert one.device == other.device
        return False

    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(Tensor, "backward", backward)
    monkeypatch.setattr(torch, "equal", equal)
    monkeypatch.setattr(torch, "Generator", lambda device=None: generator())
    with mode:
        yield faked


class Recordable(TorchDispatchMode):
    """Raises at what a CUDA graph cannot hold: reading a value on the host, and copies from or to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asks = func.name().partition(".")[0] in ("aten::_local_scalar_dense", "aten::nonzero", "aten::unique")
        out = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
        # A number that stands on the host as a tensor without dimensions goes into the kernel's arguments.
        places = {one.device.type for one in tensors if one.ndim or one.device.type == "cuda"}
        if asks or len(places) > 1 or places == {"cpu"}:
            raise RuntimeError(f"{func} on {' and '.join(sorted(places))} cannot be recorded")
        return out


def steps(trainer: Trainer) -> set[str]:
    """The kinds of device on which a step leaves what it computes; its forward pass can be recorded."""
    trainer.train_mode()
    images, labels = torch.zeros(BATCH, 3, SIZE, SIZE, dtype=torch.uint8), torch.arange(BATCH) % 3
    forward = trainer.objective.forward

    def recordable(pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        with Recordable():
            found: dict[str, Tensor] = forward(pixels, targets)
        return found

    with mock.patch.object(trainer.objective, "forward", recordable):
        total, right = train_step(trainer, images, labels, 1)
    meter = EpochMeter.fresh(trainer.device)
    meter.add(total, right, BATCH)
    learnt = (*trainer.model.parameters(), *trainer.model.buffers(), *trainer.objective.buffers())
    return {tensor.device.type for tensor in (total, right, meter.loss, meter.right, *learnt)}


def built(
    plan: ModelPlan, recipe: Recipe, split: Split, fake: Any, micro: int = BATCH, **more: Any
) -> Trainer:
    machine = dataclasses.replace(MACHINE, micro_batch=micro)
    with unset_fake_temporarily():
        network = learner(plan, recipe, RANDOM)
    return build_trainer(fake(network), recipe, split, machine, **more)


def network_of(plan: ModelPlan) -> nn.Module:
    with unset_fake_temporarily():
        return create(plan, 3, RANDOM, 0)


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str, split: Split, fake: Any) -> None:
    """A step of every family stays on its device."""
    plan = shallow(name)
    assert steps(built(plan, recipe_for(plan, split), split, fake)) == {"cuda"}


@pytest.mark.parametrize("what", RECIPES)
def test_recipes(what: str, split: Split, fake: Any) -> None:
    """Whatever a recipe adds to a step."""
    plan = shallow("vit")
    assert steps(built(plan, recipe_for(plan, split, **RECIPES[what]), split, fake, micro=3)) == {"cuda"}


@pytest.mark.parametrize("freeze_norm", [True, False])
def test_batch_norm(freeze_norm: bool, split: Split, fake: Any) -> None:
    """Statistics are where the weights are, frozen or learnt, over micro-batches too."""
    plan = shallow("resnet10t")
    trainer = built(plan, recipe_for(plan, split, freeze_norm=freeze_norm), split, fake, micro=4)
    assert steps(trainer) == {"cuda"}


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("student", THROUGH)
def test_distillation(student: str, kind: Any, split: Split, fake: Any) -> None:
    """A teacher of another size, and the order of its classes."""
    plan, other = shallow(student), shallow("test_efficientnet")
    other = dataclasses.replace(other, preprocessing=dataclasses.replace(other.preprocessing, size=32))
    what = Distillation(teacher="t", kind=kind, alpha=0.5, tau=3.0, through=THROUGH[student])
    network = fake(network_of(other).eval())
    teacher = LoadedModel(network, split.classes, other.preprocessing, other.timm_name)
    recipe = recipe_for(plan, split, distillation=what)
    assert steps(built(plan, recipe, split, fake, teacher=teacher)) == {"cuda"}


@pytest.mark.parametrize("target", ["pixels", "normalised"])
@pytest.mark.parametrize("name", ["vit", "swin", "swinv2", "swinv2-cr"])
def test_masked_pictures(name: str, target: Any, split: Split, fake: Any) -> None:
    """Masks are drawn on the CPU and meet pictures on the device; reconstructions are judged there."""
    plan = shallow(name)
    settings = Settings.of({"image_size": SIZE, "batch_size": BATCH, "mask_target": target})
    masking = masking_of(settings, plan)
    recipe = pretraining_recipe(settings, plan, split, 0, RANDOM.origin, "bf16", masking)
    trainer = built(plan, recipe, split, fake)
    assert steps(trainer) == {"cuda"}
    pictures = torch.rand(4, 3, SIZE, SIZE).to("cuda")
    masks = trainer.objective.targets(torch.zeros(4).to("cuda"))
    shown = trainer.objective._shown(trainer.evaluated, pictures, masks)  # type: ignore[attr-defined]
    assert simmim._reconstruct(trainer.evaluated, pictures, masks).device.type == "cuda"
    assert shown.device.type == "cpu"


class Rows(list[Tensor]):
    """Batches (2, 3, S, S) as evaluation prepares them, on the CPU."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(torch.rand(2, 3, SIZE, SIZE) for _ in range(count))


@pytest.mark.parametrize("name", FAMILIES)
def test_evaluation_and_features(name: str, split: Split, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches go to the device, and what comes of them is on the CPU before numpy sees it."""
    left = []

    def numpy(tensor: Tensor) -> Any:
        left.append(tensor.device.type)
        return np.zeros(1)

    monkeypatch.setattr(Tensor, "numpy", numpy)
    network, cuda = fake(network_of(shallow(name))).to(torch.device("cuda")), torch.device("cuda")
    batches = [torch.rand(2, 3, SIZE, SIZE) for _ in range(2)]
    forward.probabilities(network, batches, cuda)
    features._computed(network, batches, cuda, 4, None)
    if name == "deit-distilled":
        there = [batch.to(cuda) for batch in batches]
        monkeypatch.setattr(distillation, "eval_batches", lambda *given, device, **more: there)
        distillation.head_answers(network, split, shallow(name).preprocessing, MACHINE)
    assert left == ["cpu"] * (8 if name == "deit-distilled" else 4)


@pytest.mark.parametrize("planted", ["targets", "mean"])
def test_a_mistake_is_found(planted: str, split: Split, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this page is for: targets, or the mean of the pictures, left on the CPU."""
    plan = shallow("vit")
    trainer = built(plan, recipe_for(plan, split), split, fake)
    if planted == "targets":
        monkeypatch.setattr(Supervised, "targets", lambda self, labels: labels.cpu())
    else:
        trainer.objective.normalise.mean = trainer.objective.normalise.mean.cpu()
    with pytest.raises(RuntimeError, match="found at least two devices"):
        steps(trainer)


@pytest.mark.parametrize("planted", ["a mask from the host", "a choice"])
def test_what_no_graph_can_hold_is_found(planted: str, split: Split, fake: Any) -> None:
    """What `Recordable` is for: something made on the host, or looked at there, inside the forward pass."""
    plan = shallow("vit")
    trainer = built(plan, recipe_for(plan, split), split, fake)
    forward = trainer.objective.forward

    def other(pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if planted == "a choice":
            return forward(pixels[targets > 0], targets)
        return forward(pixels * torch.ones(SIZE).to(pixels.device), targets)

    trainer.objective.forward = other  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match=r"cannot be recorded|nonzero"):
        steps(trainer)
