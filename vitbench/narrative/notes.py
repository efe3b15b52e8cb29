"""What a reader must know to trust a comparison: approximations, confounds, fallbacks, gaps."""

from collections.abc import Callable, Iterable, Sequence

from vitbench.comparison.arms import arm_word
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison, EvaluationsElsewhere, TestEvaluations
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import listed, p_text, pictures, share
from vitbench.records import counted, percent


def notes_of(comparison: Comparison) -> tuple[str, ...]:
    """One line each, most important first, none twice."""
    lines = (line for rule in RULES for line in rule(comparison))
    return tuple(dict.fromkeys(lines))


ALIKE = {
    "epochs": "epochs",
    "per_class": "views per class",
    "augment": "augmentation",
    "flip": "mirroring",
    "batch_size": "batch size",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "repeats": "views side by side",
    "ema_decay": "moving average",
    "precision": "precision",
    "seed": "seeds",
}
"""Fields of `Recipe` that a fair comparison holds equal, in words."""


def _budgets(comparison: Comparison) -> list[str]:
    """What the runs were trained with differently, beside the model."""
    lines = []
    for name, values in comparison.differing.items():
        named = "; ".join(f"{listed(models)}: {value}" for value, models in values.items())
        lines.append(f"Trained with different {ALIKE[name]} ({named}): a difference can come from that")
    return lines


def _gaps(comparison: Comparison) -> list[str]:
    """Models and seeds without a score."""
    words = {
        "failed": "failed",
        "interrupted": "is unfinished",
        "new": "was not started",
        "partial": "lacks seeds",
    }
    return [
        f"{row.model} {words[row.status]}: {row.reason}" for row in comparison.rows if row.status in words
    ]


def _chance(comparison: Comparison) -> list[str]:
    """Models of which the test of balanced accuracy does not show that they learned anything."""
    low = [row for row in _tested(comparison) if row.chance_p is not None and row.chance_p > ALPHA]
    if not low:
        return []
    named = [f"{row.model} ({percent(row.metrics['balanced_accuracy'].value)} %)" for row in low]
    ps = [row.chance_p or 0.0 for row in low]
    each, more = "each " if len(low) > 1 else "", " or more" if max(ps) > min(ps) else ""
    return [
        f"{listed(named)}: no proof of having learned anything; permuted labels give such a balanced "
        f"accuracy too often ({each}{p_text(min(ps))}{more})"
    ]


def _folds(comparison: Comparison) -> list[str]:
    """What the scores of a benchmark with folds are."""
    numbers, own = sorted({source.folds for source in comparison.sources} - {0}), comparison.tested
    if not numbers or not own:
        return []
    a_row = f"{' or '.join(map(str, numbers))} {'heads' if _all_probes(own) else 'models'}"
    return [
        f"Out-of-fold: each of the {own[0].n_test} pictures was answered once, by a model that saw neither "
        f"it nor its group; a row is {a_row}, whose training parts overlap: intervals and tests take the "
        f"variance over pictures {comparison.inflation:.2f} times as large (Nadeau & Bengio 2003)"
    ]


def _groups(comparison: Comparison) -> list[str]:
    """That pictures stand together, and what was done about it."""
    units = comparison.groups
    if units is None or not comparison.tested:
        return []
    alone = {source.name: source.groups for source in comparison.sources}
    joined = ""
    if len(alone) > 1 and any(groups > units for groups in alone.values()):
        counts = listed([f"{name} alone has {groups}" for name, groups in alone.items()])
        joined = f"; the benchmarks group them differently ({counts}), so their groups are joined"
    return [
        f"The {comparison.n_test} test pictures stand in {counted(units, 'group')} (copies, bursts, or what "
        f"--group names): intervals and tests count whole groups, not pictures{joined}"
    ]


def _options(comparison: Comparison) -> list[str]:
    """What was asked of this comparison."""
    options, own, lines = comparison.options, comparison.tested, []
    if options.baseline and len(own) > 1:
        lines.append(
            f"Compared with {options.baseline} only: p-values are corrected for all pairs of the table, "
            "those not shown as well, because a baseline can be chosen after a look at the scores"
        )
    if options.margin is not None and len(own) > 1:
        lines.append(
            f"Equivalent means: the pair's own 95 % interval lies within ±{100 * options.margin:g} points, a "
            "margin that whoever asked for it has to answer for; it is not corrected for the number of pairs"
        )
    return lines


def _all_probes(rows: Sequence[Row]) -> bool:
    return all(row.recipe == "probe" for row in rows)


