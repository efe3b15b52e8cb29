"""Steps whose forward and backward are recorded and replayed, without a card.

`Recorder` stands for the recording: it notes each operation that torch carries out, and a replay carries
them out again on the same tensors, as a CUDA graph does. What it cannot show is a card's own doing: streams,
memory pools, and operations that a recording forbids.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from painted import TINY, Listening, StopAt
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.files import read_json, sha256_of, write_json
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Distillation, Machine, Settings, Split
from vitbench.records.watch import Watch
from vitbench.training import loop
from vitbench.training.graphs import Graphs, records_steps
from vitbench.training.jobs import pinned
from vitbench.training.loop import build_trainer
from vitbench.training.machine import choose_machine, smaller
from vitbench.training.objectives.table import learner
from vitbench.training.recipes import build_recipe, masking_of, pretraining_recipe
from vitbench.training.saving import state_of
from vitbench.training.step import techniques, train_step
from vitbench.training.trainer import Trainer

Trained = Callable[..., Benchmark]
CPU = torch.device("cpu")


class Recorder(TorchDispatchMode):
    """Notes operations, what they were given and what they gave."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


class Graph:
    """A `torch.cuda.CUDAGraph` on a CPU."""

    def __init__(self) -> None:
        self.recorder = Recorder()

    def reset(self) -> None:
        self.recorder.calls.clear()

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.recorder.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Stream:
    """A `torch.cuda.Stream` on a CPU."""

    def __init__(self, *given: Any) -> None: ...

    def wait_stream(self, other: "Stream") -> None: ...


