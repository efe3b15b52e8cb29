"""What `export` wrote: a folder with a model for elsewhere, what it says of the test pictures, and a card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records.predictions import Predictions
from vitbench.records.results import Benchmark

ABOUT = "export.json"


@dataclass(frozen=True)
class Export:
    """`<benchmark>/export/<run>-onnx/`: the model, `export.json`, `predictions.csv`, its card."""

    folder: Path

    @property
    def about(self) -> dict[str, Any]:
        """`export.json`, whose keys are:

        name, vitbench, created, benchmark, run, model, timm_name, base_model, models (of folds),
        split_digest, format ("onnx", "pt2"), precision ("fp32", "int8"), classes, preprocessing, resize,
        file,
        mb, sha256;
        test {n, groups, agreed, agreement, largest_difference, picture, correct, top1, top1_low, top1_high};
        latency {threads, torch_ms, exported_ms: each by batch size};
        against_fp32 (of int8) {agreed, largest_difference, difference, low, high, p, fp32_top1, fp32_mb,
        fp32_ms, mb, ms, smaller, faster}.
        """
        return dict(files.read_json(self.folder / ABOUT))

    @property
    def file(self) -> Path:
        """The model."""
        return self.folder / str(self.about["file"])

    @property
    def name(self) -> str:
        """What tables call it: "vit-s0-onnx", "vit-s0-int8"."""
        about = self.about
        return f"{about['run']}-{about['format'] if about['precision'] == 'fp32' else about['precision']}"

    def home(self) -> Benchmark | None:
        """The benchmark in whose folder it lies; None where it was taken elsewhere."""
        found = Benchmark(self.folder.resolve().parents[1])
        return found if files.is_there(found.folder / "benchmark.json") else None

    def predictions(self) -> Predictions:
        """What it said of the test pictures; of folds each by the model that did not learn from it."""
        path = self.folder / "predictions.csv"
        if not path.exists():
            raise VitbenchError(f"{self.folder}: has no predictions.csv; export it again")
        return Predictions.read(path)


def export_at(path: Path) -> Export | None:
    """The export that a path names: its folder, or the model in it; None where it names none."""
    for folder in (path, path.parent):
        if files.is_there(folder / ABOUT) and (folder == path or path.suffix in (".onnx", ".pt2")):
            return Export(folder)
    return None
