"""What makes a step fast, left out by name, and a card that computes deterministically."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import TINY
from torch import Tensor

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.files import read_json
from vitbench.inference.forward import predict_pictures
from vitbench.models.create import create
from vitbench.models.folder import load_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Machine, Settings
from vitbench.training.arithmetic import WORKSPACE, compute_as, without_form
from vitbench.training.environment import environment
from vitbench.training.loop import build_trainer
from vitbench.training.machine import choose_machine
from vitbench.training.objectives.supervised import Supervised
from vitbench.training.recipes import build_recipe
from vitbench.training.step import techniques
from vitbench.training.trainer import Trainer

Trained = Callable[..., Benchmark]
CPU = Machine("cpu", "CPU", 16, 16, 1, 0)
CARD = Machine("cuda", "a card", 16, 16, 1, 0, deterministic=True)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What a test sets for the whole process is set back."""
    yield
    compute_as(CPU)


def built(folder: Path, model: str = "test_vit", **asked: Any) -> Trainer:
    """A trainer by the settings that a call gives."""
    settings = Settings.of({**TINY, "models": (model,), "device": "cpu", **asked})
    split, plan = split_images(scan_folder(folder, near=False), 0), plan_model(model, 32)
    recipe = build_recipe(settings, plan, split, 0, RANDOM.origin, "fp32")
    network = create(plan, 3, RANDOM, 0, recipe.drop_path)
    return build_trainer(network, recipe, split, choose_machine(settings, torch.device("cpu"), 16))


@pytest.mark.parametrize(
    ("name", "model"),
    [("fused_optimizer", "test_vit"), ("fused_attention", "test_vit"), ("channels_last", "resnet10t")],
)
def test_a_technique_is_left_out_by_name(coloured: Path, name: str, model: str) -> None:
    """The step does without it, and the run's files say so; without the switch it is used."""
    assert techniques(built(coloured, model))[name] is True
    assert techniques(built(coloured, model, without=(name,)))[name] is False


def test_the_optimiser_is_not_fused(coloured: Path) -> None:
    """In none of its groups."""
    groups = built(coloured, without="fused_optimizer").optimizer.param_groups
    assert not any(group.get("fused") for group in groups)


def test_convolutions_in_true_fp32(coloured: Path) -> None:
    """cuDNN's are TF32 by torch's default; the next run has that again."""
    for without, precision in (("tf32", "ieee"), ("none", "tf32")):
        built(coloured, without=without)
        assert torch.backends.cudnn.conv.fp32_precision == precision  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_model_trained_without_is_saved_as_any_other(trained: Trained, no_reports: None) -> None:
    """Its scores are those that the saved model gives when it is loaded, to the last bit."""
    (run,) = trained(without=("fused_attention", "fused_optimizer"), epochs=1).runs
    assert run.environment()["without"] == ["fused_attention", "fused_optimizer"]
    split = split_images(scan_folder(Path(Benchmark(run.folder.parent).manifest["data"]), near=False), 0)
    loaded, written = load_model(run.model_folder), run.predictions()
    again = predict_pictures(loaded.module, split, split.test, loaded.preprocessing, CPU)
    assert (again.probabilities == written.probabilities).all()


# --- deterministic --------------------------------------------------------------------------------


