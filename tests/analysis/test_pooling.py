"""Class token against average pooling, and what a network normalises by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from small import noise, small, subject
from torch import nn

from vitbench.analysis.before import before_training
from vitbench.analysis.norms import ALONE, BATCHED, NORMS, kind_of
from vitbench.analysis.nouns import Subject
from vitbench.analysis.pooling import POOLING, BothPoolings, split_of
from vitbench.models.folder import load_model
from vitbench.records import Benchmark


@pytest.mark.parametrize("family", ["vit", "deit-distilled"])
def test_the_first_half_of_the_features_is_what_the_classifier_reads(family: str) -> None:
    """The token (a distilled network's two, their mean), as the network's own head takes it."""
    model, pictures = small(family), noise(112).load([0, 1])
    both = BothPoolings(model)
    with torch.inference_mode():
        tokens = both.forward_features(pictures)
        features = both.forward_head(tokens)
        own = model.forward_head(model.forward_features(pictures), pre_logits=True)
    assert torch.equal(features[:, :48], own)
    assert torch.allclose(features[:, 48:], tokens[:, model.num_prefix_tokens :].mean(1))


def test_an_averaging_network_with_a_class_token_is_read_the_same_way() -> None:
    """Its own classifier reads the second half then: the mean behind `fc_norm`."""
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=48, num_heads=3, global_pool="avg"
    ).eval()
    pictures = noise(64).load([0, 1])
    with torch.inference_mode():
        tokens = model.forward_features(pictures)
        features = BothPoolings(model).forward_head(tokens)
        assert torch.equal(features[:, 48:], model.forward_head(tokens, pre_logits=True))


def run_subject(benchmark: Benchmark, name: str, fold: int = 0) -> Subject:
    run = next(run for run in benchmark.runs if run.name == name)
    loaded = load_model(run.model_folder)
    known = {"before": before_training(run, benchmark), "split": split_of(benchmark, fold)}
    return Subject(name, loaded.module, loaded.classes, loaded.preprocessing, "trained", **known)  # type: ignore[arg-type]


def test_both_heads_answer_the_same_pictures_and_are_tested_as_pairs(two_models: Benchmark) -> None:
    """Red, green and blue folders: two rows that can be counted again, and the paired test's numbers."""
    found = POOLING.look(run_subject(two_models, "test_vit-s0"), noise(32))
    rows, (_, pair) = found.frames["pooling"], next(found.frames["pooling_pair"].iterrows())
    n_test = len(two_models.rows_of("test"))
    assert rows["n_test"].tolist() == [n_test, n_test]
    assert rows["own"].tolist() == [True, False]
    assert rows["correct"].diff().iloc[1] == pair["b_only"] - pair["a_only"]
    assert pair["difference"] == pytest.approx(-rows["top1"].diff().iloc[1])
    assert found.notes == ()
    assert 0 <= pair["p"] <= 1
    assert pair["low"] <= pair["difference"] <= pair["high"]


@pytest.mark.slow
def test_the_token_is_what_a_probe_reads(trained: Callable[..., Benchmark], no_reports: None) -> None:
    """Row one is the probe of the same network on the same pictures: as many right, by a head as strong.

    Of a benchmark with folds: what is trained and tested in fold 1.
    """
    benchmark = trained(recipe="probe", folds=3)
    (run,) = benchmark.runs
    split = split_of(benchmark, 1)
    parts = [{picture.path for picture in part} for part in (split.train, split.val, split.test)]
    assert parts[2] == {row["path"] for row in benchmark.split_rows() if row["fold"] == "1"}
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(benchmark.split_rows())
    (row, _) = (
        POOLING.look(run_subject(benchmark, run.name, 1), noise(32)).frames["pooling"].to_dict("records")
    )
    said = run.predictions()
    right = dict(zip(said.paths, said.probabilities.argmax(1) == said.labels, strict=True))
    assert row["correct"] == sum(right[path] for path in parts[2])
    assert row["strength"] in run.metrics()["probe"]["strengths"]


def test_heads_learn_from_so_many_pictures_at_most(
    two_models: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each class its share, and a note; the test pictures are all answered."""
    monkeypatch.setattr("vitbench.analysis.pooling.MOST", 12)
    looked = run_subject(two_models, "test_vit-s0")
    assert looked.split is not None
    found = POOLING.look(looked, noise(32))
    learn = len(looked.split.train) + len(looked.split.val)
    assert found.notes == (f"heads learned from 12 of {learn} training and validation pictures",)
    assert found.frames["pooling"]["n_test"].tolist() == [len(looked.split.test)] * 2


def test_a_network_from_random_weights_is_read_as_training_left_it(two_models: Benchmark) -> None:
    """Nothing was learned before; the note says what that means for the class token."""
    scratch = replace(run_subject(two_models, "test_vit-s0"), from_scratch=True)
    (note,) = POOLING.look(scratch, noise(32)).notes
    assert note.startswith("of the network as training left it (it began from random weights)")


def test_pictures_that_are_gone_are_a_note(two_models: Benchmark, tmp_path: Path) -> None:
    """One line that names the file, and no table."""
    here = run_subject(two_models, "test_vit-s0")
    assert here.split is not None
    moved = replace(here, split=replace(here.split, root=tmp_path / "gone"), preprocessing=here.preprocessing)
    with torch.no_grad():
        moved.module.cls_token.add_(1)  # features that no store holds
    found = POOLING.look(replace(moved, before=lambda: "gone"), noise(32))
    assert not found.frames
    assert "gone" in found.notes[0]


def test_a_network_without_a_class_token_says_so() -> None:
    """A Swin and a CNN average their last map."""
    reason = "has no class token before its patches"
    assert POOLING.applies(subject(small("swin"), 112)) == reason
    assert POOLING.applies(subject(timm.create_model("test_resnet"), 64)) == reason
    assert POOLING.applies(subject(small("vit"), 112)).startswith("no pictures are known")


# --- norms ----------------------------------------------------------------------------------------

NETWORKS = {
    "vit_tiny_patch16_224": {"LayerNorm"},
    "swinv2_cr_tiny_ns_224": {"LayerNorm"},
    "resnet18": {"BatchNorm"},
    "tf_efficientnet_lite0": {"BatchNorm"},
    "convnext_atto": {"LayerNorm"},
    "resnetv2_50x1_bit": {"GroupNorm"},
    "levit_128s": {"BatchNorm"},
    "convnext_zepto_rms": {"SimpleNorm"},
}


@pytest.mark.parametrize(("name", "kinds"), NETWORKS.items())
def test_norms_are_named_with_what_follows(name: str, kinds: set[str]) -> None:
    """Transformers, CNNs and those in between: the kinds that they have, and whether a batch matters."""
    model = timm.create_model(name, device="meta")
    found = NORMS.look(subject(model, 224), noise(32, 1))
    assert set(found.frames["norms"]["norm"]) == kinds
    assert found.notes == ((BATCHED if "BatchNorm" in kinds else ALONE),)


@pytest.mark.parametrize(("name", "alone"), [("test_vit", True), ("test_resnet", False)])
def test_company_matters_to_batch_normalisation_alone(name: str, alone: bool) -> None:
    """In training mode a ViT's logits of a picture are the same whatever is beside it, a ResNet's are not."""
    model = timm.create_model(name, num_classes=3).train()
    one, two, three = (torch.randn(1, 3, 64, 64) for _ in range(3))
    beside = [model(torch.cat([one, other]))[0] for other in (two, three)]
    assert torch.allclose(*beside, atol=1e-6) == alone
    assert any(kind_of(module) == "BatchNorm" for module in model.modules()) != alone


def test_what_is_frozen_needs_no_batch() -> None:
    """timm's frozen batch normalisation keeps its statistics; its RMS norms are known under torch's name."""
    from timm.layers import RmsNorm2d, freeze_batch_norm_2d

    assert kind_of(RmsNorm2d(8)) == kind_of(nn.RMSNorm(8)) == "RMSNorm"

    frozen = freeze_batch_norm_2d(nn.Sequential(nn.BatchNorm2d(3)))
    found = NORMS.look(subject(frozen, 8), noise(8, 1))
    assert found.frames["norms"]["norm"].tolist() == ["FrozenBatchNorm"]
    assert found.notes == (ALONE,)
