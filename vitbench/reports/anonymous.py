"""A report that may leave the house: paths, file, folder and benchmark names replaced wherever they stand."""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from vitbench.comparison.opened import OpenBenchmark
from vitbench.narrative.narrate import narrate
from vitbench.reports.report import Report

PLAIN_WORDS = frozenset(
    {
        *("data", "dataset", "datasets", "image", "images", "photo", "photos", "picture", "pictures", "root"),
        *("train", "training", "val", "valid", "validation", "test", "testing", "results", "work", "home"),
        *("users", "user", "tmp", "var", "mnt", "media", "opt", "new"),
    }
)
"""Names that tell nothing and are words of our own sentences, as numbers and one or two letters are."""
ANY_PATH = re.compile(r"(?<![\w./])(?:~?/(?=\w)|[A-Za-z]:\\|\\\\(?=\w))[^\s'\",;:()\[\]<>]+")
"""What looks like an absolute path, known or not."""


def anonymised(report: Report, sources: Sequence[OpenBenchmark] = (), paths: Sequence[str] = ()) -> Report:
    """The report without the names of files, folders and benchmarks; class names stay.

    `sources`: the benchmarks that it is about; `paths`: of its pictures, by number, where these are new
    photos. Pictures become "picture 17".
    """
    report = _renamed(report, len(sources))
    secrets = {**_of_paths(paths), **_of_home(), **_of_benchmarks(sources), **_of_others(report)}
    answers = {one.answer for picture in report.pictures for one in picture.said}
    public = {*report.classes, *answers}
    known = {*public, *report.runs, *_models(report)}
    telling = {secret: text for secret, text in secrets.items() if secret not in known and _tells(secret)}
    return cast(Report, _replaced(report, scrubber(telling, "\n".join(_texts(report))), public))


def _renamed(report: Report, benchmarks: int) -> Report:
    """The report with numbers for pictures, and fixed words where benchmarks and data have their fields."""
    pictures = tuple(dataclasses.replace(p, name=f"picture {p.number}") for p in report.pictures)
    twins = tuple(
        dataclasses.replace(t, name=f"picture {t.number}", other_name=f"picture {t.other_number}")
        for t in report.twins
    )
    name = "BENCHMARK" if report.name else ""
    report = dataclasses.replace(report, pictures=pictures, twins=twins, name=name)
    if report.comparison is None:
        return report
    numbers = {
        name: _benchmark(i, benchmarks) for i, name in enumerate(report.comparison.benchmarks, start=1)
    }
    rows = (
        dataclasses.replace(row, benchmark=numbers.get(row.benchmark, "")) for row in report.comparison.rows
    )
    taught = (
        dataclasses.replace(one, teacher=one.teacher if one.teacher_run else "TEACHER")
        for one in report.comparison.distillation
    )
    sources = (dataclasses.replace(one, name=numbers[one.name]) for one in report.comparison.sources)
    comparison = dataclasses.replace(
        report.comparison,
        name="BENCHMARK",
        data="DATA",
        benchmarks=tuple(numbers.values()),
        rows=tuple(rows),
        distillation=tuple(taught),
        sources=tuple(sources),
    )  # the paths in `comparison.leaks` are scrubbed as all text is
    return dataclasses.replace(report, comparison=comparison, narrative=narrate(comparison))


def _benchmark(number: int, of: int) -> str:
    return "BENCHMARK" if of == 1 else f"BENCHMARK-{number}"


def _models(report: Report) -> set[str]:
    rows = report.comparison.rows if report.comparison else ()
    return {name for row in rows for name in (row.model, row.timm_name, row.arm, row.of)}


def _tells(secret: str) -> bool:
    """It is a path, or a name that is none of our own words."""
    letters = re.sub(r"[\W\d_]", "", secret)
    if re.search(r"[/\\]", secret):
        return len(letters) > 1
    return len(letters) > 2 and secret.lower() not in PLAIN_WORDS


def scrubber(secrets: Mapping[str, str], text: str) -> Callable[[str], str]:
    """What replaces the secrets in parts of `text`, longest first, and then all that looks like a path.

    A secret counts only where it stands as a whole word.
    """
    there = sorted((secret for secret in secrets if secret in text), key=lambda secret: -len(secret))
    known = re.compile("|".join(rf"(?<!\w){re.escape(secret)}(?!\w)" for secret in there) or r"(?!)")
    numbers: dict[str, str] = {}

    def any_path(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"PATH-{len(numbers) + 1}")

    def scrub(part: str) -> str:
        return ANY_PATH.sub(any_path, known.sub(lambda match: secrets[match[0]], part))

    return scrub


def _of_benchmarks(sources: Sequence[OpenBenchmark]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, source in enumerate(sources, start=1):
        benchmark, data = source.benchmark, str(source.manifest.get("data", ""))
        name = _benchmark(number, len(sources))
        numbers = {path: f"picture {i}" for i, path in enumerate(source.test.paths, start=1)}
        for skipped in source.manifest.get("skipped", ()):
            found |= _of_path(skipped["path"], "a file")
        for row in source.rows:
            found |= _of_path(row["path"], numbers.get(row["path"], "a picture"))
        for folder in (benchmark.folder, benchmark.folder.resolve()):
            found |= dict.fromkeys(folder.parent.parts, "FOLDER") | {
                str(folder): name,
                str(folder.parent): "RESULTS",
            }
        if data:
            found |= dict.fromkeys((*Path(data).parts, *Path(data).resolve().parts), "DATA")
            found |= {data: "DATA", str(Path(data).resolve()): "DATA"}
        found |= {benchmark.name: name}
    return found


def _of_others(report: Report) -> dict[str, str]:
    """The benchmarks beside these that saw the same pictures."""
    elsewhere = report.comparison.evaluations_elsewhere if report.comparison else ()
    return {one.benchmark: "ANOTHER-BENCHMARK" for one in elsewhere}


def _of_paths(paths: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, path in enumerate(paths, start=1):
        found |= _of_path(path, f"picture {number}")
    return found


def _of_path(path: str, text: str) -> dict[str, str]:
    *folders, name = re.split(r"[/\\]", path)
    stem = name.rpartition(".")[0]
    return {**dict.fromkeys(folders, "FOLDER"), stem: text, path: text, name: text}


def _of_home() -> dict[str, str]:
    home, here = Path.home(), Path.cwd()
    return {**dict.fromkeys((*home.parts, *here.parts), "FOLDER"), str(home): "HOME", str(here): "FOLDER"}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a report."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in (*value, *value.values()):
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _replaced(value: Any, scrub: Callable[[str], str], public: Collection[str]) -> Any:
    """The value with every text scrubbed that is not a class name."""
    if isinstance(value, str):
        return value if value in public else scrub(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _replaced(getattr(value, f.name), scrub, public) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    if isinstance(value, Mapping):
        return {str(k): _replaced(item, scrub, public) for k, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, scrub, public) for item in value)
    return value
