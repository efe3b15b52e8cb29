import csv
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitbench.data.deal import quota
from vitbench.data.groups import TOGETHER, keep_together
from vitbench.data.scan import scan_folder
from vitbench.data.split import SMALL_TEST, split_images, write_split
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import ImageSet, Part, Picture, Split

Maker = Callable[..., Path]
ROOT = Path("data")


def picture(content: str, label: str, part: Part | None = None, path: str = "", group: str = "") -> Picture:
    """A picture that was never on disk; `content` stands for its bytes, `group` for its pixels."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Picture(
        path or f"{label}/{content}.png", label, part, digest, group or f"pixels of {content}", 9, 9
    )


def image_set(pictures: Sequence[Picture]) -> ImageSet:
    layout = "split" if any(p.part for p in pictures) else "flat"
    classes = tuple(sorted({p.label for p in pictures}))
    return ImageSet(ROOT, layout, classes, tuple(sorted(pictures, key=lambda p: p.path)))


def flat(counts: dict[str, int]) -> ImageSet:
    return image_set([picture(f"{label}{i}", label) for label, n in counts.items() for i in range(n)])


def given_parts(counts: dict[str, dict[str, int]]) -> ImageSet:
    """{"train": {"a": 3}} as pictures, all different."""
    return image_set(
        [
            picture(f"{part}{label}{i}", label, part, f"{part}/{label}/{i}.png")
            for part, labels in counts.items()
            for label, n in labels.items()
            for i in range(n)
        ]
    )


def sizes(split: Split) -> tuple[int, int, int]:
    return len(split.train), len(split.val), len(split.test)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, [1, 1, 1]),
        (4, [2, 1, 1]),
        (10, [7, 1, 2]),
        (20, [14, 3, 3]),
        (40, [28, 6, 6]),
        (100, [70, 15, 15]),
    ],
)
def test_quota(count: int, expected: list[int]) -> None:
    """70 / 15 / 15 % by largest remainder, ties to test, one at least."""
    assert quota(count, (70, 15, 15)) == expected


@given(st.integers(3, 5000))
def test_quota_is_within_one_of_the_share(count: int) -> None:
    """The parts add up, and each is its exact share to within one, or 1."""
    got = quota(count, (70, 15, 15))
    assert sum(got) == count
    assert all(abs(n - count * share / 100) <= 1.15 for n, share in zip(got, (70, 15, 15), strict=True))
    assert min(got) >= 1


# Contents with their class and group: few groups, so that duplicates are frequent.
contents = st.dictionaries(
    st.text("0123456789", min_size=1, max_size=4),
    st.tuples(st.sampled_from("abc"), st.integers(0, 25)),
    min_size=1,
)


def drawn_set(drawn: dict[str, tuple[str, int]], prefix: str = "") -> ImageSet:
    """A set from hypothesis' choice, with enough singles in each class; groups stay inside a class."""
    pictures = [
        picture(content, label, path=f"{label}/{prefix}{content}.png", group=f"{label}{group}")
        for content, (label, group) in drawn.items()
    ]
    singles = [
        picture(f"{label} single {i}", label, path=f"{label}/{prefix}single{i}.png")
        for label in "abc"
        for i in range(4)
    ]
    return image_set([*pictures, *singles])


