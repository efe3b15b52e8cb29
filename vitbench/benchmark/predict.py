"""`predict`: which saved models answer, found by benchmark, run or folder; looks at test sets are counted."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image

from vitbench import files
from vitbench.benchmark import folder
from vitbench.benchmark.evaluations import count_evaluation
from vitbench.benchmark.explain import Explainer
from vitbench.data.duplicates.descriptors import descriptor_of, fingerprint
from vitbench.data.kinds import several_notes
from vitbench.errors import UsageError, VitbenchError, did_you_mean
from vitbench.files import printable
from vitbench.inference.devices import choose_device
from vitbench.inference.stream import Answering, Question, Recognise, answer, collect
from vitbench.models.exported import ExportedModel, is_exported, open_exported
from vitbench.models.folder import LoadedModel, load_model
from vitbench.options import Count, fit
from vitbench.records import Answer, Benchmark, Fingerprints, Part, PixelRange, Run, counted
from vitbench.records.commands import command, going_on
from vitbench.records.exports import export_at
from vitbench.records.fingerprints import NOTHING, TESTED_ON, Found
from vitbench.records.pictures import LEFT_OUT, Several
from vitbench.records.watch import Watch


def predict(
    *images: Path | str,
    run: Benchmark | Run | Path | str | None = None,
    models: Sequence[str] = (),
    results: Path | str = "results",
    device: str = "auto",
    top_k: int = 1,
    watch: Watch | None = None,
    pixel_range: tuple[float, float] | None = None,
    explain: bool = False,
) -> Iterator[Answer]:
    """What every model of a run or benchmark says about images, folders and globs; one `Answer` each.

    `run`: as they are, by name in `results` or by path (any saved model folder too); None: the newest
    finished benchmark. `models` keeps only these of its models. `pixel_range`: what is black and white in
    pictures of more than 8 bits; None: what it was in training. Answers for the benchmark's own test
    pictures count as a look at its test set, in `test_evaluations.csv`; `watch` hears of it. `explain`: each
    answer has `maps` of what it rests on.
    """
    fit("--top-k", Count, top_k)
    name = str(run.folder) if isinstance(run, Benchmark | Run) else None if run is None else str(run)
    model_set = model_set_for(name, models, Path(results)).meaning(pixel_range)
    questions = collect([str(image) for image in images])
    yield from ask(model_set, questions, choose_device(device), top_k, (watch or Watch()).message, explain)


@dataclass(frozen=True)
class ModelSet:
    """The models that answer."""

    models: dict[str, tuple[Answering, ...]]
    """By run name; those of several folds answer together."""
    benchmark: Benchmark | None
    """Where they come from, if that is known."""
    fold: int = 0
    """The fold, from 1, where a single fold's model answers."""
    runs: tuple[Run, ...] = ()
    """Whose models they are; () for a saved model that belongs to no run."""

    def networks(self) -> dict[str, tuple[LoadedModel, ...]]:
        """The models, for whoever looks inside; UsageError where one is a file without an inside."""
        for name, together in self.models.items():
            if any(isinstance(one, ExportedModel) for one in together):
                raise UsageError(f"{name}: an exported model has no inside to look at; name the run it is of")
        return {
            name: tuple(one for one in together if isinstance(one, LoadedModel))
            for name, together in self.models.items()
        }

    def recognise(self) -> Recognise:
        """What the models' data holds of a picture: the very file, else a near-copy that taught, else tested.

        By the benchmark's split where there is one, and by what the models say that they learned from.
        """
        seen = self.seen()
        learned = NOTHING.joined([model.learned for models in self.models.values() for model in models])
        tested = Fingerprints.read(self.benchmark.folder / TESTED_ON) if self.benchmark else None
        places = [learned] if tested is None else [learned, tested]

        def known(sha256: str, picture: Image.Image) -> Found | None:
            if part := seen.get(sha256):
                return Found(part, near=False)
            printed = fingerprint(descriptor_of(picture))
            return next((found for one in places if (found := one.find(sha256, printed))), None)

        return known

    @property
    def pixel_range(self) -> PixelRange | None:
        """What is black and white in pictures of more than 8 bits, as the first model has it."""
        return next(one.preprocessing.pixel_range for together in self.models.values() for one in together)

    def meaning(self, ends: tuple[float, float] | None) -> "ModelSet":
        """This model_set with another black and white; None: as it is."""
        if ends is None:
            return self

        def told(one: Answering) -> Answering:
            return replace(one, preprocessing=replace(one.preprocessing, pixel_range=PixelRange(*ends)))

        models = {name: tuple(told(one) for one in together) for name, together in self.models.items()}
        return replace(self, models=models)

    def seen(self) -> dict[str, Part]:
        """sha256 of every picture of the benchmark → "train", "val" or "test".

        With folds some of the models were trained on every picture.
        """
        if self.benchmark is None:
            return {}
        part = self._part_in_folds if self.benchmark.folds else lambda row: row["split"]
        rows = self.benchmark.split_rows()
        return {row["sha256"]: part(row) for row in rows if row["split"] != LEFT_OUT}

    def _part_in_folds(self, row: dict[str, str]) -> Part:
        if row["fold"] == str(self.fold):
            return "test"
        return "val" if str(self.fold) in row["val_in"].split() else "train"

    def together(self) -> str:
        """Which runs answer by several folds' models, one line; "" where none does."""
        several = {name: len(models) for name, models in self.models.items() if len(models) > 1}
        if not several:
            return ""
        named = ", ".join(f"{name} ({count})" for name, count in several.items())
        return f"the models of all folds answer together, by the mean of their probabilities: {named}"


