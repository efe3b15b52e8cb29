"""What a reader must know to trust a comparison: approximations, confounds, fallbacks, gaps."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison, EvaluationsElsewhere, TestEvaluations
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative import confounds
from vitbench.narrative.nouns import Note
from vitbench.narrative.words import in_points, least_points, listed, named, p_text, pictures, points, share
from vitbench.records import counted, decimals, percent

MOST = 3
"""Cautions on the first screen."""


def notes_of(comparison: Comparison) -> tuple[Note, ...]:
    """Most important first, none twice."""
    return tuple(dict.fromkeys(note for rule in RULES for note in rule(comparison)))


def cautions(notes: Sequence[Note]) -> tuple[str, ...]:
    """The first three that could change the answer, briefly."""
    return tuple(note.brief for note in notes if note.brief)[:MOST]


MISSING = {
    "failed": "failed",
    "interrupted": "is unfinished",
    "new": "was not started",
    "partial": "lacks seeds",
}
"""How a model stands that has no score, or not of all seeds."""


def _missing(comparison: Comparison) -> Iterator[Note]:
    """Models and seeds without a score."""
    rows = [row for row in comparison.rows if row.status in MISSING]
    several = [f"{row.model} {MISSING[row.status]}" for row in rows]
    for i, row in enumerate(rows):
        said = f"{row.model} {MISSING[row.status]}: {row.reason}"
        yield Note(said, "" if i else said if len(rows) == 1 else named(several))


def _chance(comparison: Comparison) -> Iterator[Note]:
    """Models of which the test of balanced accuracy does not show that they learned anything."""
    low = [row for row in _tested(comparison) if row.chance_p is not None and row.chance_p > ALPHA]
    if not low:
        return
    each = [
        f"{row.model} ({percent(row.metrics['balanced_accuracy'].value, decimals(row.n_test))} %)"
        for row in low
    ]
    ps = [row.chance_p or 0.0 for row in low]
    often = f"{'each ' if len(low) > 1 else ''}{p_text(min(ps))}{' or more' if max(ps) > min(ps) else ''}"
    yield Note(
        f"{listed(each)}: no proof of having learned anything; with the labels shuffled such a balanced "
        f"accuracy comes up too often ({often})",
        f"{named([row.model for row in low])} may be guessing: shuffled labels do as well too often",
    )


def _folds(comparison: Comparison) -> Iterator[Note]:
    """What the scores of a benchmark with folds are."""
    numbers, own = sorted({source.folds for source in comparison.sources} - {0}), comparison.tested
    if not numbers or not own:
        return
    a_row = f"{' or '.join(map(str, numbers))} {'heads' if _all_probes(own) else 'models'}"
    yield Note(
        f"Each of the {own[0].n_test} pictures was answered once, by a model that saw neither it nor its "
        f"group (out-of-fold). A row is {a_row} whose training parts overlap: intervals and tests take the "
        f"variance over pictures {comparison.inflation:.2f} times as large (Nadeau & Bengio 2003)"
    )


def _groups(comparison: Comparison) -> Iterator[Note]:
    """That pictures stand together, and what was done about it."""
    units = comparison.groups
    if units is None or not comparison.tested:
        return
    alone = {source.name: source.groups for source in comparison.sources}
    joined = ""
    if len(alone) > 1 and any(groups > units for groups in alone.values()):
        counts = listed([f"{name} alone has {groups}" for name, groups in alone.items()])
        joined = f"; the benchmarks group them differently ({counts}), so their groups are joined"
    yield Note(
        f"The {pictures(comparison.n_test)} stand in {counted(units, 'group')} (copies, bursts, or what "
        f"--group names): intervals and tests count whole groups, not pictures{joined}"
    )


def _options(comparison: Comparison) -> Iterator[Note]:
    """What was asked of this comparison."""
    options, own = comparison.options, comparison.tested
    if options.baseline and len(own) > 1:
        yield Note(
            f"Compared with {options.baseline} only: p-values are corrected for all pairs of the table, "
            "those not shown as well, because a baseline can be chosen after a look at the scores"
        )
    if options.margin is not None and len(own) > 1:
        yield Note(
            '"As good as one another" (equivalent): the 95 % interval of the pair lies within '
            f"{in_points(f'±{100 * options.margin:g}')}, a margin that whoever asked for it has to answer "
            "for; it is not corrected for the number of pairs"
        )


def _all_probes(rows: Sequence[Row]) -> bool:
    return all(row.recipe == "probe" for row in rows)


def _few(comparison: Comparison) -> Iterator[Note]:
    """How much a tie is worth: the smallest gap that could have shown (`resolution` has the sentence)."""
    if len(comparison.leaders) < 2 or not comparison.n_test:
        return
    gap, n = comparison.smallest_gap, comparison.n_test
    least = "no gap, however large" if gap is None else f"no gap under {in_points(least_points(gap))}"
    yield Note(brief=f"{pictures(n)} can show {least}: a tie does not mean that they are equal")


def _seeds(comparison: Comparison) -> Iterator[Note]:
    """What the seeds leave open; of a probe beside its model only how the two are paired."""
    own = comparison.tested
    numbers = {len(row.seeds) for row in own}
    if not own:
        return
    if numbers == {1}:
        if _all_probes(own) and not any(row.from_scratch for row in own):
            yield Note("A probe has no seed of its own: other pictures change it, another seed does not")
        else:
            yield Note(
                "One training each: how much another seed would change is not in these numbers, and it can "
                "change the order",
                "One training each: another seed can change the order" if len(own) > 1 else "",
            )
        return
    yield Note(
        "Several seeds: scores are means over all seeds that a model has. Intervals and tests are t over "
        "images × seeds, an approximation, poor where nearly all pictures are right or wrong; how much a "
        "seed changes a model is taken from all models together where its own seeds differ less, because few "
        "seeds can agree by luck"
    )
    if numbers & {2, 3}:
        yield Note(
            'Two or three seeds tell little: a false "better" stands in at most 5 % of tables where seeds of '
            "all models vary alike, in up to 8 % where some vary 15 times as much; five seeds mend that",
            "Two or three seeds tell little about luck; five tell more" if len(own) > 1 else "",
        )
    single = [row.model for row in own if len(row.seeds) == 1 and (row.recipe != "probe" or row.from_scratch)]
    if single:
        yield Note(
            f"{listed(single)}: one training only; how much another seed would change it is taken from the "
            "other models in every test and in the interval of its accuracy, and is not in those of its "
            "other scores"
        )
    elif len(numbers) > 1:
        yield Note("The models have different numbers of seeds")


def _training_set(comparison: Comparison) -> Iterator[Note]:
    """What a verdict on models of one training set cannot say; folds count it in."""
    if comparison.inflation > 1 or len(comparison.tested) < 2:
        return
    yield Note(
        "One training set: other training pictures can turn a verdict (in simulation a quarter of those "
        "between equally good learners were false, at 100 training and 1,000 test pictures)",
        "One training set: other training pictures can turn a verdict",
    )


def _probes(comparison: Comparison) -> Iterator[Note]:
    """What a probe is, and what not."""
    if not any(row.recipe == "probe" for row in _tested(comparison)):
        return
    only = _all_probes(comparison.tested) and len(comparison.tested) > 1
    yield Note(
        "A probe ranks frozen features under a linear head, not fine-tuned models. Its strength was chosen "
        "inside the training part, and it is fitted on train and val; its train img/s is the speed of "
        "feature extraction",
        "Frozen features, not fine-tuned models: fine-tuning can change the order" if only else "",
    )


def _beaten(comparison: Comparison) -> Iterator[Note]:
    """Fine-tuned models that are worse than their own frozen probes (the verdicts have the sentences)."""
    lost = [pair for pair in comparison.probes if pair.distinguishable and pair.model_a == pair.probe]
    for pair in lost[:1]:
        others = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        gain = in_points(points(-pair.difference, pair.n))
        yield Note(brief=f"{pair.model_b}{others} is worse than its own frozen probe ({gain})")


def _arms(comparison: Comparison) -> Iterator[Note]:
    """What arm against arm is, and that it has the p-values of all pairs."""
    many = len(comparison.arms)
    if not many:
        return
    pairs = "one pair" if many == 1 else f"{many} pairs"
    yield Note(
        f"Arm against arm: the same model trained in different ways, {pairs} with the p-values that "
        "stand in the table of all pairs; ranks take each arm of a model for a model of its own"
    )


def _teachers(comparison: Comparison) -> Iterator[Note]:
    """What a student's numbers leave out of its teacher."""
    known = [student.model for student in comparison.distillation]
    untold = [row.model for row in comparison.tested if row.distilled and row.model not in known]
    if untold:
        yield Note(
            f"{listed(untold)}: heads.csv is missing or does not fit the test pictures, so what the teacher "
            "taught is not shown"
        )
    one = [student.model for student in comparison.distillation if student.one_teacher]
    if one:
        yield Note(
            f"{listed(one)}: all seeds learned from one and the same teacher; how much another seed would "
            "change the teacher is not in these numbers"
        )
    if known:
        yield Note(
            "A teacher is no free lunch: its forward passes are in its students' seconds per epoch, its own "
            "training is not"
        )


