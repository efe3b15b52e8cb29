"""What a peer's script is asked and what it answers; it runs where vitbench is not installed."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL = "tf_efficientnet_lite0"
"""The network of all whose tool can begin from it, ImageNet's weights in it."""


@dataclass(frozen=True)
class Task:
    """A folder with train/, val/ and test/, a folder per class in each."""

    folder: Path
    epochs: int
    px: int
    out: Path
    """For whatever the tool writes."""
    scripts: Path
    """Of a tool that is no package: timm's train.py, validate.py and inference.py."""
    start: str
    """pretrained, or random."""

    @property
    def classes(self) -> list[str]:
        return sorted(one.name for one in (self.folder / "train").iterdir())

    @property
    def test(self) -> list[str]:
        """Paths of the test pictures."""
        return [str(one) for one in sorted((self.folder / "test").glob("*/*"))]


@dataclass(frozen=True)
class Told:
    """What a tool said."""

    answers: Mapping[str, str]
    """Path of a test picture → name of a class."""
    top1: float | None = None
    """The share right by the tool's own evaluation of test/, where it has one."""


def run(use: Callable[[Task], Told]) -> None:
    """Carry out what the command line asks; out/told.json holds the answers."""
    parser = argparse.ArgumentParser()
    for name in ("folder", "out", "scripts"):
        parser.add_argument(name, type=Path)
    for name in ("epochs", "px"):
        parser.add_argument(name, type=int)
    parser.add_argument("start", choices=("pretrained", "random"))
    asked = parser.parse_args()
    told = use(Task(asked.folder, asked.epochs, asked.px, asked.out, asked.scripts, asked.start))
    names = {str(Path(path).relative_to(asked.folder)): name for path, name in told.answers.items()}
    told_file = asked.out / "told.json"
    told_file.write_text(json.dumps({"answers": names, "top1": told.top1}), encoding="utf-8")
