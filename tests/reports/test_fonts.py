"""Fonts: a glyph that is missing is looked for among the fonts that are on the machine now."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from vitbench.reports import fonts
from vitbench.reports.fonts import choose_fonts

NAMES = "은수우진"

LOOK = f"""
import io, os
import matplotlib
from matplotlib import font_manager
from PIL import Image
# A machine with no fonts but those in its user's folder, whatever is installed on this one.
fonts = os.environ["XDG_DATA_HOME"] + "/fonts"
font_manager.X11FontDirectories[:] = [fonts]
font_manager.fontManager.ttflist[:] = [
    font for font in font_manager.fontManager.ttflist
    if font.fname.startswith((matplotlib.get_data_path(), fonts))
]
from vitbench.records import Answer
from vitbench.reports.fonts import choose_fonts
from vitbench.reports.sheet import INK, draw_sheet
photo = Image.new("RGB", (40, 40), "white")
answer = Answer("a.png", {{"vit-s0": (({NAMES!r}, 1.0),)}})
png, notes = draw_sheet([answer], ["vit-s0"], lambda path: photo)
ink = tuple(int(INK[i : i + 2], 16) for i in (1, 3, 5))
colours = {{colour: count for count, colour in Image.open(io.BytesIO(png)).getcolors(1 << 20)}}
print(colours.get(ink, 0), *choose_fonts([{NAMES!r}]).families, *notes, sep="|")
"""


def write_font(path: Path) -> None:
    """A real TrueType font, each of whose glyphs is a black square of one em."""
    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 1000), (1000, 1000), (1000, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    order = [".notdef", *(f"uni{ord(c):04X}" for c in NAMES)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap({ord(c): f"uni{ord(c):04X}" for c in NAMES})
    builder.setupGlyf(dict.fromkeys(order, square))
    builder.setupHorizontalMetrics(dict.fromkeys(order, (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Square Hangul", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    path.parent.mkdir(parents=True)
    builder.save(path)


def look(home: Path) -> list[str]:
    """Pixels of ink on a sheet that names `NAMES`, the families, and the notes: in a process of its own."""
    (home / "fonts.conf").write_text(f"<fontconfig><dir>{home}/share/fonts</dir></fontconfig>")
    places = {
        "FONTCONFIG_FILE": str(home / "fonts.conf"),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "share"),
        "MPLCONFIGDIR": str(home / "mpl"),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env={**os.environ, **places}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split("|")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="where fonts lie is Linux's")
def test_a_font_installed_since_is_found(tmp_path: Path) -> None:
    """matplotlib's kept list of fonts is older than the font: it is drawn with all the same."""
    ink, *told = look(tmp_path)
    assert "install fonts-noto-cjk (Debian, Ubuntu)" in told[1]
    kept = {path: path.read_bytes() for path in (tmp_path / "mpl").glob("fontlist*.json")}
    write_font(tmp_path / "share" / "fonts" / "square.ttf")
    more, *told = look(tmp_path)
    assert {path: path.read_bytes() for path in kept} == kept != {}
    assert told == ["DejaVu Sans", "Square Hangul"]
    assert int(more) > int(ink) + 4 * 12 * 12  # four squares of 15 px


@pytest.mark.parametrize(
    ("character", "package"),
    [
        ("한", "cjk"),
        ("漢", "cjk"),
        ("あ", "cjk"),
        ("ไ", "core"),
        ("ह", "core"),
        ("🥰", "unifont"),
        ("𝄞", "unifont"),
    ],
)
def test_the_advice_names_the_package_with_the_glyph(
    character: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's package for the script; one that is here already, and so does not have it, is not advised."""
    monkeypatch.setattr(fonts, "_known", list)
    monkeypatch.setattr(fonts, "_new", list)
    assert (
        f"fonts-{'' if package == 'unifont' else 'noto-'}{package} (Debian" in choose_fonts([character]).note
    )
    installed = [("a", "Noto Sans CJK JP"), ("b", "Noto Sans Thai")]
    monkeypatch.setattr(fonts, "_known", lambda: installed)
    assert "install fonts-unifont (Debian" in choose_fonts([character]).note
    monkeypatch.setattr(fonts, "_known", lambda: [*installed, ("c", "Unifont Upper")])
    assert "; install" not in choose_fonts([character]).note