def _splits(comparison: Comparison) -> Iterator[Note]:
    """Notes of the splits and benchmarks; a warning where training pictures differ."""
    yield from (Note(note) for source in comparison.sources for note in source.notes)
    if len({source.split_digest for source in comparison.sources}) > 1:
        said = "The benchmarks share their test pictures, not their training and validation pictures"
        yield Note(said, said)


def _skipped(comparison: Comparison) -> Iterator[Note]:
    """The files that `--skip-bad` left out, the first few with the reason."""
    for skipped in (source.skipped for source in comparison.sources if source.skipped):
        first = ", ".join(f"{path} ({reason})" for path, reason in skipped[:3])
        rest = f" and {len(skipped) - 3} more, all in benchmark.json" if len(skipped) > 3 else ""
        files = "1 file was" if len(skipped) == 1 else f"{len(skipped)} files were"
        yield Note(f"{files} left out as unreadable: {first}{rest}")


def _said_by_runs(comparison: Comparison) -> Iterator[Note]:
    """Approximations and fallbacks that runs recorded, each once with the models that it holds for."""
    yield from (Note(f"{listed(note.models)}: {note.text}") for note in comparison.run_notes)


def _leaks(comparison: Comparison) -> Iterator[Note]:
    """How many test pictures training knows, and what is left of the scores without them."""
    many, clean = len({leak.path for leak in comparison.leaks}), comparison.leak_free
    if not many:
        return
    n = comparison.n_test
    are = "is a copy or near-copy" if many == 1 else "are copies or near-copies"
    known = (
        f"{many} of {pictures(n)} {are} of pictures that training or the choice of epochs knew (leaks.csv)"
    )
    each = [f"{row.model} {share(row.metrics['top1'], row.n_test)}" for row in clean]
    left = (
        f". On the other {clean[0].n_test}: {listed(each)}"
        if clean
        else "; no test picture is left without them"
    )
    yield Note(
        f"{known}: their scores may be too good{left}",
        f"{many} of {pictures(n)} {are} of training pictures (leaks.csv): scores may be too good",
    )


