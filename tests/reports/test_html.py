"""The report page: self-contained, truthful, and deaf to what names try."""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricate import make_benchmark

from vitbench.comparison.compare import compare
from vitbench.comparison.opened import OpenBenchmark
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.records.commands import asking
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.html import HERE, options, render, sentences, shown_numbers, write_report
from vitbench.reports.photos import Photos
from vitbench.reports.report import MOST_PICTURES, Options

LABELS = [0, 0, 1, 1, 2, 2]
RUNS = {"vit-s0": [0, 0, 1, 1, 2, 0], "swin-s0": [0, 1, 1, 1, 2, 0]}


class Tags(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(
    benchmark: Benchmark, thumbnails: Mapping[int, bytes] | None = None, figures: bool = False
) -> tuple[str, Tags]:
    page = render(comparison_report(benchmark, compare(benchmark)), thumbnails, None if figures else {})
    tags = Tags()
    tags.feed(page)
    return page, tags


def texts(tags: Tags) -> str:
    """The page's text up to its script, no-break spaces as spaces."""
    return tags.text.replace("\N{NO-BREAK SPACE}", " ").partition('"use strict"')[0]


def test_options_are_one_piece_and_names_stay_text() -> None:
    """An option is set as code, so that no line breaks inside it; markup in a class name is escaped."""
    assert options("--folds 5 for <b>cats</b>") == "<code>--folds 5</code> for &lt;b&gt;cats&lt;/b&gt;"
    assert options("--seeds 0,1,2 or --tune 3, x--y") == (
        "<code>--seeds 0,1,2</code> or <code>--tune 3</code>, x--y"
    )


def test_sentences_are_cut_at_full_stops_only() -> None:
    """A number's point and a timm name's do not end a sentence."""
    assert sentences("a.in1k is right on 9.5 %. It is better. 3 more") == [
        "a.in1k is right on 9.5 %.",
        "It is better.",
        "3 more",
    ]


def test_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    """No link or frame; every address is a data URI, and the page's own policy forbids the rest."""
    page, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS), {1: b"jpeg"}, figures=True)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in tags.tags}
    assert all((a.get("src") or "data:").startswith("data:") for _, a in tags.tags)
    assert not re.search(r"url\((?!#)", page.partition("</style>")[2])
    assert "default-src 'none'" in page


def test_policy_allows_the_page_s_own_script_only(tmp_path: Path) -> None:
    """One script without an address, whose digest is the one in the policy."""
    page, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    assert [a for tag, a in tags.tags if tag == "script"] == [{}]
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_page_leads_with_the_answer_the_gap_and_the_next_step(tmp_path: Path) -> None:
    """The first sentences are the comparison's, then the smallest gap and the next step, before any table."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    comparison = compare(benchmark)
    report = comparison_report(benchmark, comparison)
    page, tags = page_of(benchmark)
    parts = [
        *sentences(narrate(comparison).answer),
        report.gap,
        sentences(narrate(comparison).advice)[0],
        "The table",
    ]
    places = [texts(tags).index(part) for part in parts]
    assert places == sorted(places)
    assert "</header>" in page.partition("The table")[0]
    assert narrate(comparison).verdicts[0] in texts(tags)
    assert narrate(comparison).gap in texts(tags)


def test_headline_keeps_its_percent_signs(tmp_path: Path) -> None:
    """No line of the headline can break between a number and its "%"."""
    page, _ = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    headline = page.partition("<h1>")[2].partition("</h1>")[0]
    assert "\N{NO-BREAK SPACE}% right" in headline
    assert " %" not in headline


BESIDE = {"vit-probe-s0": [0, 0, 1, 1, 0, 0], **RUNS}


def test_all_advice_is_on_the_page(tmp_path: Path) -> None:
    """One sentence in the header, the others below; no heading where there is none."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    comparison = compare(benchmark)
    _, tags = page_of(benchmark)
    assert len(sentences(narrate(comparison).advice)) > 1
    assert all(sentence in texts(tags) for sentence in sentences(narrate(comparison).advice))
    silent = dataclasses.replace(comparison_report(benchmark, comparison), advice="")
    assert "Next step" not in render(silent)


