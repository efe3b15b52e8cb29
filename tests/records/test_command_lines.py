"""Commands that are printed: quoted, with what they need, nothing that is a default."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from vitbench.cli.declared import named_settings
from vitbench.records import Benchmark, Settings
from vitbench.records.commands import (
    arms_toml,
    asking,
    command,
    going_on,
    predicting,
    training_from,
    training_of,
)


def made(folder: Path, data: str = "/photos", layout: str = "flat", **settings: object) -> Benchmark:
    """A benchmark's folder with a manifest and nothing else."""
    folder.mkdir(parents=True)
    asked = Settings.of(settings).model_dump(mode="json")
    manifest = {"data": data, "layout": layout, "settings": asked, "runs": [], "created": "2026"}
    (folder / "benchmark.json").write_text(json.dumps(manifest))
    return Benchmark(folder)


@pytest.mark.parametrize("place", ["my photos", "it's", 'a"b', "$HOME", "-x", "*", "é 사진"])
def test_any_place_survives_a_shell(place: str) -> None:
    """What a shell makes of the text are the words that were meant."""
    words = shlex.split(command("train", place, models=("vit", "swin"), resume=True, lr=None))
    assert words.count(place) == 1
    assert [w for w in words if w not in (place, "--")] == [
        "vitbench",
        "train",
        "--models",
        "vit,swin",
        "--resume",
    ]
    assert not place.startswith("-") or words[-2:] == ["--", place]


def test_results_elsewhere_are_named_and_the_usual_ones_are_not(tmp_path: Path) -> None:
    """`--results` stands in what goes on only where benchmarks do not live in results/."""
    assert command("compare", "x", results=Path("results")) == "vitbench compare x"
    there = made(tmp_path / "my results" / "x")
    assert going_on(there) == f"vitbench train --resume --name x --results '{tmp_path}/my results'"


@pytest.mark.parametrize(
    ("recipe", "verb"), [("finetune", "train"), ("probe", "probe"), ("simmim", "pretrain")]
)
def test_a_benchmark_is_gone_on_with_by_the_command_that_made_it(
    tmp_path: Path, recipe: str, verb: str
) -> None:
    """And with the shard that was under way."""
    benchmark = made(tmp_path / "x", recipe=recipe)
    assert going_on(benchmark, shard="2/8").startswith(f"vitbench {verb} --resume --name x ")
    assert going_on(benchmark, shard="2/8").endswith(" --shard 2/8")


def test_probes_lead_to_a_training_on_the_same_pictures(tmp_path: Path) -> None:
    """Data, size, split and the weights of the models that are named."""
    weights = ("random", "vit=/w/vit", "swin=/w/swin")
    benchmark = made(
        tmp_path / "x", "/my photos", recipe="probe", weights=weights, image_size=96, split_seed=3
    )
    assert training_of(("vit", "deit"), benchmark) == (
        "vitbench train '/my photos' --models vit,deit --image-size 96 --split-seed 3 "
        f"--weights random --weights vit=/w/vit --results {tmp_path}"
    )


def test_encoders_lead_to_a_training_of_their_models(tmp_path: Path) -> None:
    """With their size; where the pictures had no classes, the reader says which have."""
    classes = made(tmp_path / "x", recipe="simmim", models=("vit",), quick=True)
    assert (
        training_from(classes)
        == f"vitbench train /photos --models vit --quick --weights x --results {tmp_path}"
    )
    loose = made(tmp_path / "y", layout="loose", recipe="simmim")
    assert training_from(loose).startswith("vitbench train DATA --weights y")


def test_predict_names_the_benchmark_unless_it_is_the_newest(tmp_path: Path) -> None:
    """So that the models of this benchmark answer."""
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    assert predicting(one, one) == f"vitbench predict IMAGE --results {tmp_path}"
    assert predicting(one, other) == f"vitbench predict IMAGE --run one --results {tmp_path}"


def test_usual_arms_are_named_and_others_are_a_file(tmp_path: Path) -> None:
    """`--arms` says the usual ones; `arms.toml` beside the report is read as what they are."""
    usual = named_settings({"arms": "scratch,distill", "teacher": "resnet50"}).arms
    assert (
        asking(made(tmp_path / "x", arms=usual))
        == "vitbench train /photos --arms scratch,distill --teacher resnet50"
    )
    arms = {"": {"pretrain": False}, "long": {"epochs": 9, "weights": ["random"]}}
    other = made(tmp_path / "y", arms=arms)
    assert asking(other) == f"vitbench train /photos --config {other.folder / 'arms.toml'}"
    assert tomllib.loads(arms_toml(arms)) == {"arms": arms}