def test_a_card_is_asked_for_deterministic_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strictly, for with a mere warning attention is not; new memory is not filled, which costs time."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    compute_as(CARD)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_a_cpu_is_asked_for_nothing(coloured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps repeat anyway; a card's run before it in the same process changes nothing."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    compute_as(CARD)
    trainer = built(coloured, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    assert techniques(trainer)["deterministic"] is True


@pytest.mark.slow
def test_a_deterministic_training_on_a_cpu_is_the_same(trained: Trained, no_reports: None) -> None:
    """The option costs nothing there and changes no byte."""
    plain, asked = (
        trained(name=name, epochs=1, deterministic=name == "asked") for name in ("plain", "asked")
    )
    files = [done.runs[0].model_folder / "model.safetensors" for done in (plain, asked)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_cublas_is_told_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the machine, before a model is made; what the user has set stays."""
    monkeypatch.setattr("vitbench.training.machine.device_name", lambda *given: "a card")
    monkeypatch.setattr("vitbench.training.machine.device_libraries", lambda *given: "")
    for given, wanted in ((None, WORKSPACE), (":16:8", ":16:8")):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        if given:
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
        for asked in ({}, {"deterministic": True}):
            choose_machine(Settings.of(asked), torch.device("cuda"), 16)
            assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == wanted
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    choose_machine(Settings.of({"deterministic": False}), torch.device("cuda"), 16)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_an_operation_without_a_deterministic_form_is_named() -> None:
    """torch's own error, of an operation that has none on a CPU either; cuBLAS says it in its own way."""
    compute_as(CARD)
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
    assert without_form(caught.value) == "put_"
    assert without_form(RuntimeError("because it uses CuBLAS and you have CUDA >= 10.2.")) == "CuBLAS"
    assert without_form(RuntimeError("out of memory")) == without_form(ValueError("put_")) == ""


@pytest.fixture
def without_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is taken for a card, and a network that cannot be computed deterministically on it."""
    strict: list[bool] = []
    usual = Supervised.forward

    def forward(self: Supervised, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if strict[-1]:
            raise RuntimeError(
                "upsample_bicubic2d_backward_out_cuda does not have a deterministic implementation, but you "
                "set 'torch.use_deterministic_algorithms(True)'. You can turn off determinism ..."
            )
        return usual(self, pixels, targets)

    def machine(settings: Settings, device: torch.device, batch_size: int) -> Machine:
        chosen = choose_machine(settings, device, batch_size)
        return dataclasses.replace(chosen, deterministic=settings.deterministic)

    for place in ("fitted", "loop"):
        monkeypatch.setattr(
            f"vitbench.training.{place}.compute_as", lambda one: strict.append(one.deterministic is not False)
        )
    monkeypatch.setattr("vitbench.benchmark.plan.choose_machine", machine)
    monkeypatch.setattr(Supervised, "forward", forward)


@pytest.mark.slow
@pytest.mark.usefixtures("without_a_form")
def test_by_itself_it_goes_on_without(trained: Trained) -> None:
    """Nobody insists: the operation is named in the run's notes, and the model is trained."""
    (run,) = trained(epochs=1).runs
    assert run.status == "finished"
    said = "upsample_bicubic2d_backward_out_cuda has no deterministic form on "
    (note,) = (one for one in run.metrics()["notes"] if one.startswith(said))
    assert note.endswith("the same steps may give other last bits")
    assert run.environment()["deterministic"] is False
    assert read_json(run.folder / "recipe.json")["machine"]["deterministic"] is False


@pytest.mark.usefixtures("without_a_form")
def test_the_run_fails_in_one_line(trained: Trained) -> None:
    """Where it was asked for: the operation, the machine, and what to do; no traceback."""
    (run,) = trained(epochs=1, deterministic=True).runs
    assert run.status == "failed"
    assert "upsample_bicubic2d_backward_out_cuda has no deterministic form on " in run.failure
    assert "leave --deterministic away under a new --name" in run.failure
    assert "\n" not in run.failure


@pytest.mark.parametrize(
    ("machine", "promised"),
    [
        (CPU, True),
        (CARD, True),
        (Machine("cuda:1", "a card", 16, 16, 1, 0), False),
        (Machine("cuda", "2 cards", 16, 16, 1, 0, 2, deterministic=True), False),
        (Machine("mps", "a Mac", 16, 16, 1, 0, deterministic=True), False),
    ],
    ids=["cpu", "deterministic", "a card", "two cards", "mps"],
)
def test_who_promises_the_same_bytes(machine: Machine, promised: bool) -> None:
    """A CPU, and one card that computes deterministically."""
    assert environment(machine)["resumes_to_the_same_bytes"] is promised
