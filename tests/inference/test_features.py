"""Features by a loop of one's own, and the store under every accident that it has to survive."""

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from painted import paint, paint_folder
from safetensors.numpy import load_file
from torch import Tensor, nn

from vitbench.data.batches import eval_batches
from vitbench.data.scan import scan_folder
from vitbench.errors import RunFailedError, UsageError, VitbenchError
from vitbench.inference.features import feature_key, features_of, store_folder
from vitbench.models.create import create
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.records import Array, ImageSet, Machine, Origin, Picture

CPU = Machine(device="cpu", device_name="CPU", micro_batch=4, eval_batch=4, threads=1, workers=0)
KEY = "k"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one store file that these tests fill."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features" / f"{KEY}-cpu.safetensors"


@pytest.fixture(scope="module")
def plan() -> ModelPlan:
    return plan_model("test_vit", 32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """3 × 3 pictures; do not change them."""
    return scan_folder(paint_folder(tmp_path_factory.mktemp("pictures"), per_class=3))


@pytest.fixture
def features(plan: ModelPlan, images: ImageSet) -> Callable[..., Array]:
    """`features(pictures, model=…, root=…)` under the one key."""

    def go(
        pictures: tuple[Picture, ...] = images.pictures,
        model: nn.Module | Callable[[], nn.Module] = lambda: create(plan, 3, RANDOM, seed=0),
        root: Path = images.root,
        **more: object,
    ) -> Array:
        return features_of(model, KEY, root, pictures, plan.preprocessing, CPU, **more)  # type: ignore[arg-type]

    return go


class Constant(nn.Module):
    """A network whose features are two times `value`."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def get_classifier(self) -> nn.Module:
        return nn.Linear(2, 3)

    def forward_features(self, batch: Tensor) -> Tensor:
        return torch.full((len(batch), 2), self.value)

    def forward_head(self, maps: Tensor, pre_logits: bool) -> Tensor:
        return maps


def refuse() -> nn.Module:
    raise AssertionError("a model was built, though its features are stored")


def test_features_are_what_the_classifier_sees(
    features: Callable[..., Array], plan: ModelPlan, images: ImageSet
) -> None:
    """timm's pooled features of timm's evaluation pictures, float32, from which the head gives the logits."""
    model = create(plan, 3, RANDOM, seed=0).train()
    found = features(model=model)
    assert (found.shape, found.dtype) == ((9, 64), np.dtype(np.float32))
    assert not model.training
    [batch] = eval_batches(images.root, images.pictures, plan.preprocessing, 9)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(batch), pre_logits=True)  # type: ignore[operator]
        logits = model.get_classifier()(torch.from_numpy(found))  # type: ignore[operator]
        assert torch.allclose(logits, model(batch), atol=1e-5)
    assert np.allclose(found, expected.numpy(), atol=1e-5)


def test_a_second_call_builds_no_model(features: Callable[..., Array], images: ImageSet) -> None:
    """What is stored comes back to the bit, in the order asked for, without a model."""
    first = features()
    assert np.array_equal(features(model=refuse), first)
    assert np.array_equal(features(images.pictures[::-1], model=refuse), first[::-1])


def test_renamed_pictures_are_found(features: Callable[..., Array], images: ImageSet, tmp_path: Path) -> None:
    """Content counts, not names: another folder with the same files needs no model."""
    first = features()
    for number, picture in enumerate(images.pictures):
        target = tmp_path / "moved" / "one" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images.root / picture.path, target)
    paint(tmp_path / "moved" / "two" / "0.png", (0, 0, 0), 99)  # a folder needs two classes
    moved = [p for p in scan_folder(tmp_path / "moved").pictures if p.label == "one"]
    assert np.array_equal(features(tuple(moved), model=refuse, root=tmp_path / "moved"), first)


def test_only_what_is_lacking_is_computed(
    features: Callable[..., Array], images: ImageSet, store: Path
) -> None:
    """New pictures join the stored ones; the same content twice is computed once."""
    first = features(images.pictures[:2])
    seen: list[tuple[int, int]] = []
    twice = (*images.pictures, *images.pictures[:5])
    found = features(twice, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (7, 7)]
    assert np.array_equal(found[:2], first)
    assert np.array_equal(found[9:], found[:5])
    stored = load_file(store)
    assert (stored["sha256"].shape, stored["sha256"].dtype) == ((9, 32), np.dtype(np.uint8))
    assert stored["sha256"][0].tobytes().hex() == images.pictures[0].sha256
    assert np.array_equal(stored["features"], found[:9])


@pytest.mark.parametrize("damage", ["half", "flipped", "text", "empty", "other"])
def test_a_damaged_store_is_computed_again(features: Callable[..., Array], store: Path, damage: str) -> None:
    """Half a file, a flipped bit in the last feature, or something else: nothing of it is believed."""
    first = features()
    whole = store.read_bytes()
    other = b"\x08\0\0\0\0\0\0\0{}      "  # a whole safetensors file without tensors
    contents = {
        "half": whole[: len(whole) // 2],
        "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
        "text": b"not tensors",
        "empty": b"",
        "other": other,
    }
    store.write_bytes(contents[damage])
    said: list[str] = []
    assert np.array_equal(features(on_event=said.append), first)
    assert store.read_bytes() == whole
    assert said == []


def test_features_that_cannot_be_kept_are_returned(
    features: Callable[..., Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store below a file, where no folder can be made, is one line; the features come all the same."""
    first = features()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "file"))
    said: list[str] = []
    assert np.array_equal(features(on_event=said.append), first)
    assert len(said) == 1
    assert "cannot be kept" in said[0]
    assert "\n" not in said[0]