def ask(
    model_set: ModelSet,
    questions: Sequence[Question],
    device: torch.device,
    top_k: int,
    report: Callable[[str], None],
    explain: bool = False,
) -> Generator[Answer, None, None]:
    """The model_set's answer to each question, in order; those for its own test pictures are counted.

    They are one look in each of its runs, noted when the last answer is given or nobody wants any more;
    `report` gets one line about it. `explain`: answers have maps; what there are none of is reported first.
    """
    looked, odd = 0, _Odd()
    explainer = Explainer(model_set.networks(), device) if explain else None
    for line in explainer.refusals if explainer else ():
        report(line)
    try:
        for found in answer(model_set.models, questions, device, top_k, model_set.recognise()):
            looked += found.seen == "test" and not found.error
            odd.add(found)
            yield explainer.explained(found) if explainer else found
    finally:
        for line in odd.lines():
            report(line)
        if looked:
            report(_count_evaluation(model_set, looked))


@dataclass
class _Odd:
    """Answers for pictures that are not just what their files hold."""

    several: list[Several] = field(default_factory=list)
    assumed: list[Answer] = field(default_factory=list)
    cut_off: list[Answer] = field(default_factory=list)
    dim: list[Answer] = field(default_factory=list)

    def add(self, found: Answer) -> None:
        if found.several:
            self.several.append(found.several)
        if found.assumed:
            self.assumed.append(found)
        if found.cut_off:
            self.cut_off.append(found)
        if found.dim:
            self.dim.append(found)

    def lines(self) -> list[str]:
        """A line for each kind that occurred."""
        lines = several_notes(self.several)
        if self.assumed:
            first = self.assumed[0]
            lines.append(
                f"{counted(len(self.assumed), 'picture')} of more than 8 bits, and the models were trained "
                f"on 8 bits alone: black to white is what each shows by itself (in {printable(first.path)} "
                f"{first.shown}); --pixel-range LOW,HIGH says it"
            )
        if self.cut_off:
            first = self.cut_off[0]
            lines.append(
                f"{counted(len(self.cut_off), 'picture')} with values beyond {first.shown}, the black and "
                f"white of the training pictures, cut off there (e.g. {printable(first.path)}: {first.held})"
            )
        if self.dim:
            first = self.dim[0]
            lines.append(
                f"{counted(len(self.dim), 'picture')} all but black where {first.shown} is black to "
                f"white, as in the training pictures (e.g. {printable(first.path)}: {first.held}); convert "
                "to their values, or --pixel-range LOW,HIGH says what is meant"
            )
        return lines


def _count_evaluation(model_set: ModelSet, pictures: int) -> str:
    """Note a look at so many test pictures in every run of the model_set; what there is to say of it."""
    failed = count_evaluation(model_set.runs, "predict", pictures)
    times = 0
    try:
        times = max(len(run.evaluations()) for run in model_set.runs)
    except (OSError, VitbenchError) as error:
        failed.append(str(error))
    name = model_set.benchmark.name if model_set.benchmark is not None else ""
    mine = f"{pictures} of these {'is a test picture' if pictures == 1 else 'are test pictures'} of {name}"
    if failed:
        return f"{mine}, a look at its test set that is not counted: {'; '.join(failed)}"
    return f"{mine}: counted as a look at its test set ({ordinal(times)})"


