"""Confident learning on arrays: which labels a model doubts, in which order, and how many by chance."""

import warnings

import numpy as np
import pytest

from vitbench.comparison.confident import doubt_ranks, doubted, doubted_if_clean, fit_doubts, thresholds
from vitbench.comparison.suspects import is_named
from vitbench.records import Array


def simulated(seed: int, flipped: float = 0.1) -> tuple[Array, Array, Array]:
    """(N, C) probabilities of a fair model, (N,) labels of which a share is flipped, (N,) bool: which."""
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(20, 120)), int(rng.integers(2, 6))
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(size=(n, classes)) + rng.uniform(0.5, 3) * np.eye(classes)[truth]
    odds = np.exp(logits)
    wrong = rng.random(n) < flipped
    wrong[:classes] = False  # every class keeps a label
    labels = np.where(wrong, (truth + rng.integers(1, classes, n)) % classes, truth)
    return odds / odds.sum(axis=1, keepdims=True), labels, wrong


def test_by_hand() -> None:
    """Thresholds .7 and .6; a picture labelled 0 at .35 and .65 is doubted, one at .45 and .55 is not."""
    probabilities = np.array(
        [[0.95, 0.05], [0.80, 0.20], [0.35, 0.65], [0.45, 0.55], [0.40, 0.60], [0.40, 0.60]]
    )
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert thresholds(probabilities, labels) == pytest.approx([0.6375, 0.6])
    assert doubted(probabilities, labels).tolist() == [False, False, True, False, False, False]
    assert doubt_ranks(probabilities, labels).tolist() == [6, 5, 1, 2, 3.5, 3.5]


@pytest.mark.parametrize("seed", range(40))
def test_the_list_is_cleanlabs(seed: int) -> None:
    """cleanlab's own confident learning names the very same labels, and ranks them the same."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    probabilities, labels, _ = simulated(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = find_label_issues(
            labels, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1
        )
        quality = get_label_quality_scores(labels, probabilities)
    assert doubted(probabilities, labels).tolist() == theirs.tolist()
    assert np.argsort(doubt_ranks(probabilities, labels)).tolist() == np.argsort(quality).tolist()


def test_a_class_without_labels_is_never_suspected_for_its_own() -> None:
    """No picture is labelled 2: it has no threshold, so nobody can be confident of it."""
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 0])
    assert thresholds(probabilities, labels)[2] == np.inf
    assert not doubted(probabilities, labels).any()


@pytest.mark.slow
def test_clean_labels_name_as_many_as_are_foretold() -> None:
    """Where the model's probabilities are the truth, the mean of many worlds is what each foretells."""
    named, foretold, inside = [], [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        odds = np.exp(2 * rng.normal(size=(150, 4)))
        chances = odds / odds.sum(axis=1, keepdims=True)
        labels = (rng.random((150, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        count = int(doubted(chances, labels).sum())
        mean, low, high = doubted_if_clean(chances[None], labels, is_named)
        named.append(count)
        foretold.append(mean)
        inside.append(low <= count <= high)
    assert np.mean(named) == pytest.approx(np.mean(foretold), rel=0.2)
    assert np.mean(inside) >= 0.85


def test_turned_labels_do_not_pass_for_hard_pictures() -> None:
    """A tenth turned: the share is found, and as many are foretold for clean labels as are there without."""
    rng = np.random.default_rng(5)
    odds = np.exp(3 * rng.normal(size=(400, 4)))
    chances = odds / odds.sum(axis=1, keepdims=True)
    clean = (rng.random((400, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    turned = clean.copy()
    turned[:40] = (clean[:40] + rng.integers(1, 4, 40)) % 4
    for labels, share in ((clean, 0.0), (turned, 0.1)):
        found = fit_doubts(chances, labels)
        assert found.temperature == pytest.approx(1, abs=0.25)
        assert found.turned == pytest.approx(share, abs=0.04)
    foretold = [doubted_if_clean(chances[None], labels, is_named)[0] for labels in (clean, turned)]
    assert foretold[1] == pytest.approx(foretold[0], rel=0.35)


def test_more_than_half_must_doubt() -> None:
    """One of one, both of two, two of three."""
    assert is_named(np.array([[True, False]])).tolist() == [True, False]
    assert is_named(np.array([[True, True], [True, False]])).tolist() == [True, False]
    assert is_named(np.array([[True, True], [True, False], [False, False]])).tolist() == [True, False]
