"""An exported model answers as its run does, from pixels and from files; what is worse is not written."""

import ctypes
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shallow
import torch
from painted import TINY, paint_folder
from PIL import Image

from vitbench import files
from vitbench.benchmark import export as exporting
from vitbench.benchmark.compare import compare
from vitbench.benchmark.export import export
from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import train
from vitbench.cli import main
from vitbench.errors import UsageError, VitbenchError
from vitbench.exporting import check, graph
from vitbench.models.folder import load_model
from vitbench.records import Benchmark
from vitbench.records.exports import Export
from vitbench.records.watch import Watch

VIT = f"{shallow.NAME}-s0"


NAMES = {"red": "빨강 🔴", "green": "=green", "blue": "blue"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A benchmark of two models: one block of a ViT, and a CNN."""
    place = tmp_path_factory.mktemp("exported")
    data = paint_folder(place / "사진", names=NAMES)
    asked = {**TINY, "models": (shallow.NAME, "test_efficientnet"), "epochs": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
        return train(data, name="two", results=place / "results", **asked)


@pytest.fixture(scope="module")
def made(home: Benchmark) -> Iterator[Export]:
    """Its ViT as ONNX; everything is timed in as few passes as may be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "SECONDS", 0.0)
        yield export(home.run(VIT))


@pytest.mark.slow
def test_it_answers_the_whole_test_set_as_torch_does(home: Benchmark, made: Export) -> None:
    """Every picture, within rounding; the score is the run's own; the look is counted."""
    about, run = made.about, home.run(VIT)
    assert about["test"]["agreement"] == 1
    assert about["test"]["largest_difference"] < 1e-5
    assert about["test"]["top1"] == run.metrics()["test"]["top1"]
    np.testing.assert_allclose(made.predictions().probabilities, run.predictions().probabilities, atol=1e-5)
    assert [(look.by, look.pictures) for look in run.evaluations()][-1] == ("export", about["test"]["n"])
    assert {path.name for path in made.folder.iterdir()} == {
        "README.md", "export.json", "model.onnx", "predictions.csv", "reference.py", "test_vector.npz",
    }  # fmt: skip


@pytest.mark.slow
def test_the_file_alone_says_all_and_names_no_place_of_this_machine(home: Benchmark, made: Export) -> None:
    """Any batch, uint8 pixels in, probabilities out, and how pictures are brought there."""
    import onnxruntime

    session = onnxruntime.InferenceSession(made.file.read_bytes())
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert about["classes"] == list(home.classes)
    assert (about["image_size"], about["resize"], about["interpolation"]) == (32, 33, "bicubic")
    assert session.get_inputs()[0].type == "tensor(uint8)"
    for batch in (1, 3):
        (told,) = session.run(None, {"pixels": np.zeros((batch, 32, 32, 3), np.uint8)})
        assert told.shape == (batch, 3)
        np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-6)
    vector = np.load(made.folder / "test_vector.npz")
    (told,) = session.run(None, {"pixels": vector["pixels"]})
    np.testing.assert_allclose(told, vector["probabilities"], atol=1e-5)
    assert str(Path(graph.__file__).parents[2]).encode() not in made.file.read_bytes()


@pytest.mark.slow
def test_predict_takes_the_file(home: Benchmark, made: Export, tmp_path: Path) -> None:
    """By the file or its folder, also where it lies alone; answers as the run gives them."""
    pictures = sorted(Path(home.manifest["data"]).glob("*/0[0-2].png"))
    alone = tmp_path / "model.onnx"
    shutil.copyfile(made.file, alone)
    own = [one.predictions[VIT] for one in predict(*pictures, run=home.run(VIT), top_k=3)]
    for place in (made.file, made.folder, alone):
        for mine, answer in zip(own, predict(*pictures, run=place, top_k=3), strict=True):
            (told,) = answer.predictions.values()
            assert [name for name, _ in told] == [name for name, _ in mine]
            np.testing.assert_allclose([p for _, p in told], [p for _, p in mine], atol=1e-5)


