"""Points against sklearn, spreads against closed forms, limits by hand, and what degenerate data give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss

from vitbench.comparison.bootstrap import (
    RESAMPLED,
    Replicated,
    Resamples,
    difference_interval,
    replicates,
    score_interval,
)
from vitbench.comparison.statistics import newcombe_paired
from vitbench.inference.metrics import scores, wilson
from vitbench.records import Predictions


def predictions_of(labels: np.ndarray, probabilities: np.ndarray) -> Predictions:
    n, n_classes = probabilities.shape
    return Predictions(
        tuple(f"c{i}" for i in range(n_classes)), tuple(f"{i}.jpg" for i in range(n)), labels, probabilities
    )


def made_up(n: int, n_classes: int, seed: int = 0, skill: float = 1.5) -> Predictions:
    """Answers of a mediocre model; the pictures' labels and part of the noise are the same for every seed."""
    shared, own = np.random.default_rng(99), np.random.default_rng(seed)
    labels = shared.permutation(np.arange(n) % n_classes)
    logits = shared.normal(size=(n, n_classes)) + own.normal(size=(n, n_classes))
    logits[np.arange(n), labels] += skill
    powers = np.exp(2 * logits)
    return predictions_of(labels, powers / powers.sum(axis=1, keepdims=True))


def answered(labels: list[int], answers: list[int], sure: float = 0.9) -> Predictions:
    n_classes = max([*labels, *answers]) + 1
    table = np.full((len(labels), n_classes), (1 - sure) / max(n_classes - 1, 1))
    table[np.arange(len(labels)), answers] = sure
    return predictions_of(np.array(labels), table)


def test_points_equal_sklearn() -> None:
    """The four scores of a five-class model, each by sklearn's own function."""
    one = made_up(83, 5)
    found = replicates([one], Resamples(83, repetitions=2))
    p, labels = one.probabilities, one.labels
    expected = {
        "loss": log_loss(labels, p),
        "brier": brier_score_loss(labels, p, scale_by_half=False),
        "macro_f1": f1_score(labels, one.answers, average="macro"),
        "balanced_accuracy": balanced_accuracy_score(labels, one.answers),
    }
    assert {name: found[name].value for name in RESAMPLED} == pytest.approx(expected)


def test_brier_by_hand() -> None:
    """.9 on the true one of three: .1² + 2 · .05²; sure and wrong: 2."""
    assert scores(answered([0], [0]))["brier"] == pytest.approx(0.1**2)  # one class: the rest is nowhere
    assert scores(answered([2, 0], [2, 0]))["brier"] == pytest.approx(0.1**2 + 2 * 0.05**2)
    assert scores(answered([0, 0], [1, 1], sure=1.0))["brier"] == pytest.approx(2.0)


@pytest.mark.slow
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(2, 6))
def test_points_equal_the_scores_of_the_table(seed: int, n: int, n_classes: int) -> None:
    """Absent classes and classes never answered included: what `metrics.scores` says."""
    rng = np.random.default_rng(seed)
    one = predictions_of(rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n))
    table, found = scores(one), replicates([one], Resamples(n, repetitions=1))
    assert {name: found[name].value for name in RESAMPLED} == pytest.approx({k: table[k] for k in RESAMPLED})


def test_replicates_are_the_scores_of_the_resampled_pictures() -> None:
    """Pictures written out as often as they were drawn: sklearn-backed scores, classes that fell out too."""
    one = made_up(12, 5)
    resamples = Resamples(12, repetitions=40, seed=3)
    weights = np.concatenate(list(resamples.chunks()), axis=1).astype(int)  # (12, 40)
    found = replicates([one], resamples)
    left_out = 0
    for b in range(40):
        drawn = np.repeat(np.arange(12), weights[:, b])
        left_out += len(np.unique(one.labels[drawn])) < 5
        table = scores(predictions_of(one.labels[drawn], one.probabilities[drawn]))
        assert {name: found[name].replicates[0, b] for name in RESAMPLED} == pytest.approx(
            {name: table[name] for name in RESAMPLED}
        )
    assert left_out > 0


