import pytest
import torch

from vitbench.errors import UsageError
from vitbench.models.create import create
from vitbench.models.families import FAMILIES
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.models.windows import windows_of

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 96, 224, 256, 384])
def test_swin_and_swin_v2_have_equal_windows(size: int) -> None:
    """Stage by stage, Swin V2 attends in windows as large as Swin's at every stated size."""
    first, second = plan_model("swin", size), plan_model("swinv2", size)
    assert first.windows == second.windows != ""


@pytest.mark.parametrize(
    ("name", "size", "windows"),
    [
        ("swinv2", "native", "8"),
        ("swinv2", 64, "8,8,4,2"),
        ("swinv2-w16", "native", "16,16,16,8"),
        ("swinv2-w16", 224, "14,14,14,7"),
        ("swinv2-cr", 64, "8,8,4,2"),
        ("swinv2-cr", 224, "7"),
        ("vit", 64, ""),
        ("resnet18", 64, ""),
    ],
)
def test_windows_follow_the_rule(name: str, size: int, windows: str) -> None:
    """At native a model keeps its windows; elsewhere Swin V2's are scaled by 224 / its native size."""
    assert plan_model(name, size).windows == windows  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_plan_says_the_windows_of_the_network_that_is_built() -> None:
    """The recorded windows are those of the real network's blocks."""
    plan = plan_model("swinv2", 64)
    assert windows_of(create(plan, 2, RANDOM, 0)) == (8, 8, 4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.alias)
@pytest.mark.parametrize("size", [64, 96, 256, 384, "native"])
def test_every_family_runs_at_every_size(family: object, size: int) -> None:
    """A plan exists, which proves a forward pass, for every family at each size of the contract."""
    plan = plan_model(family.alias, size)  # type: ignore[attr-defined]
    assert plan.preprocessing.size == plan.image_size == (plan.native_size if size == "native" else size)


@pytest.mark.parametrize(
    ("name", "mean_and_std"),
    [("vit", HALF), ("deit", IMAGENET), ("swin", IMAGENET), ("swinv2", IMAGENET), ("resnet18", IMAGENET)],
)
def test_each_model_gets_its_own_normalisation(name: str, mean_and_std: object) -> None:
    """Mean and std are those that the weights were trained with: 0.5 for ViT, ImageNet's for the rest."""
    found = plan_model(name, 64).preprocessing
    assert (found.mean, found.std) == mean_and_std


def test_the_default_size_is_224() -> None:
    """Without a size every model runs at 224 px; the plan knows its native one."""
    plan = plan_model("test_vit", None)
    assert plan.image_size == 224
    assert plan.native_size == 160


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "patch", "near"),
    [
        ("vit", 225, 16, "224 or 240"),
        ("swin", 226, 4, "224 or 256"),
        ("vit_small_patch14_dinov2", 64, 14, "56 or 70"),
        ("convnext_atto", 65, 4, "64 or 68"),
    ],
)
def test_a_size_that_the_patches_do_not_divide_is_refused(
    name: str, size: int, patch: int, near: str
) -> None:
    """timm would cut off the rest of the picture silently; here it is one line that names near sizes."""
    with pytest.raises(UsageError) as caught:
        plan_model(name, size)
    assert f"sees patches of {patch} px, and {size} is no multiple of that" in str(caught.value)
    assert str(caught.value).endswith(f"try --image-size {near}")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("pvt_v2_b0", 64), ("pvt_v2_b0", 65), ("resnet18", 225), ("davit_tiny", 66), ("efficientnet_b0", 225)],
)
def test_a_network_that_sees_the_last_pixel_is_not_refused(name: str, size: int) -> None:
    """PVT's patches of 7 px overlap, DaViT pads its own: at these sizes the last row reaches the answer."""
    plan = plan_model(name, size)
    torch.manual_seed(0)
    model = create(plan, 2, RANDOM, 0).eval()
    picture = torch.rand(1, 3, size, size, requires_grad=True)
    (slope,) = torch.autograd.grad(model(picture).square().sum(), picture)
    assert float(slope[0, :, -1].abs().sum()) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "near"),
    [("crossvit_tiny_240", 224, "240"), ("halonet26t", 224, "256"), ("levit_128s", 65, "64 or 80")],
)
def test_the_sizes_named_are_sizes_that_run(name: str, size: int, near: str) -> None:
    """Never the one that failed: each was asked of the network itself."""
    with pytest.raises(UsageError, match=f"does not run at {size} px .*; try --image-size {near}$"):
        plan_model(name, size)
    for good in near.split(" or "):
        assert plan_model(name, int(good)).image_size == int(good)


@pytest.mark.slow
def test_a_model_that_cannot_run_at_a_size_is_one_line() -> None:
    """A size that breaks a network's forward pass is a usage error, found without memory."""
    with pytest.raises(UsageError, match="does not run at 64 px") as caught:
        plan_model("inception_v4", 64)
    assert "\n" not in str(caught.value)


def test_planning_leaves_the_random_state_alone() -> None:
    """Plans are made without touching torch's global random numbers."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    plan_model("test_vit", 64)
    assert torch.equal(torch.get_rng_state(), before)