def _evaluations(comparison: Comparison) -> Iterator[Note]:
    """How often the test pictures were looked at, beyond the one look at the end of each training."""
    looks, elsewhere = comparison.evaluations, comparison.evaluations_elsewhere
    if not looks:
        return
    often = any(look.by not in ("train", "probe") or look.times > look.runs for look in looks)
    said = "one per model and seed, when it was finished"
    if often:
        said = listed([f"{look.model} {_times(look)} by {look.by}" for look in looks])
    if elsewhere:
        times, most = sum(one.times for one in elsewhere), max(one.pictures for one in elsewhere)
        others = "1 other benchmark" if len(elsewhere) == 1 else f"{len(elsewhere)} other benchmarks"
        said += f"; {times} more by {others} beside this one ({_named(elsewhere)}), at up to {most} of them"
    if not often and not elsewhere:
        yield Note(f"Looks at the test pictures: {said}")
        return
    chosen = "whatever is chosen after such a look is chosen on test"
    yield Note(
        f"Looks at the test pictures so far: {said}; {chosen}",
        f"The test pictures were looked at before: {chosen}",
    )


def _named(elsewhere: Sequence[EvaluationsElsewhere]) -> str:
    names = [one.benchmark for one in elsewhere]
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} …"


def _times(look: TestEvaluations) -> str:
    times = {1: "once", 2: "twice"}.get(look.times, f"{look.times} times")
    return f"{times} ({look.pictures} pictures)"


def _tested(comparison: Comparison) -> list[Row]:
    """The models with a score, the probes beside them too."""
    return [row for row in comparison.rows if row.tested]


RULES: tuple[Callable[[Comparison], Iterable[Note]], ...] = (
    _leaks,
    _missing,
    _chance,
    confounds.random_weights,
    _beaten,
    confounds.budgets,
    confounds.unlike,
    _few,
    confounds.off_size,
    _seeds,
    _probes,
    confounds.pretraining,
    _training_set,
    _folds,
    _groups,
    _options,
    _arms,
    _teachers,
    confounds.masked,
    _splits,
    _skipped,
    _said_by_runs,
    _evaluations,
)
"""Ranked: first what could change the answer, most likely first, then what it stands on, last what is only to
be known."""
