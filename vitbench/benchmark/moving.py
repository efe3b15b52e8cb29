"""What a work needs on another machine, and the same work where its files lie elsewhere."""

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.benchmark.parcels import Parcel, pack
from vitbench.benchmark.tasks import Need
from vitbench.data.store import store_folder
from vitbench.records import Benchmark, Run, Split
from vitbench.training.jobs import Job
from vitbench.training.machine import named

MODEL = "model.safetensors"


def needs_of(work: Any) -> tuple[Need, ...]:
    """The pictures, weights and teacher of a work that is about a `job` on a `split`."""
    found = []
    split, job = getattr(work, "split", None), getattr(work, "job", None)
    if isinstance(split, Split) and (first := next(iter((*split.train, *split.test)), None)):
        found.append(_need("pictures", split.root, first.path, first.sha256, split.digest))
    if isinstance(job, Job) and job.weights.path is not None:
        found.append(_need("weights", job.weights.path, "", _sha256(job.weights.path.absolute())))
    teacher = _teacher(work) if isinstance(job, Job) and job.teacher is not None else None
    if teacher is not None:
        model = next(iter(sorted(teacher.rglob(MODEL))), None)
        if model is not None:
            sample = model.relative_to(teacher).as_posix()
            found.append(_need("teacher", teacher, sample, _sha256(model)))
    return tuple(found)


def _need(kind: str, place: Path, sample: str, sha256: str, digest: str = "") -> Need:
    key = hashlib.sha256(f"{kind} {place.absolute()} {digest or sha256}".encode("utf-8", "replace"))
    return Need(kind, place.absolute(), sample, sha256, f"{kind}-{key.hexdigest()[:16]}")


@cache
def _sha256(path: Path) -> str:
    return files.sha256_of(path)


def _teacher(work: Any) -> Path | None:
    """The folder of the model that teaches, or of the run of the same benchmark."""
    teacher = work.job.teacher
    if teacher.folder is not None:
        return Path(teacher.folder)
    benchmark = getattr(work, "benchmark", None)
    return benchmark.folder / teacher.run if isinstance(benchmark, Benchmark) else None


def parcel_of(need: Need, work: Any) -> Parcel:
    """The files that are needed, packed."""
    if need.kind == "pictures":
        every = (*work.split.train, *work.split.val, *work.split.test)
        return pack(need.place, dict.fromkeys(picture.path for picture in every))
    if need.sample:
        return pack(need.place)
    # What a saved model learned from lies beside it.
    return pack(need.place.parent) if need.place.name == MODEL else pack(need.place.parent, [need.place.name])


def at_absolute_places(work: Any) -> Any:
    """The work as another process understands it, whose working folder is another one."""
    moves = {}
    if isinstance(getattr(work, "benchmark", None), Benchmark):
        moves["results"] = work.benchmark.folder.absolute()
    if isinstance(getattr(work, "split", None), Split):
        moves["pictures"] = work.split.root.absolute()
    return _at(work, moves)


def moved(work: Any, moves: Mapping[str, Path]) -> Any:
    """The work on this machine, some of its files moved: what kind of them → where they are."""
    if not isinstance(job := getattr(work, "job", None), Job):
        return _at(work, moves)
    machine = job.machine
    if machine.store and not Path(machine.store).parent.is_dir():
        machine = dataclasses.replace(machine, store=str(store_folder()))
    job = dataclasses.replace(job, machine=named(machine))
    if "weights" in moves and job.weights.path is not None:
        path = moves["weights"] / job.weights.path.absolute().name
        job = dataclasses.replace(job, weights=dataclasses.replace(job.weights, path=path))
    if "teacher" in moves and job.teacher is not None and job.teacher.folder is not None:
        job = dataclasses.replace(job, teacher=dataclasses.replace(job.teacher, folder=moves["teacher"]))
    return _at(dataclasses.replace(work, job=job), moves)


def _at(work: Any, moves: Mapping[str, Path]) -> Any:
    """With its pictures and results where they are."""
    if "pictures" in moves:
        work = dataclasses.replace(work, split=_rooted(work.split, moves["pictures"]))
    if "results" in moves:
        work = dataclasses.replace(work, benchmark=Benchmark(moves["results"]))
    return work


def _rooted(split: Split, root: Path) -> Split:
    return dataclasses.replace(split, root=root, folds=tuple(_rooted(fold, root) for fold in split.folds))


def run_of(work: Any) -> Run | None:
    """The run that a work writes; None: it leaves none."""
    run = getattr(work, "run", None)
    return run if isinstance(run, Run) else None