@given(contents, st.integers(0, 99))
def test_split_is_a_partition_of_groups(drawn: dict[str, tuple[str, int]], seed: int) -> None:
    """Every picture is on exactly one side, a group on one side, every class on every side."""
    whole = drawn_set(drawn)
    split = split_images(whole, seed)
    assert Counter(p for _, p in split.assigned()) == Counter(whole.pictures)
    sides: dict[str, set[str]] = {}
    for side, p in split.assigned():
        sides.setdefault(p.group, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    for side in (split.train, split.val, split.test):
        assert {p.label for p in side} == {"a", "b", "c"}


@pytest.mark.slow
@given(contents, st.integers(0, 99))
def test_split_is_stratified(drawn: dict[str, tuple[str, int]], seed: int) -> None:
    """Each class's different pictures are dealt by `quota`."""
    split = split_images(drawn_set(drawn), seed)
    for label in "abc":
        groups = [
            len({p.group for p in side if p.label == label}) for side in (split.train, split.val, split.test)
        ]
        assert groups == quota(sum(groups), (70, 15, 15))


@given(contents, st.integers(0, 99), st.randoms(use_true_random=False))
def test_split_depends_on_content_only(drawn: dict[str, tuple[str, int]], seed: int, random: object) -> None:
    """Other file names and another order of the files give the same split."""
    items = list(drawn.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    one, two = split_images(drawn_set(drawn), seed), split_images(drawn_set(dict(items), "z"), seed)
    assert one.digest == two.digest
    assert [p.sha256 for p in one.train] == [p.sha256 for p in two.train]


def test_pinned_split() -> None:
    """A split drawn today is the one drawn in any later version, on any platform."""
    split = split_images(flat({"a": 10, "b": 10}), 0)
    assert split.digest == "0be257a3b887dd99bbb502564344f0b60ae14e0716f20c61bc396d8851e6fc6c"


def test_seed_changes_the_split() -> None:
    """Another seed draws other pictures, the same numbers."""
    whole = flat({"a": 40, "b": 40})
    one, two = split_images(whole, 0), split_images(whole, 1)
    assert one.digest != two.digest
    assert sizes(one) == sizes(two) == (56, 12, 12)


def test_sides_are_sorted() -> None:
    """Each side is in the order of class, content, path."""
    split = split_images(flat({"b": 20, "a": 20}), 0)
    for side in (split.train, split.val, split.test):
        assert list(side) == sorted(side, key=lambda p: (p.label, p.sha256, p.path))


def test_too_few_pictures() -> None:
    """Two pictures cannot be on three sides; the line says what to do."""
    with pytest.raises(
        VitbenchError, match=r"^data: class 'cat' has 2 different images, three splits need 3; add"
    ):
        split_images(flat({"cat": 2, "dog": 9}))
    with pytest.raises(VitbenchError, match="class 'cat' has 1 different image, two splits need 2"):
        split_images(given_parts({"train": {"cat": 1, "dog": 4}, "test": {"cat": 1, "dog": 1}}))


def test_copies_do_not_make_enough_pictures() -> None:
    """Five copies of one picture and another one are two different pictures."""
    copies = [picture(f"copy{i}", "cat", group="same") for i in range(5)]
    with pytest.raises(VitbenchError, match="class 'cat' has 2 different images"):
        split_images(image_set([*copies, picture("x", "cat"), *flat({"dog": 5}).pictures]))


def test_same_pixels_under_two_classes_stay_together() -> None:
    """A picture with two labels is on one side with both."""
    whole = flat({"a": 10, "b": 10})
    twins = [picture("x", "a", group="twin"), picture("y", "b", group="twin")]
    for seed in range(10):
        split = split_images(image_set([*whole.pictures, *twins]), seed)
        sides = [
            {p.path for p in side} & {"a/x.png", "b/y.png"} for side in (split.train, split.val, split.test)
        ]
        assert sorted(map(len, sides)) == [0, 0, 2]


def test_class_that_is_all_in_another() -> None:
    """A class all of whose pictures also lie in another class is an error, not an empty side."""
    twins = [picture(f"{label}{i}", label, group=f"twin{i}") for label in ("a", "b") for i in range(5)]
    with pytest.raises(VitbenchError, match="class 'b'"):
        split_images(image_set(twins))


def test_class_folders() -> None:
    """Class folders: 70 / 15 / 15 %, with the rule in words."""
    split = split_images(flat({"a": 20, "b": 20}), 3)
    assert sizes(split) == (28, 6, 6)
    assert split.rule == "70 / 15 / 15 % of the class folders, stratified, seed 3"


def test_train_only() -> None:
    """train/ alone is split like class folders, in the same way."""
    split = split_images(given_parts({"train": {"a": 20, "b": 20}}), 3)
    assert sizes(split) == (28, 6, 6)
    assert split.rule == "70 / 15 / 15 % of train/, stratified, seed 3"


def test_all_three_given() -> None:
    """train/, val/ and test/ are taken as they are, whatever the seed."""
    whole = given_parts({name: {"a": 2, "b": 2} for name in ("train", "val", "test")})
    split = split_images(whole, 0)
    assert {(side, p.part) for side, p in split.assigned()} == {(s, s) for s in ("train", "val", "test")}
    assert split.digest == split_images(whole, 1).digest
    assert split.rule == "train/, val/ and test/ as they are on disk, no seed"


def test_train_and_test_given() -> None:
    """Without val/, 15 % of train/ chooses the epoch; test/ stays whole."""
    split = split_images(given_parts({"train": {"a": 20, "b": 20}, "test": {"a": 5, "b": 5}}), 0)
    assert sizes(split) == (34, 6, 10)
    assert {p.part for p in split.val} == {"train"}
    assert {p.part for p in split.test} == {"test"}
    assert split.rule == "15 % of train/ as val, stratified, seed 0; test/ as it is on disk"


def test_train_and_val_given() -> None:
    """Without test/, val/ is reported on, 15 % of train/ chooses the epoch, and that is said."""
    split = split_images(given_parts({"train": {"a": 20, "b": 20}, "val": {"a": 5, "b": 5}}), 0)
    assert sizes(split) == (34, 6, 10)
    assert {p.part for p in split.test} == {"val"}
    assert "reported on val/" in split.rule
    assert any("no test/" in note for note in split.notes)


def test_val_lacks_a_class() -> None:
    """A val/ without one of the classes is kept: it chooses on the others, and train/ stays whole."""
    train = {"a": 20, "b": 20, "c": 20}
    split = split_images(given_parts({"train": train, "val": {"a": 5, "c": 4}, "test": train}), 0)
    assert sizes(split) == (60, 9, 60)
    assert split.rule == "train/, val/ and test/ as they are on disk, no seed"


def test_val_of_one_class_chooses_nothing() -> None:
    """The best epoch for one class alone is one that answers nothing else: 15 % of train/ takes its place."""
    split = split_images(
        given_parts({"train": {"a": 20, "b": 20}, "val": {"a": 5}, "test": {"a": 5, "b": 5}}), 0
    )
    assert sizes(split) == (34, 6, 10)
    assert all(p.part != "val" for _, p in split.assigned())


def test_copies_are_counted() -> None:
    """Copies that were kept together are counted in a note."""
    copies = [picture(f"copy{i}", "a", group="same") for i in range(3)]
    split = split_images(image_set([*flat({"a": 5, "b": 5}).pictures, *copies]))
    assert (
        split.notes[0]
        == "2 pictures repeat another one (equal pixels); each stays on the side of its original"
    )


def test_small_test_part_is_noted() -> None:
    """Below 100 drawn test pictures a proposal says what folds would do; from 100 on, none."""
    split = split_images(flat({"a": 20, "b": 4}))
    assert split.proposals == (
        "only 4 test pictures: --folds 4 would report on all 24 "
        "(--folds auto does so where the test part is small)",
    )
    assert len(split_images(flat({"a": 326, "b": 326})).test) == 2 * 49
    assert split_images(flat({"a": 326, "b": 326})).proposals != ()
    assert len(split_images(flat({"a": 340, "b": 340})).test) >= SMALL_TEST
    assert split_images(flat({"a": 340, "b": 340})).proposals == ()
    brought = given_parts({"train": {"a": 20, "b": 20}, "test": {"a": 5, "b": 5}})
    assert split_images(brought).proposals == ()


# --- groups kept together -----------------------------------------------------------------------


def scenes(counts: dict[str, list[int]], name: str = "") -> ImageSet:
    """{"a": [3, 1]} as scenes of 3 and 1 pictures of class a, kept together."""
    return image_set(
        [
            picture(
                f"{label} {i} {j}", label, path=f"{label}/{name}{i}-{j}.png", group=f"{TOGETHER}{label}{i}"
            )
            for label, scene_sizes in counts.items()
            for i, size in enumerate(scene_sizes)
            for j in range(size)
        ]
    )


scene_sizes = st.lists(st.integers(1, 9), min_size=3, max_size=25)


@given(scene_sizes, st.integers(0, 99))
def test_scenes_get_their_share_of_pictures(found: list[int], seed: int) -> None:
    """Scenes stay whole; val and test, where of several, miss 15 % by half a scene at most."""
    split = split_images(scenes({"a": found, "b": [1] * 5}), seed)
    assert not {p.group for p in split.train} & {p.group for p in (*split.val, *split.test)}
    assert not {p.group for p in split.val} & {p.group for p in split.test}
    wanted = quota(sum(found), (70, 15, 15))
    for side, want in zip((split.train, split.val, split.test), wanted, strict=True):
        of_a = [p for p in side if p.label == "a"]
        assert of_a
        if side is not split.train and len({p.group for p in of_a}) > 1:
            assert abs(len(of_a) - want) <= max(found) / 2


def test_a_large_scene_does_not_swell_the_test_part() -> None:
    """100 + 20 × 5 pictures: the scene of 100 trains whatever the seed, for 15 % is 30."""
    for seed in range(20):
        split = split_images(scenes({"a": [100, *[5] * 20], "b": [5] * 40}), seed)
        assert [sum(p.label == "a" for p in side) for side in (split.val, split.test)] == [30, 30]
        assert [sum(p.label == "b" for p in side) for side in (split.val, split.test)] == [30, 30]


def test_a_scene_is_taken_where_it_brings_the_share_nearer() -> None:
    """12 scenes of 8: 15 % are about 14 pictures, to which two scenes come nearer than one."""
    split = split_images(scenes({"a": [8] * 12, "b": [8] * 12}))
    assert sizes(split) == (128, 32, 32)


def test_too_few_groups() -> None:
    """A class all in two groups cannot be on three sides, however many pictures it has."""
    with pytest.raises(
        VitbenchError, match=r"class 'a' has 2 groups kept together, three splits need 3; add"
    ):
        split_images(scenes({"a": [9, 9], "b": [1] * 9}))


def test_scenes_with_every_class_can_be_split() -> None:
    """Groups of several classes are no obstacle: 20 scenes of two, a rare class in three of them."""
    names = [f"{label}/scene{i}.png" for label in "ab" for i in range(20)]
    names += [f"rare/scene{i}.png" for i in range(3)]
    whole = image_set([picture(name, name.split("/")[0], path=name) for name in names])
    kept = keep_together(whole, r"scene(\d+)", None)
    for seed in range(20):
        for split in (split_images(kept, seed), *split_images(kept, seed, 3).folds):
            for side in (split.train, split.val, split.test):
                assert {p.label for p in side} == {"a", "b", "rare"}


def test_class_bound_to_another_one() -> None:
    """Where the draw of groups leaves a side without a class, one line says why and what to do."""
    whole = [picture(f"a{i}", "a", group=f"{TOGETHER}{i}") for i in range(10)]
    whole += [picture(f"b{i}", "b", group=f"{TOGETHER}{i % 3}") for i in range(12)]
    said = set()
    for seed in range(20):
        try:
            split = split_images(image_set(whole), seed)
            assert all({p.label for p in side} == {"a", "b"} for side in (split.train, split.val, split.test))
        except VitbenchError as error:
            said.add(str(error))
    assert said == {
        "data: class 'b' cannot be on every side, for its pictures are kept together with those of other "
        "classes; make the groups smaller or try another --split-seed"
    }


def test_copies_are_not_counted_among_groups() -> None:
    """A scene of five different pictures is no five repeats of one picture."""
    names = [f"a/s1-{i}.png" for i in range(5)] + [f"{c}/{i}.png" for c in "ab" for i in range(9)]
    whole = image_set([picture(name, name[0], path=name, group=name[-5:] + name[0]) for name in names])
    assert split_images(whole).notes[0].startswith("5 pictures repeat another one")
    kept = keep_together(whole, "s1", None)
    notes = (*kept.notes, *split_images(kept).notes)
    assert sum("5 pictures repeat another one (equal pixels)" in note for note in notes) == 1
    assert not any("repeat" in note for note in split_images(scenes({"a": [5] * 9, "b": [5] * 9})).notes)


def test_groups_parted_by_the_user() -> None:
    """A user's own split is kept; groups that lie on two of its sides are counted per pair of sides."""
    parts = {"train": {"a": 6, "b": 6}, "val": {"a": 3, "b": 3}, "test": {"a": 2, "b": 2}}
    kept = keep_together(given_parts(parts), r"(\w/\d)\.png", None)
    split = split_images(kept)
    assert {(side, p.part) for side, p in split.assigned()} == {(s, s) for s in ("train", "val", "test")}
    assert split.notes == (
        "6 groups have pictures in both train/ and val/, as they are on disk: scores may be too good",
        "4 groups have pictures in both train/ and test/, as they are on disk: scores may be too good",
        "4 groups have pictures in both val/ and test/, as they are on disk: scores may be too good",
    )


def test_parted_copies_are_the_scans_to_tell() -> None:
    """Copies in train/ and test/ are no groups kept together: the scan has named them already."""
    whole = given_parts({"train": {"a": 9, "b": 9}, "test": {"a": 2, "b": 2}})
    twins = [picture(f"{part} twin", "a", part, f"{part}/a/twin.png", "same") for part in ("train", "test")]
    assert split_images(image_set([*whole.pictures, *twins])).notes == ()


# --- folds --------------------------------------------------------------------------------------


def joined(drawn: dict[str, tuple[str, int]], prefix: str = "") -> ImageSet:
    """`drawn_set` with its groups kept together for another reason than their pixels."""
    whole = drawn_set(drawn, prefix)
    counts = Counter(p.group for p in whole.pictures)
    pictures = [
        dataclasses.replace(p, group=TOGETHER + p.group) if counts[p.group] > 1 else p for p in whole.pictures
    ]
    return dataclasses.replace(whole, pictures=tuple(pictures))


makers = st.sampled_from([drawn_set, joined])


@given(makers, contents, st.integers(0, 99), st.integers(2, 4))
def test_folds_are_a_partition_of_groups(
    maker: Callable[..., ImageSet], drawn: dict[str, tuple[str, int]], seed: int, count: int
) -> None:
    """Every picture is tested in one fold and used once in each; groups are never parted."""
    whole = maker(drawn)
    split = split_images(whole, seed, count)
    assert len(split.folds) == count
    assert split.val == ()
    assert split.train == split.test
    assert Counter(split.test) == Counter(whole.pictures)
    assert Counter(p for fold in split.folds for p in fold.test) == Counter(whole.pictures)
    for fold in split.folds:
        assert Counter(p for _, p in fold.assigned()) == Counter(whole.pictures)
        sides: dict[str, set[str]] = {}
        for side, p in fold.assigned():
            sides.setdefault(p.group, set()).add(side)
        assert all(len(found) == 1 for found in sides.values())
        for part in (fold.train, fold.val, fold.test):
            assert {p.label for p in part} == {"a", "b", "c"}
            assert list(part) == sorted(part, key=lambda p: (p.label, p.sha256, p.path))


@pytest.mark.slow
@given(makers, contents, st.integers(0, 99), st.integers(3, 4))
def test_folds_are_stratified(
    maker: Callable[..., ImageSet], drawn: dict[str, tuple[str, int]], seed: int, count: int
) -> None:
    """A class's pictures per fold differ by no more than its largest group; val is 15 % of the rest."""
    split = split_images(maker(drawn), seed, count)
    for label in "abc":
        largest = max(Counter(p.group for p in split.test if p.label == label).values())
        numbers = [sum(p.label == label for p in fold.test) for fold in split.folds]
        assert max(numbers) - min(numbers) <= largest
        if maker is drawn_set:
            for fold in split.folds:
                sides = [{p.group for p in side if p.label == label} for side in (fold.train, fold.val)]
                assert [len(side) for side in sides] == quota(sum(map(len, sides)), (85, 15))


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(7, 40), min_size=2),
    st.integers(0, 99),
    st.integers(3, 7),
)
def test_folds_without_groups_are_even(counts: dict[str, int], seed: int, count: int) -> None:
    """Single pictures: the folds differ by one at most, in each class and over all."""
    folds = split_images(flat(counts), seed, count).folds
    for label in counts:
        numbers = [sum(p.label == label for p in fold.test) for fold in folds]
        assert max(numbers) - min(numbers) <= 1
    numbers = [len(fold.test) for fold in folds]
    assert max(numbers) - min(numbers) <= 1


