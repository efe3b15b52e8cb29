"""What a reader must know to trust a comparison: approximations, confounds, fallbacks, gaps."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vitbench.comparison.arms import arm_word
from vitbench.comparison.candidates import Candidate
from vitbench.comparison.lessons import HEADS, distilled
from vitbench.comparison.statistics import ALPHA
from vitbench.comparison.words import listed, p_text
from vitbench.records import Benchmark, counted

if TYPE_CHECKING:
    from vitbench.comparison.basis import Basis
    from vitbench.comparison.lessons import Lesson
    from vitbench.comparison.pairs import Pair
    from vitbench.comparison.rows import Row


def notes_of(
    benchmarks: Sequence[Benchmark],
    candidates: Sequence[Candidate],
    rows: Sequence["Row"],
    basis: "Basis",
    arms: Sequence["Pair"] = (),
    lessons: Sequence["Lesson"] = (),
) -> tuple[str, ...]:
    """One line each, most important first, none twice."""
    tested = [row for row in rows if row.top1 is not None]
    own = [row for row in tested if not row.probe_of]
    lines = [
        *_gaps(rows),
        *_chance(tested),
        *_groups(benchmarks, basis, own),
        *_folds(benchmarks, basis, own),
        *_seeds(tested),
        *_training_set(basis, own),
        *_terms(basis, own),
        *_probes(tested),
        *_arms(arms),
        *_teachers(candidates, lessons),
        *_confounds(own),
        *_pretrained(own),
        *_budgets(candidates),
        *_splits(benchmarks),
        *_skipped(benchmarks),
        *_said_by_runs(candidates),
    ]
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
"""Fields of `Recipe` that a fair comparison holds equal; lr and decay are each family's own."""


def _budgets(candidates: Sequence[Candidate]) -> list[str]:
    """What the runs were trained with differently, beside the model; a probe is not trained."""
    lines = []
    trained = [c for c in candidates if any(run.recipe().name != "probe" for run in c.answered)]
    for name, words in ALIKE.items():
        values: dict[str, list[str]] = {}
        for candidate in trained:
            used = sorted({str(getattr(run.recipe(), name)) for run in candidate.answered})
            if used:
                values.setdefault(" and ".join(used), []).append(candidate.model)
        if len(values) > 1:
            named = "; ".join(f"{listed(models)}: {value}" for value, models in values.items())
            lines.append(f"Trained with different {words} ({named}): a difference can come from that")
    return lines


def _gaps(rows: Sequence["Row"]) -> list[str]:
    """Models and seeds without a score."""
    words = {
        "failed": "failed",
        "interrupted": "is unfinished",
        "new": "was not started",
        "partial": "lacks seeds",
    }
    return [f"{row.model} {words[row.status]}: {row.reason}" for row in rows if row.status in words]


def _chance(tested: Sequence["Row"]) -> list[str]:
    """Models of which the test of balanced accuracy does not show that they learned anything."""
    low = [row for row in tested if row.chance_p is not None and row.chance_p > ALPHA]
    if not low:
        return []
    named = [f"{row.model} ({100 * (row.balanced_accuracy or 0.0):.1f} %)" for row in low]
    ps = [row.chance_p or 0.0 for row in low]
    each, more = "each " if len(low) > 1 else "", " or more" if max(ps) > min(ps) else ""
    return [
        f"{listed(named)}: no proof of having learned anything; permuted labels give such a balanced "
        f"accuracy too often ({each}{p_text(min(ps))}{more})"
    ]


def _folds(benchmarks: Sequence[Benchmark], basis: "Basis", own: Sequence["Row"]) -> list[str]:
    """What the scores of a benchmark with folds are."""
    numbers = sorted({benchmark.folds for benchmark in benchmarks} - {0})
    if not numbers or not own:
        return []
    a_row = f"{' or '.join(map(str, numbers))} {'heads' if _all_probes(own) else 'models'}"
    return [
        f"Out-of-fold: each of the {own[0].n_test} pictures was answered once, by a model that saw neither "
        f"it nor its group; a row is {a_row}, whose training parts overlap: intervals and tests take the "
        f"variance over pictures {basis.inflation:.2f} times as large (Nadeau & Bengio 2003)"
    ]