def test_resamples_are_the_same_for_every_model_and_of_full_size() -> None:
    """A seed names the resamples, over the edges of chunks too; each draws n pictures."""
    first, again = (np.concatenate(list(Resamples(30, repetitions=300).chunks()), axis=1) for _ in range(2))
    assert first.shape == (30, 300)
    assert (first == again).all()
    assert (first.sum(axis=0) == 30).all()
    assert (first != np.concatenate(list(Resamples(30, repetitions=300, seed=1).chunks()), axis=1)).any()


def test_groups_are_drawn_whole() -> None:
    """Pictures of one group are in a resample equally often; as many groups are drawn as there are."""
    groups = np.array([7, 7, 3, 3, 3, 9])
    resamples = Resamples(6, groups, repetitions=50)
    weights = np.concatenate(list(resamples.chunks()), axis=1)
    assert (weights[0] == weights[1]).all()
    assert (weights[2] == weights[4]).all()
    assert (weights[[0, 2, 5]].sum(axis=0) == 3).all()
    assert resamples.units == 3


def test_bootstrap_spread_of_a_mean_is_the_textbook_one() -> None:
    """Loss is a mean: its bootstrap standard error is s / √n; over groups that of the group sums."""
    one = made_up(200, 4)
    n = 200
    found = replicates([one], Resamples(n, repetitions=4000))["loss"]
    assert math.sqrt(found.parts[0].variance) == pytest.approx(
        one.losses.std(ddof=1) / math.sqrt(n), rel=0.05
    )
    groups = np.argsort(one.losses).argsort() // 10  # the like ones together
    grouped = replicates([one], Resamples(n, groups, repetitions=4000))["loss"]
    sums = np.bincount(groups, weights=one.losses - one.losses.mean())
    assert grouped.parts[0].variance == pytest.approx(20 / 19 * float(sums @ sums) / n**2, rel=0.1)
    assert grouped.parts[0].freedom == 19


def of(
    score: str, values: list[float], spread: float, units: int, pictures: float, mistake: float = 0.0
) -> Replicated:
    """A made-up score whose seeds share replicates of exactly this standard error (unbiased)."""
    ups = np.tile([1.0, -1.0], 500) * spread * math.sqrt((units - 1) / units) * math.sqrt(999 / 1000)
    values_ = np.array(values)
    return Replicated(
        score=score,
        values=values_,
        replicates=values_[:, None] + ups,
        units=units,
        pictures=pictures,
        mistake=mistake,
    )


def test_loss_interval_of_rare_costs_is_the_exact_one_of_a_count() -> None:
    """Three mistakes of 2 nats on 10,001 pictures: Garwood's 0.62 and 8.77 mistakes, with t near z."""
    from scipy.stats import chi2

    n, count, cost = 10_001, 3, 2.0
    found = score_interval(of("loss", [count * cost / n], math.sqrt(count) * cost / n, n, n, cost))
    exact = [chi2.ppf(0.025, 2 * count) / 2, chi2.ppf(0.975, 2 * (count + 1)) / 2]
    assert found == pytest.approx([x * cost / n for x in exact], rel=1e-3)


def test_macro_interval_is_wilsons_where_its_spread_is_the_binomial_one() -> None:
    """Balanced accuracy .8 of 10,001 pictures with standard error √(.8 · .2 / n): Wilson of n, t being z."""
    n = 10_001
    found = score_interval(of("balanced_accuracy", [0.8], math.sqrt(0.16 / n), n, n))
    assert found == pytest.approx(wilson(0.8 * n, n), abs=1e-5)


def test_several_seeds_widen_by_their_own_variance() -> None:
    """Seeds .78 and .82 around .8 add .02² on one degree of freedom to the pictures' .01² on 400."""
    from scipy.stats import t

    found = score_interval(of("macro_f1", [0.78, 0.82], 0.01, 401, 401))
    freedom = (0.01**2 + 0.02**2) ** 2 / (0.01**4 / 400 + 0.02**4)
    n = 0.16 / (0.01**2 + 0.02**2) * (1.959964 / t.ppf(0.975, freedom)) ** 2
    assert found == pytest.approx(wilson(0.8 * n, n), abs=1e-4)
    alone = score_interval(of("macro_f1", [0.8], 0.01, 401, 401))
    assert alone[0] is not None
    assert found[0] is not None
    assert found[0] < alone[0]


