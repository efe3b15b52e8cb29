"""How often test pictures were looked at, by this benchmark's models and by others beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.candidates import Candidate
from vitbench.comparison.words import listed
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark, Fingerprints, benchmarks_in
from vitbench.records.fingerprints import TESTED_ON


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often a command evaluated a model on test pictures."""

    model: str
    by: str
    """"train", "probe", "predict"."""
    times: int
    pictures: int
    """Evaluations of a test picture, in all."""


@dataclass(frozen=True, kw_only=True)
class LooksElsewhere:
    """What another benchmark of the same results folder saw of these test pictures."""

    benchmark: str
    pictures: int
    """Test pictures that both have, as the very files or as near-copies."""
    times: int
    """Evaluations of its models on its test pictures."""


def looks_of(candidates: Sequence[Candidate]) -> tuple[Looks, ...]:
    """How often each model was evaluated on test pictures, by the command that did it."""
    found = []
    for candidate in candidates:
        looks = [look for run in candidate.runs for look in run.looks()]
        for by in dict.fromkeys(look.by for look in looks):
            pictures = [look.pictures for look in looks if look.by == by]
            found.append(Looks(model=candidate.model, by=by, times=len(pictures), pictures=sum(pictures)))
    return tuple(found)


def looks_elsewhere(benchmarks: Sequence[Benchmark]) -> tuple[LooksElsewhere, ...]:
    """The benchmarks beside these that looked at the same test pictures, by name.

    A split that was drawn otherwise, and copies of the data in another folder, share pictures too.
    """
    mine = Fingerprints.read(benchmarks[0].folder / TESTED_ON)
    if mine is None:
        return ()
    own = {benchmark.folder.resolve() for benchmark in benchmarks}
    found = []
    for other in benchmarks_in(benchmarks[0].folder.parent):
        if other.folder.resolve() in own or other.pretrains:
            continue
        try:
            theirs = Fingerprints.read(other.folder / TESTED_ON)
            times = sum(len(run.looks()) for run in other.runs)
        except (OSError, VitbenchError):
            continue  # damaged: naming that benchmark says why
        shared = mine.shared_with(theirs) if theirs is not None and times else 0
        if shared:
            found.append(LooksElsewhere(benchmark=other.name, pictures=shared, times=times))
    return tuple(sorted(found, key=lambda one: one.benchmark))


def look_notes(
    looks: Sequence[Looks], elsewhere: Sequence[LooksElsewhere], candidates: Sequence[Candidate]
) -> list[str]:
    """How often the test pictures were looked at, beyond the one look at the end of each training."""
    if not looks:
        return []
    runs = {candidate.model: len(candidate.runs) for candidate in candidates}
    often = any(look.by == "predict" or look.times > runs[look.model] for look in looks)
    said = "one per model and seed, when it was finished"
    if often:
        said = listed([f"{look.model} {_times(look)} by {look.by}" for look in looks])
    if elsewhere:
        times, most = sum(one.times for one in elsewhere), max(one.pictures for one in elsewhere)
        others = "1 other benchmark" if len(elsewhere) == 1 else f"{len(elsewhere)} other benchmarks"
        said += f"; {times} more by {others} beside this one ({_named(elsewhere)}), at up to {most} of them"
    if not often and not elsewhere:
        return [f"Looks at the test pictures: {said}"]
    return [
        f"Looks at the test pictures so far: {said}; whatever is chosen after such a look is chosen on test"
    ]


def _named(elsewhere: Sequence[LooksElsewhere]) -> str:
    names = [one.benchmark for one in elsewhere]
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} …"


def _times(look: Looks) -> str:
    times = {1: "once", 2: "twice"}.get(look.times, f"{look.times} times")
    return f"{times} ({look.pictures} pictures)"
