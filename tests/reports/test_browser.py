"""The report in Chromium, opened from disk with the network cut: what a reader can do with it.

Where Chromium or playwright is missing these tests skip; with VITBENCH_BROWSER_TESTS=1, as in CI, they fail.
"""

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricate import make_benchmark
from looked_into import WAYS, looked_into
from painted import TINY, paint_folder
from PIL import Image

from vitbench import files
from vitbench.benchmark.train import train
from vitbench.comparison.compare import compare
from vitbench.comparison.opened import OpenBenchmark
from vitbench.narrative.words import amount
from vitbench.records import Answer, Benchmark, percent
from vitbench.reports.answers_report import answers_report
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.formats import comparison_csv
from vitbench.reports.html import shown_numbers, write_report
from vitbench.reports.inspection import write_inspection
from vitbench.reports.photos import Photos
from vitbench.reports.thumbnails import thumbnails

FLOWERS = Path(__file__).parents[3] / "shared" / "datasets" / "flowers5"
pytestmark = pytest.mark.usefixtures("drawn")
CLASSES = ("daisy", "roses", "tulips")
HOSTILE = ("<script>window.PWNED=1</script>", "개와 고양이", "$\\frac{", "=cmd|x")


def missing(reason: str) -> Any:
    """Skip, or fail where these tests must run."""
    if os.environ.get("VITBENCH_BROWSER_TESTS"):
        pytest.fail(f"VITBENCH_BROWSER_TESTS is set: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium for the module."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install '.[dev]')")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing("no Chromium here (apt-get install chromium, or CHROMIUM=/path/to/it)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


CLIPBOARD = """Object.defineProperty(navigator, "clipboard", {
  value: { writeText: (text) => { window.copied = text; return Promise.resolve(); } },
});"""

Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page; its `said` has what the console got, its `asked` every request."""
    contexts = []

    def go(path: Path, width: int = 1280, dark: bool = False, script: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light",
            java_script_enabled=script, offline=True,
        )  # fmt: skip
        contexts.append(context)
        context.add_init_script(CLIPBOARD)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield go
    for context in contexts:
        context.close()


def photographed(folder: Path, classes: tuple[str, ...], n: int = 60) -> Benchmark:
    """Three models on n test pictures that exist; the answers are random but always the same."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, len(classes), n)
    paths = [f"{i:03d} {classes[label].replace('/', ' ')}.jpg" for i, label in enumerate(labels)]
    (folder / "data").mkdir(parents=True)
    for path, label in zip(paths, labels, strict=True):
        colour = tuple(int(c) for c in rng.integers(40, 200, 3) + 10 * label)
        Image.new("RGB", (64, 48), colour).save(folder / "data" / path)
    runs = {}
    for name, edge in (("vit-s0", 2.0), ("swin-s0", 1.4), ("swinv2-s0", 0.4)):
        values = np.exp(rng.normal(0, 1, (n, len(classes))) + edge * np.eye(len(classes))[labels])
        runs[name] = values / values.sum(axis=1, keepdims=True)
    return make_benchmark(
        folder / "plain", runs, labels.tolist(), classes, paths, data=str(folder / "data"),
        train=[i % len(classes) for i in range(3 * len(classes))],
    )  # fmt: skip


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return photographed(tmp_path_factory.mktemp("pages"), CLASSES)


