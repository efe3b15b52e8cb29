"""Every option of every command is run: the calls are made from the declarations."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from painted import TINY, paint, paint_folder
from typer.testing import CliRunner

from vitbench.benchmark.train import train
from vitbench.cli.app import app
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark

BASES = {
    "": "",
    "train": "data --models test_vit --weights random --image-size 32",
    "probe": "data --models test_vit --weights random --image-size 32",
    "pretrain": "data --models vit --image-size 32 --epochs 1",
    "compare": "two",
    "predict": "one.png",
    "models": "test_vit*",
    "inspect": "test_vit one.png",
    "cost": "test_vit",
    "transfer": "two",
    "export": "two/test_vit-s0",
    "stress": "two",
    "sweep": "data --models test_vit --weights random --image-size 32",
    "demo": "data",
    "data check": "data",
    "data split": "data copies",
    "data augment": "data views --per-class 3 --image-size 32",
    "data store": "",
    "data fetch": "cifar-10 data",
    "data demo": "pictures",
    "data suspects": "two",
}
"""What a call of each command cannot do without."""

VALUES = {
    "--models": "test_vit", "--epochs": "1", "--per-class": "6", "--image-size": "32", "--batch-size": "8",
    "--lr": ".001", "--recipe": "finetune", "--augment": "light", "--mixup": ".1", "--cutmix": ".1",
    "--min-lr": "0",
    "--drop-path": ".1", "--ema": ".9", "--patience": "1", "--tune": "2", "--weights": "random",
    "--teacher": "test_efficientnet", "--distill": "soft", "--alpha": ".5", "--tau": "2",
    "--distill-through": "logits", "--arms": "scratch", "--pretrain-epochs": "1", "--mask-ratio": ".5",
    "--mask-size": "16", "--mask-target": "normalised", "--seeds": "0,1", "--folds": "2", "--final": "folds",
    "--group": r"\d+", "--burst-seconds": "1.5", "--split-seed": "1", "--seed": "1", "--layout": "flat",
    "--device": "cpu", "--precision": "fp32", "--micro-batch": "4", "--workers": "0", "--jobs": "1",
    "--track": "tensorboard", "--address": "local",
    "--without": "tf32,cuda_graphs", "--shard": "1/1", "--results": "results", "--config": "config.toml",
    "--store-dir": "decoded", "--max-params": "30.5", "--max-gmacs": "5.5", "--baseline": "test_vit",
    "--margin": "2", "--detect": "3.5", "--format": "md", "--report": "page.html", "--run": "two",
    "--pixel-range": "0,4095", "--data": "photos",
    "--check-pictures": "3", "--sizes": "32,64", "--latency": ".1", "--memory": "1", "--windows": "fitted",
    "--batch": "1", "--to": "onnx", "--max-drop": "99",
    "--corruptions": "jpeg", "--severities": "1", "--shifts": "1",
    "--shots": "2,all", "--draws": "2", "--reach": "80", "--trained-shots": "2", "--trained-draws": "1",
    "--limit": "100",
    "--top-k": "2", "--out": "out.csv", "--sheet": "sheet.png", "--download": "weights",
}  # fmt: skip
"""A value of each option that takes one; a new option needs one here."""

NEW = "--store-dir --name --results --shard --json"
ANOTHER = "--dry-run --no-store --no-near-duplicates --engine=ray --address"
APART = {
    "train": [
        f"{NEW} --epochs --per-class --batch-size --track --no-probe",
        f"{ANOTHER} --folds --final --with-probe --no-flip --no-compile --no-deterministic",
        "--dry-run --teacher --plain",
        "--dry-run --teacher --no-plain --distill --alpha --tau --distill-through",
        "--dry-run --arms",
        "--dry-run --models=vit --pretrain --pretrain-epochs --mask-ratio --mask-size --mask-target",
        "--resume --name",
        "--allow-changed --name",
    ],
    "probe": [f"{NEW} --folds", ANOTHER, "--resume --name", "--allow-changed --name"],
    "pretrain": [
        NEW,
        f"{ANOTHER} --no-flip --no-compile --no-deterministic",
        "--resume --name",
        "--allow-changed --name",
    ],
    "compare": ["--json", "--across other --results", "--details"],
    "models": ["--download --models"],
    "cost": ["--no-times --sizes", "--sizes --latency --memory --windows --batch --device --results --json"],
    "transfer": ["--sizes --windows=4,8 --epochs=0 --device --results --json"],
    "sweep": [
        "--arms=distill --teacher --name=taught --engine=ray --address",
        "--arms --trained-shots --trained-draws --epochs --per-class --batch-size --lr "
        "--recipe --augment --folds=none --shots --draws --reach --name=trained --results --json",
        "--no-store --no-near-duplicates --name=another --draws --shots",
    ],
    "data check": ["--no-near-duplicates --no-store"],
    "data split": ["--folds", "--no-near-duplicates --no-store"],
    "data augment": ["--no-flip --no-store"],
    "data store": ["--clear", "--store-dir"],
    "": ["--version"],
}
"""Options that are run in a call of their own, for they are alternatives; the others all in one call."""

ENDS = {
    "demo": "data: not an empty folder",
    "data fetch": "data: not an empty folder",
    "models": "test_vit",
    "sweep": "no pretrained weights",
}
"""What a command may say that is too long, or needs a network, and so ends early here."""

NOT_OURS = {"--install-completion", "--show-completion", "--help", "--help-all"}
"""They print; the first, typer's, writes into the user's home."""


def declared() -> dict[str, list[Any]]:
    """Command → its options, as they are declared."""
    found: dict[str, list[Any]] = {}

    def walk(command: Any, name: str) -> None:
        found[name] = [
            p for p in command.params if p.param_type_name == "option" and not NOT_OURS & set(p.opts)
        ]
        for word, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {word}".strip())

    walk(typer.main.get_command(app), "")
    return found


def calls() -> Iterator[tuple[str, list[str]]]:
    """(command, its options) of every call: what must stand apart, then all the rest together."""
    for command, options in declared().items():
        takes_value = {name: not option.is_flag for option in options for name in option.opts}
        names = [
            n for option in options for n in (*option.opts, *option.secondary_opts) if n.startswith("--")
        ]
        apart = [line.split() for line in APART.get(command, [])]
        named = {word.partition("=")[0] for line in apart for word in line}
        rest = [name for name in names if name not in named]
        dry = ["--dry-run"] if "--dry-run" in names and "--resume" not in rest else []
        for line in [*apart, [*dry, *rest]]:
            words = []
            for word in line:
                name, _, value = word.partition("=")
                if takes_value.get(name):  # a KeyError: the option needs a value in VALUES
                    value = value or (command if name == "--name" else VALUES[name])
                words += [name, value] if takes_value.get(name) else [name]
            if words:
                yield command, words


def base(command: str, words: list[str]) -> list[str]:
    """What the call needs besides; nothing where it goes on with a benchmark that is there."""
    if "--resume" in words or "--allow-changed" in words or {"--folds", *words} == {"--folds", "2"}:
        return ["data"] if command == "data split" else []
    found = BASES[command].split()
    places = [i for i, word in enumerate(found) if word in words]
    return [word for i, word in enumerate(found) if not {i, i - 1} & set(places)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, two_models: Benchmark) -> Path:
    """A folder with pictures, a config file, and a finished benchmark."""
    place = tmp_path_factory.mktemp("options")
    paint_folder(place / "data")
    paint(place / "one.png", (200, 40, 40), 1)
    (place / "config.toml").write_text("split_seed = 2\n")
    shutil.copytree(two_models.folder, place / "results" / "two")
    shutil.copytree(two_models.manifest["data"], place / "photos")  # where its pictures may have moved
    others = paint_folder(place / "others", first=5000)  # `compare --across` takes no data set twice
    train(others, name="other", results=place / "results", **{**TINY, "epochs": 1})
    return place


@pytest.mark.slow
@pytest.mark.parametrize("command", declared())
def test_every_option_works(command: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A valid value of every option is taken: no usage error, no traceback."""
    monkeypatch.chdir(place)
    monkeypatch.setattr("vitbench.benchmark.engines.refuse_absent", lambda: None)  # nothing gets so far
    for words in [words for one, words in calls() if one == command]:
        Path("out.csv").unlink(missing_ok=True)
        for made in ("copies", "views", "pictures", "weights"):
            shutil.rmtree(made, ignore_errors=True)
        line = [*command.split(), *base(command, words), *words]
        done = CliRunner().invoke(app, line)
        if isinstance(done.exception, VitbenchError):
            assert ENDS.get(command, "nothing else") in str(done.exception), line
        else:
            assert done.exit_code == 0, (line, done.exception, done.output)


def test_every_option_is_in_a_call() -> None:
    """Each spelling of each declared option, `--no-…` too, is in one of the calls above."""
    run: dict[str, set[str]] = {}
    for command, words in calls():
        run.setdefault(command, set()).update(words)
    for command, options in declared().items():
        names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
        assert not {n for n in names if n.startswith("--")} - run.get(command, set()), command
    assert sum(map(len, declared().values())) > 100
