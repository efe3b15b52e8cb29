import subprocess
import sys

import pytest
from timm.models import get_pretrained_cfg

from vitbench.errors import UsageError
from vitbench.models import families
from vitbench.models.create import count_parameters, gmacs
from vitbench.models.families import FAMILIES, Family, expand
from vitbench.models.plan import plan_model


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.alias)
def test_the_table_says_what_timm_says(family: Family) -> None:
    """Default tag, native size and licence in the table are those of timm's own config."""
    config = get_pretrained_cfg(family.timm_name.partition(".")[0])
    tag = family.timm_name.partition(".")[2]
    assert (config.tag, config.license, config.input_size[1]) == (tag, family.licence, family.native_size)
    assert families.pretraining_in_words(tag) == family.pretrained_on


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.alias)
def test_the_tables_sizes_are_measured(family: Family) -> None:
    """Parameters and GMACs in the table are what is counted at the native size with 1000 classes."""
    import timm

    plan = plan_model(family.alias, "native")
    assert gmacs(plan, 1000) == pytest.approx(family.gmacs, abs=0.0006)
    model = timm.create_model(family.timm_name, device="meta")
    assert count_parameters(model) / 1e6 == pytest.approx(family.params_m, abs=0.0006)


def test_all_is_every_alias_once() -> None:
    """ "all" stands for every alias; what is named twice comes once, at its first place."""
    aliases = [family.alias for family in FAMILIES]
    assert families.expand(["all"]) == aliases
    assert families.expand(["swin", "all", "swin"]) == ["swin", *[a for a in aliases if a != "swin"]]


def test_a_timm_name_is_its_own_alias() -> None:
    """Any timm name stands for itself, with or without a tag."""
    assert families.expand(["resnet18", "resnet18.tv_in1k"]) == ["resnet18", "resnet18.tv_in1k"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("swim", "swin"), ("vit_tiny_patch16_22", "vit_tiny_patch16_224"), ("resnet18.nope", "tv_in1k")],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, near: str) -> None:
    """An unknown model is a usage error in one line that names what is near."""
    with pytest.raises(UsageError, match=near) as caught:
        families.expand([name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("augreg_in21k_ft_in1k", "IN-21k → IN-1k"),
        ("fb_in1k", "IN-1k"),
        ("lvd142m", "LVD-142M"),
        ("mystery", "mystery"),
        ("", "no published weights"),
    ],
)
def test_tags_are_put_in_words(tag: str, words: str) -> None:
    """What weights saw is read from timm's tag; an unknown tag stands as it is."""
    assert families.pretraining_in_words(tag) == words


def test_importing_the_table_needs_no_torch() -> None:
    """The list of families, which the command line's help reads, imports neither torch nor timm."""
    check = (
        "import sys, vitbench.models.families as f; f.expand(['all']); "
        "print({'torch', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


OTHERS = {
    "vit-tiny": "vit (vit_tiny_patch16_224)",
    "vit_b_16": "vit_base_patch16_224",
    "ViT-B/16": "vit_base_patch16_224",
    "vitl32": "vit_large_patch32_224",
    "vit_h_14": "vit_huge_patch14_224",
    "google/vit-base-patch16-224-in21k": "vit_base_patch16_224",
    "swin-t": "swin (swin_tiny_patch4_window7_224)",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_v2_t": "swinv2 (swinv2_tiny_window8_256)",
    "microsoft/swinv2-tiny-patch4-window8-256": "swinv2 (swinv2_tiny_window8_256)",
    "facebook/deit-tiny-patch16-224": "deit (deit_tiny_patch16_224)",
    "dinov2": "vit_small_patch14_dinov2",
    "dinov2_vitb14": "vit_base_patch14_dinov2",
    "dinov2_vits14_reg": "vit_small_patch14_reg4_dinov2",
    "facebook/dinov3-vits16-pretrain-lvd1689m": "vit_small_patch16_dinov3",
    "openai/clip-vit-base-patch32": "vit_base_patch32_clip_224",
    "hf_hub:timm/resnet50.a1_in1k": "resnet50.a1_in1k",
    "microsoft/resnet-50": "resnet50",
    "ResNet50V2": "resnetv2_50",
    "resnet": "resnet18",
    "EfficientNetB0": "efficientnet_b0",
    "efficientnet_v2_s": "efficientnetv2_s",
    "MobileNetV3Large": "mobilenetv3_large_100",
    "facebook/convnext-tiny-224": "convnext_tiny",
    "regnet_y_1_6gf": "regnety_016",
    "maxvit_t": "maxvit_tiny_rw_224",
}


@pytest.mark.parametrize(("name", "meant"), OTHERS.items())
def test_other_tools_names_are_answered_with_timms(name: str, meant: str) -> None:
    """torchvision's, transformers', Keras' and the papers' names: the first hint is the same network."""
    with pytest.raises(UsageError) as caught:
        families.expand([name])
    assert str(caught.value).partition("did you mean ")[2].partition(" or ")[0].rstrip("?") == meant


@pytest.mark.parametrize("name", ["cake", "yolov8n-cls", "", "…", "a" * 300])
def test_a_name_that_is_like_none_gets_no_hint(name: str) -> None:
    """No network is guessed at."""
    with pytest.raises(UsageError, match="`vitbench models` lists them"):
        families.expand([name])


def test_a_path_where_nothing_lies_is_no_misspelt_model() -> None:
    """A teacher's folder that was moved is answered with its path, not with a network that sounds like it."""
    with pytest.raises(UsageError, match=r"^no model is called 'results/a/vit-s0/model', .* check the path$"):
        expand(["results/a/vit-s0/model"])
