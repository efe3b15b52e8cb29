"""The report page: self-contained, truthful, and deaf to what names try."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricate import make_benchmark
from PIL import Image

from vitbench.comparison.table import compare
from vitbench.records import Benchmark
from vitbench.reports.figures import draw_curves
from vitbench.reports.html import (
    MOST_PICTURES,
    Thumbnail,
    options,
    report_html,
    reproduce,
    thumbnails_from,
)
from vitbench.reports.tables import curves_of

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


def page_of(benchmark: Benchmark, thumbnail: Thumbnail | None = None) -> tuple[str, Tags]:
    curves = draw_curves(curves_of(benchmark))
    page = report_html(benchmark, compare(benchmark), {"curves": curves} if curves else {}, thumbnail)
    tags = Tags()
    tags.feed(page)
    return page, tags


def test_options_are_one_piece_and_names_stay_text() -> None:
    """An option is set as code, so that no line breaks inside it; markup in a class name is escaped."""
    assert options("--folds 5 for <b>cats</b>") == "<code>--folds 5</code> for &lt;b&gt;cats&lt;/b&gt;"
    assert options("--seeds 0,1,2 or --tune 3, x--y") == (
        "<code>--seeds 0,1,2</code> or <code>--tune 3</code>, x--y"
    )


def test_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    """No script, link, or frame; every address is a data URI, and the page's own policy forbids the rest."""
    page, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS), lambda path: b"jpeg")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags.tags}
    assert all((a.get("src") or "data:").startswith("data:") for _, a in tags.tags)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_page_leads_with_the_answer_and_the_smallest_gap(tmp_path: Path) -> None:
    """The first sentences are those of the comparison, before any table."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    comparison = compare(benchmark)
    _, tags = page_of(benchmark)
    answer = comparison.answer.replace(" %", "\N{NO-BREAK SPACE}%")
    places = [tags.text.index(s) for s in (answer, comparison.smallest_gap_text, "The table")]
    assert places == sorted(places)
    assert comparison.pairs[0].verdict in tags.text


def test_headline_keeps_its_percent_signs(tmp_path: Path) -> None:
    """No line of the headline can break between a number and its "%"."""
    page, _ = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    headline = page.partition("<h1>")[2].partition("</h1>")[0]
    assert "\N{NO-BREAK SPACE}% right" in headline
    assert " %" not in headline


BESIDE = {"vit-probe-s0": [0, 0, 1, 1, 0, 0], **RUNS}


def test_advice_stands_right_below_the_answer(tmp_path: Path) -> None:
    """In the header, before the smallest gap; left out where there is none."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS)
    comparison = compare(benchmark)
    page, tags = page_of(benchmark)
    header = page.partition("<header>")[2].partition("</header>")[0]
    assert "<strong>Next:</strong> 6 test pictures can show" in header
    assert tags.text.index("Next:") < tags.text.index(comparison.smallest_gap_text)
    silent = report_html(benchmark, dataclasses.replace(comparison, advice=""), {}, None)
    assert "Next:" not in silent


def test_a_probe_belongs_to_its_model_on_the_page(tmp_path: Path) -> None:
    """Row and bar are lighter and say whose probe it is; its verdict is shown; it makes no photo disputed."""
    benchmark = make_benchmark(tmp_path / "b", BESIDE, LABELS)
    _, tags = page_of(benchmark)
    classes = [a.get("class") or "" for _, a in tags.tags]
    assert classes.count("name beside") == classes.count("track-cell beside") == classes.count("beside") == 1
    assert "frozen probe of vit" in tags.text
    assert compare(benchmark).probes[0].verdict in tags.text
    pictures = tags.text.partition("Test pictures and answers")[2].partition("Do it again")[0]
    assert "vit-probe" not in pictures
    assert [a["aria-label"] for _, a in tags.tags if "confusions of" in (a.get("aria-label") or "")] == [
        "confusions of vit", "confusions of swin",
    ]  # fmt: skip