@pytest.fixture(scope="module")
def report(benchmark: Benchmark) -> Path:
    """The page of `benchmark`, its JSON and csv beside it."""
    comparison = compare(benchmark)
    path = benchmark.folder / "report.html"
    report = comparison_report(benchmark, comparison)
    write_report(report, path, Photos.of(OpenBenchmark.of(benchmark)).small(shown_numbers(report)))
    files.write_text(benchmark.folder / "comparison.csv", comparison_csv(comparison))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a benchmark whose classes and files are named to do harm."""
    made = photographed(tmp_path_factory.mktemp("hostile"), HOSTILE)
    path = made.folder / "report.html"
    report = comparison_report(made, compare(made))
    write_report(report, path, Photos.of(OpenBenchmark.of(made)).small(shown_numbers(report)))
    return path


def column(page: Any, table: str, place: int) -> list[str]:
    """The texts of one column of a table, as copied."""
    cells = f"#t-{table} tbody tr > :nth-child({place})"
    return list(page.eval_on_selector_all(cells, "cells => cells.map(c => c.dataset.text)"))


def shown(page: Any) -> int:
    return int(page.eval_on_selector_all(".grid .card", "cards => cards.filter(c => c.offsetParent).length"))


@pytest.mark.slow
def test_page_asks_for_nothing_and_complains_of_nothing(open_page: Open, report: Path) -> None:
    """The file itself is the only request; the console stays empty; photographs are decoded."""
    page = open_page(report)
    assert {url for url in page.asked if not url.startswith("data:")} == {report.as_uri()}
    assert page.said == []
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.images.length") == 60 + 8


def test_numbers_are_those_of_the_csv(open_page: Open, report: Path) -> None:
    """Accuracy, interval and costs of each row equal comparison.csv as rounded for people."""
    page = open_page(report)
    rows = files.read_csv(report.with_name("comparison.csv"))
    told = [[percent(float(row[key]), 0) for key in ("top1", "top1_low", "top1_high")] for row in rows]
    assert column(page, "results", 1)[:3] == [row["model"] for row in rows]
    assert column(page, "results", 3)[:3] == [f"{at} [{low}, {high}]" for at, low, high in told]
    assert column(page, "costs", 2) == [amount(float(row["params_m"])) for row in rows]
    assert column(page, "scores", 2)[0].startswith(f"{float(rows[0]['loss']):.2f}")


def test_page_and_json_agree(open_page: Open, report: Path) -> None:
    """Photos stand in the order of report.json, each with its answers."""
    page = open_page(report)
    pictures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["pictures"]
    names = page.eval_on_selector_all(".grid .file", "files => files.map(f => f.textContent)")
    assert names == [picture["name"] for picture in pictures]
    said = page.eval_on_selector_all(".grid .card:first-child .said", "said => said.map(s => s.textContent)")
    assert said == [one["answer"] for one in pictures[0]["said"]]


def test_a_heading_sorts_its_column(open_page: Open, report: Path) -> None:
    """By click and by keyboard: numbers start with the largest, again turns them round, aria-sort says so."""
    page = open_page(report)
    head = page.locator("#t-costs thead th").nth(2)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = [float(text) for text in column(page, "costs", 3)]
    assert falling == sorted(falling, reverse=True)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in column(page, "costs", 3)] == falling[::-1]
    page.locator("#t-costs thead th").first.get_by_role("button").focus()
    page.keyboard.press("Space")
    assert column(page, "costs", 1) == ["swin", "swinv2", "vit"]
    assert head.get_attribute("aria-sort") is None


def test_what_has_no_number_stays_last(open_page: Open, report: Path) -> None:
    """The majority row has no costs: it stands below, whichever way one sorts."""
    page = open_page(report)
    button = page.locator("#t-results thead th").nth(3).get_by_role("button")
    for _ in range(2):
        button.click()
        assert column(page, "results", 1)[-1].startswith("majority")


@pytest.mark.slow
def test_filters_narrow_the_photos(open_page: Open, report: Path) -> None:
    """By kind, by model, by class and by text, together; the number left is announced."""
    page = open_page(report)
    pictures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["pictures"]
    assert shown(page) == 40
    disputed = [p for p in pictures if len({one["answer"] for one in p["said"]}) > 1]
    page.locator("select[name=flag]").select_option("disputed")
    assert page.locator(".count").text_content().startswith(f"{len(disputed)} of 60 pictures")
    wrong = [p for p in pictures if not next(one["right"] for one in p["said"] if one["run"] == "swin")]
    page.locator("select[name=flag]").select_option(label="wrong by swin")
    assert page.locator(".count").text_content().startswith(f"{len(wrong)} of 60 pictures")
    roses = [p for p in wrong if p["truth"] == "roses"]
    page.locator("select[name=truth]").select_option(label="roses")
    assert shown(page) == len(roses)
    page.locator("input[name=text]").fill(roses[0]["name"].upper())
    assert shown(page) == 1
    page.locator("input[name=text]").fill("no such name")
    assert shown(page) == 0


def test_more_photos_come_when_asked_for(open_page: Open, report: Path) -> None:
    """The button names how many, shows them, and goes when all are there; focus is on the first new one."""
    page = open_page(report)
    page.get_by_role("button", name="Show 20 more").click()
    assert shown(page) == 60
    assert place(page) == 40
    assert not page.locator(".more").is_visible()


def place(page: Any) -> int:
    """Which card of the grid has the focus; −1: none."""
    script = "[...document.querySelectorAll('.grid .card')].indexOf(document.activeElement.closest('.card'))"
    return int(page.evaluate(script))


@pytest.mark.slow
def test_photos_are_browsed_by_keyboard(open_page: Open, report: Path) -> None:
    """One tab stop; arrows move, Enter enlarges, arrows then turn pages, Esc returns to the card."""
    page = open_page(report)
    assert page.locator(".grid .enlarge[tabindex='0']").count() == 1
    page.locator("input[name=text]").focus()
    page.keyboard.press("Tab")
    assert place(page) == 0
    page.keyboard.press("ArrowRight")
    assert place(page) == 1
    page.keyboard.press("ArrowDown")
    across = place(page) - 1
    assert across > 1
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    file = page.locator(".grid .file").nth(across + 1).text_content()
    assert dialog.locator(".file").text_content() == file
    assert dialog.locator("img").count() == 1
    assert dialog.locator(".answers li").count() == 3
    page.keyboard.press("ArrowLeft")
    assert dialog.locator(".file").text_content() == page.locator(".grid .file").nth(across).text_content()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert place(page) == across
    page.keyboard.press("End")
    assert place(page) == 59


def test_tables_are_copied_as_markdown_and_latex(open_page: Open, report: Path) -> None:
    """Every row and column, headings first; what Markdown or LaTeX would read as markup is escaped."""
    page = open_page(report)
    tools = page.get_by_role("group", name="Copy: Accuracy on the test pictures")
    tools.get_by_role("button", name="Copy as Markdown").click()
    page.wait_for_function("window.copied")
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0].startswith("| model | rank | right, % | params, M |")
    assert lines[1].startswith("| --- | ---: | ---: |")
    assert lines[2].startswith(f"| {column(page, 'results', 1)[0]} | ")
    assert len(lines) == 2 + 4
    tools.get_by_role("button", name="Copy as LaTeX").click()
    page.wait_for_function("window.copied.includes('tabular')")
    text = page.evaluate("window.copied")
    assert "\\begin{tabular}{lrrrrrl}" in text
    assert "{right, \\%} & {params, M}" in text
    assert text.count("\\\\\n") == 1 + 4


@pytest.mark.slow
def test_hostile_names_are_copied_as_text(open_page: Open, hostile: Path) -> None:
    """Markup of Markdown, HTML and LaTeX in class names does not survive as markup."""
    page = open_page(hostile)
    tools = page.get_by_role("group", name="Copy: Right answers per class, %")
    tools.get_by_role("button", name="Copy as Markdown").click()
    page.wait_for_function("window.copied")
    text = page.evaluate("window.copied")
    assert "<script" not in text
    assert "| =cmd\\|x |" in text
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1
    tools.get_by_role("button", name="Copy as LaTeX").click()
    page.wait_for_function("window.copied.includes('tabular')")
    assert "{\\$\\textbackslash{}frac\\{}" in page.evaluate("window.copied")


@pytest.mark.slow
def test_figures_are_copied_as_svg(open_page: Open, hostile: Path) -> None:
    """Well-formed, with an ink of its own and the models' names; nothing that runs."""
    page = open_page(hostile)
    page.get_by_role("group", name="Figure curves-1").get_by_role("button", name="Copy SVG").click()
    page.wait_for_function("window.copied")
    root = ET.fromstring(page.evaluate("window.copied"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("style") == "color:#1b1e23"
    assert "swinv2" in "".join(root.itertext())
    with page.expect_download() as download:
        page.get_by_role("group", name="Figure cost-2").get_by_role("button", name="Download SVG").click()
    assert download.value.suggested_filename == "cost-2.svg"
    assert ET.parse(download.value.path()).getroot().tag == root.tag


def test_without_javascript_everything_is_there(open_page: Open, report: Path) -> None:
    """Tables, figures, strip and all photos are seen; no control that does nothing is."""
    page = open_page(report, script=False)
    for selector in ("#t-results", "#t-pairs", "#t-recalls", "#t-scores", ".plot svg", ".strip .card"):
        assert page.locator(selector).first.is_visible()
    assert page.locator(".grid .card").count() == 60
    assert page.locator(".grid .card").last.is_visible()
    assert page.locator("button:visible, form:visible, dialog:visible").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("which", ["report", "hostile"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    open_page: Open, which: str, script: bool, request: pytest.FixtureRequest
) -> None:
    """At 320 px the page is no wider than the screen, and the answer can be read."""
    page = open_page(request.getfixturevalue(which), width=320, script=script)
    assert page.locator("html").evaluate("html => html.scrollWidth") <= 320
    assert page.locator("h1").bounding_box()["width"] <= 320


@pytest.mark.slow
def test_dark_mode_is_dark(open_page: Open, report: Path) -> None:
    """Ground dark, text and the ink of figures light."""
    page = open_page(report, dark=True)
    style = "getComputedStyle(document.querySelector('%s')).%s.match(/\\d+/g).slice(0, 3).map(Number)"
    assert max(page.evaluate(style % ("body", "backgroundColor"))) < 40
    assert min(page.evaluate(style % ("body", "color"))) > 200
    assert min(page.evaluate(style % (".plot svg text", "fill"))) > 200


@pytest.mark.slow
def test_print_has_the_content_and_no_controls(open_page: Open, report: Path, tmp_path: Path) -> None:
    """On paper: white ground, no buttons; the photos that were on screen are in it."""
    page = open_page(report, dark=True)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("form.filter, .tools, .more").locator("visible=true").count() == 0
    assert page.locator("#t-results").is_visible()
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    assert (tmp_path / "page.pdf").stat().st_size > 50_000


def violations(page: Any) -> list[tuple[str, str]]:
    """What axe finds, of any gravity: the rule and the first place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(open_page: Open, hostile: Path, width: int, dark: bool) -> None:
    """Contrast, names, roles, landmarks, order of headings, at any gravity."""
    assert violations(open_page(hostile, width=width, dark=dark)) == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_in_the_open_dialog_or_under_a_hover(
    open_page: Open, report: Path, dark: bool
) -> None:
    """The enlarged photo, and what a number tells, too."""
    page = open_page(report, dark=dark)
    page.locator("#t-pairs thead .sort").nth(5).focus()
    assert page.locator("#tip").is_visible()
    assert violations(page) == []
    page.locator(".grid .enlarge").first.click()
    assert violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 320])
def test_the_page_of_inspect_is_as_the_others(
    open_page: Open, tmp_path: Path, width: int, dark: bool
) -> None:
    """Nothing for axe to find, nothing to scroll sideways, no request but for the file, sorted tables."""
    write_inspection(looked_into(tmp_path), WAYS, tmp_path, "roses")
    page = open_page(tmp_path / "report.html", width=width, dark=dark)
    assert violations(page) == []
    assert page.locator("html").evaluate("html => html.scrollWidth") <= width
    assert {url for url in page.asked if not url.startswith("data:")} == {(tmp_path / "report.html").as_uri()}
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.locator("#t-deletion thead .sort").nth(6).click()
    assert column(page, "deletion", 2)[0] == "gradcam"
    assert page.said == []


# --- what a number is -----------------------------------------------------------------------------


@pytest.mark.slow
def test_every_number_tells_what_it_is(open_page: Open, report: Path) -> None:
    """Each heading over numbers has a meaning; a cell under it, hovered, tells the same."""
    page = open_page(report)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    heads = page.eval_on_selector_all(
        "table.data thead th.num", "heads => heads.map(h => [h.dataset.text, h.dataset.tip ?? ''])"
    )
    assert len(heads) > 30
    assert [text for text, meaning in heads if not meaning] == []
    for table, place in (("pairs", 5), ("outlook", 1), ("recalls", 2)):
        head = page.locator(f"#t-{table} thead th").nth(place)
        page.locator(f"#t-{table} tbody tr").first.locator("th, td").nth(place).hover()
        page.locator("#tip").wait_for(state="visible")
        assert page.locator("#tip").text_content().endswith(head.get_attribute("data-tip"))
        page.mouse.move(0, 0)
        page.locator("#tip").wait_for(state="hidden")


@pytest.mark.slow
def test_what_hovers_can_be_focussed(open_page: Open, report: Path) -> None:
    """With the Tab key alone: whatever tells something is reached and describes itself; Esc ends it."""
    page = open_page(report)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    waiting = page.eval_on_selector_all(
        "[data-tip]", "all => all.filter(one => one.checkVisibility()).map(one => one.dataset.tip)"
    )
    reached, seen = [], 0
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement !== document.body") and seen < 400:
        seen += 1
        state = page.evaluate("""(() => {
            const at = document.activeElement, style = getComputedStyle(at);
            const own = at.closest("[data-tip]")?.dataset.tip;
            return [own, own && tip.textContent.endsWith(own) && at.getAttribute("aria-describedby"),
                    style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
        })()""")
        assert state[2], "a focus that is not seen"
        if state[0]:
            assert state[1] == "tip"
            reached.append(state[0])
        page.keyboard.press("Tab")
    assert sorted(reached) == sorted(waiting)
    page.locator("#t-pairs thead .sort").nth(5).focus()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_numbers_are_listed_where_nothing_hovers(open_page: Open, report: Path) -> None:
    """On paper, on a phone, without JavaScript: every meaning of the tables stands at the end of the page."""
    page = open_page(report, script=False)
    listed = page.eval_on_selector_all(".glossary dd", "all => all.map(one => one.textContent)")
    shown = page.eval_on_selector_all(
        "table.data:not(#t-differences) th.num", "heads => heads.map(head => head.title)"
    )
    assert set(shown) == set(listed)


def test_photos_of_the_first_screen_open_too(open_page: Open, report: Path) -> None:
    """By keyboard, whatever was filtered; Esc returns to them."""
    page = open_page(report)
    page.locator("input[name=text]").fill("no such name")
    page.locator(".strip .enlarge").nth(1).focus()
    page.keyboard.press("Enter")
    name = page.locator(".strip .file").nth(1).text_content()
    assert page.locator("dialog[open] .file").text_content() == name
    page.keyboard.press("Escape")
    assert (
        page.evaluate("[...document.querySelectorAll('.strip .enlarge')].indexOf(document.activeElement)")
        == 1
    )


@pytest.mark.slow
def test_hostile_names_do_nothing(open_page: Open, hostile: Path) -> None:
    """Shown as text in cards, tables and the dialog; nothing runs, nothing breaks, files still join."""
    page = open_page(hostile)
    page.locator("select[name=truth]").select_option(label=HOSTILE[0])
    page.locator(".grid .enlarge").locator("visible=true").first.click()
    assert page.locator("dialog .truth bdi").text_content() == HOSTILE[0]
    page.keyboard.press("Escape")
    page.locator("#t-recalls thead th").first.get_by_role("button").click()
    assert set(column(page, "recalls", 1)) == set(HOSTILE)
    assert page.evaluate("window.PWNED") is None
    assert page.said == []
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.slow
def test_a_page_of_answers_works_alike(open_page: Open, tmp_path: Path) -> None:
    """New photos: answers, agreement, filters, no complaint; classes that nobody knows offer no filter."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    said = {"vit-s0": (("cat", 0.9), ("dog", 0.1)), "swin-s0": (("dog", 0.4), ("cat", 0.3))}
    answers = [Answer(str(tmp_path / "a.jpg"), said), Answer("gone.jpg", {}, error="no such file")]
    report = answers_report(answers, list(said))
    small = thumbnails([Path(a.path) for a in answers], shown_numbers(report))
    write_report(report, tmp_path / "answers.html", small)
    page = open_page(tmp_path / "answers.html")
    assert page.said == []
    for dark in (False, True):
        assert violations(open_page(tmp_path / "answers.html", dark=dark)) == []
    assert page.locator("h1").text_content() == "2 models agree on 0 of 1 photo and disagree on 1."
    assert page.locator("select[name=truth]").count() == 0
    page.locator("select[name=flag]").select_option("disputed")
    assert shown(page) == 1


def some_of(photos: Path, place: Path) -> Path:
    """The first twelve photos of each class."""
    for folder in (one for one in photos.iterdir() if one.is_dir()):
        (place / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:12]:
            shutil.copy(photo, place / folder.name)
    return place


@pytest.mark.slow
def test_a_real_benchmark_has_a_working_page(open_page: Open, tmp_path: Path) -> None:
    """Two tiny networks trained on photos of flowers, or painted ones where these are not at hand."""
    data = some_of(FLOWERS, tmp_path / "some") if FLOWERS.is_dir() else paint_folder(tmp_path / "painted")
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 1, "per_class": 4}
    benchmark = train(data, name="flowers", results=tmp_path, with_probe=False, **asked)
    page = open_page(benchmark.folder / "report.html")
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("data:", "file:"))] == []
    rows = files.read_csv(benchmark.folder / "comparison.csv")
    assert [text.split()[0] for text in column(page, "results", 3)][:2] == [
        percent(float(row["top1"]), 0) for row in rows
    ]
    n = int(rows[0]["n_test"])
    assert page.evaluate("document.querySelectorAll('.grid img').length") == n
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.locator("#t-results thead th").first.get_by_role("button").click()
    page.locator("select[name=flag]").select_option("wrong")
    assert 0 < shown(page) <= n
