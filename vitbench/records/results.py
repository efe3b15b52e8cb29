"""Results: epochs, predictions, answers, and the folders of runs and benchmarks that hold them."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ValidationError

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records.frames import Dtype, by_rows
from vitbench.records.pictures import Leak, Part, PixelRange
from vitbench.records.planned import PlannedRun, planned_runs
from vitbench.records.predictions import Predictions
from vitbench.records.recipes import Recipe
from vitbench.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of `epochs.csv`; scores are fractions, losses means over pictures."""

    epoch: int
    """From 1."""
    train_loss: float
    """Of the objective (label smoothing, mixup included)."""
    train_top1: float | None
    """Running, on augmented views in train mode; None under mixup or cutmix."""
    val_loss: float | None
    """Plain cross-entropy; None where there is no val, as this and the next are."""
    val_top1: float | None
    lr: float
    """Largest over the parameter groups, at the epoch's last step."""
    seconds: float
    """Training only; evaluation and checkpoints left out."""
    images_per_second: float
    peak_memory_mb: float
    val_agreement: float | None = None
    """Share of val on which a student answers as its teacher does; None without one."""

    @classmethod
    def columns(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Epoch":
        """The epoch in one row of `epochs.csv`."""
        values: dict[str, Any] = {k: float(v) if v else None for k, v in row.items()}
        return cls(**{**values, "epoch": int(row["epoch"])})


def best_epoch(rows: Sequence[Epoch]) -> Epoch:
    """The chosen epoch: highest val top-1; ties: lower val loss, then earlier. Without val the last one."""

    def merit(row: Epoch) -> tuple[float, float, int]:
        if row.val_top1 is None or row.val_loss is None:
            return (0.0, 0.0, row.epoch)
        return (row.val_top1, -row.val_loss, -row.epoch)

    return max(rows, key=merit)


EvaluatedBy = Literal["train", "probe", "predict", "inspect", "export", "transfer", "stress", "sweep"]
EVALUATIONS = "test_evaluations.csv"
BY_FOLDS: tuple[EvaluatedBy, ...] = ("train", "stress")
"""What looks at each fold's test pictures with its own model: one time over all folds is one look."""


@dataclass(frozen=True, slots=True)
class TestEvaluation:
    """One time that a model was evaluated on test pictures: a line of `test_evaluations.csv`."""

    __test__: ClassVar = False  # not a test, whatever pytest makes of its name

    time: str
    """ISO 8601 with the offset from UTC."""
    by: EvaluatedBy
    """The command."""
    pictures: int
    """How many test pictures were answered; one that was answered twice counts twice."""

    def when(self) -> datetime:
        return datetime.fromisoformat(self.time)


def note_evaluation(folder: Path, by: EvaluatedBy, pictures: int) -> None:
    """Note in a run's folder, or a sweep's, that so many test pictures were answered."""
    look = TestEvaluation(datetime.now().astimezone().isoformat(timespec="seconds"), by, pictures)
    columns = [field.name for field in dataclasses.fields(TestEvaluation)]
    files.append_row(folder / EVALUATIONS, columns, dataclasses.asdict(look))


def evaluations_in(folder: Path) -> list[TestEvaluation]:
    """What is noted in a folder, the oldest first; [] where nothing is."""
    path = folder / EVALUATIONS
    try:
        looks = [
            TestEvaluation(row["time"], row["by"], int(row["pictures"]))  # type: ignore[arg-type]
            for row in files.appended_rows(path)
        ]
        return sorted(looks, key=TestEvaluation.when)
    except (KeyError, TypeError, ValueError) as error:
        raise VitbenchError(f"{path}: damaged ({error}); restore it") from error


PART_OF_RUN = re.compile(r"(?P<kind>fold|tune)-(?P<number>\d+)|final|pretrain")
"""Folders inside a run that are runs themselves."""
RunStatus = Literal["new", "interrupted", "failed", "finished"]


@dataclass(frozen=True)
class Run:
    """One model × seed, read from its folder `<benchmark>/<model>-s<seed>/`.

    `metrics.json` is written last and makes a run finished; `failure.json` makes it failed. A run with
    folds holds a run per fold in `fold-1/`, `fold-2/`, …, and in its own files what they say together.
    """

    folder: Path
    planned_as: PlannedRun | None = field(default=None, compare=False)
    """What its benchmark has noted of it, where that is read already."""

    @property
    def name(self) -> str:
        """ "vit-s0"; "vit-s0/fold-2" for a part of a run."""
        part = self.folder.name
        return f"{Run(self.folder.parent).name}/{part}" if PART_OF_RUN.fullmatch(part) else part

    @property
    def planned(self) -> PlannedRun:
        """What its benchmark has noted of it; a part of a run is what the whole is."""
        if self.planned_as is not None:
            return self.planned_as
        if PART_OF_RUN.fullmatch(self.folder.name):
            return Run(self.folder.parent).planned
        return Benchmark(self.folder.parent).run(self.folder.name).planned

    @property
    def model(self) -> str:
        """What tables call the model: "vit", "distill-vit", "vit-probe", or a timm name."""
        return self.planned.model

    @property
    def seed(self) -> int:
        return self.planned.seed

    @property
    def fold(self) -> int:
        """Which fold of the run around it this is, from 1; 0: none."""
        part = PART_OF_RUN.fullmatch(self.folder.name)
        return int(part["number"] or 0) if part and part["kind"] == "fold" else 0

    def part(self, name: str) -> "Run":
        """A run inside this one, whether or not it is there: "fold-1", "tune-2", "final"."""
        return Run(self.folder / name, self.planned_as)

    @property
    def folds(self) -> tuple["Run", ...]:
        """The runs of the folds that have started, in their order; () without folds."""
        found = [Run(path, self.planned_as) for path in self.folder.glob("fold-*")]
        return tuple(sorted((run for run in found if run.fold), key=lambda run: run.fold))

    @property
    def status(self) -> RunStatus:
        if (self.folder / "metrics.json").exists():
            return "finished"
        if (self.folder / "failure.json").exists():
            return "failed"
        return "interrupted" if (self.folder / "recipe.json").exists() else "new"

    @property
    def failure(self) -> str:
        """Why it failed, one line; "" if it did not."""
        path = self.folder / "failure.json"
        return str(files.read_json(path)["reason"]) if path.exists() else ""

    @property
    def model_folder(self) -> Path:
        """The chosen weights as a timm `local-dir:` folder."""
        return self.folder / "model"

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """What answers for the run: its model, or, where it has none of its own, those of its folds."""
        if self.model_folder.exists() or not self.folds:
            return (self.model_folder,)
        return tuple(fold.model_folder for fold in self.folds)

    def identity(self) -> tuple[dict[str, Any], Recipe]:
        """`about` and `recipe`, `recipe.json` read once."""
        content = files.read_json(self.folder / "recipe.json")
        return dict(content["about"]), Recipe.model_validate(content["recipe"])

    def about(self) -> dict[str, Any]:
        """What the run is, from `recipe.json`: network, timm_name, pretrained_on, init, native_size, notes.

        Of a student whose teacher is in the same benchmark also teacher_run.
        """
        return dict(files.read_json(self.folder / "recipe.json")["about"])

    def recipe(self) -> Recipe:
        path = self.folder / "recipe.json"
        try:
            return Recipe.model_validate(files.read_json(path)["recipe"])
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise VitbenchError(
                f"{path}: by another version of vitbench, or damaged ({where}); train under a new --name"
            ) from error

    def epochs(self) -> list[Epoch]:
        path = self.folder / "epochs.csv"
        return [Epoch.from_row(row) for row in files.read_csv(path)] if path.exists() else []

    def predictions(self) -> Predictions:
        return Predictions.read(self.folder / "predictions.csv")

    def heads(self) -> list[dict[str, str]]:
        """`heads.csv` of a student: path, label, both, (cls, dist,) teacher: classes named; [] elsewhere.

        "both" is the student's own answer; "cls" and "dist" are those of its two heads alone.
        """
        path = self.folder / "heads.csv"
        return files.read_csv(path) if path.exists() else []

    def val_predictions(self) -> Predictions | None:
        """What the chosen weights say about val; None where there is no val, and in older runs.

        With folds each fold has its own, the run itself has none.
        """
        path = self.folder / "val_predictions.csv"
        return Predictions.read(path) if path.exists() else None

    def add_evaluation(self, by: EvaluatedBy, pictures: int) -> None:
        """Note in `test_evaluations.csv` that so many test pictures were answered; OSError if it cannot."""
        note_evaluation(self.folder, by, pictures)

    def evaluations(self) -> tuple[TestEvaluation, ...]:
        """Every look at the test pictures, the oldest first; () also in runs older than this count.

        With folds one training of all of them is one look, as is a condition of `stress`: its pictures are
        summed, its time is the last.
        """
        by_fold = [evaluations_in(fold.folder) for fold in self.folds]
        together = []
        for by in BY_FOLDS:
            for each in zip_longest(*([look for look in looks if look.by == by] for looks in by_fold)):
                one = [look for look in each if look is not None]
                last = max(one, key=TestEvaluation.when)
                together.append(dataclasses.replace(last, pictures=sum(look.pictures for look in one)))
        others = [look for looks in by_fold for look in looks if look.by not in BY_FOLDS]
        return tuple(
            sorted([*together, *evaluations_in(self.folder), *others], key=TestEvaluation.when)
        )  # training first in a second

    def metrics(self) -> dict[str, Any]:
        """`metrics.json`, whose keys are:

        best_epoch, epochs; train {loss, top1}; val {n, loss, top1};
        test {n, correct, top1, top1_low, top1_high, loss, brier, macro_f1, balanced_accuracy};
        cost {params_m, gmacs, train_images_per_second, seconds_per_epoch, latency_ms_p50,
        latency_ms_p95, peak_memory_mb}; notes [text…] (approximations and fallbacks).
        """
        return dict(files.read_json(self.folder / "metrics.json"))

    def environment(self) -> dict[str, Any]:
        path = self.folder / "environment.json"
        return dict(files.read_json(path)) if path.exists() else {}


@dataclass(frozen=True)
class Benchmark:
    """A folder under `results/`: one split and the runs on it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any]:
        """`benchmark.json`: data, classes, split rule, settings, versions, machine, planned runs."""
        return dict(files.read_json(self.folder / "benchmark.json"))

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(self.manifest["settings"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def runs(self) -> tuple[Run, ...]:
        """The planned runs in the order they were asked for, whatever became of them.

        VitbenchError where the manifest names one outside the benchmark's folder.
        """
        planned = planned_runs(self.manifest["runs"], f"{self.folder / 'benchmark.json'}")
        return tuple(Run(self.folder / one.name, one) for one in planned)

    def run(self, name: str) -> Run:
        """A planned run by its folder's name; VitbenchError where none is called so."""
        for run in self.runs:
            if run.folder.name == name:
                return run
        raise VitbenchError(f"{self.folder}: has no run {name}")

    @property
    def pixel_range(self) -> PixelRange | None:
        """What is black and white in its pictures of more than 8 bits; None without such pictures."""
        ends = self.manifest.get("pixel_range")
        return PixelRange(*ends) if ends else None

    @property
    def pretrains(self) -> bool:
        """Its runs are encoders of masked pre-training: they answer nothing."""
        return bool(self.manifest.get("settings", {}).get("recipe") == "simmim")

    @property
    def finished(self) -> bool:
        """Every planned run ended, finished or failed."""
        return all(run.status in ("finished", "failed") for run in self.runs)

    def split_rows(self) -> list[dict[str, str]]:
        """The rows of `split.csv`, its header as keys."""
        return files.read_csv(self.folder / "split.csv")

    def rows_of(self, part: Part) -> list[dict[str, str]]:
        """The pictures that train, choose the epoch ("val") or are reported on ("test").

        With folds every picture trains some models and is reported on by another one.
        """
        among = ("test",) if part == "train" and self.folds else (part,)
        return [row for row in self.split_rows() if row["split"] in among]

    def leaks(self) -> tuple[Leak, ...]:
        """The pictures that show the same on two sides of the split; () where nobody looked."""
        path = self.folder / "leaks.csv"
        return tuple(Leak.from_row(row) for row in files.read_csv(path)) if path.exists() else ()

    @property
    def epochs(self) -> "DataFrame":
        """A row per run and epoch so far: run, model, seed, then the columns of `epochs.csv`."""
        columns: dict[str, Dtype] = {"run": "string", "model": "string", "seed": "Int64", "epoch": "Int64"}
        columns |= {name: "float64" for name in Epoch.columns() if name not in columns}
        rows = (
            (run.name, run.model, run.seed, *dataclasses.astuple(row))
            for run in self.runs
            for row in run.epochs()
        )
        return by_rows(columns, rows)

    @property
    def predictions(self) -> "DataFrame":
        """Those of all finished runs: run, model, seed, then the columns of `Predictions.frame`."""
        import pandas

        tables = []
        for run in self.runs:
            if run.status == "finished":
                table = run.predictions().frame
                for place, (name, value) in enumerate((("run", run.name), ("model", run.model))):
                    table.insert(place, name, pandas.Series([value] * len(table), dtype="string"))
                table.insert(2, "seed", pandas.Series([run.seed] * len(table), dtype="Int64"))
                tables.append(table)
        return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame()

    @property
    def folds(self) -> int:
        """How many folds the split has; 0: it has none."""
        return int(self.manifest["split"].get("folds", 0))


def benchmarks_in(results: Path) -> list[Benchmark]:
    """The readable benchmarks in a results folder, newest first by the start time in their manifests."""
    dated = []
    for path in results.glob("*/benchmark.json"):
        try:
            dated.append((str(files.read_json(path)["created"]), path.parent))
        except (OSError, KeyError, TypeError, VitbenchError):
            continue  # damaged: naming it says why
    return [Benchmark(folder) for _, folder in sorted(dated, reverse=True)]
