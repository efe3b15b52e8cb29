import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from vitbench import files
from vitbench.errors import UsageError, WeightsError
from vitbench.models.create import create
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import absolute, resolve_weights


@pytest.fixture(scope="module")
def other_plan() -> ModelPlan:
    return plan_model("test_efficientnet", 64)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_random_needs_nothing(tiny_plan: ModelPlan, other_plan: ModelPlan) -> None:
    """ "random" gives every model random weights, labelled so, without any file."""
    found = resolve_weights(("random",), [tiny_plan, other_plan])
    assert found == {"test_vit": RANDOM, "test_efficientnet": RANDOM}
    assert RANDOM.label == "random"


def test_a_file_is_labelled_and_digested(tiny_plan: ModelPlan, tiny_file: Path) -> None:
    """A safetensors file stands in tables by its name and in the recipe by its sha256."""
    found = resolve_weights((str(tiny_file),), [tiny_plan])["test_vit"]
    assert (found.origin.kind, found.label, found.path) == ("file", "file tiny.safetensors", tiny_file)
    assert found.origin.sha256 == files.sha256_of(tiny_file)


@pytest.mark.parametrize("name", ["test_vit", "test_vit.r160_in1k"])
def test_one_model_can_be_named(
    name: str, tiny_plan: ModelPlan, other_plan: ModelPlan, tiny_file: Path
) -> None:
    """MODEL=PATH, by alias or timm name, is for that model; the general word holds for the others."""
    found = resolve_weights(("random", f"{name}={tiny_file}"), [tiny_plan, other_plan])
    assert found["test_vit"].path == tiny_file
    assert found["test_efficientnet"] == RANDOM


def test_a_word_for_one_model_beats_the_general_path(
    tiny_plan: ModelPlan, other_plan: ModelPlan, tmp_path: Path, tiny_file: Path
) -> None:
    """MODEL=random stands beside a filled folder."""
    shutil.copy(tiny_file, tmp_path / f"{tiny_plan.timm_name}.safetensors")
    found = resolve_weights((str(tmp_path), "test_efficientnet=random"), [tiny_plan, other_plan])
    assert (found["test_vit"].origin.kind, found["test_efficientnet"].origin.kind) == ("hub", "random")


def test_a_saved_model_is_a_start(tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A saved model's folder lends its backbone, and its class names are known."""
    save_model(
        create(tiny_plan, 2, RANDOM, 4), tmp_path / "runs" / "model", ["개", "cat"], tiny_plan.preprocessing
    )
    found = resolve_weights((str(tmp_path / "runs" / "model"),), [tiny_plan])["test_vit"]
    assert (found.origin.kind, found.label, found.classes) == ("model", "model runs", ("개", "cat"))


def test_a_saved_model_of_another_size_is_resized(tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A model saved at 64 px starts one at 96 px: the position embedding is resized."""
    save_model(create(tiny_plan, 2, RANDOM, 4), tmp_path / "m", ["a", "b"], tiny_plan.preprocessing)
    larger = plan_model("test_vit", 96)
    weights = resolve_weights((str(tmp_path / "m"),), [larger])["test_vit"]
    grid = create(larger, 2, weights, 0).state_dict()["pos_embed"].shape
    assert grid[1] > load_file(tmp_path / "m" / "model.safetensors")["pos_embed"].shape[1]


def test_one_file_for_two_models_is_refused(
    tiny_plan: ModelPlan, other_plan: ModelPlan, tiny_file: Path
) -> None:
    """A single file cannot be meant for two models; the message says how to name one."""
    with pytest.raises(UsageError, match="say MODEL="):
        resolve_weights((str(tiny_file),), [tiny_plan, other_plan])


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (("pretrained", "random"), "give one"),
        (("test_vitt=random",), "did you mean"),
        (("test_vit=",), "nothing after the ="),
    ],
)
def test_misuse_is_a_usage_error(specs: tuple[str, ...], message: str, tiny_plan: ModelPlan) -> None:
    """Contradictions and unknown names are wrong usage, in one line."""
    with pytest.raises(UsageError, match=message) as caught:
        resolve_weights(specs, [tiny_plan])
    one_line(caught.value)


def test_an_entry_for_an_absent_model_is_no_error(tiny_plan: ModelPlan) -> None:
    """One setting serves a benchmark to which models are added: entries of the others are passed over."""
    assert resolve_weights(("random", "vit=random"), [tiny_plan]) == {"test_vit": RANDOM}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_pickles_are_refused_unread(suffix: str, tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A pickle can run code: it is refused by its name, whatever is in it."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(
        WeightsError, match="pickle, which can run code; give weights as safetensors"
    ) as caught:
        resolve_weights((str(path),), [tiny_plan])
    one_line(caught.value)


def test_a_pickle_under_another_name_is_refused(tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """Renaming a pickle to .safetensors does not get it read."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x80\x04" + b"cos\nsystem\n(S'exit 1'\ntR." * 10)
    with pytest.raises(WeightsError, match="damaged or not whole"):
        resolve_weights((str(path),), [tiny_plan])


def test_half_a_file_is_refused(tiny_plan: ModelPlan, tiny_file: Path, tmp_path: Path) -> None:
    """A file cut off anywhere is an error, never half a model."""
    path = tmp_path / "half.safetensors"
    path.write_bytes(tiny_file.read_bytes()[: tiny_file.stat().st_size // 2])
    with pytest.raises(WeightsError, match="damaged or not whole"):
        resolve_weights((str(path),), [tiny_plan])


@pytest.mark.parametrize("spec", ["nowhere", "../" * 40 + "x", "~nobody-of-that-name/x", "n" * 5000, "a\0b"])
def test_a_path_that_is_not_there_is_one_line(spec: str, tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A mistyped path is named, also one that no file can have."""
    for given in (spec, f"test_vit={spec}"):
        assert absolute(given, tmp_path) == given
        with pytest.raises(WeightsError, match="no such file or folder") as caught:
            resolve_weights((given,), [tiny_plan])
        one_line(caught.value)


def test_a_config_of_brackets_without_end_is_one_line(
    tiny_plan: ModelPlan, tiny_file: Path, tmp_path: Path
) -> None:
    """JSON that is nested too deeply to be read is a damaged folder."""
    shutil.copy(tiny_file, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("[" * 10**6)
    with pytest.raises(WeightsError, match=r"config\.json: not readable"):
        resolve_weights((str(tmp_path),), [tiny_plan])


def test_a_filled_folder_without_the_model_is_one_line(tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """The message names the file that is lacking and the command that fetches it."""
    with pytest.raises(WeightsError, match=r"holds no test_vit\.r160_in1k\.safetensors.*--download"):
        resolve_weights((str(tmp_path),), [tiny_plan])


def test_a_changed_file_in_a_filled_folder_is_found(
    tiny_plan: ModelPlan, tiny_file: Path, tmp_path: Path
) -> None:
    """A file that is not the one that was downloaded is refused by its sha256."""
    tensors = load_file(tiny_file)
    tensors["cls_token"] += 1
    save_file(tensors, tmp_path / f"{tiny_plan.timm_name}.safetensors")
    files.write_json(tmp_path / f"{tiny_plan.timm_name}.json", {"sha256": files.sha256_of(tiny_file)})
    with pytest.raises(WeightsError, match="sha256 differs"):
        resolve_weights((str(tmp_path),), [tiny_plan])
