"""`export`: a trained model made a file for elsewhere, checked on its test pictures, written whole."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitbench import files
from vitbench.benchmark.exportable import Asked
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.statistics import accuracy_interval, paired_difference
from vitbench.errors import UsageError, VitbenchError
from vitbench.exporting import check
from vitbench.exporting.card import card, int8_line
from vitbench.exporting.graph import Graph, Kind, needed, write_graph
from vitbench.exporting.int8 import quantise
from vitbench.locks import locked
from vitbench.models.exported import ONNX, open_exported, resized
from vitbench.options import Drop, fit
from vitbench.records import Array, Benchmark, Predictions, Run
from vitbench.records.exports import ABOUT, Export
from vitbench.records.watch import Watch

MAX_DROP = 1.0
"""Points of accuracy that int8 may lose."""
SMALLER, FASTER = 0.9, 0.8
"""int8 gains where it needs less than so much of the bytes, or of the milliseconds at every batch size: other
work on a machine can make a tenth of those."""
TESTED = "answering the test pictures again"


def export(
    name: Benchmark | Run | Path | str | None = None,
    *,
    to: Kind = "onnx",
    int8: bool = False,
    max_drop: float = MAX_DROP,
    results: Path | str = "results",
    watch: Watch | None = None,
) -> Export:
    """Make a trained model one file for elsewhere, and check it on the benchmark's whole test set.

    name: a run, or a benchmark, of which the best model is taken; None: the newest finished benchmark.
    int8: of an ONNX file; VitbenchError where it loses more than `max_drop` points of accuracy, or gains
    neither size nor speed. Raises it too where a probability differs by more than 1e-4 from torch's.
    The folder is whole or not there. Counts as a look at the test set, in `test_evaluations.csv`.
    """
    wanted = Wanted.of(to, int8, max_drop)
    named = str(name.folder) if isinstance(name, Benchmark | Run) else None if name is None else str(name)
    return carried_out(Asked.of(named, Path(results)), wanted, watch or Watch())


@dataclass(frozen=True)
class Wanted:
    """What is to be made."""

    to: Kind
    max_drop: float | None = None
    """Points of accuracy that int8 may lose; None: fp32."""

    @classmethod
    def of(cls, to: Kind, int8: bool, max_drop: float | None = None) -> "Wanted":
        """UsageError for what cannot be meant, or needs a package that is not installed."""
        if int8 and to != "onnx":
            raise UsageError("--int8: is of ONNX files; leave --to pt2 away")
        needed(to)
        return cls(to, fit("--max-drop", Drop, MAX_DROP if max_drop is None else max_drop) if int8 else None)

    @property
    def precision(self) -> str:
        return "fp32" if self.max_drop is None else "int8"

    @property
    def kind(self) -> str:
        """What it is called: "onnx", "int8", "pt2"."""
        return self.to if self.max_drop is None else "int8"


# --- checking -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A file that was made, opened again as a stranger would."""

    file: Path
    answers: check.Answering

    @classmethod
    def of(cls, file: Path) -> "Made":
        if file.suffix == ONNX:
            return cls(file, open_exported(file).answers)
        loaded = torch.export.load(file).module()

        def answers(pixels: Array) -> tuple[Array, Array | None]:
            with torch.inference_mode():
                told = loaded(torch.from_numpy(pixels))
            if isinstance(told, torch.Tensor):
                return told.double().numpy(), None
            return told[0].double().numpy(), told[1].double().numpy()

        return cls(file, answers)