@pytest.mark.slow
@given(makers, contents, st.integers(0, 99), st.randoms(use_true_random=False))
def test_folds_depend_on_content_only(
    maker: Callable[..., ImageSet], drawn: dict[str, tuple[str, int]], seed: int, random: object
) -> None:
    """Other file names and another order of the files give the same folds, in the same order."""
    items = list(drawn.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    one, two = split_images(maker(drawn), seed, 3), split_images(maker(dict(items), "z"), seed, 3)
    assert one.digest == two.digest
    assert [[p.sha256 for p in fold.val] for fold in one.folds] == [
        [p.sha256 for p in fold.val] for fold in two.folds
    ]


def test_pinned_folds() -> None:
    """Folds drawn today are those drawn in any later version, on any platform."""
    split = split_images(flat({"a": 10, "b": 10}), 0, 5)
    assert split.digest == "7236875da4b73c537bc476f4a2ca0da1a0a0da8d48b09f13871f960916ea59e3"


def test_seed_changes_the_folds_and_each_fold_draws_its_own_val() -> None:
    """Another seed deals other folds; two folds do not share the order of their draw."""
    whole = flat({"a": 40, "b": 40})
    one, two = split_images(whole, 0, 5), split_images(whole, 1, 5)
    assert one.digest != two.digest
    common = set(one.folds[0].val) & set(one.folds[1].val)
    assert len(one.folds[0].val) == 10
    assert len(common) < 8  # equal orders would share all but what the other fold tests


def test_large_scenes_are_dealt_first() -> None:
    """A scene of 8 and 16 single pictures make three folds of 8 pictures, whatever the seed."""
    for seed in range(10):
        folds = split_images(scenes({"a": [*[1] * 10, 8, *[1] * 6], "b": [1] * 3}), seed, 3).folds
        assert [sum(p.label == "a" for p in fold.test) for fold in folds] == [8, 8, 8]


def test_folds_carry_what_a_split_carries() -> None:
    """Each fold is a split of its own, with the rule in words."""
    whole = flat({"a": 20, "b": 20})
    split = split_images(whole, 3, 5)
    assert split.rule == "5 folds of the class folders, stratified, seed 3; in each, 15 % of the rest as val"
    assert split.notes == ()
    for number, fold in enumerate(split.folds, start=1):
        assert sizes(fold) == (28, 4, 8)
        assert (fold.root, fold.classes, fold.seed) == (ROOT, ("a", "b"), 3)
        assert fold.data_digest == whole.digest
        assert fold.folds == ()
        assert fold.rule == (
            f"fold {number} of 5 of the class folders, stratified, seed 3; 15 % of the rest as val"
        )
    of_train = split_images(given_parts({"train": {"a": 20, "b": 20}}), 3, 2)
    assert of_train.rule == "2 folds of train/, stratified, seed 3; in each, 15 % of the rest as val"


def test_copies_are_counted_with_folds() -> None:
    """The note on copies is there with folds too, once."""
    copies = [picture(f"copy{i}", "a", group="same") for i in range(3)]
    split = split_images(image_set([*flat({"a": 5, "b": 5}).pictures, *copies]), 0, 3)
    assert split.notes == (
        "2 pictures repeat another one (equal pixels); each stays on the side of its original",
    )
    assert all(fold.notes == () for fold in split.folds)


@pytest.mark.parametrize(
    ("counts", "folds", "says"),
    [
        ({"x": 3, "y": 9}, 5, "class 'x' has 3 different images, 5 folds need 5; use --folds 3, add images"),
        ({"x": 6, "y": 9}, 7, "class 'x' has 6 different images, 7 folds need 7; use --folds 5, add images"),
        ({"x": 3, "y": 9}, 2, "class 'x' has 3 different images, 2 folds need 4; use --folds 3, add images"),
        ({"x": 2, "y": 9}, 2, "class 'x' has 2 different images, 2 folds need 4; add images or drop"),
        ({"x": 1, "y": 9}, 5, "class 'x' has 1 different image, 5 folds need 5; add images or drop"),
    ],
)
def test_too_few_for_folds(counts: dict[str, int], folds: int, says: str) -> None:
    """A class with fewer pictures than folds: one line with the number of folds that works, if any."""
    with pytest.raises(VitbenchError, match=f"^data: {says}"):
        split_images(flat(counts), 0, folds)
    if "--folds 3" in says:
        assert len(split_images(flat(counts), 0, 3).folds) == 3


def test_too_few_groups_for_folds() -> None:
    """With groups kept together, groups are what is counted."""
    with pytest.raises(
        VitbenchError, match="class 'a' has 3 groups kept together, 5 folds need 5; use --folds 3"
    ):
        split_images(scenes({"a": [9, 9, 9], "b": [1] * 9}), 0, 5)


def test_two_folds_leave_two_groups_each() -> None:
    """A scene as large as all others together still has another one beside it, for train and val."""
    split = split_images(scenes({"a": [10, 1, 1, 1], "b": [1] * 4}), 0, 2)
    assert sorted(sum(p.label == "a" for p in fold.test) for fold in split.folds) == [2, 11]


def test_folds_and_the_users_own_split() -> None:
    """Folds are refused where test/ or val/ is the user's, in one line that names the way out."""
    both = given_parts({name: {"a": 9, "b": 9} for name in ("train", "val", "test")})
    with pytest.raises(UsageError, match=r"^data: --folds 5 would mix test/ with train/; name data/train to"):
        split_images(both, 0, 5)
    with pytest.raises(UsageError, match="would mix val/ with train/"):
        split_images(given_parts({"train": {"a": 9, "b": 9}, "val": {"a": 9, "b": 9}}), 0, 5)
    assert split_images(both, 0, "always") == split_images(both, 0)


def test_automatic_folds_beside_a_small_test_of_ones_own() -> None:
    """None are made, and that is said with the way to them; a large test part needs none."""
    small = given_parts({"train": {"a": 9, "b": 9}, "test": {"a": 9, "b": 9}})
    split = split_images(small, 0, "auto")
    assert split.digest == split_images(small, 0).digest
    assert split.proposals == (
        "--folds auto: no folds, though only 18 test pictures, for they would mix test/ with train/; name "
        "data/train to cross-validate inside it",
    )
    large = given_parts({"train": {"a": 9, "b": 9}, "test": {"a": 50, "b": 50}})
    assert split_images(large, 0, "auto").proposals == ()


@pytest.mark.parametrize("folds", [1, 0, -3])
def test_fewer_than_two_folds(folds: int) -> None:
    """One fold is wrong usage."""
    with pytest.raises(UsageError, match=f"^--folds {folds}: a number from 2, or auto$"):
        split_images(flat({"a": 9, "b": 9}), 0, folds)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 20, "b": 20}, 5),
        ({"a": 20, "b": 4}, 4),
        ({"a": 20, "b": 3}, 3),
        ({"a": 326, "b": 326}, 5),
        ({"a": 340, "b": 340}, 0),
    ],
)
def test_auto_folds(counts: dict[str, int], expected: int) -> None:
    """auto: five folds, or as many as the smallest class allows, where fewer than 100 would be tested."""
    split = split_images(flat(counts), 7, "auto")
    assert len(split.folds) == expected
    assert split == split_images(flat(counts), 7, expected or None)
    assert len(split_images(flat(counts), 7, "always").folds) == (expected or 5)
    with pytest.raises(VitbenchError, match="three splits need 3"):
        split_images(flat({"a": 20, "b": 2}), 7, "auto")


