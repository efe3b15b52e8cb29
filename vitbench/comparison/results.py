"""What runs say about their benchmarks' test pictures, read once, all answers in one order."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from vitbench.comparison.opened import OpenBenchmark, TestSet
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Array, Benchmark, Epoch, Predictions, Recipe, Run, probe_name
from vitbench.records.commands import going_on
from vitbench.records.joining import joined

T = TypeVar("T")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, VitbenchError)
"""What reading a damaged or missing file of a run raises."""


@dataclass(frozen=True)
class Identity:
    """What a run is, by its `recipe.json`."""

    run: Run
    about: Mapping[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class RunResult(Identity):
    """A finished run with what its files say."""

    metrics: Mapping[str, Any]
    predictions: Predictions
    """Paths and classes in the order of the first benchmark."""

    @functools.cached_property
    def epochs(self) -> list[Epoch]:
        """Read when they are asked for; what the file holds may not be epochs: `UNREADABLE`."""
        return self.run.epochs()

    @functools.cached_property
    def training_seconds(self) -> float | None:
        """What its epochs took, of all folds, evaluation left out; None where nothing says it."""
        try:
            rows = [row for fold in self.run.folds for row in fold.epochs()] or self.epochs
        except UNREADABLE:
            return None
        return sum(row.seconds for row in rows) if rows else None


@dataclass(frozen=True)
class ModelResult:
    """One model of a benchmark with its runs (one per seed); those with answers are `answered`."""

    model: str
    """As shown: the user's name for it, with its benchmark before it where two share the name."""
    benchmark: str
    runs: tuple[Run, ...]
    answered: tuple[RunResult, ...]
    """Finished runs whose metrics, recipe and predictions could be read."""
    problems: tuple[str, ...]
    """Why the other runs have no answers, one line each, led by the run's name."""
    identity: Identity | None
    """The first of `answered`, else the first run with a readable recipe.json; None: there is none."""
    probe_of: str = ""
    """The model whose own frozen probe this is, shown beside it; "" for a competitor."""
    arm: str = ""
    """The way of training that its folder and recipe name; "": the plain one."""
    of: str = ""
    """The model that was trained, as folders name it: what models of several arms share."""

    @property
    def predictions(self) -> tuple[Predictions, ...]:
        """Those of `answered`."""
        return tuple(one.predictions for one in self.answered)

    @functools.cached_property
    def correct(self) -> Array:
        """(k, n) bool: right or wrong per seed and test picture; needs an answered run."""
        return np.stack([p.correct for p in self.predictions])

    @property
    def is_probe(self) -> bool:
        return self.identity is not None and self.identity.recipe.name == "probe"

    @property
    def from_scratch(self) -> bool:
        """It began from random weights."""
        return self.identity is not None and self.identity.recipe.init.kind == "random"

    @property
    def seedless(self) -> bool:
        """No seed takes part in it: a probe of weights that are not random."""
        return self.is_probe and not self.from_scratch

    @property
    def status(self) -> Any:
        """finished, partial (some seeds), failed, interrupted or new (nothing of it was started)."""
        if self.answered:
            return "finished" if len(self.answered) == len(self.runs) else "partial"
        states = {run.status for run in self.runs}
        if "interrupted" in states:
            return "interrupted"
        return "new" if states == {"new"} else "failed"


@dataclass(frozen=True)
class Results:
    """Benchmarks that share their classes and test pictures, read once for comparison and reports."""

    sources: tuple[OpenBenchmark, ...]
    models: tuple[ModelResult, ...]
    """Every planned one, in the order asked for."""

    @property
    def first(self) -> OpenBenchmark:
        """The one whose order of pictures and classes holds."""
        return self.sources[0]

    @property
    def test(self) -> TestSet:
        """The test pictures of the first one."""
        return self.first.test

    @functools.cached_property
    def joined_test(self) -> TestSet:
        """The test pictures, in groups that hold whatever some benchmark groups.

        Pictures are matched by content. Two stand together where a chain of groups, of any of the benchmarks,
        or of equal contents leads from one to the other: so the order of the benchmarks does not matter.
        """
        every = [self.test.contents, *(source.test.like(self.test).groups for source in self.sources)]
        # a picture, then its content and its group in each benchmark, which carry the number of theirs
        chains = [[(-1, i), *enumerate(names)] for i, names in enumerate(zip(*every, strict=True))]
        tops = joined(chains)
        groups = (str(tops.get((-1, i), (-1, i))) for i in range(len(self.test.paths)))
        return dataclasses.replace(self.test, groups=tuple(groups))


