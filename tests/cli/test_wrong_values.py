"""A wrong value is refused in one sentence, the same from the command line, from TOML and from Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vitbench
from vitbench.errors import UsageError
from vitbench.records import Benchmark

Call = Callable[..., tuple[int, str]]

NUMBER = "a whole number from 1 to 1000000"
AUGMENT = "none, geometry, masked, light, strong or deit"
WRONG: list[tuple[str, str, Any, str]] = [
    # option, as typed, as a value, what is said of it
    ("epochs", "0", 0, f"--epochs 0: should be {NUMBER}"),
    ("epochs", "-3", -3, f"--epochs -3: should be {NUMBER}"),
    ("epochs", "2.5", 2.5, f"--epochs 2.5: should be {NUMBER}"),
    ("epochs", "nan", float("nan"), f"--epochs nan: should be {NUMBER}"),
    ("epochs", "many", "many", f"--epochs many: should be {NUMBER}"),
    ("epochs", "", "", f"--epochs '': should be {NUMBER}"),
    ("epochs", " 3 ", " 3 ", f"--epochs ' 3 ': should be {NUMBER}"),
    ("epochs", "1_000", "1_000", f"--epochs 1_000: should be {NUMBER}"),
    ("per_class", "al", "al", f"--per-class al: should be {NUMBER}, or all; did you mean all?"),
    ("image_size", "9000", 9000, "--image-size 9000: should be a whole number from 1 to 8192, or native"),
    ("folds", "1", 1, "--folds 1: should be a whole number from 2 to 1000000, or auto"),
    ("lr", "nan", float("nan"), "--lr nan: should be a finite number above 0"),
    ("lr", "inf", float("inf"), "--lr inf: should be a finite number above 0"),
    ("lr", "-0.1", -0.1, "--lr -0.1: should be a finite number above 0"),
    ("lr", "fast", "fast", "--lr fast: should be a finite number above 0"),
    ("tau", "0", 0, "--tau 0: should be a number from 0.01 to 1000"),
    ("ema", "1", 1, "--ema 1: should be a number at least 0 and below 1"),
    ("mask_ratio", "1.5", 1.5, "--mask-ratio 1.5: should be a number above 0 and below 1"),
    ("seeds", "0,x", [0, "x"], "--seeds x: should be a whole number from 0 to 4294967295"),
    ("seeds", "-1", [-1], "--seeds -1: should be a whole number from 0 to 4294967295"),
    ("models", ",", [], "--models: names nothing; name at least one"),
    ("augment", "lite", "lite", f"--augment lite: should be {AUGMENT}; did you mean light?"),
    ("augment", "Light", "Light", f"--augment Light: should be {AUGMENT}; did you mean light?"),
    ("augment", "", "", f"--augment '': should be {AUGMENT}"),
    ("augment", " light", " light", f"--augment ' light': should be {AUGMENT}; did you mean light?"),
    ("recipe", "cake", "cake", "--recipe cake: should be finetune, slides or deit"),
    ("distill", "sift", "sift", "--distill sift: should be hard or soft; did you mean soft?"),
    ("layout", "loose", "loose", "--layout loose: should be auto, flat or split"),
    ("pixel_range", "5,2", "5,2",
     "--pixel-range 5,2: should be two numbers, the smaller one first, such as 0,4095"),
    ("epoch", "3", 3, "--epoch: no such option; did you mean --epochs?"),
    ("zzz", "3", 3, "--zzz: no such option; see vitbench train --help"),
]  # fmt: skip


def toml(value: Any) -> str:
    """A value as a TOML file has it."""
    return repr(value) if isinstance(value, int | float | list) else f'"{value}"'


@pytest.mark.parametrize(("option", "typed", "value", "said"), WRONG, ids=lambda one: str(one)[:20])
def test_one_sentence_from_everywhere(option: str, typed: str, value: Any, said: str, call: Call) -> None:
    """`vitbench train --epochs 0`, `epochs = 0` in a file, `train(epochs=0)`: the same words."""
    flag = f"--{option.replace('_', '-')}"
    assert call("train", "my photos", f"{flag}={typed}") == (2, f"vitbench: {said}\n")
    Path("c.toml").write_text(f"{flag[2:]} = {toml(value)}\n")
    assert call("train", "my photos", "--config", "c.toml") == (2, f"vitbench: --config c.toml: {said}\n")
    with pytest.raises(UsageError) as caught:
        vitbench.train("my photos", **{option: value})
    assert str(caught.value) == said
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        ("probe", "epochs", "--epochs: is no option of vitbench probe, only of train and pretrain"),
        ("pretrain", "teacher", "--teacher: is no option of vitbench pretrain, only of train"),
    ],
)
def test_what_only_another_command_has(command: str, option: str, said: str, call: Call) -> None:
    """Asked of `probe`, `--epochs` is said to be train's: typed, in a file, in Python."""
    assert call(command, "my photos", f"--{option}", "3")[1] == f"vitbench: {said}\n"
    Path("c.toml").write_text(f"{option} = 3\n")
    assert call(command, "my photos", "--config", "c.toml")[1] == f"vitbench: --config c.toml: {said}\n"
    with pytest.raises(UsageError) as caught:
        getattr(vitbench, command)("my photos", **{option: 3})
    assert str(caught.value) == said


