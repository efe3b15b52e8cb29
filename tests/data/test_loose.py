"""Folders of pictures for what reads no labels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.data.scan import scan_folder
from vitbench.data.split import LEAST_LOOSE, split_images, without_labels
from vitbench.errors import ClassesError, VitbenchError

Maker = Callable[..., Path]


def heap(root: Path, make: Maker, count: int = 20) -> Path:
    """Pictures directly in a folder and in folders below it."""
    for number in range(count):
        make(root / ("" if number % 2 else f"trip/{number % 3}") / f"{number:02d}.png", number)
    return root


def test_all_pictures_are_one_class(tmp_path: Path, make: Maker) -> None:
    """A loose folder is read however deep, 85 % train and 15 % choose nothing but show the loss."""
    images = scan_folder(heap(tmp_path, make), "loose")
    assert (images.layout, images.classes, len(images.pictures)) == ("loose", ("pictures",), 20)
    split = split_images(images)
    assert (len(split.train), len(split.val), split.test) == (17, 3, ())
    assert split.rule == "85 / 15 % of all pictures as train and val, labels unread, seed 0, no test"
    assert split_images(images, 1).val != split.val


def test_hidden_files_count_once(tmp_path: Path, make: Maker) -> None:
    """What is passed over is counted as in a folder of classes."""
    heap(tmp_path, make)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "notes.txt").touch()
    found = scan_folder(tmp_path, "loose")
    assert (found.ignored, found.unread) == ({"hidden": 1}, {".txt": 1})


def test_copies_lie_on_one_side(tmp_path: Path, make: Maker) -> None:
    """A picture and its copy are never divided."""
    for number in range(12):
        make(tmp_path / f"{number:02d}.png", number)
        make(tmp_path / "copies" / f"{number:02d}.png", number)
    split = split_images(scan_folder(tmp_path, "loose"))
    assert len(split.val) == 4
    assert not {p.sha256 for p in split.train} & {p.sha256 for p in split.val}


def test_parts_without_classes_stay_parts(tmp_path: Path, make: Maker) -> None:
    """train/, val/ and test/ with pictures lying flat in them: test is not learnt from."""
    for first, (part, count) in enumerate((("train", 12), ("val", 3), ("test", 4))):
        for number in range(count):
            make(tmp_path / part / f"{number}.png", 100 * first + number)
    with pytest.raises(ClassesError, match="pictures lie in test/, train/, val/ without class folders"):
        scan_folder(tmp_path)
    split = split_images(scan_folder(tmp_path, "loose"))
    assert (len(split.train), len(split.val), len(split.test)) == (12, 3, 4)
    assert {Path(p.path).parts[0] for p in split.test} == {"test"}
    assert split.rule == "train/; val/ and test/ as on disk, no seed"


def test_test_pictures_on_request(tmp_path: Path, classes: Maker) -> None:
    """`with_test` trains on the test pictures too and leaves val as it is."""
    images = scan_folder(classes(tmp_path, {"cat": 10, "dog": 10}))
    split = split_images(images)
    assert without_labels(split, images, with_test=False) == split
    whole = without_labels(split, images, with_test=True)
    assert (len(whole.train), whole.val, whole.test) == (len(split.train) + len(split.test), split.val, ())
    assert "(--with-test)" in whole.rule


def test_two_pictures_are_too_few(tmp_path: Path, make: Maker) -> None:
    """One line with the number that is needed."""
    with pytest.raises(VitbenchError, match=rf": 2 different pictures to learn from, .* needs {LEAST_LOOSE}"):
        split_images(scan_folder(heap(tmp_path, make, 2), "loose"))


def test_few_in_class_folders_too(tmp_path: Path, classes: Maker) -> None:
    """The least number holds for class folders as well."""
    images = scan_folder(classes(tmp_path, {"cat": 3, "dog": 3}))
    with pytest.raises(VitbenchError, match=": 4 different pictures to learn from"):
        without_labels(split_images(images), images, with_test=False)


def test_train_still_needs_classes(tmp_path: Path, make: Maker) -> None:
    """Flat pictures are refused by default, and the line names the command that takes them."""
    for number in range(3):
        make(tmp_path / f"{number}.png", number)
    with pytest.raises(ClassesError, match=r"3 pictures but no class folders; .*`vitbench pretrain .+`$"):
        scan_folder(tmp_path)