Sources = Results | Benchmark | Sequence[Benchmark]


def read_results(sources: Sources) -> Results:
    """Every planned model of benchmarks that share their classes and test pictures, answers aligned.

    Raises UsageError naming the difference where they do not share them. Results come back as they are.
    """
    if isinstance(sources, Results):
        return sources
    several = [sources] if isinstance(sources, Benchmark) else sources
    opened = tuple(OpenBenchmark.of(benchmark) for benchmark in several)
    first = opened[0]
    found: list[ModelResult] = []
    for source in opened:
        if source is not first:
            _refuse_different(first, source)
        paths = source.test.like(first.test).paths
        by_model = _by_model(source.benchmark.runs)
        for model, runs in by_model.items():
            one = _model_result(source, model, runs, paths, first.classes)
            found.append(one)
    return Results(opened, tuple(_named(result, [one.model for one in found]) for result in found))


def ranked_models(models: Sequence[ModelResult]) -> list[ModelResult]:
    """The tested ones that the comparison is about; the probes beside them where nothing else was tested."""
    tested = [one for one in models if one.answered]
    return [one for one in tested if not one.probe_of] or tested


def _named(one: ModelResult, models: Sequence[str]) -> ModelResult:
    """The model as shown among `models`: a probe follows the name of its model."""
    name = one.probe_of or one.model
    shown = f"{one.benchmark}/{name}" if models.count(name) > 1 else name
    if one.probe_of:
        return dataclasses.replace(one, model=probe_name(shown), probe_of=shown)
    return dataclasses.replace(one, model=shown)


def _by_model(runs: Sequence[Run]) -> dict[str, list[Run]]:
    models: dict[str, list[Run]] = {}
    for run in runs:
        models.setdefault(run.model, []).append(run)
    return models


def _model_result(
    source: OpenBenchmark, model: str, runs: Sequence[Run], paths: Sequence[str], classes: Sequence[str]
) -> ModelResult:
    answered: list[RunResult] = []
    problems: list[str] = []
    identities: list[Identity] = []
    for run in runs:
        which = f"seed {run.seed}: " if len(runs) > 1 else ""
        identity: Identity | VitbenchError
        try:
            identity = _read("recipe.json", functools.partial(_identity, run))
            identities.append(identity)
        except VitbenchError as error:
            identity = error
        if run.status != "finished":
            problems.append(f"{which}{_why_not(run)}")
            continue
        try:
            answered.append(_run_result(run, identity, paths, classes))
        except VitbenchError as error:
            problems.append(f"{which}{error}")
    known = answered or identities
    return ModelResult(
        model=model,
        benchmark=source.name,
        runs=tuple(runs),
        answered=tuple(answered),
        problems=tuple(problems),
        identity=next(iter(known), None),
        arm=runs[0].planned.arm,
        of=runs[0].planned.network,
        probe_of=runs[0].planned.probe_of,
    )


def _identity(run: Run) -> Identity:
    return Identity(run, *run.identity())


def _run_result(
    run: Run, identity: Identity | VitbenchError, paths: Sequence[str], classes: Sequence[str]
) -> RunResult:
    """A finished run; VitbenchError, one line, where one of its files cannot be used."""
    metrics = _read("metrics.json", run.metrics)
    _read("metrics.json", lambda: int(metrics["best_epoch"]))
    if isinstance(identity, VitbenchError):
        raise identity
    told = _read("predictions.csv", lambda: aligned(run.predictions(), paths, classes))
    return RunResult(run, identity.about, identity.recipe, metrics, told)


