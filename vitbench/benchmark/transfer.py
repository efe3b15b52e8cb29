"""`transfer`: a benchmark's models at other sizes and with other windows, kept cell by cell.

A cell is one run at one size with one window and one way to resize its positions. What it answers stays in
`transferred/`, so that a call that was interrupted, or asks for more sizes, goes on from there:
`<run>-<weights>-<way>-i<size>-w<window>/predictions.csv` as it is, `…-tuned-<epochs>/` after further
training, a run's folder like any other, with its model.
"""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from vitbench import files
from vitbench.analysis.transfer import Cell, Transfer
from vitbench.benchmark import folder
from vitbench.benchmark.moves import Asked, Move
from vitbench.comparison.results import aligned
from vitbench.data.epochs import epoch_size
from vitbench.data.scan import scan_folder
from vitbench.errors import RunFailedError, first_line
from vitbench.inference.devices import choose_device
from vitbench.inference.forward import predict_pictures
from vitbench.models.folder import save_model
from vitbench.models.transfer import brought
from vitbench.models.weights import saved_weights
from vitbench.records import (
    Benchmark,
    Epoch,
    Machine,
    Picture,
    Predictions,
    Run,
    Split,
)
from vitbench.records.watch import Watch
from vitbench.training import signals
from vitbench.training.jobs import Job
from vitbench.training.machine import choose_machine
from vitbench.training.recipes import further_recipe
from vitbench.training.runs import train_run

CELLS = "transferred"
"""In the benchmark's folder."""
EPOCHS = 3
WORK = "models at other sizes"


def transfer(
    benchmark: Benchmark | Path | str | None = None,
    *,
    sizes: Sequence[int] = (),
    windows: Sequence[int] = (),
    epochs: int = EPOCHS,
    results: Path | str = "results",
    device: str = "auto",
    watch: Watch | None = None,
) -> Transfer:
    """A benchmark's models at other image sizes, on the same test pictures; `frames` are the numbers.

    benchmark: as it is, by name in `results` or by path; None: the newest finished one. sizes: px; (): 1.5
    and 2 times each model's own, where nothing pads. windows: those of Swin's first stage, one per size or
    one for all; (): as much larger as the pictures. epochs: of further training at each size; 0: none. What
    every cell answers is kept in the benchmark's folder and taken from there the next time; each look at the
    test pictures is counted in the run that it is of.
    """
    home = folder.newest(Path(results)) if benchmark is None else benchmark
    if not isinstance(home, Benchmark):
        home = folder.find(str(home), Path(results))
    asked = Asked.of(home, sizes, windows, epochs)
    return carried_out(asked, choose_device(device), watch or Watch())


def carried_out(asked: Asked, device: torch.device, watch: Watch) -> Transfer:
    """Every cell answered, what is there already taken from where it lies; the cheap ones first."""
    home, notes = asked.benchmark, list(asked.notes)
    (home.folder / CELLS).mkdir(exist_ok=True)
    found: dict[Cell, list[Predictions]] = {}
    work = Work(asked, device, watch)
    with signals.handling():
        for move in asked.moves:
            found.setdefault(move.cell(0), []).append(work.as_it_is(move))
        for move in asked.moves if asked.epochs else ():
            if move.source.tunable:
                continue
            try:
                found.setdefault(move.cell(asked.epochs), []).append(work.tuned(move))
            except RunFailedError as error:
                cell = move.cell(asked.epochs)
                notes.append(f"{cell.model} at {cell.size} px: not trained further: {first_line(error)}")
    notes += work.uncounted
    answers = {cell: tuple(each) for cell, each in found.items() if each}
    return Transfer(
        home.name, asked.test, answers, asked.paper_ways, asked.refused, asked.epochs, tuple(notes)
    )


