"""Simulated folds with learners that really learn: the folds' training parts overlap as in a benchmark."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import grid

from vitbench.comparison.inverted import fold_inflation
from vitbench.comparison.seeds import seeds_difference
from vitbench.comparison.statistics import ALPHA, accuracy_interval, paired_difference, seeds_accuracy
from vitbench.records import Array

CLASSES = 3
Learner = Callable[[Array, Array, Array], Array]
"""(training features, training labels, test features) → answers."""


def discriminant(train: Array, labels: Array, test: Array) -> Array:
    """Linear discriminant analysis, its covariance ridged by .1."""
    means = np.stack([train[labels == c].mean(axis=0) for c in range(CLASSES)])
    rest = train - means[labels]
    weights = np.linalg.solve(rest.T @ rest / len(train) + 0.1 * np.eye(train.shape[1]), means.T)
    return np.asarray(np.argmax(test @ weights - np.sum(means.T * weights, axis=0) / 2, axis=1))


def neighbour(train: Array, labels: Array, test: Array) -> Array:
    """The label of the nearest training point."""
    return np.asarray(labels[np.argmin(np.sum(train**2, axis=1) - 2 * test @ train.T, axis=1)])


LEARNERS: dict[str, Learner] = {"discriminant": discriminant, "nearest neighbour": neighbour}


def drawn(rng: np.random.Generator, n: int, cell: dict[str, Any]) -> tuple[Array, Array]:
    """Features of two kinds (2, n, features), alike in distribution but for the gap, and labels (n,).

    Every class's centre lies 2 off on an axis of its own; that of the second kind `gap` less.
    """
    labels = np.arange(n) % CLASSES
    centres = np.stack([far * np.eye(CLASSES, cell["features"]) for far in (2.0, 2.0 - cell.get("gap", 0.0))])
    return rng.standard_normal((2, n, cell["features"])) + centres[:, labels], labels


def out_of_fold(rng: np.random.Generator, runs: int, cell: dict[str, Any]) -> Iterator[Array]:
    """`runs` times (2 models, seeds, n) bool: the two kinds of features, learned from and tested by folds.

    With several seeds each learns from its own bootstrap of the training part.
    """
    learn, n, seeds = LEARNERS[cell["learner"]], cell["pictures"], cell.get("seeds", 1)
    for _ in range(runs):
        features, labels = drawn(rng, n, cell)
        fold = rng.permutation(np.arange(n) // CLASSES % cell["folds"])
        right = np.zeros((2, seeds, n), bool)
        for tested in (fold == j for j in range(cell["folds"])):
            rest = np.flatnonzero(~tested)
            for model, seed in np.ndindex(2, seeds):
                kept = rest if seeds == 1 else np.unique(rng.choice(rest, len(rest)))
                own = features[model]
                right[model, seed, tested] = learn(own[kept], labels[kept], own[tested]) == labels[tested]
        yield right


def folds(rng: np.random.Generator, runs: int) -> list[Section]:
    false, plain = Rate("two learners, folds", runs), Rate("the same, taken as independent", runs)
    covers = Rate("difference of two learners, folds", runs)
    covers_plain = Rate("difference, folds, taken as independent", runs)
    one, one_plain = (
        Rate("accuracy of one learner, folds", runs),
        Rate("accuracy, taken as independent", runs),
    )
    for cell in grid(
        learner=list(LEARNERS), pictures=(60, 300), folds=(3, 5, 10), features=(10, 40), gap=(0.0, 0.4)
    ):
        inflation = fold_inflation(cell["folds"])
        answers = [(a[0], b[0]) for a, b in out_of_fold(rng, runs, cell)]
        found = [paired_difference(a, b, inflation=inflation) for a, b in answers]
        alone = [paired_difference(a, b) for a, b in answers]
        truth = float(np.mean([d.value for d in found])) if cell["gap"] else 0.0
        covers.add_intervals(cell, np.array([(d.low, d.high) for d in found]), truth)
        covers_plain.add_intervals(cell, np.array([(d.low, d.high) for d in alone]), truth)
        if cell["gap"]:
            continue
        at = {name: level for name, level in cell.items() if name != "gap"}
        false.add(at, np.mean([d.p <= ALPHA for d in found]))
        plain.add(at, np.mean([d.p <= ALPHA for d in alone]))
        accuracy = float(np.mean([a.mean() for a, _ in answers]))
        one.add_intervals(
            at, np.array([accuracy_interval(a, inflation=inflation) for a, _ in answers]), accuracy
        )
        one_plain.add_intervals(at, np.array([accuracy_interval(a) for a, _ in answers]), accuracy)
    words = (
        "Two learners of one kind learn from two kinds of features that are equally telling, of three normal "
        "classes, and answer each picture in the fold that did not learn from it. New pictures in each run: "
        "the truth is about learning from as many pictures, not about one training set. The variance over "
        "pictures is taken 1 + k / (k − 1) times as large (Nadeau & Bengio 2003: 1 / k + n_test / n_train in "
        "place of 1 / k); beside it stands what taking the answers as independent would give."
    )
    return [
        Section('False "better": folds', words, [false, plain], coverage=False, judged=1, every_cell=True),
        Section(
            "Folds",
            "The same; with a gap the second kind of features is less telling.",
            [covers, one, covers_plain, one_plain],
            judged=2,
        ),
    ]


def folds_and_seeds(rng: np.random.Generator, runs: int) -> list[Section]:
    false, covers = Rate("two learners, folds and seeds", runs), Rate("accuracy, folds and seeds", runs)
    plain = Rate("the same with seeds, taken as independent", runs)
    for cell in grid(learner=list(LEARNERS), pictures=(60, 300), folds=(5,), features=(10, 40), seeds=(2, 3)):
        inflation = fold_inflation(cell["folds"])
        answers = list(out_of_fold(rng, runs, cell))
        found = [seeds_difference(a, b, inflation=inflation) for a, b in answers]
        false.add(cell, np.mean([d.p <= ALPHA for d in found]))
        plain.add(cell, np.mean([seeds_difference(a, b).p <= ALPHA for a, b in answers]))
        accuracy = float(np.mean([a.mean() for a, _ in answers]))
        limits = np.array([seeds_accuracy(a, inflation=inflation) for a, _ in answers])
        covers.add_intervals(cell, limits, accuracy)
    words = (
        "The same with several seeds, each of which learns from its own bootstrap of a fold's training part."
    )
    return [
        Section(
            'False "better": folds and seeds',
            words,
            [false, plain],
            coverage=False,
            judged=1,
            every_cell=True,
        ),
        Section("Folds and seeds", words, [covers]),
    ]


def one_training_set(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("one training set: exact McNemar", runs)
    for cell in grid(
        learner=list(LEARNERS), features=(10, 40), training=(100, 300, 1000), pictures=(100, 300, 1000)
    ):
        learn, false = LEARNERS[cell["learner"]], 0
        for _ in range(runs):
            (a, b), labels = drawn(rng, cell["training"], cell)
            (test_a, test_b), truth = drawn(rng, cell["pictures"], cell)
            right = learn(a, labels, test_a) == truth, learn(b, labels, test_b) == truth
            false += paired_difference(*right).p <= ALPHA
        rate.add(cell, false / runs)
    words = (
        "Without folds there is one training set; nothing tells what another one would change. Counted is "
        '"better" between learners that are equally good over all training sets of this size: the test '
        "rightly says that two *trained models* differ, the more often the more test pictures there are. No "
        "target; it is why the table says what one training set cannot tell."
    )
    return Section('False "better": another training set', words, [rate], coverage=False, judged=0)


PARTS = (Part(30, 600, folds), Part(31, 400, folds_and_seeds), Part(32, 400, one_training_set))
