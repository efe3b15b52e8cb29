"""The comparison on a screen and in files."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fabricate import make_benchmark
from rich.cells import cell_len

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.comparison.measured import CompareOptions, Row
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.reports.formats import comparison_csv, comparison_json, latex, markdown, tex_table
from vitbench.reports.tables import details, sentences
from vitbench.reports.write import write_reports

LABELS = [0, 0, 1, 1, 2, 2]
MODELS = ("vit", "swin")
HOSTILE = ("<script>window.PWNED=1</script>", "=cmd|x", "$\\frac{", "개와 고양이", "😀[bold]x[/bold]")


def two_models(folder: Path) -> Benchmark:
    return make_benchmark(folder / "b", {"vit-s0": LABELS, "swin-s0": [0, 1, 1, 1, 2, 2]}, LABELS)


def hostile(folder: Path) -> Benchmark:
    paths = ["=cmd|x.jpg", '"><img src=x onerror=alert(1)>.jpg', "$\\frac{.jpg", "사진.jpg", "a|b`c`.jpg"]
    runs = {"vit-s0": [0, 1, 2, 3, 4], "swin-s0": [1, 1, 2, 0, 4], "x-s0": "failed: [red]out of memory[/red]"}
    return make_benchmark(folder / "h", runs, range(5), HOSTILE, paths, train=range(5))


def shown(benchmark: Benchmark, width: int) -> str:
    return "\n".join(line.text for line in details(compare(benchmark), width))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_screen_table_fits_its_width(tmp_path: Path, width: int) -> None:
    """No line is wider than the terminal, wide characters counted as two cells."""
    text = shown(hostile(tmp_path), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_screen_table_at_80_columns_has_the_columns_that_decide(tmp_path: Path) -> None:
    """Rank, share right with its interval in figures and drawn, loss, size and speed, on one line each."""
    lines = shown(two_models(tmp_path), 80).splitlines()
    head = next(line for line in lines if line.startswith("model"))
    names = ("model", "rank", "right % [95 %]", "100 %", "loss", "params M", "ms/img")
    assert [name for name in names if name in head] == list(names)
    swin = next(line for line in lines if line.startswith("swin "))
    assert "83 [44, 97]" in swin
    assert re.search(r"├─+●─*┤", swin)
    assert any(line.startswith("majority") for line in lines)


def test_wider_screens_show_more_columns(tmp_path: Path) -> None:
    """What was pretrained on needs a wide terminal, and gets one."""
    benchmark = two_models(tmp_path)
    assert "pretrained on" not in shown(benchmark, 80)
    assert "pretrained on" in shown(benchmark, 200)


def test_columns_left_out_are_counted(tmp_path: Path) -> None:
    """A narrow screen says how many columns it lacks and which file has them; a wide one says nothing."""
    benchmark = two_models(tmp_path)
    narrow = " ".join(shown(benchmark, 80).split())
    assert "10 more columns in comparison.csv." in narrow
    assert "more column" not in shown(benchmark, 200)
    assert "more column" not in markdown(compare(benchmark))


def test_small_models_keep_their_digits(tmp_path: Path) -> None:
    """0.00712 GMACs stay 0.00712, in the table and in the sentence that names the cheapest model."""
    benchmark = two_models(tmp_path)
    path = benchmark.folder / "vit-s0" / "metrics.json"
    metrics = files.read_json(path)
    metrics["cost"] |= {"gmacs": 0.0071234, "params_m": 0.0512}
    files.write_json(path, metrics)
    text = " ".join(shown(benchmark, 200).split())
    table = shown(benchmark, 200).partition("─")[2].splitlines()
    vit, swin = (next(x for x in table if x.startswith(f"{m} ")) for m in MODELS)
    assert {"0.0512", "0.00712"} <= {*vit.split()}
    assert {"27.5", "4.49"} <= {*swin.split()}
    assert "vit computes least (0.00712 GMACs per picture)" in text


def test_markup_in_names_is_shown_not_obeyed(tmp_path: Path) -> None:
    """Square brackets in class names and failure reasons come out as they are."""
    text = shown(hostile(tmp_path), 200)
    assert "[red]out of memory[/red]" in text


def beside(folder: Path, **more: Any) -> Benchmark:
    """vit with its probe, and swin."""
    runs = {"vit-probe-s0": [0, 0, 1, 1, 2, 0], "vit-s0": LABELS, "swin-s0": LABELS}
    return make_benchmark(folder / "b", runs, LABELS, **more)


def test_a_probe_is_set_off_below_its_model(tmp_path: Path) -> None:
    """Screen and Markdown: its name is marked, its rank empty, its verdict among the others."""
    benchmark = beside(tmp_path)
    found = compare(benchmark)
    text = shown(benchmark, 200)
    lines = [line.split() for line in text.splitlines()]
    place = next(i for i, words in enumerate(lines) if words[:2] == ["vit", "1–2"])
    assert lines[place + 1][:4] == ["↳", "vit-probe", "83", "[44,"]
    assert any(line.startswith("| ↳ vit-probe |  | 83 [") for line in markdown(found).splitlines())
    flat = " ".join(text.split())
    assert f"- {narrate(found).probe_verdicts[0]}." in flat
    assert narrate(found).probe_verdicts[0].replace("~", "\\~") in markdown(found)


@pytest.mark.slow
def test_advice_follows_the_answer(tmp_path: Path) -> None:
    """Screen, Markdown and JSON: the answer, then what to do next, then the pairs."""
    benchmark = two_models(tmp_path)
    found = compare(benchmark)
    assert narrate(found).advice
    for text in (" ".join(shown(benchmark, 80).split()), markdown(found)):
        places = [
            text.index(part)
            for part in (narrate(found).answer, f"Next: {narrate(found).advice}", narrate(found).verdicts[0])
        ]
        assert places == sorted(places)
    assert json.loads(comparison_json(found))["narrative"]["advice"] == narrate(found).advice


def test_ties_are_one_line(tmp_path: Path) -> None:
    """Five models that are right on the same pictures: one sentence on all ten pairs, none on each."""
    found = compare(make_benchmark(tmp_path / "b", {f"{m}-s0": LABELS for m in "abcde"}, LABELS))
    tied = [line for line in sentences(found) if line.startswith("- ") and "told apart on" in line]
    assert len(narrate(found).verdicts) == 10
    assert len(tied) == 1
    assert tied[0].startswith(
        "- 10 of 10 pairs cannot be told apart on 6 test pictures (a–b, a–c, a–d and 7 more)"
    )


def test_every_number_of_the_table_is_explained(tmp_path: Path) -> None:
    """Below the details a line for each column and each term."""
    found = compare(two_models(tmp_path))
    lines = [line.text for line in details(found, 120)]
    legend = lines[lines.index("What each number is:") :]
    for name in ("rank", "right % [95 %]", "loss", "params M", "ms/img", "p", "McNemar", "ECE"):
        assert any(line.startswith(f"- {name}: ") for line in legend), name


def test_reports_of_probes_have_no_curves(tmp_path: Path) -> None:
    """Probes have no epochs: all other files are written."""
    benchmark = make_benchmark(tmp_path / "p", {"vit-s0": LABELS, "swin-s0": LABELS}, LABELS, probe=True)
    names = {path.name for path in write_reports(benchmark, compare(benchmark), warn=lambda line: None)}
    assert "report.html" in names
    assert not any(name.startswith("curves") for name in names)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_reports_with_probes_and_folds(tmp_path: Path) -> None:
    """All nine files; curves of the trained models alone."""
    benchmark = beside(tmp_path, folds=3)
    assert len(write_reports(benchmark, compare(benchmark), warn=lambda line: None)) == 12
    curves = (benchmark.folder / "curves.svg").read_text(encoding="utf-8")
    assert ">vit<" in curves
    assert "vit-probe" not in curves
    confusion = (benchmark.folder / "confusion.svg").read_text(encoding="utf-8")
    assert ">vit<" in confusion
    assert "vit-probe" not in confusion


def test_csv_has_the_promised_columns_and_one_row_per_model(tmp_path: Path) -> None:
    """The majority row is no model and stays out; scores are fractions that read back as the same floats."""
    comparison = compare(two_models(tmp_path))
    rows = list(csv.DictReader(comparison_csv(comparison).splitlines()))
    assert list(rows[0]) == list(Row.columns())
    assert [row["model"] for row in rows] == ["vit", "swin"]
    assert float(rows[1]["top1"]) == comparison.rows[1].top1 == 5 / 6
    assert rows[0]["status"] == "finished"


def test_json_holds_the_whole_comparison(tmp_path: Path) -> None:
    """Rows, majority, pairs with verdicts, notes and sentences, without NaN."""
    comparison = compare(hostile(tmp_path))
    found = json.loads(comparison_json(comparison), parse_constant=lambda name: pytest.fail(name))
    assert found["narrative"]["verdicts"][0] == narrate(comparison).verdicts[0]
    assert found["majority"]["status"] == "majority"
    assert found["classes"][3] == "개와 고양이"


def test_markdown_keeps_its_table_whole_whatever_the_names(tmp_path: Path) -> None:
    """Every line of the table has the same number of unescaped bars; no markup passes."""
    text = markdown(compare(hostile(tmp_path)))
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + 3 + 1
    assert "<script" not in text


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_write_reports_writes_every_file_of_the_design(tmp_path: Path) -> None:
    """All twelve files, none empty, no temporary left behind; the slide's CSV joins with the test paths."""
    benchmark = hostile(tmp_path)
    written = write_reports(benchmark, compare(benchmark), warn=lambda line: None)
    names = {path.name for path in written}
    assert names == {
        *("comparison.csv", "comparison.md", "comparison.json", "predictions.csv", "report.html"),
        *("curves.svg", "curves.png", "cost.svg", "cost.png", "confusion.svg", "confusion.png"),
        "report.json",
    }
    assert all(path.stat().st_size > 100 for path in written)
    assert not list(benchmark.folder.glob(".*"))
    slide = files.read_csv(benchmark.folder / "predictions.csv")
    assert [row["path"] for row in slide] == list(benchmark.runs[0].predictions().paths)
    assert "\n'=cmd|x.jpg," in (benchmark.folder / "predictions.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_write_reports_gives_the_same_bytes_again(tmp_path: Path) -> None:
    """Written twice, every file is the same: nothing holds a date or a random id."""
    benchmark = two_models(tmp_path)
    first = {path: path.read_bytes() for path in write_reports(benchmark, compare(benchmark))}
    assert {path: path.read_bytes() for path in write_reports(benchmark, compare(benchmark))} == first


def test_write_reports_without_any_tested_model(tmp_path: Path) -> None:
    """Failed and new runs only: tables and page are written, figures that have nothing to show are not."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": "failed: x", "b-s0": "new"}, LABELS)
    names = {path.name for path in write_reports(benchmark, compare(benchmark))}
    assert names == {
        *("comparison.csv", "comparison.md", "comparison.json", "predictions.csv"),
        *("report.html", "report.json"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.json", "recipe.json"])
def test_write_reports_with_a_damaged_run(tmp_path: Path, name: str) -> None:
    """A finished run with an empty file costs its own score only: one model is left, and no cost figure."""
    benchmark = two_models(tmp_path)
    (benchmark.folder / "vit-s0" / name).write_bytes(b"")
    assert len(write_reports(benchmark, compare(benchmark), warn=lambda line: None)) == 10


def test_write_reports_raises_oserror_where_it_cannot_write(tmp_path: Path) -> None:
    """A file that cannot be put there (a folder has its name) is an OSError that the caller handles."""
    benchmark = two_models(tmp_path)
    (benchmark.folder / "comparison.md").mkdir()
    with pytest.raises(OSError, match=r"comparison\.md"):
        write_reports(benchmark, compare(benchmark))
    assert not list(benchmark.folder.glob("*.tmp"))


@pytest.mark.slow
def test_importing_tables_is_light() -> None:
    """The module loads neither torch nor matplotlib nor jinja2 until a file is written."""
    heavy = {"torch", "matplotlib", "jinja2", "scipy", "sklearn"}
    code = f"import sys, vitbench.reports.tables; print({heavy} & {{*sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def test_latex_keeps_its_table_whole_whatever_the_names(tmp_path: Path) -> None:
    """Every row has the same number of cells, special characters are escaped, environments are closed."""
    text = latex(compare(hostile(tmp_path)))
    body = text.partition("\\toprule\n")[2].partition("\\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 3 + 1
    assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1
    assert "vit & 1--2" in text.replace("–", "--")
    for name in ("tabular", "table"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    assert not re.search(r"(?<!\\)[%#_]", text.partition("\n")[2].partition("\\caption")[0])


def test_latex_escapes_by_hand() -> None:
    """Each special character, and a bracket that a line break before it would take for its option."""
    assert tex_table([["a_b", "50 % & up"], ["[x]", r"\frac{1}"]], "c^2").splitlines()[5:8] == [
        r"a\_b & 50 \% \& up \\",
        r"\midrule",
        r"{[}x] & \textbackslash{}frac\{1\} \\",
    ]


def test_a_baseline_has_its_column(tmp_path: Path) -> None:
    """The difference from it stands beside the score, with its interval; its own cell is empty."""
    labels = [0, 1, 2] * 100
    runs = {"vit-s0": labels, "swin-s0": [0, 0, 0] * 100}
    found = compare(make_benchmark(tmp_path / "b", runs, labels), CompareOptions(baseline="swin"))
    table = [line.split(" | ") for line in markdown(found).splitlines() if line.startswith("|")]
    place = table[0].index("points against swin")
    assert [row[place] for row in table[2:]] == ["+67 [+61, +72] \\*", "", ""]


def test_every_score_has_an_interval_below_the_table(tmp_path: Path) -> None:
    """Loss, Brier, macro F1 and balanced accuracy, each followed by its interval, for each model."""
    found = compare(make_benchmark(tmp_path / "b", {"vit-s0": [0, 1, 2, 0] * 20}, [0, 1, 2, 1] * 20))
    (line,) = [line for line in sentences(found) if line.startswith("- vit: loss")]
    row, number = found.rows[0], r"[\d.]+"
    loss, brier = (row.metrics[name].value for name in ("loss", "brier"))
    assert re.search(
        rf"loss {loss:.2f} \[{number}, {number}\], Brier {brier:.2f} \[{number}",
        line,
    )
    assert re.search(rf"macro F1 {number} \[{number}, {number}\] %, balanced {number} \[{number}", line)
    assert re.search(rf"ECE {number} % \(calibrated models: up to {number}\)", line)


@pytest.mark.slow
def test_json_is_json_whatever_the_names(tmp_path: Path) -> None:
    """The name of a class with a byte that is not UTF-8 stands as it is spelled, and the file parses."""
    benchmark = make_benchmark(tmp_path / "b", {"a-s0": [0, 1]}, [0, 1], ("caf\\xe9", "x"), train=[0, 1])
    write_reports(benchmark, compare(benchmark), warn=lambda line: None)
    for name in ("comparison.json", "report.json"):
        assert "caf\\xe9" in json.loads((benchmark.folder / name).read_text(encoding="utf-8"))["classes"]
