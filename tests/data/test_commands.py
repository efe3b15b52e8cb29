"""`vitbench data check` and `data split` with groups and folds, as a user types them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vitbench.cli.data import data_app
from vitbench.errors import UsageError

Maker = Callable[..., Path]


@pytest.fixture
def photos_of_two(tmp_path: Path, classes: Maker) -> str:
    """A folder of two classes, 000.png to 008.png each."""
    return str(classes(tmp_path / "data", {"cat": 9, "dog": 9}))


def data(*words: str) -> Result:
    """`vitbench data …`; the error that it would print is raised."""
    return CliRunner().invoke(data_app, list(words), catch_exceptions=False)


def test_check_reports_groups(photos_of_two: str) -> None:
    """check names the groups, and what train would refuse with them."""
    done = data("check", photos_of_two, "--group", r"cat/00[0-7]")
    assert done.exit_code == 0
    assert "train would refuse" not in done.stdout
    done = data("check", photos_of_two, "--group", r"(cat)/00[0-7]")
    assert "kept together: 1 group of different pictures\n  cat/000.png, cat/001.png" in done.stdout
    assert "note: kept together by --group: 1 group of 2 or more (8 pictures), largest 8; 10" in done.stdout
    assert "train would refuse this: " in done.stdout
    assert "class 'cat' has 2 groups kept together, three splits need 3" in done.stdout


def test_split_shows_folds(photos_of_two: str) -> None:
    """A line per fold with its test pictures by class; without folds the three sides."""
    done = data("split", photos_of_two, "--folds", "3")
    assert "3 folds of the class folders, stratified, seed 0; in each, 15 % of the rest as val" in done.stdout
    assert "fold 3: 6 (cat 3, dog 3) tested; 10 train, 2 val\n" in done.stdout
    assert "fold 5: " in data("split", photos_of_two, "--folds", "auto").stdout
    done = data("split", photos_of_two)
    assert "train: 12 (cat 6, dog 6)\nval: 2 (cat 1, dog 1)\ntest: 4 (cat 2, dog 2)\n" in done.stdout


def test_split_keeps_groups(photos_of_two: str, tmp_path: Path) -> None:
    """What --group keeps together is written to one side."""
    out = tmp_path / "out"
    data("split", photos_of_two, str(out), "--group", r"/00(\d)")
    for number in range(9):
        written = list(out.rglob(f"00{number}.png"))
        assert len(written) == 2
        assert len({path.parts[-3] for path in written}) == 1


def test_folds_are_shown_and_not_written(photos_of_two: str, tmp_path: Path) -> None:
    """A folder beside --folds is wrong usage; nothing is made."""
    with pytest.raises(UsageError, match="folds cannot be written"):
        data("split", photos_of_two, str(tmp_path / "out"), "--folds", "3")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--folds", "many"], r"^--folds many: should be a whole number from 2 to \d+, or auto$"),
        (["--folds", "1"], r"^--folds 1: should be a whole number from 2"),
        (["--group", "("], r"^--group \(: neither a CSV file nor a regular expression"),
        (["--burst-seconds", "0"], r"^--burst-seconds 0: "),
    ],
)
def test_bad_options_are_refused_before_a_picture_is_opened(
    words: list[str], says: str, photos_of_two: str
) -> None:
    """Wrong usage is one line, and comes before the (broken) pictures are read."""
    (Path(photos_of_two) / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(UsageError, match=says):
        data("split", photos_of_two, *words)


def test_views_are_drawn_as_train_draws_them(photos_of_two: str, tmp_path: Path) -> None:
    """Without --augment the level is that of `train` from pretrained weights: crops and mirrors alone."""
    for name, more in (("default", []), ("geometry", ["--augment", "geometry"])):
        data("augment", photos_of_two, str(tmp_path / name), "--per-class", "6", "--image-size", "16", *more)
    written = sorted(path.relative_to(tmp_path / "default") for path in (tmp_path / "default").rglob("*.png"))
    assert len(written) == 12
    for path in written:
        assert (tmp_path / "default" / path).read_bytes() == (tmp_path / "geometry" / path).read_bytes()
