from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from vitbench.errors import UsageError, WeightsError
from vitbench.models.create import count_parameters, create, gmacs, state_sha256
from vitbench.models.families import FAMILIES
from vitbench.models.heads import linear_heads, set_head
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import resolve_weights
from vitbench.records import Origin

REAL = Path(__file__).parents[3] / "shared" / "weights"


def from_file(path: Path) -> InitialWeights:
    return InitialWeights(Origin(kind="file"), path, f"file {path.name}")


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"needs {name}, real weights that are not part of the project")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.alias)
def test_every_family_answers_for_the_classes(family: object) -> None:
    """Two pictures of 64 px and 3 classes give (2, 3) logits, finite, in training and evaluation."""
    model = create(plan_model(family.alias, 64), 3, RANDOM, seed=0)  # type: ignore[attr-defined]
    pictures = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        answers = [model.train()(pictures), model.eval()(pictures)]
    assert [tuple(answer.shape) for answer in answers] == [(2, 3), (2, 3)]
    assert all(bool(answer.isfinite().all()) for answer in answers)


def test_equal_seeds_give_equal_bits(tiny_plan: ModelPlan) -> None:
    """The initial weights depend on the seed, not on random numbers drawn before."""
    torch.manual_seed(1)
    first = create(tiny_plan, 3, RANDOM, seed=7)
    torch.manual_seed(2)
    torch.rand(10)
    assert state_sha256(first) == state_sha256(create(tiny_plan, 3, RANDOM, seed=7))
    assert state_sha256(first) != state_sha256(create(tiny_plan, 3, RANDOM, seed=8))


def test_the_new_head_depends_on_the_seed(tiny_file: Path) -> None:
    """With pretrained weights two seeds share the backbone and differ in the head."""
    plan = plan_model("test_vit", "native")
    one, two = (create(plan, 3, from_file(tiny_file), seed=s).state_dict() for s in (0, 1))
    differing = {key for key in one if not torch.equal(one[key], two[key])}
    assert differing == {"head.weight"}


def test_creation_leaves_the_random_state_alone(tiny_plan: ModelPlan) -> None:
    """torch's global random numbers go on as if nothing had been built."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    create(tiny_plan, 3, RANDOM, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_head_is_new_even_for_as_many_classes(tiny_file: Path) -> None:
    """A file with 1000 classes does not lend its head to 1000 other classes."""
    model = create(plan_model("test_vit", "native"), 1000, from_file(tiny_file), seed=0)
    stored = load_file(tiny_file)
    assert torch.equal(model.state_dict()["blocks.0.attn.qkv.weight"], stored["blocks.0.attn.qkv.weight"])
    assert not torch.equal(model.state_dict()["head.weight"], stored["head.weight"])


def test_a_saved_head_is_kept_for_the_same_classes(tiny_file: Path) -> None:
    """Weights of a saved model keep their head where the class names are the same, in order."""
    names = tuple(str(i) for i in range(1000))
    weights = InitialWeights(Origin(kind="model"), tiny_file, "model", classes=names)
    plan = plan_model("test_vit", "native")
    stored = load_file(tiny_file)["head.weight"]
    assert torch.equal(create(plan, 1000, weights, 0, classes=names).state_dict()["head.weight"], stored)
    turned = names[::-1]
    assert not torch.equal(create(plan, 1000, weights, 0, classes=turned).state_dict()["head.weight"], stored)


def test_the_distilled_model_has_two_heads_and_averages_them() -> None:
    """Both heads get the classes; at inference the answer is their mean."""
    model = create(plan_model("deit-distilled", 64), 3, RANDOM, seed=0).eval()
    with torch.no_grad():
        for head in model.get_classifier():  # type: ignore[operator]
            torch.nn.init.normal_(head.weight)
        picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        features = model.forward_features(picture)  # type: ignore[operator]
        cls, dist = model.head(features[:, 0]), model.head_dist(features[:, 1])  # type: ignore[operator]
        assert torch.allclose(model(picture), (cls + dist) / 2, atol=1e-6)
    assert not torch.allclose(cls, dist, atol=1e-3)


def test_drop_path_reaches_the_blocks(tiny_plan: ModelPlan) -> None:
    """A rate makes training passes differ; without one they do not."""
    pictures = torch.ones(8, 3, 64, 64)
    steady, dropping = (create(tiny_plan, 3, RANDOM, 0, drop_path=rate).train() for rate in (0.0, 0.9))
    with torch.no_grad():
        assert torch.equal(steady(pictures), steady(pictures))
        assert not torch.equal(dropping(pictures), dropping(pictures))


def test_a_network_without_drop_path_says_so() -> None:
    """Drop path where the network has none is a usage error, not a traceback."""
    with pytest.raises(UsageError, match="drop path"):
        create(plan_model("vgg11", 64), 3, RANDOM, 0, drop_path=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("vit", 1.254), ("swin", 4.491), ("swinv2", 5.940)])
def test_multiply_adds_count_fused_attention(name: str, expected: float) -> None:
    """Measured GMACs at the native size, attention included (without it vit_tiny would be 1.075)."""
    assert gmacs(plan_model(name, "native"), 1000) == pytest.approx(expected, abs=0.001)


def test_parameters_are_counted() -> None:
    """A linear layer from 4 to 3 has 4 × 3 weights and 3 biases."""
    assert count_parameters(torch.nn.Linear(4, 3)) == 15


def test_the_digest_sees_values_names_and_types() -> None:
    """A changed value, name or type is another digest; an equal copy is the same one."""

    def layer(name: str = "a", dtype: torch.dtype = torch.float32, value: float = 1.0) -> torch.nn.Module:
        return torch.nn.ParameterDict({name: torch.full((2,), value, dtype=dtype)})

    same = state_sha256(layer())
    assert same == state_sha256(layer())
    others = {
        state_sha256(layer(name="b")),
        state_sha256(layer(dtype=torch.float64)),
        state_sha256(layer(value=2)),
    }
    assert len(others | {same}) == 4


def test_a_file_with_a_missing_tensor_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    """One missing tensor of the backbone is one line that names it; nothing random stands in for it."""
    tensors = load_file(tiny_file)
    del tensors["blocks.2.norm1.weight"]
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensors are missing.*blocks\.2\.norm1\.weight"):
        create(plan_model("test_vit", "native"), 3, from_file(tmp_path / "part.safetensors"), 0)


@pytest.mark.parametrize("name", ["resnet18", "vit", "swin"])
def test_the_wrong_file_for_a_model_is_one_line(tiny_file: Path, name: str) -> None:
    """Another network's file is refused in one line, before anything starts."""
    with pytest.raises(WeightsError, match="does not fit") as caught:
        resolve_weights((str(tiny_file),), [plan_model(name, 64)])
    assert "\n" not in str(caught.value)


