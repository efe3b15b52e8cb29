"""The linear head against scikit-learn by hand, and against a stranger's script with timm alone."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from painted import paint
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vitbench.data.scan import scan_folder
from vitbench.inference.features import feature_key, features_of
from vitbench.inference.linear import FALLBACK, STRENGTHS, fit_linear, inner_folds
from vitbench.models.create import create
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import plan_model
from vitbench.records import Array, Machine, Origin, label_indices


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For scikit-learn's part in these tests: small products, ten times slower in two threads."""
    with threadpool_limits(1, user_api="blas"):
        yield


def noisy(n: int, classes: int, dimensions: int = 20, seed: int = 0) -> tuple[Array, Array]:
    """Features (n, D) float32 whose classes overlap, at scales from 1e-3 to 1e3, and their labels."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = draw.normal(0, 0.5, (classes, dimensions))
    values = (centres[labels] + draw.normal(size=(n, dimensions))) * np.logspace(-3, 3, dimensions) + 5
    return values.astype(np.float32), labels


def odds(logits: Array) -> Array:
    return np.asarray(torch.from_numpy(logits).softmax(dim=1).numpy())


def paint_muddy(root: Path, per_class: int = 16) -> Path:
    """Three classes whose colours are close to one another: a head on random features mixes them up."""
    for place, name in enumerate(("a", "b", "c")):
        for number in range(per_class):
            paint(root / name / f"{number}.png", (120 + 12 * place, 120, 120), 100 * place + number, (48, 64))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_a_strangers_script_gives_the_same_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """timm, Pillow and scikit-learn in a bare script: same classes, probabilities within 1e-5."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(4)
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name, num_classes=1000).state_dict(), file)
    images = scan_folder(paint_muddy(tmp_path / "data"))
    train, test = images.pictures[::2], images.pictures[1::2]
    labels = label_indices(train, images.classes)

    plan, weights = plan_model(name, 64), InitialWeights(Origin(kind="file"), file, "file")
    machine = Machine(device="cpu", device_name="", micro_batch=4, eval_batch=7, threads=1, workers=2)
    key = feature_key(plan, weights, 0, 3)
    every = (*train, *test)
    found = features_of(
        lambda: create(plan, 3, weights, 0), key, images.root, every, plan.preprocessing, machine
    )
    head = fit_linear(found[: len(train)], labels, [p.group for p in train], 3)
    mine = head.probabilities(found[len(train) :])

    size = {"img_size": 64} if "vit" in name else {}
    overlay = {"file": str(file), "num_classes": 1000}
    model = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **size)
    config = timm.data.resolve_data_config({"input_size": (3, 64, 64)}, model=model)
    transform = timm.data.create_transform(**config, is_training=False)
    model.eval()
    with torch.no_grad():
        x = np.array(
            [model(transform(Image.open(images.root / p.path))[None])[0].double().numpy() for p in every]
        )
    groups = [p.group for p in train]
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups))
    classifier = LogisticRegressionCV(
        Cs=np.logspace(-4, 1, 11),
        cv=folds,
        scoring="neg_log_loss",
        l1_ratios=(0,),
        tol=1e-8,
        max_iter=10_000,
        use_legacy_attributes=False,
    )
    pipeline = make_pipeline(StandardScaler(), classifier).fit(x[: len(train)], labels)
    theirs = pipeline.predict_proba(x[len(train) :])

    assert head.strength == classifier.C_
    assert np.abs(mine - theirs).max() < 1e-5
    assert mine.argmax(axis=1).tolist() == pipeline.predict(x[len(train) :]).tolist()
    assert np.ptp(theirs) > 0.1  # the head had something to say


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_scikit_learns(classes: int) -> None:
    """Two classes too, of which scikit-learn keeps one row: the softmax over both rows is its answer."""
    features, labels = noisy(60, classes)
    head = fit_linear(features, labels, np.arange(60), classes)
    same = make_pipeline(StandardScaler(), LogisticRegression(C=head.strength, tol=1e-8, max_iter=10_000))
    expected = same.fit(features.astype(np.float64), labels).predict_proba(features.astype(np.float64))
    assert (head.weight.shape, head.bias.shape) == ((classes, 20), (classes,))
    assert np.abs(head.probabilities(features) - expected).max() < 1e-5
    assert np.allclose(head.probabilities(features), odds(features @ head.weight.T + head.bias))
    assert np.array_equal(head.logits(features), features.astype(np.float64) @ head.weight.T + head.bias)
    assert head.note == ""


@pytest.mark.slow
def test_the_strength_is_the_one_of_least_log_loss() -> None:
    """Every strength fitted and judged by hand on the inner folds; neither end of the range wins."""
    features, labels = noisy(90, 3, seed=3)
    groups = np.arange(90) // 2
    groups[labels == 2] += 1000
    x = StandardScaler().fit_transform(features.astype(np.float64))

    def loss(strength: float) -> float:
        judged = []
        for train, test in inner_folds(labels, groups):
            one = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(x[train], labels[train])
            judged.append(log_loss(labels[test], one.predict_proba(x[test])))
        return float(np.mean(judged))

    best = min(STRENGTHS, key=loss)
    assert STRENGTHS[0] < best < STRENGTHS[-1]
    assert fit_linear(features, labels, groups, 3).strength == pytest.approx(best)