class Card:
    """What `torch.cuda` was asked for."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.asked: list[tuple[Any, Any, str]] = []

    @contextlib.contextmanager
    def record(
        self, graph: Graph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"
    ) -> Iterator[None]:
        self.graphs.append(graph)
        self.asked.append((pool, stream, capture_error_mode))
        with graph.recorder:
            yield


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """`torch.cuda` without a card, as far as recording goes."""
    made, now = Card(), Stream()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", made.record)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *given: now)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: ("a", "pool"))
    return made


@pytest.fixture
def split(coloured: Path) -> Split:
    return split_images(scan_folder(coloured, near=False), 0)


def built(
    split: Split, model: str = "test_vit", kind: str = "", recorded: bool = True, **asked: Any
) -> Trainer:
    """A trainer of 32 px pictures; `kind`: what is learnt, "" from labels."""
    settings = Settings.of({**TINY, "models": (model,), "device": "cpu", "drop_path": 0.2, **asked})
    plan = plan_model(model, 32)
    if model == "swin":  # a block of each kind
        plan = dataclasses.replace(plan, model_args={**plan.model_args, "depths": (2, 1, 1, 1)})
    if kind == "simmim":
        masking = masking_of(settings.model_copy(update={"mask_size": 16}), plan)
        recipe = pretraining_recipe(settings, plan, split, 0, RANDOM.origin, "fp32", masking)
    else:
        recipe = build_recipe(settings, plan, split, 0, RANDOM.origin, asked.get("precision", "fp32"))
    teacher = None
    if kind == "distillation":
        what = Distillation(teacher="t", kind="soft", alpha=0.5, tau=2.0, through="logits")
        teaching = plan_model("test_efficientnet", 32)
        own = recipe.model_copy(update={"model": teaching.timm_name})
        teacher = LoadedModel(
            learner(teaching, own, RANDOM), recipe.classes, teaching.preprocessing, teaching.timm_name
        )
        teacher.module.eval()
        recipe = recipe.model_copy(update={"distillation": what})
    network = learner(plan, recipe, RANDOM)
    machine = choose_machine(settings, CPU, recipe.batch_size)
    trainer = build_trainer(network, recipe, split, machine, teacher=teacher)
    trainer.train_mode()
    if recorded:
        trainer.graphs = Graphs(trainer.objective, CPU)
    return trainer


def learnt(trainer: Trainer, sizes: tuple[int, ...] = (16, 15, 16, 15, 16)) -> dict[str, Tensor]:
    """All that steps on batches of these sizes change, and what each returned."""
    found: list[Tensor] = []
    for update, size in enumerate(sizes):
        drawn = torch.Generator().manual_seed(update)
        images = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=drawn)
        total, right = train_step(trainer, images, torch.arange(size) % 3, update)
        found += [total.double().clone(), right.double().clone()]
    return {**{name: one.clone() for name, one in state_of(trainer).items()}, "said": torch.stack(found)}


WAYS: dict[str, dict[str, Any]] = {
    "drop path": {},
    "moving average": {"ema": 0.9},
    "mixup": {"mixup": 0.8, "cutmix": 1.0},
    "bf16": {"precision": "bf16"},
    "micro-batches": {"micro_batch": 6, "ema": 0.9, "mixup": 0.2},
    "batch normalisation": {"model": "resnet10t", "drop_path": None, "micro_batch": 3},
    "windows": {"model": "swin", "batch_size": 6},
    "masked": {"kind": "simmim"},
    "teacher": {"kind": "distillation"},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_replayed_steps_are_the_steps(way: str, split: Split, card: Card) -> None:
    """Weights, optimiser, average, statistics, losses and right answers: equal to the last bit."""
    sizes = (6, 5, 6) if way in ("windows", "batch normalisation") else (16, 15, 16, 15, 16)
    plain = learnt(built(split, recorded=False, **WAYS[way]), sizes)
    trainer = built(split, **WAYS[way])
    replayed = learnt(trainer, sizes)
    assert card.graphs
    assert trainer.graphs is not None
    assert not trainer.graphs.trouble
    assert {name for name in plain if not torch.equal(plain[name], replayed[name])} == set()


@pytest.mark.slow
def test_each_size_is_recorded_once(split: Split, card: Card) -> None:
    """Batches are as even as possible: two sizes, two graphs; of micro-batches each size of each batch."""
    trainer = built(split)
    learnt(trainer)
    assert trainer.graphs is not None
    assert trainer.graphs.sizes == [(16, 16), (15, 15)]
    assert len(card.graphs) == 2
    parts = built(split, micro_batch=6)
    learnt(parts)
    assert parts.graphs is not None
    assert set(parts.graphs.sizes) == {(6, 16), (5, 16), (5, 15)}


@pytest.mark.slow
def test_what_is_done_otherwise_is_recorded_anew(split: Split, card: Card) -> None:
    """As where a compiled step is given up: the graphs that were recorded of it are not replayed."""
    trainer = built(split)
    learnt(trainer, (16, 15))
    assert trainer.graphs is not None
    trainer.graphs.forget()
    learnt(trainer, (16,))
    assert len(card.graphs) == 3


@pytest.mark.slow
def test_how_it_is_recorded(split: Split, card: Card) -> None:
    """All in one pool and on one stream, and threads that prepare views may take pinned memory meanwhile."""
    learnt(built(split))
    (pool, stream, mode), other = card.asked
    assert pool == ("a", "pool")
    assert isinstance(stream, Stream)
    assert (pool, stream, mode) == other
    assert mode == "thread_local"


def refuse(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on its objective asks for a number, which no recording can give."""
    forward = trainer.objective.forward

    def asks(pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        found = forward(pixels, targets)
        float(found["loss"].detach())
        return found

    monkeypatch.setattr(trainer.objective, "forward", asks)


@pytest.mark.slow
def test_what_cannot_be_recorded_is_done_as_it_is(
    split: Split, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps, from the first on; nothing is tried again, and the run's techniques say why."""
    asked = WAYS["micro-batches"] | {"model": "resnet10t", "drop_path": None}
    plain = learnt(built(split, recorded=False, **asked))
    trainer = built(split, **asked)
    refuse(trainer, monkeypatch)
    replayed = learnt(trainer)
    assert {name for name in plain if not torch.equal(plain[name], replayed[name])} == set()
    (graph,) = card.graphs
    assert not graph.recorder.calls  # it is given back
    why = "could not be recorded: operation not permitted when stream is capturing"
    assert techniques(trainer)["cuda_graphs"] == why


def test_an_error_of_the_step_itself_is_the_steps(split: Split, card: Card) -> None:
    """Out of memory before anything is recorded is not the recording's: it halves the micro-batch as ever."""
    trainer = built(split)

    def work(*given: Tensor) -> tuple[Tensor, ...]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert trainer.graphs is not None
    with pytest.raises(torch.OutOfMemoryError):
        trainer.graphs.run(1, work, (torch.zeros(1),))
    assert not trainer.graphs.trouble
    assert not card.graphs


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine("cuda:1", "a card", 16, 16, 1, 0), True),
        (Machine("cpu", "CPU", 16, 16, 1, 0), False),
        (Machine("mps", "a Mac", 16, 16, 1, 0), False),
        (Machine("cuda", "a card", 16, 16, 1, 0, without=("cuda_graphs", "tf32")), False),
        (Machine("cuda", "2 cards", 16, 16, 1, 0, 2), "not with several processes"),
    ],
    ids=["card", "cpu", "mps", "without", "processes"],
)
def test_where_steps_are_recorded(machine: Machine, said: str | bool) -> None:
    """On one card, unless it is left out."""
    assert records_steps(machine) == said


