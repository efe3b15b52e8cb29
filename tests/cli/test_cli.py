"""The command line as a user types it: exit statuses, streams, one-line errors, help."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from called import vitbench
from painted import COLOURS, paint, paint_folder
from PIL import Image
from pointed import point_to

from vitbench.files import read_csv
from vitbench.records import Benchmark

SMALL = "--models test_vit --weights random --image-size 32 --epochs 1 --per-class 6 --lr 0.002"


def typed(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vitbench", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"},
    )


@pytest.mark.slow
def test_help_is_fast_and_without_torch() -> None:
    """`--help` of every command imports neither torch nor timm, pandas, scipy, matplotlib."""
    code = (
        "import sys; from typer.testing import CliRunner; from vitbench.cli.app import app\n"
        "for words in ('', 'train', 'pretrain', 'compare', 'predict', 'inspect', 'models', 'data check'):\n"
        "    result = CliRunner().invoke(app, f'{words} --help'); assert result.exit_code == 0, words\n"
        "print(sorted({'torch', 'timm', 'pandas', 'scipy', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_predict_loads_no_more_than_it_needs(two_models: Benchmark, tmp_path: Path) -> None:
    """One picture is answered for without the statistics, the figures and the report."""
    paint(tmp_path / "one.png", (200, 40, 40), 1)
    code = (
        "import sys; from typer.testing import CliRunner; from vitbench.cli.app import app\n"
        f"result = CliRunner().invoke(app, ['predict', 'one.png', '--run', {str(two_models.folder)!r}])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'pandas', 'scipy', 'matplotlib', 'sklearn', 'jinja2', 'pi_heif', 'tensorboard'}\n"
        "print('torch' in sys.modules, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "True []"


@pytest.mark.slow
def test_bare_train_without_pictures_says_what_to_do(tmp_path: Path) -> None:
    """No data/ folder: one line, what, where, what next; nothing is made."""
    done = typed("train", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"vitbench: data: .*vitbench demo.*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train data --models vti", "did you mean"),
        ("train data --epochs none", "epochs"),
        ("train data --image-size big", "--image-size big: should be a whole number"),
        ("train data --per-class 0", "--per-class 0: should be a whole number from 1"),
        ("train data --recipe cake", "--recipe"),
        ("train data --augment more", "none, geometry, masked, light"),
        ("train data --seeds 1,x", "--seeds x"),
        ("train data --device tpu9", "--device tpu9"),
        ("train data --name ../x", "plain folder name"),
        ("train data --config none.toml", "--config none.toml"),
        ("train data --track excel", "tensorboard, wandb or trackio"),
        ("train data --nonsense", "--nonsense"),
        ("probe data --lr 1", "--lr: is no option of vitbench probe, only of train and pretrain"),
        ("pretrain data --teacher=x", "--teacher: is no option of vitbench pretrain, only of train"),
        ("data check data --layout round", "--layout round: should be auto, flat or split"),
        ("data augment data views --image-size 999999999", "image-size"),
        ("predict x.jpg --out answers.xml", "--out answers.xml"),
        ("predict x.jpg --report answers.pdf", "--report answers.pdf: name an .html file"),
        ("predict x.jpg --report nowhere/answers.html", "nowhere: no such folder"),
        ("predict x.jpg --no-images", "--no-images: needs --report FILE.html"),
        ("predict x.jpg --anonymous", "--anonymous: needs --report FILE.html"),
        ("predict x.jpg --report a.html --out a.json", "--out a.json: --report writes its data there"),
    ],
)  # fmt: skip
def test_wrong_usage_is_status_2_and_names_the_option(words: str, says: str, tmp_path: Path) -> None:
    """Wrong usage: exit status 2, the option and the value in the message, no traceback, nothing made."""
    paint_folder(tmp_path / "data", per_class=4)
    done = vitbench(*words.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_results_on_stdout_progress_on_stderr(tmp_path: Path) -> None:
    """`train --json | jq` works: stdout is one JSON document, a line per epoch goes to stderr."""
    paint_folder(tmp_path / "data", per_class=8)
    done = vitbench("train", *SMALL.split(), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"][0]["model"] == "test_vit"
    assert re.search(r"test_vit-s0: epoch 1/1 .* images/s", done.stderr)


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    """Models × seeds, steps, parameters, disk and time on stdout; no file appears, no network is needed."""
    paint_folder(tmp_path / "data", per_class=8)
    words = "--models test_vit,test_efficientnet --image-size 32 --epochs 3 --per-class 20 --seeds 0,1"
    done = vitbench("train", "--dry-run", *words.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for needed in ("test_efficientnet", "params", "3 epochs × 60 views = 6 steps of 32", "disk"):
        assert needed in done.stdout
    assert visible(tmp_path) == ["data"]


def visible(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


@pytest.mark.slow
def test_a_failed_run_is_status_3_and_keeps_its_row(tmp_path: Path) -> None:
    """One run fails (NaN), the other finishes: status 3, both in the table, the reason said."""
    paint_folder(tmp_path / "data", per_class=8)
    (tmp_path / "c.toml").write_text("[arms.calm]\n[arms.wild]\nlr = 1e30\n")
    done = vitbench("train", *SMALL.split()[:-2], "--config", "c.toml", "--name", "two", cwd=tmp_path)
    assert done.returncode == 3
    assert "wild-test_vit-s0: failed: the loss is nan" in done.stderr
    rows = read_csv(tmp_path / "results" / "two" / "comparison.csv")
    assert {row["model"]: row["status"] for row in rows} == {
        "calm-test_vit": "finished", "wild-test_vit": "failed"
    }  # fmt: skip


def test_config_file_and_options_beat_it(tmp_path: Path) -> None:
    """--config gives settings; an option on the command line wins."""
    paint_folder(tmp_path / "data", per_class=8)
    (tmp_path / "c.toml").write_text(
        'models = ["test_vit"]\nweights = "random"\nimage-size = 32\nepochs = 9\nper-class = 6\n'
    )
    done = vitbench("train", "--config", "c.toml", "--epochs", "1", "--json", "--name", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "results" / "c" / "benchmark.json").read_text())["settings"]
    assert (settings["epochs"], settings["image_size"]) == (1, 32)


def test_compare_takes_the_newest_and_says_which(two_models: Benchmark) -> None:
    """A bare compare prints the table on stdout, and on stderr which benchmark it is of."""
    done = vitbench("compare", cwd=two_models.folder.parent.parent)
    assert done.returncode == 0
    assert "comparing two" in done.stderr
    assert "test_efficientnet" in done.stdout
    assert "right % [95 %]" in done.stdout


def test_predict_answers_in_order_with_errors_as_rows(two_models: Benchmark, tmp_path: Path) -> None:
    """JSON lines come in input order; a broken picture is a row with its reason; status 3."""
    paint(tmp_path / "a.png", COLOURS["red"], 1)
    (tmp_path / "b.png").write_bytes(b"no picture")
    paint(tmp_path / "c.png", COLOURS["blue"], 2)
    run = str(two_models.folder)
    done = vitbench("predict", "c.png", "b.png", "a.png", "gone.png", "--run", run, "--json", cwd=tmp_path)
    assert done.returncode == 3
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == ["c.png", "b.png", "a.png", "gone.png"]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]
    assert set(rows[0]["answers"]) == {"test_vit-s0", "test_efficientnet-s0"}


def test_predict_reads_paths_from_stdin_and_writes_csv_and_sheet(
    two_models: Benchmark, tmp_path: Path
) -> None:
    """`-` takes paths from stdin; --out and --sheet write files; stdout has the table."""
    paint(tmp_path / "a photo.png", COLOURS["red"], 1)
    words = ["predict", "-", "--run", str(two_models.folder), "--out", "o.csv", "--sheet", "s.png"]
    done = vitbench(*words, cwd=tmp_path, stdin="a photo.png\n")
    assert done.returncode == 0, done.stderr
    assert "a photo.png" in done.stdout
    assert "a photo.png" in (tmp_path / "o.csv").read_text(encoding="utf-8")
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 100


def test_predict_writes_a_report_and_streams_its_answers(two_models: Benchmark, tmp_path: Path) -> None:
    """--report beside --json: a page with the photo and its data; stdout keeps a line per picture."""
    paint(tmp_path / "holiday" / "dune.png", COLOURS["red"], 1)
    (tmp_path / "holiday" / "torn.png").write_bytes(b"no picture")
    words = ["predict", "holiday", "--run", str(two_models.folder), "--report", "page.html", "--json"]
    done = vitbench(*words, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "report: page.html, its data: page.json" in done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 2
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "dune.png" in page
    assert "data:image/jpeg;base64," in page
    report = json.loads((tmp_path / "page.json").read_text(encoding="utf-8"))
    said = {one["run"]: one["answer"] for one in report["pictures"][0]["said"]}
    first = json.loads(done.stdout.splitlines()[0])["answers"]
    assert said == {run: answers[0]["class"] for run, answers in first.items()}
    assert report["n_pictures"] == 2


def test_predict_report_without_photographs_and_names(two_models: Benchmark, tmp_path: Path) -> None:
    """--no-images --anonymous: no photo, no name of a file or folder; models stay."""
    paint(tmp_path / "holiday" / "dune.png", COLOURS["red"], 1)
    words = ["--report", "page.html", "--no-images", "--anonymous"]
    done = vitbench("predict", "holiday/dune.png", "--run", str(two_models.folder), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("page.html", "page.json"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not [secret for secret in ("dune", "holiday", "data:image/jpeg") if secret in text]
        assert "test_vit-s0" in text


def test_predict_scores_a_folder_of_class_folders(two_models: Benchmark, tmp_path: Path) -> None:
    """A folder whose sub-folders are classes is scored, with an interval."""
    for key in range(3):
        paint(tmp_path / "new" / "blue" / f"{key}.png", COLOURS["blue"], 50 + key)
    done = vitbench("predict", "new", "--run", str(two_models.folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"of 3", done.stdout)


@pytest.mark.slow
def test_a_saved_model_needs_nothing_but_its_folder(trained: object, tmp_path: Path, coloured: Path) -> None:
    """Data deleted, model folder moved away: predict still names classes."""
    import shutil

    benchmark = trained(epochs=1)  # type: ignore[operator]
    shutil.move(benchmark.runs[0].model_folder, tmp_path / "elsewhere")
    shutil.rmtree(benchmark.folder)
    shutil.rmtree(coloured)
    paint(tmp_path / "one.png", COLOURS["green"], 9)
    done = vitbench("predict", "one.png", "--run", "elsewhere", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (answers,) = json.loads(done.stdout)["answers"].values()
    assert answers[0]["class"] in COLOURS


@pytest.mark.slow
def test_data_commands(tmp_path: Path) -> None:
    """check, split and augment print a summary; split writes what train would use."""
    paint_folder(tmp_path / "data", per_class=8)
    check = vitbench("data", "check", cwd=tmp_path)
    assert check.returncode == 0
    assert "red" in check.stdout
    split = vitbench("data", "split", "data", "out", cwd=tmp_path)
    assert split.returncode == 0, split.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"train", "val", "test", "split.csv"}
    views = vitbench("data", "augment", "data", "views", "--per-class", "10", cwd=tmp_path)
    assert views.returncode == 0, views.stderr
    assert len(list((tmp_path / "views").rglob("*.*"))) == 30


def test_data_check_shows_the_table_and_the_bad_files(tmp_path: Path) -> None:
    """A broken file does not hide the rest: the table, the file and its reason, status 1."""
    paint_folder(tmp_path / "data", per_class=4)
    (tmp_path / "data" / "red" / "broken.png").write_bytes(b"no picture")
    done = vitbench("data", "check", cwd=tmp_path)
    assert done.returncode == 1
    assert "green" in done.stdout
    assert "red/broken.png" in done.stdout


def test_models_are_listed_within_limits(tmp_path: Path) -> None:
    """`models --max-params 10` shows the tiny ViTs and no Swin."""
    done = vitbench("models", "--max-params", "10", "--json", cwd=tmp_path)
    names = [json.loads(line)["model"] for line in done.stdout.splitlines()]
    assert names == ["vit", "deit", "deit-distilled"]


@pytest.mark.slow
def test_without_a_network_one_line_within_20_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hub, no cache: one line that names the three ways on, and no benchmark folder."""
    paint_folder(tmp_path / "data", per_class=4)
    point_to("http://127.0.0.1:9", tmp_path / "hf", monkeypatch)
    started = time.monotonic()
    done = vitbench("train", "--image-size", "64", cwd=tmp_path)
    assert time.monotonic() - started < 60  # 20 s on an idle machine; tests share theirs
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    for way in ("--weights PATH", "cache", "--weights random"):
        assert way in done.stderr
    assert not (tmp_path / "results").exists()