def _read(name: str, read: Callable[[], T]) -> T:
    """What is read; VitbenchError naming the file where that cannot be."""
    try:
        return read()
    except VitbenchError as error:
        if name == "predictions.csv":  # the others name the file and the way out
            raise VitbenchError(_unusable(name, error)) from error
        raise
    except UNREADABLE as error:
        raise VitbenchError(_unusable(name, error)) from error


def _unusable(name: str, error: BaseException) -> str:
    return f"{name} cannot be used ({_one_line(error)}); train it again"


def _why_not(run: Run) -> str:
    if run.status == "failed":
        return run.failure or "failed"
    if run.status == "new":
        return "not started yet"
    return f"interrupted{_reached(run)}; `{going_on(Benchmark(run.folder.parent))}` goes on"


def _reached(run: Run) -> str:
    """How far an interrupted run came: " after epoch 3", " in fold 2 after epoch 3"; "" without epochs."""
    if run.folds:
        return f" in fold {len(run.folds)}{_reached(run.folds[-1])}"
    epochs = len(run.epochs())
    return f" after epoch {epochs}" if epochs else ""


def _one_line(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def aligned(predictions: Predictions, paths: Sequence[str], classes: Sequence[str]) -> Predictions:
    """The predictions of these pictures in this order, classes in this order (by name).

    Raises VitbenchError where a picture or a class is missing, or there are more than asked for.
    """
    if set(predictions.classes) != set(classes):
        raise VitbenchError("its classes are not the benchmark's")
    place = {path: i for i, path in enumerate(predictions.paths)}
    missing = [path for path in paths if path not in place]
    if missing or len(predictions.paths) != len(paths):
        raise VitbenchError(f"{len(predictions.paths)} pictures of {len(paths)}, {len(missing)} missing")
    rows = [place[path] for path in paths]
    columns = [predictions.classes.index(name) for name in classes]
    new_index = np.array([list(classes).index(name) for name in predictions.classes], dtype=np.int64)
    return Predictions(
        classes=tuple(classes),
        paths=tuple(paths),
        labels=new_index[predictions.labels[rows]],
        probabilities=predictions.probabilities[rows][:, columns],
        folds=None if predictions.folds is None else predictions.folds[rows],
    )


def _refuse_different(a: OpenBenchmark, b: OpenBenchmark) -> None:
    """Raise UsageError, naming the difference, unless both have the same classes and test pictures."""
    only_a, only_b = sorted(set(a.classes) - set(b.classes)), sorted(set(b.classes) - set(a.classes))
    if only_a or only_b:
        named = "; ".join(
            f"only {x.name} has {', '.join(repr(c) for c in only[:5])}"
            for x, only in ((a, only_a), (b, only_b))
            if only
        )
        raise UsageError(f"{a.name} and {b.name} have different classes ({named}); compare them one by one")
    test_a, test_b = a.test, b.test
    pictures_a, pictures_b = (list(zip(t.labels, t.contents, strict=True)) for t in (test_a, test_b))
    if sorted(pictures_a) != sorted(pictures_b):
        extra_a = [p for p, key in zip(test_a.paths, pictures_a, strict=True) if key not in set(pictures_b)]
        extra_b = [p for p, key in zip(test_b.paths, pictures_b, strict=True) if key not in set(pictures_a)]
        named = "; ".join(
            f"{len(extra)} of {len(t.paths)} only in {x.name}, such as {extra[0]}"
            if extra
            else f"none of {len(t.paths)} only in {x.name}"
            for x, t, extra in ((a, test_a, extra_a), (b, test_b, extra_b))
        )
        raise UsageError(
            f"{a.name} and {b.name} have different test pictures ({named}): their scores are not comparable; "
            "train the models on one split (`train --name` adds a model to a benchmark)"
        )
