"""`compare`: the runs of benchmarks as rows, their differences as pairs, and the facts a reader must know."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from vitbench.comparison.arms import between_arms
from vitbench.comparison.close_up import close_up_of, possible_folds
from vitbench.comparison.context import TestContext, context_of
from vitbench.comparison.distillation import distillation_of
from vitbench.comparison.evaluations import evaluations_elsewhere, evaluations_of
from vitbench.comparison.families import against_probes, compared, shown
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.leaks import LeakFree, checked, leak_free, leaks_of, unleaked
from vitbench.comparison.measured import CompareOptions, Pair, Row
from vitbench.comparison.nouns import Comparison, RunNote, Source
from vitbench.comparison.opened import OpenBenchmark
from vitbench.comparison.outlook import outlook_of
from vitbench.comparison.resolution import resolution_of
from vitbench.comparison.results import ModelResult, Results, Sources, ranked_models, read_results
from vitbench.comparison.rows import majority_row, ranked, recalls_of, row_of

DEFAULTS = CompareOptions()


def compare(sources: Sources, options: CompareOptions = DEFAULTS) -> Comparison:
    """The comparison of one or several benchmarks; unfinished and failed models keep a row with the reason.

    Raises UsageError, naming the difference, where benchmarks differ in their classes or test pictures, and
    for a baseline that is not there.
    """
    results = read_results(sources)
    models, first = results.models, results.first
    test = results.joined_test
    inflation = max(fold_inflation(source.folds) for source in results.sources)
    context = context_of(models, test, options, inflation)
    own = [one for one in models if not one.probe_of]
    leaks = leaks_of(results)
    free = leak_free(models, test, unleaked(leaks, test), context)
    judged = compared(own, context)
    family = checked(judged, free, _compared)
    rows = ranked([row_of(one, context) for one in models], family)
    gaps, plan = resolution_of(own, family, context)
    pairs = shown(family, own, options.baseline)
    best = next((row for row in rows if row.tested and not row.probe_of), None)
    by_name = {one.model: one for one in models}
    return Comparison(
        **_about(results),
        groups=None if context.groups is None else context.units,
        inflation=inflation,
        options=options,
        rows=tuple(rows),
        majority=majority_row(first),
        pairs=pairs,
        family=len(family),
        probes=checked(against_probes(models, context), free, against_probes),
        arms=checked(between_arms(models, judged), free, _between_arms),
        gaps=gaps,
        plan=plan,
        outlook=outlook_of(own, pairs, len(family), context, first) if pairs else None,
        recalls=recalls_of(models, context),
        leaks=leaks,
        leak_free=tuple(_leak_free_rows(free, family)),
        evaluations=evaluations_of(models),
        evaluations_elsewhere=evaluations_elsewhere([source.benchmark for source in results.sources]),
        distillation=distillation_of(models, rows, family, context),
        differing=_differing(models),
        run_notes=_run_notes(models),
        close_up=close_up_of(by_name[best.model], first, context) if best else None,
    )


def _about(results: Results) -> dict[str, Any]:
    """What the benchmarks say of themselves; the first one's data and split count."""
    first, names = results.first, tuple(source.name for source in results.sources)
    return {
        "name": " + ".join(names),
        "benchmarks": names,
        "data": str(first.manifest.get("data", "")),
        "classes": first.classes,
        "folds": first.folds,
        "n_train": int(first.split.get("n_train", 0)),
        "n_val": int(first.split.get("n_val", 0)),
        "n_test": len(first.test.paths),
        "n_pictures": len(first.rows),
        "split_rule": str(first.split.get("rule", "")),
        "possible_folds": possible_folds(first),
        "tuned": bool(first.manifest["settings"].get("tune")),
        "sources": tuple(_source(source) for source in results.sources),
    }


def _source(source: OpenBenchmark) -> Source:
    skipped = source.manifest.get("skipped", ())
    return Source(
        name=source.name,
        folds=source.folds,
        groups=len(set(source.test.groups)),
        split_digest=str(source.split.get("digest")),
        notes=tuple(map(str, [*source.split.get("notes", ()), *source.manifest.get("notes", ())])),
        skipped=tuple((str(one["path"]), str(one["reason"])) for one in skipped),
    )


def _compared(models: Sequence[ModelResult], context: TestContext) -> Sequence[Pair]:
    return compared([one for one in models if not one.probe_of], context)


def _between_arms(models: Sequence[ModelResult], context: TestContext) -> Sequence[Pair]:
    return between_arms(models, _compared(models, context))


def _leak_free_rows(free: LeakFree | None, pairs: Sequence[Pair]) -> list[Row]:
    """The ranked_models' rows without the pictures that training knows, ranked by themselves; [] for none."""
    if free is None or free.context is None:
        return []
    clean = [pair.clean for pair in pairs if pair.clean is not None]
    rows = [row_of(one, free.context) for one in ranked_models(free.models)]
    return ranked([dataclasses.replace(row, probe_of="") for row in rows], clean)


ALIKE = (
    *("epochs", "per_class", "augment", "flip", "batch_size", "mixup", "cutmix", "repeats"),
    *("ema_decay", "precision", "seed"),
)
"""Fields of `Recipe` that a fair comparison holds equal; lr and decay are each family's own."""


def _differing(models: Sequence[ModelResult]) -> dict[str, dict[str, tuple[str, ...]]]:
    """What models were trained with differently, beside the model; a probe is not trained."""
    trained = [one for one in models if any(run.recipe.name != "probe" for run in one.answered)]
    found = {}
    for name in ALIKE:
        values: dict[str, tuple[str, ...]] = {}
        for one in trained:
            used = " and ".join(sorted({str(getattr(run.recipe, name)) for run in one.answered}))
            values[used] = (*values.get(used, ()), one.model)
        if len(values) > 1:
            found[name] = values
    return found


def _run_notes(models: Sequence[ModelResult]) -> tuple[RunNote, ...]:
    """What runs recorded, each once with the models that it holds for; a probe shares its model's notes."""
    said: dict[str, list[str]] = {}
    for one in sorted(models, key=lambda one: bool(one.probe_of)):
        for run in one.answered:
            for note in [*run.about.get("notes", ()), *run.metrics.get("notes", ())]:
                told = said.setdefault(str(note), [])
                if not {one.model, one.probe_of} & {*told}:
                    told.append(one.model)
    return tuple(RunNote(note, tuple(told)) for note, told in said.items())
