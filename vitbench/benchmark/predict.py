"""`predict`: which saved models answer, found by benchmark, run or folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench.benchmark import folder
from vitbench.errors import UsageError, VitbenchError
from vitbench.inference.stream import answer, collect
from vitbench.models.folder import LoadedModel, load_model
from vitbench.records import Answer, Benchmark, Run
from vitbench.training.machine import choose_device


def predict(
    *images: Path | str,
    run: Benchmark | Run | Path | str | None = None,
    models: Sequence[str] = (),
    results: Path | str = "results",
    device: str = "auto",
    top_k: int = 1,
) -> Iterator[Answer]:
    """What every model of a run or benchmark says about images, folders and globs; one `Answer` each.

    `run`: as they are, by name in `results` or by path (any saved model folder too); None: the newest
    finished benchmark. `models` keeps only these of its models.
    """
    name = str(run.folder) if isinstance(run, Benchmark | Run) else None if run is None else str(run)
    panel = panel_for(name, models, Path(results))
    questions = collect([str(image) for image in images])
    yield from answer(panel.models, questions, choose_device(device), top_k, panel.seen())


@dataclass(frozen=True)
class Panel:
    """The models that answer."""

    models: dict[str, LoadedModel]
    """By run name."""
    benchmark: Benchmark | None
    """Where they come from, if that is known."""

    def seen(self) -> dict[str, str]:
        """sha256 of every picture of the benchmark → "train", "val" or "test"."""
        if self.benchmark is None:
            return {}
        return {row["sha256"]: row["split"] for row in self.benchmark.split_rows()}


def panel_for(name: str | None, wanted: Sequence[str], results: Path) -> Panel:
    """The models that answer.

    `name`: a benchmark, one run of it (`NAME/vit-s0`), or the path of a run or of any saved model
    folder; None: the newest finished benchmark. `wanted` keeps only these models or runs.
    """
    if name is not None and (path := _single(name, results)) is not None:
        model = path.resolve()
        run = model.parent if (model.parent / "recipe.json").exists() else None
        known = run is not None and (run.parent / "benchmark.json").exists()
        label = run.name if run is not None else model.name
        return Panel({label: load_model(path)}, Benchmark(run.parent) if run is not None and known else None)
    benchmark = folder.newest(results) if name is None else folder.find(name, results)
    finished = [run for run in benchmark.runs if run.status == "finished"]
    chosen = [run for run in finished if not wanted or run.model in wanted or run.name in wanted]
    if not finished:
        raise VitbenchError(f"{benchmark.folder}: no finished run in it; `vitbench train --resume` goes on")
    if missing := [w for w in wanted if not any(w in (run.model, run.name) for run in chosen)]:
        there = ", ".join(run.name for run in finished)
        raise UsageError(f"--models {missing[0]}: not a finished run of {benchmark.name} (there: {there})")
    return Panel({run.name: load_model(run.model_folder) for run in chosen}, benchmark)


def _single(name: str, results: Path) -> Path | None:
    """The model folder of a run or of a saved model called so; None where it is neither."""
    for path in (Path(name), results / name):
        if (path / "config.json").exists():
            return path
        run = Run(path)
        if (path / "recipe.json").exists():
            if run.status != "finished":
                raise VitbenchError(
                    f"{path}: this run is {run.status}; `vitbench train --resume` goes on with it"
                )
            return run.model_folder
    return None
