import hashlib
import json
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitbench.data.epochs import PerClass, balance_note, epoch_size, plan_epoch, shown_once_note, view_epoch
from vitbench.records import Picture


def originals(counts: dict[str, int]) -> list[Picture]:
    """Training pictures that were never on disk."""
    return [
        Picture(f"{label}/{i}.png", label, None, f"{label}{i}", f"{label}{i}", 9, 9)
        for label, n in counts.items()
        for i in range(n)
    ]


def uses(plan: list[tuple[int, int]]) -> Counter[int]:
    """How many views each original gives."""
    return Counter(index for index, _ in plan)


def test_share_is_floor_or_ceil() -> None:
    """200 views from 28 originals: 4 give 8, 24 give 7."""
    plan = plan_epoch(originals({"a": 28, "b": 28}), 200, 0, 1)
    assert len(plan) == 400
    for first in (0, 28):
        got = [uses(plan)[i] for i in range(first, first + 28)]
        assert Counter(got) == {7: 24, 8: 4}


def test_views_of_an_original_are_numbered() -> None:
    """Each original's views are k = 0, 1, … without a gap."""
    plan = plan_epoch(originals({"a": 3}), 10, 0, 1)
    for index, count in uses(plan).items():
        assert sorted(k for i, k in plan if i == index) == list(range(count))


@pytest.mark.slow
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 5), st.integers(1, 100))
def test_equal_use_over_as_many_epochs_as_originals(n: int, per_class: int, seed: int, first: int) -> None:
    """Over any n epochs in a row, a class's n originals are used equally often."""
    train = originals({"a": n})
    total: Counter[int] = Counter()
    for epoch in range(first, first + n):
        total += uses(plan_epoch(train, per_class, seed, epoch))
    assert set(total) == set(range(n))
    assert len(set(total.values())) == 1


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1), st.integers(1, 40))
def test_epoch_size(counts: dict[str, int], per_class: int) -> None:
    """An epoch has per_class views of each class, or all its originals where there are more."""
    train = originals(counts)
    expected = {label: max(n, per_class) for label, n in counts.items()}
    plan = plan_epoch(train, per_class, 0, 3)
    assert Counter(train[i].label for i, _ in plan) == expected
    assert epoch_size(train, per_class) == len(plan) == sum(expected.values())


def test_more_originals_than_views() -> None:
    """A class with more originals than per_class shows each once."""
    plan = plan_epoch(originals({"a": 7, "b": 2}), 5, 0, 1)
    assert all((i, 0) in plan for i in range(7))
    assert len(plan) == 7 + 5


def test_all_shows_each_original_once() -> None:
    """ "all" shows every original once, in every epoch."""
    train = originals({"a": 3, "b": 5})
    for epoch in (1, 2):
        assert sorted(plan_epoch(train, "all", 0, epoch)) == [(i, 0) for i in range(8)]
    assert epoch_size(train, "all") == 8


def test_order_changes_with_seed_and_epoch() -> None:
    """The order is shuffled anew by seed and epoch, and depends on nothing else."""
    train = originals({"a": 20, "b": 20})
    plans = [plan_epoch(train, "all", seed, epoch) for seed, epoch in ((0, 1), (0, 2), (1, 1), (0, 1))]
    assert plans[0] == plans[3]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    assert plans[0] != sorted(plans[0])


def test_classes_are_mixed() -> None:
    """The classes follow one another in no blocks."""
    train = originals({"a": 50, "b": 50})
    labels = [train[i].label for i, _ in plan_epoch(train, "all", 0, 1)]
    assert 15 < labels[:50].count("a") < 35


def test_fixed_views() -> None:
    """A fixed set has the same views in each epoch, in another order; their epoch is 0."""
    train = originals({"a": 7, "b": 7})
    one, two = (plan_epoch(train, 10, 0, epoch, fixed_views=True) for epoch in (1, 2))
    assert sorted(one) == sorted(two)
    assert one != two
    assert [view_epoch(e, fixed_views=True) for e in (1, 2)] == [0, 0]
    assert [view_epoch(e, fixed_views=False) for e in (1, 2)] == [1, 2]


