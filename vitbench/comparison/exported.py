"""Exported models as rows: what they said of the test pictures when they were exported."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from vitbench.comparison.opened import OpenBenchmark
from vitbench.comparison.results import ModelResult, Results, RunResult, aligned
from vitbench.errors import UsageError, VitbenchError
from vitbench.records.exports import Export


def with_exports(results: Results, exports: Sequence[Export]) -> Results:
    """The results with a model more for each export, behind the others.

    Its probabilities and latency are its own; all else is said by the run that it was made of. UsageError
    where that run, or its test pictures, are not among the results.
    """
    return dataclasses.replace(results, models=(*results.models, *(_model(results, one) for one in exports)))


def _model(results: Results, export: Export) -> ModelResult:
    about = export.about
    source = _source(results, export, about)
    run = next(
        (
            (model, one)
            for model in results.models
            for one in model.answered
            if one.run.name == about["run"] and model.benchmark == source.name
        ),
        None,
    )
    if run is None:
        raise UsageError(f"{export.folder}: its run {about['run']} is no finished one of {source.name}")
    model, made_of = run
    paths = source.test.like(results.test).paths
    try:
        told = aligned(export.predictions(), paths, results.first.classes)
    except VitbenchError as error:
        raise UsageError(f"{export.folder}: cannot be a row ({error}); export it again") from error
    time = {"latency_ms_p50": about["latency"]["exported_ms"]["1"], "latency_ms_p95": None}
    note = "its latency is that of onnxruntime on a CPU, measured when it was exported"
    metrics = {
        **made_of.metrics,
        "cost": {**made_of.metrics.get("cost", {}), **time},
        "notes": [*made_of.metrics.get("notes", ()), note],
    }
    name = export.name if len(results.sources) == 1 else f"{source.name}/{export.name}"
    return dataclasses.replace(
        model,
        model=name,
        runs=(made_of.run,),
        answered=(RunResult(made_of.run, made_of.about, made_of.recipe, metrics, told),),
        problems=(),
        probe_of="",
        arm="",
        of=name,
    )


def _source(results: Results, export: Export, about: dict[str, Any]) -> OpenBenchmark:
    """The benchmark whose test pictures it answered."""
    for one in results.sources:
        if one.name == about["benchmark"] and one.split.get("digest") == about["split_digest"]:
            return one
    named = " and ".join(one.name for one in results.sources)
    raise UsageError(
        f"{export.folder}: was tested on {about['benchmark']}, not on {named}; name that benchmark beside it"
    )
