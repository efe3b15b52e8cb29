"""`predict` on the benchmark's own test pictures is a look at its test set: counted once a call, and said."""

from collections.abc import Callable
from pathlib import Path

import pytest
from painted import COLOURS, TINY, paint, paint_folder

from vitbench.benchmark.predict import ordinal, predict
from vitbench.benchmark.train import train
from vitbench.cli.options import Outputs
from vitbench.cli.predict import predict_images
from vitbench.records import Benchmark, Run
from vitbench.records.watch import Watch

Trained = Callable[..., Benchmark]


class Heard(Watch):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Two models, trained once; tests add looks and compare with what was there before."""
    root = tmp_path_factory.mktemp("looks")
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 1}
    return train(paint_folder(root / "data"), name="plain", results=root / "results", **asked)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Three folds of one model."""
    root = tmp_path_factory.mktemp("folded")
    asked = {**TINY, "epochs": 1, "folds": 3}
    return train(paint_folder(root / "data"), name="folded", results=root / "results", **asked)


def pictures(benchmark: Benchmark, part: str, fold: int | None = None) -> list[Path]:
    """Files of one part of the split, or of those that one fold is tested on."""
    rows = [row for row in benchmark.split_rows() if row["split"] == part]
    root = Path(benchmark.manifest["data"])
    return [root / row["path"] for row in rows if fold is None or row["fold"] == str(fold)]


def seen(run: Run) -> list[tuple[str, int]]:
    return [(look.by, look.pictures) for look in run.evaluations()]


@pytest.mark.slow
def test_test_pictures_are_one_look_in_every_run_that_answers(plain: Benchmark, tmp_path: Path) -> None:
    """Two test pictures, one of them twice, one of train and a new one: 3 pictures in one look."""
    first, second = pictures(plain, "test")[:2]
    (tmp_path / "copy.png").write_bytes(first.read_bytes())
    paint(tmp_path / "new.png", COLOURS["red"], 4711)
    asked = [first, tmp_path / "copy.png", second, pictures(plain, "train")[0], tmp_path / "new.png"]
    before = [seen(run) for run in plain.runs]
    assert len(list(predict(*asked, run=plain))) == 5
    assert [seen(run) for run in plain.runs] == [[*looks, ("predict", 3)] for looks in before]


def test_only_the_runs_that_answer_have_looked(plain: Benchmark) -> None:
    """--models keeps the others' counts as they are."""
    before = [seen(run) for run in plain.runs]
    list(predict(pictures(plain, "test")[0], run=plain, models=["test_vit"]))
    assert [seen(run) for run in plain.runs] == [[*before[0], ("predict", 1)], before[1]]


@pytest.mark.parametrize("part", ["train", "val"])
def test_other_pictures_are_no_look(plain: Benchmark, part: str) -> None:
    """Nothing is counted, nothing is said."""
    before = [seen(run) for run in plain.runs]
    heard = Heard()
    assert len(list(predict(*pictures(plain, part), run=plain, watch=heard))) > 0
    assert heard.lines == []
    assert [seen(run) for run in plain.runs] == before


def test_what_was_answered_counts_when_nobody_wants_the_rest(plain: Benchmark) -> None:
    """A generator that is left after two answers: two pictures."""
    before = seen(plain.runs[0])
    answers = predict(*pictures(plain, "test"), run=plain)
    next(answers)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert seen(plain.runs[0]) == [*before, ("predict", 2)]


def test_a_picture_that_cannot_be_read_was_not_looked_at(plain: Benchmark, tmp_path: Path) -> None:
    """A broken file is no evaluation."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    before = seen(plain.runs[0])
    list(predict(tmp_path / "broken.png", run=plain))
    assert seen(plain.runs[0]) == before


@pytest.mark.slow
def test_a_folds_model_looks_at_its_own_test_pictures(folded: Benchmark) -> None:
    """All folds together know every picture: no look. One fold alone: a look, in its own file."""
    (run,) = folded.runs
    asked = [pictures(folded, "test", fold=2)[0], pictures(folded, "test", fold=1)[0]]
    list(predict(*asked, run=folded))
    assert seen(run) == [("train", 36)]
    list(predict(*asked, run=f"{run.folder}/fold-2"))
    assert seen(run.part("fold-2")) == [("train", 12), ("predict", 1)]
    assert seen(run) == [("train", 36), ("predict", 1)]
    assert not (run.folder / "test_evaluations.csv").exists()


@pytest.mark.slow
def test_stderr_says_how_often_in_one_line(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many pictures, which benchmark, and the number of the look; stdout has the answers alone."""
    benchmark = trained()
    asked = [str(path) for path in pictures(benchmark, "test")[:2]]
    capsys.readouterr()
    for says in ("2 of these are test pictures of tiny: counted as a look at its test set (2nd)", "(3rd)"):
        assert predict_images(asked, "tiny", [], tmp_path / "results", "cpu", 1, Outputs(as_json=True)) == 0
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == 1
        assert says in said.err
        assert len(said.out.splitlines()) == 2


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_does_not_stop_the_answers(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The look is not counted, one line says so, and every answer comes."""
    benchmark = trained()
    looks = benchmark.runs[0].folder / "test_evaluations.csv"
    looks.unlink()
    looks.mkdir()
    capsys.readouterr()
    asked = [str(pictures(benchmark, "test")[0])]
    assert predict_images(asked, "tiny", [], tmp_path / "results", "cpu", 1, Outputs(as_json=True)) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert len(said.err.splitlines()) == 1
    for words in (
        "1 of these is a test picture of tiny",
        "not counted",
        "test_evaluations.csv cannot be written",
    ):
        assert words in said.err


def test_ordinals() -> None:
    """English ones, the teens too."""
    found = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 21, 102, 111)]
    assert found == ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "102nd", "111th"]