def test_an_interrupted_pass_leaves_the_store_as_it_was(
    features: Callable[..., Array], images: ImageSet, store: Path
) -> None:
    """Eight pictures are done when the ninth turns out to be gone: none of them is kept."""
    features(images.pictures[:1])
    before = store.read_bytes()
    gone = dataclasses.replace(images.pictures[0], path="red/gone.png", sha256="0" * 64)
    with pytest.raises(VitbenchError, match="gone"):
        features((*images.pictures[1:], gone))
    assert store.read_bytes() == before


def test_two_processes_do_each_other_no_harm(features: Callable[..., Array], images: ImageSet) -> None:
    """What another process stored meanwhile stays, and stands above what this one computed."""

    def slow() -> nn.Module:
        features(images.pictures[:6], model=Constant(1))
        return Constant(2)

    found = features(images.pictures[3:], model=slow)
    assert found[:, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert features(model=refuse)[:, 0].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_features_that_are_no_numbers_fail_the_run(features: Callable[..., Array], store: Path) -> None:
    """NaN is never kept and never given to a classifier."""
    with pytest.raises(RunFailedError, match="finite"):
        features(model=Constant(float("nan")))
    assert not store.exists()


def test_a_network_without_a_linear_classifier_is_refused(features: Callable[..., Array]) -> None:
    """One line that names it, before anything is computed."""
    with pytest.raises(UsageError, match="levit_128s has no linear classifier"):
        features(model=timm.create_model("levit_128s", num_classes=3))


def test_the_key_is_of_all_that_decides_features(plan: ModelPlan, tmp_path: Path) -> None:
    """Size, model and weights change it; seed and classes only where weights are random."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"w")
    file = InitialWeights(Origin(kind="file", sha256="a" * 64), path, "file w")
    unread = dataclasses.replace(file, origin=Origin(kind="file"))
    keys = [
        feature_key(plan, file, 0, 3),
        feature_key(plan_model("test_vit", 64), file, 0, 3),
        feature_key(plan_model("test_efficientnet", 32), file, 0, 3),
        feature_key(plan, dataclasses.replace(file, origin=Origin(kind="file", sha256="b" * 64)), 0, 3),
        feature_key(plan, unread, 0, 3),
        feature_key(plan, RANDOM, 0, 3),
        feature_key(plan, RANDOM, 1, 3),
        feature_key(plan, RANDOM, 0, 4),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {64}
    assert feature_key(plan, file, 1, 4) == keys[0]
    path.write_bytes(b"v")
    assert feature_key(plan, unread, 0, 3) != keys[4]


def test_random_networks_differ_by_their_classes(plan: ModelPlan) -> None:
    """Why the key asks for them: a larger head draws more numbers, and timm's layers draw after it."""
    three, four = (create(plan, n, RANDOM, seed=0).state_dict()["blocks.0.attn.qkv.weight"] for n in (3, 4))
    assert not torch.equal(three, four)


def test_the_store_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variable first, then what the system calls a cache."""
    assert store_folder() == tmp_path / "cache" / "features"
    monkeypatch.delenv("VITBENCH_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store_folder() == tmp_path / "xdg" / "vitbench" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store_folder() == tmp_path / ".cache" / "vitbench" / "features"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert store_folder() == tmp_path / "Library" / "Caches" / "vitbench" / "features"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert store_folder() == tmp_path / "local" / "vitbench" / "features"