@pytest.mark.slow
def test_compare_takes_it_as_a_row(home: Benchmark, made: Export, tmp_path: Path) -> None:
    """Beside its benchmark, or alone for it; with its own latency; without its benchmark it is no row."""
    found = compare(made.file)
    rows = {row.model: row for row in found.rows}
    assert set(rows) == {shallow.NAME, "test_efficientnet", f"{VIT}-onnx"}
    mine, its = rows[shallow.NAME], rows[f"{VIT}-onnx"]
    assert (its.top1, its.correct, its.n_test) == (mine.top1, mine.correct, mine.n_test)
    assert its.latency_ms_p50 == made.about["latency"]["exported_ms"]["1"]
    assert [row.model for row in compare(home, made.folder).rows] == [row.model for row in found.rows]
    apart = tmp_path / "apart" / "export" / "model"
    shutil.copytree(made.folder, apart)
    with pytest.raises(UsageError, match="lies apart from its benchmark two; name that beside it"):
        compare(apart)
    assert len(compare(home, apart).rows) == 3
    other = tmp_path / "other"
    shutil.copytree(home.folder, other)
    with pytest.raises(UsageError, match="was tested on two, not on other"):
        compare(other, apart)


def test_the_models_of_folds_are_one_graph(home: Benchmark) -> None:
    """Their mean for new pictures; each picture of the benchmark is scored by the one that never saw it."""
    one, other = (load_model(home.run(VIT).model_folder) for _ in range(2))
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.mul_(0.5)
    models = (one, other)
    both: Any = check.torch_pass(graph.Graph(models))
    rows = home.rows_of("test")
    folds = np.array([1, 2] * 3)
    paths, contents = (tuple(row[name] for row in rows) for name in ("path", "sha256"))
    pictures = check.TestPictures(Path(home.manifest["data"]), paths, contents, folds)

    def exported(pixels: Any) -> tuple[Any, Any]:
        mean, each = both(pixels)
        return mean.double().numpy(), each.double().numpy()

    networks = check.network_answers(models)
    told = check.answer_again(
        pictures, one.preprocessing, networks, {"onnx": exported}, {"onnx": check.LIMIT}, lambda *_: None
    )["onnx"]
    assert (told.agreed, told.largest < 1e-6) == (6, True)
    single = home.run(VIT).predictions().probabilities
    np.testing.assert_allclose(told.probabilities[::2], single[::2], atol=1e-6)
    assert abs(told.probabilities[1::2] - single[1::2]).max() > 0.01


def _odd(root: Path) -> list[Path]:
    """Files in which pictures are not plain 8-bit RGB."""
    ramp = np.linspace(0, 255, 60 * 40).reshape(40, 60).astype(np.uint8)
    colours = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
    plain = Image.fromarray(colours)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.save(root / "turned.jpg", exif=exif, quality=95)
    plain.convert("CMYK").save(root / "cmyk.jpg", quality=95)
    plain.quantize(16).save(root / "palette.png")
    plain.quantize(16).save(root / "clear.png", transparency=3)
    plain.convert("LA").save(root / "la.png")
    plain.convert("1").save(root / "1bit.png")
    deep = ramp.astype(np.uint16)
    for name, values in (("12bit", deep * 16), ("full", deep * 257), ("narrow", 30000 + deep)):
        Image.fromarray(values).save(root / f"{name}.png")
    Image.fromarray(ramp.astype(np.float32) / 255).save(root / "float.tif")
    _png_16(root / "colour16.png", colours.astype(np.uint16) * 257 - 100)
    return sorted(root.iterdir())


def _png_16(path: Path, values: Any) -> None:
    """16-bit RGB, which Pillow does not write."""
    import struct
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["center", "squash"])
def test_the_script_takes_files_to_the_same_pixels(tmp_path: Path, mode: str) -> None:
    """EXIF orientation, CMYK, palette, transparency, 12 and 16 bits, fractions: every pixel is vitbench's."""
    from vitbench.data.batches import Evaluation, pixels_of
    from vitbench.data.decode import decode
    from vitbench.exporting.reference import pixels_of as script
    from vitbench.models.exported import resized
    from vitbench.records import PixelRange, Preprocessing

    grey = (0.5, 0.5, 0.5)
    for meant in (None, PixelRange(0, 4095)):
        way = Preprocessing(24, grey, grey, "bicubic", 0.9, mode, meant)
        about = {"image_size": 24, "resize": resized(way), "interpolation": "bicubic", "crop_mode": mode}
        about["pixel_range"] = meant and [meant.low, meant.high]
        folder = tmp_path / str(meant)
        folder.mkdir()
        for path in _odd(folder):
            mine = pixels_of(Evaluation(way).cut(decode(path, meant=meant))).numpy()
            np.testing.assert_array_equal(script(str(path), about)[0], mine, err_msg=path.name)


