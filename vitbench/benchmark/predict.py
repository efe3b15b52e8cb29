"""`predict`: which saved models answer, found by benchmark, run or folder."""

from collections.abc import Iterator, Sequence
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
    found, _ = models_for(name, models, Path(results))
    yield from answer(found, collect([str(image) for image in images]), choose_device(device), top_k)


def models_for(
    name: str | None, wanted: Sequence[str], results: Path
) -> tuple[dict[str, LoadedModel], Benchmark | None]:
    """The models that answer, by run name, and the benchmark they come from, if any.

    `name`: a benchmark, one run of it (`NAME/vit-s0`), or the path of a run or of any saved model
    folder; None: the newest finished benchmark. `wanted` keeps only these models or runs.
    """
    if name is not None and (single := _single(name, results)) is not None:
        label, path = single
        return {label: load_model(path)}, None
    benchmark = folder.newest(results) if name is None else folder.find(name, results)
    finished = [run for run in benchmark.runs if run.status == "finished"]
    chosen = [run for run in finished if not wanted or run.model in wanted or run.name in wanted]
    if not finished:
        raise VitbenchError(f"{benchmark.folder}: no finished run in it; `vitbench train --resume` goes on")
    if missing := [w for w in wanted if not any(w in (run.model, run.name) for run in chosen)]:
        there = ", ".join(run.name for run in finished)
        raise UsageError(f"--models {missing[0]}: not a finished run of {benchmark.name} (there: {there})")
    return {run.name: load_model(run.model_folder) for run in chosen}, benchmark


def _single(name: str, results: Path) -> tuple[str, Path] | None:
    """A run's or a saved model's folder, with the name its column gets."""
    for path in (Path(name), results / name):
        if (path / "config.json").exists():
            in_run = path.name == "model" and (path.parent / "recipe.json").exists()
            return (path.resolve().parent.name if in_run else path.resolve().name), path
        run = Run(path)
        if (path / "recipe.json").exists():
            if run.status != "finished":
                raise VitbenchError(
                    f"{path}: this run is {run.status}; `vitbench train --resume` goes on with it"
                )
            return path.resolve().name, run.model_folder
    return None