def ordinal(number: int) -> str:
    """ "1st", "2nd", "11th"."""
    last = 0 if number // 10 % 10 == 1 else number % 10
    return str(number) + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")


def model_set_for(name: str | None, wanted: Sequence[str], results: Path) -> ModelSet:
    """The models that answer.

    `name`: a benchmark, one run of it (`NAME/vit-s0`) or of a fold (`NAME/vit-s0/fold-2`), or the path of
    a run, of any saved model folder or of an exported model; None: the newest finished benchmark. `wanted`
    keeps only these models or runs; a probe that stands beside its fine-tuned model answers only if it is
    named there.
    """
    if name is not None and (model_set := _single(name, results)) is not None:
        return model_set
    benchmark = folder.named_or_newest(name, results)
    finished = folder.finished_runs(benchmark)
    chosen = [run for run in finished if run.model in wanted or run.name in wanted]
    if missing := [w for w in wanted if not any(w in (run.model, run.name) for run in chosen)]:
        there = ", ".join(run.name for run in finished)
        near = did_you_mean(missing[0], [name for run in finished for name in (run.model, run.name)])
        raise UsageError(
            f"--models {missing[0]}: not a finished run of {benchmark.name} (there: {there}){near}"
        )
    if not wanted:
        chosen = [run for run in finished if not run.planned.probe_of] or finished
    return ModelSet({run.name: _models_of(run) for run in chosen}, benchmark, runs=tuple(chosen))


def _models_of(run: Run) -> tuple[LoadedModel, ...]:
    return tuple(load_model(path) for path in run.model_folders)


def _single(name: str, results: Path) -> ModelSet | None:
    """The run or the saved model called so; None where it is neither."""
    for path in (Path(name), results / name):
        if is_exported(path):
            return _of_export(path)
        if files.is_there(path / "config.json"):
            run = Run(path.resolve().parent)
            if (run.folder / "recipe.json").exists():
                _refuse_encoder(run)
                return _of_run(run, (load_model(path),))
            return ModelSet({path.resolve().name: (load_model(path),)}, None)
        if files.is_there(path / "recipe.json"):
            run = Run(path.resolve())
            if run.status != "finished":
                way_on = _going_on(run)
                raise VitbenchError(f"{path}: this run is {run.status}; {way_on}")
            _refuse_encoder(run)
            return _of_run(run, _models_of(run))
    if not (results / name).is_dir():
        for path in (Path(name), results / name):
            _refuse_file(path)
    return None


def _of_export(path: Path) -> ModelSet:
    """An exported model; where it still lies in its benchmark, that is told too, and looks are counted."""
    model = open_exported(path)
    made = export_at(path)
    name = made.name if made else model.file.stem
    home = made.home() if made else None
    runs = (home.run(made.about["run"]),) if made and home and "/" not in made.about["run"] else ()
    return ModelSet({name: (model,)}, home, runs=runs)


def _refuse_file(path: Path) -> None:
    """UsageError for a file: weights alone say neither which network they are of nor what it names."""
    if not (files.is_there(path) and path.is_file()):
        return
    near = [place for place in path.resolve().parents[:2] if (place / "config.json").exists()]
    way_on = (
        f"name the folder of the saved model, --run {files.quoted(os.path.relpath(near[0]))}"
        if near
        else "name a benchmark, a run or the folder of a saved model (config.json and model.safetensors)"
    )
    raise UsageError(f"--run {path}: is a file, which does not say what network it is of; {way_on}")


def _going_on(run: Run) -> str:
    """How a run that is not finished is gone on with."""
    home = _benchmark_of(run)
    return f"`{going_on(home)}` goes on with it" if home else "train it again"


def _refuse_encoder(run: Run) -> None:
    """UsageError for the result of masked pre-training."""
    if run.recipe().masking is not None:
        way_on = command("train", "DATA", weights=str(run.folder), models=run.about()["network"])
        raise UsageError(
            f"--run {run.folder}: is a pre-trained encoder, which names no classes; next: {way_on}"
        )


def _of_run(run: Run, models: tuple[LoadedModel, ...]) -> ModelSet:
    """One run alone, or one part of a run."""
    return ModelSet({run.name: models}, _benchmark_of(run), run.fold, (run,))


def _benchmark_of(run: Run) -> Benchmark | None:
    """The one that a run, or a part of a run, lies in."""
    found = next((p for p in list(run.folder.parents)[:2] if (p / "benchmark.json").exists()), None)
    return Benchmark(found) if found else None
