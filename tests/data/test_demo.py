import importlib.util
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitbench.data.demo import ARCHIVE, demo_files, write_demo
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError

BUILTIN = Path(str(resources.files("vitbench.data").joinpath("builtin")))
CLASSES = [
    "ankle boot",
    "bag",
    "coat",
    "dress",
    "pullover",
    "sandal",
    "shirt",
    "sneaker",
    "t-shirt",
    "trouser",
]


@pytest.mark.slow
def test_demo_is_an_image_folder(tmp_path: Path) -> None:
    """The built-in pictures are 10 classes of 60 + 20, readable, no two alike, split without a note."""
    write_demo(tmp_path / "demo")
    got = scan_folder(tmp_path / "demo")
    assert list(got.classes) == CLASSES
    for part, count in (("train", 60), ("test", 20)):
        assert [sum(p.label == label for p in got.part(part)) for label in CLASSES] == [count] * 10
    assert {(p.width, p.height) for p in got.pictures} == {(28, 28)}
    assert len({p.group for p in got.pictures}) == 800
    assert (got.notes, dict(got.ignored)) == ((), {})
    split = split_images(got)
    assert (len(split.train), len(split.val), len(split.test), split.notes) == (510, 90, 200, ())


@pytest.mark.slow
def test_demo_is_the_same_everywhere(tmp_path: Path) -> None:
    """The bytes, and so the split, are fixed."""
    write_demo(tmp_path / "demo")
    assert (
        scan_folder(tmp_path / "demo").digest
        == "93d7acf6043d94780515b3d104e9caec6f73691ae293192c378361f0df0f412f"
    )


def test_archive_is_small_and_licensed() -> None:
    """The package carries under 1 MB, with licence and provenance beside it."""
    assert (BUILTIN / ARCHIVE).stat().st_size < 1_000_000
    assert "Zalando SE" in (BUILTIN / "LICENSE").read_text()
    assert "dataset-fashion-mnist" in (BUILTIN / "README.md").read_text()


def test_writing_twice_is_no_change(tmp_path: Path) -> None:
    """A folder that already is the demo is left as it is."""
    write_demo(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    write_demo(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("change", ["one more file", "one file changed", "one file missing"])
def test_another_folder_is_refused(tmp_path: Path, change: str) -> None:
    """A folder that holds anything else is refused and not touched."""
    write_demo(tmp_path)
    some = next(tmp_path.rglob("*.png"))
    if change == "one more file":
        (tmp_path / "mine.txt").write_text("keep")
    elif change == "one file changed":
        some.write_bytes(b"changed")
    else:
        some.unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="not an empty folder"):
        write_demo(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_cut_again() -> None:
    """`cut.py` draws the same pictures from the full set, where Debian's package is installed."""
    spec = importlib.util.spec_from_file_location("cut", BUILTIN / "cut.py")
    assert spec is not None
    assert spec.loader is not None
    cut = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cut)
    if not cut.SOURCE.is_dir():
        pytest.skip(f"Debian's dataset-fashion-mnist is not installed ({cut.SOURCE})")
    again = cut.chosen_pictures(cut.SOURCE)
    assert set(again) == set(demo_files())
    with zipfile.ZipFile(BUILTIN / ARCHIVE) as archive:
        for name, pixels in again.items():
            with archive.open(name) as stream, Image.open(stream) as image:
                assert np.array_equal(np.asarray(image), pixels)