def test_all_right_is_no_certainty() -> None:
    """20 pictures of 4 classes all right at 90 %: 5 of 5 in each class, and a mistake may cost 2.3 nats."""
    sure = replicates([answered([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5)], Resamples(20))
    alone = 1 - 0.025 ** (1 / 5)  # what 5 of 5 leave open
    assert score_interval(sure["balanced_accuracy"]) == pytest.approx((1 - alone / 2, 1))
    assert score_interval(sure["macro_f1"])[1] == 1
    for score, value, mistake in (
        ("loss", -math.log(0.9), -math.log(0.1)),
        ("brier", 0.1**2 + 3 * (0.1 / 3) ** 2, 2 * 0.9**2),
    ):
        assert sure[score].mistake == pytest.approx(mistake)
        low, high = score_interval(sure[score])
        assert low == 0  # nothing varies, which says nothing
        one = mistake / 20
        assert high == pytest.approx(gamma.ppf(0.975, (value + one) ** 2 / one**2) * one**2 / (value + one))


def test_an_unseen_mistake_costs_as_much_as_the_model_is_sure() -> None:
    """60 of 60 right at 99.99 %: the loss may be 3.7 mistakes of 9.2 nats in 60, not of log 2."""
    sure = replicates([answered([0, 1] * 30, [0, 1] * 30, sure=0.9999)], Resamples(60))["loss"]
    assert score_interval(sure)[1] == pytest.approx(-math.log(0.025) * 9.21 / 60, rel=0.01)
    certain = replicates([answered([0, 1], [0, 0], sure=1.0)], Resamples(2))["loss"]
    assert certain.mistake == pytest.approx(690.8, abs=0.1)  # p is floored at 1e-300


def test_three_right_of_a_class_of_three_are_no_certainty() -> None:
    """200 and 3 pictures, all right: 3 of 3 leave recall open down to .29, balanced accuracy to .646."""
    labels = [0] * 200 + [1] * 3
    found = replicates([answered(labels, labels)], Resamples(203))["balanced_accuracy"]
    low, high = score_interval(found)
    assert low is not None
    assert low < 1 - (1 - 0.025 ** (1 / 3)) / 2 < 0.65
    assert high == 1


def test_f1_of_a_class_reaches_as_far_as_right_answers_among_all_that_are_or_are_called_it() -> None:
    """8 of class a right, 2 called b: J is 8 of 10 and 10 of 12, F1 = 2 J / (1 + J)."""
    from scipy.stats import binomtest

    labels, answers = [0] * 10 + [1] * 10, [0] * 8 + [1] * 12
    one = replicates([answered(labels, answers)], Resamples(20, repetitions=10))["macro_f1"]
    squares = 0.0
    for right, union in ((8, 10), (10, 12)):
        low = binomtest(right, union).proportion_ci().low
        squares += (2 * right / (union + right) - 2 * low / (1 + low)) ** 2
    assert one.reach[0] == pytest.approx(math.sqrt(2 * squares) / 2)


def test_a_rare_class_counts_for_the_certainty_of_a_macro_score() -> None:
    """One picture against 59, all right: as little is known as of 3.93 pictures, 2² / (1 + 1 / 59)."""
    labels = [0] * 59 + [1]
    found = replicates([answered(labels, labels)], Resamples(60))["balanced_accuracy"]
    effective = 4 / (1 + 1 / 59)
    assert score_interval(found) == pytest.approx(wilson(effective, effective), abs=0.03)
    assert score_interval(found)[0] <= wilson(effective, effective)[0]  # type: ignore[operator]


def test_all_wrong_and_one_picture_stay_sane() -> None:
    """All wrong: from 0 to Wilson's limit. One picture or group: no interval of a mean; else Wilson of 1."""
    wrong = replicates([answered([0, 1] * 10, [1, 0] * 10)], Resamples(20))
    assert score_interval(wrong["macro_f1"])[0] == 0
    assert score_interval(wrong["macro_f1"])[1] >= wilson(0, 20)[1]  # type: ignore[operator]
    single = replicates([answered([1], [1])], Resamples(1))
    assert score_interval(single["loss"]) == score_interval(single["brier"]) == (None, None)
    assert score_interval(single["balanced_accuracy"]) == (pytest.approx(0.025), 1)
    assert difference_interval(single["loss"], single["loss"]) == (0.0, None, None)
    burst = replicates([made_up(9, 3)], Resamples(9, np.zeros(9, int)))
    assert score_interval(burst["brier"]) == (None, None)


def test_difference_of_balanced_accuracy_is_newcombes_where_classes_are_equal() -> None:
    """Equal class sizes and recalls: the bootstrap's variances and correlation lead to Newcombe's."""
    # per class of 250: both right 200, A only 20, B only 10, neither 20
    a = ([0] * 220 + [1] * 30 + [1] * 220 + [0] * 30,)
    b = ([0] * 200 + [1] * 20 + [0] * 10 + [1] * 20 + [1] * 200 + [0] * 20 + [1] * 10 + [0] * 20,)
    labels = [0] * 250 + [1] * 250
    resamples = Resamples(500, repetitions=6000)
    first, second = (replicates([answered(labels, x[0])], resamples)["balanced_accuracy"] for x in (a, b))
    found = difference_interval(first, second)
    assert found.value == pytest.approx(20 / 500)
    assert (found.low, found.high) == pytest.approx(newcombe_paired(400, 40, 20, 40), abs=0.002)


def test_differences_turn_with_their_models() -> None:
    """B − A mirrors A − B for every score; pairing makes it narrower than two separate test sets."""
    resamples = Resamples(150, repetitions=500)
    a, b = (replicates([made_up(150, 5, seed)], resamples) for seed in (1, 2))
    for name in RESAMPLED:
        found, mirrored = difference_interval(a[name], b[name]), difference_interval(b[name], a[name])
        assert found.low is not None
        assert found.high is not None
        assert mirrored == pytest.approx((-found.value, -found.high, -found.low))
        apart = [score_interval(one[name]) for one in (a, b)]
        widths = [high - low for low, high in apart if low is not None and high is not None]
        assert found.high - found.low < math.hypot(*widths)


def test_difference_with_seeds_by_hand() -> None:
    """Pictures that move both models alike cancel; their two seeds, ± .02 on one degree each, do not."""
    from scipy.stats import t

    a = of("loss", [0.48, 0.52], 0.03, 400, 400, math.log(2))
    b = of("loss", [0.38, 0.42], 0.03, 400, 400)
    half = t.ppf(0.975, 2) * math.sqrt(0.02**2 + 0.02**2 + (math.log(2) / 400) ** 2)
    assert difference_interval(a, b) == pytest.approx((0.1, 0.1 - half, 0.1 + half))


def test_equal_models_are_not_certainly_equal() -> None:
    """The same answers at other probabilities, and one model twice: 0 with a width."""
    labels, answers = [0, 1, 2] * 20, [0, 1, 1] + [0, 1, 2] * 19
    resamples = Resamples(60)
    sure, unsure = (replicates([answered(labels, answers, p)], resamples) for p in (0.95, 0.6))
    for name in ("macro_f1", "balanced_accuracy"):
        value, low, high = difference_interval(sure[name], unsure[name])
        assert value == 0
        assert low is not None
        assert high is not None
        assert low < 0 < high
    half = 1.959964 * max(2 * 0.95**2, sure["brier"].mistake) / 60
    assert difference_interval(sure["brier"], sure["brier"]) == pytest.approx((0, -half, half))


def test_different_scores_have_no_difference() -> None:
    """Loss minus Brier is a mistake of the caller."""
    one = replicates([made_up(20, 3)], Resamples(20, repetitions=10))
    with pytest.raises(ValueError, match="different resamples"):
        difference_interval(one["loss"], one["brier"])


@pytest.mark.slow
def test_a_thousand_classes_need_no_table_of_all() -> None:
    """5,000 pictures × 1,000 classes × 256 resamples: a thousandth of (B × n × C) numbers at a time."""
    import tracemalloc

    one = made_up(5000, 1000)
    tracemalloc.start()
    found = replicates([one], Resamples(5000, repetitions=256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["macro_f1"].replicates.shape == (1, 256)
    assert peak < 200e6
