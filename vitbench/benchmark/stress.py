"""`stress`: trained models on damaged and shifted test pictures; answers kept condition by condition.

`stress-answers/<run>/` holds a predictions.csv per condition, so that a call goes on where one was stopped;
`stress/` the page and every number, written anew by each call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitbench import files
from vitbench.analysis.conditions import CLEAN, Answers, Asked, Cell, Ground
from vitbench.analysis.corruptions import CORRUPTIONS, DEFAULT, DEFAULT_SEVERITIES, named
from vitbench.analysis.equivariance import PICTURES, equivariance
from vitbench.analysis.shifts import DEFAULT as DEFAULT_SHIFTS
from vitbench.analysis.shifts import offsets_of, wider
from vitbench.analysis.stress import Stress, stressed
from vitbench.benchmark import folder
from vitbench.benchmark.evaluations import count_evaluation
from vitbench.benchmark.given import MADE, Given
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.opened import OpenBenchmark, TestSet
from vitbench.comparison.results import aligned
from vitbench.data.batches import Evaluation
from vitbench.data.prefetch import cores, even_slices, in_batches
from vitbench.errors import UsageError, VitbenchError
from vitbench.inference.devices import choose_device
from vitbench.inference.forward import probabilities
from vitbench.inference.stream import batch_size
from vitbench.locks import locked
from vitbench.models.folder import WEIGHTS_FILE, LoadedModel, load_model
from vitbench.records import Benchmark, Predictions, Run
from vitbench.records.frames import write_frames
from vitbench.records.watch import Watch
from vitbench.reports.stress import Example, write_stress

ANSWERS = "stress-answers"
LEDGER = "cells.json"
WORK = "models on damaged and shifted pictures"
Severities = tuple[int, ...]


def stress(
    benchmark: Benchmark | Path | str | None = None,
    *,
    corruptions: Sequence[str] = DEFAULT,
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    shifts: Sequence[int] = DEFAULT_SHIFTS,
    seed: int = 0,
    results: Path | str = "results",
    device: str = "auto",
    watch: Watch | None = None,
) -> Stress:
    """How a benchmark's models bear damaged and shifted test pictures; None: the newest finished benchmark.

    corruptions: names of `analysis.corruptions.CORRUPTIONS`, or "all"; severities: of 1 to 5; shifts: px,
    each in eight directions; () for none of either. Answers are kept in the benchmark's `stress-answers/`
    and counted as looks at its test pictures; no page is written. UsageError for what cannot be meant.
    """
    place = str(benchmark.folder) if isinstance(benchmark, Benchmark) else benchmark
    meant = Call.of(
        None if place is None else str(place), Path(results), corruptions, severities, shifts, seed
    )
    return carried_out(meant, choose_device(device), watch or Watch()).found


@dataclass(frozen=True)
class Part:
    """What one saved model answers: a run, or a fold of one."""

    run: Run
    test: TestSet

    @property
    def key(self) -> str:
        return self.run.name


@dataclass(frozen=True)
class Call:
    """What a call means."""

    opened: OpenBenchmark
    models: Mapping[str, tuple[tuple[Part, ...], ...]]
    """By model: per seed its parts."""
    asked: Asked
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def benchmark(self) -> Benchmark:
        return self.opened.benchmark

    @classmethod
    def of(
        cls,
        name: str | None,
        results: Path,
        corruptions: Sequence[str],
        severities: Sequence[int],
        shifts: Sequence[int],
        seed: int,
    ) -> "Call":
        """VitbenchError where nothing is trained, UsageError for what cannot be meant."""
        chosen = tuple(one.name for one in named(corruptions))
        levels = tuple(sorted(set(severities)))
        if chosen and (not levels or levels[0] < 1 or levels[-1] > 5):
            raise UsageError(f"--severities {','.join(map(str, severities))}: should be of 1 to 5")
        if not chosen and not shifts:
            raise UsageError("neither --corruptions nor --shifts: nothing to look at; name some of either")
        benchmark = folder.named_or_newest(name, results)
        finished = folder.finished_runs(benchmark)
        opened = OpenBenchmark.of(benchmark)
        chosen_runs = [run for run in finished if not run.planned.probe_of] or finished
        models: dict[str, tuple[tuple[Part, ...], ...]] = {}
        chosen_runs, without = _with_folds(chosen_runs, opened)
        for run in chosen_runs:
            models[run.model] = (*models.get(run.model, ()), _parts(run, opened))
        notes = [] if name else [folder.as_newest(benchmark, results)]
        notes += without
        fitting, left_out = _fitting(shifts, chosen_runs)
        notes += left_out
        return cls(opened, models, Asked(chosen, levels, offsets_of(fitting)), seed, tuple(notes))

    @property
    def conditions(self) -> list[str]:
        """The names of all, the clean pictures first."""
        scopes = self.asked.scopes()
        damaged = [key for name in self.asked.corruptions for key in scopes[name]]
        return [CLEAN, *damaged, *(offset.name for offset in self.asked.offsets)]


def _with_folds(runs: Sequence[Run], opened: OpenBenchmark) -> tuple[list[Run], list[str]]:
    """The runs that kept a model per fold, where there are folds, and what to say of the others.

    A probe keeps one model alone, which learned from every picture: it cannot be tested on any.
    """
    kept = [run for run in runs if not opened.folds or run.folds]
    others = [run.name for run in runs if run not in kept]
    why = "kept no model per fold, and the one it has learned from every picture"
    if not kept:
        raise VitbenchError(
            f"{opened.benchmark.folder}: {others[0]} {why}; `vitbench train --folds` keeps them, a benchmark "
            "without folds has test pictures apart"
        )
    return kept, [f"{name}: {why}; left out" for name in others]


def _parts(run: Run, opened: OpenBenchmark) -> tuple[Part, ...]:
    """A run's models with the pictures that each is tested on: with folds each fold's own."""
    if not opened.folds:
        return (Part(run, opened.test),)
    return tuple(
        Part(fold, TestSet.of([row for row in opened.rows if row["fold"] == str(fold.fold)]))
        for fold in run.folds
    )


def _fitting(shifts: Sequence[int], runs: Sequence[Run]) -> tuple[list[int], list[str]]:
    """The distances that every model's larger cut reaches, and what to say of the others."""
    reach = min(wider(run.recipe().preprocessing)[1] for run in runs)
    beyond = sorted({far for far in shifts if far > reach})
    said = f"shifts of {', '.join(map(str, beyond))} px are left out: the larger cut reaches {reach} px"
    return [far for far in shifts if far <= reach], [said] if beyond else []


