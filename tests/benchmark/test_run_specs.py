"""Arms: the same models on one split, trained in different ways, by name or by a TOML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painted import TINY, StopAt, paint_folder

from vitbench.benchmark.arms import run_specs
from vitbench.benchmark.train import train
from vitbench.cli.declared import named_settings
from vitbench.comparison.compare import compare
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError
from vitbench.files import read_csv, sha256_of
from vitbench.models.create import create, state_sha256
from vitbench.models.plan import plan_model
from vitbench.models.weights import saved_weights
from vitbench.records import Benchmark, Origin, Settings

Trained = Callable[..., Benchmark]
USUAL: dict[str, dict[str, Any]] = {
    "scratch": {"weights": "random"},
    "simmim": {"weights": "random", "pretrain": True, "pretrain_epochs": 2},
    "distill": {"weights": "random", "teacher": "test_efficientnet"},
}


WEIGHTS = ("random", "test_efficientnet=random")
"""Those of a teacher too, for which no network is asked."""


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """One model in the three usual ways, two seeds; do not change it."""
    root = tmp_path_factory.mktemp("arms")
    asked = {**TINY, "epochs": 1, "seeds": (0, 1), "arms": USUAL, "weights": WEIGHTS}
    return train(paint_folder(root / "data"), name="arms", results=root / "results", **asked)


@pytest.mark.slow
def test_runs_are_named_after_their_arm_and_teachers_come_first(arms: Benchmark) -> None:
    """<arm>-<model>-s<seed>; a teacher for every seed, without an arm."""
    assert [run.name for run in arms.runs] == [
        "test_efficientnet-s0", "test_efficientnet-s1",
        *(f"{arm}-test_vit-s{seed}" for arm in USUAL for seed in (0, 1)),
    ]  # fmt: skip
    assert {run.status for run in arms.runs} == {"finished"}
    assert [run.planned.arm for run in arms.runs][::2] == ["", "scratch", "simmim", "distill"]
    assert arms.runs[7].about()["teacher_run"] == "test_efficientnet-s1"


@pytest.mark.slow
def test_arms_are_compared_with_one_another(arms: Benchmark) -> None:
    """Three pairs of arms of one model, over two seeds; every arm has a row that names it."""
    comparison = compare(arms)
    assert len(comparison.arms) == 3
    assert {pair.method for pair in comparison.arms} == {"t over images × seeds"}
    rows = {row["model"]: row for row in read_csv(arms.folder / "comparison.csv")}
    assert {model: row["arm"] for model, row in rows.items() if model.endswith("test_vit")} == {
        f"{arm}-test_vit": arm for arm in USUAL
    }


@pytest.mark.slow
def test_fine_tuning_begins_with_the_encoder_that_was_pre_trained(arms: Benchmark) -> None:
    """Each seed has an encoder of its own; the run starts from it and a new head, and says so."""
    run = arms.runs[4]
    encoder = run.part("pretrain").model_folder
    first = create(plan_model("test_vit", 32), 3, saved_weights(encoder), 0)
    assert run.recipe().initial_sha256 == state_sha256(first)
    assert any("78 of 80 tensors are those of the pre-trained encoder" in n for n in run.about()["notes"])
    assert run.recipe().init == Origin(kind="masked", base="random")
    assert run.about()["init"] == "simmim (2 epochs) from random"
    other = arms.runs[5].part("pretrain").model_folder
    assert sha256_of(encoder / "model.safetensors") != sha256_of(other / "model.safetensors")


@pytest.mark.slow
def test_scratch_and_simmim_differ_in_nothing_but_their_start(arms: Benchmark) -> None:
    """The recipes of both arms are equal but for the initial weights."""
    scratch, simmim = arms.runs[2].recipe(), arms.runs[4].recipe()
    told = [line.split()[0] for line in scratch.differences(simmim)]
    assert sorted(told) == ["init", "initial_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("at", [(1, 2), (2, 1)])
def test_interrupted_in_pre_training_it_ends_with_the_same_bytes(
    trained: Trained, at: tuple[int, int]
) -> None:
    """Cut inside the masked part (which comes first) and resumed: the same encoder, the same model."""
    asked: dict[str, Any] = {"pretrain": True, "pretrain_epochs": 3, "ema": 0.9, "micro_batch": 6}
    whole = trained(name="whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(*at), name="cut", **asked)
    assert not (whole.folder.parent / "cut" / "test_vit-s0" / "pretrain" / "metrics.json").exists()
    cut = trained(name="cut", resume=True)
    for place in ("pretrain/model", "model"):
        one, other = (sha256_of(b.runs[0].folder / place / "model.safetensors") for b in (whole, cut))
        assert one == other


@pytest.mark.slow
def test_each_fold_is_pre_trained_on_its_own_training_pictures(trained: Trained) -> None:
    """No test picture of a fold is in what its encoder saw: a folder of its own, the fold's split."""
    run = trained(pretrain=True, pretrain_epochs=1, folds=2, epochs=1).runs[0]
    for fold in run.folds:
        assert fold.part("pretrain").recipe().split_digest == fold.recipe().split_digest
    first, second = (fold.part("pretrain").recipe().split_digest for fold in run.folds)
    assert first != second


