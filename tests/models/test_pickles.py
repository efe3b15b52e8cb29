"""A pickle that would touch a file, wherever a user can be tricked into offering one: it is never opened."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import TINY, paint, paint_folder

from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import train
from vitbench.errors import VitbenchError, WeightsError
from vitbench.models.create import create
from vitbench.models.folder import load_model, save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan
from vitbench.models.weights import resolve_weights
from vitbench.records import Benchmark
from vitbench.records.watch import Watch
from vitbench.training import checkpoint


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


WAYS: dict[str, Callable[[Path, Any], None]] = {
    "pickle": lambda path, value: path.write_bytes(pickle.dumps(value)),
    "old torch": lambda path, value: torch.save({"w": value}, path, _use_new_zipfile_serialization=False),
    "torch": lambda path, value: torch.save({"w": value}, path),
}


class Trap:
    """Writes pickles and knows whether one of them was opened."""

    def __init__(self, root: Path) -> None:
        self.mark = root / "touched"

    def write(self, path: Path, way: str = "torch") -> Path:
        path.unlink(missing_ok=True)
        WAYS[way](path, Touches(self.mark))
        return path

    @property
    def sprung(self) -> bool:
        return self.mark.exists()


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


@pytest.fixture
def model_folder(tiny_plan: ModelPlan, tmp_path: Path) -> Path:
    save_model(create(tiny_plan, 2, RANDOM, 0), tmp_path / "model", ["a", "b"], tiny_plan.preprocessing)
    return tmp_path / "model"


def one_line(call: Callable[[], object], kind: type[VitbenchError], says: str) -> None:
    with pytest.raises(kind, match=says) as refused:
        call()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("way", WAYS)
def test_the_trap_springs_where_a_pickle_is_opened(way: str, trap: Trap, tmp_path: Path) -> None:
    """What these tests plant does touch its file when it is loaded without care."""
    torch.load(trap.write(tmp_path / "x.pt", way), weights_only=False) if way != "pickle" else pickle.loads(
        trap.write(tmp_path / "x.pt", way).read_bytes()
    )
    assert trap.sprung


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["w.pt", "w.PTH", "w.bin", "w.ckpt", "w.pkl", "w.npz", "w", "w.safetensors", "w.pt.safetensors"]
)
def test_as_weights(name: str, way: str, trap: Trap, tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """--weights PATH and MODEL=PATH refuse it under whatever name."""
    path = trap.write(tmp_path / name, way)
    says = r"safetensors|damaged or not whole"
    one_line(lambda: resolve_weights((str(path),), [tiny_plan]), WeightsError, says)
    one_line(lambda: resolve_weights((f"test_vit={path}",), [tiny_plan]), WeightsError, says)
    assert not trap.sprung


@pytest.mark.parametrize("way", WAYS)
def test_behind_a_link(way: str, trap: Trap, tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A link called .safetensors that leads to a pickle is no way in."""
    (tmp_path / "w.safetensors").symlink_to(trap.write(tmp_path / "w.pt", way))
    one_line(
        lambda: resolve_weights((str(tmp_path / "w.safetensors"),), [tiny_plan]),
        WeightsError,
        "damaged or not",
    )
    assert not trap.sprung


@pytest.mark.parametrize("way", WAYS)
def test_in_a_filled_folder(way: str, trap: Trap, tiny_plan: ModelPlan, tmp_path: Path) -> None:
    """A folder of weights whose file is a pickle, or that offers a pickle only, is refused."""
    folder = tmp_path / "weights"
    folder.mkdir()
    trap.write(folder / "pytorch_model.bin", way)
    one_line(lambda: resolve_weights((str(folder),), [tiny_plan]), WeightsError, "holds no ")
    trap.write(folder / f"{tiny_plan.timm_name}.safetensors", way)
    one_line(lambda: resolve_weights((str(folder),), [tiny_plan]), WeightsError, "damaged or not whole")
    assert not trap.sprung


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_as_a_model_folder(
    name: str, way: str, trap: Trap, model_folder: Path, tiny_plan: ModelPlan, tmp_path: Path
) -> None:
    """predict --run and --weights on a model folder that holds a pickle: one line each."""
    (model_folder / "model.safetensors").unlink()
    trap.write(model_folder / name, way)
    paint(tmp_path / "x.png", (9, 9, 9), 0)
    says = "safetensors|damaged or not whole"
    one_line(lambda: list(predict(tmp_path / "x.png", run=model_folder)), WeightsError, says)
    one_line(lambda: resolve_weights((str(model_folder),), [tiny_plan]), WeightsError, says)
    assert not trap.sprung


