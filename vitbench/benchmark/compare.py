"""`compare`: benchmarks by name; torch is not needed."""

from collections.abc import Sequence
from pathlib import Path

from vitbench.benchmark import folder
from vitbench.comparison import compare as comparing
from vitbench.comparison.across import Across, compare_across
from vitbench.comparison.exported import with_exports
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import read_results
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Benchmark
from vitbench.records.exports import Export, export_at

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

    Benchmarks by name in `results`, by path or as they are; none: the newest finished one. Exported models,
    by their folder or file, are rows of the benchmark that they come from. `margin` and
    `detect` are fractions of pictures, see `CompareOptions`. Raises VitbenchError, every reason in it, if
    no run has finished, and where the test pictures differ.
    """
    options = CompareOptions(baseline, margin, detect)
    named, exports = apart(benchmarks, Path(results))
    return comparing.compare(with_exports(read_results(find_all(named, Path(results))), exports), options)


def across(*benchmarks: Named, results: Path | str = "results") -> Across:
    """The models of several benchmarks on different test sets, matched by name; nothing is written."""
    if len(benchmarks) < 2:
        raise UsageError("--across: name two or more benchmarks, on different pictures")
    return compare_across(find_all(benchmarks, Path(results)))


def apart(words: Sequence[Named], results: Path) -> tuple[list[Named], list[Export]]:
    """The benchmarks and the exported models among the words.

    Where only exported models are named, the benchmarks in whose folders they lie are meant too; UsageError
    where one lies elsewhere.
    """
    exports = [found for word in words if (found := _export(word, results))]
    named = [word for word in words if _export(word, results) is None]
    if exports and not named:
        homes = {home.folder: home for one in exports if (home := one.home())}
        if not homes:
            where, of = exports[0].folder, exports[0].about["benchmark"]
            raise UsageError(f"{where}: lies apart from its benchmark {of}; name that beside it")
        named.extend(homes.values())
    return named, exports


def _export(word: Named, results: Path) -> Export | None:
    if isinstance(word, Benchmark):
        return None
    return export_at(Path(word)) or export_at(results / word)


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
