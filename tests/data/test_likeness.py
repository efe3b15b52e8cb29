import csv
import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import textured
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from typer.testing import CliRunner, Result

from vitbench.cli.data import data_app
from vitbench.data.duplicates.likeness import MOST_ALIKE, _groups, how, leaks, refuse_warnings
from vitbench.data.duplicates.near import Match
from vitbench.data.groups import keep_together
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.summary import check_report
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import ImageSet, Picture
from vitbench.records.pictures import NEAR, SERIES, Leak, Likeness

MIRRORED = Image.Transpose.FLIP_LEFT_RIGHT


def write(path: Path, picture: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def write_textured(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """`counts` different pictures with much detail per folder, 0.png and so on."""
    key = first
    for folder, count in counts.items():
        for number in range(count):
            write(root / folder / f"{number}.png", textured(key, (96, 72)))
            key += 1
    return root


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A folder with train/ and test/ of two classes; test/a/flip.jpg is a mirrored train/a/0.png."""
    root = write_textured(tmp_path / "brought", {"train/a": 6, "train/b": 6, "test/a": 2, "test/b": 2})
    copy = ImageEnhance.Brightness(textured(0, (96, 72)).transpose(MIRRORED)).enhance(1.3)
    write(root / "test" / "a" / "flip.jpg", copy)
    return root


def sides(image_set: ImageSet, seed: int = 0) -> dict[str, str]:
    """The side of each path."""
    return {p.path: side for side, p in split_images(image_set, seed).assigned()}


# --- one side -----------------------------------------------------------------------------------


def test_near_copies_stay_on_one_side(tmp_path: Path) -> None:
    """In a split or in folds made here, a near-copy lies where its original does, whatever the seed."""
    root = write_textured(tmp_path, {"a": 12, "b": 12})
    for key in range(4):
        write(root / "a" / f"copy{key}.png", textured(key, (96, 72)).transpose(MIRRORED))
    images = scan_folder(root)
    assert [pair.how for pair in images.alike] == ["mirrored"] * 4
    for seed in range(8):
        side = sides(images, seed)
        assert all(side[f"a/copy{key}.png"] == side[f"a/{key}.png"] for key in range(4))
        split = split_images(images, seed, folds=3)
        tested = {p.path: number for number, fold in enumerate(split.folds) for p in fold.test}
        assert all(tested[f"a/copy{key}.png"] == tested[f"a/{key}.png"] for key in range(4))
        assert split_images(images, seed).leaks == split.leaks == ()
    assert "4 pictures are near-copies of another one; each stays on the side of its original" in (
        split_images(images).notes
    )


def test_without_looking_nothing_is_joined(tmp_path: Path) -> None:
    """Told not to look, the scan leaves near-copies apart and says that it did not look."""
    root = write_textured(tmp_path, {"a": 3, "b": 3})
    write(root / "a" / "copy.png", textured(0, (96, 72)).transpose(MIRRORED))
    images = scan_folder(root, near=False)
    assert images.alike == ()
    assert len({p.group for p in images.pictures}) == 7
    assert images.searched == "near-duplicates: not looked for; pictures with equal pixels were"


def test_a_group_is_named_by_its_content(tmp_path: Path) -> None:
    """Other file names, in another order, give the same groups of the same pictures."""
    one = write_textured(tmp_path / "one", {"a": 3, "b": 3})
    write(one / "a" / "copy.png", textured(1, (96, 72)).transpose(MIRRORED))
    shutil.copytree(one, tmp_path / "two")
    for number, path in enumerate(sorted((tmp_path / "two" / "a").iterdir(), reverse=True)):
        path.rename(path.with_name(f"x{number}.png"))
    first, second = ({p.sha256: p.group for p in scan_folder(tmp_path / n).pictures} for n in ("one", "two"))
    assert first == second
    assert sum(group.startswith(NEAR) for group in first.values()) == 2


def test_equal_pixels_are_told_from_near_ones(tmp_path: Path) -> None:
    """In a group of near-copies, pictures with equal pixels are still counted as such."""
    root = write_textured(tmp_path, {"a": 5, "b": 5})
    shutil.copy(root / "a" / "0.png", root / "a" / "same.png")
    write(root / "a" / "near.png", textured(0, (96, 72)).transpose(MIRRORED))
    images = scan_folder(root)
    assert len({p.group for p in images.pictures}) == 10
    report = check_report(images)
    assert "duplicates: 1 picture with the pixels of another one\n  a/0.png = a/same.png" in report
    assert "near-duplicates: 1 pair; looked for" in report
    assert "  a/near.png ≈ a/0.png (mirrored)" in report
    notes = split_images(images).notes
    assert "1 picture repeats another one (equal pixels); each stays on the side of its original" in notes
    assert "1 picture is a near-copy of another one; each stays on the side of its original" in notes


def test_groups_of_the_user_take_near_copies_along(tmp_path: Path) -> None:
    """What --group joins to a picture is joined to its near-copy too."""
    root = write_textured(tmp_path, {"a": 4, "b": 4})
    write(root / "a" / "near.png", textured(0, (96, 72)).transpose(MIRRORED))
    kept = keep_together(scan_folder(root), r"(a)/[01]\.png", None)
    joined = {p.path for p in kept.pictures if p.group.startswith("together-")}
    assert joined == {"a/0.png", "a/1.png", "a/near.png"}
    assert "1 picture is a near-copy of another one" in kept.notes


def chain(count: int) -> list[Match]:
    """Each of so many pictures is near to the next one."""
    return [match(i, i + 1) for i in range(count - 1)]


def match(one: int, other: int, **changes: float) -> Match:
    usual = Match(one, other, 0, 0.99, zoom=1.0, tilt=0.0, shift=0.0, light=0.0, contrast=1.0, colour=1.0)
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def test_what_hangs_together_is_one_group() -> None:
    """Through others too; more than ten without one that is near to all are a series."""
    digests = [f"{i:04d}" for i in range(163)]
    assert set(_groups(digests, chain(MOST_ALIKE)).values()) == {NEAR + "0000"}
    groups = _groups(digests, chain(MOST_ALIKE + 1))
    assert (set(groups.values()), len(groups)) == ({SERIES + "0000"}, 11)
    assert set(_groups(digests, chain(163)).values()) == {SERIES + "0000"}


def test_many_copies_of_one_picture_are_no_series() -> None:
    """A large group is none where one picture is near to all others."""
    digests = [f"{i:04d}" for i in range(60)]
    groups = _groups(digests, [match(7, i) if i > 7 else match(i, 7) for i in range(60) if i != 7])
    assert (len(groups), set(groups.values())) == (60, {NEAR + "0000"})


@given(st.sets(st.tuples(st.integers(0, 39), st.integers(0, 39)).filter(lambda p: p[0] < p[1]), max_size=60))
def test_no_pair_lies_in_two_groups(pairs: set[tuple[int, int]]) -> None:
    """Whatever is near to what, both are in one group, named after its least digest."""
    digests = [f"{i:04d}" for i in range(40)]
    groups = _groups(digests, [match(*pair) for pair in sorted(pairs)])
    assert all(groups[digests[a]] == groups[digests[b]] for a, b in pairs)
    for name in set(groups.values()):
        assert name.partition("-")[2] == min(digest for digest, group in groups.items() if group == name)


# --- leaks --------------------------------------------------------------------------------------


def test_leaks_of_a_split_on_disk(brought: Path) -> None:
    """A test picture that is an edited training picture is listed, with what was done to it."""
    images = scan_folder(brought)
    split = split_images(images)
    assert split.leaks == (
        Leak("test/a/flip.jpg", "test", "train/a/0.png", sides(images)["train/a/0.png"], "near",
             "mirrored, brighter"),
    )  # fmt: skip
    assert split.leak_rows() == [dataclasses.asdict(split.leaks[0])]
    assert list(split.leak_rows()[0]) == ["path", "part", "other", "other_part", "kind", "how"]
    assert images.notes == images.warnings == (
        "1 test/ picture is a near-copy of pictures in train/, e.g. test/a/flip.jpg ≈ train/a/0.png "
        "(mirrored, brighter): scores may be too good",
    )  # fmt: skip
    assert "leaks: 1 picture that is in another part too, equal or nearly so" in check_report(images)


def test_leaks_of_equal_pixels(brought: Path) -> None:
    """Equal pixels on two sides are leaks too: each test picture with one of its copies in train/."""
    for name in ("again.png", "and-again.png"):
        shutil.copy(brought / "test" / "b" / "1.png", brought / "train" / "b" / name)
    (first, second) = split_images(scan_folder(brought)).leaks
    assert (first.path, second.path) == ("test/a/flip.jpg", "test/b/1.png")
    assert (second.other, second.kind, second.how) == ("train/b/again.png", "equal pixels", "")


def test_leaks_between_folds() -> None:
    """A pair that is tested in two folds is a leak of these where they learn from one another."""
    names = [f"{label}/{i}" for label in "ab" for i in range(6)]
    pictures = tuple(Picture(name, name[0], None, name, name, 9, 9) for name in names)
    images = ImageSet(Path("photos"), "flat", ("a", "b"), pictures)
    folds = split_images(images, 0, folds=3).folds
    first, third = folds[0].test[0].path, folds[2].test[0].path
    for pair in (Likeness(first, third, "near", "darker", "brighter"),
                 Likeness(third, first, "near", "brighter", "darker")):  # fmt: skip
        split = split_images(dataclasses.replace(images, alike=(pair,)), 0, folds=3)
        assert split.leaks == (Leak(third, "fold 3", first, "fold 1", "near", "brighter"),)


def test_unused_pictures_leak_nothing(brought: Path) -> None:
    """A pair with a picture that takes no part in the split is none of its leaks."""
    images = scan_folder(brought)
    split = split_images(images)
    without = dataclasses.replace(split, test=tuple(p for p in split.test if "flip" not in p.path))
    assert leaks(without, images.alike) == ()


def test_words() -> None:
    """What was done is said in words, seen from either picture."""
    one = Picture("a/1.jpg", "a", None, "1", "1", 100, 80)
    same = [
        (match(0, 1), one, "hardly changed"),
        (match(0, 1, turn=1, light=20), one, "mirrored, brighter"),
        (match(0, 1, turn=5), dataclasses.replace(one, width=80, height=100), "turned by 90°"),
        (match(0, 1, zoom=0.9, light=-20), one, "cropped to 90 % of a side, darker, larger"),
        (match(0, 1, zoom=0.9), dataclasses.replace(one, width=90, height=72), "cropped to 90 % of a side"),
        (match(0, 1, tilt=2, shift=0.03), one, "tilted, shifted"),
        (
            match(0, 1, colour=0.05),
            dataclasses.replace(one, width=50, height=40),
            "without its colour, smaller",
        ),
        (match(0, 1, contrast=1.4), one, "more contrast"),
    ]
    for found, other, words in same:
        assert how(found, one, other) == words


def test_labels_that_clash(brought: Path) -> None:
    """A near-copy under another class is warned of."""
    write(brought / "train" / "b" / "odd.png", textured(1, (96, 72)).resize((48, 36)))
    (note, _) = scan_folder(brought).warnings
    assert note == ("1 pair of near-copies under two classes, e.g. train/b/odd.png ≈ train/a/1.png (smaller)")


def test_strict_names_every_reason(brought: Path) -> None:
    """--strict makes one error of all warnings; a clean folder passes."""
    write(brought / "train" / "b" / "odd.png", textured(1, (96, 72)).resize((48, 36)))
    write(brought / "train" / "b" / "1_aug.png", textured(99, (96, 72)))
    images = scan_folder(brought)
    assert len(images.warnings) == 3
    with pytest.raises(VitbenchError, match=r"; mend that, or leave --strict away$") as caught:
        refuse_warnings(images)
    assert all(reason in str(caught.value) for reason in images.warnings)
    assert "\n" not in str(caught.value)
    refuse_warnings(scan_folder(write_textured(brought.parent / "clean", {"a": 2, "b": 2}, 50)))


# --- as a user types it -------------------------------------------------------------------------


def check(*words: object) -> Result:
    return CliRunner().invoke(data_app, ["check", *map(str, words)], catch_exceptions=False)


def test_check_writes_all_pairs(brought: Path, tmp_path: Path) -> None:
    """`data check --out` writes every pair with both parts; without pairs it is a table without rows."""
    done = check(brought, "--out", tmp_path / "pairs.csv")
    assert done.exit_code == 0
    assert f"1 pair written to {tmp_path / 'pairs.csv'}" in done.stdout
    with (tmp_path / "pairs.csv").open(encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == [
            {"path": "test/a/flip.jpg", "part": "test", "other": "train/a/0.png", "other_part": "train",
             "kind": "near", "how": "mirrored, brighter"},
        ]  # fmt: skip
    with pytest.raises(UsageError, match="exists; name a new file"):
        check(brought, "--out", tmp_path / "pairs.csv")


def test_check_is_strict_if_asked(brought: Path) -> None:
    """`data check --strict` prints its report and then fails on warnings; --no-near-duplicates has none."""
    with pytest.raises(VitbenchError, match="near-copy of pictures in train/"):
        check(brought, "--strict")
    assert check(brought).exit_code == 0
    assert check(brought, "--strict", "--no-near-duplicates").exit_code == 0


# --- real pictures ------------------------------------------------------------------------------


def test_fruit_test_pictures_are_mirrored(photos: Callable[[str], Path]) -> None:
    """Each of the three test pictures of fruit3 is found to be a mirrored training picture."""
    found = split_images(scan_folder(photos("fruit3"))).leaks
    assert [(leak.path, leak.other, leak.how) for leak in found if leak.part == "test"] == [
        ("test/apple/IMG_TEST_1.jpg", "train/apple/IMG_20200229_164819.jpg", "mirrored"),
        ("test/banana/IMG_TEST_2.jpg", "train/banana/IMG_20200229_164952.jpg", "mirrored"),
        ("test/orange/IMG_TEST_3.jpg", "train/orange/IMG_20200229_165115.jpg", "mirrored"),
    ]


def test_grocery_shots(photos: Callable[[str], Path]) -> None:
    """Among 576 photos of apples three pairs are near: second shots of the same shelf, seen by eye."""
    images = scan_folder(photos("grocery_apples"))
    assert [(pair.path[-7:-4], pair.other[-7:-4]) for pair in images.alike] == [
        ("011", "006"), ("020", "013"), ("062", "052"),
    ]  # fmt: skip
    assert split_images(images).leaks == ()
