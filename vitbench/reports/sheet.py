"""The slides' last page as one picture: each photo with every model's answer under it."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vitbench import files
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Answer
from vitbench.reports.answers import DISPUTED, legend, marked_name, said
from vitbench.reports.fonts import FontChoice, choose_fonts, codes_in

MOST_PHOTOS = 60
CELL = 300
"""Width of a cell, px."""
PHOTO = 276
"""Side of the square that a photo fits into, px."""
GAP = 12
MOST_ACROSS = 4
"""Maps side by side under a photo."""
LINE = 22
SIZE = 15
"""Text height, px."""
INK, FAINT, PAPER, MARK = "#1b1e23", "#5b6470", "#ffffff", "#a33b00"


@dataclass(frozen=True)
class Pen:
    """Draws text with whichever of its fonts has each character."""

    draw: Any
    fonts: tuple[Any, ...]
    codes: tuple[frozenset[int], ...]

    @classmethod
    def on(cls, image: Image.Image, choice: FontChoice) -> "Pen":
        fonts = tuple(ImageFont.truetype(path, SIZE) for path in choice.paths)
        return cls(ImageDraw.Draw(image), fonts, tuple(codes_in(path) for path in choice.paths))

    def pieces(self, text: str) -> list[tuple[str, Any]]:
        """The text cut where the font changes."""
        found: list[tuple[str, Any]] = []
        for character in text:
            font = next(
                (f for f, codes in zip(self.fonts, self.codes, strict=True) if ord(character) in codes),
                self.fonts[0],
            )
            if found and found[-1][1] is font:
                found[-1] = (found[-1][0] + character, font)
            else:
                found.append((character, font))
        return found

    def width(self, text: str) -> float:
        return float(sum(font.getlength(piece) for piece, font in self.pieces(text)))

    def cut(self, text: str, room: float) -> str:
        """The text, its middle replaced by … where it is wider than `room` px."""
        if self.width(text) <= room:
            return text
        kept = len(text)
        while kept > 2:
            kept -= 1
            head = -(-kept // 2)
            short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
            if self.width(short) <= room:
                return short
        return text[:1]

    def write(self, x: float, y: float, text: str, colour: str) -> None:
        for piece, font in self.pieces(text):
            self.draw.text((x, y + SIZE), piece, fill=colour, font=font, anchor="ls")
            x += font.getlength(piece)


Maps = Callable[[Answer], Mapping[str, Image.Image]]
"""By run what its answer rests on, over the picture; {} where nobody asked for it."""


def draw_sheet(
    answers: Sequence[Answer],
    runs: Sequence[str],
    load: Callable[[str], Image.Image],
    maps: Maps = lambda _: {},
) -> tuple[bytes, tuple[str, ...]]:
    """The PNG's bytes and notes for stderr; at most 60 photos, the number left out is printed on it.

    Photos are loaded one after the other and kept as thumbnails only.
    """
    shown = answers[:MOST_PHOTOS]
    texts = [_lines(answer, runs) for answer in shown]
    foot = [*legend(shown)]
    if len(answers) > len(shown):
        foot.append(f"{len(answers) - len(shown)} of {len(answers)} photos are left out")
    choice = choose_fonts([*(line for lines in texts for line in lines), *foot, "…"])
    columns = max(1, min(5, len(shown)))
    mapped = max((len(answer.maps) for answer in shown), default=0)
    across = min(mapped, MOST_ACROSS)
    side = (PHOTO - GAP // 2 * (across - 1)) // across if across else 0
    under = -(-mapped // MOST_ACROSS) * (side + LINE + GAP // 2)  # height of the maps
    height = PHOTO + under + 2 * GAP + LINE * max((len(lines) for lines in texts), default=1)
    rows = -(-len(shown) // columns)
    page = Image.new(
        "RGB", (max(columns, 2) * CELL + GAP, rows * height + GAP + LINE * len(foot) + GAP), PAPER
    )
    pen = Pen.on(page, choice)
    for i, (answer, lines) in enumerate(zip(shown, texts, strict=True)):
        x, y = GAP + (i % columns) * CELL, GAP + (i // columns) * height
        _paste(page, pen, answer, load, (x, y))
        for k, (run, image) in enumerate(maps(answer).items()):
            left = x + k % MOST_ACROSS * (side + GAP // 2)
            top = y + PHOTO + GAP // 2 + k // MOST_ACROSS * (side + LINE + GAP // 2)
            page.paste(ImageOps.fit(image, (side, side)), (left, top))
            pen.write(left, top + side + 2, pen.cut(run, side), FAINT)
        for k, line in enumerate(lines):
            marked = k > 0 and line.endswith("✗")
            pen.write(
                x,
                y + PHOTO + under + 6 + k * LINE,
                pen.cut(line, PHOTO),
                MARK if marked else INK if k else FAINT,
            )
    for k, line in enumerate(foot):
        pen.write(GAP, GAP + rows * height + k * LINE, pen.cut(line, page.width - 2 * GAP), FAINT)
    buffer = io.BytesIO()
    page.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue(), (choice.note,) if choice.note else ()


def _lines(answer: Answer, runs: Sequence[str]) -> list[str]:
    """The text under one photo: its name (≠ where disputed), its label, a line per run."""
    name = marked_name(answer.path.replace("\\", "/").rpartition("/")[2], answer)
    first = f"{DISPUTED + ' ' if answer.disputed else ''}{name}"
    rest = [f"error: {answer.error}"] if answer.error else [f"{run}: {said(answer, run)}" for run in runs]
    if answer.label is not None:
        rest.insert(0, f"true: {answer.label}")
    return [" ".join(files.readable(line).split()) for line in (first, *rest)]


def _paste(
    page: Image.Image, pen: Pen, answer: Answer, load: Callable[[str], Image.Image], at: tuple[int, int]
) -> None:
    """Put the photo's thumbnail into its square; a frame with a word where it cannot be loaded."""
    x, y = at
    try:
        if answer.error:
            raise VitbenchError(answer.error)
        photo = ImageOps.contain(load(answer.path).convert("RGB"), (PHOTO, PHOTO))
    except (OSError, ValueError, VitbenchError):
        pen.draw.rectangle((x, y, x + PHOTO - 1, y + PHOTO - 1), outline=FAINT)
        pen.write(x + GAP, y + PHOTO / 2, "no picture", FAINT)
        return
    page.paste(photo, (x + (PHOTO - photo.width) // 2, y + (PHOTO - photo.height) // 2))


def write_sheet(
    path: Path,
    answers: Sequence[Answer],
    runs: Sequence[str],
    load: Callable[[str], Image.Image],
    maps: Maps = lambda _: {},
) -> tuple[str, ...]:
    """Write one PNG with each photo and every model's answer under it; returns notes, one line each.

    `load` turns an answer's path into an RGB picture, `maps` gives what its answers rest on. Raises
    UsageError unless the name ends in .png.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the sheet is a PNG picture; end its name in .png")
    content, notes = draw_sheet(answers, runs, load, maps)
    files.write_bytes(path, content)
    return notes
