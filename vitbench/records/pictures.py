"""Pictures: a checked folder, its split, and how a picture becomes a model's input."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitbench import files

Array = NDArray[Any]
Part = Literal["train", "val", "test"]
Several = Literal["", "page", "later page", "size", "frame"]
"""Which of several pictures in a file is taken: the largest page, which is the first or a later one, the
largest size of an icon, the first frame. "": the only one."""


NEAR = "near-"
"""How the name of a group of near-copies begins."""
SERIES = "series-"
"""How that of a long chain of them begins, whose ends need not look alike: the frames of a slow pan."""

LEFT_OUT = "left out"
"""In the column `split` of `split.csv`: on no side."""
Kind = Literal["equal pixels", "near"]


@dataclass(frozen=True, slots=True)
class PixelRange:
    """Pixel values from `low` to `high`: those that pictures hold, or those of black and white."""

    low: float
    high: float

    @property
    def option(self) -> str:
        """As `--pixel-range` takes it."""
        return f"{self.low:.10g},{self.high:.10g}"

    def __str__(self) -> str:
        return f"{self.low:.10g}…{self.high:.10g}"


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable image file of an `ImageSet`."""

    path: str
    """Relative to the set's root, `/` between folders; surrogate escapes where not UTF-8."""
    label: str
    """Class name: the name of the top class folder."""
    part: Part | None
    """The folder it came from where the user brought a split; None in a folder of class folders."""
    sha256: str
    """Of the file's bytes: its content, whatever its name."""
    group: str
    """Pictures of one group never lie on two sides of a split: the digest of the decoded pixels, or
    `NEAR` or `SERIES` and the least digest of those that hang together as near-copies."""
    width: int
    """Pixels, as shown (EXIF orientation applied)."""
    height: int
    pixels: str = ""
    """Digest of the decoded pixels where `group` is another one; "" where it's that."""
    fingerprint: bytes = b""
    """32 bytes by which near-copies are known again (`records.fingerprints`); b"": none was made."""

    @property
    def pixel_digest(self) -> str:
        """Equal for pictures with equal pixels, however they are grouped."""
        return self.pixels or self.group


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that looks like a picture and cannot be used."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two pictures of a set that show the same: equal pixels, or near-copies of one another."""

    path: str
    """Where the user brought a split, the one in its later part (test after val after train)."""
    other: str
    kind: Kind
    how: str
    """What was done to `other` to get `path`, in words: "mirrored, brighter"; "" for equal pixels."""
    back: str
    """What was done to `path` to get `other`."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A `Likeness` whose pictures lie on two sides of a split."""

    path: str
    part: str
    """"train", "val" or "test"; "fold 2" where it is tested in that fold and trains in others."""
    other: str
    other_part: str
    kind: Kind
    how: str
    """What was done to `other` to get `path`, in words; "" for equal pixels."""

    @classmethod
    def columns(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Leak":
        """The leak in one row of `leaks.csv`."""
        return cls(**{name: row[name] for name in cls.columns()})

    @property
    def between_folds(self) -> bool:
        """Each of the two is tested, and learned from where the other is."""
        return self.other_part not in get_args(Part)

    def tested_sides(self) -> "tuple[Leak, ...]":
        """As a test picture and one that training knows: once, twice between folds, never inside training."""
        if self.between_folds:
            turned = dataclasses.replace(
                self, path=self.other, part=self.other_part, other=self.path, other_part=self.part
            )
            return (self, turned)
        return (self,) if self.part == "test" else ()


@dataclass(frozen=True)
class ImageSet:
    """A checked folder: every picture in it was decoded in full once."""

    root: Path
    layout: Literal["flat", "split", "loose"]
    """"loose": the pictures are of one class, for labels that are not read."""
    classes: tuple[str, ...]
    """Sorted by name; a picture's class index is its place here."""
    pictures: tuple[Picture, ...]
    """Sorted by path."""
    bad: tuple[BadFile, ...] = ()
    """Left out under `--skip-bad`; otherwise empty, for the scan refuses them."""
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What was passed over and how often, by reason ("hidden", …)."""
    unread: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Files that are not taken for pictures, by the ending of their names: ".txt", "" for none."""
    pixel_range: PixelRange | None = None
    """What is black and white in pictures of more than 8 bits; None where there are none."""
    notes: tuple[str, ...] = ()
    """Warnings for the user, each one line."""
    warnings: tuple[str, ...] = ()
    """Those of the notes that `--strict` refuses: what can make scores too good."""
    alike: tuple[Likeness, ...] = ()
    """Every pair of near-copies; of pictures with equal pixels, those in two classes or parts."""
    searched: str = ""
    """One sentence: how many near-copies were found, of which kinds, and what would have escaped."""

    @property
    def digest(self) -> str:
        """sha256 over (class, part, content) of every picture: equal for equal data, wherever it lies."""
        lines = sorted(f"{p.label}\0{p.part or ''}\0{p.sha256}" for p in self.pictures)
        return hashlib.sha256(files.readable("\n".join(lines)).encode()).hexdigest()

    def part(self, name: Part) -> tuple[Picture, ...]:
        return tuple(p for p in self.pictures if p.part == name)


@dataclass(frozen=True)
class Split:
    """Which pictures train, which choose the epoch (val), and which are reported on (test)."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    test: tuple[Picture, ...]
    rule: str
    """In plain words, e.g. "70 / 15 / 15 % of the class folders, stratified, seed 0"."""
    seed: int
    data_digest: str
    """`ImageSet.digest` of the set that was split."""
    notes: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()
    """What another split would do better; a comparison's advice says so by itself."""
    test_drawn: bool = False
    """The test pictures were drawn here, not brought."""
    folds: tuple["Split", ...] = ()
    """Cross-validation: a split per fold, whose test parts together are all pictures, each once. The
    whole then has every picture in `train` and in `test`, and none in `val`. () without folds."""
    leaks: tuple[Leak, ...] = ()
    """Pictures that show the same on two sides, or in two folds that learn from one another."""
    left_out: tuple[Picture, ...] = ()
    """Pictures next to the cuts of series that no side could hold whole; () with folds, each has its own."""
    pixel_range: PixelRange | None = None
    """`ImageSet.pixel_range` of the set that was split."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("path", "class", "split", "sha256", "group", "fold", "val_in")

    @property
    def digest(self) -> str:
        """sha256 over (split, class, content): two benchmarks with equal digests share pictures."""
        if self.folds:
            return hashlib.sha256("\n".join(fold.digest for fold in self.folds).encode()).hexdigest()
        lines = sorted(f"{name}\0{p.label}\0{p.sha256}" for name, p in self.assigned())
        return hashlib.sha256(files.readable("\n".join(lines)).encode()).hexdigest()

    @property
    def contents(self) -> frozenset[str]:
        """sha256 of every different picture: what one forward pass over all of them looks at."""
        return frozenset(p.sha256 for p in (*self.train, *self.val, *self.test))

    def assigned(self) -> list[tuple[Part, Picture]]:
        """Every used picture with its side, in the order train, val, test."""
        return (
            [("train", p) for p in self.train]
            + [("val", p) for p in self.val]
            + [("test", p) for p in self.test]
        )

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `split.csv`.

        With folds each picture has one row: `split` is "test", `fold` (from 1) is the one in which it is
        tested, and `val_in` are those in which it helps to choose the epoch; it trains in all others.
        """
        if not self.folds:
            return [
                *(_row(name, p) for name, p in self.assigned()),
                *(_row(LEFT_OUT, p) for p in self.left_out),
            ]
        val_in: dict[str, list[str]] = {}
        for number, fold in enumerate(self.folds, start=1):
            for picture in fold.val:
                val_in.setdefault(picture.path, []).append(str(number))
        return [
            {**_row("test", p), "fold": number, "val_in": " ".join(val_in.get(p.path, ()))}
            for number, fold in enumerate(self.folds, start=1)
            for p in fold.test
        ]

    def leak_rows(self) -> list[dict[str, Any]]:
        """The rows of `leaks.csv`, its columns `Leak.columns()`; `path` lies on the later side."""
        return [{column: getattr(leak, column) for column in Leak.columns()} for leak in self.leaks]


def _row(part: str, picture: Picture) -> dict[str, Any]:
    return {
        "path": picture.path,
        "class": picture.label,
        "split": part,
        "sha256": picture.sha256,
        "group": picture.group,
        "fold": "",
        "val_in": "",
    }


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a decoded picture becomes a model's input at evaluation (timm's `create_transform`)."""

    size: int
    """Side of the square input, px."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    """"bicubic", "bilinear", …"""
    crop_pct: float
    """The picture is resized to size / crop_pct, then cropped at the centre."""
    crop_mode: str = "center"
    pixel_range: PixelRange | None = None
    """What is black and white in pictures of more than 8 bits; None: in each what its own values show."""

    def timm_config(self) -> dict[str, Any]:
        """As timm's data config: the keyword arguments of `timm.data.create_transform`."""
        return {
            "input_size": (3, self.size, self.size),
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
            "crop_pct": self.crop_pct,
            "crop_mode": self.crop_mode,
        }


def label_indices(pictures: Sequence[Picture], classes: Sequence[str]) -> Array:
    """(N,) int64 class indices of pictures, by name."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[p.label] for p in pictures], dtype=np.int64)
