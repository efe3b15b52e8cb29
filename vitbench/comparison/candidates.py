"""What the runs of a benchmark say about its test pictures, every model's answers in one order."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Array, Benchmark, Predictions, Run, run_name
from vitbench.records.commands import going_on

UNREADABLE = (OSError, ValueError, KeyError, TypeError, VitbenchError)
"""What reading a damaged or missing file of a run raises."""


@dataclass(frozen=True)
class Candidate:
    """One model of a benchmark with its runs (one per seed); those with answers are `answered`."""

    model: str
    """As shown: the user's name for it, with its benchmark before it where two share the name."""
    benchmark: str
    runs: tuple[Run, ...]
    answered: tuple[Run, ...]
    """Finished runs whose metrics, recipe and predictions could be read."""
    predictions: tuple[Predictions, ...]
    """Of `answered`, paths and classes in the benchmark's order."""
    problems: tuple[str, ...]
    """Why the other runs have no answers, one line each, led by the run's name."""
    probe_of: str = ""
    """The candidate whose own frozen probe this is, shown beside it; "" for a competitor."""
    arm: str = ""
    """The way of training that its folder and recipe name; "": the plain one."""
    of: str = ""
    """The model that was trained, as folders name it: what candidates of several arms share."""

    @property
    def correct(self) -> Array:
        """(k, n) bool: right or wrong per seed and test picture; needs an answered run."""
        return np.stack([p.correct for p in self.predictions])

    @property
    def seedless(self) -> bool:
        """No seed takes part in it: a probe of pretrained weights; needs an answered run."""
        recipe = self.answered[0].recipe()
        return recipe.name == "probe" and not recipe.init.startswith("random")

    @property
    def status(self) -> str:
        """finished, partial (some seeds), failed, interrupted or new (nothing of it was started)."""
        if self.answered:
            return "finished" if len(self.answered) == len(self.runs) else "partial"
        states = {run.status for run in self.runs}
        if "interrupted" in states:
            return "interrupted"
        return "new" if states == {"new"} else "failed"


@dataclass(frozen=True)
class TestSet:
    """The pictures that a benchmark reports on."""

    __test__ = False  # not a test, whatever pytest makes of its name

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    contents: tuple[str, ...]
    """sha256 of each file."""
    groups: tuple[str, ...]
    """What each picture stands together with: copies of it, its burst, its scene."""

    @property
    def group_numbers(self) -> Array | None:
        """(n,) int64: a number per group; None where every picture is a group of its own."""
        numbers = self.unit_numbers
        return numbers if len(set(self.groups)) < len(self.groups) else None

    @property
    def alone(self) -> Array:
        """(G,) places of pictures that stand for themselves: one per group, the first by content.

        Never by class: in groups that hold several classes the same one would stand for all of them.
        """
        first: dict[str, int] = {}
        for place in sorted(range(len(self.paths)), key=lambda i: (self.contents[i], self.paths[i])):
            first.setdefault(self.groups[place], place)
        return np.array(list(first.values()), dtype=np.int64)

    @property
    def unit_numbers(self) -> Array:
        """(n,) int64: a number per group, counted up in the order of content, which no path changes."""
        numbers: dict[str, int] = {}
        for place in self.sorted_places():
            numbers.setdefault(self.groups[place], len(numbers))
        return np.array([numbers[group] for group in self.groups], dtype=np.int64)

    @classmethod
    def of(cls, benchmark: Benchmark) -> "TestSet":
        """The test rows of `split.csv`, in its order."""
        rows = benchmark.rows_of("test")
        return cls(
            tuple(row["path"] for row in rows),
            tuple(row["class"] for row in rows),
            tuple(row["sha256"] for row in rows),
            tuple(row["group"] for row in rows),
        )

    def only(self, kept: Array) -> "TestSet":
        """The pictures in `kept` (n,) bool, in their order."""
        columns = (self.paths, self.labels, self.contents, self.groups)
        return TestSet(*(tuple(np.array(column, dtype=object)[kept].tolist()) for column in columns))

    def sorted_places(self) -> list[int]:
        """Places of the pictures in an order that depends on content first: equal for equal test sets."""
        keys = list(zip(self.labels, self.contents, self.paths, strict=True))
        return sorted(range(len(keys)), key=lambda i: keys[i])

    def like(self, other: "TestSet") -> "TestSet":
        """The same pictures in the order of `other`, which must hold the same contents."""
        order = [0] * len(self.paths)
        for mine, theirs in zip(self.sorted_places(), other.sorted_places(), strict=True):
            order[theirs] = mine
        columns = (self.paths, self.labels, self.contents, self.groups)
        return TestSet(*(tuple(column[i] for i in order) for column in columns))


