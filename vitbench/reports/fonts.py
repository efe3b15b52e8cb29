"""Fonts that have the glyphs: matplotlib's DejaVu first, then what is installed for other scripts."""

import contextlib
import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

PREFERRED = (
    "Noto Sans CJK", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "NanumGothic",
    "Microsoft YaHei", "PingFang", "Hiragino Sans", "Yu Gothic", "WenQuanYi", "Noto Sans", "Arial Unicode MS",
    "Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol", "FreeSans", "Unifont",
)  # fmt: skip
"""Families tried before the rest, by the beginning of their names."""

UNUSABLE = ("Color", "Last Resort", "LastResort")
"""Coloured bitmaps, which neither matplotlib nor Pillow can scale; boxes that pass for every glyph."""

EAST_ASIAN = ("fonts-noto-cjk", "Noto Sans CJK")
LETTERS = ("fonts-noto-core", "Noto Sans Thai")
EVERYTHING = ("fonts-unifont", "Unifont")
"""Debian's packages, and how the name of a family in each begins: the last has all characters, emoji too."""
EAST_ASIAN_NAMES = re.compile("CJK|HANGUL|HIRAGANA|KATAKANA|BOPOMOFO|IDEOGRAPH|FULLWIDTH|HALFWIDTH|KANGXI")

INVISIBLE = {0x200B, 0x200C, 0x200D, 0x2060, 0xFE0E, 0xFE0F, 0xFEFF, 0x0A}
"""Joiners, variation selectors, line feeds: no glyph is missed where one is absent."""


@dataclass(frozen=True)
class FontChoice:
    """Fonts that together draw a text, first one first."""

    paths: tuple[str, ...]
    """Font files; the first is matplotlib's own DejaVu Sans."""
    families: tuple[str, ...]
    """Their names in matplotlib."""
    missing: str
    """Characters that no installed font has, each once, sorted."""

    @property
    def note(self) -> str:
        """One line for stderr; "" where nothing is missing."""
        if not self.missing:
            return ""
        return (
            f"no installed font has {' '.join(self.missing[:20])}: drawn as boxes in the PNG files; "
            f"SVG, HTML and tables are not affected{_way_on(self.missing)}"
        )


def choose_fonts(texts: Iterable[str]) -> FontChoice:
    """The fonts for some texts: DejaVu Sans, and one more for each script that it lacks.

    matplotlib keeps a list of the machine's fonts, which may be older than the fonts: where a glyph is in
    none of these, the fonts that are there now are looked through.
    """
    wanted = {ord(c) for text in texts for c in text} - INVISIBLE
    wanted = {code for code in wanted if unicodedata.category(chr(code)) not in ("Cc", "Cs")}
    paths, families = [default_font()], ["DejaVu Sans"]
    wanted -= codes_in(paths[0])
    for candidates in (_known, _new):
        for path, family in candidates() if wanted else ():
            here = wanted & codes_in(path)
            if here:
                paths.append(path)
                families.append(family)
                wanted -= here
    return FontChoice(tuple(paths), tuple(families), "".join(chr(code) for code in sorted(wanted)))


def _way_on(missing: str) -> str:
    """What to install for the missing characters; "" where nothing is known to have them."""
    installed = [family for _, family in _known()]
    packages = dict.fromkeys(_package(character, installed) for character in missing)
    named = " and ".join(package for package in packages if package)
    return f"; install {named} (Debian, Ubuntu) or another font of that script" if named else ""


def _package(character: str, installed: Sequence[str]) -> str:
    """Debian's package with a character; one whose font is among the families here does not have it."""
    name, kind = unicodedata.name(character, ""), unicodedata.category(character)
    if not name:  # of no script, or newer than this Python
        return ""
    first = EAST_ASIAN if EAST_ASIAN_NAMES.search(name) else LETTERS if kind[0] in "LMNP" else EVERYTHING
    for package, family in (first, EVERYTHING):
        if not any(one.startswith(family) for one in installed):
            return package
    return ""


@functools.cache
def default_font() -> str:
    """Path of the DejaVu Sans that comes with matplotlib."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@functools.cache
def codes_in(path: str) -> frozenset[int]:
    """Code points that a font file has glyphs for; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _known() -> list[tuple[str, str]]:
    """(file, family) of the fonts on matplotlib's list."""
    from matplotlib.font_manager import fontManager

    return _in_order(fontManager.ttflist)


def _new() -> list[tuple[str, str]]:
    """(file, family) of the fonts on the machine that are not on matplotlib's list; now they are, here."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    listed = {font.fname for font in fontManager.ttflist}
    before = len(fontManager.ttflist)
    for path in sorted(set(findSystemFonts()) - listed):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # no font, or a damaged one
            fontManager.addfont(path)
    return _in_order(fontManager.ttflist[before:])


def _in_order(fonts: Sequence["FontEntry"]) -> list[tuple[str, str]]:
    """(file, family) of usable fonts: upright regular ones first, of them preferred families."""

    def place(font: "FontEntry") -> tuple[bool, int, str, str]:
        regular = font.style == "normal" and font.weight in (400, "normal", "regular")
        family = next((i for i, start in enumerate(PREFERRED) if font.name.startswith(start)), len(PREFERRED))
        return (not regular, family, font.name, font.fname)

    usable = [font for font in fonts if not any(word in font.name for word in UNUSABLE)]
    return list(dict.fromkeys((font.fname, font.name) for font in sorted(usable, key=place)))