def _groups(benchmarks: Sequence[Benchmark], basis: "Basis", own: Sequence["Row"]) -> list[str]:
    """That pictures stand together, and what was done about it."""
    if basis.groups is None or not own:
        return []
    alone = {b.name: len({row["group"] for row in b.rows_of("test")}) for b in benchmarks}
    joined = ""
    if len(benchmarks) > 1 and any(groups > basis.units for groups in alone.values()):
        counts = listed([f"{name} alone has {groups}" for name, groups in alone.items()])
        joined = f"; the benchmarks group them differently ({counts}), so their groups are joined"
    return [
        f"The {basis.n} test pictures stand in {counted(basis.units, 'group')} (copies, bursts, or what "
        f"--group names): intervals and tests count whole groups, not pictures{joined}"
    ]


def _terms(basis: "Basis", own: Sequence["Row"]) -> list[str]:
    """What was asked of this comparison."""
    terms, lines = basis.terms, []
    if terms.baseline and len(own) > 1:
        lines.append(
            f"Compared with {terms.baseline} only: p-values are corrected for all pairs of the table, those "
            "not shown as well, because a baseline can be chosen after a look at the scores"
        )
    if terms.margin is not None and len(own) > 1:
        lines.append(
            f"Equivalent means: the pair's own 95 % interval lies within ±{100 * terms.margin:g} points, a "
            "margin that whoever asked for it has to answer for; it is not corrected for the number of pairs"
        )
    return lines


def _all_probes(rows: Sequence["Row"]) -> bool:
    return all(row.recipe == "probe" for row in rows)


def _seeds(tested: Sequence["Row"]) -> list[str]:
    """What the seeds leave open; of a probe beside its model only how the two are paired."""
    own = [row for row in tested if not row.probe_of]
    numbers = {len(row.seeds) for row in own}
    if not own:
        return []
    if numbers == {1}:
        if _all_probes(own) and not any(row.init.startswith("random") for row in own):
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
    single = [
        row.model for row in own if len(row.seeds) == 1 and (row.recipe != "probe" or "random" in row.init)
    ]
    if single:
        lines.append(
            f"{listed(single)}: one run only; how much another seed would change it is taken from the other "
            "models in every test and in its interval of top-1, and is not in those of its other scores"
        )
    elif len(numbers) > 1:
        lines.append("The models have different numbers of seeds")
    return lines


def _training_set(basis: "Basis", own: Sequence["Row"]) -> list[str]:
    """What a verdict on models of one training set cannot say; folds count it in."""
    if basis.inflation > 1 or len(own) < 2:
        return []
    return [
        "One training set: other training pictures can turn a verdict (in simulation a quarter of those "
        "between equally good learners were false, at 100 training and 1,000 test pictures)"
    ]


def _probes(tested: Sequence["Row"]) -> list[str]:
    if not any(row.recipe == "probe" for row in tested):
        return []
    return [
        "A probe ranks frozen features under a linear head, not fine-tuned models; its strength was chosen "
        "inside the training part, and it is fitted on train and val; its train img/s is the speed of "
        "feature extraction"
    ]


def _arms(arms: Sequence["Pair"]) -> list[str]:
    """What arm against arm is, and that it has the p-values of all pairs."""
    if not arms:
        return []
    pairs = "one pair" if len(arms) == 1 else f"{len(arms)} pairs"
    return [
        f"Arm against arm: the same model trained in different ways, {pairs} with the p-values that they "
        "have among all pairs; ranks take each arm of a model for a model of its own"
    ]