def joined_test(benchmarks: Sequence[Benchmark]) -> TestSet:
    """The test pictures in the first benchmark's order, in groups that hold whatever some benchmark groups.

    Pictures are matched by content. Two stand together where a chain of groups, of any of the benchmarks,
    or of equal contents leads from one to the other: so the order of the benchmarks does not matter.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    reference = TestSet.of(benchmarks[0])
    n = len(reference.paths)
    same = [TestSet.of(benchmark).like(reference).groups for benchmark in benchmarks]
    names = [
        np.unique(np.array(one, dtype=str), return_inverse=True)[1] for one in (*same, reference.contents)
    ]
    # pictures and names of groups are the nodes, a picture's membership is an edge
    group = (
        n + np.concatenate([numbers + n * i for i, numbers in enumerate(names)]) if n else np.zeros(0, int)
    )
    picture = np.tile(np.arange(n), len(names))
    nodes = n * (len(names) + 1)
    edges = coo_array((np.ones(len(group)), (picture, group)), shape=(nodes, nodes))
    parts = connected_components(edges, directed=False)[1] if n else np.zeros(0, int)
    return dataclasses.replace(reference, groups=tuple(str(part) for part in parts[:n]))


def read_candidates(benchmarks: Sequence[Benchmark]) -> tuple[Candidate, ...]:
    """Every planned model of benchmarks that share their classes and test pictures, answers aligned.

    Raises UsageError naming the difference where they do not share them.
    """
    first = benchmarks[0]
    reference = TestSet.of(first)
    found: list[Candidate] = []
    for benchmark in benchmarks:
        own = TestSet.of(benchmark)
        if benchmark is not first:
            _refuse_different(first, reference, benchmark, own)
            own = own.like(reference)
        by_model = _by_model(benchmark.runs)
        found += [
            dataclasses.replace(
                _candidate(benchmark, model, runs, own.paths, first.classes),
                probe_of=probed_model(runs[0], by_model),
            )
            for model, runs in by_model.items()
        ]
    return tuple(_named(candidate, [c.model for c in found]) for candidate in found)


def competitors(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The tested ones that the comparison is about; the probes beside them where nothing else was tested."""
    tested = [candidate for candidate in candidates if candidate.answered]
    return [candidate for candidate in tested if not candidate.probe_of] or tested


PROBE_OF = "-probe"
"""What a model's own frozen probe is called behind the model's name."""


def probed_model(run: Run, models: Collection[str]) -> str:
    """The one of its benchmark's `models` whose own frozen probe a run is; "" for a run of its own."""
    base = run.model.removesuffix(PROBE_OF)
    if base == run.model or base not in models:
        return ""
    try:
        return base if run.recipe().name == "probe" else ""
    except UNREADABLE:  # not started yet, or damaged
        return base


def _named(candidate: Candidate, models: Sequence[str]) -> Candidate:
    """The candidate as shown among `models`: a probe follows the name of its model."""
    name = candidate.probe_of or candidate.model
    shown = f"{candidate.benchmark}/{name}" if models.count(name) > 1 else name
    if candidate.probe_of:
        return dataclasses.replace(candidate, model=f"{shown}{PROBE_OF}", probe_of=shown)
    return dataclasses.replace(candidate, model=shown)