def test_memory_that_ended_takes_the_recording_too() -> None:
    """Half the pictures, nothing recorded; what the user left out stays so; a CPU has no recording."""
    card = Machine("cuda", "a card", 16, 128, 1, 0, without=("tf32",))
    found = smaller(card)
    assert (found.micro_batch, found.eval_batch, found.without) == (8, 8, ("cuda_graphs", "tf32"))
    assert smaller(found).without == found.without
    assert smaller(Machine("cpu", "CPU", 16, 16, 1, 0)).without == ()


@pytest.mark.slow
def test_what_memory_took_away_stays_away(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run does not record again: the same memory would end again, in other steps than before."""
    run = trained(epochs=1).runs[0]
    about = read_json(run.folder / "recipe.json")
    about["machine"]["without"] = ["cuda_graphs"]
    write_json(run.folder / "recipe.json", about)
    job = SimpleNamespace(machine=Machine("cpu", "CPU", 16, 16, 1, 0), allow_changed=False)
    machine, fallbacks = pinned(job, run, Watch())  # type: ignore[arg-type]
    assert machine.without == ("cuda_graphs",)
    assert fallbacks == []


def record_everywhere(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """All trainings on the CPU are recorded; the trainers as they are made."""
    made: list[Trainer] = []

    def build(*given: Any, **more: Any) -> Trainer:
        trainer = build_trainer(*given, **more)
        made.append(trainer)
        trainer.graphs = Graphs(trainer.objective, CPU)
        return trainer

    monkeypatch.setattr("vitbench.training.fitted.build_trainer", build)
    return made


def weights(done: Benchmark) -> str:
    return sha256_of(done.runs[0].model_folder / "model.safetensors")


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_recorded_training_that_is_cut_off(
    trained: Trained, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole trainings with replayed steps, also one that is interrupted and gone on with: the same bytes."""
    asked: dict[str, Any] = {"drop_path": 0.2, "ema": 0.9, "micro_batch": 6, "epochs": 2}
    plain = weights(trained(name="plain", **asked))
    made = record_everywhere(monkeypatch)
    assert weights(trained(name="whole", **asked)) == plain
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 1), name="cut", **asked)
    assert weights(trained(name="cut", resume=True)) == plain
    assert all(trainer.graphs is not None and trainer.graphs.sizes for trainer in made)


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_training_that_cannot_be_recorded_says_so_once(
    trained: Trained, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and the reason in the run's environment.json; the training is the same."""
    plain = weights(trained(name="plain"))
    made, watch = record_everywhere(monkeypatch), Listening()
    forward = loop.OBJECTIVES["supervised"].forward  # type: ignore[attr-defined]

    def asks(self: Any, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = forward(self, pixels, targets)
        float(found["loss"].detach())
        return found

    monkeypatch.setattr(loop.OBJECTIVES["supervised"], "forward", asks)
    done = trained(watch, name="asked")
    assert weights(done) == plain
    (line,) = [text for text in watch.heard if "CUDA graphs" in text]
    assert "cannot be recorded as CUDA graphs (operation not permitted when stream is capturing)" in line
    said = done.runs[0].environment()["techniques"]["cuda_graphs"]
    assert said.startswith("could not be recorded: ")
    assert len(made) == 1
