"""Pictures of a benchmark whose label looks wrong to its models, ranked, and what scores are without them."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitbench.comparison.confident import doubt_ranks, doubted, doubted_if_clean
from vitbench.comparison.evidence import chance_p
from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.leaks import leaks_of
from vitbench.comparison.measured import Estimate
from vitbench.comparison.results import ModelResult, Results, Sources, read_results
from vitbench.comparison.statistics import ALPHA, runs_accuracy
from vitbench.errors import VitbenchError
from vitbench.records import Array
from vitbench.records.frames import Dtype, by_rows

if TYPE_CHECKING:
    from pandas import DataFrame

SMALL = 20
"""Pictures of a class to learn from: with so few or fewer, most of the labels that are named are right."""
NEITHER = "-"
"""What stands in `right_label` of a picture that shows none of the classes."""


@dataclass(frozen=True)
class Said:
    """What one model says of a picture that it did not learn from; of several seeds their mean."""

    model: str
    answer: str
    """The most probable class."""
    answer_probability: float
    label_probability: float
    doubts: bool
    """Confident learning names the label as wrong by this model alone."""


@dataclass(frozen=True)
class Suspect:
    """A picture whose label looks wrong."""

    number: int
    """From 1, the most suspicious first."""
    path: str
    label: str
    suspected: str
    """The class other than the label that is most probable, mean of all models."""
    mean_rank: float
    """Mean over the models of its place by the probability of its label, 1: least of all pictures."""
    said: tuple[Said, ...]
    known: str = ""
    """A training picture that shows the same, and so vouches for the label; "": none is known."""
    other_labels: tuple[str, ...] = ()
    """Other classes of pictures that it stands in one group with: of two copies one is labelled wrong."""
    right_label: str = ""
    """What a person has noted: a class, `NEITHER`, or "" where nobody has looked."""

    @property
    def doubters(self) -> int:
        return sum(one.doubts for one in self.said)

    @property
    def named(self) -> bool:
        """More than half of the models doubt its label."""
        return 2 * self.doubters > len(self.said)


@dataclass(frozen=True)
class Score:
    """A model's accuracy on three choices of the same pictures; each with its 95 % interval."""

    model: str
    labelled: Estimate
    """On all pictures, as they are labelled."""
    without: Estimate | None
    """Without those that are named, which were chosen because models get them wrong: it flatters."""
    corrected: Estimate | None = None
    """With the labels that a person has noted, whichever way they turned out; None: none is noted."""


@dataclass(frozen=True)
class Suspects:
    """What a benchmark's models make of its labels."""

    benchmark: str
    folds: int
    """0: only test pictures could be asked about."""
    n: int
    """Pictures that models answered without having learned from them."""
    unasked: int
    """Pictures of the benchmark that no model could be asked about: they trained, or chose the epoch."""
    groups: int
    """Groups that the n pictures stand in; n where each is its own."""
    models: tuple[str, ...]
    ranked: tuple[Suspect, ...]
    """Whose label some model doubts: those that are named, then the others, the most suspicious first."""
    if_clean: Estimate
    """How many would be named if every label were right and the models' doubts were in place; 95 of 100 draws
    within its ends."""
    small: Mapping[str, int]
    """Classes with `SMALL` pictures to learn from or fewer, and how many they have."""
    absent: tuple[str, ...]
    """Classes that none of the n pictures is labelled with: nothing can be said of them."""
    scores: tuple[Score, ...]
    guessing: tuple[str, ...] = ()
    """Models that cannot be told from guessing; they have no say."""
    besides: tuple[Suspect, ...] = ()
    """Pictures that no model doubts but that a person has noted a label for; their number is 0."""

    @property
    def named(self) -> tuple[Suspect, ...]:
        """Those whose label more than half of the models doubt."""
        return tuple(one for one in self.ranked if one.named)

    @property
    def noted(self) -> int:
        """Pictures that a person has looked at."""
        return sum(bool(one.right_label) for one in (*self.ranked, *self.besides))

    @property
    def mended(self) -> int:
        """Those of them whose label was found wrong."""
        return sum(one.right_label not in ("", one.label) for one in (*self.ranked, *self.besides))

    @property
    def frame(self) -> "DataFrame":
        """A row per doubted picture, as in `suspects.csv`; per model answer, its probability, the label's."""
        columns: dict[str, Dtype] = {
            "number": "Int64", "path": "string", "label": "string", "suspected": "string",
            "right_label": "string", "named": "boolean", "doubters": "Int64", "mean_rank": "float64",
            "known": "string", "other_labels": "string",
        }  # fmt: skip
        for model in self.models:
            columns |= {f"answer {model}": "string", f"p_answer {model}": "float64"}
            columns |= {f"p_label {model}": "float64", f"doubts {model}": "boolean"}
        return by_rows(columns, [_cells(one) for one in (*self.ranked, *self.besides)])

    @property
    def scores_frame(self) -> "DataFrame":
        """A row per model: its accuracy as labelled, without those named, and with labels that were noted."""
        kinds = ("labelled", "without", "corrected")
        columns: dict[str, Dtype] = {"model": "string"}
        columns |= {f"{kind}{end}": "float64" for kind in kinds for end in ("", "_low", "_high")}
        rows = [
            [one.model, *_ends(one.labelled), *_ends(one.without), *_ends(one.corrected)]
            for one in self.scores
        ]
        return by_rows(columns, rows)


