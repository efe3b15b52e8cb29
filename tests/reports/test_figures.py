"""Curves and confusion figures: what they hold, in any script, the same bytes each time."""

import dataclasses
import io
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark
from PIL import Image

from vitbench.comparison.results import read_results
from vitbench.records import Benchmark
from vitbench.reports.comparison_report import curves_of
from vitbench.reports.figures import draw_confusion, draw_curves
from vitbench.reports.fonts import choose_fonts

pytestmark = pytest.mark.usefixtures("drawn")
HOSTILE = ("<script>alert(1)</script>", "$\\frac{", "개와 고양이", "😀")


def hostile(folder: Path) -> Benchmark:
    runs = {"vit-s0": [0, 1, 2, 3], "swin-s0": [1, 1, 2, 0]}
    return make_benchmark(folder / "b", runs, range(4), HOSTILE, train=range(4))


def test_figures_hold_hostile_names_as_text(tmp_path: Path) -> None:
    """Names stand in the SVG as text that parses back; no script element, no math, no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = draw_confusion(read_results(hostile(tmp_path)).models)
    assert drawing is not None
    root = ET.fromstring(drawing.svg)
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"$\\frac{", "개와 고양이", "😀"} <= texts
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


@pytest.mark.slow
def test_svg_names_no_font_of_this_machine(tmp_path: Path) -> None:
    """One generic stack instead of the fonts that happened to measure the text."""
    drawing = draw_curves(curves_of(read_results(hostile(tmp_path))))
    assert drawing is not None
    assert "DejaVu" not in drawing.svg
    assert "sans-serif" in drawing.svg


def test_many_classes_are_drawn_as_pairs(tmp_path: Path) -> None:
    """With 25 classes the figure names the pairs that were confused, not 625 cells."""
    names = [f"class{i:02d}" for i in range(25)]
    told = [1, *range(1, 25)]
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": told}, range(25), names, train=range(25))
    drawing = draw_confusion(read_results(benchmark).models)
    assert drawing is not None
    assert "class00 → class01" in drawing.svg
    assert "class07" not in drawing.svg


def test_pair_labels_keep_both_ends_and_stay_on_the_figure(tmp_path: Path) -> None:
    """Names that differ at their ends differ in the labels; no text starts or ends outside the page."""
    names = [f"a rather long class name with the number {i:02d}" for i in range(25)]
    told = [1, *range(1, 25)]
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": told}, range(25), names, train=range(25))
    drawing = draw_confusion(read_results(benchmark).models)
    assert drawing is not None
    assert "a rather lon…e number 00 → a rather lon…e number 01" in drawing.svg
    with Image.open(io.BytesIO(drawing.png)) as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels[:, [0, -1]] == 255).all()
    assert (pixels[[0, -1]] == 255).all()


def test_all_right_has_nothing_confused(tmp_path: Path) -> None:
    """25 classes without a mistake: a figure that says so instead of an empty one."""
    names = [f"class{i:02d}" for i in range(25)]
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": range(25)}, range(25), names, train=range(25))
    drawing = draw_confusion(read_results(benchmark).models)
    assert drawing is not None
    assert "no confusion" in drawing.svg


@pytest.mark.slow
def test_curves_say_in_words_what_they_show(tmp_path: Path) -> None:
    """The text alternative names each run's chosen epoch with its val scores."""
    drawing = draw_curves(curves_of(read_results(hostile(tmp_path))))
    assert drawing is not None
    assert "vit: chosen epoch 2, val loss 0.550, val accuracy 70.0%" in drawing.text
    assert drawing.png.startswith(b"\x89PNG")


def test_models_of_two_benchmarks_have_curves_of_their_own(tmp_path: Path) -> None:
    """The same name in two benchmarks is two names and two colours; seeds of one model share theirs."""
    runs = {"vit-s0": [0, 1, 2, 3], "vit-s1": [0, 1, 2, 2], "swin-s0": [1, 1, 2, 0]}
    both = [make_benchmark(tmp_path / name, runs, range(4), HOSTILE, train=range(4)) for name in "ab"]
    found = curves_of(read_results(both))
    of = ("vit", "vit", "swin")
    assert [curve.model for curve in found] == [f"{name}/{model}" for name in "ab" for model in of]
    own = ("vit-s0", "vit-s1", "swin")
    assert [curve.name for curve in found] == [f"{name}/{one}" for name in "ab" for one in own]


def test_curves_without_training_accuracy(tmp_path: Path) -> None:
    """Under mixup train_top1 is empty: the curve is left out, the rest is drawn."""
    (curve, *_) = curves_of(read_results(hostile(tmp_path)))
    epochs = [dataclasses.replace(row, train_top1=None) for row in curve.epochs]
    assert draw_curves([dataclasses.replace(curve, epochs=epochs)]) is not None


@pytest.mark.parametrize("n", [0, 1])
def test_curves_of_few_epochs(tmp_path: Path, n: int) -> None:
    """No epoch: no figure. One: a figure of points."""
    (curve, *_) = curves_of(read_results(hostile(tmp_path)))
    drawing = draw_curves([dataclasses.replace(curve, epochs=curve.epochs[:n])])
    assert (drawing is None) == (n == 0)


def test_missing_glyph_is_a_note_not_a_warning(tmp_path: Path) -> None:
    """A character that no font has is named once; the figure is drawn without a warning."""
    unassigned = "\U000e0fff"
    assert choose_fonts([f"a{unassigned}b"]).missing == unassigned
    benchmark = make_benchmark(tmp_path / "b", {"vit-s0": [0]}, [0], [f"x{unassigned}", "b"], train=[0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = draw_confusion(read_results(benchmark).models)
    assert drawing is not None
    assert len(drawing.notes) == 1
    assert "no installed font has" in drawing.notes[0]


def test_latin_text_needs_only_the_font_that_comes_along() -> None:
    """Machines without any font installed draw Latin names, with nothing missing."""
    choice = choose_fonts(["daisy → roses, 97 % ≠ ✗ …"])
    assert choice.families == ("DejaVu Sans",)
    assert choice.note == ""