def _teachers(candidates: Sequence[Candidate], lessons: Sequence["Lesson"]) -> list[str]:
    """What a student's numbers leave out of its teacher."""
    known = [lesson.model for lesson in lessons]
    untold = [candidate.model for candidate in distilled(candidates) if candidate.model not in known]
    lines = []
    if untold:
        lines.append(
            f"{listed(untold)}: {HEADS} is missing or does not fit the test pictures, so what the teacher "
            "taught is not shown"
        )
    one = [lesson.model for lesson in lessons if lesson.one_teacher]
    if one:
        lines.append(
            f"{listed(one)}: all seeds learned from one and the same teacher; seed variation of the teacher "
            "is not included"
        )
    if lessons:
        lines.append(
            "A teacher is no free lunch: its forward passes are in its students' seconds per epoch, its own "
            "training is not"
        )
    return lines


def _confounds(tested: Sequence["Row"]) -> list[str]:
    """What differs between the models beside the model."""
    lines = []
    random = [row.model for row in tested if row.init.startswith("random")]
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


def _of_arms(tested: Sequence["Row"], told: Callable[["Row"], str]) -> str:
    """ "plain: finetune, distill: deit" where each arm has one value and two differ; else ""."""
    values: dict[str, set[str]] = {}
    for row in tested:
        values.setdefault(row.arm, set()).add(told(row))
    if any(len(of_arm) > 1 for of_arm in values.values()) or len(set().union(*values.values())) < 2:
        return ""
    return ", ".join(f"{arm_word(arm)}: {next(iter(one))}" for arm, one in values.items())


def _pretrained(own: Sequence["Row"]) -> list[str]:
    """What masked pre-training costs beside the epochs that all have."""
    begun = [row.model for row in own if row.init.startswith("simmim")]
    if not begun:
        return []
    return [
        f"{listed(begun)}: masked pre-training came first; its epochs are not among those that rows share, "
        "nor its time in seconds per epoch"
    ]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(v for v in values if v))


def _splits(benchmarks: Sequence[Benchmark]) -> list[str]:
    """Notes of the splits and benchmarks; a warning where training pictures differ.

    That folds would report on more pictures is said by the comparison's advice.
    """
    lines = [
        str(note)
        for benchmark in benchmarks
        for note in [*benchmark.manifest["split"].get("notes", ()), *benchmark.manifest.get("notes", ())]
        if "--folds" not in str(note)
    ]
    if len({benchmark.manifest["split"].get("digest") for benchmark in benchmarks}) > 1:
        lines.append("The benchmarks share their test pictures, not their training and validation pictures")
    return lines


def _skipped(benchmarks: Sequence[Benchmark]) -> list[str]:
    """The files that `--skip-bad` left out, the first few with the reason."""
    lines = []
    for skipped in (benchmark.manifest.get("skipped", ()) for benchmark in benchmarks):
        if skipped:
            named = ", ".join(f"{one['path']} ({one['reason']})" for one in skipped[:3])
            rest = f" and {len(skipped) - 3} more, all in benchmark.json" if len(skipped) > 3 else ""
            files = "1 file was" if len(skipped) == 1 else f"{len(skipped)} files were"
            lines.append(f"{files} left out as unreadable: {named}{rest}")
    return lines


def _said_by_runs(candidates: Sequence[Candidate]) -> list[str]:
    """Approximations and fallbacks that runs recorded, each once with the models that it holds for."""
    said: dict[str, list[str]] = {}
    for candidate in sorted(candidates, key=lambda c: bool(c.probe_of)):
        for run in candidate.answered:
            for note in [*run.about().get("notes", ()), *run.metrics().get("notes", ())]:
                models = said.setdefault(str(note), [])
                if not {candidate.model, candidate.probe_of} & {*models}:  # a probe shares its model's notes
                    models.append(candidate.model)
    return [f"{listed(models)}: {note}" for note, models in said.items()]