@pytest.mark.slow
def test_an_arm_is_added_and_what_is_there_stays(trained: Trained) -> None:
    """A plain benchmark gets a second way; its plain run is left alone and its resume still knows both."""
    plain = trained(epochs=1)
    before = sha256_of(plain.runs[0].folder / "metrics.json")
    both = trained(epochs=1, arms={"strong": {"augment": "strong"}})
    assert [run.name for run in both.runs] == ["test_vit-s0", "strong-test_vit-s0"]
    assert sha256_of(both.runs[0].folder / "metrics.json") == before
    assert list(both.settings.by_arm) == ["", "strong"]
    with pytest.raises(UsageError, match="arm strong: augment strong → light"):
        trained(epochs=1, arms={"strong": {"augment": "light"}})


@pytest.mark.slow
def test_what_an_added_arm_is_told_is_kept_for_its_resume(trained: Trained) -> None:
    """Soft and a mask of .4 stand in benchmark.json, so that a run not yet begun is trained so."""
    trained(epochs=1)
    arms = {"simmim": {**USUAL["simmim"], "mask_size": 16}, "soft": {"teacher": "test_efficientnet"}}
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(1, 1), epochs=1, arms=arms, weights=WEIGHTS, distill="soft", mask_ratio=0.4)
    done = trained(name="tiny", resume=True)
    by_name = {run.name: run for run in done.runs}
    masking = by_name["simmim-test_vit-s0"].part("pretrain").recipe().masking
    learns = by_name["soft-test_vit-s0"].recipe().distillation
    assert masking is not None
    assert learns is not None
    assert (masking.ratio, masking.size, learns.kind) == (0.4, 16, "soft")


