"""Learning from a teacher: the losses by hand, one view for both, nothing of the teacher in what is saved."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from painted import TINY, Listening, StopAt, paint_folder
from safetensors.torch import load_file
from torch import Tensor, nn

from vitbench.benchmark.train import train
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import RunFailedError, UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.models.create import create, state_sha256
from vitbench.models.folder import LoadedModel, load_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Distillation, Machine, Preprocessing, Recipe, Settings, best_epoch
from vitbench.training import fitted, loop, saving
from vitbench.training.objectives.distillation import Distilled
from vitbench.training.recipes import build_recipe, distillation

Trained = Callable[..., Benchmark]
CLASSES = ("blue", "green", "red")
TAUGHT: dict[str, Any] = {
    "teacher": "test_efficientnet",
    "weights": ("random", "test_efficientnet=random"),
}
"""A teacher that no network has to be asked for."""
TURNED = ("red", "blue", "green")
"""The teacher's order."""
OTHER = Preprocessing(32, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bicubic", 1.0, "center")


class Linear(nn.Module):
    """A teacher that can be computed by hand: a linear map of the mean colour."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.map = nn.Linear(3, 3)
        self.seen: list[Tensor] = []

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        return self.map(pictures.mean(dim=(2, 3)))


def recipe_for(model: str, folder: Path, **asked: Any) -> Recipe:
    split = split_images(scan_folder(folder), 0)
    settings = Settings.model_validate({**TINY, **asked})
    plan = plan_model(model, 32)
    plain = build_recipe(settings, plan, split, 0, RANDOM.origin, "fp32")
    learns = distillation(settings, "by hand", plan.distillation_token)
    return plain.model_copy(update={"distillation": learns})


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("model", ["deit_tiny_distilled_patch16_224", "test_vit"])
def test_losses_equal_a_hand_computation(model: str, kind: str, coloured: Path) -> None:
    """Hard and soft, by token and by logits: to 1e-6 what NumPy makes of the same logits in float64."""
    recipe = recipe_for(model, coloured, distill=kind)
    network = create(plan_model(model, 32), 3, RANDOM, 0).train()
    teacher = Linear()
    objective = Distilled(network, recipe, LoadedModel(teacher, TURNED, OTHER, "linear")).train()
    pixels = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    found = objective(pixels, labels)

    said = network(objective.normalise(pixels))
    cls, dist = (o.detach().double().numpy() for o in (said if isinstance(said, tuple) else (said, said)))
    assert isinstance(said, tuple) == (model != "test_vit")
    own = (pixels - torch.tensor(OTHER.mean).view(1, 3, 1, 1)) / torch.tensor(OTHER.std).view(1, 3, 1, 1)
    taught = teacher.map(own.mean(dim=(2, 3))).detach().double().numpy()[:, [1, 2, 0]]  # to CLASSES
    rows = np.arange(6)
    smooth = recipe.label_smoothing
    assert smooth == 0.1
    targets = np.full((6, 3), smooth / 3)
    targets[rows, labels] += 1 - smooth
    by_labels = -(targets * log_softmax(cls)).sum(axis=1).mean()
    if kind == "hard":
        by_teacher = -log_softmax(dist)[rows, taught.argmax(axis=1)].mean()
        expected = 0.5 * by_labels + 0.5 * by_teacher
    else:
        student, master = log_softmax(dist / 3), log_softmax(taught / 3)
        by_teacher = 9 * (np.exp(master) * (master - student)).sum(axis=1).mean()
        expected = 0.9 * by_labels + 0.1 * by_teacher
    assert float(found["loss"].detach()) == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(found["output"].double().detach().numpy(), cls)


def test_student_and_teacher_see_one_view_each_in_its_own_way(coloured: Path) -> None:
    """The same pixels: the teacher's normalised by its own mean and std, and brought to its own size."""
    recipe = recipe_for("test_vit", coloured)
    network, teacher = create(plan_model("test_vit", 32), 3, RANDOM, 0), Linear()
    larger = Preprocessing(48, OTHER.mean, OTHER.std, "bicubic", 1.0, "center")
    pixels = torch.rand(2, 3, 32, 32)
    for own in (OTHER, larger):
        Distilled(network, recipe, LoadedModel(teacher, CLASSES, own, "linear"))(pixels, torch.tensor([0, 1]))
    same, resized = teacher.seen
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OTHER.mean, OTHER.std))
    torch.testing.assert_close(same * std + mean, pixels)
    assert resized.shape == (2, 3, 48, 48)
    torch.testing.assert_close((resized * std + mean).mean(), pixels.mean(), atol=0.02, rtol=0)


