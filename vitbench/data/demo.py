"""The built-in pictures: a cut of Fashion-MNIST that the package carries (see `builtin/README.md`)."""

import io
import zipfile
from importlib import resources
from pathlib import Path

from vitbench.data.folders import new_folder

ARCHIVE = "fashion-mnist.zip"
"""<part>/<class>/<number in the original>.png, ready-made: every machine writes the same bytes."""


def write_demo(folder: Path) -> None:
    """Write the built-in pictures to FOLDER/train/<class>/ and FOLDER/test/<class>/, 60 + 20 of 10 classes.

    A folder that already is exactly that is left as it is; another one that holds something is refused.
    """
    pictures = demo_files()
    if folder.is_dir() and _holds(folder, pictures):
        return
    with new_folder(folder) as made:
        for name, content in pictures.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def demo_files() -> dict[str, bytes]:
    """The built-in files by their path in the folder, sorted."""
    archive = resources.files("vitbench.data").joinpath("builtin", ARCHIVE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in sorted(opened.namelist())}


def _holds(folder: Path, pictures: dict[str, bytes]) -> bool:
    """True where a folder holds these files and no others."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return set(there) == set(pictures) and all(
        there[name].read_bytes() == content for name, content in pictures.items()
    )
