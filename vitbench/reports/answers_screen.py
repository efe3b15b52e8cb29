"""The answers of `predict` on a screen: a table that fits, what is disputed first, a line for each model."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from vitbench import files
from vitbench.inference.metrics import wilson
from vitbench.records import LOW_CONFIDENCE, Answer
from vitbench.reports.answers import DISPUTED, UNSURE, USED, legend, marked_name, said, wrong
from vitbench.reports.fitted import GAP, beginning, ending, fitted, widest

if TYPE_CHECKING:
    from rich.console import RenderableType

REASONS = 3
"""Unreadable pictures whose reason is told."""
LEAST = 8
"""Lines for pictures, however many models there are."""
NAME, NARROW = 16, 60
"""Cells that a picture's name needs at least, where it is that long; and below which labels go."""


def answers_table(
    answers: Sequence[Answer], runs: Sequence[str], width: int = 80, height: int | None = None
) -> "RenderableType":
    """The answers in `width` cells, what the marks mean, and a line per model where pictures are several.

    A row per picture with a column per model where that fits; else a row per model, or, for several pictures
    and the first answers alone, a row per answer and how many models give it. ≠ before the picture's name:
    the models do not agree; "(train)" behind it: the part of the split that it was in; ? behind an answer:
    less than 50 % probable; ✗: not the picture's label. Of more pictures than `height` lines hold (None: any
    number) those come first on which the models disagree, then unreadable, wrong and unsure ones, and a line
    says how many are left. A folder that all share is left out of their names.
    """
    from rich.console import Group
    from rich.text import Text

    shared = len(_shared_folder(answers))
    below = [*(beginning(line, width) for line in _reasons(answers, shared)), *legend(answers)]
    models = summary(answers, runs, width) if len(answers) > 1 else []
    titles, blocks = _blocks(answers, runs, shared, width)
    around = 3 + len(below) + len(models)  # heads, a gap, the prompt
    room = None if height is None else max(height - around, LEAST)
    if room is not None and sum(map(len, blocks)) > room:
        order = sorted(range(len(answers)), key=lambda place: _calm(answers[place]))
        lines = itertools.accumulate(len(blocks[place]) for place in order)
        count = max(sum(line < room for line in lines), 1)
        below.insert(0, _left_over(answers, [answers[place] for place in order[:count]]))
        blocks = [blocks[place] for place in order[:count]]
    table, _ = fitted(titles, [row for block in blocks for row in block], width)
    lines_below = [*below, *([""] if models else []), *models]
    return Group(table, *(Text(files.printable(line)) for line in lines_below))


def _calm(answer: Answer) -> tuple[bool, ...]:
    """What sorts the pictures that need a look before those that need none."""
    return (not answer.disputed, not answer.error, not wrong(answer), not answer.unsure)


def _left_over(answers: Sequence[Answer], shown: Sequence[Answer]) -> str:
    left, all_disputed = len(answers) - len(shown), sum(answer.disputed for answer in answers)
    disputed = all_disputed - sum(answer.disputed for answer in shown)
    which = (
        f", {disputed} of them disputed" if disputed else ", none of them disputed" if all_disputed else ""
    )
    return f"… and {left} more{which}; --all prints every one"


# --- rows -----------------------------------------------------------------------------------------


Blocks = tuple[list[str], list[list[list[str]]]]
"""Heads, and the rows of each picture."""


