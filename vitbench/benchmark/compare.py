"""`compare`: benchmarks by name; torch is not needed."""

from collections.abc import Sequence
from pathlib import Path

from vitbench.benchmark import folder
from vitbench.comparison import compare as comparing
from vitbench.comparison.across import Across, compare_across
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.nouns import Comparison
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Benchmark

Named = Benchmark | Path | str
"""A benchmark: as it is, by its name in the results folder, or by its path."""


def compare(
    *benchmarks: Named,
    results: Path | str = "results",
    baseline: str = "",
    margin: float | None = None,
    detect: float | None = None,
) -> Comparison:
    """The comparison of a benchmark, or of several on the same test pictures; nothing is written.

    Benchmarks by name in `results`, by path or as they are; none: the newest finished one. `margin` and
    `detect` are fractions of pictures, see `CompareOptions`. Raises VitbenchError, every reason in it, if
    no run has finished, and where the test pictures differ.
    """
    options = CompareOptions(baseline, margin, detect)
    return comparing.compare(find_all(benchmarks, Path(results)), options)


def across(*benchmarks: Named, results: Path | str = "results") -> Across:
    """The models of several benchmarks on different test sets, matched by name; nothing is written."""
    if len(benchmarks) < 2:
        raise UsageError("--across: name two or more benchmarks, on different pictures")
    return compare_across(find_all(benchmarks, Path(results)))


def find_all(benchmarks: Sequence[Named], results: Path) -> list[Benchmark]:
    """The named benchmarks, or the newest finished one; VitbenchError where one has nothing that answers."""
    found = [
        given if isinstance(given, Benchmark) else folder.find(str(given), results) for given in benchmarks
    ] or [folder.newest(results)]
    for benchmark in found:
        folder.refuse_encoders(benchmark)
        if not any(run.status == "finished" for run in benchmark.runs):
            reasons = "; ".join(f"{run.name}: {run.failure or run.status}" for run in benchmark.runs)
            raise VitbenchError(f"{benchmark.folder}: no run finished ({reasons})")
    return found