@dataclass(frozen=True)
class Carried:
    """What a call found, and what of it a page shows."""

    found: Stress
    examples: tuple[Example, ...]
    uncounted: tuple[str, ...]
    """Looks that could not be counted, one line each."""


def carried_out(call: Call, device: torch.device, watch: Watch) -> Carried:
    """Answer what is not answered yet, one model after the other, then work the numbers out."""
    home = call.benchmark.folder / ANSWERS
    home.mkdir(exist_ok=True)
    every = [part for seeds in call.models.values() for parts in seeds for part in parts]
    total = sum(len(part.test.paths) for part in every) * len(call.conditions)
    with locked(home), Given.of(call.opened) as given:
        work = Work(call, given, device, watch, total)
        for part in every:
            work.answer(part)
        found = stressed(
            [_answers(call, name, seeds, work) for name, seeds in call.models.items()],
            call.asked,
            Ground(call.opened.test, fold_inflation(call.opened.folds)),
            [*call.notes, *work.notes],
        )
        return Carried(found, _examples(call, given, every[0]), tuple(dict.fromkeys(work.uncounted)))


@dataclass
class Work:
    """What is answered so far."""

    call: Call
    given: Given
    device: torch.device
    watch: Watch
    total: int
    done: int = 0
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By part what its `cells.json` holds."""
    notes: list[str] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)

    def place(self, part: Part) -> Path:
        return self.call.benchmark.folder / ANSWERS / part.key

    def answer(self, part: Part) -> None:
        """Every condition of a part that is not there yet."""
        place, n = self.place(part), len(part.test.paths)
        place.mkdir(parents=True, exist_ok=True)
        ledger = _ledger(place / LEDGER, self._identity(part))
        self.ledgers[part.key] = ledger
        lacking = [one for one in self.call.conditions if one not in ledger["cells"]]
        self.done += n * (len(self.call.conditions) - len(lacking))
        self.watch.work(WORK, self.done, self.total)
        if not lacking and "equivariance" in ledger:
            return
        loaded = load_model(part.run.model_folder)
        loaded.module.to(self.device)
        for condition in lacking:
            predictions, cell = self._cell(part, loaded, condition)
            predictions.write(place / f"{condition}.csv")
            ledger["cells"][condition] = cell
            files.write_json(place / LEDGER, ledger)
            self._count(part)
        if "equivariance" not in ledger and self.call.asked.offsets:
            ledger["equivariance"] = equivariance(
                loaded.module, loaded.preprocessing.size, self._load(part, loaded)
            )
            files.write_json(place / LEDGER, ledger)
        loaded.module.to("cpu")

    def _identity(self, part: Part) -> dict[str, Any]:
        """What decides a part's answers beside the condition."""
        return {
            "weights": files.sha256_of(part.run.model_folder / WEIGHTS_FILE),
            "pictures": list(part.test.contents),
            "seed": self.call.seed,
            "made": MADE,
            "device": self.device.type,
        }

    def _cell(self, part: Part, loaded: LoadedModel, condition: str) -> tuple[Predictions, dict[str, Any]]:
        way, n, before = loaded.preprocessing, len(part.test.paths), self.done
        evaluation, pixels = (
            Evaluation(way),
            self.given.of_condition(part.test, way, condition, self.call.seed),
        )
        batches = [range(n)[each] for each in even_slices(n, batch_size(way.size))]

        def inputs() -> Iterator[torch.Tensor]:
            for cuts in in_batches(pixels.made, batches, workers=cores()):
                pixels.note(cuts)
                yield evaluation.inputs([torch.from_numpy(one) for one in cuts], self.device)
                self.done += len(cuts)
                self.watch.work(WORK, self.done, self.total)

        said = probabilities(loaded.module, inputs(), self.device)
        self.done = before + n
        index = {name: place for place, name in enumerate(loaded.classes)}
        labels = np.array([index[label] for label in part.test.labels], dtype=np.int64)
        cell = {"pixels": pixels.digest, "change": pixels.change, "pictures": n}
        return Predictions(loaded.classes, part.test.paths, labels, said), cell

    def _load(self, part: Part, loaded: LoadedModel) -> Callable[[int, Sequence[int]], torch.Tensor]:
        """A few pictures, larger by so many px, cropped at offsets from their corner."""
        way, evaluation = loaded.preprocessing, Evaluation(loaded.preprocessing)
        few = part.test.only(np.arange(min(PICTURES, len(part.test.paths))))

        def load(more: int, corners: Sequence[int]) -> torch.Tensor:
            wide = self.given.larger(few, way, way.size + more)
            crops = [one[at : at + way.size, at : at + way.size] for at in corners for one in wide]
            return evaluation.inputs([torch.from_numpy(one.copy()) for one in crops], self.device)

        return load

    def _count(self, part: Part) -> None:
        failed = count_evaluation([part.run], "stress", len(part.test.paths))
        self.uncounted += [f"{reason}: looks are not counted" for reason in failed]


