"""What a run began from is known by its kind and content; no name that somebody gave decides anything."""

import shutil
from pathlib import Path

import pytest
from painted import TINY, paint_folder

from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import TrainRequest, prepare, pretrain, train
from vitbench.errors import UsageError, VitbenchError
from vitbench.files import read_json, sha256_of, write_json
from vitbench.models.plan import plan_model
from vitbench.models.weights import resolve_weights, saved_weights
from vitbench.records import Benchmark, Origin, Settings
from vitbench.records.watch import Watch

pytestmark = pytest.mark.usefixtures("no_reports")

MASKED = {"models": ("test_vit",), "image_size": 32, "epochs": 1, "batch_size": 16, "workers": 0}
NAMES = ("photos-pretrained", "first", "random-pretrained", "simmim-hub")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 × 12 pictures."""
    return paint_folder(tmp_path_factory.mktemp("origins") / "pictures")


@pytest.fixture(scope="module")
def encoders(pictures: Path) -> dict[str, Benchmark]:
    """The same masked pre-training under several names."""
    return {
        name: pretrain(pictures, name=name, results=pictures.parent / "results", **MASKED) for name in NAMES
    }


@pytest.mark.slow
def test_the_name_of_a_pre_training_decides_nothing(encoders: dict[str, Benchmark], pictures: Path) -> None:
    """Equal recipes and equal weights, whatever the benchmark that the encoder comes from is called."""
    asked = {key: value for key, value in TINY.items() if key not in ("weights", "lr")}
    runs = [
        train(pictures, name=f"on-{name}", results=pictures.parent / "results", weights=name, **asked).runs[0]
        for name in NAMES[:2]
    ]
    first, second = (run.recipe() for run in runs)
    assert first == second
    assert first.digest == second.digest
    assert sha256_of(runs[0].model_folder / "model.safetensors") == sha256_of(
        runs[1].model_folder / "model.safetensors"
    )
    assert runs[0].about()["init"] != runs[1].about()["init"]  # which is for people


@pytest.mark.slow
def test_every_name_gives_the_same_recipe_and_no_probe(
    encoders: dict[str, Benchmark], pictures: Path
) -> None:
    """Also names with words for weights in them; an encoder knows no classes and is not probed unasked."""
    planned = []
    for name in NAMES:
        asked = Settings.of({**TINY, "weights": (name,), "image_size": 32})
        plan, _ = prepare(
            TrainRequest(asked, pictures, None, pictures.parent / "results"), Watch(), dry_run=True
        )
        planned.append([(job.run_name, job.recipe) for job in plan.jobs])
    assert all(jobs == planned[0] for jobs in planned)
    assert [name for name, _ in planned[0]] == ["test_vit-s0"]


def test_an_encoder_is_one_by_its_recipe(
    encoders: dict[str, Benchmark], pictures: Path, tmp_path: Path
) -> None:
    """Its own name may be any; it is refused where classes are asked for, its model named as it is."""
    folder = tmp_path / "my-best-model"
    shutil.copytree(encoders["first"].runs[0].folder, folder)
    weights = saved_weights(folder / "model")
    assert weights.origin == saved_weights(encoders["simmim-hub"].runs[0].model_folder).origin
    assert (weights.origin.kind, weights.origin.base) == ("masked", "random")
    with pytest.raises(UsageError, match=r"pre-trained encoder.* --models test_vit$"):
        list(predict(pictures / "red", run=folder))


def test_what_masked_pre_training_began_from_decides(encoders: dict[str, Benchmark], pictures: Path) -> None:
    """From random weights it is followed by the recipe of these, from others by that of fine-tuning."""
    hub = Origin(kind="hub", sha256="a")
    assert hub.masked().masked("b") == Origin(kind="masked", base="hub", sha256="b")
    assert [hub.from_scratch, hub.masked().from_scratch] == [False, False]
    assert Origin(kind="random").masked().from_scratch


def test_a_file_of_any_name_is_a_file(encoders: dict[str, Benchmark], tmp_path: Path) -> None:
    """Of the same bytes, called random-pretrained or x: one origin, and nobody knows what it learned from."""
    source = encoders["first"].runs[0].model_folder / "model.safetensors"
    found = []
    for name in ("random-pretrained.safetensors", "x.safetensors"):
        shutil.copy(source, tmp_path / name)
        found.append(resolve_weights((str(tmp_path / name),), [plan_model("test_vit", 32)])["test_vit"])
    assert found[0].origin == found[1].origin == Origin(kind="file", sha256=sha256_of(source))
    assert not any(weights.learned_from().complete for weights in found)


def test_a_recipe_of_another_version_is_one_line(encoders: dict[str, Benchmark], pictures: Path) -> None:
    """What it began from as a text, as before: named, with what to do."""
    run = encoders["simmim-hub"].runs[0]
    written = read_json(run.folder / "recipe.json")
    written["recipe"]["init"] = "simmim first/simmim-vit-s0"
    write_json(run.folder / "recipe.json", written)
    with pytest.raises(VitbenchError, match=r"recipe.json: by another version .*\(init\)"):
        train(pictures, name="x", results=pictures.parent / "results", **{**TINY, "weights": ("simmim-hub",)})
