"""What is other on a card than on a CPU, without one: simulated cards, libraries, errors and memory."""

import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL
import pytest
import torch
from painted import ListeningToRuns
from torch import Tensor, nn

from vitbench.benchmark import estimate, grid
from vitbench.data import made
from vitbench.data.device_views import DeviceViews, Making
from vitbench.data.resample import resample
from vitbench.errors import DeviceLostError
from vitbench.files import read_json, write_json
from vitbench.inference import features, forward
from vitbench.records import Benchmark, Machine, Run
from vitbench.records.watch import Watch
from vitbench.training import machine, probe
from vitbench.training.environment import Change, changed_since, environment, refusal
from vitbench.training.objectives import simmim
from vitbench.training.objectives.supervised import Supervised

Trained = Callable[..., Benchmark]
CPU = torch.device("cpu")


# --- fp32 is fp32 ---------------------------------------------------------------------------------


class Asks(nn.Module):
    """Notes, in each pass, what torch would compute fp32 in."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[set[str], bool]] = []

    def forward(self, pictures: Tensor, masks: Any = None) -> Tensor:
        self.seen.append(({unit.fp32_precision for unit in forward.FP32}, self.training))
        return pictures.flatten(1)

    forward_features = forward

    def forward_head(self, maps: Tensor, pre_logits: bool) -> Tensor:
        return maps


def test_every_evaluation_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither convolutions nor products are TF32, whatever training uses; afterwards it is as it was."""
    monkeypatch.setattr(probe, "SPEED_SECONDS", 0.0)
    model, rows, usual = Asks(), [torch.rand(2, 3, 4, 4)], torch.get_float32_matmul_precision()
    job = SimpleNamespace(machine=SimpleNamespace(device="cpu"), plan=SimpleNamespace(image_size=4))
    asks: list[Callable[[], Any]] = [
        lambda: forward.probabilities(model, rows, CPU),
        lambda: forward.latency_ms(model, 4, CPU),
        lambda: features._computed(model, rows, CPU, 2, None),
        lambda: simmim._reconstruct(model, rows[0], rows[0]),
        lambda: probe.forward_speed(model, job, 2),  # type: ignore[arg-type]
    ]
    torch.set_float32_matmul_precision("high")
    try:
        for ask in asks:
            model.seen.clear()
            ask()
            assert model.seen
            assert all(one == ({"ieee"}, False) for one in model.seen)
            assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "high")
    finally:
        torch.set_float32_matmul_precision(usual)


# --- another card, other libraries ----------------------------------------------------------------


def begun(folder: Path, known: Machine) -> Run:
    """A run that was begun on a machine."""
    (folder / "checkpoint").mkdir(parents=True)
    write_json(folder / "environment.json", environment(known))
    return Run(folder)


A100 = Machine(
    "cuda", "NVIDIA A100", 16, 128, 1, 0, 2, card="NVIDIA A100", libraries="CUDA 13.0, cuDNN 91900"
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"card": "NVIDIA H100"}, ["NVIDIA A100 → NVIDIA H100"]),
        ({"libraries": "CUDA 13.0, cuDNN 92000"}, ["CUDA 13.0, cuDNN 91900 → CUDA 13.0, cuDNN 92000"]),
        ({"device_name": "NVIDIA A100, 2 processes", "threads": 4}, []),
        ({"deterministic": True}, ["not deterministic → deterministic"]),
        ({"without": ("cuda_graphs", "device_views")}, []),
        ({"without": ("cuda_graphs", "tf32")}, ["--without none → --without tf32"]),
        ({"device": "cpu", "device_name": "x", "libraries": "", "deterministic": True}, []),
        ({"device": "cpu", "device_name": "x86_64 CPU", "libraries": ""}, []),  # it goes on on its card
    ],
)
def test_another_card_or_library_is_a_change(tmp_path: Path, changes: Any, found: list[str]) -> None:
    """A run begun on an A100 does not go on on an H100, or with another cuDNN, without a word."""
    known = dataclasses.replace(A100, threads=torch.get_num_threads())
    run = begun(tmp_path / "run", known)
    assert [str(one) for one in changed_since(run, dataclasses.replace(known, **changes))] == found


@pytest.mark.parametrize(("before", "now"), [(True, False), (False, True)])
def test_a_change_of_an_option_says_how_to_take_it_back(tmp_path: Path, before: bool, now: bool) -> None:
    """The way back is the option as it was, whatever the words of the change are."""
    known = dataclasses.replace(A100, threads=torch.get_num_threads(), deterministic=before)
    (change,) = changed_since(begun(tmp_path / "run", known), dataclasses.replace(known, deterministic=now))
    assert change.way_back == ("give --deterministic" if before else "give --no-deterministic")


def test_the_line_for_another_card() -> None:
    """What is refused names both, and what helps."""
    run = Run(Path("r"))
    back = "leave --deterministic away"
    line = refusal(run, [Change("not deterministic → deterministic", back)])
    assert "(not deterministic → deterministic); leave --deterministic away, or go on" in line
    line = refusal(run, [Change("NVIDIA A100 → NVIDIA H100")])
    assert "(NVIDIA A100 → NVIDIA H100); go on where they are the same, or add --allow-changed" in line