def test_nothing_of_the_teacher_is_optimised_or_kept(coloured: Path) -> None:
    """Its parameters are in no optimiser group and no state, get no gradient, and do not move."""
    recipe = recipe_for("test_vit", coloured)
    split = split_images(scan_folder(coloured), 0)
    machine = Machine("cpu", "CPU", 16, 16, torch.get_num_threads(), 0)
    teacher = create(plan_model("test_efficientnet", 32), 3, RANDOM, 1)
    before = copy.deepcopy(teacher.state_dict())
    loaded = LoadedModel(teacher.eval(), CLASSES, OTHER, "test_efficientnet")
    model = create(plan_model("test_vit", 32), 3, RANDOM, 0)
    trainer = loop.build_trainer(model, recipe, split, machine, teacher=loaded)
    trainer.train_mode()
    for step, (images, labels) in enumerate(trainer.batches(1)):
        loop.train_step(trainer, images, labels, step)
    groups = trainer.optimizer.param_groups
    optimised = {id(p) for group in groups for p in group["params"]}
    assert optimised == {id(p) for p in model.parameters()}
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not teacher.training
    for name, tensor in teacher.state_dict().items():  # batch statistics among them
        assert torch.equal(tensor, before[name]), name
    assert {name.partition(".")[0] for name in saving.state_of(trainer)} == {"model", "optimizer"}
    assert {name for name in saving.state_of(trainer) if name.startswith("model.")} == {
        f"model.{name}" for name in model.state_dict()
    }


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A token student and one without, each with and without a CNN that is fine-tuned first; keep it so."""
    root = tmp_path_factory.mktemp("taught")
    asked = {**TINY, **TAUGHT, "models": ("deit_tiny_distilled_patch16_224", "test_vit"), "epochs": 1}
    data = paint_folder(root / "data")
    return train(data, name="taught", results=root / "results", **asked)


@pytest.mark.slow
def test_teacher_comes_first_and_has_a_row_of_its_own(taught: Benchmark) -> None:
    """One teacher, then the students, then the students that were taught; all on one split."""
    assert [run.name for run in taught.runs] == [
        "test_efficientnet-s0",
        "deit_tiny_distilled_patch16_224-s0",
        "test_vit-s0",
        "distill-deit_tiny_distilled_patch16_224-s0",
        "distill-test_vit-s0",
    ]
    assert {run.status for run in taught.runs} == {"finished"}
    student = taught.runs[3]
    assert (student.planned.arm, student.planned.network) == ("distill", "deit_tiny_distilled_patch16_224")
    assert student.about()["teacher_run"] == "test_efficientnet-s0"
    assert taught.runs[4].recipe().distillation == Distillation(
        teacher="test_efficientnet (test_efficientnet.r160_in1k)",
        teacher_sha256=taught.runs[4].recipe().distillation.teacher_sha256,  # type: ignore[union-attr]
        kind="hard",
        alpha=0.5,
        tau=3.0,
        through="logits",
    )
    rows = read_csv(taught.folder / "comparison.csv")
    assert {row["model"] for row in rows} >= {"test_efficientnet", "test_vit", "distill-test_vit"}


@pytest.mark.slow
def test_heads_say_what_the_saved_models_say(taught: Benchmark) -> None:
    """heads.csv: the student's own answers, timm's two heads and the teacher's, from its folder."""
    run, teacher = taught.runs[3], taught.runs[0]
    heads = run.heads()
    predictions = run.predictions()
    assert [row["both"] for row in heads] == [predictions.classes[i] for i in predictions.answers]
    known = teacher.predictions()
    said = {path: known.classes[i] for path, i in zip(known.paths, known.answers, strict=True)}
    assert [row["teacher"] for row in heads] == [said[row["path"]] for row in heads]
    model = timm.create_model(f"local-dir:{run.model_folder}", pretrained=True).eval()
    pixels = torch.rand(4, 3, 32, 32)
    both = model(pixels)
    features = model.forward_features(pixels)
    torch.testing.assert_close((model.head(features[:, 0]) + model.head_dist(features[:, 1])) / 2, both)
    assert set(heads[0]) == {"path", "label", "both", "cls", "dist", "teacher"}
    assert set(taught.runs[4].heads()[0]) == {"path", "label", "both", "teacher"}
    for row in read_csv(run.folder / "epochs.csv"):
        assert 0 <= float(row["val_agreement"]) <= 1