def _by_model(runs: Sequence[Run]) -> dict[str, list[Run]]:
    models: dict[str, list[Run]] = {}
    for run in runs:
        models.setdefault(run.model, []).append(run)
    return models


def _candidate(
    benchmark: Benchmark, model: str, runs: Sequence[Run], paths: Sequence[str], classes: Sequence[str]
) -> Candidate:
    answered: list[Run] = []
    predictions: list[Predictions] = []
    problems: list[str] = []
    for run in runs:
        which = f"seed {run.seed}: " if len(runs) > 1 else ""
        if run.status != "finished":
            problems.append(f"{which}{_why_not(run)}")
            continue
        damage = _damage(run)
        if damage:
            problems.append(which + damage)
            continue
        try:
            predictions.append(aligned(run.predictions(), paths, classes))
        except UNREADABLE as error:
            problems.append(which + _unusable("predictions.csv", error))
            continue
        answered.append(run)
    arm, of = _arm(model, answered or runs)
    return Candidate(
        model,
        benchmark.name,
        tuple(runs),
        tuple(answered),
        tuple(predictions),
        tuple(problems),
        arm=arm,
        of=of,
    )


def _arm(model: str, runs: Sequence[Run]) -> tuple[str, str]:
    """The arm of a model's runs and the model that it trains, from the first readable recipe.json.

    ("", model) where that names no arm, or none is readable.
    """
    for run in runs:
        try:
            about = run.about()
        except UNREADABLE:
            continue
        if arm := str(about.get("arm") or ""):
            return arm, Run(Path(run_name(str(about.get("model") or model), run.seed))).model
    return "", model


def _damage(run: Run) -> str:
    """Why a finished run's metrics.json or recipe.json cannot be used, one line; "" where both can."""
    readers: dict[str, Callable[[], object]] = {
        "metrics.json": lambda: int(run.metrics()["best_epoch"]),
        "recipe.json": lambda: (run.about(), run.recipe()),
    }
    for name, read in readers.items():
        try:
            read()
        except VitbenchError as error:  # it names the file and the way out
            return str(error)
        except UNREADABLE as error:
            return _unusable(name, error)
    return ""


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


def _refuse_different(a: Benchmark, test_a: TestSet, b: Benchmark, test_b: TestSet) -> None:
    """Raise UsageError, naming the difference, unless both have the same classes and test pictures."""
    only_a, only_b = sorted(set(a.classes) - set(b.classes)), sorted(set(b.classes) - set(a.classes))
    if only_a or only_b:
        named = "; ".join(
            f"only {x.name} has {', '.join(repr(c) for c in only[:5])}"
            for x, only in ((a, only_a), (b, only_b))
            if only
        )
        raise UsageError(f"{a.name} and {b.name} have different classes ({named}); compare them one by one")
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


def slide_rows(benchmark: Benchmark) -> list[dict[str, Any]]:
    """The benchmark's `predictions.csv`: path, label, then <run> and <run>_probability per answered run."""
    answers = {
        run.name: predictions
        for candidate in read_candidates([benchmark])
        for run, predictions in zip(candidate.answered, candidate.predictions, strict=True)
    }
    test = TestSet.of(benchmark)
    rows: list[dict[str, Any]] = []
    for i, (path, label) in enumerate(zip(test.paths, test.labels, strict=True)):
        row: dict[str, Any] = {"path": path, "label": label}
        for name, predictions in answers.items():
            answer = int(predictions.answers[i])
            row[name] = predictions.classes[answer]
            row[f"{name}_probability"] = float(predictions.probabilities[i, answer])
        rows.append(row)
    return rows


def slide_columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The columns of `slide_rows`; path and label where there are no rows."""
    return list(rows[0]) if rows else ["path", "label"]
