"""`compare`: benchmarks by name; torch is not needed."""

from pathlib import Path

from vitbench.benchmark import folder
from vitbench.comparison.table import Comparison, compare_many
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark


def compare(*benchmarks: Benchmark | Path | str, results: Path | str = "results") -> Comparison:
    """The comparison of a benchmark, or of several on the same test pictures; nothing is written.

    Benchmarks by name in `results`, by path or as they are; none: the newest finished one. Raises
    VitbenchError, every reason in it, if no run has finished, and where the test pictures differ.
    """
    found = [
        given if isinstance(given, Benchmark) else folder.find(str(given), Path(results))
        for given in benchmarks
    ] or [folder.newest(Path(results))]
    for benchmark in found:
        if not any(run.status == "finished" for run in benchmark.runs):
            reasons = "; ".join(f"{run.name}: {run.failure or run.status}" for run in benchmark.runs)
            raise VitbenchError(f"{benchmark.folder}: no run finished ({reasons})")
    return compare_many(found)