def _seeds(comparison: Comparison) -> list[str]:
    """What the seeds leave open; of a probe beside its model only how the two are paired."""
    own = comparison.tested
    numbers = {len(row.seeds) for row in own}
    if not own:
        return []
    if numbers == {1}:
        if _all_probes(own) and not any(row.from_scratch for row in own):
            return ["A probe has no seed of its own: other pictures would change it, another seed would not"]
        return ["One run each: seed variation is not included; another seed can change the order"]
    lines = [
        "Several seeds: scores are means over all seeds that a model has; intervals and tests are t over "
        "images × seeds, an approximation, poor where nearly all pictures are right or wrong; how much a "
        "seed changes a model is taken from all models together where its own seeds differ less, because few "
        "seeds can agree by luck"
    ]
    if numbers & {2, 3}:
        lines.append(
            'Two or three seeds tell little: a false "better" stands in at most 5 % of tables where seeds of '
            "all models vary about alike, in up to 8 % where some vary 15 times as much; five seeds mend that"
        )
    single = [row.model for row in own if len(row.seeds) == 1 and (row.recipe != "probe" or row.from_scratch)]
    if single:
        lines.append(
            f"{listed(single)}: one run only; how much another seed would change it is taken from the other "
            "models in every test and in its interval of top-1, and is not in those of its other scores"
        )
    elif len(numbers) > 1:
        lines.append("The models have different numbers of seeds")
    return lines


def _training_set(comparison: Comparison) -> list[str]:
    """What a verdict on models of one training set cannot say; folds count it in."""
    if comparison.inflation > 1 or len(comparison.tested) < 2:
        return []
    return [
        "One training set: other training pictures can turn a verdict (in simulation a quarter of those "
        "between equally good learners were false, at 100 training and 1,000 test pictures)"
    ]


def _probes(comparison: Comparison) -> list[str]:
    if not any(row.recipe == "probe" for row in _tested(comparison)):
        return []
    return [
        "A probe ranks frozen features under a linear head, not fine-tuned models; its strength was chosen "
        "inside the training part, and it is fitted on train and val; its train img/s is the speed of "
        "feature extraction"
    ]


def _arms(comparison: Comparison) -> list[str]:
    """What arm against arm is, and that it has the p-values of all pairs."""
    many = len(comparison.arms)
    if not many:
        return []
    pairs = "one pair" if many == 1 else f"{many} pairs"
    return [
        f"Arm against arm: the same model trained in different ways, {pairs} with the p-values that they "
        "have among all pairs; ranks take each arm of a model for a model of its own"
    ]


def _teachers(comparison: Comparison) -> list[str]:
    """What a student's numbers leave out of its teacher."""
    known = [student.model for student in comparison.distillation]
    untold = [row.model for row in comparison.tested if row.distilled and row.model not in known]
    lines = []
    if untold:
        lines.append(
            f"{listed(untold)}: heads.csv is missing or does not fit the test pictures, so what the teacher "
            "taught is not shown"
        )
    one = [student.model for student in comparison.distillation if student.one_teacher]
    if one:
        lines.append(
            f"{listed(one)}: all seeds learned from one and the same teacher; seed variation of the teacher "
            "is not included"
        )
    if known:
        lines.append(
            "A teacher is no free lunch: its forward passes are in its students' seconds per epoch, its own "
            "training is not"
        )
    return lines


def _confounds(comparison: Comparison) -> list[str]:
    """What differs between the models beside the model."""
    tested, lines = comparison.tested, []
    random = [row.model for row in tested if row.from_scratch]
    if random:
        lines.append(f"{listed(random)}: trained from random weights, not from pretrained ones")
    sources: dict[str, list[str]] = {}
    for row in tested:
        if row.model not in random and row.pretrained_on:
            sources.setdefault(row.pretrained_on, []).append(row.model)
    if len(sources) > 1:
        named = "; ".join(f"{listed(models)} on {source}" for source, models in sources.items())
        lines.append(f"Pretrained on different pictures ({named}): a difference can come from that")
    off = [
        f"{row.model} ({row.image_size} px, made for {row.native_size})"
        for row in tested
        if row.native_size and row.image_size and row.native_size != row.image_size
    ]
    if off:
        lines.append(f"Off their native size: {', '.join(off)}")
    alone, costs = "not the model alone", "speeds, latencies and memory are not comparable"
    for what, told, so in (
        ("input size", lambda row: f"{row.image_size} px" if row.image_size else "", alone),
        ("recipe", lambda row: row.recipe, alone),
        ("device", lambda row: row.device, costs),
    ):
        values = _distinct(told(row) for row in tested)
        arms = _of_arms(tested, told)
        if arms and so == alone:
            lines.append(f"The arms differ in {what} ({arms}): part of what arm against arm compares")
        elif len(values) > 1:
            lines.append(f"The models differ in {what} ({', '.join(values)}): {so}")
    return lines