# --- written splits -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_written_split_is_the_same_split(tmp_path: Path, classes: Maker, seed: int) -> None:
    """Scanning and splitting what was written gives the same digest, with any other seed."""
    root = classes(tmp_path / "data", {"cat": 5, "cat/more": 3, "train": 4})
    split = split_images(scan_folder(root), seed)
    assert write_split(split, tmp_path / "out") == 12
    assert split_images(scan_folder(tmp_path / "out"), seed + 1).digest == split.digest


def test_written_names_are_distinct(tmp_path: Path, classes: Maker) -> None:
    """Files of one name from two sub-folders are both there, under distinct names, with their bytes."""
    root = classes(tmp_path / "data", {"a": 4, "a/x": 4, "a/y": 4, "b": 4})
    split = split_images(scan_folder(root))
    write_split(split, tmp_path / "out")
    with (tmp_path / "out" / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["path"] for row in rows}) == len(rows) == 16
    for row in rows:
        written = (tmp_path / "out" / row["path"]).read_bytes()
        assert hashlib.sha256(written).hexdigest() == row["sha256"]
        assert written == (root / row["source"]).read_bytes()
        assert row["path"].startswith(f"{row['split']}/{row['class']}/")


def test_input_is_not_changed(tmp_path: Path, classes: Maker) -> None:
    """Writing a split leaves the data as they were."""
    root = classes(tmp_path / "data", {"a": 3, "b": 3})
    before = {p: p.read_bytes() for p in root.rglob("*.png")}
    write_split(split_images(scan_folder(root)), tmp_path / "out")
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_out_must_be_empty_and_outside(tmp_path: Path, classes: Maker) -> None:
    """A folder that holds something, and one in the data, are refused; nothing is left behind."""
    root = classes(tmp_path / "data", {"a": 3, "b": 3})
    split = split_images(scan_folder(root))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_split(split, full)
    with pytest.raises(UsageError, match="lies in the input folder"):
        write_split(split, root / "out")
    assert (full / "mine.txt").read_text() == "keep"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "full"]
    assert sorted(p.name for p in root.iterdir()) == ["a", "b"]


