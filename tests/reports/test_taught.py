"""Arms and lessons on the page, on the screen and as data."""

import json
from html import escape
from pathlib import Path

import jsonschema
import pytest
from fabricate import distil, in_arm, make_benchmark, said

from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.records.commands import asking
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.formats import comparison_json, markdown
from vitbench.reports.html import render
from vitbench.reports.html_arms import arms_table, distillation_table
from vitbench.reports.report import SCHEMA, Options, report_json
from vitbench.reports.tables import columns_of, sentences

LABELS = [0] * 20 + [1] * 20 + [2] * 20


def wrong_on(n: int) -> list[int]:
    """Answers that are right except on the first n pictures."""
    return [(label + 1) % 3 if i < n else label for i, label in enumerate(LABELS)]


TEACHER = wrong_on(1)
PLAIN = {"vit-s0": wrong_on(14), "swin-s0": wrong_on(5)}


def arms(folder: Path, teacher_run: str = "net-s0") -> Benchmark:
    """Two models, plain and distilled; vit gains 12 pictures by it and has a token, swin gains one."""
    runs = {**PLAIN, "distill-vit-s0": wrong_on(2), "distill-swin-s0": wrong_on(4), "net-s0": TEACHER}
    benchmark = make_benchmark(folder, runs, LABELS)
    for run in benchmark.runs[2:4]:
        model = run.model.removeprefix("distill-")
        in_arm(run, "distill", model, seconds=18.0)
        heads = {"cls": wrong_on(3), "dist": wrong_on(1)} if model == "vit" else {}
        distil(run, {**heads, "teacher": TEACHER}, teacher_run)
    return benchmark


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return arms(tmp_path_factory.mktemp("taught") / "b")


@pytest.fixture(scope="module")
def comparison(told: Benchmark) -> Comparison:
    return compare(told)


def test_the_arms_table_marks_only_what_is_shown(comparison: Comparison) -> None:
    """A line per model, a column per arm with the plain one first, the plain mean last; one mark."""
    table = arms_table(comparison)
    assert table is not None
    assert [head.title for head in table.heads] == ["model", "plain", "distill"]
    cells = {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in table.lines}
    assert cells == {
        "vit": ["76.7", "★ 96.7"],
        "swin": ["91.7", "93.3"],
        "plain mean over 2 models": ["84.2", "95.0"],
    }


def test_the_distillation_table_names_everybody_who_answers(comparison: Comparison) -> None:
    """Student, its heads where it has two, its twin, the teacher: right, agreeing, seconds."""
    table = distillation_table(comparison)
    assert table is not None
    assert [[cell.text for cell in line.cells] for line in table.lines] == [
        ["distill-vit", "96.7", "98.3", "18"],
        ["distill-vit, class head alone", "95.0", "96.7", "–"],
        ["distill-vit, distillation head alone", "98.3", "100.0", "–"],
        ["vit, without a teacher", "76.7", "78.3", "12"],
        ["net-s0, the teacher", "98.3", "–", "–"],
        ["distill-swin", "93.3", "95.0", "18"],
        ["swin, without a teacher", "91.7", "93.3", "12"],
        ["net-s0, the teacher", "98.3", "–", "–"],
    ]


def test_sentences_tell_arms_and_lessons(comparison: Comparison) -> None:
    """Both stand below the verdicts, each led by its heading."""
    lines = sentences(comparison)
    start = lines.index("Arm by arm, right % [95 % interval], * better than every other arm of its model:")
    apart = [p for p in comparison.pairs if p.distinguishable and p not in comparison.arms]
    assert start > max(lines.index(f"- {said(pair)}.") for pair in apart)
    assert lines[start + 1].startswith("- vit: distill 97 [")
    assert "] *, plain 77 [" in lines[start + 1]
    assert "*" not in lines[start + 2]
    assert lines[start + 3] == "- Plain mean over 2 models: plain 84, distill 95."
    assert lines[start + 4] == f"- {narrate(comparison).arm_verdicts[0]}."
    (vit,) = [line for line in lines if line.startswith("- distill-vit learned from net-s0 (hard, α 0.5, ")]
    for part in (
        "through its distillation token): it gives the teacher's answer on 98 % [",
        "vit, which had no teacher, on 78 % [",
        "its class head alone on 95 % [",
        "the teacher on 98 % [",
        "+20 points against vit, 95 % interval [",
        "18 s per epoch against 12 without a teacher, 1.5 times as long",
    ):
        assert part in vit


def test_without_arms_nothing_of_them_is_shown(tmp_path: Path) -> None:
    """No column, sentence or section; comparison.csv has its two columns, one empty."""
    benchmark = make_benchmark(tmp_path / "b", PLAIN, LABELS)
    plain = compare(benchmark)
    assert "arm" not in [column.name for column in columns_of(plain, "table")]
    page = render(comparison_report(benchmark, plain))
    for text in (markdown(plain), page):
        assert "Arm " not in text
        assert "teacher" not in text
    assert plain.frame["arm"].tolist() == ["", ""]
    assert plain.frame["trains"].tolist() == ["swin", "vit"]


def test_columns_of_arms_come_last(comparison: Comparison) -> None:
    """On a wide screen and in Markdown each row names its arm and its model."""
    assert [column.name for column in columns_of(comparison, "table")[-2:]] == ["arm", "trains"]
    (row,) = [line for line in markdown(comparison).splitlines() if line.startswith("| distill-vit ")]
    assert row.endswith("| distill | vit |")


def test_the_page_has_both_sections(told: Benchmark, comparison: Comparison) -> None:
    """Tables and sentences of arms and lessons stand in it."""
    page = render(comparison_report(told, comparison))
    for part in (
        'id="t-arms"',
        'id="t-between_arms"',
        'id="t-distillation"',
        "★ 9",
        escape(narrate(comparison).arm_verdicts[0].partition(",")[0]),
    ):
        assert part in page


@pytest.mark.slow
def test_data_follow_the_schema(told: Benchmark, comparison: Comparison) -> None:
    """report.json validates with lessons in it; comparison.json holds the same ones."""
    report = json.loads(report_json(comparison_report(told, comparison)), parse_constant=pytest.fail)
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert report["comparison"]["distillation"] == json.loads(comparison_json(comparison))["distillation"]
    assert report["comparison"]["distillation"][0]["cls_right"]["value"] == pytest.approx(57 / 60)


def test_an_anonymous_report_hides_a_teacher_from_elsewhere(tmp_path: Path) -> None:
    """A folder of weights is no more named than other folders; models and arms keep their names."""
    benchmark = arms(tmp_path / "distill", teacher_run="")
    text = report_json(comparison_report(benchmark, compare(benchmark), Options(anonymous=True)))
    assert "FOLDER (vit_tiny)" not in text
    assert '"teacher": "TEACHER"' in text
    assert '"arm": "distill"' in text


def test_the_command_hints_at_a_config_file(tmp_path: Path) -> None:
    """Arms that no option can name are in a file beside the report; an anonymous one hides the teacher."""
    settings = {"arms": {"long": {"epochs": 9}}, "teacher": "secret/run"}
    benchmark = make_benchmark(tmp_path / "b", PLAIN, LABELS, settings=settings)
    file = benchmark.folder / "arms.toml"
    assert asking(benchmark) == f"vitbench train nowhere --teacher secret/run --config {file}"
    assert "--teacher TEACHER" in asking(benchmark, anonymous=True)