def _nothing_new(home: Benchmark) -> list[str]:
    return sorted(path.name for path in (home.folder / "export").glob("*") if "lock" not in path.name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, made: Export) -> None:
    """The graph is not made anew: what was made is written."""
    content = made.file.read_bytes()
    monkeypatch.setattr(exporting, "write_graph", lambda models, kind, file: files.write_bytes(file, content))
    monkeypatch.setattr(check, "MOST_PASSES", 1)


@pytest.mark.usefixtures("quick")
def test_a_difference_is_an_error_that_names_the_picture(home: Benchmark) -> None:
    """Another network's graph: nothing is written, what was there stays."""
    before = _nothing_new(home)
    with pytest.raises(VitbenchError, match=r"\d\d\.png: onnx differs from torch by 0\.\d+ in a probability"):
        export(home.run("test_efficientnet-s0"))
    assert _nothing_new(home) == before


@pytest.mark.usefixtures("quick")
def test_int8_is_tested_against_fp32_and_refused_with_the_figures(home: Benchmark) -> None:
    """It is written where it holds; where more is lost than may be, or nothing gained, it is not."""
    made = export(home.run(VIT), int8=True)
    against = made.about["against_fp32"]
    assert against["mb"] < 0.8 * against["fp32_mb"]
    assert made.name == f"{VIT}-int8"
    worse = {**made.about, "against_fp32": {**against, "difference": -0.02}}
    with pytest.raises(VitbenchError, match=r"loses more than 1 points .* -2\.0 points"):
        exporting.refuse_worse(worse, 1.0)
    exporting.refuse_worse(worse, 2.0)
    assert against["smaller"]
    larger = {**against, "smaller": False, "faster": False}
    with pytest.raises(VitbenchError, match="gains neither size nor speed"):
        exporting.refuse_worse({**made.about, "against_fp32": larger}, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "way"),
    [("pt2", "depends on the picture"), ("onnx", "depends on the picture"), ("onnx", "no form")],
)
def test_what_cannot_be_exported_says_so_in_a_line(
    home: Benchmark, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str, way: str
) -> None:
    """A network whose way depends on what it sees, and one with a function that ONNX has not.

    Nothing is printed, by C neither, and nothing stays.
    """
    import torch
    from torch import Tensor, nn

    class Odd(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            print("the exporter speaks")
            ctypes.CDLL(None).puts(b"and a library of it, in C")
            if way == "no form":
                return torch.special.bessel_j0(pictures).mean((2, 3))
            return pictures.mean((2, 3)) if pictures.sum() > 0 else pictures.amax((2, 3))

    made = exporting.Graph

    def odd(models: Any) -> Any:
        found = made(models)
        found.networks[0] = Odd()
        return found

    monkeypatch.setattr(graph, "Graph", odd)
    before = _nothing_new(home)
    with pytest.raises(VitbenchError, match=rf"test_efficientnet.*: cannot be exported to {kind} ") as error:
        export(home.run("test_efficientnet-s0"), to=kind)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("; --to pt2 may do") == (kind == "onnx")
    assert _nothing_new(home) == before
    print("here it ends")
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr().out == "here it ends\n"


def test_the_best_model_is_taken_where_a_benchmark_is_named(home: Benchmark) -> None:
    """The one that compare ranks first, said so, and that its score is too good for it stands on the card."""
    asked = exporting.Asked.of("two", home.folder.parent)
    scores = {run.name: run.metrics()["test"]["top1"] for run in home.runs}
    assert asked.run.name == max(scores, key=scores.__getitem__)
    assert asked.chosen_among == 2
    assert "the best of its 2 models on the test pictures" in asked.notes[0]


def test_lost_test_pictures_are_said_before_any_work(home: Benchmark, tmp_path: Path) -> None:
    """The whole test set is answered, or nothing is made."""
    moved = tmp_path / "results" / "two"
    shutil.copytree(home.folder, moved)
    manifest = json.loads((moved / "benchmark.json").read_text())
    (moved / "benchmark.json").write_text(json.dumps({**manifest, "data": str(tmp_path)}))
    with pytest.raises(VitbenchError, match=r"6 of 6 test pictures are not there .* --data FOLDER"):
        export(moved / VIT)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Before the benchmark is even looked for."""
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(
        UsageError, match=rf"{missing}, which is not installed; pip install 'vitbench\[onnx\]'"
    ):
        export("nothing", results="nowhere")


def test_a_saved_model_alone_has_no_test_pictures(home: Benchmark, tmp_path: Path) -> None:
    """What cannot be checked is not exported."""
    shutil.copytree(home.run(VIT).model_folder, tmp_path / "model")
    with pytest.raises(UsageError, match="belongs to no benchmark"):
        export(tmp_path / "model")


# --- what goes wrong on the way -------------------------------------------------------------------


def _typed(monkeypatch: pytest.MonkeyPatch, home: Benchmark, *words: str) -> int:
    """The exit status of `vitbench export WORDS…`, on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    results = ("--results", str(home.folder.parent))
    monkeypatch.setattr("sys.argv", ["vitbench", "export", *words, *results])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.usefixtures("quick")
def test_as_typed_results_are_all_there_is_on_stdout(
    home: Benchmark, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sentences that fit 80 columns; with --json one value."""
    assert _typed(monkeypatch, home, f"two/{VIT}") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith(f"{VIT}-onnx answers 6 of 6 test pictures as torch does")
    assert all(len(line) <= 80 for line in lines if "/" not in line)
    assert _typed(monkeypatch, home, f"two/{VIT}", "--json") == 0
    assert json.loads(capfd.readouterr().out)["test"]["agreed"] == 6


def test_as_typed_a_missing_extra_is_one_line(
    home: Benchmark, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing on stdout."""
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert _typed(monkeypatch, home, "two") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "vitbench: ONNX: needs onnxscript, which is not installed; pip install 'vitbench[onnx]'\n"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("step", ["write_graph", "quantise"])
def test_a_file_that_cannot_be_written_whole_is_one_line(
    home: Benchmark, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], step: str
) -> None:
    """By Python or by C++, which does not look: status 1, what was there stays, nothing lies half-made."""
    resource = pytest.importorskip("resource")  # Windows has no such limits
    whole = getattr(exporting, step)

    def cut_off(*given: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            whole(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(exporting, step, cut_off)
    before = _nothing_new(home)
    assert _typed(monkeypatch, home, f"two/{VIT}", *(["--int8"] if step == "quantise" else [])) == 1
    out, err = capfd.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith(f"vitbench: {home.folder / 'export' / VIT}"), last
    assert "make room" in last or "a file may not become that large" in last, last
    assert "Traceback" not in err
    assert _nothing_new(home) == before


class KilledAtTheTest(Watch):
    """`kill -9` when the test pictures are being answered."""

    def work(self, what: str, done: int, total: int) -> None:
        if what == exporting.TESTED:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("quick")
def test_a_kill_in_the_middle_leaves_nothing_that_could_be_taken_for_a_model(
    home: Benchmark, tmp_path: Path
) -> None:
    """What was there before is whole; the next export ends well and removes what the killed one left."""
    place = tmp_path / "results" / "two"
    shutil.copytree(home.folder, place)
    kept = sorted((path, path.read_bytes()) for path in (place / "export").rglob("*") if path.is_file())
    killed = os.fork()
    if not killed:
        try:
            export(place / VIT, watch=KilledAtTheTest())
        finally:
            os._exit(1)
    assert os.waitpid(killed, 0)[1] == signal.SIGKILL
    left = place / "export" / f".{VIT}-onnx.new"
    assert (left / "model.onnx").exists()
    assert all(path.read_bytes() == content for path, content in kept if "lock" not in path.name)
    made = export(place / VIT, int8=True)
    assert made.about["test"]["agreed"] >= 5
    assert not left.exists()
    assert not list((place / "export").glob(".*.new"))
