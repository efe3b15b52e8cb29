"""`vitbench compare` as a user types it, on made-up benchmarks, in this process."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fabricate import make_benchmark
from painted import paint_folder

from vitbench.cli import compare as comparing
from vitbench.cli import demo, main
from vitbench.cli.show import say
from vitbench.comparison.measured import Row
from vitbench.errors import StoppedError
from vitbench.locks import holder
from vitbench.progress.lines import LineDisplay
from vitbench.records.watch import Watch

LABELS = [0, 1, 2] * 20
RUNS = {"vit-s0": LABELS, "swin-s0": [1, *LABELS[1:]], "deit-s0": [0] * 60}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `results/first`; the process stands in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    make_benchmark(tmp_path / "results" / "first", RUNS, LABELS)
    (tmp_path / "results" / "first" / ".lock").touch()  # as training leaves it
    return tmp_path / "results"


def vitbench(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["vitbench", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_formats_are_the_whole_of_stdout(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--format csv|json|md|latex` prints that and nothing else; `--json` is `--format json`."""
    printed = {}
    for form in ("csv", "json", "md", "latex"):
        assert vitbench(monkeypatch, "compare", "first", "--format", form) == 0
        printed[form] = capsys.readouterr().out
    assert next(csv.reader(printed["csv"].splitlines())) == list(Row.columns())
    assert printed["csv"] == (results / "first" / "comparison.csv").read_text(encoding="utf-8")
    assert json.loads(printed["json"])["name"] == "first"
    assert printed["md"].startswith("# first\n")
    assert printed["latex"].rstrip().endswith("\\end{table}")
    assert vitbench(monkeypatch, "compare", "first", "--json") == 0
    assert capsys.readouterr().out == printed["json"]