@pytest.mark.parametrize("key", ["file", "url", "hf_hub_id", "state_dict"])
def test_named_by_a_config(
    key: str, trap: Trap, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config that points to a pickle elsewhere changes nothing: the folder's own safetensors are loaded."""
    expected = load_model(model_folder).module.state_dict()
    path = trap.write(tmp_path / "elsewhere.pth")
    config = json.loads((model_folder / "config.json").read_text())
    values = {"url": path.as_uri(), "hf_hub_id": "somebody/something", "state_dict": str(path)}
    config["pretrained_cfg"] |= {key: values.get(key, str(path)), "custom_load": True, "source": key}
    (model_folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))
    got = load_model(model_folder).module.state_dict()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    assert not trap.sprung


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"])
def test_named_by_a_configs_arguments(key: str, trap: Trap, model_folder: Path, tmp_path: Path) -> None:
    """Arguments that would have timm load something are refused; the pickle that they name stays shut."""
    path = str(trap.write(tmp_path / "elsewhere.pth"))
    config = json.loads((model_folder / "config.json").read_text())
    value = {"checkpoint_path": path, "pretrained": True}.get(key, {"file": path})
    config["model_args"] = {**config.get("model_args", {}), key: value}
    config["pretrained_cfg"]["file"] = path
    (model_folder / "config.json").write_text(json.dumps(config))
    one_line(lambda: load_model(model_folder), WeightsError, "not a model that timm can build")
    assert not trap.sprung


class Stop(Watch):
    """Ctrl-C once two epochs are saved; remembers what it was told."""

    def __init__(self, after: int = 2) -> None:
        self.after = after
        self.heard: list[str] = []

    def epoch_finished(self, run: str, row: Any, best: bool) -> None:
        if row.epoch == self.after:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture
def interrupted(tmp_path: Path) -> Benchmark:
    """A run of three epochs, cut off after the second."""
    with pytest.raises(KeyboardInterrupt):
        train(
            paint_folder(tmp_path / "data", per_class=4),
            name="cut",
            results=tmp_path / "results",
            watch=Stop(),
            **{**TINY, "epochs": 3, "near_duplicates": False},
        )
    return Benchmark(tmp_path / "results" / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_as_a_checkpoint(signed: bool, trap: Trap, interrupted: Benchmark) -> None:
    """The newest checkpoint replaced by a pickle, its sha256 made to fit or not: the one before is taken.

    Pickles of usual names beside it are not looked at either.
    """
    folder = interrupted.runs[0].folder / "checkpoint"
    newest = sorted(folder.glob("epoch-*.safetensors"))[-1]
    content = trap.write(newest).read_bytes()
    for name in ("epoch-0009.pt", "last.pth", "optimizer.bin", f"{newest.stem}.pt"):
        shutil.copy(newest, folder / name)
    if signed:
        about = json.loads(newest.with_suffix(".json").read_text())
        about.pop("digest")
        about["sha256"] = hashlib.sha256(content).hexdigest()
        about["digest"] = checkpoint._digest(about)
        newest.with_suffix(".json").write_text(json.dumps(about))
    told = Stop(after=99)
    train(name="cut", results=interrupted.folder.parent, resume=True, watch=told)
    (line,) = [text for text in told.heard if "left out" in text]
    assert "is not whole" in line if signed else "sha256" in line
    assert line.isprintable()
    assert interrupted.runs[0].status == "finished"
    assert not trap.sprung


@pytest.mark.slow
def test_as_the_head_that_a_probe_left(trap: Trap, interrupted: Benchmark) -> None:
    """head.safetensors and best-*.safetensors that are pickles are never used."""
    folder = interrupted.runs[0].folder / "checkpoint"
    trap.write(folder / "head.safetensors")
    for best in folder.glob("best-*.safetensors"):
        trap.write(best)
    train(name="cut", results=interrupted.folder.parent, resume=True)
    assert interrupted.runs[0].status == "finished"
    assert not trap.sprung