def test_real_weights_of_a_cnn_load_but_for_the_head() -> None:
    """The stored backbone is loaded to the bit and its features are those of timm's own loading."""
    path = real("efficientnet_lite0.safetensors")
    plan = plan_model("tf_efficientnet_lite0", 64)
    model = create(plan, 5, from_file(path), seed=0).eval()
    overlay = {"file": str(path), "num_classes": 1000}
    timms = timm.create_model(
        plan.timm_name, pretrained=True, num_classes=5, pretrained_cfg_overlay=overlay
    ).eval()
    mine, theirs = model.state_dict(), timms.state_dict()
    differing = {key for key in mine if not torch.equal(mine[key], theirs[key])}
    assert differing == {"classifier.weight"}  # the bias starts at zero in both
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.forward_features(picture), timms.forward_features(picture))  # type: ignore[operator]


def test_real_weights_of_a_transformer_are_resized_as_timm_does() -> None:
    """At 112 px the position embedding of 518 px is resized; features equal timm's own loading."""
    path = real("vit_small_patch14_dinov2.safetensors")
    plan = plan_model("vit_small_patch14_dinov2", 112)
    model = create(plan, 5, from_file(path), seed=0).eval()
    overlay = {"file": str(path), "num_classes": 0}
    timms = timm.create_model(
        plan.timm_name, pretrained=True, img_size=112, num_classes=5, pretrained_cfg_overlay=overlay
    ).eval()
    picture = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        assert torch.equal(model.forward_features(picture), timms.forward_features(picture))  # type: ignore[operator]
    assert model.state_dict()["pos_embed"].shape[1] == 8 * 8 + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "deit", "swin", "swinv2", "swinv2-cr"])
def test_drop_path_is_what_was_asked(name: str) -> None:
    """0 means none, though timm's Swins drop .1 unless told; .2 reaches the last block."""
    plan = plan_model(name, 64)
    for asked in (0.0, 0.2):
        model = create(plan, 2, RANDOM, seed=0, drop_path=asked)
        rates = [getattr(module, "drop_prob", 0.0) or 0.0 for module in model.modules()]
        assert max(rates) == pytest.approx(asked)


SMALL = ("test_vit", "test_efficientnet", "test_convnext", "tf_efficientnet_lite0", "resnetv2_18")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMALL, *(family.alias for family in FAMILIES)])
def test_a_set_head_is_a_linear_map_of_the_features(name: str) -> None:
    """Evaluation logits are features · weightᵀ + bias; a distilled network has the map in both heads.

    `resnetv2_18` ends in a 1 × 1 convolution.
    """
    model = create(plan_model(name, 32), 3, RANDOM, seed=0).eval()
    draw = torch.Generator().manual_seed(0)
    width = linear_heads(model)[0].weight.shape[1]
    weight = torch.randn(3, width, generator=draw, dtype=torch.float64) / width**0.5
    bias = torch.randn(3, generator=draw, dtype=torch.float64)
    set_head(model, weight, bias)
    pictures = torch.randn(2, 3, 32, 32, generator=draw)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(pictures), pre_logits=True)  # type: ignore[operator]
        logits = model(pictures)
    assert torch.allclose(logits, features.flatten(1) @ weight.float().T + bias.float(), atol=1e-4)
    assert logits.std() > 0.01
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_head_of_another_shape_is_refused(tiny_plan: ModelPlan) -> None:
    """Four rows do not go into a head for three classes; one line names the model."""
    model = create(tiny_plan, 3, RANDOM, seed=0)
    with pytest.raises(UsageError, match=r"test_vit: its classifier, Linear.* cannot hold a head of 4 x 64"):
        set_head(model, torch.zeros(4, 64), torch.zeros(4))


@pytest.mark.parametrize("name", ["levit_128s", "repvit_m1", "volo_d1_224", "crossvit_tiny_240"])
def test_networks_that_end_otherwise_are_named(name: str) -> None:
    """Batch norm in the head, patch logits added to it, several heads of several widths: no linear probe."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3)
    with pytest.raises(UsageError, match=f"{name} has no linear classifier"):
        linear_heads(model)