@pytest.mark.slow
def test_pre_training_that_was_begun_otherwise_is_not_gone_on_with(trained: Trained) -> None:
    """Another mask ratio for an interrupted pre-training is refused, the difference named."""
    asked: dict[str, Any] = {"pretrain": True, "pretrain_epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 1), **asked)
    with pytest.raises(UsageError, match=r"mask_ratio 0\.6 → 0\.4"):
        trained(resume=True, mask_ratio=0.4)


def test_a_teacher_begins_with_pretrained_weights_whatever_its_students_begin_with(coloured: Path) -> None:
    """--weights random is the students'; what names the teacher is its own."""
    split = split_images(scan_folder(coloured), 0)
    asked = {"models": ["test_vit"], "teacher": "test_efficientnet"}
    first = run_specs(Settings.of({**asked, "weights": "random"}), split)[0]
    assert first.settings.weights == ("pretrained",)
    named = {**asked, "weights": ["random", "test_efficientnet=random"]}
    assert run_specs(Settings.of(named), split)[0].settings.weights == (
        "pretrained",
        "test_efficientnet=random",
    )
    with pytest.raises(UsageError, match="would teach itself"):
        run_specs(Settings.of({"models": ["test_efficientnet"], "teacher": "test_efficientnet"}), split)


# --- what is asked --------------------------------------------------------------------------------


def asked_by(tmp_path: Path, text: str = "", **params: Any) -> Settings:
    config = tmp_path / "arms.toml"
    config.write_text(text)
    return named_settings({"config": config, **params})


def test_a_toml_file_names_arms(tmp_path: Path) -> None:
    """Tables under arms, options as on the command line; what an arm leaves out is as for all."""
    settings = asked_by(
        tmp_path,
        'models = ["vit"]\nepochs = 5\n[arms.early]\nlr = 1e-4\n'
        "[arms.late]\nper-class = 50\ndrop-path = 0.2\n",
    )
    early, late = settings.by_arm["early"], settings.by_arm["late"]
    assert (early.lr, early.per_class, early.epochs) == (1e-4, None, 5)
    assert (late.lr, late.per_class, late.drop_path) == (None, 50, 0.2)
    assert list(asked_by(tmp_path, "[arms.a]\n[arms.b]\n", arms="b,scratch").by_arm) == ["b", "scratch"]


def test_usual_arms_by_name(tmp_path: Path) -> None:
    """scratch, simmim, distill: only distill has a teacher, the one that is named or a small RegNet."""
    ways = asked_by(tmp_path, arms="scratch,simmim,distill", teacher="resnet18").by_arm
    assert [way.teacher for way in ways.values()] == [None, None, "resnet18"]
    assert [way.pretrain for way in ways.values()] == [False, True, False]
    assert all(way.weights == ("random",) for way in ways.values())
    assert asked_by(tmp_path, arms="distill").by_arm["distill"].teacher == "regnety_016"


@pytest.mark.parametrize(
    ("text", "params", "line"),
    [
        ("[arms.a]\nseeds = [1]\n", {}, "arms: a: seeds cannot differ between arms"),
        ("[arms.a]\nlr = -1\n", {}, "arms: a: --lr -1: should be a finite number above 0"),
        ("[arms.a-b]\n", {}, "a name has letters, digits and _ only"),
        ("arms = 3\n", {}, "arms"),
        ("", {"arms": "simim"}, "--arms simim: no such arm; did you mean simmim?"),
        ("", {"arms": "scratch", "teacher": "resnet18"}, "no arm learns from it"),
    ],
)
def test_what_is_no_arm_is_one_line(tmp_path: Path, text: str, params: dict[str, Any], line: str) -> None:
    """Fields that hold for all arms, values that do not fit, names that nobody knows."""
    with pytest.raises(UsageError) as raised:
        asked_by(tmp_path, text, **params)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_pretrained_weights_are_an_arm(coloured: Path) -> None:
    """ "pretrained:TAG": the same model under timm's other tag, with what that was pretrained on."""
    arms = {"in1k": {"weights": "pretrained"}, "in21k": {"weights": "pretrained:augreg_in21k"}}
    split = split_images(scan_folder(coloured), 0)
    first, second = run_specs(Settings.of({"models": ["vit"], "arms": arms}), split)
    assert (first.planned.name, second.planned.name) == ("in1k-vit-s0", "in21k-vit-s0")
    assert first.plan.timm_name == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert second.plan.timm_name == "vit_tiny_patch16_224.augreg_in21k"
    assert second.plan.pretrained_on == "IN-21k"
    with pytest.raises(UsageError, match="no weights tagged 'in99k'"):
        run_specs(Settings.of({"models": ["vit"], "weights": "pretrained:in99k"}), split)


@pytest.mark.slow
def test_an_encoder_of_another_family_is_refused(arms: Benchmark, trained: Trained) -> None:
    """One line that says what does not fit, before anything starts."""
    encoder = str(arms.runs[4].part("pretrain").folder)
    with pytest.raises(Exception, match="does not fit test_efficientnet") as raised:
        trained(models=("test_efficientnet",), weights=(encoder,))
    assert "\n" not in str(raised.value)