@dataclass(frozen=True)
class Checked:
    """Files that answered the test pictures: the fp32 one, behind it the int8 one where that is wanted."""

    asked: Asked
    wanted: Wanted
    made: Mapping[str, Made]
    answers: Mapping[str, check.Answers]
    milliseconds: Mapping[str, Mapping[int, float]]
    """By name, and by how many pictures at a time; "torch" is one of them."""

    @property
    def last(self) -> Made:
        """The file that is wanted."""
        return self.made[self.wanted.kind]

    def predictions(self, name: str) -> Predictions:
        asked, pictures = self.asked, self.asked.pictures
        told = self.answers[name].probabilities
        return Predictions(asked.models[0].classes, pictures.paths, asked.labels, told, pictures.folds)

    def about(self, file: str) -> dict[str, Any]:
        """What `export.json` says of what was found; file: what the model is called there."""
        kind, threads = self.wanted.kind, torch.get_num_threads()
        milliseconds = {"torch_ms": self.milliseconds["torch"], "exported_ms": self.milliseconds[kind]}
        return {
            "file": file,
            "mb": _mb(self.last.file),
            "sha256": files.sha256_of(self.last.file),
            "test": self._test(kind),
            "latency": {
                "threads": threads,
                **{
                    name: {str(batch): ms for batch, ms in each.items()}
                    for name, each in milliseconds.items()
                },
            },
            "against_fp32": self._against_fp32() if kind == "int8" else None,
        }

    def _test(self, name: str) -> dict[str, Any]:
        answers, asked = self.answers[name], self.asked
        n, groups = len(asked.pictures.paths), asked.test.group_numbers
        found: dict[str, Any] = {
            "n": n,
            "groups": None if groups is None else len(set(groups.tolist())),
            "agreed": answers.agreed,
            "agreement": answers.agreed / n,
            "largest_difference": answers.largest,
            "picture": answers.picture,
        }
        if not asked.tested:
            return {**found, **dict.fromkeys(("correct", "top1", "top1_low", "top1_high"))}
        correct = self.predictions(name).correct
        low, high = accuracy_interval(correct, groups, fold_inflation(asked.folds))
        score = {
            "correct": int(correct.sum()),
            "top1": float(correct.mean()),
            "top1_low": low,
            "top1_high": high,
        }
        return {**found, **score}

    def _against_fp32(self) -> dict[str, Any]:
        before, now = self.predictions(self.wanted.to), self.predictions("int8")
        groups, inflation = self.asked.test.group_numbers, fold_inflation(self.asked.folds)
        mb, fp32_mb = _mb(self.last.file), _mb(self.made[self.wanted.to].file)
        times, fp32_times = self.milliseconds["int8"], self.milliseconds[self.wanted.to]
        found = paired_difference(now.correct, before.correct, groups, inflation)
        return {
            "agreed": int((now.answers == before.answers).sum()),
            "largest_difference": float(np.abs(now.probabilities - before.probabilities).max()),
            "difference": found.value,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "fp32_top1": float(before.correct.mean()),
            "fp32_mb": fp32_mb,
            "fp32_ms": fp32_times[1],
            "mb": mb,
            "ms": times[1],
            "smaller": mb < SMALLER * fp32_mb,
            "faster": all(times[batch] < FASTER * fp32_times[batch] for batch in times),
        }


def _mb(file: Path) -> float:
    return file.stat().st_size / 1e6


def refuse_worse(about: Mapping[str, Any], max_drop: float | None) -> None:
    """VitbenchError, with the figures, where int8 loses more than `max_drop` points or gains nothing."""
    against, test = about["against_fp32"], about["test"]
    if against is None or max_drop is None:
        return
    figures = int8_line(against, test).rstrip(".")
    if -100 * against["difference"] > max_drop:
        raise VitbenchError(
            f"{about['run']}: int8 refused, it loses more than {max_drop:g} points (--max-drop): {figures}"
        )
    if not (against["smaller"] or against["faster"]):
        raise VitbenchError(f"{about['run']}: int8 refused, it gains neither size nor speed: {figures}")


# --- exporting ------------------------------------------------------------------------------------


