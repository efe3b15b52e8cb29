"""Scores recomputed by hand and by scipy and sklearn."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from vitbench.inference.metrics import scores, wilson
from vitbench.records import Predictions


def predictions_of(labels: list[int], answers: list[int], classes: int = 3) -> Predictions:
    table = np.full((len(labels), classes), 0.1)
    table[np.arange(len(labels)), answers] = 1 - 0.1 * (classes - 1)
    names = tuple("abcdefgh"[:classes])
    return Predictions(names, tuple(f"{i}.jpg" for i in range(len(labels))), np.array(labels), table)


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 60), (52, 60), (60, 60), (17, 1000)])
def test_wilson_is_scipys(correct: int, n: int) -> None:
    """The closed form gives scipy's Wilson interval to the last digits."""
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_everything() -> None:
    """No picture says nothing: the interval is all of [0, 1]."""
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_refuses_more_right_than_pictures() -> None:
    """61 right of 60 is a bug, not an interval."""
    with pytest.raises(ValueError, match="61 right of 60"):
        wilson(61, 60)


def test_scores_by_hand() -> None:
    """Four pictures, three right: top1 3/4, loss (3·−ln .8 − ln .1)/4, recalls 1, ½, 1."""
    found = scores(predictions_of([0, 1, 1, 2], [0, 1, 2, 2]))
    assert (found["n"], found["correct"], found["top1"]) == (4, 3, 0.75)
    assert found["loss"] == pytest.approx((-3 * np.log(0.8) - np.log(0.1)) / 4)
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_scores_are_sklearns() -> None:
    """With test pictures in every class all means are sklearn's own defaults."""
    rng = np.random.default_rng(0)
    labels, table = np.repeat(np.arange(4), 25), rng.dirichlet(np.ones(4), 100)
    one = Predictions(tuple("abcd"), tuple(map(str, range(100))), labels, table)
    found = scores(one)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, table.argmax(1), average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, table.argmax(1)))
    assert found["loss"] == pytest.approx(log_loss(labels, table, labels=range(4)))


@pytest.mark.filterwarnings("error")
def test_class_without_test_pictures_is_left_out_of_means() -> None:
    """A class that has no test picture but was answered costs recall of the true one and adds no term."""
    found = scores(predictions_of([0, 0, 1, 1], [0, 2, 1, 1]))
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(("answers", "top1"), [([0, 1, 2], 1.0), ([1, 2, 0], 0.0)])
@pytest.mark.filterwarnings("error")
def test_all_right_and_all_wrong(answers: list[int], top1: float) -> None:
    """The extremes are 1 and 0 throughout, without a warning, and their intervals are not points."""
    found = scores(predictions_of([0, 1, 2], answers))
    assert (found["top1"], found["macro_f1"], found["balanced_accuracy"]) == (top1, top1, top1)
    assert found["top1_high"] - found["top1_low"] == pytest.approx(0.56, abs=0.01)


def test_importing_metrics_loads_neither_torch_nor_scipy() -> None:
    """`predict` shows Wilson intervals and must not wait for scipy or sklearn."""
    code = "import sys, vitbench.inference.metrics; print({'torch', 'scipy', 'sklearn'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
