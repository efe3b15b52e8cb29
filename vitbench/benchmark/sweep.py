"""`sweep`: accuracy over how much there is to learn from, cell by cell, on one fixed set of test pictures.

A cell is a model that learned from one draw of one size. A probe computes the features of all pictures once
and fits a head per cell in milliseconds; features, and what an arm trains, are handed to the engine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vitbench.analysis.sweep import Cell, Sweep, Tested, analysed
from vitbench.benchmark.engines import HERE, EngineName, Where
from vitbench.benchmark.folder import check_name
from vitbench.benchmark.plan import Plan, divided, make_plan
from vitbench.benchmark.sweep_folder import Computed, SweepFolder, parts_of, tested
from vitbench.benchmark.sweep_probed import Drawn, ProbedCells
from vitbench.benchmark.sweep_trained import TrainedCells
from vitbench.comparison.opened import TestSet
from vitbench.data.shots import Pool, Shots, sizes_of
from vitbench.defaults import ARMS, DISTILLED, TEACHER
from vitbench.errors import RunFailedError, UnfitModelError, UsageError
from vitbench.inference.linear import FIXED
from vitbench.models.listing import selected
from vitbench.options import Count, Points, fit
from vitbench.progress import followed
from vitbench.records import ImageSet, Settings, Split, counted
from vitbench.records.commands import command
from vitbench.records.planned import probe_name
from vitbench.records.watch import Watch
from vitbench.reports.sweep import write_sweep
from vitbench.training import signals

SHOTS: tuple[Shots, ...] = (1, 2, 4, 8, 16, 32, "all")
TRAINED_SHOTS: tuple[Shots, ...] = (4, 16, "all")
DRAWS, TRAINED_DRAWS = 20, 3
FINETUNE = "finetune"
"""The arm that trains as `vitbench train` would, from the weights that are asked for."""
Folded = int | Literal["auto", "none"] | None


@dataclass(frozen=True)
class SweepRequest:
    """One call of `sweep`."""

    settings: Settings
    """Models and weights, how pictures are divided, how arms train."""
    data: Path
    shots: tuple[Shots, ...] = SHOTS
    draws: int = DRAWS
    trained_shots: tuple[Shots, ...] = TRAINED_SHOTS
    trained_draws: int = TRAINED_DRAWS
    reach: float | None = None
    """Accuracy in percent; None: the highest 5 % step that all models reach."""
    folds: Folded = None
    """None: 5 where DATA has no test/ of its own."""
    name: str | None = None
    results: Path = Path("results")
    where: Where = HERE
    """What computes features, and carries out what arms train."""

    def __post_init__(self) -> None:
        for option, value in (("--draws", self.draws), ("--trained-draws", self.trained_draws)):
            fit(option, Count, value)
        if self.reach is not None:
            fit("--reach", Points, self.reach)
        if self.name is not None:
            check_name(self.name)

    @property
    def folder(self) -> Path:
        """The same for every call on the same pictures, so that what is there is gone on with."""
        base = re.sub(r"[^\w.-]+", "_", self.data.resolve().name).strip("._") or "data"
        return self.results / (self.name or f"{base}-sweep")

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        asked = self.settings.model_dump(exclude_unset=True)
        arms = tuple(asked.pop("arms", {}))
        usual: dict[str, Any] = {
            "shots": SHOTS, "draws": DRAWS, "trained_shots": TRAINED_SHOTS, "trained_draws": TRAINED_DRAWS,
        }  # fmt: skip
        own = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        place = {"name": self.name, "results": self.results, **self.where.options}
        return command(
            "sweep", self.data, **asked, arms=arms, **own, reach=self.reach, folds=self.folds, **place
        )


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    found: Sweep
    folder: Path
    missing: int
    """Cells that failed."""
    notes: tuple[str, ...]
    """What has not been said on the way."""


def sweep(
    data: Path | str = "data",
    *,
    shots: Sequence[Shots] = SHOTS,
    draws: int = DRAWS,
    reach: float | None = None,
    arms: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    trained_shots: Sequence[Shots] = TRAINED_SHOTS,
    trained_draws: int = TRAINED_DRAWS,
    folds: Folded = None,
    name: str | None = None,
    results: Path | str = "results",
    engine: EngineName = "local",
    address: str | None = None,
    watch: Watch | None = None,
    progress: bool = True,
    **settings: Any,
) -> Sweep:
    """Accuracy against pictures per class, of frozen networks with a linear head and of what `arms` train.

    `settings` are fields of `Settings` (models, weights, image_size, group, …). The folder `name` in
    `results` keeps every cell; the same call goes on with it, and more draws or sizes reuse what is there.
    arms: of "finetune", "distill", "scratch", "pretrained", "simmim", or a table of settings for each.
    engine, address: as for `train`; features are tasks too. Raises VitbenchError for whatever can be refused
    before anything is computed.
    """
    asked = Settings.asked("train", {**settings, **({"arms": arms_of(arms)} if arms else {})})
    request = SweepRequest(
        asked, Path(data), tuple(shots), draws, tuple(trained_shots), trained_draws, reach, folds, name,
        Path(results), Where(engine, address),
    )  # fmt: skip
    request.where.refuse(asked.jobs)
    with followed(request.results, watch, progress) as told:
        return carry_out(request, told).found


def arms_of(
    arms: Sequence[str] | Mapping[str, Mapping[str, Any]], teacher: str | None = None
) -> dict[str, dict[str, Any]]:
    """Arms by name, with what each sets; UsageError for a name that there is not."""
    if isinstance(arms, Mapping):
        return {name: dict(fields) for name, fields in arms.items()}
    usual: dict[str, dict[str, Any]] = {FINETUNE: {}, **{name: dict(own) for name, own in ARMS.items()}}
    usual[DISTILLED]["teacher"] = teacher or TEACHER
    for name in arms:
        if name not in usual:
            raise UsageError(f"--arms {name}: no such arm; there are {', '.join(usual)}")
    return {name: usual[name] for name in arms}


def carry_out(request: SweepRequest, watch: Watch, *, apart: bool = False) -> Outcome:
    """`sweep`, as the command line calls it: `apart`, each training in a process beside this one."""
    with signals.handling():
        return _carry_out(request, watch, apart)


def _carry_out(request: SweepRequest, watch: Watch, apart: bool) -> Outcome:
    asked = request.settings
    folds: Any = {None: "always", "none": "never"}.get(request.folds, request.folds)  # type: ignore[arg-type]
    parted = divided(asked, request.data, watch, folds)
    split = parted[1]
    pools = [Pool.of(part) for part in parts_of(split)]
    sizes, left_out = sizes_of(pools, request.shots)
    trained_sizes, _ = sizes_of(pools, request.trained_shots) if asked.arms else ({}, [])
    # Everything that can be refused is, before a cell is computed.
    probes = _probe_plan(request, parted, watch)
    trained = _trained_plan(request, parted, watch) if asked.arms else None
    place = SweepFolder(request.folder)
    about = {
        "data": str(request.data.resolve()), "data_digest": split.data_digest, "split": split.rule,
        "classes": list(split.classes), "command": request.again,
    }  # fmt: skip
    notes = [*left_out, *(note for plan in (probes, trained) if plan for note in plan.notes)]
    for note in dict.fromkeys(notes):
        watch.message(note)
    with place.taken(split, about):
        parts: list[Computed] = []
        if probes is not None:
            drawn = Drawn(split, pools, sizes, request.draws)
            parts.append(ProbedCells(probes, drawn, place).carried_out(watch, request.where))
        if trained is not None:
            run = TrainedCells(trained, split, pools, trained_sizes, request.trained_draws, place)
            parts.append(run.carried_out(watch, request.where, apart=apart))
        cells = [cell for part in parts for cell in part.cells]
        failed = [line for part in parts for line in part.failed]
        if not cells:
            raise RunFailedError(f"{request.folder}: no cell came to anything: {failed[-1]}")
        looks = place.count_looks([model for part in parts for model in part.models], len(tested(split)))
        found = analysed(
            _named(cells, asked), _tested(split, pools), _target(request), _about(request, split, looks)
        )
        undrawn = write_sweep(found, place.folder, request.again)
    unfit = [f"{run.name}: {reason}" for run, reason in probes.unfit.items()] if probes else []
    return Outcome(found, place.folder, len(failed), (*failed, *unfit, *undrawn))


def _target(request: SweepRequest) -> float | None:
    return None if request.reach is None else request.reach / 100


def _probe_plan(request: SweepRequest, parted: tuple[ImageSet, Split], watch: Watch) -> Plan | None:
    """A probe for every model that can have one; None where none can and arms train them."""
    asked = request.settings
    models = tuple(selected(asked.models, None, None, asked.image_size, watch.message))
    alone: dict[str, Any] = {"recipe": "probe", "arms": {}, "teacher": None, "models": models}
    probing = asked.model_copy(update={**alone, "seeds": asked.seeds[:1]})
    try:
        return make_plan(probing, request.data, watch, parted=parted)
    except UnfitModelError:
        if asked.arms:
            return None
        raise


def _trained_plan(request: SweepRequest, parted: tuple[ImageSet, Split], watch: Watch) -> Plan:
    asked = request.settings.model_copy(update={"with_probe": False, "final": "folds"})
    return make_plan(asked, request.data, watch, parted=parted)


def _named(cells: Sequence[Cell], asked: Settings) -> list[Cell]:
    """Probes are called as their networks where there is nothing else."""
    if asked.arms:
        return list(cells)
    ending = probe_name("")
    return [replace(cell, model=cell.model.removesuffix(ending)) for cell in cells]


def _tested(split: Split, pools: Sequence[Pool]) -> Tested:
    pictures = tested(split)
    test = TestSet(
        tuple(p.path for p in pictures), tuple(p.label for p in pictures),
        tuple(p.sha256 for p in pictures), tuple(p.group for p in pictures),
    )  # fmt: skip
    return Tested(test.group_numbers, len(split.folds), sum(pool.mean for pool in pools) / len(pools))


def _about(request: SweepRequest, split: Split, looks: int) -> list[str]:
    """What must stand beside the numbers; looks: how often a model's curve was tested."""
    pictures = len(tested(split))
    looked = (
        f"{pictures} test pictures, the same for every model, size and draw; nothing was chosen on them, and "
        f"they were looked at {counted(looks, 'time')} (a model in a call is one)"
    )
    head = (
        f"a probe is a linear head on frozen features, its strength fixed (C = {FIXED:g}), so that "
        "nothing is chosen and all k learn"
    )
    lines = [looked, head]
    if request.settings.arms:
        lines.append(
            f"arms were trained at {', '.join(map(str, request.trained_shots))} per class, "
            f"{request.trained_draws} draws each; 15 % of the k chose the epoch from 4 per class on, below "
            "it is the recipe's last"
        )
    return lines