class Work:
    """The cells of a call, one after the other, each kept as soon as it is there."""

    def __init__(self, asked: Asked, device: torch.device, watch: Watch) -> None:
        self.asked, self.device, self.watch = asked, device, watch
        self.uncounted: list[str] = []
        self.total = sum(self._cost(move) for move in asked.moves)
        self.done = 0.0

    @functools.cached_property
    def measured(self) -> Split:
        """The split with the sizes of its pictures, which no file of a benchmark has and views are cut by."""
        split, settings = self.asked.split, self.asked.benchmark.settings
        looked = (settings.layout, True, self.watch.work, False, settings.store, split.pixel_range)
        sizes = {one.sha256: (one.width, one.height) for one in scan_folder(split.root, *looked).pictures}

        def sized(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
            found = ((one, sizes.get(one.sha256, (1, 1))) for one in pictures)  # who is gone fails when read
            return tuple(
                dataclasses.replace(one, width=width, height=height) for one, (width, height) in found
            )

        return dataclasses.replace(
            split, train=sized(split.train), val=sized(split.val), test=sized(split.test)
        )

    def _passes(self, tuned: bool, move: Move) -> float:
        """Of a picture through the network, a training step counting as three."""
        split, recipe = self.asked.split, move.source.recipe
        if not tuned:
            return 0.0 if move.own else len(split.test)
        views = epoch_size(split.train, recipe.per_class)
        return self.asked.epochs * (3 * views + len(split.val)) + len(split.val) + len(split.test)

    def _cost(self, move: Move) -> float:
        tuned = bool(self.asked.epochs) and not move.source.tunable
        return (self._passes(False, move) + (self._passes(True, move) if tuned else 0)) * move.size**2

    def _tell(self, move: Move, passes: float) -> None:
        """Progress by pixels that networks have seen; the same model's passes differ by little else."""
        self.watch.work(WORK, round(self.done + passes * move.size**2), round(self.total))

    def _finish(self, move: Move, tuned: bool) -> None:
        self.done += self._passes(tuned, move) * move.size**2
        if self.total:
            self._tell(move, 0)

    def as_it_is(self, move: Move) -> Predictions:
        """The answers of a cell without further training; at its own size those of the run."""
        if move.own:
            return self._in_order(move.source.run.predictions())
        place = self._place(move)
        if not (place / "predictions.csv").exists():
            machine = self._machine(move)
            model = brought(move.plan, saved_weights(move.source.run.model_folder), move.way)
            answers = predict_pictures(
                model.to(self.device),
                self.asked.split,
                self.asked.split.test,
                move.preprocessing,
                machine,
                on_progress=lambda done, total: self._tell(move, done),
            )
            self._count(move)
            place.mkdir(exist_ok=True)
            answers.write(place / "predictions.csv")
        self._finish(move, tuned=False)
        return self._in_order(Predictions.read(place / "predictions.csv"))

    def tuned(self, move: Move) -> Predictions:
        """The answers of a cell after further training at its size, begun or taken up again."""
        run = Run(Path(f"{self._place(move)}-tuned-{self.asked.epochs}"), move.source.run.planned)
        if run.status != "finished":
            self._train(move, run)
        if not (counted := run.folder / "counted").exists():
            self._count(move)
            files.write_text(counted, "in the run that it came from\n")
        self._finish(move, tuned=True)
        return self._in_order(run.predictions())

    def _train(self, move: Move, run: Run) -> None:
        start, source = run.folder.with_name(f"{run.folder.name}-start"), move.source
        model = brought(move.plan, saved_weights(source.run.model_folder), move.way)
        way = move.preprocessing
        save_model(model, start, source.loaded.classes, way, source.loaded.learned)
        weights = dataclasses.replace(
            saved_weights(start), label=f"{source.run.name} at {source.own_size} px"
        )
        recipe = further_recipe(source.recipe, move.plan, weights.origin, self.asked.epochs)
        job = Job(source.run.planned, move.plan, weights, recipe, self._machine(move))
        train_run(job, run, self.measured, Steps(self.watch, partial(self._trained, move)))
        shutil.rmtree(start)

    def _trained(self, move: Move, share: float) -> None:
        self._tell(move, self._passes(True, move) * share)

    def _place(self, move: Move) -> Path:
        weights = saved_weights(move.source.run.model_folder).origin.sha256[:8]
        run = move.source.run.name.replace("/", "-")
        way = "own" if move.own else move.way.name.replace(" ", "-")
        window = f"-w{move.window}" if move.window else ""
        return self.asked.benchmark.folder / CELLS / f"{run}-{weights}-{way}-i{move.size}{window}"

    def _machine(self, move: Move) -> Machine:
        settings = self.asked.benchmark.settings.model_copy(update={"jobs": 1})
        return choose_machine(settings, self.device, max(1, move.source.recipe.batch_size))

    def _in_order(self, answers: Predictions) -> Predictions:
        return aligned(answers, self.asked.test.paths, self.asked.split.classes)

    def _count(self, move: Move) -> None:
        """Note in the run that its test pictures were looked at; what cannot be noted is said."""
        run = move.source.run
        try:
            run.add_evaluation("transfer", len(self.asked.test.paths))
        except OSError as error:
            place = files.printable(run.folder / "test_evaluations.csv")
            self.uncounted.append(f"{place} cannot be written ({error.strerror}): a look is not counted")


class Steps(Watch):
    """Tells how far one training is, and hands on what is said."""

    def __init__(self, watch: Watch, report: Callable[[float], None]) -> None:
        self.watch, self.report = watch, report
        self.epochs = self.steps = 1

    def message(self, text: str) -> None:
        self.watch.message(text)

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.epochs, self.steps = epochs, steps

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        self.report(((epoch - 1) * self.steps + step) / (self.epochs * self.steps))

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        self.report(row.epoch / self.epochs)
