"""`compare`: the runs of a benchmark as rows, their differences as pairs, and what a reader must know."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitbench.comparison import words
from vitbench.comparison.advice import advice
from vitbench.comparison.arms import between_arms
from vitbench.comparison.basis import Basis, Terms, basis_of
from vitbench.comparison.candidates import Candidate, competitors, joined_test, read_candidates
from vitbench.comparison.families import against_probes, compared, shown
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.leakfree import LeakFree, checked, leak_free, leak_free_answer
from vitbench.comparison.leaks import Clean, Known, clean_of, known_of, leak_notes, unknown
from vitbench.comparison.lessons import Lesson, lessons_of
from vitbench.comparison.looks import Looks, LooksElsewhere, look_notes, looks_elsewhere, looks_of
from vitbench.comparison.notes import notes_of
from vitbench.comparison.pairs import Pair
from vitbench.comparison.resolution import Gaps, Plan, resolution_of
from vitbench.comparison.rows import Recall, Row, floor_row, recalls_of, row_of
from vitbench.records import Benchmark


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a benchmark (or several on one test set) says about its models."""

    name: str
    benchmarks: tuple[str, ...]
    data: str
    """The image folder, as it was given to `train`."""
    classes: tuple[str, ...]
    folds: int
    """0: one split."""
    n_train: int
    """With folds, this and the next are one fold's (the first one's)."""
    n_val: int
    n_test: int
    split_rule: str
    rows: tuple[Row, ...]
    """Tested models by accuracy, then those without a score, in the order asked for; probes below theirs."""
    floor: Row | None
    """Answers the training split's class shares for every picture; None without test pictures."""
    pairs: tuple[Pair, ...]
    probes: tuple[Pair, ...]
    """Each fine-tuned model and its own frozen probe, corrected among themselves; not among `pairs`."""
    notes: tuple[str, ...]
    """What a reader must know to trust the table, one line each."""
    answer: str
    """Which model is best, in plain words."""
    smallest_gap: float | None
    """The smallest accuracy gap that could reach p ≤ .05, corrected for all pairs; None: none could. Over
    several seeds it is that of the pair whose answers vary least, as they were measured."""
    smallest_gap_text: str
    groups: int | None = None
    """Groups of test pictures that stand together (bursts, copies); None: each picture is its own."""
    margin: float | None = None
    """Differences inside ± this are called equivalent; None: none are."""
    baseline: str = ""
    """The only model whose pairs are shown; "": every two. All are corrected together in any case."""
    family: int = 0
    """Pairs that were tested and corrected together, shown or not."""
    loss_text: str = ""
    """What log loss shows on the same pictures, as a sentence; "" without pairs."""
    gaps: Gaps | None = None
    """From that gap to the one that the first pair needs; how they come about."""
    plan: Plan | None = None
    """How many pictures a named difference would need; None where none was named."""
    detect_text: str = ""
    """How many pictures a named difference would need, as a sentence; "" where none was named."""
    recalls: tuple[Recall, ...] = ()
    """Per tested model (without the probes beside them) and class with test pictures."""
    known: tuple[Known, ...] = ()
    """Test pictures that training knows as copies or near-copies."""
    clean: tuple[Clean, ...] = ()
    """The accuracies without them; () where there are none, or nothing else."""
    looks: tuple[Looks, ...] = ()
    """Every evaluation on test pictures so far."""
    looks_elsewhere: tuple[LooksElsewhere, ...] = ()
    """Other benchmarks of the same results folder that looked at these test pictures."""
    arms: tuple[Pair, ...] = ()
    """Each model under every two of its arms: those of all pairs, in their own words."""
    lessons: tuple[Lesson, ...] = ()
    """What each distilled model took over from its teacher."""
    advice: str = ""
    """What would help next, in one to three sentences led by their numbers; "" where no rule applies."""

    @property
    def tested(self) -> tuple[Row, ...]:
        """The models with a score, best first, without the probes beside them."""
        return tuple(row for row in self.rows if row.top1 is not None and not row.probe_of)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values, keys in order; NaN never occurs."""
        return dataclasses.asdict(self)


DEFAULT_TERMS = Terms()


def compare(benchmark: Benchmark, terms: Terms = DEFAULT_TERMS) -> Comparison:
    """The comparison of one benchmark's models; unfinished and failed ones keep a row with the reason."""
    return compare_many([benchmark], terms)


