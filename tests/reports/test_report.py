"""The structure behind the report: whole, published, and silent about names where it must be."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fabricate import make_benchmark
from PIL import Image

from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.opened import OpenBenchmark
from vitbench.narrative.narrate import narrate
from vitbench.narrative.words import least_points
from vitbench.records import Answer, Benchmark
from vitbench.reports.answers_report import answers_report
from vitbench.reports.comparison_report import badges, comparison_report, texts
from vitbench.reports.html import render, shown_numbers, write_report
from vitbench.reports.photos import Photos
from vitbench.reports.report import SCHEMA, Badge, Options, report_json, schema_text

LABELS = [0, 0, 1, 1, 2, 2]
RUNS = {"vit-s0": [0, 0, 1, 1, 2, 0], "swin-s0": [0, 1, 1, 1, 2, 0]}


def test_schema_is_the_published_one() -> None:
    """`report.schema.json` is what the dataclasses give (`python -m vitbench.reports.report` prints it)."""
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()


def test_schema_says_what_fields_mean() -> None:
    """The docstrings of dataclasses and fields are its descriptions."""
    found = json.loads(schema_text())
    assert found["properties"]["left_out"]["type"] == "integer"
    assert found["$defs"]["Picture"]["properties"]["truth"]["description"] == "Its class; None: not known."
    assert found["$defs"]["Row"]["description"].startswith("One model in the table")


@pytest.mark.parametrize(
    ("runs", "more"),
    [
        (RUNS, {}),
        ({"vit-s0": "failed: x", "swin-s0": "new"}, {}),
        ({**RUNS, "vit-s1": LABELS, "swin-s1": LABELS}, {}),
        (RUNS, {"folds": 3}),
        ({"vit-probe-s0": LABELS, **RUNS}, {}),
    ],
    ids=["plain", "nothing tested", "seeds", "folds", "probe"],
)
def test_json_follows_its_schema(tmp_path: Path, runs: dict[str, object], more: dict[str, Any]) -> None:
    """What is written beside the page validates, without NaN, and holds the comparison's own numbers."""
    benchmark = make_benchmark(tmp_path / "b", runs, LABELS, **more)
    comparison = compare(benchmark)
    write_report(comparison_report(benchmark, comparison), tmp_path / "r.html")
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [row["metrics"] for row in found["comparison"]["rows"]] == [
        {name: dataclasses.asdict(one) for name, one in row.metrics.items()} for row in comparison.rows
    ]


def test_names_that_are_not_utf8_stay_readable(tmp_path: Path) -> None:
    """A file name with a stray byte is spelled out; the JSON parses."""
    paths = [f"daisy/{i}.jpg" for i in range(5)] + ["tulips/\udcff.jpg"]
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, paths=paths)
    report = dataclasses.replace(comparison_report(benchmark, compare(benchmark)), name="\udcff")
    assert json.loads(report_json(report))["name"] == "\\xff"


def marks(comparison: Comparison) -> Sequence[Badge]:
    return badges(comparison, narrate(comparison))


