"""Which trained model a call of `export` means, and the pictures that check it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitbench import files
from vitbench.benchmark import folder
from vitbench.benchmark.predict import model_set_for
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import RunResult, ranked_models, read_results
from vitbench.errors import UsageError, VitbenchError
from vitbench.exporting import check
from vitbench.models.folder import LoadedModel
from vitbench.records import Array, Benchmark, Run, counted
from vitbench.records.commands import command


@dataclass(frozen=True)
class Asked:
    """The model that is to be exported."""

    models: tuple[LoadedModel, ...]
    """Those of several folds answer together."""
    run: Run
    benchmark: Benchmark
    pictures: check.TestPictures
    test: TestSet
    labels: Array
    """(n,) int64"""
    chosen_among: int = 1
    """Models, where the best of them on the test pictures was taken."""
    notes: tuple[str, ...] = ()
    """How the words were understood."""

    @classmethod
    def of(cls, name: str | None, results: Path) -> "Asked":
        """VitbenchError where there is no such model, or not all of its test pictures are there."""
        home = _benchmark_named(name, results)
        best, among, notes = _best(home, name is None, results) if home else (None, 1, ())
        found = model_set_for(str(best.folder) if best else name, (), results)
        if not found.runs or found.benchmark is None:
            raise UsageError(
                f"{name}: belongs to no benchmark whose test pictures could check it; name a benchmark or "
                "a run"
            )
        run, benchmark = found.runs[0], found.benchmark
        rows = [row for row in benchmark.rows_of("test") if not found.fold or row["fold"] == str(found.fold)]
        test = TestSet.of(rows)
        root = Path(benchmark.manifest["data"])
        _refuse_lost(benchmark, test, root)
        models = next(iter(found.networks().values()))
        folds = np.array([int(row["fold"]) for row in rows]) if len(models) > 1 else None
        pictures = check.TestPictures(root, test.paths, test.contents, folds)
        index = {label: place for place, label in enumerate(models[0].classes)}
        labels = np.array([index[label] for label in test.labels], dtype=np.int64)
        return cls(models, run, benchmark, pictures, test, labels, among, notes)

    @property
    def tested(self) -> bool:
        """The pictures tell how good it is: it did not learn from them (as with `--final retrain`)."""
        return not self.benchmark.folds or len(self.models) > 1 or bool(self.run.fold)

    @property
    def folds(self) -> int:
        """Whose models together tested every picture; 0: no folds, or one of them alone."""
        return 0 if self.run.fold else self.benchmark.folds

    @property
    def base_model(self) -> str:
        """Where on the hub its first weights are; "" elsewhere."""
        return f"timm/{self.run.about()['timm_name']}" if self.run.recipe().init.kind == "hub" else ""


def _benchmark_named(name: str | None, results: Path) -> Benchmark | None:
    if name is None:
        return folder.newest(results)
    places = (results / name, Path(name))
    return next((Benchmark(place) for place in places if files.is_there(place / "benchmark.json")), None)


def _best(home: Benchmark, newest: bool, results: Path) -> tuple[Run, int, tuple[str, ...]]:
    """The run, best on val, of the model that is best on the test pictures; among how many; a note."""
    folder.finished_runs(home)
    models = ranked_models(read_results(home).models)
    best = max(models, key=lambda one: float(one.correct.mean()))
    run = max(best.answered, key=_on_val)
    of = folder.as_newest(home, results) if newest else home.name
    why = f": the best of its {counted(len(models), 'model')} on the test pictures" if len(models) > 1 else ""
    seeds = " and its best seed on val" if len(best.answered) > 1 else ""
    return run.run, len(models), (f"exporting {run.run.name} of {of}{why}{seeds}",)


def _on_val(result: RunResult) -> tuple[float, float]:
    val = result.metrics.get("val") or {}
    return float(val.get("top1") or 0), -float(val.get("loss") or 0)


def _refuse_lost(benchmark: Benchmark, test: TestSet, root: Path) -> None:
    lost = [
        path
        for path, sha256 in zip(test.paths, test.contents, strict=True)
        if not files.is_there(root / path) or files.sha256_of(root / path) != sha256
    ]
    if lost:
        way_on = command("compare", benchmark.name, data="FOLDER", results=benchmark.folder.parent)
        raise VitbenchError(
            f"{benchmark.folder}: {len(lost)} of {counted(len(test.paths), 'test picture')} are not there as "
            f"they were tested (first: {files.printable(lost[0])}); `{way_on}` says where they are now"
        )
