"""Answers for pictures: several models of one name answer together."""

import gc
import itertools
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from painted import paint
from torch import nn

from vitbench.inference.stream import Question, answer, batch_size, collect
from vitbench.models.create import create
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Preprocessing

CPU = torch.device("cpu")
SIZE = Preprocessing(8, (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)  # type: ignore[arg-type]


class Says(nn.Module):
    """The same probabilities for every picture."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(pictures), -1)


def model(classes: tuple[str, ...], *probabilities: float) -> LoadedModel:
    return LoadedModel(Says(list(probabilities)), classes, SIZE, "fake")


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    paint(tmp_path / "a.png", (9, 9, 9), 0)
    return [Question(str(tmp_path / "a.png"), "cat")]


def test_several_models_answer_by_their_mean(questions: list[Question]) -> None:
    """(.6 .3 .1), (.1 .8 .1) and (.2 .7 .1) give (.3 .6 .1): dog, though the first one says cat."""
    classes = ("cat", "dog", "fox")
    together = [model(classes, 0.6, 0.3, 0.1), model(classes, 0.1, 0.8, 0.1), model(classes, 0.2, 0.7, 0.1)]
    (found,) = answer({"vit": together, "alone": together[:1]}, questions, CPU, top_k=3)
    assert [name for name, _ in found.predictions["vit"]] == ["dog", "cat", "fox"]
    assert [p for _, p in found.predictions["vit"]] == pytest.approx([0.6, 0.3, 0.1])
    assert found.predictions["alone"][0] == ("cat", pytest.approx(0.6))
    assert found.label == "cat"


def test_classes_are_joined_by_name(questions: list[Question]) -> None:
    """Models that hold their classes in another order are averaged class by class."""
    together = [model(("cat", "dog"), 0.9, 0.1), model(("dog", "cat"), 0.3, 0.7)]
    (found,) = answer({"vit": together}, questions, CPU, top_k=2)
    assert dict(found.predictions["vit"]) == pytest.approx({"cat": 0.8, "dog": 0.2})


def test_one_model_says_exactly_what_it_says(questions: list[Question]) -> None:
    """The mean over one model changes no bit."""
    alone = model(("a", "b", "c"), 0.1, 0.2, 0.7)
    (found,) = answer({"vit": [alone]}, questions, CPU)
    expected = alone.module(torch.zeros(1, 3, 8, 8)).double().softmax(dim=1).numpy().max()
    assert np.float64(found.predictions["vit"][0][1]) == expected


@pytest.mark.parametrize(("side", "count"), [(32, 128), (64, 128), (96, 87), (224, 16), (1024, 16)])
def test_batches_take_as_much_memory_whatever_the_side(side: int, count: int) -> None:
    """16 pictures of 224 px are as many pixels as 87 of 96; between 16 and 128."""
    assert batch_size(side) == count


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    """20,000 predictions by a real network in one process hold no more than the first 1,000 did."""
    plan = plan_model("test_vit", 32)
    network = LoadedModel(create(plan, 2, RANDOM, 0), ("a", "b"), plan.preprocessing, "test_vit")
    for number in range(40):
        paint(tmp_path / f"{number:02d}.png", (9, 9, 9), number, (320, 240))
    (tmp_path / "39.png").write_bytes(b"broken")
    paths = itertools.cycle(sorted(tmp_path.glob("*.png")))
    questions = (Question(str(path)) for path in itertools.islice(paths, 20_000))
    held: dict[int, float] = {}
    for done, found in enumerate(answer({"vit": [network]}, questions, CPU), start=1):
        assert bool(found.error) == found.path.endswith("39.png")
        if done in (1_000, 20_000):
            gc.collect()
            held[done] = psutil.Process().memory_info().rss / 1e6
    print(f"\nMB held after so many predictions: {held}")
    assert held[20_000] < held[1_000] + 30


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """shots [1]/cat/a.png, shots [1]/b.png, shots 1/x.png and a file called *.png; the current folder."""
    for name in ("shots [1]/cat/a.png", "shots [1]/b.png", "shots 1/x.png", "*.png"):
        paint(tmp_path / name, (9, 9, 9), 0, (8, 8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("shots [1]/*.png", ["shots [1]/b.png"]),
        ("shots [1]/*", ["shots [1]/b.png", "shots [1]/cat/a.png"]),
        ("shots*", ["shots 1/x.png", "shots [1]/b.png", "shots [1]/cat/a.png"]),
        ("shots [1]/**", ["shots [1]/b.png", "shots [1]/cat/a.png"]),
        ("shots [1]/**/*.png", ["shots [1]/b.png", "shots [1]/cat/a.png"]),
        ("*/c[a]t/?.png", ["shots [1]/cat/a.png"]),
        ("./shots [1]/c*/*", ["./shots [1]/cat/a.png"]),
        ("*.png", ["*.png"]),
        ("shots [1]/none*.png", ["shots [1]/none*.png"]),
        ("shots [1]", ["shots [1]/b.png", "shots [1]/cat/a.png"]),
        ("a\0*", ["a\0*"]),
    ],
)
def test_a_quoted_glob_is_expanded_as_a_shell_would(shots: Path, pattern: str, found: list[str]) -> None:
    """Folders with brackets, folders that match, `**`; a name that is there is no pattern."""
    assert sorted(question.path for question in collect([pattern])) == found


def test_a_glob_below_the_home_folder(shots: Path) -> None:
    """A shell leaves "~" alone in quotes, and Windows has none that would expand it."""
    assert [question.path for question in collect(["~/shots 1/*"])] == [f"{shots}/shots 1/x.png"]


def test_a_matched_folders_pictures_are_labelled_as_if_it_were_named(shots: Path) -> None:
    """`shots*` in quotes and without: the same questions."""
    named = collect(["shots 1", "shots [1]"])
    assert sorted(collect(["shots*"]), key=str) == sorted(named, key=str)