# --- a card that torch cannot use -----------------------------------------------------------------


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver names a card."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for nvidia-smi")
@pytest.mark.usefixtures("card")
class TestUnusedCard:
    """A machine with an NVIDIA card, and a torch that computes on the CPU."""

    def test_a_torch_without_cuda(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As pip gives it on Windows: which wheel helps."""
        monkeypatch.setattr(torch.version, "cuda", None)
        line = machine.unused_card(CPU)
        assert line.startswith("NVIDIA H100 80GB HBM3 is here and is not used: this torch (")
        assert "--index-url https://download.pytorch.org/whl/cu" in line

    def test_an_old_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """torch's own reason."""

        def old(*given: Any, **more: Any) -> None:
            raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nMore.")

        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch, "zeros", old)
        line = machine.unused_card(CPU)
        assert line.endswith("not used: The NVIDIA driver on your system is too old (found version 11040)")

    def test_nothing_is_said_of_a_hidden_card_or_a_used_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who sets CUDA_VISIBLE_DEVICES knows."""
        assert machine.unused_card(torch.device("cuda")) == ""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert machine.unused_card(CPU) == ""

    @pytest.mark.slow
    def test_the_plan_says_it(self, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before the first step, where "auto" has chosen the CPU; not where it was asked for."""
        monkeypatch.setattr(torch.version, "cuda", None)
        for device, told in (("auto", True), ("cpu", False)):
            watch = ListeningToRuns()
            trained(watch, name=f"on-{device}", epochs=1, device=device)
            assert any("is here and is not used" in line for line in watch.heard) is told


# --- memory in evaluation -------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_that_ends_in_val_leaves_training_alone(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluation that takes two pictures: it is halved there, said once, and no step is done again."""
    usual, steps = forward.probabilities, []

    def small(model: nn.Module, rows: Any, device: torch.device) -> Any:
        rows = list(rows)
        if max(map(len, rows)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory, planted")
        return usual(model, rows, device)

    def counting(self: Supervised, labels: Tensor) -> Tensor:
        steps.append(len(labels))
        return targets(self, labels)

    targets = Supervised.targets
    whole = trained(name="whole")
    monkeypatch.setattr(forward, "probabilities", small)
    monkeypatch.setattr(Supervised, "targets", counting)
    watch = ListeningToRuns()
    run = trained(watch, name="small").runs[0]
    about = read_json(run.folder / "recipe.json")
    assert (about["machine"]["micro_batch"], about["fallbacks"]) == (16, [])
    lines = [line for line in watch.heard if "out of memory" in line]
    assert lines == [
        f"test_vit-s0: out of memory in evaluation: {n} pictures at a time there, training as before"
        for n in (16, 8, 4, 2)
    ]
    assert len(steps) - len(estimated(steps)) == 2 * 3  # two epochs of 36 views, by 16
    weights = [(one.folder / "model" / "model.safetensors").read_bytes() for one in (run, whole.runs[0])]
    assert weights[0] == weights[1]


def estimated(steps: list[int]) -> list[int]:
    """The plan's timed steps, which come first: those of 16 pictures; an epoch's have 12."""
    return [pictures for pictures in steps if pictures == 16]


# --- a device that fails --------------------------------------------------------------------------


class Lost:
    """Stands for `torch.ones` where every call to the device fails."""

    def __init__(self, *given: Any, **more: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_lost_device_ends_the_process_not_the_benchmark(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is marked, nothing else is tried here, and another process trains the rest."""
    planned: list[str] = []

    def failing(job: Any, run: Run, split: Any, watch: Watch) -> None:
        planned.append(run.name)
        run.folder.mkdir(parents=True)
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def refuse(device: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "ones", Lost)
            machine.refuse_lost("cuda")

    monkeypatch.setattr(grid, "_runner_for", lambda work: failing)
    monkeypatch.setattr(grid, "refuse_lost", refuse)
    with pytest.raises(DeviceLostError, match="cuda: can do nothing more for this process"):
        trained(models=("test_vit", "test_efficientnet"))
    assert planned == ["test_vit-s0"]


def test_a_device_that_works_or_is_full_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a network on a card that still adds goes on as before; nor is a full card a broken one."""

    def full(*given: Any, **more: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch, "ones", lambda *given, **more: torch.zeros(1))
    machine.refuse_lost("cuda")
    monkeypatch.setattr(torch, "ones", full)
    machine.refuse_lost("cuda")
    monkeypatch.setattr(torch, "ones", Lost)
    machine.refuse_lost("cpu")
    with pytest.raises(DeviceLostError):
        machine.refuse_lost("cuda:1")


# --- the plan's timed steps -----------------------------------------------------------------------


@pytest.mark.parametrize(("device", "pictures"), [("cpu", 4), ("cuda", 32)])
def test_the_plan_times_a_whole_batch_on_a_card(
    monkeypatch: pytest.MonkeyPatch, device: str, pictures: int
) -> None:
    """Four pictures of 224 px tell a CPU's time; on a card they would tell what it takes to launch them."""
    seen: list[Tensor] = []

    def step(trainer: Any, images: Tensor, labels: Tensor, update: int) -> None:
        seen.append(images)

    monkeypatch.setattr(estimate, "train_step", step)
    monkeypatch.setattr(estimate, "synchronise", lambda device: None)
    recipe = SimpleNamespace(preprocessing=SimpleNamespace(size=224), batch_size=32)
    trainer = SimpleNamespace(
        recipe=recipe,
        machine=SimpleNamespace(micro_batch=32),
        split=SimpleNamespace(classes=("a", "b")),
        device=torch.device(device),
        train_mode=lambda: None,
        making=Making("device", None if device == "cpu" else DeviceViews(torch.device(device), resample, 0)),
    )
    assert estimate._step_seconds(trainer)[1] is (device == "cuda")  # type: ignore[arg-type]
    assert {len(images) for images in seen} == {pictures}
    assert seen[0].float().std() > 50  # of noise, not black


# --- stored pictures and Pillow -------------------------------------------------------------------


def test_stored_pictures_are_named_by_pillows_major_version() -> None:
    """Two of them may shrink a tall picture by other bytes: neither takes what the other stored."""
    major = PIL.__version__.split(".")[0]
    assert made.training_way(224, "geometry").endswith(f"-pillow{major}")