SLIPS = {
    "trian photos": "vitbench trian: no such command; did you mean train?",
    "data chek": "vitbench data chek: no such command; did you mean check?",
    "train x --epochs": "--epochs: needs a value, --epochs N",
    "train x --quick=1": "--quick: takes no value; leave it away",
    "train x --epochs 3 --epochs=5": "--epochs: given twice, 3 and 5; give one of them",
    "train x --flip --no-flip": "--flip: given twice, --flip and --no-flip; give one of them",
    "train x y": "y: more than vitbench train takes; see vitbench train --help",
    "train x -- --epochs 3": "--epochs 3: more than vitbench train takes; options stand before --",
    "train x --config no.toml": "--config no.toml: no such file or directory",
    "predict": "vitbench predict: needs IMAGE; see vitbench predict --help",
    "predict x --top-k 0": f"--top-k 0: should be {NUMBER}",
    "predict x --al": "--al: no such option; did you mean --all?",
    "compare --margin -2": "--margin -2: should be a number above 0 and below 100",
    "compare --detect nan": "--detect nan: should be a number above 0 and below 100",
    "compare --format latx": "--format latx: should be md, csv, latex or json; did you mean latex?",
    "models --max-params inf": "--max-params inf: should be a finite number above 0",
    "data check x --layout rund": "--layout rund: should be auto, flat or split",
    "data split x --folds 1": "--folds 1: should be a whole number from 2 to 1000000, or auto",
    "data split x --split-seed -1": "--split-seed -1: should be a whole number from 0 to 4294967295",
    "data augment x y --image-size 4": "--image-size 4: should be a whole number from 8 to 8192",
    "data augment x": "vitbench data augment: needs OUT; see vitbench data augment --help",
    "train x --track exel": "--track exel: should be tensorboard, wandb or trackio",
    "--versoin": "--versoin: no such option; did you mean --version?",
}


@pytest.mark.parametrize("line", SLIPS)
def test_a_slip_is_one_line_with_the_way_on(line: str, call: Call) -> None:
    """Status 2 and a line in the same style, whatever was mistyped."""
    assert call(*line.split()) == (2, f"vitbench: {SLIPS[line]}\n")


def test_the_same_value_twice_is_no_contradiction(call: Call) -> None:
    """`--epochs 3 --epochs=3` is 3; `--weights` can be repeated."""
    words = ["--epochs", "3", "--epochs=3", "--weights", "random", "--weights", "vit=random"]
    assert "given twice" not in call("train", "no photos here", *words)[1]


def test_what_stands_on_the_command_line_is_no_setting_of_a_file(call: Call) -> None:
    """`name = "x"` in a --config file is refused, not passed over."""
    Path("c.toml").write_text('name = "x"\n')
    said = "--config c.toml: --name: stands on the command line, in no file"
    assert call("train", "my photos", "--config", "c.toml") == (2, f"vitbench: {said}\n")


def test_a_misspelt_argument_of_a_function_is_named_with_its_neighbour() -> None:
    """Arguments of `train` itself are known too: resume, results."""
    with pytest.raises(UsageError, match=r"--rsume: no such option; did you mean --resume\?"):
        vitbench.train("photos", rsume=True)
    with pytest.raises(UsageError, match=r"--top-k 0: should be a whole number from 1 to"):
        next(iter(vitbench.predict("x.png", top_k=0)))


@pytest.mark.slow
def test_names_that_are_nearly_there_are_named(call: Call, two_models: Benchmark) -> None:
    """Folders, benchmarks, runs, models, arms, devices, patterns: the line says what was probably meant."""
    results = str(two_models.folder.parent)
    lines = {
        ("train", "my photoz"): "my photoz: no such folder; did you mean my photos?",
        ("data", "check", "my photoz"): "my photoz: no such folder; did you mean my photos?",
        ("compare", "tow", "--results", results): f"{results}: no benchmark called 'tow'; did you mean two?",
        ("compare", "two", "--results", results, "--baseline", "test_vt"): "did you mean test_vit?",
        ("compare", "two", "--results", results, "--data", "my photoz"): (
            "--data my photoz: no such folder; did you mean my photos?"
        ),
        ("predict", "x", "--results", results, "--run", "two/test_vt-s0"): "did you mean two/test_vit-s0?",
        ("predict", "x", "--results", results, "--models", "test_vt"): "did you mean test_vit?",
        ("predict", "x", "--results", results, "--device", "cud"): (
            "--device cud: should be auto, cpu, cuda, cuda:1 or mps; did you mean cuda?"
        ),
        ("train", "my photos", "--arms", "scrach"): "--arms scrach: no such arm; did you mean scratch?",
        ("train", "my photos", "--models", "vti"): "no model is called 'vti'; did you mean vit?",
        ("train", "my photos", "--weights", "randon"): "no such file or folder; did you mean random?",
        ("models", "convnxt_*"): (
            "convnxt_*: matches no network of timm's that has weights; did you mean convnext?"
        ),
    }
    for words, said in lines.items():
        status, text = call(*words)
        assert status in (1, 2)
        assert text.splitlines()[-1].endswith(said), text