def _of_arms(tested: Sequence[Row], told: Callable[[Row], str]) -> str:
    """ "plain: finetune, distill: deit" where each arm has one value and two differ; else ""."""
    values: dict[str, set[str]] = {}
    for row in tested:
        values.setdefault(row.arm, set()).add(told(row))
    if any(len(of_arm) > 1 for of_arm in values.values()) or len(set().union(*values.values())) < 2:
        return ""
    return ", ".join(f"{arm_word(arm)}: {next(iter(one))}" for arm, one in values.items())


def _pretrained(comparison: Comparison) -> list[str]:
    """What masked pre-training costs beside the epochs that all have."""
    begun = [row.model for row in comparison.tested if row.masked]
    if not begun:
        return []
    return [
        f"{listed(begun)}: masked pre-training came first; its epochs are not among those that rows share, "
        "nor its time in seconds per epoch"
    ]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(v for v in values if v))


def _splits(comparison: Comparison) -> list[str]:
    """Notes of the splits and benchmarks; a warning where training pictures differ."""
    lines = [note for source in comparison.sources for note in source.notes]
    if len({source.split_digest for source in comparison.sources}) > 1:
        lines.append("The benchmarks share their test pictures, not their training and validation pictures")
    return lines


def _skipped(comparison: Comparison) -> list[str]:
    """The files that `--skip-bad` left out, the first few with the reason."""
    lines = []
    for skipped in (source.skipped for source in comparison.sources):
        if skipped:
            named = ", ".join(f"{path} ({reason})" for path, reason in skipped[:3])
            rest = f" and {len(skipped) - 3} more, all in benchmark.json" if len(skipped) > 3 else ""
            files = "1 file was" if len(skipped) == 1 else f"{len(skipped)} files were"
            lines.append(f"{files} left out as unreadable: {named}{rest}")
    return lines


def _said_by_runs(comparison: Comparison) -> list[str]:
    """Approximations and fallbacks that runs recorded, each once with the models that it holds for."""
    return [f"{listed(note.models)}: {note.text}" for note in comparison.run_notes]


def _leaks(comparison: Comparison) -> list[str]:
    """How many test pictures training knows, and what is left of the scores without them."""
    many, clean = len({leak.path for leak in comparison.leaks}), comparison.leak_free
    if not many:
        return []
    are = "is a copy or near-copy" if many == 1 else "are copies or near-copies"
    said = (
        f"{many} of {pictures(comparison.n_test)} {are} of pictures that the models learned from or were "
        "chosen by (leaks.csv): their scores may be too good"
    )
    if not clean:
        return [f"{said}; no test picture is left without them"]
    each = [f"{row.model} {share(row.metrics['top1'])}" for row in clean]
    return [f"{said}. On the other {clean[0].n_test}: {listed(each)}"]


def _evaluations(comparison: Comparison) -> list[str]:
    """How often the test pictures were looked at, beyond the one look at the end of each training."""
    looks, elsewhere = comparison.evaluations, comparison.evaluations_elsewhere
    if not looks:
        return []
    often = any(look.by == "predict" or look.times > look.runs for look in looks)
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


def _named(elsewhere: Sequence[EvaluationsElsewhere]) -> str:
    names = [one.benchmark for one in elsewhere]
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} …"


def _times(look: TestEvaluations) -> str:
    times = {1: "once", 2: "twice"}.get(look.times, f"{look.times} times")
    return f"{times} ({look.pictures} pictures)"


def _tested(comparison: Comparison) -> list[Row]:
    """The models with a score, the probes beside them too."""
    return [row for row in comparison.rows if row.tested]


RULES: tuple[Callable[[Comparison], list[str]], ...] = (
    _leaks,
    _gaps,
    _chance,
    _groups,
    _folds,
    _seeds,
    _training_set,
    _options,
    _probes,
    _arms,
    _teachers,
    _confounds,
    _pretrained,
    _budgets,
    _splits,
    _skipped,
    _said_by_runs,
    _evaluations,
)
"""Ranked: first what can turn a verdict, then what it stands on, last what is only to be known."""