def test_badges_name_confounds(tmp_path: Path) -> None:
    """Pretrained on more, off the native size, not shown to beat guessing: marked where it holds."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": [1] * 6, "swin-s0": LABELS}, LABELS)
    found = compare(benchmark)
    rows = [
        dataclasses.replace(
            row,
            timm_name=f"vit_tiny.{'augreg_in21k_ft_in1k' if row.model == 'vit' else 'in1k'}",
            pretrained_on="IN-21k → IN-1k" if row.model == "vit" else "IN-1k",
        )
        for row in found.rows
    ]
    found = marks(dataclasses.replace(found, rows=tuple(rows)))
    assert {b.text for b in found if b.model == "vit"} == {
        "IN-21k first",
        "64 px, made for 224",
        "may be guessing",
    }
    assert {b.text for b in found if b.model == "swin"} == {"64 px, made for 224"}


def test_a_probe_that_wins_is_a_badge(tmp_path: Path) -> None:
    """The fine-tuned model that loses to its own frozen probe carries it; a probe that loses does not."""
    labels = [0, 1, 2] * 8
    runs = {"vit-s0": [1, 2, 0] * 8, "vit-probe-s0": labels}
    found = marks(compare(make_benchmark(tmp_path / "b", runs, labels)))
    assert [b.model for b in found if b.text == "its probe wins"] == ["vit"]
    runs = {"vit-s0": labels, "vit-probe-s0": [1, 2, 0] * 8}
    found = marks(compare(make_benchmark(tmp_path / "c", runs, labels)))
    assert not [b for b in found if b.text == "its probe wins"]


def test_failed_and_partial_models_are_badges(tmp_path: Path) -> None:
    """What became of a model is said where its name stands."""
    runs = {"a-s0": LABELS, "a-s1": "failed: x", "b-s0": "failed: no memory", "c-s0": "new"}
    found = marks(compare(make_benchmark(tmp_path / "b", runs, LABELS)))
    assert {(b.model, b.text) for b in found if "seed" in b.text or b.model in "bc"} == {
        ("a", "some seeds missing"), ("b", "failed"), ("c", "not started"),
    }  # fmt: skip


# --- anonymous --------------------------------------------------------------------------------------


def telling(folder: Path) -> Benchmark:
    """A benchmark whose every path component tells something, in notes and reasons too."""
    data = folder / "anna-maria" / "wedding photos"
    paths = [
        f"{name}/session{i}/guest_{i}_ürgen.jpg" for i, name in enumerate(("daisy", "roses", "tulips") * 2)
    ]
    labels = [0, 1, 2] * 2
    for path in paths:
        (data / path).parent.mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(data / path)
    runs = {
        "vit-s0": labels, "swin-s0": [0, 1, 1, 0, 1, 2],
        "deit-s0": f"failed: {data / paths[0]}: damaged; /opt/secret-place/log.txt has more",
    }  # fmt: skip
    split = {"rule": "70 / 15 / 15 %", "digest": "d", "n_train": 4, "n_val": 5, "n_test": 6}
    notes = [f"{paths[1]} and guest_4_ürgen.jpg are alike", f"read from {data}", "wedding photos is small"]
    settings = {"weights": [f"vit={folder}/private/w.safetensors"], "group": "session(\\d+)"}
    return make_benchmark(
        folder / "our-results" / "wedding-2026", runs, labels, paths=paths, data=str(data),
        notes=notes, split={**split, "notes": [f"bursts in {data / 'daisy'}"]}, settings=settings,
    )  # fmt: skip


SECRET = (
    "anna-maria",
    "wedding",
    "session",
    "guest",
    "ürgen",
    ".jpg",
    "our-results",
    "secret-place",
    "private",
)


@pytest.mark.slow
def test_anonymous_reports_name_no_file_or_folder(tmp_path: Path) -> None:
    """No component of any path, nor the benchmark's name, in page or JSON; classes and numbers stay."""
    benchmark = telling(tmp_path)
    assert all(word in report_json(comparison_report(benchmark, compare(benchmark))) for word in SECRET[:6])
    report = comparison_report(benchmark, compare(benchmark), Options(anonymous=True))
    write_report(
        report, tmp_path / "r.html", Photos.of(OpenBenchmark.of(benchmark)).small(shown_numbers(report))
    )
    page, values = ((tmp_path / f"r.{end}").read_text(encoding="utf-8") for end in ("html", "json"))
    words = {*SECRET, *tmp_path.parts[1:], str(Path.home()), str(Path.cwd())} - {"tmp", "root", "/", "home"}
    for text in (re.sub(r"base64,[\w+/=]*", "", page), values):
        assert {word for word in words if word in text} == set()
    assert "Anonymous" in page
    assert page.count("<img") == 7
    assert {"picture 1", "tulips", "swin"} <= set(re.findall(r"picture 1\b|tulips|swin", page))
    assert json.loads(values)["comparison"]["rows"][0]["metrics"]["top1"]["value"] == 1.0


