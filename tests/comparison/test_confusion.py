"""Which class was taken for which, and how much of each is found."""

from pathlib import Path

import numpy as np
import pytest
from fabricate import make_benchmark, probabilities
from sklearn.metrics import recall_score
from statsmodels.stats.proportion import proportion_confint

from vitbench.comparison.confusion import confusion_counts, most_confused, recalls
from vitbench.comparison.results import read_results
from vitbench.comparison.statistics import seeds_accuracy
from vitbench.inference.metrics import wilson
from vitbench.records import Predictions


def answered(labels: list[int], answers: list[int]) -> Predictions:
    n_classes = max([*labels, *answers]) + 1
    paths = tuple(f"{i}.jpg" for i in range(len(labels)))
    classes = tuple("abcdefgh"[:n_classes])
    return Predictions(classes, paths, np.array(labels), probabilities(answers, n_classes))


def test_confusions_by_hand(tmp_path: Path) -> None:
    """swin takes class 0 for 1 and 3 for 0; the rows are true, the columns answered; seeds are summed."""
    runs = {"vit-s0": [0, 1, 2, 3], "vit-s1": [0, 1, 2, 3], "swin-s0": [1, 1, 2, 0]}
    vit, swin = read_results([make_benchmark(tmp_path / "b", runs, range(4), "abcd", train=range(4))]).models
    assert (confusion_counts(vit.predictions) == 2 * np.eye(4)).all()
    assert confusion_counts(swin.predictions).tolist() == [
        [0, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [1, 0, 0, 0],
    ]
    counts = np.array([[5, 1, 0], [3, 5, 0], [0, 2, 5]])
    assert most_confused(counts, "abc", 2) == [("b", "a", 3), ("c", "b", 2)]


def test_recalls_by_hand() -> None:
    """Class a: 3 of 4, Wilson [.30, .95]; class b has no test picture and no row; class c: 1 of 1."""
    found = recalls([answered([0, 0, 0, 0, 2], [0, 0, 0, 1, 2])])
    assert [(r.place, r.n, r.correct, r.recall) for r in found] == [(0, 4, 3, 0.75), (2, 1, 1, 1.0)]
    assert (found[0].low, found[0].high) == pytest.approx(proportion_confint(3, 4, method="wilson"))
    assert (found[1].low, found[1].high) == wilson(1, 1)


def test_recalls_are_sklearns() -> None:
    """Per class, equal to sklearn's recall_score; their mean is balanced accuracy."""
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, 5, (2, 90)).tolist()
    found = [r.recall for r in recalls([answered(labels, answers)])]
    assert found == pytest.approx(recall_score(labels, answers, average=None).tolist())


def test_recalls_of_several_seeds_cover_images_and_seeds() -> None:
    """Means over the seeds, intervals by `seeds_accuracy` on the class's own pictures."""
    seeds = [answered([0] * 6 + [1] * 2, x) for x in ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1, 0])]
    first = recalls(seeds)[0]
    right = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]], bool)
    assert (first.correct, first.recall) == (4.5, 0.75)
    assert (first.low, first.high) == seeds_accuracy(right)


def test_recalls_count_a_burst_once() -> None:
    """A class of one burst of eight and two more pictures: three groups, an interval to match."""
    groups = np.array([5] * 8 + [6, 7])
    alone = recalls([answered([0] * 10, [0] * 10)])[0]
    grouped = recalls([answered([0] * 10, [0] * 10)], groups)[0]
    assert (alone.low, alone.high) == wilson(10, 10)
    assert (grouped.low, grouped.high) == wilson(3, 3)
