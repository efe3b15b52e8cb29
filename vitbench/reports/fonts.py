"""Fonts that have the glyphs: matplotlib's DejaVu first, then what is installed for other scripts."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

PREFERRED = (
    "Noto Sans CJK", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "NanumGothic",
    "Microsoft YaHei", "PingFang", "Hiragino Sans", "Yu Gothic", "WenQuanYi", "Noto Sans", "Arial Unicode MS",
    "Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol", "FreeSans", "Unifont",
)  # fmt: skip
"""Families tried before the rest, by the beginning of their names."""

UNUSABLE = ("Color", "Last Resort", "LastResort")
"""Coloured bitmaps, which neither matplotlib nor Pillow can scale; boxes that pass for every glyph."""

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
            "SVG, HTML and tables are not affected (fonts-noto-cjk has most scripts)"
        )


def choose_fonts(texts: Iterable[str]) -> FontChoice:
    """The fonts for some texts: DejaVu Sans, and one more for each script that it lacks."""
    wanted = {ord(c) for text in texts for c in text} - INVISIBLE
    wanted = {code for code in wanted if code >= 0x20}
    paths, families = [default_font()], ["DejaVu Sans"]
    wanted -= codes_in(paths[0])
    if wanted:
        for path, family in _candidates():
            here = wanted & codes_in(path)
            if here:
                paths.append(path)
                families.append(family)
                wanted -= here
            if not wanted:
                break
    return FontChoice(tuple(paths), tuple(families), "".join(chr(code) for code in sorted(wanted)))


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


@functools.cache
def _candidates() -> tuple[tuple[str, str], ...]:
    """(file, family) of the upright regular fonts installed, preferred families first."""
    from matplotlib.font_manager import fontManager

    def place(name: str) -> int:
        return next((i for i, start in enumerate(PREFERRED) if name.startswith(start)), len(PREFERRED))

    upright = [
        font
        for font in fontManager.ttflist
        if font.style == "normal"
        and font.weight in (400, "normal", "regular")
        and not any(word in font.name for word in UNUSABLE)
    ]
    upright.sort(key=lambda font: (place(font.name), font.name, font.fname))
    return tuple(dict.fromkeys((font.fname, font.name) for font in upright))