def test_strengths_are_half_decades() -> None:
    """From 1e-4 to 10, eleven of them."""
    assert (len(STRENGTHS), STRENGTHS[0], STRENGTHS[-1]) == (11, pytest.approx(1e-4), pytest.approx(10))
    assert np.allclose(np.diff(np.log10(STRENGTHS)), 0.5)


def test_inner_folds_keep_groups_whole() -> None:
    """Pictures of one group are never on two sides, and each picture is judged once."""
    labels = np.repeat([0, 1], 20)
    groups = [f"{label}-{number // 4}" for number, label in enumerate(labels)]
    folds = inner_folds(labels, groups)
    assert len(folds) == 5
    for train, test in folds:
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        assert set(labels[test]) == {0, 1}
    assert sorted(i for _, test in folds for i in test) == list(range(40))


def test_there_are_as_many_folds_as_the_scarcest_class_allows() -> None:
    """Nine pictures of a class in three groups give three folds, however many the others have."""
    labels = np.repeat([0, 1], [9, 30])
    groups = np.concatenate([np.arange(9) // 3, 100 + np.arange(30)])
    assert len(inner_folds(labels, groups)) == 3


def test_groups_that_hold_all_of_a_class_together_give_no_folds() -> None:
    """Three groups, two folds: whichever two stand together hold a class whole, so nothing can be judged."""
    assert inner_folds(np.array([1, 0, 1, 0, 0, 1]), np.array([0, 1, 1, 2, 1, 0])) == []


def test_without_a_second_group_the_strength_is_fixed_and_said() -> None:
    """A class that is one burst of pictures cannot be judged: fixed strength, and a note."""
    features, labels = noisy(30, 3)
    groups = np.where(labels == 0, 0, np.arange(30))
    head = fit_linear(features, labels, groups, 3)
    assert head.strength == FALLBACK
    assert "too few groups" in head.note
    assert "\n" not in head.note
    x = StandardScaler().fit_transform(features.astype(np.float64))
    expected = LogisticRegression(C=FALLBACK, tol=1e-8, max_iter=10_000).fit(x, labels).predict_proba(x)
    assert np.abs(head.probabilities(features) - expected).max() < 1e-6


def test_constant_features_say_nothing() -> None:
    """No NaN: where nothing tells classes apart, the answer is their shares."""
    features = np.full((40, 6), 0.1, np.float32)
    labels = np.repeat([0, 1], [10, 30])
    found = fit_linear(features, labels, np.arange(40), 2).probabilities(features)
    assert found == pytest.approx(np.tile([0.25, 0.75], (40, 1)), abs=1e-6)


@pytest.mark.parametrize(("labels", "classes"), [([0, 0, 2, 2], 3), ([0, 0, 1, 1], 3), ([0, 0, 0, 0], 1)])
def test_every_class_needs_a_picture(labels: list[int], classes: int) -> None:
    """A class without pictures, or only one class, is a caller's mistake."""
    with pytest.raises(ValueError, match="pictures of each"):
        fit_linear(np.eye(4), np.array(labels), np.arange(4), classes)


def test_fitting_warns_of_nothing_repeats_itself_and_leaves_threads_alone() -> None:
    """Many features, few pictures: no warning, equal bits, torch's threads as they were."""
    features, labels = noisy(50, 5, dimensions=300)
    before = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = (fit_linear(features, labels, np.arange(50), 5) for _ in range(2))
    assert torch.get_num_threads() == before
    assert np.array_equal(one.weight, two.weight)
    assert np.array_equal(one.bias, two.bias)


def test_far_logits_do_not_overflow() -> None:
    """A picture far from all others is certain, not NaN."""
    features, labels = noisy(20, 2)
    found = fit_linear(features, labels, np.arange(20), 2).probabilities(features * 1e6)
    assert np.allclose(found.sum(axis=1), 1)


def few(labels: Array, each: int) -> Array:
    """Places of the first so many pictures of every class."""
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["two classes", "twelve classes", "duplicates", "constant features", "tiny classes", "bursts"]
)
def test_choice_and_answers_are_those_of_scikit_learns_own_search(kind: str) -> None:
    """`LogisticRegressionCV` over the same folds takes the same strength, and answers within 1e-5."""
    classes = {"two classes": 2, "twelve classes": 12}.get(kind, 4)
    features, labels = noisy(96, classes, dimensions=120, seed=7)
    groups = np.arange(96)
    if kind == "duplicates":
        again = np.r_[0:96, 0:48]
        features, labels, groups = features[again], labels[again], groups[again]
    if kind == "constant features":
        features[:, ::3] = 2.5
    if kind == "tiny classes":
        kept = few(labels, 3)
        features, labels, groups = features[kept], labels[kept], groups[kept]
    if kind == "bursts":
        groups = groups // 8 * 12 + labels
    head = fit_linear(features, labels, groups, classes)
    search = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=inner_folds(labels, groups),
        scoring="neg_log_loss",
        l1_ratios=(0,),
        tol=1e-8,
        max_iter=10_000,
        use_legacy_attributes=False,
    )
    pipeline = make_pipeline(StandardScaler(), search).fit(features.astype(np.float64), labels)
    assert head.strength == search.C_
    assert head.note == ""
    assert np.abs(head.probabilities(features) - pipeline.predict_proba(features)).max() < 1e-5
