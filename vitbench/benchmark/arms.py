"""Which runs a benchmark has: models × seeds, in every arm."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench.errors import UnfitModelError, UsageError, WeightsError
from vitbench.models import families
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import saved_weights, tag_asked, weights_for
from vitbench.records import PlannedRun, Settings, Split
from vitbench.training.jobs import Teacher
from vitbench.training.objectives.simmim import check_masking
from vitbench.training.recipes import masking_of, shared


@dataclass(frozen=True)
class RunSpec:
    """A run to be."""

    planned: PlannedRun
    settings: Settings
    """Of its arm."""
    plan: ModelPlan
    teacher: Teacher | None = None


def run_specs(settings: Settings, split: Split) -> list[RunSpec]:
    """Every run that is asked for, once, teachers first; UsageError for a teacher that does not fit."""
    teachers: dict[str, RunSpec] = {}
    students: dict[str, RunSpec] = {}
    for arm, own in settings.by_arm.items():
        if own.teacher in own.models and len(own.models) == 1:
            raise UsageError(
                f"--teacher {own.teacher}: is the only model, and would teach itself; name another"
            )
        for plan in _planned(own)[0]:
            if own.teacher is not None and plan.alias == own.teacher:
                continue  # it does not teach itself
            for seed in settings.seeds:
                teacher = None
                if own.teacher is not None:
                    _refuse_through(own, plan)
                    teacher = _teacher(own, split, seed)
                    if teacher.run and teacher.run not in teachers:
                        teachers[teacher.run] = _teacher_first(settings, own.teacher, seed)
                planned = PlannedRun.of(plan.alias, seed, arm)
                students[planned.name] = RunSpec(planned, own, plan, teacher)
    return list({**teachers, **students}.values())


def unfit_runs(settings: Settings) -> dict[PlannedRun, str]:
    """Why runs that are asked for cannot be: a model does not run at its size, or cannot be probed or masked.

    UnfitModelError where that is so of all of them; UsageError for a name that timm does not know.
    """
    found: dict[PlannedRun, UnfitModelError] = {}
    fit = 0
    for arm, own in settings.by_arm.items():
        plans, unfit = _planned(own)
        fit += len(plans)
        for model, error in unfit.items():
            found |= {PlannedRun.of(model, seed, arm): error for seed in settings.seeds}
    if not fit:
        raise next(iter(found.values()))
    return {planned: str(error) for planned, error in found.items()}


def _planned(own: Settings) -> tuple[list[ModelPlan], dict[str, UnfitModelError]]:
    """The models of an arm, each once, with the weights' tag that it asks for; and those that cannot be."""
    size = shared(own)["image_size"]
    plans, unfit = [], {}
    for name in families.expand(own.models):
        try:
            plan = plan_model(name, size, tag_asked(own.weights, name))
            _check_use(own, plan)
        except UnfitModelError as error:
            unfit[name] = error
            continue
        plans.append(plan)
    return plans, unfit


def _check_use(own: Settings, plan: ModelPlan) -> None:
    if own.pretrain or own.recipe == "simmim":
        check_masking(plan, masking_of(own, plan))
    if own.recipe == "probe" and not plan.linear_head:
        raise UnfitModelError(
            f"{plan.alias} has no linear classifier on pooled features to be fitted; leave it out"
        )


# --- teachers -------------------------------------------------------------------------------------


def _refuse_through(own: Settings, plan: ModelPlan) -> None:
    if own.distill_through == "token" and not plan.distillation_token:
        raise UsageError(
            f"--distill-through token: {plan.alias} has no distillation token; use logits, or deit-distilled"
        )


def _teacher_first(settings: Settings, teacher: str, seed: int) -> RunSpec:
    """The teacher's own run, trained plainly, from the weights that the benchmark names."""
    changed: dict[str, Any] = {"arms": {}, "teacher": None, "pretrain": False, "models": (teacher,)}
    plain = settings.model_copy(update={**changed, "weights": weights_for(settings.weights, teacher)})
    (plan,) = _planned(plain)[0]
    return RunSpec(PlannedRun.of(plan.alias, seed), plain, plan)


def _teacher(own: Settings, split: Split, seed: int) -> Teacher:
    """A saved model that knows these classes, or the run of a network that timm knows."""
    assert own.teacher is not None
    folder = Path(own.teacher)
    if folder.is_absolute() and not folder.is_dir():
        raise UsageError(f"--teacher {folder}: is not there any more; put it back")
    if not folder.is_dir():
        plan = plan_model(families.expand([own.teacher])[0], shared(own)["image_size"])
        own_run = PlannedRun.of(plan.alias, seed).name
        return Teacher(f"{plan.alias} ({plan.timm_name})", run=own_run, plan=plan)
    try:
        weights = saved_weights(folder)
    except WeightsError as error:
        raise UsageError(f"--teacher {error}") from error
    if not weights.classes:
        raise UsageError(
            f"--teacher {folder}: names no classes, it is an encoder without a head; "
            "train it first, with --weights"
        )
    _refuse_other_classes(folder, weights.classes, split.classes)
    return Teacher(weights.label, folder)


def _refuse_other_classes(folder: Path, known: tuple[str, ...], asked: tuple[str, ...]) -> None:
    only, lacking = sorted(set(known) - set(asked)), sorted(set(asked) - set(known))
    if only or lacking:
        named = [
            f"{what} {', '.join(repr(name) for name in names[:3])}{' …' if len(names) > 3 else ''}"
            for what, names in (("it lacks", lacking), ("only it has", only))
            if names
        ]
        raise UsageError(f"--teacher {folder}: was trained on other classes ({'; '.join(named)})")


def place_of_teacher(spec: str, results: Path) -> str:
    """A saved model's folder, absolute, where `spec` names one or a run; else `spec`, which timm may know."""
    for place in (results / spec, Path(spec).expanduser()):
        if not place.is_dir():
            continue
        for folder in (place, place / "model"):
            if (folder / "config.json").exists():
                return str(folder.resolve())
        if (place / "benchmark.json").exists():
            raise UsageError(f"--teacher {spec}: is a benchmark; name one of its runs, such as {spec}/vit-s0")
        if (place / "recipe.json").exists():
            raise UsageError(
                f"--teacher {spec}: holds no model of its own; name one of its folds, or --resume it"
            )
        raise UsageError(
            f"--teacher {spec}: holds no saved model; name a run, a model's folder or a timm name"
        )
    return spec