def test_plans_without_repeats_are_pinned() -> None:
    """One view at a time, an epoch is the one that it was in any earlier version."""
    assert plan_epoch(originals({"a": 3, "b": 2}), 5, 0, 2) == [
        *((3, 2), (4, 0), (0, 1), (4, 1), (2, 1), (2, 0), (0, 0), (3, 1), (3, 0), (1, 0))
    ]
    train = originals({"a": 7, "b": 2, "c": 30})
    plans = [
        plan_epoch(train, per_class, seed, epoch, fixed)
        for per_class in (5, 12, 200, "all")
        for seed in (0, 3)
        for epoch in (1, 2, 9)
        for fixed in (False, True)
    ]
    digest = hashlib.sha256(json.dumps(plans).encode()).hexdigest()
    assert digest == "c6a67d6285beb08f61e9269ed275553c0525804e0cba916575bfabece9f2ffad"


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1)
PER_CLASS = st.one_of(st.integers(1, 40), st.just("all"))


@pytest.mark.slow
@given(COUNTS, PER_CLASS, st.integers(1, 4), st.integers(1, 50))
def test_repeats_keep_the_length_and_the_views_distinct(
    counts: dict[str, int], per_class: PerClass, repeats: int, epoch: int
) -> None:
    """An epoch has as many views as without repeats; an original's are k = 0, 1, … each once."""
    train = originals(counts)
    plan = plan_epoch(train, per_class, 0, epoch, repeats=repeats)
    assert len(plan) == epoch_size(train, per_class)
    for index, count in uses(plan).items():
        assert sorted(k for i, k in plan if i == index) == list(range(count))
    assert plan == plan_epoch(train, per_class, 0, epoch, repeats=repeats)


def test_a_third_of_the_originals_is_shown_three_times() -> None:
    """ "all" with 3 repeats shows 10 of 30 originals thrice in a row, and others in the next epochs."""
    train = originals({"a": 30})
    shown: list[int] = []
    for epoch in (1, 2, 3):
        plan = plan_epoch(train, "all", 0, epoch, repeats=3)
        assert set(uses(plan).values()) == {3}
        assert [[i for i, _ in plan[at : at + 3]] for at in range(0, 30, 3)] == [
            [plan[at][0]] * 3 for at in range(0, 30, 3)
        ]
        shown += uses(plan)
    assert sorted(shown) == list(range(30))


@given(st.integers(2, 30), PER_CLASS, st.integers(2, 4), st.integers(1, 50))
def test_views_of_a_picture_stand_side_by_side(n: int, per_class: PerClass, repeats: int, epoch: int) -> None:
    """No view stands alone, but for what the edges of an epoch leave of at most two groups of a class."""
    plan = plan_epoch(originals({"a": n}), per_class, 0, epoch, repeats=repeats)
    runs = [len(list(run)) for _, run in groupby(index for index, _ in plan)]
    assert sum(run < repeats for run in runs) <= 2


@pytest.mark.slow
@given(st.integers(1, 12), PER_CLASS, st.integers(1, 4), st.integers(1, 50))
def test_equal_use_with_repeats(n: int, per_class: PerClass, repeats: int, first: int) -> None:
    """Over n × repeats epochs in a row originals are used equally; in fewer, almost."""
    train = originals({"a": n})
    total: Counter[int] = Counter(dict.fromkeys(range(n), 0))
    for epoch in range(first, first + n * repeats):
        total.update(uses(plan_epoch(train, per_class, 0, epoch, repeats=repeats)))
        assert max(total.values()) - min(total.values()) <= 2 * repeats
    assert len(set(total.values())) == 1


def test_repeats_of_a_fixed_set() -> None:
    """A fixed set with repeats is one set, in groups, in another order."""
    one, two = (plan_epoch(originals({"a": 7}), 21, 0, e, True, repeats=3) for e in (1, 2))
    assert sorted(one) == sorted(two)
    assert one != two


def test_balance_note() -> None:
    """Changed proportions are named with figures; unchanged ones are not."""
    note = balance_note(originals({"a": 10, "b": 90}), 100)
    assert "'a' goes from 10 % of the training pictures to 50 % of what is shown" in note
    assert "'b' goes from 90 % of the training pictures to 50 % of what is shown" in note


@pytest.mark.parametrize(("counts", "per_class"), [({"a": 10, "b": 10}, 100), ({"a": 10, "b": 90}, "all")])
def test_no_balance_note(counts: dict[str, int], per_class: int) -> None:
    """Even classes, or all originals once: nothing to say."""
    assert balance_note(originals(counts), per_class) == ""


def test_classes_with_more_pictures_than_views_are_said() -> None:
    """Asked for 8 views, a class of 9 originals shows 9, and the plan says so; one of 8 or "all" does not."""
    assert shown_once_note(originals({"a": 9, "b": 8}), 8) == (
        "1 class has more training pictures than the 8 views of --per-class: it shows each once an epoch"
    )
    assert shown_once_note(originals({"a": 8, "b": 3}), 8) == ""
    assert shown_once_note(originals({"a": 9}), "all") == ""