def test_only_a_probe_tested_still_has_its_pictures(tmp_path: Path) -> None:
    """The model is still training: the page shows what the probe says."""
    benchmark = make_benchmark(tmp_path / "b", {"vit-probe-s0": LABELS, "vit-s0": "interrupted"}, LABELS)
    _, tags = page_of(benchmark)
    assert "vit-probe" in tags.text.partition("Test pictures and answers")[2]


def test_folds_are_said_as_they_are(tmp_path: Path) -> None:
    """What was trained on what, and what the curves show, with folds and without."""
    _, plain = page_of(make_benchmark(tmp_path / "p", RUNS, LABELS))
    assert "Trained on 4 pictures, epoch chosen on 5, reported on 6" in plain.text
    assert "means over" not in plain.text
    split = {"rule": "3 folds", "digest": "d", "folds": 3, "n_train": 3, "n_val": 1, "n_test": 6}
    _, folds = page_of(make_benchmark(tmp_path / "f", RUNS, LABELS, folds=3, split=split))
    assert "3 folds: each model trained on about 3 pictures, epoch chosen on about 1" in folds.text
    assert "together they report on all 6, each picture once" in folds.text
    assert "means over the 3 folds" in folds.text
    assert "Out-of-fold: " in folds.text


def test_probes_alone_have_a_page_without_curves(tmp_path: Path) -> None:
    """No epochs: no section about training, no empty figure, and no word of training."""
    page, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS, probe=True))
    assert "How training went" not in tags.text
    assert "Fitted to the frozen features of 9 pictures" in tags.text
    assert not re.search(r"\b(nan|None|undefined)\b", tags.text)
    assert "beside" not in page.partition("<body>")[2].replace("beside this file", "")


def test_hostile_names_are_shown_not_run(tmp_path: Path) -> None:
    """Class and file names with markup come out as text: no element of theirs exists."""
    names = ("<script>window.PWNED=1</script>", "=cmd|x", "$\\frac{", "개와 고양이")
    paths = [
        '"><img src=x onerror=alert(1)>.jpg',
        "</svg><script>1</script>.jpg",
        "c\\xff.jpg",
        "{{ 7*7 }}.jpg",
    ]
    runs = {"vit-s0": [0, 1, 2, 3], "swin-s0": [1, 0, 2, 3], "x-s0": "failed: <b>no</b>"}
    benchmark = make_benchmark(
        tmp_path / "<b>", runs, range(4), names, paths, train=[0, 1, 1, 1, 2, 2, 3, 3, 3]
    )
    assert names[0] in compare(benchmark).advice
    _, tags = page_of(benchmark)
    assert not {"script", "img", "b"} & {tag for tag, _ in tags.tags}
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert all(text in tags.text for text in (*names, *paths, "<b>no</b>"))


def test_disputed_pictures_come_first_with_every_answer(tmp_path: Path) -> None:
    """Only picture 1 is disputed: it alone is in the strip, and leads the list before the wrong one."""
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    strip, rest = tags.text.split("Test pictures and answers")
    assert "daisy/1.jpg" in strip
    assert "tulips/5.jpg" not in strip
    assert rest.index("daisy/1.jpg") < rest.index("tulips/5.jpg") < rest.index("daisy/0.jpg")


