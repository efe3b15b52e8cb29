"""Class names that a reader cannot tell apart, and parts that lack a class."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.data.classes import look_alike
from vitbench.data.scan import scan_folder
from vitbench.errors import ClassesError

Maker = Callable[..., Path]


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("Dog", "dog", "case"),
        ("dog", "dog ", "spaces and signs"),
        ("red fox", "red  fox", "spaces and signs"),
        ("red_fox", "red-fox", "spaces and signs"),
        ("dog", "dog.", "spaces and signs"),
        ("Red Fox", "red_fox", "spaces and signs and case"),
        ("\uff44\uff4f\uff47", "dog", "Unicode form"),
        ("\ufb01g", "fig", "Unicode form"),
        ("dog", "do\u200bg", "characters that are not shown"),
        ("dog", "\ufeffdog", "characters that are not shown"),
        ("cat", "c\u0430t", "letters of another alphabet"),
        ("OWL", "\u041eWL", "letters of another alphabet"),
        ("dog\r", "dog", "spaces and signs"),
    ],
)
def test_names_that_look_alike(one: str, other: str, how: str) -> None:
    """Each pair with what it differs in."""
    first, second = sorted((one, other))
    assert look_alike([one, other, "owls"]) == [(first, second, how)]


def test_names_that_do_not() -> None:
    """Other words, numbers, scripts and accents are told apart."""
    names = [
        "cat",
        "cats",
        "c1",
        "c2",
        "кот",
        "кит",
        "resume",
        "résumé",
        "-",
        "_",
        "1.5",
        "15",
        "은수",
        "우진",
    ]
    assert look_alike(names) == []


def test_classes_that_look_alike_are_noted(tmp_path: Path, classes: Maker) -> None:
    """A warning that shows what cannot be seen; the classes stay two."""
    images = scan_folder(classes(tmp_path, {"Dog": 1, "dog": 1, "dog\u200b": 1, "owl": 1}))
    assert len(images.classes) == 4
    (note,) = [note for note in images.notes if "look alike" in note]
    assert "'Dog' and 'dog' (case)" in note
    assert "'dog' and 'dog\\u200b' (characters that are not shown)" in note


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_that_spells_a_class_otherwise(tmp_path: Path, classes: Maker, part: str) -> None:
    """The error says which class of train/ is meant, and in what the two differ."""
    classes(tmp_path, {"train/dog": 1, "train/cat": 1, f"{part}/Dog": 1, f"{part}/cat": 1})
    with pytest.raises(
        ClassesError, match=f"{part}: class 'Dog' is not in train/, whose 'dog' differs in case"
    ):
        scan_folder(tmp_path)


@pytest.mark.parametrize(
    ("val", "said"),
    [
        (("a", "b"), "val/ lacks class 'c': what val decides (epoch, temperature, tuning) rests on the "
         "other 2"),
        (("a",), "val/ lacks class 'b', 'c' and holds 'a' alone, which can choose no epoch: 15 % of train/ "
         "takes its place"),
    ],
)  # fmt: skip
def test_what_val_lacks_is_said_once(tmp_path: Path, classes: Maker, val: tuple[str, ...], said: str) -> None:
    """With what comes of it, where val/ chooses the epoch."""
    parts = {"train": ("a", "b", "c"), "val": val, "test": ("a", "b", "c")}
    classes(tmp_path, {f"{part}/{label}": 1 for part, labels in parts.items() for label in labels})
    assert scan_folder(tmp_path, near=False).notes == (said,)
