"""Which saved models answer: a benchmark, a run, a fold; probes beside models only when they are named."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from comparison.fabricate import CLASSES, make_benchmark
from painted import paint

from vitbench.benchmark.predict import model_set_for, predict
from vitbench.cli.options import Outputs
from vitbench.cli.predict import _listed, predict_images
from vitbench.errors import UsageError
from vitbench.models.create import create
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark

LABELS = [0, 1, 2, 0, 1, 2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    plan = plan_model("test_vit", 32)
    save_model(create(plan, len(CLASSES), RANDOM, seed=0), folder, CLASSES, plan.preprocessing)
    return folder


def benchmark_of(results: Path, saved: Path, runs: Mapping[str, Any], **more: Any) -> Benchmark:
    """A benchmark with a model in each finished run, or in each of its folds where it is no probe."""
    benchmark = make_benchmark(results / "b", runs, LABELS, **more)
    for run in benchmark.runs:
        if run.status != "finished":
            continue
        parts = range(1, benchmark.folds + 1) if benchmark.folds and "probe" not in run.name else ()
        for number in parts:
            shutil.copytree(run.folder, results / "fold")
            shutil.move(results / "fold", run.part(f"fold-{number}").folder)
        for one in run.folds or (run,):
            shutil.copytree(saved, one.model_folder)
    return benchmark


def sizes(name: str | None, results: Path, *wanted: str) -> dict[str, int]:
    return {run: len(models) for run, models in model_set_for(name, wanted, results).models.items()}


BESIDE = {"vit-probe-s0": LABELS, "vit-s0": LABELS, "swin-s0": "failed: x"}


def test_a_probe_beside_its_model_answers_when_it_is_named(tmp_path: Path, saved: Path) -> None:
    """By default the fine-tuned model alone; --models vit-probe asks the probe."""
    benchmark_of(tmp_path, saved, BESIDE)
    assert sizes(None, tmp_path) == {"vit-s0": 1}
    assert sizes("b", tmp_path, "vit-probe") == {"vit-probe-s0": 1}
    assert set(sizes("b", tmp_path, "vit-probe-s0", "vit")) == {"vit-probe-s0", "vit-s0"}
    assert set(sizes("b/vit-probe-s0", tmp_path)) == {"vit-probe-s0"}
    with pytest.raises(UsageError, match="--models swin: not a finished run"):
        model_set_for("b", ["swin"], tmp_path)


def test_probes_answer_where_nothing_else_can(tmp_path: Path, saved: Path) -> None:
    """A benchmark of probes, and one whose fine-tuning failed."""
    benchmark_of(tmp_path / "1", saved, {"vit-s0": LABELS, "swin-s0": LABELS}, probe=True)
    assert set(sizes("b", tmp_path / "1")) == {"vit-s0", "swin-s0"}
    benchmark_of(tmp_path / "2", saved, {"vit-probe-s0": LABELS, "vit-s0": "failed: x"})
    assert set(sizes("b", tmp_path / "2")) == {"vit-probe-s0"}


def test_the_models_of_folds_answer_together(tmp_path: Path, saved: Path) -> None:
    """Three folds, three models under one name, said in one line; every picture counts as trained on."""
    benchmark_of(tmp_path, saved, BESIDE, folds=3)
    model_set = model_set_for("b", [], tmp_path)
    assert sizes("b", tmp_path) == sizes("b/vit-s0", tmp_path) == {"vit-s0": 3}
    assert model_set.together().endswith(": vit-s0 (3)")
    assert set(model_set.seen().values()) == {"train"}
    assert len(model_set.seen()) == 6
    probe = model_set_for("b", ["vit-probe"], tmp_path)
    assert probe.together() == ""
    assert set(probe.seen().values()) == {"train"}


def test_predict_says_on_stderr_that_folds_answer(
    tmp_path: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for all such runs; none for a single model."""
    benchmark_of(tmp_path, saved, BESIDE, folds=3)
    paint(tmp_path / "a.png", (9, 9, 9), 0)
    outputs = Outputs(as_json=True, out=None, sheet=None)
    for name, lines in (("b", 1), ("b/vit-s0/fold-1", 0)):
        assert predict_images([str(tmp_path / "a.png")], name, [], tmp_path, "cpu", 1, outputs) == 0
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == lines
        assert ("by the mean of their probabilities: vit-s0 (3)" in said.err) == bool(lines)
        assert len(said.out.splitlines()) == 1


@pytest.mark.parametrize("path", ["b/vit-s0/fold-2", "b/vit-s0/fold-2/model"])
def test_one_fold_is_a_run(tmp_path: Path, saved: Path, path: str) -> None:
    """It answers alone, under its own name, and knows its own test, val and training pictures."""
    benchmark = benchmark_of(tmp_path, saved, BESIDE, folds=3)
    model_set = model_set_for(path, [], tmp_path)
    assert sizes(path, tmp_path) == {"vit-s0/fold-2": 1}
    seen, rows = model_set.seen(), benchmark.split_rows()
    assert [seen[row["sha256"]] for row in rows] == ["val", "test", "train"] * 2
    assert [row["fold"] for row in rows[:3]] == ["1", "2", "3"]


def test_without_folds_the_split_tells(tmp_path: Path, saved: Path) -> None:
    """train and test as split.csv has them; the folder of a model alone knows its benchmark too."""
    benchmark_of(tmp_path, saved, BESIDE)
    for name in ("b", "b/vit-s0", "b/vit-s0/model"):
        assert set(model_set_for(name, [], tmp_path).seen().values()) == {"train", "test"}
    assert model_set_for(str(saved), [], tmp_path).seen() == {}


def test_a_file_of_weights_is_no_model(saved: Path, tmp_path: Path) -> None:
    """`--run best.pth` where the file lies there: refused; inside a saved model, its folder is named."""
    (tmp_path / "best.pth").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"best\.pth: is a file, .*folder of a saved model"):
        model_set_for(str(tmp_path / "best.pth"), (), tmp_path)
    with pytest.raises(UsageError, match=r"name the folder of the saved model, --run \S*model$"):
        model_set_for(str(saved / "model.safetensors"), (), tmp_path)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_lists_of_paths_are_taken_as_they_come(end: bytes, tmp_path: Path) -> None:
    """`find -print0`, Windows line ends, a byte order mark, names that are no UTF-8."""
    names = ["a.png", "b c.png", os.fsdecode(b"caf\xe9.png")]
    mark = b"" if end == b"\0" else b"\xef\xbb\xbf"
    assert _listed(mark + b"".join(os.fsencode(name) + end for name in names)) == names


def test_a_list_of_paths_with_null_bytes_holds_any_name() -> None:
    """Also one with an end of a line in it."""
    assert _listed(b"a\nb.png\0c\r\0") == ["a\nb.png", "c\r"]


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_answers_at_all_cannot_be_asked_for(top_k: int) -> None:
    """`vitbench.predict(…, top_k=0)` from Python, as `--top-k 0` on the command line."""
    with pytest.raises(UsageError, match=f"--top-k {top_k}: "):
        next(predict("a.png", top_k=top_k))