def test_failed_models_and_notes_are_on_the_page(tmp_path: Path) -> None:
    """The reason of a failure stands among what to know."""
    runs = {**RUNS, "deit-s0": "failed: out of memory"}
    _, tags = page_of(make_benchmark(tmp_path / "b", runs, LABELS))
    assert "deit failed: deit-s0: out of memory" in tags.text


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ({"vit-s0": LABELS}, LABELS),
        ({"vit-s0": [1] * 6, "swin-s0": [2] * 6}, [0] * 6),
        ({"vit-s0": LABELS, "swin-s0": LABELS}, LABELS),
        ({"vit-s0": [0], "swin-s0": [1]}, [0]),
        ({"vit-s0": "failed: x", "swin-s0": "interrupted"}, LABELS),
        ({"vit-s0": LABELS, "vit-s1": LABELS, "swin-s0": LABELS, "swin-s1": [0] * 6}, LABELS),
    ],
    ids=["one model", "all wrong", "two copies", "one picture", "nothing tested", "seeds"],
)
def test_every_kind_of_benchmark_has_a_page(
    tmp_path: Path, runs: dict[str, object], labels: list[int]
) -> None:
    """Each edge gives a whole page whose table holds every model, without NaN or None."""
    page, tags = page_of(make_benchmark(tmp_path / "b", runs, labels))
    assert page.rstrip().endswith("</html>")
    assert all(model in tags.text for model in {name.rpartition("-s")[0] for name in runs})
    assert not re.search(r"\b(nan|None|undefined)\b", tags.text)


def test_pictures_over_the_cap_are_counted(tmp_path: Path) -> None:
    """Of 203 test pictures 200 are shown, only those are asked for, and the page says 3 are left out."""
    asked: list[str] = []
    labels = [0, 1, 2] * 67 + [0, 1]
    _, tags = page_of(make_benchmark(tmp_path / "b", {"vit-s0": labels}, labels), lambda p: asked.append(p))
    assert len(asked) == MOST_PICTURES
    assert "3 more test pictures are left out" in tags.text


def test_thumbnails_are_small_and_carry_no_metadata(tmp_path: Path) -> None:
    """A big photo with EXIF becomes a JPEG of at most 144 px without it; a broken one becomes nothing."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    Image.new("RGB", (900, 600), (9, 99, 9)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "broken.jpg").write_bytes(b"no")
    thumbnail = thumbnails_from(str(tmp_path))
    assert thumbnail is not None
    small = thumbnail("a.jpg")
    assert small is not None
    image = Image.open(io.BytesIO(small))
    assert image.size == (144, 96)
    assert not image.getexif()
    assert b"SECRET" not in small
    assert thumbnail("broken.jpg") is None
    assert thumbnail("absent.jpg") is None


def test_data_that_is_gone_leaves_the_page_without_pictures(tmp_path: Path) -> None:
    """No thumbnails where the folder no longer exists; answers stay."""
    assert thumbnails_from(str(tmp_path / "gone")) is None
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS))
    assert "no picture" in tags.text
    assert "daisy/1.jpg" in tags.text


def test_pictures_are_inlined(tmp_path: Path) -> None:
    """The bytes that `thumbnail` gives come back out of the page's data URIs."""
    _, tags = page_of(make_benchmark(tmp_path / "b", RUNS, LABELS), lambda path: path.encode())
    sources = [a["src"] or "" for tag, a in tags.tags if tag == "img"]
    assert {base64.b64decode(src.partition(",")[2]).decode() for src in sources} == {
        f"{name}/{i}.jpg" for i, name in enumerate(["daisy", "daisy", "roses", "roses", "tulips", "tulips"])
    }


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
    assert reproduce(benchmark) == (
        "vitbench train 'my photos' --models vit,swin --epochs 3 --no-flip --ema 0.9 --weights random --quick"
    )


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"recipe": "probe", "folds": 3}, "vitbench probe nowhere --folds 3"),
        ({"with_probe": False, "tune": 3}, "vitbench train nowhere --tune 3 --no-probe"),
        ({"with_probe": True, "burst_seconds": 5}, "vitbench train nowhere --burst-seconds 5.0 --with-probe"),
    ],
)
def test_reproduce_knows_probes(tmp_path: Path, settings: dict[str, object], command: str) -> None:
    """A benchmark of probes is made by another command, and --with-probe is switched off by --no-probe."""
    benchmark = make_benchmark(tmp_path / "b", RUNS, LABELS, settings=settings)
    assert reproduce(benchmark) == command