def test_a_probe_belongs_to_its_model_on_the_page(tmp_path: Path) -> None:
    """Its rows are lighter and say whose probe it is; its verdict is shown; it makes no photo disputed."""
    benchmark = make_benchmark(tmp_path / "b", BESIDE, LABELS)
    page, tags = page_of(benchmark)
    rows = page.partition('id="t-results"')[2].partition("</table>")[0]
    assert rows.count('<tr class="beside">') == 1
    assert "frozen probe of vit" in texts(tags)
    assert narrate(compare(benchmark)).probe_verdicts[0] in texts(tags)
    assert "vit-probe" not in texts(tags).partition("Test pictures and every answer")[2]
    assert [a["aria-label"] for _, a in tags.tags if "confusions of" in (a.get("aria-label") or "")] == [
        "confusions of vit", "confusions of swin",
    ]  # fmt: skip


def test_only_a_probe_tested_still_has_its_pictures(tmp_path: Path) -> None:
    """The model is still training: the page shows what the probe says."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-probe-s0": LABELS, "vit-s0": "interrupted"}, LABELS)
    _, tags = page_of(benchmark)
    assert "vit-probe" in texts(tags).partition("Test pictures and every answer")[2]


def test_folds_are_said_as_they_are(tmp_path: Path) -> None:
    """What was trained on what, and what the curves show, with folds and without."""
    _, plain = page_of(make_benchmark(tmp_path / "p", RUNS, LABELS), figures=True)
    assert "Trained on 4 pictures, the epoch chosen on 5, reported on 6" in plain.text
    assert "means over" not in plain.text
    split = {"rule": "3 folds", "digest": "d", "folds": 3, "n_train": 3, "n_val": 1, "n_test": 6}
    _, folds = page_of(make_benchmark(tmp_path / "f", RUNS, LABELS, folds=3, split=split), figures=True)
    assert "3 folds: each model trained on about 3 pictures, the epoch chosen on about 1" in folds.text
    assert "together they report on all 6, each picture once" in folds.text
    assert "means over the 3 folds" in folds.text
    assert "out-of-fold" in folds.text


def test_probes_alone_have_a_page_without_curves(tmp_path: Path) -> None:
    """No epochs: no section about training, no empty figure, and no word of training."""
    page, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS, probe=True), figures=True)
    assert "How training went" not in tags.text
    assert "Fitted to the frozen features of 9 pictures" in tags.text
    assert not re.search(r"\b(nan|None|undefined)\b", texts(tags))
    assert '<tr class="beside">' not in page


def test_hostile_names_are_shown_not_run(tmp_path: Path) -> None:
    """Class and file names with markup come out as text: no element of theirs exists."""
    names = ("<script>window.PWNED=1</script>", "=cmd|x", "$\\frac{", "개와 고양이")
    paths = [
        '"><img src=x onerror=alert(1)>.jpg',
        "</svg><script>1</script>.jpg",
        "c\\xff.jpg",
        "{{ 7*7 }}.jpg",
    ]
    labels = [0, 1, 2, 3] * 12
    paths += [f"{number}.jpg" for number in range(44)]
    wrong = [label or 1 for label in labels]  # every picture of the first class: advice names it
    runs = {"vit-s0": wrong, "swin-s0": [0, *wrong[1:]], "x-s0": "failed: <b>no</b>"}
    benchmark = make_benchmark(tmp_path / "<b>", runs, labels, names, paths)
    assert names[0] in narrate(compare(benchmark)).advice
    _, tags = page_of(benchmark, figures=True)
    assert [tag for tag, _ in tags.tags].count("script") == 1
    assert not {"img", "b"} & {tag for tag, _ in tags.tags}
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert all(text in tags.text for text in (*names, *paths, "<b>no</b>"))


def test_disputed_pictures_come_first_with_every_answer(tmp_path: Path) -> None:
    """Only picture 1 is disputed: it alone is in the strip, and leads the list before the wrong one."""
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    strip, _, rest = texts(tags).partition("Test pictures and every answer")
    assert "daisy/1.jpg" in strip
    assert "tulips/5.jpg" not in strip
    assert rest.index("daisy/1.jpg") < rest.index("tulips/5.jpg") < rest.index("daisy/0.jpg")


def test_without_disputes_the_strip_shows_the_mistakes(tmp_path: Path) -> None:
    """One model: its wrong answers lead the page, under a heading that says so."""
    _, tags = page_of(make_benchmark(tmp_path / "b", {"vit-s0": [0, 0, 1, 1, 2, 0]}, LABELS))
    strip = texts(tags).partition("Photos with wrong answers")[2].partition("The table")[0]
    assert "tulips/5.jpg" in strip
    assert "tulips/4.jpg" not in strip


def test_failed_models_and_notes_are_on_the_page(tmp_path: Path) -> None:
    """The reason of a failure stands among what to know."""
    runs = {**RUNS, "deit-s0": "failed: out of memory"}
    _, tags = page_of(make_benchmark(tmp_path / "b", runs, LABELS))
    assert "deit failed: out of memory" in texts(tags)


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ({"vit-s0": LABELS}, LABELS),
        ({"vit-s0": [1] * 6, "swin-s0": [2] * 6}, [0] * 6),
        ({"vit-s0": LABELS, "swin-s0": LABELS}, LABELS),
        ({"vit-s0": [0], "swin-s0": [1]}, [0]),
        ({"vit-s0": "failed: x", "swin-s0": "interrupted"}, LABELS),
        ({"vit-s0": LABELS, "vit-s1": LABELS, "swin-s0": LABELS, "swin-s1": [0] * 6}, LABELS),
        ({"vit-s0": [0, 0, 1, 1], "swin-s0": [0, 2, 1, 1]}, [0, 0, 1, 1]),
    ],
    ids=["one model", "all wrong", "two copies", "one picture", "nothing tested", "seeds", "class untested"],
)
def test_every_kind_of_benchmark_has_a_page(
    tmp_path: Path, runs: dict[str, object], labels: list[int]
) -> None:
    """Each edge gives a whole page whose table holds every model, without NaN or None."""
    page, tags = page_of(make_benchmark(tmp_path / "b", runs, labels), figures=True)
    assert page.rstrip().endswith("</html>")
    assert all(model in texts(tags) for model in {name.rpartition("-s")[0] for name in runs})
    assert not re.search(r"\b(nan|None|undefined)\b", texts(tags))


def test_pictures_over_the_cap_are_counted(tmp_path: Path) -> None:
    """Of 203 test pictures 200 are shown, and the page says that 3 are left out."""
    labels = [0, 1, 2] * 67 + [0, 1]
    page, tags = page_of(make_benchmark(tmp_path / "b", {"vit-s0": labels}, labels))
    grid = page.partition('<ul class="grid')[2].partition("<dialog")[0]
    assert grid.count('<li class="card"') == MOST_PICTURES
    assert "3 more test pictures are left out" in texts(tags)


def test_two_copies_of_a_run_tie(tmp_path: Path) -> None:
    """p = 1, one rank for both, no winner, and no photo is called disputed."""
    benchmark = make_benchmark(
        tmp_path / "b", {"a-s0": [0, 0, 1, 1, 2, 0], "b-s0": [0, 0, 1, 1, 2, 0]}, LABELS
    )
    page, tags = page_of(benchmark)
    assert "a and b cannot be told apart" in texts(tags)
    assert "1.00" in texts(tags).partition("Model against model")[2]
    assert page.count("1–2") >= 2
    assert "≠ disputed" not in texts(tags)


def test_more_classes_than_a_matrix_can_hold_are_listed(tmp_path: Path) -> None:
    """25 classes: the confusions by size and the recalls, no matrices."""
    names = [f"class{i:02d}" for i in range(25)]
    benchmark = make_benchmark(
        tmp_path / "b", {"vit-s0": [1, *range(1, 25)]}, range(25), names, train=range(25)
    )
    page, tags = page_of(benchmark)
    assert 'class="matrix"' not in page
    assert "class00" in texts(tags).partition("Confusions, most frequent first")[2]
    assert "class24" in texts(tags).partition("Right answers per class")[2]


def test_the_hardest_of_very_many_classes_are_listed(tmp_path: Path) -> None:
    """70 classes: the recalls of 60, that of the one never right among them; 10 are said to be left out."""
    names = [f"class{i:02d}" for i in range(70)]
    told = [*range(69), 0]
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": told}, range(70), names, train=range(70))
    page, tags = page_of(benchmark)
    table = page.partition('id="t-recalls"')[2].partition("</table>")[0]
    assert table.count("<tr>") == 1 + 60
    assert "class69" in table
    assert "10 easier classes are left out" in texts(tags)


def test_figures_have_words(tmp_path: Path) -> None:
    """Every drawing is an image with a text alternative that holds its numbers."""
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS), figures=True)
    labels = [a["aria-label"] or "" for _, a in tags.tags if a.get("class") == "plot"]
    assert [a.get("role") for _, a in tags.tags if a.get("class") == "plot"] == ["img"] * 5
    assert sum("chosen epoch 2" in label for label in labels) == 2
    assert sum("Pareto front by" in label for label in labels) == 3


def test_pictures_are_inlined(tmp_path: Path) -> None:
    """The bytes given for a picture's number come back out of its data URI."""
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS), {i: str(i).encode() for i in range(1, 7)})
    images = {a["alt"] or "": a["src"] or "" for tag, a in tags.tags if tag == "img"}
    assert {alt: base64.b64decode(src.partition(",")[2]).decode() for alt, src in images.items()} == {
        f"photo {i + 1}, {name}": str(i + 1)
        for i, name in enumerate(["daisy", "daisy", "roses", "roses", "tulips", "tulips"])
    }


