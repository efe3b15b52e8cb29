from collections.abc import Sequence

import pytest

from vitbench.data.filename_hints import filename_hints, named_copies
from vitbench.records import Picture


def pictures(*names: str, groups: Sequence[str] = ()) -> list[Picture]:
    """Pictures that were never on disk, each its own group unless `groups` says which."""
    each = groups or names
    return [
        Picture(name, name.split("/")[0], None, name, group, 9, 9)
        for name, group in zip(names, each, strict=True)
    ]


@pytest.mark.parametrize(
    "name",
    ["1_aug", "1_aug0", "1-aug-17", "1_flip", "1_hflip", "1_flipped_2", "1_rot90", "1_rotated_15", "1 copy",
     "1 - Copy", "1 copy 2", "1_copy", "1 (1)", "1(2)", "aug_1", "1_mirror", "1.blur", "1_bright_crop"],
)  # fmt: skip
def test_a_copy_beside_its_original(name: str) -> None:
    """A name that is another picture's with a word of augmentation is a copy of that."""
    original, copy = pictures("cat/1.jpg", f"cat/{name}.png")
    assert named_copies([original, copy]) == {copy: original}


@pytest.mark.parametrize(
    "names",
    [
        ["cat/2019_aug_14.jpg", "cat/2019_sep_1.jpg"],  # August
        ["phone/flip_phone.jpg", "phone/smart_phone.jpg"],
        ["cat/1_aug.jpg", "dog/1.jpg"],  # another class's
        [f"cat/cat ({i}).jpg" for i in range(1, 30)],  # renamed in bulk
        ["cat/cat.jpg", *(f"cat/cat ({i}).jpg" for i in range(1, 30))],
        ["cat/1.jpg", "cat/1_2.jpg", "cat/1_large.jpg"],
        ["cat/photocopy.jpg", "cat/photo.jpg"],
        ["cat/a_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "cat/b_jpg.rf.fedcba9876543210fedcba98.jpg"],
    ],
)
def test_harmless_names(names: list[str]) -> None:
    """Months, words, series, other classes and Roboflow exports without augmentation are no signs."""
    assert filename_hints(pictures(*names)) == []


def test_roboflow_versions() -> None:
    """Two versions of one picture by Roboflow's naming are copies."""
    one, two = pictures("cat/a_jpg.rf.0123456789abcdef0123.jpg", "cat/a_jpg.rf.ffffffffffffffff0123.jpg")
    assert named_copies([one, two]) == {two: one}


def test_unmistakable_words_need_no_original() -> None:
    """`augmented` and `hflip` are signs without the picture that they were made of."""
    (copy, _) = several = pictures("cat/1_augmented_3.jpg", "cat/2.jpg")
    assert named_copies(several) == {copy: None}


def test_the_note_counts_and_names_one() -> None:
    """One line with the number, an example with its original, and what to do."""
    (note,) = filename_hints(pictures("cat/1.jpg", "cat/1_flip.jpg", "cat/1_aug.jpg", "dog/1.jpg"))
    assert note.startswith("2 pictures are named as copies, e.g. cat/1_aug.jpg of cat/1.jpg: ")
    assert note.endswith("leave copies out, or keep them with their originals by --group")


def test_copies_that_are_kept_together_are_not_warned_of() -> None:
    """A copy that its content has put into its original's group is no risk."""
    assert filename_hints(pictures("cat/1.jpg", "cat/1_flip.jpg", groups=["g", "g"])) == []


def filled_up(copies: int, counts: tuple[int, int] = (30, 30)) -> list[Picture]:
    """Two classes of so many pictures, so many of each near-copies of its first one."""
    names = [f"{label}/{i}.jpg" for label, count in zip("ab", counts, strict=True) for i in range(count)]
    groups = [f"{name[0]} first" if int(name[2:-4]) <= copies else name for name in names]
    return pictures(*names, groups=groups)


def test_equal_counts_with_copies() -> None:
    """Classes of exactly equal size with a tenth of copies look filled up; the line gives the reason."""
    (note,) = filename_hints(filled_up(3))
    assert note.startswith(
        "all 2 classes have exactly 30 pictures, and 6 of 60 look or are named like copies"
    )


@pytest.mark.parametrize(
    "several", [filled_up(0), filled_up(2), filled_up(9, (30, 31)), filled_up(4, (8, 8))],
    ids=["curated", "few copies", "unequal", "small"],
)  # fmt: skip
def test_equal_counts_alone_are_no_sign(several: list[Picture]) -> None:
    """Curated sets, few copies, unequal classes and tiny ones are not warned of."""
    assert filename_hints(several) == []