def test_anonymous_commands_keep_their_settings(tmp_path: Path) -> None:
    """Data, weights and groups are blanked; the rest of the command still says what was done."""
    report = comparison_report(telling(tmp_path), compare(telling(tmp_path / "2")), Options(anonymous=True))
    assert report.command == "vitbench train DATA --weights vit=WEIGHTS --group GROUP"


def test_class_names_survive_like_named_folders(tmp_path: Path) -> None:
    """A class that is named like the data folder stays: it is not a secret."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, data=str(tmp_path / "roses"))
    report = comparison_report(benchmark, compare(benchmark), Options(anonymous=True))
    assert report.classes == ("daisy", "roses", "tulips")


def test_short_and_common_names_leave_the_prose_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark "b" on data in "data", made in a folder named like a model: no word of ours is replaced."""
    (tmp_path / "vit").mkdir()
    monkeypatch.chdir(tmp_path / "vit")
    benchmark = make_benchmark(tmp_path / "vit" / "b", RUNS, LABELS, data="data")
    comparison = compare(benchmark)
    report = comparison_report(benchmark, comparison, Options(anonymous=True))
    assert report.headline == narrate(comparison).answer
    assert report.comparison is not None
    assert report.comparison.split_rule == comparison.split_rule
    assert report.runs == ("vit", "swin")
    assert (report.comparison.name, report.comparison.benchmarks) == ("BENCHMARK", ("BENCHMARK",))


# --- answers to new photos --------------------------------------------------------------------------


def answer(path: str, vit: str, swin: str, **more: Any) -> Answer:
    return Answer(path, {"vit-s0": ((vit, 0.9), ("fox", 0.1)), "swin-s0": ((swin, 0.4),)}, **more)


ANSWERS = (
    answer("a/same.jpg", "cat", "cat", label="cat"),
    answer("a/split.jpg", "cat", "dog", label="cat"),
    answer("a/seen.jpg", "dog", "dog", label="dog", seen="train"),
    Answer("a/broken.jpg", {}, error="damaged"),
)