def _ledger(path: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What is answered of a part; nothing where other weights, pictures or a seed were."""
    try:
        found = dict(files.read_json(path))
        if found["identity"] == dict(identity):
            there = {name for name in found["cells"] if (path.parent / f"{name}.csv").exists()}
            return {**found, "cells": {name: found["cells"][name] for name in there}}
    except (OSError, KeyError, TypeError, VitbenchError):
        pass
    return {"identity": dict(identity), "cells": {}}


def _answers(call: Call, name: str, seeds: Sequence[Sequence[Part]], work: Work) -> Answers:
    """One model under every condition, read from what is kept."""
    said = {
        condition: tuple(_together(call, parts, condition, work) for parts in seeds)
        for condition in call.conditions
    }
    recipe = seeds[0][0].run.recipe()
    ledgers = [work.ledgers[part.key] for part in seeds[0]]
    cells = {key: _cell_of([ledger["cells"][key] for ledger in ledgers]) for key in call.conditions}
    blocks = [tuple(row) for row in ledgers[0].get("equivariance", ())] if call.asked.offsets else []
    for seed, parts in enumerate(seeds):
        if note := _unlike(said[CLEAN][seed], parts, call):
            work.notes.append(f"{name}: {note}")
    return Answers(name, said, recipe.augment, recipe.preprocessing.size, cells, tuple(blocks))


def _together(call: Call, parts: Sequence[Part], condition: str, work: Work) -> Predictions:
    """The answers of a run's parts as one, in the order of the test set."""
    each = [Predictions.read(work.place(part) / f"{condition}.csv") for part in parts]
    classes = each[0].classes
    one = Predictions(
        classes,
        tuple(path for part in each for path in part.paths),
        np.concatenate([part.labels for part in each]),
        np.concatenate([part.probabilities for part in each]),
    )
    return aligned(one, call.opened.test.paths, call.opened.classes)


def _cell_of(each: Sequence[Mapping[str, Any]]) -> Cell:
    """What a run's parts were given, together."""
    weights = [float(one["pictures"]) for one in each]
    change = float(np.average([one["change"] for one in each], weights=weights))
    return Cell(" ".join(str(one["pixels"])[:16] for one in each), change)


def _unlike(clean: Predictions, parts: Sequence[Part], call: Call) -> str:
    """What to say where clean pictures are answered otherwise than in the benchmark; "" where none is."""
    run = parts[0].run if not call.opened.folds else Run(parts[0].run.folder.parent, parts[0].run.planned_as)
    before = aligned(run.predictions(), call.opened.test.paths, call.opened.classes)
    different = int((before.answers != clean.answers).sum())
    return (
        f"{different} clean pictures are answered otherwise here than when it was tested" if different else ""
    )


def _examples(call: Call, given: Given, part: Part) -> tuple[Example, ...]:
    """One test picture under every corruption, as the first model is given it."""
    if not call.asked.corruptions:
        return ()
    way = part.run.recipe().preprocessing
    one = part.test.only(np.array(part.test.sorted_places()[:1]))
    found = [Example("", 0, given.cuts(one, way)[0])]
    for name in call.asked.corruptions:
        for severity in call.asked.severities:
            pixels = CORRUPTIONS[name].apply(found[0].pixels, severity, call.seed, one.contents[0])
            found.append(Example(name, severity, pixels))
    return tuple(found)


def write(
    call: Call, carried: Carried, report: Callable[[str], None] = lambda _: None, typed: str = ""
) -> Path:
    """Write the page and every number into `stress/`, in the place of what was there, or nothing.

    `report` hears what could not be drawn; typed: the command that does it again.
    """
    place = call.benchmark.folder / "stress"
    with folder.writing(call.benchmark), files.whole_folder(place) as new:
        write_frames(carried.found.frames, new)
        for note in write_stress(carried.found, carried.examples, new, call.benchmark.name, typed):
            report(note)
    return place