def compare_many(benchmarks: Sequence[Benchmark], terms: Terms = DEFAULT_TERMS) -> Comparison:
    """One comparison over benchmarks that have the same classes and test pictures.

    Raises UsageError, naming the difference, where they have not, and for a baseline that is not there.
    """
    candidates = read_candidates(benchmarks)
    first = benchmarks[0]
    test = joined_test(benchmarks)
    basis = basis_of(candidates, test, terms, max(fold_inflation(b.folds) for b in benchmarks))
    own = [c for c in candidates if not c.probe_of]
    known = known_of(benchmarks)
    free = leak_free(candidates, test, unknown(known, test), basis)
    judged = compared(own, basis)
    family = checked(judged, free, _compared)
    pairs = shown(family, own, terms.baseline)
    rows = _ranked([row_of(c, basis) for c in candidates], family)
    free_rows = _leak_free_rows(free, family)
    arms = checked(between_arms(candidates, judged), free, _between_arms)
    lessons = lessons_of(candidates, rows, family, basis)
    floor = floor_row(first, test)
    split = first.manifest["split"]
    resolution = resolution_of(own, family, basis)
    clean = clean_of(free_rows)
    answer = _answer(free_rows, rows, pairs, terms)
    looks, elsewhere = looks_of(candidates), looks_elsewhere(benchmarks)
    comparison = Comparison(
        name=" + ".join(b.name for b in benchmarks),
        benchmarks=tuple(b.name for b in benchmarks),
        data=str(first.manifest.get("data", "")),
        classes=first.classes,
        folds=first.folds,
        n_train=int(split.get("n_train", 0)),
        n_val=int(split.get("n_val", 0)),
        n_test=basis.n,
        groups=None if basis.groups is None else basis.units,
        split_rule=str(split.get("rule", "")),
        rows=tuple(rows),
        floor=floor,
        pairs=pairs,
        probes=checked(against_probes(candidates, basis), free, against_probes),
        margin=terms.margin,
        baseline=terms.baseline,
        family=len(family),
        loss_text=words.loss_text(pairs),
        recalls=recalls_of(candidates, basis),
        known=known,
        clean=clean,
        looks=looks,
        looks_elsewhere=elsewhere,
        arms=arms,
        lessons=lessons,
        notes=(
            *leak_notes(known, clean, basis.n),
            *notes_of(benchmarks, candidates, rows, basis, arms, lessons),
            *look_notes(looks, elsewhere, candidates),
        ),
        answer=answer,
        smallest_gap=resolution.gaps.least,
        gaps=resolution.gaps,
        plan=resolution.plan,
        smallest_gap_text=resolution.gap_text,
        detect_text=resolution.detect_text,
    )
    return dataclasses.replace(comparison, advice=advice(comparison, first, candidates, basis.alone))


def _compared(candidates: Sequence[Candidate], basis: Basis) -> Sequence[Pair]:
    return compared([c for c in candidates if not c.probe_of], basis)


def _between_arms(candidates: Sequence[Candidate], basis: Basis) -> Sequence[Pair]:
    return between_arms(candidates, _compared(candidates, basis))


def _leak_free_rows(free: LeakFree | None, pairs: Sequence[Pair]) -> list[Row]:
    """The competitors' rows without the pictures that training knows, ranked by themselves; [] for none."""
    if free is None or free.basis is None:
        return []
    clean = [pair.clean for pair in pairs if pair.clean is not None]
    rows = [row_of(candidate, free.basis) for candidate in competitors(free.candidates)]
    return _ranked([dataclasses.replace(row, probe_of="") for row in rows], clean)


def _answer(free_rows: Sequence[Row], rows: Sequence[Row], pairs: Sequence[Pair], terms: Terms) -> str:
    """Which model is best; by the pictures that training does not know, first, where these say otherwise."""
    clean = [pair.clean for pair in pairs if pair.clean is not None]
    said = words.answer(free_rows, clean, free_rows[0].n_test, terms.baseline) if free_rows else ""
    n = rows[0].n_test if rows else 0
    return leak_free_answer(pairs, free_rows, said) or words.answer(rows, pairs, n, terms.baseline)


def _ranked(rows: Sequence[Row], pairs: Sequence[Pair]) -> list[Row]:
    """Rows by accuracy, the untested last, with the range of ranks that the pairs leave open.

    A probe stands below the model it belongs to.
    """
    own = [row for row in rows if not row.probe_of]
    tested = sorted((row for row in own if row.top1 is not None), key=lambda row: -(row.top1 or 0.0))
    beats = [(pair.model_a, pair.model_b) for pair in pairs if pair.distinguishable]
    ranked = []
    for row in tested:
        better = sum(loser == row.model for _, loser in beats)
        worse = sum(winner == row.model for winner, _ in beats)
        ranked.append(dataclasses.replace(row, rank=(1 + better, len(tested) - worse)))
    ranked += [row for row in own if row.top1 is None]
    return [one for row in ranked for one in (row, *(probe for probe in rows if probe.probe_of == row.model))]
