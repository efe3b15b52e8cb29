"""The page of `inspect`: what stands where, from findings that are made up."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from fabricate import make_benchmark
from looked_into import WAYS, looked_into
from PIL import Image

from vitbench.analysis.inspect import ANALYSES
from vitbench.analysis.nouns import Finding
from vitbench.benchmark.inspect import write
from vitbench.comparison.compare import compare
from vitbench.comparison.results import read_results
from vitbench.records import Answer
from vitbench.reports.answers_report import answers_report
from vitbench.reports.explained import explained, inspected, overlays
from vitbench.reports.html import write_report
from vitbench.reports.inspection import write_inspection
from vitbench.reports.maps import SIGNED, laid_over, tiles
from vitbench.reports.report import Options
from vitbench.reports.sheet import draw_sheet
from vitbench.reports.write import write_reports


def page_of(folder: Path, **more: dict[str, Finding]) -> str:
    assert write_inspection(looked_into(folder, **more), WAYS, folder, "roses") == ()
    return (folder / "report.html").read_text(encoding="utf-8")


def texts(page: str, pattern: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", found).strip() for found in re.findall(pattern, page, re.DOTALL)]


def test_a_map_that_does_not_beat_the_centre_says_so_where_it_stands(tmp_path: Path) -> None:
    """Of vit its rollout, of swin its Grad-CAM; vit's Grad-CAM is true, and is what the headline names."""
    page = page_of(tmp_path)
    rows = re.findall(r"<tr><th scope=\"row\"><bdi class=\"name\">(.*?)</bdi>(.*?)</tr>", page, re.DOTALL)
    doubted = [
        (model, [('class="doubt"' in cell) for cell in cells.split("<td>")[1:]]) for model, cells in rows
    ]
    # answered, right class, rollout, in two pictures; swin has no rollout
    assert doubted[0] == ("vit", [False, False, True])
    assert doubted[1] == ("swin", [True, True, False])
    assert texts(page, r"<h1>(.*?)</h1>") == ["1 of 3 maps says more than a disc in the middle would"]
    assert "gradcam of vit. Checked on 20 pictures" in page


def test_each_section_says_what_one_sees_and_what_it_does_not_prove(tmp_path: Path) -> None:
    """By the row of the analysis; a refusal stands there with its network; what is not found is not there."""
    page = page_of(tmp_path)
    for row in ANALYSES:
        if row.name in ("rollout", "gradcam", "deletion"):
            assert row.sees.split(":")[0] in page.replace("&#39;", "'")
            assert row.does_not_prove[1:40] in page.replace("&#39;", "'")
    assert texts(page, r"<h2[^>]*>(.*?)</h2>") == [
        "Picture by picture",
        next(row.title for row in ANALYSES if row.name == "deletion"),
    ]
    assert "swin: no attention rollout: has no attention." in page


def test_the_right_class_has_a_map_where_the_answer_is_wrong(tmp_path: Path) -> None:
    """swin calls the first rose a tulip: two Grad-CAMs; where an answer is right they would be the same."""
    page = page_of(tmp_path)
    first, second = re.findall(r"<article.*?</article>", page, re.DOTALL)
    assert (first.count("the same: its answer is right"), second.count("the same: its answer is right")) == (
        1,
        2,
    )
    assert "rose</bdi> 25" in first


def test_an_analysis_that_nobody_drew_has_its_tables_and_maps(tmp_path: Path) -> None:
    """What `norms` has no drawing for: a column each, tiles as a file, in the page too."""
    found = Finding(
        {"norms": pandas.DataFrame({"norm": ["LayerNorm"], "layers": [25]})}, {"maps": np.eye(5)[None]}
    )
    page = page_of(tmp_path, norms={"vit": found})
    assert 'data-text="LayerNorm"' in page
    assert 'data-key="25.0"' in page
    with Image.open(tmp_path / "maps-vit.png") as image:
        assert image.size == (46, 46)
    assert page.count("data:image/webp") == 1


def test_a_section_that_cannot_be_drawn_leaves_the_others(tmp_path: Path) -> None:
    """Its numbers are in csv files; the page says so."""
    page = page_of(tmp_path, distance={"vit": Finding({"distance": pandas.DataFrame({"odd": [1]})})})
    assert "could not be drawn" in page
    assert "says more than the centre" in page


def test_nothing_in_the_page_is_elsewhere(tmp_path: Path) -> None:
    """No address but of data; a file name that is markup is text."""
    (tmp_path / "x").mkdir()
    page = page_of(tmp_path)
    assert set(re.findall(r"(?:src|href)=\"([a-z]+:|#)", page)) == {"data:", "#"}
    assert len(page) < 400_000


def test_a_map_is_bright_where_it_is_highest() -> None:
    """From grey to warm: the lowest corner stays as dark as the photo, the highest is the brightest."""
    photo = Image.new("RGB", (64, 64), (100, 100, 100))
    over = np.asarray(laid_over(photo, np.arange(16.0).reshape(4, 4))).sum(axis=2)
    assert over[63, 63] == over.max()
    assert over[0, 0] <= over.min() + 3
    flat = np.asarray(laid_over(photo, np.ones((4, 4))))
    assert (flat == flat[0, 0]).all()
    assert len(set(flat[0, 0].tolist())) == 1