@pytest.mark.slow
def test_the_saved_student_is_the_student_alone(taught: Benchmark) -> None:
    """As many tensors as its plain twin's, and timm loads it."""
    plain, student = (load_file(run.model_folder / "model.safetensors") for run in taught.runs[1:4:2])
    assert {k: v.shape for k, v in plain.items()} == {k: v.shape for k, v in student.items()}
    assert load_model(taught.runs[3].model_folder).classes == CLASSES


@pytest.mark.slow
def test_a_taught_run_that_was_interrupted_ends_with_the_same_bytes(
    taught: Benchmark, tmp_path: Path, trained: Trained
) -> None:
    """Soft distillation under mixup and a moving average, cut inside an epoch: same weights and agreement."""
    asked: dict[str, Any] = {
        "models": ("deit_tiny_distilled_patch16_224",), "teacher": str(taught.runs[0].model_folder),
        "ema": 0.9, "distill": "soft", "mixup": 0.2, "micro_batch": 6, "drop_path": 0.1, "plain": False,
    }  # fmt: skip
    whole = trained(name="whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 2), name="cut", **asked)
    cut = trained(name="cut", resume=True)
    one, other = (sha256_of(b.runs[0].model_folder / "model.safetensors") for b in (whole, cut))
    assert one == other
    agreed = [
        [row["val_agreement"] for row in read_csv(b.runs[0].folder / "epochs.csv")] for b in (whole, cut)
    ]
    assert agreed[0] == agreed[1]


@pytest.mark.slow
def test_soft_and_long_a_student_comes_to_answer_as_its_teacher(taught: Benchmark, trained: Trained) -> None:
    """A teacher that is wrong is followed where its weight is .95: agreement on val rises to all."""
    asked: dict[str, Any] = {"teacher": str(taught.runs[0].model_folder), "plain": False, "alpha": 0.95}
    run = trained(epochs=8, per_class=36, **asked).runs[0]
    agreed = [row.val_agreement for row in run.epochs()]
    assert agreed[-1] is not None
    assert agreed[-1] >= 0.8
    assert best_epoch(run.epochs()).val_top1 is not None


@pytest.mark.slow
def test_a_teacher_that_knows_the_test_pictures_is_said_or_refused(
    taught: Benchmark, trained: Trained, coloured: Path
) -> None:
    """Trained on another split of the same pictures: a note with the number, an error under --strict."""
    watch = Listening()
    teacher = str(taught.runs[0].model_folder)
    run = trained(watch, teacher=teacher, plain=False, split_seed=7).runs[0]
    assert any("its teacher (test_efficientnet-s0) learned from" in line for line in watch.heard)
    notes = json.loads((run.folder.parent / "comparison.json").read_text())["narrative"]["notes"]
    assert any("learned from" in note for note in notes)
    with pytest.raises(
        UsageError, match=r"learned from \d( and chosen by \d)? of the 6 test pictures.*--strict"
    ):
        trained(name="strict", teacher=teacher, plain=False, split_seed=7, strict=True)


def refused(coloured: Path, results: Path, **asked: Any) -> str:
    with pytest.raises(UsageError) as raised:
        train(coloured, results=results, **{**TINY, **asked})
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.slow
def test_what_cannot_teach_or_be_taught_is_one_line(
    taught: Benchmark, tmp_path: Path, coloured: Path
) -> None:
    """Other classes, no head, no token, a benchmark, nothing like it; options without a teacher."""
    other = train(
        paint_folder(tmp_path / "other", names={"red": "rot"}),
        name="o",
        results=tmp_path / "r",
        **{**TINY, "epochs": 1},
    )
    folder = str(other.runs[0].model_folder)
    assert "it lacks 'red'; only it has 'rot'" in refused(coloured, tmp_path, teacher=folder)
    headless = tmp_path / "headless"
    headless.mkdir()
    for name in ("config.json", "model.safetensors"):
        (headless / name).write_bytes((other.runs[0].model_folder / name).read_bytes())
    config = json.loads((headless / "config.json").read_text())
    (headless / "config.json").write_text(json.dumps({**config, "label_names": []}))
    assert "an encoder without a head" in refused(coloured, tmp_path, teacher=str(headless))
    asked = {"teacher": "test_efficientnet", "distill_through": "token"}
    assert "test_vit has no distillation token" in refused(coloured, tmp_path, **asked)
    assert "is a benchmark; name one of its runs" in refused(coloured, tmp_path, teacher=str(taught.folder))
    assert "no model is called 'resnet500'" in refused(coloured, tmp_path, teacher="resnet500")
    assert "--tau: needs --teacher" in refused(coloured, tmp_path, tau=2.0)
    assert "--no-plain: needs --teacher" in refused(coloured, tmp_path, plain=False)


@pytest.mark.slow
def test_students_of_a_teacher_that_failed_fail_with_its_reason(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain twin goes on; the student names the teacher."""
    fit = fitted.fit

    def failing(trainer: loop.Trainer, *given: Any) -> None:
        if "efficientnet" in trainer.recipe.model:
            raise RunFailedError("planted")
        fit(trainer, *given)

    monkeypatch.setattr(fitted, "fit", failing)
    teacher, plain, student = trained(epochs=1, **TAUGHT).runs
    assert (teacher.status, plain.status, student.status) == ("failed", "finished", "failed")
    assert student.failure == "its teacher test_efficientnet-s0 failed: planted"


@pytest.mark.slow
def test_folds_learn_from_the_teacher_of_their_fold(trained: Trained) -> None:
    """No fold's teacher has trained on the fold's test pictures; heads.csv covers all pictures."""
    benchmark = trained(folds=2, epochs=1, plain=False, **TAUGHT)
    teacher, student = benchmark.runs
    for own, fold in zip(student.folds, teacher.folds, strict=True):
        learnt = own.recipe().distillation
        assert learnt is not None
        assert learnt.teacher_sha256 == state_sha256(load_model(fold.model_folder).module)
    assert [row["path"] for row in student.heads()] == list(student.predictions().paths)
    known = teacher.predictions()
    said = dict(zip(known.paths, (known.classes[i] for i in known.answers), strict=True))
    assert all(row["teacher"] == said[row["path"]] for row in student.heads())


@pytest.mark.slow
def test_a_teacher_is_added_to_a_benchmark_and_its_plain_runs_stay(trained: Trained) -> None:
    """`train --name X --teacher Y` trains the teacher and the students; what was finished is left alone."""
    plain = trained(epochs=1)
    before = sha256_of(plain.runs[0].folder / "metrics.json")
    both = trained(epochs=1, **TAUGHT)
    assert [run.name for run in both.runs] == ["test_vit-s0", "test_efficientnet-s0", "distill-test_vit-s0"]
    assert sha256_of(both.runs[0].folder / "metrics.json") == before
    assert both.settings.teacher == "test_efficientnet"
