"""The page of `inspect`: what stands where, from findings that are made up."""

import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from looked_into import WAYS, looked_into
from PIL import Image

from vitbench.analysis.inspect import ANALYSES
from vitbench.analysis.nouns import Finding
from vitbench.reports.inspection import write_inspection
from vitbench.reports.maps import SIGNED, laid_over, tiles


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
