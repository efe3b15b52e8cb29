"""What folders' names and places mean: classes, parts of a split, or an error that names the way on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.data.parts import part_of
from vitbench.data.scan import scan_folder
from vitbench.data.shape import survey
from vitbench.data.walk import Walk
from vitbench.errors import ClassesError, VitbenchError

Maker = Callable[..., Path]


def lay(root: Path, places: str) -> Path:
    """Two pictures (never opened) in each folder named; "labels.csv" and "docs/a.txt" are files."""
    for place in places.split():
        if "." in place:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text("x")
            continue
        (root / place).mkdir(parents=True)
        for number in range(2):
            (root / place / f"{number}.png").touch()
    return root


def read(root: Path, layout: str = "auto") -> tuple[set[str], list[str]]:
    """Part and class of all files, as "train/cat" (or "cat"), and the notes."""
    shape, owners = survey(root, layout, Walk())  # type: ignore[arg-type]
    return {f"{part}/{label}" if part else label for part, label, _ in owners}, shape.notes


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("train", ("train", "")), ("TRAIN", ("train", "")), ("Training_set", ("train", "")),
        ("trainset", ("train", "")), ("train2017", ("train", "")), ("1-train", ("train", "")),
        ("train-images", ("train", "")), ("trainval", ("train", "")), ("train_val", ("train", "")),
        ("ｔｒａｉｎ", ("train", "")), ("my_train_data", ("train", "my")), ("seg_train", ("train", "seg")),
        ("FlowersTrain", ("train", "flowers")), ("valid", ("val", "")), ("validation set", ("val", "")),
        ("dev", ("val", "")), ("eval", ("val", "")), ("images_test", ("test", "")), ("tst", ("test", "")),
        ("test_tube", ("test", "tube")), ("flowers test 2", ("test", "flowers")),
        ("Testudo", None), ("validated", None), ("contest", None), ("pretrain", None), ("cat", None),
        ("train_test", None), ("2017", None), ("hold-out", ("test", "")), ("Held_Out set", ("test", "")),
        ("训练集", ("train", "")), ("測試", ("test", "")), ("학습", ("train", "")), ("検証", ("val", "")),
        ("Trainingsdaten", ("train", "")), ("Testdaten", ("test", "")), ("prueba", ("test", "")),
        ("Validación", ("val", "")), ("entraînement", ("train", "")), ("treino", ("train", "")),
    ],
)  # fmt: skip
def test_the_part_that_a_name_stands_for(name: str, means: tuple[str, str] | None) -> None:
    """A part's word, alone or among others; words that only begin or end so name none."""
    assert part_of(name) == means


@pytest.mark.parametrize(
    "places",
    [
        "training_set/cat training_set/dog test_set/cat test_set/dog",
        "seg_train/cat seg_train/dog seg_test/cat seg_test/dog seg_pred",
        "Train/cat Train/dog images_test/cat images_test/dog",
        "train2017/cat train2017/dog test2017/cat test2017/dog",
        "训练集/cat 训练集/dog 测试集/cat 测试集/dog",
        "flowers_train/cat flowers_train/dog flowers_test/cat flowers_test/dog",
        "a_train/a_train/cat a_train/a_train/dog a_test/a_test/cat a_test/a_test/dog",
        "train/images/cat train/images/dog test/images/cat test/images/dog",
        "train_aug/cat train_aug/dog test_clean/cat test_clean/dog",
        "cropped_train/cat cropped_train/dog test_set/cat test_set/dog docs/a.txt",
    ],
)
def test_a_split_under_other_names_is_read_and_said(tmp_path: Path, places: str) -> None:
    """Its usual spellings, and with one folder between that says nothing, mean what train/ and test/ mean."""
    found, notes = read(lay(tmp_path, places))
    assert found == {"train/cat", "train/dog", "test/cat", "test/dog"}
    assert notes[0].startswith("read as a split: ")
    assert " as test/ (--layout flat takes each folder as a class)" in notes[0]
    assert read(tmp_path, "loose")[0] == {"train/pictures", "test/pictures"}


@pytest.mark.parametrize(
    "places", ["bus car train", "steam_train bullet_train test_tube", "Testudo validated", "de fr tr"]
)
def test_classes_may_be_called_so(tmp_path: Path, places: str) -> None:
    """A vehicle called train, and names that hold a part's word among others, are classes."""
    assert read(lay(tmp_path, places)) == (set(places.split()), [])
    assert read(tmp_path, "loose")[0] == {"pictures"}


@pytest.mark.parametrize(
    "places",
    ["bus car test", "bus car train test", "cat dog holdout", "bus car train/steam train/diesel",
     "cats_train cats_test owl", "val/a test/a"],
)  # fmt: skip
def test_what_can_be_meant_both_ways_is_refused(tmp_path: Path, places: str) -> None:
    """Also without labels, for then test pictures would be learnt from; --layout flat is the way on."""
    with pytest.raises(VitbenchError, match="--layout flat") as refused:
        read(lay(tmp_path, places))
    assert not isinstance(refused.value, ClassesError)
    assert read(tmp_path, "flat")[0] == {place.partition("/")[0] for place in places.split()}