def test_data_that_is_gone_leaves_the_page_without_pictures(tmp_path: Path) -> None:
    """No photographs where the folder no longer exists, which the page says; answers stay."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    assert Photos.of(OpenBenchmark.of(benchmark)).small([1, 2]) == {}
    _, tags = page_of(benchmark)
    assert "The photographs were not found" in texts(tags)
    assert "daisy/1.jpg" in texts(tags)


def test_a_report_without_images_holds_none_and_says_so(tmp_path: Path) -> None:
    """`images=False`: no photograph though the files are there; the page names its kind."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    report = comparison_report(benchmark, compare(benchmark), Options(images=False))
    assert shown_numbers(report) == []
    write_report(report, tmp_path / "r.html", {1: b"a photograph"})
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "without photographs" in page
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["images"] is False


def test_reproduce_names_what_differs_from_the_defaults(tmp_path: Path) -> None:
    """The command quotes its folder and lists the options that were set, no others."""
    settings = {
        "models": ["vit", "swin"],
        "epochs": 3,
        "flip": False,
        "quick": True,
        "weights": ["random"],
        "ema": 0.9,
    }
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, data="my photos", settings=settings)
    assert asking(benchmark) == (
        "vitbench train 'my photos' --models vit,swin --weights random --quick --epochs 3 --no-flip --ema 0.9"
    )


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"recipe": "probe", "folds": 3}, "vitbench probe nowhere --folds 3"),
        ({"with_probe": False, "tune": 3}, "vitbench train nowhere --no-probe --tune 3"),
        ({"with_probe": True, "burst_seconds": 5}, "vitbench train nowhere --with-probe --burst-seconds 5.0"),
    ],
)
def test_reproduce_knows_probes(tmp_path: Path, settings: dict[str, object], command: str) -> None:
    """A benchmark of probes is made by another command, and --with-probe is switched off by --no-probe."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, settings=settings)
    assert asking(benchmark) == command


def test_no_rule_of_the_style_stands_twice() -> None:
    """A block that was pasted into another one would break it, on paper where nobody looks."""
    style = (HERE / "report.css").read_text(encoding="utf-8")
    heads = [line for line in style.splitlines() if line.startswith("/*")]
    assert len(heads) == len(set(heads)) > 5