@pytest.mark.slow
def test_terms_reach_the_comparison(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--margin 20 --detect 3 --baseline swin` in points of accuracy."""
    words = ("--margin", "20", "--detect", "3", "--baseline", "swin", "--json")
    assert vitbench(monkeypatch, "compare", *words) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "comparing first, the newest finished benchmark" in err
    assert found["options"] == {"baseline": "swin", "margin": 0.2, "detect": 0.03}
    assert len(found["pairs"]) == 2
    assert found["pairs"][0]["kind"] == "equivalent"
    assert found["narrative"]["detect"].startswith("To show a difference of 3 points")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--baseline resnet", "--baseline resnet: not a tested model here (there: vit, swin, deit)"),
        ("--margin 0", "--margin 0: should be a number above 0 and below 100"),
        ("--detect -3", "--detect -3: should be a number above 0 and below 100"),
        ("--anonymous", "--anonymous: needs --report FILE.html"),
        ("--no-images", "--no-images: needs --report FILE.html"),
        ("--report page.pdf", "--report page.pdf: name an .html file"),
        ("--report nowhere/page.html", "nowhere: no such folder; make it first"),
        ("--across first", "--across: name two or more benchmarks"),
        ("--across first second --margin 2", "--across: knows no --report"),
    ],
)
def test_what_cannot_be_meant_is_status_2_in_one_line(
    results: Path, words: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option, the value and the way on; nothing is printed on stdout, no file is made."""
    before = sorted(results.parent.rglob("*"))
    assert vitbench(monkeypatch, "compare", *words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert len([line for line in err.splitlines() if line.startswith("vitbench: ")]) == 1
    assert sorted(results.parent.rglob("*")) == before


@pytest.mark.slow
def test_across_puts_data_sets_side_by_side(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row per benchmark, a column per model; no test with two sets; csv has a row per set and model."""
    make_benchmark(results / "second", RUNS, LABELS, data_digest="y")
    assert vitbench(monkeypatch, "compare", "--across", "first", "second") == 0
    out = capsys.readouterr().out
    assert "first" in out
    assert "100 [94, 100]" in out
    assert "2 data sets cannot say more together than each by itself" in " ".join(out.split())
    for form in ("md", "latex", "json"):
        assert vitbench(monkeypatch, "compare", "--across", "first", "second", "--format", form) == 0
    capsys.readouterr()
    assert vitbench(monkeypatch, "compare", "--across", "first", "second", "--format", "csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["data_set"], row["model"]) for row in rows] == [
        (name, model) for name in ("first", "second") for model in ("vit", "swin", "deit")
    ]
    assert float(rows[0]["top1"]) == 1.0


@pytest.mark.slow
def test_a_report_for_others_goes_where_it_is_told(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--report` writes page and data; anonymous ones name neither a file nor the benchmark."""
    assert (
        vitbench(monkeypatch, "compare", "first", "--report", "you.html", "--anonymous", "--no-images") == 0
    )
    assert "report: you.html" in capsys.readouterr().err
    for name in ("you.html", "you.json"):
        text = (results.parent / name).read_text(encoding="utf-8")
        assert "daisy" in text
        assert "daisy/0.jpg" not in text


def test_several_benchmarks_have_a_report_too(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two benchmarks on one test set, in one page."""
    make_benchmark(results / "second", {"cr-s0": LABELS}, LABELS)
    assert vitbench(monkeypatch, "compare", "first", "second", "--report", "both.html", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in found["rows"]} == {"vit", "swin", "deit", "cr"}
    assert json.loads((results.parent / "both.json").read_text())["name"] == "first + second"


def test_files_are_written_under_the_lock_of_the_benchmark(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that concludes at the same moment waits, and so does `compare`."""
    holders = []
    monkeypatch.setattr(
        comparing,
        "write_reports",
        lambda results, *_: holders.append(holder(results.first.benchmark.folder).get("pid")),
    )
    assert vitbench(monkeypatch, "compare", "first") == 0
    assert holders == [os.getpid()]
    assert holder(results / "first") == {}


def test_a_benchmark_that_cannot_be_written_is_shown(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table, one line, no file."""
    (results / "first" / ".lock").unlink()
    (results / "first" / ".lock").mkdir()  # not to be opened, by root neither, whom permissions do not stop
    before = sorted(results.rglob("*"))
    assert vitbench(monkeypatch, "compare", "first", "--format", "csv") == 0
    out, err = capsys.readouterr()
    assert len(list(csv.DictReader(out.splitlines()))) == len(RUNS)
    assert re.search(r"^results/first: cannot be written \(.+\); printing only$", err, re.MULTILINE)
    assert sorted(results.rglob("*")) == before


def test_names_in_messages_cannot_speak_to_the_terminal(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape codes, line breaks and marks that turn text round are spelled out, once, in all of them."""
    name = "a\x1b[2J\nvitbench: all is well\u202e"
    spelled = "a\\x1b[2J\\nvitbench: all is well\\u202e"
    assert vitbench(monkeypatch, "compare", name) != 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert spelled in lines[0]
    say(name)
    say(spelled)
    LineDisplay(Path("results")).message(name)
    assert capsys.readouterr().err == f"{spelled}\n" * 3


def test_the_demo_says_how_it_goes_on_in_its_own_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside the demo's training names --results where it is not the default."""

    def stopped(request: object, watch: Watch, **named: object) -> None:
        watch.benchmark_started("demo-1", {})
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "carry_out", stopped)
    monkeypatch.setattr(demo, "write_demo", lambda folder: None)
    with pytest.raises(StoppedError, match="--resume --name demo-1 --results elsewhere` goes on"):
        demo.run_demo(tmp_path, Path("elsewhere"))


LOADED = """
import atexit, sys
atexit.register(lambda: print(sorted({'torch', 'timm'} & {*sys.modules}), file=sys.stderr))
from vitbench.cli import main
for words in sys.argv[1:]:
    sys.argv[1:] = words.split()
    try:
        main()
    except SystemExit as end:
        assert not end.code
"""


@pytest.mark.slow
def test_comparing_and_checking_need_no_torch(results: Path) -> None:
    """In a process of their own, from the first command to the last line."""
    paint_folder(results.parent / "photos", 4)
    words = ["compare first", "compare first --format csv", "data check photos"]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, cwd=results.parent
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