def _blocks(answers: Sequence[Answer], runs: Sequence[str], shared: int, width: int) -> Blocks:
    """A column per model where they fit, else a row per model or per answer."""
    true = ["true"] if any(answer.label is not None for answer in answers) else []
    names = _names(answers, shared)
    rows = [[*[answer.label or ""][: len(true)], *(_cell(answer, run) for run in runs)] for answer in answers]
    room = width - sum(size + GAP for size in widest([*true, *runs], rows))
    if room >= min(max([5, *map(cell_len, names)]), NAME):
        wide = [[[ending(name, room), *row]] for name, row in zip(names, rows, strict=True)]
        return ["image", *true, *runs], wide
    true = true if width >= NARROW else []
    heads = [
        [ending(name, width // 3 - GAP), *[beginning(answer.label or "", width // 6)][: len(true)]]
        for name, answer in zip(names, answers, strict=True)
    ]
    left = width - sum(size + GAP for size in widest(["image", *true], heads))
    if len(answers) > 1 and all(len(pairs) == 1 for one in answers for pairs in one.predictions.values()):
        tails = [_by_answer(answer, runs, left) for answer in answers]
        titles = ["image", *true, "answer", "models"]
    else:
        tails = [_by_model(answer, runs, left) for answer in answers]
        titles = ["image", *true, "model", "answer"]
    return titles, [_under(head, rows) for head, rows in zip(heads, tails, strict=True)]


def _under(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows of a picture, its name before the first of them."""
    return [[*(head if place == 0 else [""] * len(head)), *row] for place, row in enumerate(rows)]


def _by_model(answer: Answer, runs: Sequence[str], room: int) -> list[list[str]]:
    most = room // 2 - GAP
    left = max(room - GAP - max(min(cell_len(run), most) for run in [*runs, "model"]), 1)
    return [[beginning(run, most), _cell(answer, run, left)] for run in runs]


def _by_answer(answer: Answer, runs: Sequence[str], room: int) -> list[list[str]]:
    """A row per class that is named, the commonest first: "roses", "11 models, 62 to 97 %"."""
    if answer.error:
        return [["unreadable", ""]]
    found: dict[str, list[str]] = {}
    for run in runs:
        if pairs := answer.predictions.get(run):
            found.setdefault(pairs[0][0], []).append(run)
    rows = []
    for name, agreeing in sorted(found.items(), key=lambda item: -len(item[1])):
        shares = sorted(answer.predictions[run][0][1] for run in agreeing)
        unsure = f" {UNSURE}" if shares[0] < LOW_CONFIDENCE else ""
        ends = list(dict.fromkeys(f"{100 * share:.0f}" for share in (shares[0], shares[-1])))
        who = agreeing[0] if len(agreeing) == 1 else f"{len(agreeing)} models"
        mark = " ✗" if answer.label not in (None, name) else ""
        rows.append(
            [
                beginning(name, room // 2 - GAP - len(mark)) + mark,
                f"{beginning(who, room // 2 - 14)}, {' to '.join(ends)} %{unsure}",
            ]
        )
    return rows


def _names(answers: Sequence[Answer], shared: int) -> list[str]:
    """The pictures' names, with the mark of those on which the models disagree, all beginning together."""
    blank = "  " if any(answer.disputed for answer in answers) else ""
    return [
        (f"{DISPUTED} " if answer.disputed else blank) + marked_name(answer.path[shared:], answer)
        for answer in answers
    ]


def _cell(answer: Answer, run: str, room: int = 60) -> str:
    """What a run says, in `room` cells: the further answers give way first, then the end of the class."""
    if answer.error:
        return "unreadable"
    pairs = answer.predictions.get(run, ())
    text = said(answer, run)
    for name, probability in pairs[1:]:
        more = f"{text}, {name} {100 * probability:.0f} %"
        if cell_len(more) > room:
            break
        text = more
    if pairs and cell_len(text) > room:
        behind = text[len(pairs[0][0]) :]
        return beginning(pairs[0][0], room - cell_len(behind)) + behind
    return text


def _shared_folder(answers: Sequence[Answer]) -> str:
    """The beginning that all paths share, up to its last `/`."""
    if not answers:
        return ""
    first, last = (end(answer.path for answer in answers) for end in (min, max))
    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))))
    return first[: first.rfind("/", 0, same) + 1]


def _reasons(answers: Sequence[Answer], shared: int) -> list[str]:
    """Why pictures could not be read, a line each, for the first few."""
    broken = [answer for answer in answers if answer.error]
    lines = [f"{answer.path[shared:]}: {answer.error}" for answer in broken[:REASONS]]
    return lines + ([f"{len(broken) - REASONS} more are unreadable"] if len(broken) > REASONS else [])


# --- a line per model -----------------------------------------------------------------------------


def summary(answers: Sequence[Answer], runs: Sequence[str], width: int = 80) -> list[str]:
    """A line per run: how often right, with its Wilson interval, how often unsure, which classes it named.

    "vit-s0   52 of 60 right, 86.7 % [75.8, 93.1]   3 unsure   roses 20, tulips 18". Pictures of the models'
    own training and validation parts do not count; a last line says how many, and what the interval is.
    """
    labelled = [answer for answer in answers if answer.label is not None and answer.predictions]
    known = [answer for answer in labelled if answer.seen not in USED]
    rows = [[run, _right(known, run), _unsure(answers, run)] for run in runs]
    sizes = widest(["", "", ""], rows)
    used = sum(size + GAP for size in sizes if size)
    lines = []
    for row in rows:
        cells = (cell.ljust(size + GAP) for cell, size in zip(row, sizes, strict=True) if size)
        lines.append("".join(cells) + _named(answers, row[0], width - used))
    notes = ["[…]: 95 % interval (Wilson)"] if any(row[1] for row in rows) else []
    if own := sum(answer.seen == "test" for answer in known):
        notes.append(f"{own} of {len(known)} are the benchmark's own test pictures")
    if left_out := len(labelled) - len(known):
        were = "picture was" if len(labelled) == 1 else "pictures were"
        notes.append(f"{left_out} of {len(labelled)} labelled {were} trained on or chosen by: not counted")
    return [beginning(line.rstrip(), width) for line in lines] + notes


def _right(known: Sequence[Answer], run: str) -> str:
    first = [(one.label, one.predictions[run][0][0]) for one in known if one.predictions.get(run)]
    if not first:
        return ""
    correct = sum(label == name for label, name in first)
    low, high = wilson(correct, len(first))
    share = f"{100 * correct / len(first):.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{correct} of {len(first)} right, {share}"


def _unsure(answers: Sequence[Answer], run: str) -> str:
    first = (answer.predictions[run][0] for answer in answers if answer.predictions.get(run))
    count = sum(probability < LOW_CONFIDENCE for _, probability in first)
    return f"{count} unsure" if count else ""


def _named(answers: Sequence[Answer], run: str, room: int) -> str:
    """The classes that a run named, the commonest first, as many as have room: "roses 20, tulips 18, …"."""
    counts = Counter(answer.predictions[run][0][0] for answer in answers if answer.predictions.get(run))
    text = ""
    for name, count in counts.most_common():
        more = f"{text}, {name} {count}" if text else f"{name} {count}"
        if cell_len(more) > room - 3:
            return f"{text}, …" if text else ""
        text = more
    return text
