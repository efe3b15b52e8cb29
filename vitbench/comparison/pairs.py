"""Two models on the same pictures: difference, interval, test."""

import dataclasses

from vitbench.comparison.bootstrap import RESAMPLED, difference_interval
from vitbench.comparison.context import TestContext
from vitbench.comparison.measured import Estimate, Pair
from vitbench.comparison.results import ModelResult
from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import paired_difference
from vitbench.inference.metrics import metrics_for

MCNEMAR = "exact McNemar"
OVER_GROUPS = "exact test over groups"


def pair_of(a: ModelResult, b: ModelResult, context: TestContext) -> Pair:
    """Two models, the one with the higher mean first: an exact test where nothing is known of any seed.

    Else t over images × seeds on the means of all runs that each has; how much a seed changes a model with
    one run is known from the other models of the table.
    """
    if b.correct.mean() > a.correct.mean():
        a, b = b, a
    right_a, right_b = a.correct, b.correct
    seeds = context.seeds_of("top1", a.model, b.model)
    several = len(a.answered) > 1 or len(b.answered) > 1 or any(part.variance for part in seeds)
    if several:
        found = seeds_difference(right_a, right_b, context.groups, seeds, context.inflation)
    else:
        found = paired_difference(right_a[0], right_b[0], context.groups, context.inflation)
    one_a, one_b = right_a[0], right_b[0]
    counts = (one_a & one_b, one_a & ~one_b, ~one_a & one_b, ~one_a & ~one_b)
    both, a_only, b_only, neither = (None if several else int(c.sum()) for c in counts)
    units = "images" if context.groups is None else "groups"
    exact = MCNEMAR if context.groups is None else OVER_GROUPS
    return Pair(
        model_a=a.model,
        model_b=b.model,
        n=context.n,
        groups=None if context.groups is None else context.units,
        both=both,
        a_only=a_only,
        b_only=b_only,
        neither=neither,
        difference=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        p_adjusted=found.p,
        method=(f"t over {units} × seeds" if several else exact) + context.corrected,
        margin=context.options.margin,
        differences=_differences(a, b, context),
        probe=_learned_from_val(a, b),
    )


def _differences(a: ModelResult, b: ModelResult, context: TestContext) -> dict[str, Estimate]:
    """In every metric that a bootstrap gives the interval of."""
    found = {}
    for metric in metrics_for(len(a.predictions[0].classes)):
        if (name := metric.name) not in RESAMPLED:
            continue
        seeds = context.seeds_of(name, a.model, b.model)
        both = [
            dataclasses.replace(context.samples[one.model][name], seed=seed)
            for one, seed in zip((a, b), seeds, strict=True)
        ]
        value, *limits = difference_interval(*both)
        found[name] = Estimate(value, *context.widened(value, *limits))
    return found


def _learned_from_val(a: ModelResult, b: ModelResult) -> str:
    """The probe of the two, where the other is none."""
    probes = [one.model for one in (a, b) if one.is_probe]
    return probes[0] if len(probes) == 1 else ""