def _cells(one: Suspect) -> list[object]:
    cells: list[object] = [
        one.number or None,
        one.path,
        one.label,
        one.suspected,
        one.right_label or None,
        one.named,
    ]
    cells += [one.doubters, one.mean_rank, one.known or None, "; ".join(one.other_labels) or None]
    for said in one.said:
        cells += [said.answer, said.answer_probability, said.label_probability, said.doubts]
    return cells


def _ends(one: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if one is None else (one.value, one.low, one.high)


def suspects_of(sources: Sources, noted: Mapping[str, str] | None = None) -> Suspects:
    """The labels of a benchmark's pictures that look wrong by what its models said of them.

    Out of fold, or on the test part; folds keep groups whole, so no copy with the same wrong label vouches
    for a picture. `noted`: by path, what a person has found. VitbenchError where no model has answered, or
    all of them guess.
    """
    results = read_results(sources)
    noted = noted or {}
    models, guessing = _with_a_say(results)
    test, classes = results.joined_test, results.first.classes
    labels = models[0].predictions[0].labels
    each = np.stack(
        [np.mean([one.probabilities for one in m.predictions], axis=0) for m in models]
    )  # (M, N, C)
    doubts = np.stack([doubted(one, labels) for one in each])  # (M, N)
    ranks = np.stack([doubt_ranks(one, labels) for one in each]).mean(axis=0)
    named = is_named(doubts)
    order = np.lexsort((ranks, ~named)).tolist()
    doubtful = np.asarray(doubts.any(axis=0))
    about = _About(results, models, each, doubts, ranks, noted)
    besides = [place for place in order if test.paths[place] in noted and not doubtful[place]]
    train = Counter(results.first.train_labels)
    here = Counter(test.labels)
    return Suspects(
        benchmark=results.first.name,
        folds=results.first.folds,
        n=len(labels),
        unasked=len(results.first.rows) - len(labels),
        groups=len(set(test.groups)),
        models=tuple(one.model for one in models),
        ranked=tuple(
            about.suspect(place, number)
            for number, place in enumerate((i for i in order if doubtful[i]), start=1)
        ),
        if_clean=Estimate(*doubted_if_clean(each, labels, is_named)),
        small={name: train[name] for name in classes if train[name] <= SMALL},
        absent=tuple(name for name in classes if not here[name]),
        scores=_scores(models, results, named, noted),
        guessing=guessing,
        besides=tuple(about.suspect(place, 0) for place in besides),
    )


def is_named(doubts: Array) -> Array:
    """(N,) bool from (M, N): more than half of the models doubt the label, both of two."""
    return np.asarray(2 * doubts.sum(axis=0) > len(doubts))


def _with_a_say(results: Results) -> tuple[list[ModelResult], tuple[str, ...]]:
    """The models whose answers have to do with the pictures, and the names of the others."""
    answered = [one for one in results.models if one.answered]
    if not answered:
        raise VitbenchError(f"{results.first.name}: no run finished; train it first")
    labels = answered[0].predictions[0].labels
    good: list[ModelResult] = []
    guessing: list[ModelResult] = []
    for one in answered:
        answers = np.stack([p.answers for p in one.predictions])
        (good if chance_p(labels, answers) <= ALPHA else guessing).append(one)
    if not good:
        raise VitbenchError(
            f"{results.first.name}: none of its models can be told from guessing, so they have no say about "
            "labels; train longer, or probe pretrained models"
        )
    return good, tuple(one.model for one in guessing)


@dataclass(frozen=True)
class _About:
    """What is known of the pictures."""

    results: Results
    models: Sequence[ModelResult]
    each: Array
    """(M, N, C) probabilities."""
    doubts: Array
    """(M, N)"""
    ranks: Array
    """(N,)"""
    noted: Mapping[str, str]

    @functools.cached_property
    def together(self) -> dict[str, set[str]]:
        """The classes of each group's pictures."""
        found: dict[str, set[str]] = {}
        for group, label in zip(self.results.joined_test.groups, self.results.test.labels, strict=True):
            found.setdefault(group, set()).add(label)
        return found

    @functools.cached_property
    def known(self) -> dict[str, str]:
        """A training picture that shows the same, by path."""
        return {leak.path: leak.other for leak in leaks_of(self.results)}

    def suspect(self, place: int, number: int) -> Suspect:
        test, classes = self.results.joined_test, self.results.first.classes
        path, label = test.paths[place], int(self.models[0].predictions[0].labels[place])
        others = self.each[:, place].mean(axis=0)
        others[label] = -1
        told = zip(self.models, self.each[:, place], self.doubts[:, place], strict=True)
        return Suspect(
            number=number,
            path=path,
            label=classes[label],
            suspected=classes[int(others.argmax())],
            mean_rank=float(self.ranks[place]),
            said=tuple(_said(one.model, p, label, classes, bool(doubts)) for one, p, doubts in told),
            known=self.known.get(path, ""),
            other_labels=tuple(sorted(self.together[test.groups[place]] - {classes[label]})),
            right_label=self.noted.get(path, ""),
        )


def _said(model: str, chances: Array, label: int, classes: Sequence[str], doubts: bool) -> Said:
    answer = int(chances.argmax())
    return Said(model, classes[answer], float(chances[answer]), float(chances[label]), doubts)


def _scores(
    models: Sequence[ModelResult], results: Results, named: Array, noted: Mapping[str, str]
) -> tuple[Score, ...]:
    test, inflation = results.joined_test, fold_inflation(results.first.folds)
    index = {name: place for place, name in enumerate(results.first.classes)}

    def accuracy(correct: Array, kept: Array) -> Estimate | None:
        groups = None if test.group_numbers is None else test.group_numbers[kept]
        if not kept.any():
            return None
        return Estimate(float(correct[:, kept].mean()), *runs_accuracy(correct[:, kept], groups, inflation))

    every = np.ones(len(named), dtype=bool)
    labels = models[0].predictions[0].labels.copy()
    kept = every.copy()
    for place, path in enumerate(test.paths):
        if right := noted.get(path):
            labels[place], kept[place] = index.get(right, -1), right in index
    scores = []
    for one in models:
        answers = np.stack([p.answers for p in one.predictions])
        labelled = accuracy(one.correct, every)
        assert labelled is not None
        corrected = accuracy(answers == labels, kept) if noted else None
        scores.append(Score(one.model, labelled, accuracy(one.correct, ~named), corrected))
    return tuple(scores)
