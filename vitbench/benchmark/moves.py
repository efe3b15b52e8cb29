"""Which runs `transfer` takes to which sizes and windows, and what is refused before anything is computed."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitbench.analysis.pooling import split_of
from vitbench.analysis.transfer import Cell, cell_of
from vitbench.benchmark import folder
from vitbench.comparison.opened import TestSet
from vitbench.errors import UnfitModelError, UsageError, first_line
from vitbench.models.folder import LoadedModel, load_model
from vitbench.models.plan import ModelPlan
from vitbench.models.transfer import Trained, Way
from vitbench.records import Benchmark, Preprocessing, Recipe, Run, Split

SCALES = (1.5, 2.0)
"""Of a model's own size, where none are named; the paper's are these and 2.5 and 3."""
Refused = dict[tuple[str, int, int, str], None]
"""(model, size, window, why not, one line), each once."""


@dataclass(frozen=True)
class Source:
    """A finished run, whose model is brought to other sizes."""

    run: Run
    """Of a benchmark with folds: its first fold."""
    model: str
    recipe: Recipe
    loaded: LoadedModel
    trained: Trained

    @classmethod
    def of(cls, run: Run) -> "Source":
        recipe, loaded = run.recipe(), load_model(run.model_folder)
        trained = Trained.of(loaded.module, recipe.model, recipe.preprocessing.size, recipe.model_args)
        return cls(run, run.model, recipe, loaded, trained)

    @property
    def own_size(self) -> int:
        return self.recipe.preprocessing.size

    @property
    def own_window(self) -> int:
        return self.trained.windows[0] if self.trained.windows else 0

    @property
    def tunable(self) -> str:
        """ "" where it can be trained further, else why not."""
        return "a frozen probe has no training to go on with" if self.recipe.name == "probe" else ""


@dataclass(frozen=True)
class Move:
    """One source at one place, as it is."""

    source: Source
    way: Way
    plan: ModelPlan
    window: int
    own: bool = False

    @property
    def size(self) -> int:
        return self.plan.image_size

    @property
    def preprocessing(self) -> Preprocessing:
        return dataclasses.replace(self.source.loaded.preprocessing, size=self.size)

    def cell(self, tuned: int) -> Cell:
        place = (self.size, self.window, self.plan.windows)
        return cell_of(self.source.model, self.way, self.source.own_size, place, tuned, own=self.own)


@dataclass(frozen=True)
class Asked:
    """What a call means."""

    benchmark: Benchmark
    split: Split
    test: TestSet
    moves: tuple[Move, ...]
    refused: tuple[tuple[str, int, int, str], ...]
    epochs: int
    paper_ways: dict[str, str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, benchmark: Benchmark, sizes: Sequence[int], windows: Sequence[int], epochs: int) -> "Asked":
        """UsageError for what cannot be meant, VitbenchError where no model is finished."""
        if len(windows) > 1 and len(windows) != len(sizes):
            raise UsageError(
                f"--windows: names {len(windows)} for {len(sizes)} sizes; one per size, or one for all"
            )
        fold = 1 if benchmark.folds else 0
        sources = _sources(benchmark, fold)
        places = _places(sources, sizes, windows)
        moves: list[Move] = []
        refused: Refused = {}
        for source in sources:
            own = source.trained.plan
            moves.append(Move(source, source.trained.ways[0], own, source.own_window, own=True))
            for size, asked in places:
                window = (asked or source.trained.window_at(size)) if source.trained.windows else 0
                for move in _moves(source, size, window, refused):
                    if move not in moves:
                        moves.append(move)
        if not any(not move.own for move in moves):
            reason = next((row[-1] for row in refused), "name other sizes than the models' own")
            raise UsageError(f"--sizes: no model runs at another size ({reason})")
        rows = benchmark.split_rows()
        test = TestSet.of([row for row in rows if not fold or row["fold"] == str(fold)])
        notes = ["each fold has models of its own: those of fold 1, with its test pictures"] if fold else []
        if epochs:
            notes += dict.fromkeys(f"{one.model}: {one.tunable}" for one in sources if one.tunable)
        ways = {source.model: source.trained.ways[0].name for source in sources}
        split = split_of(benchmark, fold)
        return cls(benchmark, split, test, tuple(moves), tuple(refused), epochs, dict(ways), tuple(notes))


def _sources(benchmark: Benchmark, fold: int) -> list[Source]:
    """Every finished run but the probes beside fine-tuned models."""
    runs = folder.finished_runs(benchmark, probes=False)
    return [Source.of(run.part(f"fold-{fold}") if fold else run) for run in runs]


def _places(sources: Sequence[Source], sizes: Sequence[int], windows: Sequence[int]) -> list[tuple[int, int]]:
    """(size, window; 0: as much larger as the picture) to go to."""
    if not sizes:
        found = dict.fromkeys(size for own in _own_sizes(sources) for size in _clean_sizes(sources, own))
        sizes = sorted(found)
    each = windows if len(windows) == len(sizes) else list(windows or (0,)) * len(sizes)
    return list(dict.fromkeys(zip(sizes, each, strict=True)))


def _own_sizes(sources: Sequence[Source]) -> list[int]:
    return list(dict.fromkeys(source.own_size for source in sources))


def _clean_sizes(sources: Sequence[Source], own: int) -> list[int]:
    """1.5 and 2 times a size, where every model of that size runs and nothing pads; else the next scales."""
    mine = [source for source in sources if source.own_size == own]

    def clean(size: int) -> bool:
        refused: Refused = {}
        for one in mine:
            list(_moves(one, size, one.trained.window_at(size), refused))
        return not refused

    asked = [int(own * scale) for scale in SCALES if (own * scale).is_integer()]
    found = [size for size in asked if clean(size)]
    return found or [next((size for size in (own * 3, own * 4) if clean(size)), own * 2)]


def _moves(source: Source, size: int, window: int, refused: Refused) -> Iterator[Move]:
    """A source at a place in every way of its family; why it cannot be there goes into `refused`."""
    if (size, window) == (source.own_size, source.own_window):
        return
    for way in source.trained.ways:
        try:
            yield Move(source, way, source.trained.plan_at(size, window, way), window)
        except UnfitModelError as error:
            refused[source.model, size, window, first_line(error)] = None
            return