@pytest.mark.parametrize(
    "places",
    ["train test", "train val test labels.csv", "train", "cats_train cats_test dogs_train dogs_test"],
)
def test_parts_that_lie_flat_are_no_classes(tmp_path: Path, places: str) -> None:
    """Pictures in train/ and test/ without class folders; a table beside them is said to be unread."""
    with pytest.raises(ClassesError, match=r"without class folders.*a folder per class.*--layout flat") as no:
        read(lay(tmp_path, places))
    assert ("(labels in labels.csv are not read)" in str(no.value)) == ("labels.csv" in places)
    folders = {place for place in places.split() if "." not in place}
    assert read(tmp_path, "flat")[0] == folders
    assert read(tmp_path, "loose")[0] == {f"{part_of(name)[0]}/pictures" for name in folders}  # type: ignore[index]


@pytest.mark.parametrize(
    ("places", "lie", "place"),
    [
        ("photos/cat photos/dog", "cat/, dog/", "photos"),
        ("a/b/c/cat a/b/c/dog __MACOSX/cat", "cat/, dog/", "a/b/c"),
        ("images/train/a images/train/b images/test/a", "test/, train/", "images"),
        ("images/train images/val labels/train labels/val", "train/, val/", "images"),
        ("cat/train cat/test dog/train dog/test", "test/, train/", "cat"),
        ("train/train/a train/train/b train/val/a", "train/, val/", "train"),
    ],
)
def test_a_folder_too_many_is_named(tmp_path: Path, places: str, lie: str, place: str) -> None:
    """Where the class folders, or the parts, lie deeper, the line says where."""
    with pytest.raises(VitbenchError, match=f"{lie} lie in ") as refused:
        read(lay(tmp_path, places))
    assert f"`vitbench data check {tmp_path / place}`" in str(refused.value)


@pytest.mark.parametrize(
    "places", ["images masks", "JPEGImages Annotations/a.txt", "train/images train/labels"]
)
def test_labels_in_files_are_no_class(tmp_path: Path, places: str) -> None:
    """images/ beside masks/ or labels/ is a data set of another kind, not two classes."""
    with pytest.raises(VitbenchError, match="seem to be pictures and their labels, which are not read"):
        read(lay(tmp_path, places))


def test_the_same_folders_in_every_class_are_said(tmp_path: Path) -> None:
    """They may be the classes, and the others parts of which no name is known."""
    found, (note,) = read(lay(tmp_path, "gallery/cat gallery/dog query/cat query/dog"))
    assert found == {"gallery", "query"}
    assert note.startswith("each of gallery/, query/ holds the same folders, cat/, dog/: ")


def test_the_bare_word_beats_others_that_mean_the_same(tmp_path: Path) -> None:
    """test/ beside test_2/ is the test part; the other is left out and named."""
    found, notes = read(lay(tmp_path, "train/cat train/dog test/cat test_2/cat"))
    assert found == {"train/cat", "train/dog", "test/cat"}
    assert notes == ["left out beside train/: test_2"]


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["owl", "train/owl", "test"])
@pytest.mark.parametrize("to", ["/nowhere/at/all", "owl"])
def test_a_class_or_part_that_is_a_link_to_nowhere(tmp_path: Path, place: str, to: str) -> None:
    """An unmounted disk, or a link in a circle: the class would be missing, so it is an error."""
    lay(tmp_path, "train/cat train/dog" if place != "owl" else "cat dog")
    link = tmp_path / place
    link.symlink_to(link if to == "owl" else Path(to))
    with pytest.raises(VitbenchError, match=f"{place}: a link to .*, which is not there.*mount or fetch"):
        read(tmp_path)


def test_a_folder_deeper_that_is_a_link_to_nowhere(tmp_path: Path, classes: Maker) -> None:
    """It is listed with the bad files, so that its pictures are not missing in silence."""
    classes(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "cat" / "more").symlink_to("/nowhere/at/all")
    found = Walk()
    survey(tmp_path, "auto", found)
    (bad,) = found.unusable
    assert (bad.path, bad.reason) == (
        str(tmp_path / "cat" / "more"), "link to /nowhere/at/all, which is not there",
    )  # fmt: skip


def test_a_class_that_dvc_has_not_fetched_is_an_error(tmp_path: Path, classes: Callable[..., Path]) -> None:
    """bird.dvc without bird/; beside a folder that is there it says nothing."""
    root = classes(tmp_path, {"cat": 3, "dog": 3})
    (root / "cat.dvc").write_text("outs: []")
    (root / "labels.csv.dvc").write_text("outs: []")
    assert scan_folder(root).classes == ("cat", "dog")
    (root / "bird.dvc").write_text("outs: []")
    with pytest.raises(VitbenchError, match=r"bird\.dvc: stands for bird/, which is not there; fetch it"):
        scan_folder(root)