def test_signed_tiles_of_a_row_compare() -> None:
    """0 is nearly white, ± the row's largest are the ends; a small tile stays pale beside a large one."""
    image = np.asarray(tiles([[np.full((2, 2), 4.0), np.full((2, 2), 1.0), np.zeros((2, 2))]], 4, SIGNED))
    red, pale, white = (image[0, x, :3].astype(int) for x in (0, 6, 12))
    assert red[0] - red[2] > pale[0] - pale[2] > white[0] - white[2]
    assert white.min() > 240


@pytest.mark.slow
@pytest.mark.parametrize("networks", [12])
def test_the_page_stays_small_with_many_networks(tmp_path: Path, networks: int) -> None:
    """Twelve networks, maps of noise, which compress worst: the maps are made smaller, not the page large."""
    found = looked_into(tmp_path)
    rng = np.random.default_rng(0)
    pictures = found.pictures * 6
    noise = {f"gradcam-{k}": rng.random((12, 16, 16)) for k in ("answered", "label")} | {
        k: rng.random((12, 16, 16)) for k in ("rollout", "attention")
    }
    names = [f"n{i}" for i in range(networks)]
    answers = pandas.concat([found.findings["answers"]["swin"].frames["answers"]] * 6, ignore_index=True)
    findings = {
        "answers": dict.fromkeys(names, Finding({"answers": answers})),
        "gradcam": dict.fromkeys(names, Finding(arrays=noise)),
    }
    many = type(found)(findings, (), pictures)
    write_inspection(many, dict.fromkeys(names, WAYS["vit"]), tmp_path, "many")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


# --- under photos ---------------------------------------------------------------------------------


def answered(folder: Path) -> Answer:
    """A grey photo on which vit's map points to the right; swin has none."""
    path = folder / "grey.png"
    Image.new("RGB", (64, 64), (120, 120, 120)).save(path)
    said = {"vit": (("cat", 0.9),), "swin": (("dog", 0.8),)}
    return Answer(str(path), said, maps={"vit": {"gradcam": np.tile(np.arange(4.0), (4, 1))}, "swin": {}})


def test_a_sheet_has_the_maps_under_the_photo(tmp_path: Path) -> None:
    """Taller by the map and its name; grey to the left, yellow to the right where the map is highest."""
    answer = answered(tmp_path)
    plain, mapped = (
        Image.open(io.BytesIO(content))
        for content in (
            draw_sheet([replace(answer, maps={})], ["vit", "swin"], Image.open)[0],
            draw_sheet([answer], ["vit", "swin"], Image.open, lambda one: overlays(one, WAYS))[0],
        )
    )
    assert mapped.height > plain.height + 100
    row = np.asarray(mapped.convert("RGB")).astype(int)[12 + 276 + 60]
    assert np.ptp(row[14]) < 40
    right = row[12:148][:, 0] - row[12:148][:, 2]
    assert right[120:134].max() > 60 > right[:20].max()


def test_a_report_of_answers_has_the_maps_under_their_photos(tmp_path: Path) -> None:
    """Of the run that has one, in the strip and in the grid; none without photographs."""
    answer = answered(tmp_path)
    report = answers_report([answer], ["vit", "swin"])
    maps = explained([answer], WAYS, [1])
    assert {number: list(runs) for number, runs in maps.items()} == {1: ["vit"]}
    write_report(report, tmp_path / "page.html", {1: b"photo"}, maps=maps)
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("what vit rests on") == 2
    bare = answers_report([answer], ["vit", "swin"], options=Options(images=False))
    write_report(bare, tmp_path / "bare.html", {}, maps=maps)
    assert "rests on" not in (tmp_path / "bare.html").read_text(encoding="utf-8")


def test_a_benchmark_shows_what_inspect_made_of_its_photos(tmp_path: Path) -> None:
    """Under the names that its answers have: "vit" for the run vit-s0; nothing before it was inspected."""
    paths = ["rose 1.jpg", "rose 2.jpg"]
    runs = {"vit-s0": [0, 0], "swin-s0": [1, 0]}
    benchmark = make_benchmark(
        tmp_path / "b", runs, [0, 0], ("rose", "tulip"), paths, train=(0, 1), data=str(tmp_path)
    )
    assert inspected(read_results(benchmark)) == {}
    found = looked_into(tmp_path)
    maps = {f"{name}-s0": one for name, one in found.findings["gradcam"].items()}
    said = {f"{name}-s0": one for name, one in found.findings["answers"].items()}
    found = replace(found, findings={"answers": said, "gradcam": maps})
    write(found, benchmark.folder / "inspect", benchmark, dict.fromkeys(maps, WAYS["vit"]))
    assert {n: sorted(of) for n, of in inspected(read_results(benchmark)).items()} == {
        1: ["swin", "vit"],
        2: ["swin", "vit"],
    }
    write_reports(benchmark, compare(benchmark))
    assert "what swin rests on" in (benchmark.folder / "report.html").read_text(encoding="utf-8")
