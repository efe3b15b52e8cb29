"""Cells of frozen networks: the features of all pictures once, by the engine, then a head per cell here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from vitbench.analysis.sweep import Cell
from vitbench.benchmark.auto import equipped
from vitbench.benchmark.engine import each_of
from vitbench.benchmark.engines import Where
from vitbench.benchmark.plan import Plan
from vitbench.benchmark.sweep_folder import (
    Computed,
    Place,
    SweepFolder,
    draw_key,
    parts_of,
    places,
    right_of,
    shots_of,
)
from vitbench.data.shots import Pool
from vitbench.errors import KilledError, RunFailedError
from vitbench.inference.features import feature_key, features_of, stored_contents
from vitbench.inference.linear import FIXED, fit_fixed
from vitbench.models.create import create
from vitbench.records import Array, Machine, Picture, Split, label_indices
from vitbench.records.planned import probe_name
from vitbench.records.watch import Watch
from vitbench.training.jobs import Job
from vitbench.training.machine import in_memory


@dataclass(frozen=True)
class FeaturesWork:
    """The features of all pictures of a split, by one network."""

    job: Job
    split: Split

    @property
    def name(self) -> str:
        return probe_name(self.job.model)

    @property
    def key(self) -> str:
        """Of all that decides a picture's features."""
        job, split = self.job, self.split
        return feature_key(job.plan, job.weights, job.recipe.seed, len(split.classes), split.pixel_range)

    @property
    def pictures(self) -> list[Picture]:
        """Each once."""
        return list(dict.fromkeys(p for part in parts_of(self.split) for _, p in part.assigned()))

    @property
    def there(self) -> bool:
        """Whether nothing is left to compute."""
        kept = stored_contents(self.key, self.job.machine.device)
        return all(picture.sha256 in kept for picture in self.pictures)

    def __call__(self, watch: Watch) -> Array:
        """(N, D) float32, in the order of `pictures`."""
        job = self.job
        torch.set_num_threads(job.machine.threads)
        model: Callable[[], torch.nn.Module] = lambda: create(  # noqa: E731
            job.plan, len(self.split.classes), job.weights, job.recipe.seed
        ).to(job.machine.device)
        computed: Callable[[Machine], Array] = lambda machine: features_of(  # noqa: E731
            model,
            self.key,
            self.split.root,
            self.pictures,
            job.recipe.preprocessing,
            machine,
            on_progress=partial(watch.work, f"{job.model}: features"),
            on_event=watch.message,
        )
        return in_memory(self.name, job.machine, computed, watch.message, beside=job.beside)


@dataclass(frozen=True)
class Drawn:
    """What there is to learn from."""

    split: Split
    pools: Sequence[Pool]
    sizes: Mapping[str, float]
    draws: int

    def places(self, model: str, seed: int) -> list[Place]:
        """The cells of a model."""
        return places(model, seed, self.sizes, self.draws)


@dataclass(frozen=True)
class ProbedCells:
    """What is to be probed."""

    plan: Plan
    drawn: Drawn
    place: SweepFolder

    def carried_out(self, watch: Watch, where: Where) -> Computed:
        """Those that are there, and all others."""
        works = [FeaturesWork(job, self.drawn.split) for job in self.plan.jobs]
        keys = {work.name: f"{work.key[:16]} {work.job.machine.device} C={FIXED:g}" for work in works}
        found = self.place.cells(keys)
        wanted = {work.name: self.drawn.places(work.name, work.job.recipe.seed) for work in works}
        todo = {name: [one for one in some if one not in found] for name, some in wanted.items()}
        new, failed = set[str](), list[str]()
        for work, rows in self._features([work for work in works if todo[work.name]], watch, where):
            if isinstance(rows, Exception):
                failed.append(f"{work.name}: {rows}")
                continue
            new.add(work.name)
            features = {p.path: row for p, row in zip(work.pictures, rows, strict=True)}
            for number, one in enumerate(todo[work.name], start=1):
                found[one] = cell_of(one, self.drawn, features)
                self.place.add(found[one], 0, keys[work.name])
                watch.work(f"{work.job.model}: heads", number, len(todo[work.name]))
        cells = [found[one] for some in wanted.values() for one in some if one in found]
        return Computed(tuple(cells), frozenset(new), tuple(failed))

    def _features(
        self, works: Sequence[FeaturesWork], watch: Watch, where: Where
    ) -> Iterator[tuple[FeaturesWork, Array | Exception]]:
        """Of each network, as they come: those that are kept from before first, and without an engine."""
        lacking = {work.name: work for work in works if not work.there}
        for work in works:
            if work.name not in lacking:
                yield work, work(watch)
        if not lacking:
            return
        with equipped(self.plan, None, watch, apart=False, where=where) as (_, engine):
            for outcome in each_of(lacking.values(), engine, watch):
                if outcome.error is not None and not isinstance(outcome.error, (KilledError, RunFailedError)):
                    raise outcome.error
                yield lacking[outcome.work.name], outcome.error or outcome.result


def cell_of(one: Place, drawn: Drawn, features: Mapping[str, Array]) -> Cell:
    """A head per fold for this draw, and what they answer together; `features` by path."""
    right: list[bool] = []
    groups, pictures = 0.0, 0
    for number, pool in enumerate(drawn.pools, start=1):
        part = pool.drawn(shots_of(one.shots), draw_key(drawn.split, one.draw, number), choosing=False)
        learn = np.stack([features[p.path] for p in part.train])
        head = fit_fixed(learn, label_indices(part.train, part.classes), len(part.classes))
        answers = head.logits(np.stack([features[p.path] for p in part.test])).argmax(axis=1)
        right += (answers == label_indices(part.test, part.classes)).tolist()
        groups += pool.mean if one.shots == "all" else float(one.shots)
        pictures += len(part.train)
    count, classes = len(drawn.pools), len(drawn.split.classes)
    return Cell(
        one.model, one.shots, one.draw, one.seed, groups / count, pictures / count / classes, right_of(right)
    )
