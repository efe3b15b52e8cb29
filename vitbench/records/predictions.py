"""What models say about pictures: predictions on a test set, answers to new photos."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records.frames import Dtype, frame, frame_csv
from vitbench.records.pictures import Array, PixelRange, Several

if TYPE_CHECKING:
    from pandas import DataFrame

DIM = 8
"""Values that fill no more than such a part of black to white are said: 8 bits among 12, fractions."""


@dataclass(frozen=True)
class Predictions:
    """What one model says about N pictures."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Array
    """(N,) int64 class indices."""
    probabilities: Array
    """(N, C) float64, rows sum to 1."""
    folds: Array | None = None
    """(N,) int64: the fold, from 1, whose model answered; None without folds."""

    @property
    def answers(self) -> Array:
        """(N,) int64: the most probable class, the first one on a tie."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def correct(self) -> Array:
        """(N,) bool."""
        return np.asarray(self.answers == self.labels)

    @property
    def losses(self) -> Array:
        """(N,) float64 cross-entropy: −log p of the true class, p floored at 1e-300."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(np.maximum(true, 1e-300)))

    def only(self, kept: Array) -> "Predictions":
        """Those of the pictures in `kept`, (N,) bool or places, in that order."""
        return dataclasses.replace(
            self,
            paths=tuple(np.array(self.paths, dtype=object)[kept].tolist()),
            labels=self.labels[kept],
            probabilities=self.probabilities[kept],
            folds=None if self.folds is None else self.folds[kept],
        )

    @property
    def frame(self) -> "DataFrame":
        """A row per picture: path, label, prediction (text), correct (0 or 1), loss, (fold,) p_<class>…"""
        named = np.array(self.classes, dtype=object)
        columns: dict[str, tuple[Dtype, Any]] = {
            "path": ("string", self.paths),
            "label": ("string", named[self.labels]),
            "prediction": ("string", named[self.answers]),
            "correct": ("Int64", self.correct.astype(int)),
            "loss": ("float64", self.losses),
            **({} if self.folds is None else {"fold": ("Int64", self.folds)}),
            **{
                f"p_{name}": ("float64", p)
                for name, p in zip(self.classes, self.probabilities.T, strict=True)
            },
        }
        return frame(
            {name: dtype for name, (dtype, _) in columns.items()}, [cells for _, cells in columns.values()]
        )

    def write(self, path: Path) -> None:
        """Write `predictions.csv`, which is `frame`."""
        files.write_text(path, frame_csv(self.frame))

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """The predictions in a CSV written by `write`; needs at least one row."""
        head, *rows = files.read_rows(path) or [[]]
        if not rows:
            raise VitbenchError(f"{path}: no predictions in it; train the run again")
        first = next((i for i, column in enumerate(head) if column.startswith("p_")), len(head))
        classes = tuple(column.removeprefix("p_") for column in head[first:])
        index = {name: i for i, name in enumerate(classes)}
        told = dict(zip(head[:first], zip(*(row[:first] for row in rows), strict=True), strict=True))
        return cls(
            classes=classes,
            paths=told["path"],
            labels=np.array([index[label] for label in told["label"]], dtype=np.int64),
            probabilities=np.array([[float(cell) for cell in row[first:]] for row in rows]),
            folds=np.array([int(fold) for fold in told["fold"]]) if "fold" in told else None,
        )


LOW_CONFIDENCE = 0.5
"""An answer less probable than this is marked as unsure."""


@dataclass(frozen=True)
class Answer:
    """What every model says about one picture (`vitbench predict`)."""

    path: str
    """As the user gave it."""
    predictions: Mapping[str, tuple[tuple[str, float], ...]]
    """Run name → (class, probability) pairs, most probable first; empty where there is an error."""
    label: str | None = None
    """The true class, where the picture's folder names one of the models' classes."""
    error: str = ""
    """Why it could not be read, one line."""
    seen: str | None = None
    """The part of the models' own data that this picture lies in: "train", "val", "test"; None: none."""
    near: bool = False
    """Not this very file lies there but a near-copy of it (`records.fingerprints`)."""
    held: PixelRange | None = None
    """Least and largest value of a picture of more than 8 bits."""
    shown: PixelRange | None = None
    """What was black and white there."""
    assumed: bool = False
    """Nobody has said so: the models knew 8-bit pictures only, so its own values decided."""
    several: Several = ""
    """Which of several pictures in its file it is."""
    maps: Mapping[str, Mapping[str, Array]] = field(default_factory=dict, compare=False)
    """What each run's answer rests on: run name → kind of map → (rows, columns); {} where nobody asked."""

    @property
    def cut_off(self) -> bool:
        """It holds values beyond those of black and white."""
        held, shown = self.held, self.shown
        return bool(held and shown and (held.low < shown.low or held.high > shown.high))

    @property
    def dim(self) -> bool:
        """Its values fill so little of black to white that models see next to nothing of it."""
        held, shown = self.held, self.shown
        return bool(
            held
            and shown
            and shown.low <= held.low
            and DIM * (held.high - shown.low) <= shown.high - shown.low
        )

    @property
    def mark(self) -> str:
        """What stands behind a picture's name: "train", "≈ train", or "" where it is new."""
        return f"{'≈ ' if self.near else ''}{self.seen or ''}"

    @property
    def disputed(self) -> bool:
        """The models do not all name the same class."""
        return len({pairs[0][0] for pairs in self.predictions.values()}) > 1

    @property
    def unsure(self) -> bool:
        """Some model gives its own answer less than `LOW_CONFIDENCE`."""
        return any(pairs[0][1] < LOW_CONFIDENCE for pairs in self.predictions.values())