def carried_out(asked: Asked, wanted: Wanted, watch: Watch) -> Export:
    """Export, check, write; the look at the test pictures is counted, also where int8 is refused then."""
    if wanted.precision == "int8" and not asked.tested:
        raise VitbenchError(
            f"{asked.run.name}: int8 refused, it learned from all pictures, so none tests it; export fp32"
        )
    top = asked.benchmark.folder / "export"
    name = f"{asked.run.name.replace('/', '-')}-{wanted.kind}"
    top.mkdir(exist_ok=True)
    with locked(top), files.naming(top / name), _whole(top / name) as new:
        watch.work(f"exporting {asked.run.name} to {wanted.kind}", 0, 0)
        model = new / f"model.{wanted.to}"
        write_graph(asked.models, wanted.to, model)
        made: dict[str, Made] = {wanted.to: Made.of(model)}
        if wanted.precision == "int8":
            quantise(model, new / f"int8{ONNX}")
            made["int8"] = Made.of(new / f"int8{ONNX}")
        checked = _checked(asked, wanted, made, watch)
        asked.run.add_evaluation("export", len(asked.pictures.paths))
        about = {"name": name, **_about(asked, wanted), **checked.about(model.name)}
        refuse_worse(about, wanted.max_drop)
        if wanted.precision == "int8":
            made["int8"].file.replace(model)
        _write(checked, about, new)
    return Export(top / name)


@contextlib.contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """`files.whole_folder`, what exports that were killed have left in its place's folder removed."""
    for left in place.parent.glob(".*.new"):
        shutil.rmtree(left, ignore_errors=True)
    with files.whole_folder(place) as new:
        yield new


def _checked(asked: Asked, wanted: Wanted, made: Mapping[str, Made], watch: Watch) -> Checked:
    """The files answer the test pictures beside torch, and are timed beside it."""
    network = check.network_answers(asked.models)
    way = asked.models[0].preprocessing
    answers = check.answer_again(
        asked.pictures,
        way,
        network,
        {name: one.answers for name, one in made.items()},
        {wanted.to: check.LIMIT},
        lambda done, total: watch.work(TESTED, done, total),
    )
    watch.work("timing it beside torch", 0, 0)
    graph = Graph(asked.models)
    passes = {"torch": check.torch_pass(graph), **{name: one.answers for name, one in made.items()}}
    return Checked(asked, wanted, made, answers, check.latencies(passes, way.size))


def _about(asked: Asked, wanted: Wanted) -> dict[str, Any]:
    """What `export.json` says of the model, whatever was found."""
    first = asked.models[0]
    way = first.preprocessing
    return {
        "vitbench": version("vitbench"),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "benchmark": asked.benchmark.name,
        "run": asked.run.name,
        "model": asked.run.model,
        "timm_name": first.timm_name,
        "base_model": asked.base_model,
        "models": len(asked.models),
        "split_digest": asked.benchmark.manifest["split"]["digest"],
        "format": wanted.to,
        "precision": wanted.precision,
        "classes": list(first.classes),
        "preprocessing": dataclasses.asdict(way),
        "resize": resized(way),
    }


def _write(checked: Checked, about: Mapping[str, Any], new: Path) -> None:
    """All that lies beside the model."""
    asked, wanted = checked.asked, checked.wanted
    vector = Graph(asked.models).example().numpy()
    answers = check.network_answers(asked.models) if wanted.precision == "fp32" else checked.last.answers
    np.savez(new / "test_vector.npz", pixels=vector, probabilities=answers(vector)[0].astype(np.float32))
    if wanted.to == "onnx":
        source = Path(check.__file__).with_name("reference.py")
        files.write_text(new / "reference.py", source.read_text(encoding="utf-8"))
    if asked.tested:
        checked.predictions(wanted.kind).write(new / "predictions.csv")
    limits = []
    if asked.chosen_among > 1:
        limits.append(
            f"It was taken because it scored best of {asked.chosen_among} models on these test pictures: its "
            "score is a little too good for that."
        )
    init = str(asked.run.about().get("init") or "not known")
    files.write_text(new / "README.md", card(about, asked.benchmark.manifest, init, limits))
    files.write_json(new / ABOUT, about)