def test_folds_are_not_written(tmp_path: Path, classes: Maker) -> None:
    """A split with folds is no three folders: refused, and nothing is made."""
    split = split_images(scan_folder(classes(tmp_path / "data", {"a": 4, "b": 4})), 0, 3)
    with pytest.raises(UsageError, match="3 folds cannot be written as train/, val/ and test/; leave"):
        write_split(split, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_file_changed_since_the_scan(tmp_path: Path, classes: Maker) -> None:
    """A file that changed or vanished is named, and no half-written split is left."""
    root = classes(tmp_path / "data", {"a": 3, "b": 3})
    split = split_images(scan_folder(root))
    Image.new("RGB", (5, 5)).save(root / "a" / "000.png")
    with pytest.raises(VitbenchError, match=r"a/000\.png: changed since"):
        write_split(split, tmp_path / "out")
    (root / "a" / "000.png").unlink()
    with pytest.raises(VitbenchError, match=r"a/000\.png: gone since"):
        write_split(split, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_real_val_that_lacks_a_class(photos: Callable[[str], Path]) -> None:
    """grocery_apples: val/ lacks Red-Delicious, is kept with its 22 pictures, and that is said once."""
    images = scan_folder(photos("grocery_apples"))
    split = split_images(images)
    assert sizes(split) == (278, 22, 276)
    note = (
        "val/ lacks class 'Red-Delicious': what val decides (epoch, temperature, tuning) rests on the other 4"
    )
    assert [said for said in (*images.notes, *split.notes) if "Red-Delicious" in said] == [note]


def test_real_class_folders(photos: Callable[[str], Path]) -> None:
    """flowers5: 28 / 6 / 6 of each class."""
    split = split_images(scan_folder(photos("flowers5")))
    assert set(Counter(p.label for p in split.train).values()) == {28}
    assert set(Counter(p.label for p in split.test).values()) == {6}
