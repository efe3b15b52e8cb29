"""How often test pictures were evaluated on, by this benchmark's models and by others beside it."""

from collections.abc import Sequence
from pathlib import Path

from vitbench.comparison.nouns import EvaluationsElsewhere, TestEvaluations
from vitbench.comparison.results import ModelResult
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark, Fingerprints, benchmarks_in
from vitbench.records.fingerprints import TESTED_ON
from vitbench.records.results import EVALUATIONS, evaluations_in


def evaluations_of(models: Sequence[ModelResult]) -> tuple[TestEvaluations, ...]:
    """How often each model was evaluated on test pictures, by the command that did it."""
    found = []
    for one in models:
        looks = [look for run in one.runs for look in run.evaluations()]
        for by in dict.fromkeys(look.by for look in looks):
            pictures = [look.pictures for look in looks if look.by == by]
            times = len(pictures)
            found.append(
                TestEvaluations(
                    model=one.model, by=by, times=times, pictures=sum(pictures), runs=len(one.runs)
                )
            )
    return tuple(found)


def evaluations_elsewhere(benchmarks: Sequence[Benchmark]) -> tuple[EvaluationsElsewhere, ...]:
    """The benchmarks and sweeps beside these that looked at the same test pictures, by name.

    A split that was drawn otherwise, and copies of the data in another folder, share pictures too.
    """
    mine = Fingerprints.read(benchmarks[0].folder / TESTED_ON)
    if mine is None:
        return ()
    own = {benchmark.folder.resolve() for benchmark in benchmarks}
    results = benchmarks[0].folder.parent
    others = [other.folder for other in benchmarks_in(results) if not other.pretrains]
    sweeps = [path.parent for path in results.glob(f"*/{EVALUATIONS}")]
    found = []
    for folder in [folder for folder in (*others, *sweeps) if folder.resolve() not in own]:
        try:
            theirs, times = Fingerprints.read(folder / TESTED_ON), _times(folder)
        except (OSError, VitbenchError):
            continue  # damaged: naming it says why
        shared = mine.shared_with(theirs) if theirs is not None and times else 0
        if shared:
            found.append(EvaluationsElsewhere(benchmark=folder.name, pictures=shared, times=times))
    return tuple(sorted(found, key=lambda one: one.benchmark))


def _times(folder: Path) -> int:
    """How often a sweep, or the runs of a benchmark, looked at test pictures."""
    return len(evaluations_in(folder)) or sum(len(run.evaluations()) for run in Benchmark(folder).runs)
