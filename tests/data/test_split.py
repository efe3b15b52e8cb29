import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitbench.data.scan import scan_folder
from vitbench.data.split import quota, split_images, write_split
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
    """A val/ without one of the classes is unused; 15 % of train/ takes its place, with a note."""
    split = split_images(
        given_parts({"train": {"a": 20, "b": 20}, "val": {"a": 5}, "test": {"a": 5, "b": 5}}), 0
    )
    assert sizes(split) == (34, 6, 10)
    assert all(p.part != "val" for _, p in split.assigned())
    assert split.notes == ("val/ lacks class 'b': its 5 pictures are unused, 15 % of train/ takes its place",)


def test_copies_are_counted() -> None:
    """Copies that were kept together are counted in a note."""
    copies = [picture(f"copy{i}", "a", group="same") for i in range(3)]
    split = split_images(image_set([*flat({"a": 5, "b": 5}).pictures, *copies]))
    assert (
        split.notes[0]
        == "2 pictures repeat another one (equal pixels); each stays on the side of its original"
    )


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
    """grocery_apples: val/ lacks Red-Delicious, so its 22 pictures are unused and test/ is whole."""
    split = split_images(scan_folder(photos("grocery_apples")))
    assert sizes(split) == (235, 43, 276)
    assert "Red-Delicious" in split.notes[0]


def test_real_class_folders(photos: Callable[[str], Path]) -> None:
    """flowers5: 28 / 6 / 6 of each class."""
    split = split_images(scan_folder(photos("flowers5")))
    assert set(Counter(p.label for p in split.train).values()) == {28}
    assert set(Counter(p.label for p in split.test).values()) == {6}
