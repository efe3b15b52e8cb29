"""The report of answers to new photos: what every model says about each, and how far they agree."""

import time
from collections.abc import Sequence
from itertools import combinations

from vitbench.comparison.opened import OpenBenchmark
from vitbench.inference.metrics import wilson
from vitbench.records import Answer, Benchmark, counted, percent
from vitbench.reports.anonymous import anonymised
from vitbench.reports.answers import USED
from vitbench.reports.comparison_report import notice, texts
from vitbench.reports.report import (
    MOST_PICTURES,
    Agreement,
    Guess,
    Options,
    Picture,
    Report,
    Said,
    Score,
)


def answers_report(
    answers: Sequence[Answer],
    runs: Sequence[str],
    benchmark: Benchmark | None = None,
    options: Options | None = None,
) -> Report:
    """The report of what `runs` say about photos; `benchmark`: where the models come from, if known."""
    options = options or Options()
    pictures = sorted((_picture(i, a, runs) for i, a in enumerate(answers, start=1)), key=_telling)
    readable = [picture for picture in pictures if picture.said]
    answered = {a.predictions[run][0][0] for a in answers for run in runs if a.predictions.get(run)}
    scores = _scores(answers, runs)
    report = Report(
        kind="answers",
        name=benchmark.name if benchmark else "",
        created=time.strftime("%Y-%m-%d %H:%M"),
        images=options.images,
        anonymous=options.anonymous,
        notice=notice(options),
        headline=_headline(readable, runs, scores),
        gap="",
        advice=_advice(readable),
        classes=benchmark.classes if benchmark else tuple(sorted(answered)),
        runs=tuple(runs),
        comparison=None,
        narrative=None,
        scores=scores,
        agreements=_agreements(readable, runs),
        pictures=tuple(pictures[:MOST_PICTURES]),
        n_pictures=len(pictures),
        left_out=max(0, len(pictures) - MOST_PICTURES),
        notes=tuple(_notes(answers, pictures)),
        command="",
        versions=texts(benchmark.manifest.get("versions")) if benchmark else {},
        machine={},
    )
    if not options.anonymous:
        return report
    return anonymised(
        report, [OpenBenchmark.of(benchmark)] if benchmark else [], [answer.path for answer in answers]
    )


def _picture(number: int, answer: Answer, runs: Sequence[str]) -> Picture:
    said = []
    for run in runs:
        if not (pairs := answer.predictions.get(run)):
            continue
        (name, probability), *rest = pairs
        right = None if answer.label is None else name == answer.label
        said.append(Said(run, name, float(probability), right, tuple(Guess(c, float(p)) for c, p in rest)))
    return Picture(number, answer.path, answer.label, tuple(said), answer.mark, answer.error)


def _telling(picture: Picture) -> tuple[object, ...]:
    """Disputed first, then wrong, then least sure; unreadable ones last."""
    mean = sum(one.probability for one in picture.said) / max(len(picture.said), 1)
    return (bool(picture.error), not picture.disputed, -picture.wrong, mean, picture.number)


def _scores(answers: Sequence[Answer], runs: Sequence[str]) -> tuple[Score, ...]:
    """As the terminal's table counts: pictures of the models' own training and validation parts do not."""
    known = [a for a in answers if a.label is not None and a.seen not in USED]
    found = []
    for run in runs:
        first = [
            (answer.label, answer.predictions[run][0][0]) for answer in known if answer.predictions.get(run)
        ]
        if first:
            correct = sum(label == name for label, name in first)
            low, high = wilson(correct, len(first))
            found.append(Score(run, correct, len(first), correct / len(first), low, high))
    return tuple(sorted(found, key=lambda score: -score.top1))


def _agreements(pictures: Sequence[Picture], runs: Sequence[str]) -> tuple[Agreement, ...]:
    found = []
    for a, b in combinations(runs, 2):
        both = [said for p in pictures if {a, b} <= (said := {one.run: one.answer for one in p.said}).keys()]
        found.append(Agreement(a, b, sum(said[a] == said[b] for said in both), len(both)))
    return tuple(found)


def _photos(n: int) -> str:
    return counted(n, "photo")


def _headline(pictures: Sequence[Picture], runs: Sequence[str], scores: Sequence[Score]) -> str:
    if not pictures:
        return "No photo could be read: there are no answers."
    disputed = sum(picture.disputed for picture in pictures)
    if len(runs) == 1:
        unsure = sum(picture.unsure for picture in pictures)
        text = (
            f"{runs[0]} answers for {_photos(len(pictures))}; on {unsure} of them it is less than 50 % sure."
        )
    elif disputed:
        same = len(pictures) - disputed
        text = f"{len(runs)} models agree on {same} of {_photos(len(pictures))} and disagree on {disputed}."
    else:
        text = f"{len(runs)} models agree on {'all ' if len(pictures) > 1 else ''}{_photos(len(pictures))}."
    if scores:
        best, last = scores[0], scores[-1]
        share = f"{best.correct} of {best.n} ({percent(best.top1)} %)"
        text += f" Where the class is known, {best.run} is right on {share}"
        text += f", {last.run} on {last.correct} of {last.n}." if len(scores) > 1 else "."
    return text


def _advice(pictures: Sequence[Picture]) -> str:
    disputed = sum(picture.disputed for picture in pictures)
    unsure = sum(picture.unsure for picture in pictures)
    if disputed:
        return f"Look at the {_photos(disputed)} on which the models disagree: they come first below."
    if unsure:
        return f"Look at the {_photos(unsure)} with an answer under 50 %: they come first below."
    return ""


def _notes(answers: Sequence[Answer], pictures: Sequence[Picture]) -> list[str]:
    notes = []
    broken = sum(bool(picture.error) for picture in pictures)
    if broken:
        notes.append(f"{_photos(broken)} could not be read")
    labelled = [answer for answer in answers if answer.label is not None and answer.predictions]
    used = sum(answer.seen in USED for answer in labelled)
    if used:
        notes.append(
            f"{used} of {len(labelled)} photos with a known class were trained on or chosen by: not counted"
        )
    own = sum(answer.seen == "test" for answer in labelled)
    if own:
        notes.append(
            f"{own} of them are the benchmark's own test pictures, which makes this another look at them"
        )
    if labelled:
        notes.append("A photo's class is known where its folder is named like one of the models' classes")
    notes.append(
        "A model names one of its own classes whatever the photo shows; a high probability is no proof that "
        "the photo belongs to any of them"
    )
    return notes