def test_answers_report_counts_as_the_terminal_does() -> None:
    """Scores over labelled photos outside train and val; agreement over all that were read."""
    report = answers_report(ANSWERS, ["vit-s0", "swin-s0"])
    assert [(s.run, s.correct, s.n) for s in report.scores] == [("vit-s0", 2, 2), ("swin-s0", 1, 2)]
    assert [(a.same, a.n) for a in report.agreements] == [(2, 3)]
    assert [p.name for p in report.pictures] == ["a/split.jpg", "a/same.jpg", "a/seen.jpg", "a/broken.jpg"]
    assert "agree on 2 of 3 photos and disagree on 1" in report.headline
    assert any("1 of 3 photos with a known class were trained on" in note for note in report.notes)
    jsonschema.validate(json.loads(report_json(report)), json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_answers_page_shows_each_answer_and_what_could_not_be_read() -> None:
    """The same kind of page: scores, agreement, photos with all answers asked for."""
    page = render(answers_report(ANSWERS, ["vit-s0", "swin-s0"]), {2: b"jpeg"})
    for text in ("a/split.jpg", "could not be read: damaged", "How often they agree", "fox", ">train</span>"):
        assert text in page
    assert page.count("<img") == 2


def test_answers_without_labels_have_no_scores() -> None:
    """Nothing is called right or wrong where no class is known."""
    page = render(answers_report([answer("x.jpg", "cat", "dog")], ["vit-s0", "swin-s0"]))
    assert "t-results" not in page.partition("<body>")[2]
    assert 'class="right"' not in page


def test_anonymous_answers_name_no_file() -> None:
    """Photos become numbers; their folders vanish from reasons too."""
    broken = Answer("/srv/party/uncle_bob.jpg", {}, error="/srv/party/uncle_bob.jpg: no such file")
    report = answers_report([*ANSWERS, broken], ["vit-s0", "swin-s0"], options=Options(anonymous=True))
    text = render(report) + report_json(report)
    assert not [word for word in ("party", "uncle", "split.jpg", "a/s") if word in text]


@pytest.mark.parametrize("answers", [[], [ANSWERS[3]]], ids=["none", "unreadable"])
def test_no_answers_still_have_a_page(answers: list[Answer]) -> None:
    """Nothing to show is said, not drawn."""
    assert "No photo could be read" in render(answers_report(answers, ["vit-s0"]))


def test_the_gap_in_plain_words(tmp_path: Path) -> None:
    """One run each: pictures; pictures that stand together: groups; several seeds: what varies."""
    labels = [0, 1, 2] * 20
    one = {"vit-s0": labels, "swin-s0": [0] * 60}
    several = {"vit-s0": labels, "vit-s1": [1, *labels[1:]], "swin-s0": [0] * 60, "swin-s1": [1] * 60}
    bursts = [str(i // 3) for i in range(60)]
    found = [
        compare(make_benchmark(tmp_path / name, runs, labels, groups=groups))
        for name, runs, groups in (("a", one, None), ("b", one, bursts), ("c", several, None))
    ]
    ends = [
        "points at the very best: 6 of 60 test pictures.",
        "points at the very best: 6 of 60 test pictures, each of another one of their 20 groups.",
        "points for the two models that vary least from picture to picture and training to training.",
    ]
    for comparison, end in zip(found, ends, strict=True):
        assert comparison.smallest_gap is not None
        said = f"{least_points(comparison.smallest_gap)} {end} A smaller gap cannot be told from chance."
        assert narrate(comparison).plain_gap == said


def test_copies_across_the_split_are_shown_in_pairs(tmp_path: Path) -> None:
    """Both photographs of a pair are in the page; in an anonymous one neither name is."""
    from vitbench import files
    from vitbench.records.pictures import Leak

    for name in ("daisy/0.jpg", "t0.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (200, 40, 90)).save(tmp_path / "photos" / name)
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, data=str(tmp_path / "photos"))
    row = ("daisy/0.jpg", "test", "t0.jpg", "train", "near", "mirrored")
    files.write_csv(
        benchmark.folder / "leaks.csv", Leak.columns(), [dict(zip(Leak.columns(), row, strict=True))]
    )
    report = comparison_report(benchmark, compare(benchmark))
    write_report(
        report,
        tmp_path / "r.html",
        Photos.of(OpenBenchmark.of(benchmark), report.twins).small(shown_numbers(report)),
    )
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    section = page.partition('id="copies"')[2].partition("<h3>")[0]
    assert section.count('<img src="data:image/jpeg') == 2
    assert "mirrored" in section
    assert "t0.jpg" in section
    hidden = comparison_report(benchmark, compare(benchmark), Options(anonymous=True))
    for text in (render(hidden), report_json(hidden)):
        assert "t0.jpg" not in text
        assert "daisy/0" not in text


def test_anonymous_reports_hide_skipped_files(tmp_path: Path) -> None:
    """They are in no split, and in a note."""
    skipped = [{"path": "daisy/holiday with anna.jpg", "reason": "truncated"}]
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, skipped=skipped)
    assert "anna" in report_json(comparison_report(benchmark, compare(benchmark)))
    hidden = comparison_report(benchmark, compare(benchmark), Options(anonymous=True))
    assert "anna" not in report_json(hidden)
    assert "truncated" in report_json(hidden)


def test_the_machine_is_said_without_what_says_nothing() -> None:
    """Neither settings that are not set nor the folder of the author's pictures."""
    machine = {"device": "cpu", "threads": 2, "workers": None, "without": [], "card": "", "compiled": False}
    assert texts({**machine, "store": "/home/me/store"}) == {"device": "cpu", "threads": "2"}
    assert texts({"workers": 0}) == {"workers": "0"}
