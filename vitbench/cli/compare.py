"""`vitbench compare`: the comparison on a screen, in a format for elsewhere, as a report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vitbench.benchmark import compare as comparing
from vitbench.benchmark import moved
from vitbench.benchmark.folder import as_newest, writing
from vitbench.cli.options import Output, status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import closing, console, say, say_report, show_lines
from vitbench.comparison.compare import compare
from vitbench.comparison.exported import with_exports
from vitbench.comparison.measured import CompareOptions
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import Results, read_results
from vitbench.errors import UsageError
from vitbench.records import Benchmark
from vitbench.records.commands import comparing as to_compare
from vitbench.records.exports import Export
from vitbench.records.watch import Watch
from vitbench.reports import across as side_by_side
from vitbench.reports import formats, tables
from vitbench.reports.comparison_report import comparison_report
from vitbench.reports.costed import costed
from vitbench.reports.explained import inspected
from vitbench.reports.html import shown_numbers, write_report
from vitbench.reports.lines import Line
from vitbench.reports.photos import Photos
from vitbench.reports.reconstructions import reconstructions_by
from vitbench.reports.report import Options
from vitbench.reports.screen import command_lines, first_screen
from vitbench.reports.write import WRITING, write_reports


def compare_benchmarks(
    names: Sequence[str], results: Path, options: CompareOptions, output: Output, data: Path | None = None
) -> int:
    """Print a comparison, refresh the files of a single benchmark, write the report that was asked for.

    `data`: where the pictures of the benchmark are now. The exit status: 0, or 3 where a run of them is not
    finished.
    """
    named, exports = comparing.apart(names, results)
    found = comparing.find_all(named, results)
    if not names:
        say(f"comparing {as_newest(found[0], results)}")
    if data is not None:
        if len(found) > 1:
            raise UsageError(f"--data {data}: where the pictures of one benchmark are now; name one")
        if line := moved.relocate(found[0], data):
            say(line)
    with watch(results) as display:
        read, comparison = _renewed(found, exports, options, display)
    show(comparison, found, output.form, whole=output.details)
    if output.report is not None:
        wanted = Options(images=output.images, anonymous=output.anonymous)
        _write_report(read, comparison, output.report, wanted)
    return _status(found)


def _status(benchmarks: Sequence[Benchmark]) -> int:
    runs = [run for benchmark in benchmarks for run in benchmark.runs]
    return status_of(sum(run.status == "finished" for run in runs), len(runs))


def _renewed(
    benchmarks: Sequence[Benchmark], exports: Sequence[Export], options: CompareOptions, display: Watch
) -> tuple[Results, Comparison]:
    """What was read and its comparison, the files of a single benchmark written anew where they can be.

    They are its own: with exported models beside it they stay as they are. Read and written under one lock:
    what an older state says never replaces what a newer one says.
    """
    told = partial(display.work, WRITING)
    told(0, 0)
    if len(benchmarks) == 1 and not exports:
        try:
            with writing(benchmarks[0]):
                results = read_results(benchmarks)
                comparison = compare(results, options)
                write_reports(results, comparison, display.message, told)
                return results, comparison
        except OSError as error:
            say(f"{benchmarks[0].folder}: cannot be written ({error.strerror}); printing only")
    results = with_exports(read_results(benchmarks), exports)
    return results, compare(results, options)


def _write_report(results: Results, comparison: Comparison, path: Path, options: Options) -> None:
    report = comparison_report(results, comparison, options)
    small = Photos.of(results.first, report.twins).small(shown_numbers(report))
    beside = reconstructions_by(results.first.benchmark), inspected(results), costed(results, comparison)
    notes = write_report(report, path, small, *beside)
    say_report(path, notes, report.notice)


def compare_across(names: Sequence[str], results: Path, output: Output) -> int:
    """Print several data sets side by side; the exit status, as of `compare_benchmarks`."""
    found = comparing.across(*names, results=results)
    if output.form is not None:
        print(side_by_side.FORMATS[output.form](found), end="")
    else:
        show_lines(side_by_side.screen_across(found, console().width))
    return _status(comparing.find_all(names, results))


def show(
    comparison: Comparison,
    benchmarks: Sequence[Benchmark],
    form: str | None = None,
    *,
    whole: bool = False,
) -> None:
    """Print a comparison: the first screen, the whole of it, or one of `formats.FORMATS`."""
    if form is not None:
        print(formats.FORMATS[form](comparison), end="")
        return
    width = console().width
    if len(benchmarks) == 1:
        end = closing(benchmarks[0], comparison, width)
    else:
        end = command_lines("for a report:", to_compare(*benchmarks, report="FILE.html"), width)
    lines = (
        [*tables.details(comparison, width), Line(""), *end]
        if whole
        else first_screen(comparison, width, end)
    )
    show_lines(lines)
