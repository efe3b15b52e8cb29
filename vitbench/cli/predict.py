"""`vitbench predict`: pictures in, every model's answer out."""

import codecs
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vitbench.benchmark.folder import as_newest
from vitbench.benchmark.predict import ModelSet, ask, model_set_for
from vitbench.cli.options import Outputs, status_of
from vitbench.cli.show import console, say, say_report
from vitbench.errors import UsageError
from vitbench.inference.devices import choose_device
from vitbench.inference.stream import collect
from vitbench.progress.lines import SLOW_SECONDS
from vitbench.records import Answer, Preprocessing

LINES = 24
"""Of a screen, where no terminal says how many it has."""


def predict_images(
    sources: Sequence[str],
    name: str | None,
    wanted: Sequence[str],
    results: Path,
    device: str,
    top_k: int,
    outputs: Outputs,
    pixel_range: tuple[float, float] | None = None,
) -> int:
    """Answer for every picture; the exit status: 0, 1 if none could be read, 3 if some could not."""
    chosen = choose_device(device)
    model_set = model_set_for(name, wanted, results).meaning(pixel_range)
    if name is None and model_set.benchmark is not None:
        say(f"asking {', '.join(model_set.models)} of {as_newest(model_set.benchmark, results)}")
    if together := model_set.together():
        say(together)
    questions = collect(_paths(sources), say)
    answers: list[Answer] = []
    asked_for = failed = 0
    # Closed whatever happens, so that a look at test pictures is counted also when the reader has gone.
    with contextlib.closing(ask(model_set, questions, chosen, top_k, say, outputs.explain)) as asked:
        for found in _with_progress(asked, len(questions)):
            asked_for, failed = asked_for + 1, failed + bool(found.error)
            if not outputs.streams:
                answers.append(found)
            if outputs.as_json:
                from vitbench.reports.answers import answer_json

                print(answer_json(found), flush=True)
    _write(answers, model_set, outputs)
    if outputs.report is not None:
        _write_report(answers, model_set, outputs, outputs.report)
    if failed:
        say(f"{failed} of {asked_for} pictures could not be read")
    return status_of(asked_for - failed, asked_for)


def _write(answers: Sequence[Answer], model_set: ModelSet, outputs: Outputs) -> None:
    from vitbench.data.decode import decode
    from vitbench.reports.answers import write_answers
    from vitbench.reports.answers_screen import answers_table
    from vitbench.reports.explained import overlays
    from vitbench.reports.sheet import write_sheet

    runs, meant = list(model_set.models), model_set.pixel_range
    if not outputs.as_json:
        screen = console()
        height = None if outputs.every else shutil.get_terminal_size((screen.width, LINES)).lines
        screen.print(answers_table(answers, runs, screen.width, height))
        if len(answers) > 1 and not (outputs.sheet or outputs.report):
            say("photos beside the answers: --sheet answers.png, or --report answers.html for a page of them")
    if outputs.out is not None:
        write_answers(outputs.out, answers)
        say(f"answers: {outputs.out}")
    if outputs.sheet is not None:
        ways = _ways(model_set)
        for note in write_sheet(
            outputs.sheet,
            answers,
            runs,
            lambda path: decode(Path(path), meant=meant),
            lambda one: overlays(one, ways),
        ):
            say(f"note: {note}")
        say(f"sheet: {outputs.sheet}")


def _ways(model_set: ModelSet) -> dict[str, Preprocessing]:
    """How each run takes pictures."""
    return {name: together[0].preprocessing for name, together in model_set.models.items()}


def _write_report(answers: Sequence[Answer], model_set: ModelSet, outputs: Outputs, path: Path) -> None:
    from vitbench.reports.answers_report import answers_report
    from vitbench.reports.explained import explained
    from vitbench.reports.html import shown_numbers, write_report
    from vitbench.reports.report import Options
    from vitbench.reports.thumbnails import thumbnails

    options = Options(outputs.images, outputs.anonymous)
    report = answers_report(answers, list(model_set.models), model_set.benchmark, options)
    small = thumbnails(
        [Path(answer.path) for answer in answers], shown_numbers(report), model_set.pixel_range
    )
    maps = explained(answers, _ways(model_set), shown_numbers(report)) if outputs.explain else {}
    notes = write_report(report, path, small, maps=maps)
    say_report(path, notes, report.notice)


def _paths(sources: Sequence[str]) -> list[str]:
    """What is named, in the place of "-" what stdin lists."""
    found: list[str] = []
    for source in sources:
        found += _listed(sys.stdin.buffer.read()) if source == "-" else [source]
    if not found:
        raise UsageError("no picture named: stdin was empty")
    return found


def _listed(content: bytes) -> list[str]:
    """The paths in a list, one a line, or with null bytes between them as `find -print0` has it."""
    if b"\0" in content:
        return [os.fsdecode(path) for path in content.split(b"\0") if path]
    lines = [os.fsdecode(line) for line in content.removeprefix(codecs.BOM_UTF8).split(b"\n") if line.strip()]
    return [line if os.path.lexists(line) else line.removesuffix("\r") for line in lines]


def _with_progress(answers: Iterator[Answer], total: int) -> Iterator[Answer]:
    """Pass answers on; a line on stderr every few seconds, with the time left."""
    started = shown = time.monotonic()
    for done, found in enumerate(answers, start=1):
        yield found
        now = time.monotonic()
        if now - shown > SLOW_SECONDS:
            shown = now
            left = (now - started) / done * (total - done)
            say(f"{done} of {total} pictures, {left:.0f} s left")
