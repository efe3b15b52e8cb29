"""Fuzzing: mutated pictures through `predict`, random trees through the scanner; only clear errors come out.

A short run is among the slow tests, the same one each time; `make test-faults` tries 25,000 other pictures
and 3,000 other trees.
"""

import functools
import io
import itertools
import os
import resource
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from torch import nn

from vitbench import files
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.summary import check_report
from vitbench.errors import VitbenchError
from vitbench.inference.stream import Question, answer, collect
from vitbench.models.folder import LoadedModel
from vitbench.records import Preprocessing

QUICK, LONG = 250, 25_000
QUICK_TREES, LONG_TREES = 60, 3_000
MOST_MEMORY_MB = 1000
"""That the process may grow by while it is fed garbage."""
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
USUAL: Mapping[str, Any] = {
    "deadline": 20_000,  # ms a picture: a hang is a failure
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


# --- pictures -------------------------------------------------------------------------------------


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@functools.cache
def originals() -> tuple[bytes, ...]:
    """Whole pictures of every format, in the kinds that take other ways through a decoder."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    rgb = Image.fromarray(pixels).resize((40, 48))
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    deep = Image.fromarray(np.linspace(0, 65535, 960).astype(np.uint16).reshape(24, 40))
    real = Image.fromarray(np.linspace(0, 1, 960).astype(np.float32).reshape(24, 40))
    more = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [
        save(rgb, "JPEG"),
        save(rgb, "JPEG", progressive=True, exif=exif),
        save(rgb.convert("CMYK"), "JPEG"),
        save(rgb.convert("L"), "JPEG"),
        save(rgb, "PNG", exif=exif),
        save(alpha, "PNG"),
        save(rgb.convert("P"), "PNG", transparency=0, bits=8),
        save(rgb.convert("1"), "PNG"),
        save(deep, "PNG"),
        save(rgb, "PNG", **more),
        save(rgb, "WEBP"),
        save(alpha, "WEBP", lossless=True, exif=exif),
        save(rgb, "WEBP", **more),
        save(rgb, "BMP"),
        save(rgb.convert("P"), "BMP"),
        *(save(rgb, "TIFF", compression=c) for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        save(rgb.convert("1"), "TIFF", compression="group4"),
        save(deep, "TIFF"),
        save(real, "TIFF", compression="tiff_lzw"),
        save(rgb, "TIFF", **more),
        save(rgb, "GIF"),
        save(rgb, "GIF", **more),
        (Path(__file__).parents[1] / "data" / "phone.heic").read_bytes(),
    ]
    return (*found, save(rgb, "AVIF")) if features.check("avif") else tuple(found)


places = st.floats(0, 1, exclude_max=True).map(lambda x: x**3)
"""A place in a file, as a fraction; mostly in its header."""
NUMBERS = [n.to_bytes(w, e) for n in (0, 1, 255, 32767, 65535) for w in (2, 4) for e in ("big", "little")] + [
    b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80", b"\0" * 64,
]  # fmt: skip
changes = st.one_of(
    st.tuples(st.just("flip"), places, st.integers(0, 7)),
    st.tuples(
        st.just("put"), places, st.one_of(st.sampled_from(NUMBERS), st.binary(min_size=1, max_size=12))
    ),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("cut"), places, st.none()),
    st.tuples(st.just("drop"), places, st.integers(1, 300)),
    st.tuples(st.just("repeat"), places, st.integers(1, 300)),
    st.tuples(st.just("splice"), places, st.tuples(st.integers(0, 10**6), places)),
)
mutants = st.tuples(st.integers(0, 10**6), st.lists(changes, min_size=1, max_size=6))


def mutated(which: int, todo: list[tuple[str, float, Any]]) -> bytes:
    """An original after some changes."""
    content = originals()[which % len(originals())]
    for kind, place, how in todo:
        at = int(place * len(content))
        if kind == "flip" and content:
            content = content[:at] + bytes([content[at] ^ 1 << how]) + content[at + 1 :]
        elif kind == "put":
            content = content[:at] + how + content[at + len(how) :]
        elif kind == "insert":
            content = content[:at] + how + content[at:]
        elif kind == "cut":
            content = content[: len(content) - at]
        elif kind == "drop":
            content = content[:at] + content[at + how :]
        elif kind == "repeat":
            content = content[: at + how] + content[at:]
        elif kind == "splice":
            other = originals()[how[0] % len(originals())]
            content = content[:at] + other[int(how[1] * len(other)) :]
    return content


class Zeros(nn.Module):
    """Any picture is anything."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        assert bool(pictures.isfinite().all())
        return torch.zeros(len(pictures), 2)


SMALL = Preprocessing(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", 0.9)
MODELS = {"zeros": [LoadedModel(Zeros(), ("a", "b"), SMALL, "zeros")]}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def predict_mutants(examples: int, folder: Path) -> Counter[str]:
    """How many mutated pictures were answered for, and how many were errors, by their first word.

    The file of the last one stays in `folder`, also where the process dies of it.
    """
    path = folder / "mutant.jpg"
    ends: Counter[str] = Counter()

    @settings(max_examples=examples, derandomize=examples in (QUICK, QUICK_TREES), **USUAL)
    @given(mutants)
    def one(mutant: tuple[int, list[tuple[str, float, Any]]]) -> None:
        path.write_bytes(mutated(*mutant))
        (said,) = answer(MODELS, [Question(str(path))], torch.device("cpu"))
        assert bool(said.error) != bool(said.predictions)
        assert_line(said.error)
        ends[said.error.partition(" ")[0].rstrip(":") or "answered"] += 1

    before = peak_mb()
    one()
    assert peak_mb() - before < MOST_MEMORY_MB
    return ends


def assert_line(text: str) -> None:
    """One line that a terminal only shows and that can be written as UTF-8."""
    text.encode()
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c == "\u202e"]


@pytest.mark.slow
def test_predict_on_mutated_pictures(tmp_path: Path) -> None:
    """A few hundred broken files of every format: an answer or an error row, never anything else."""
    ends = predict_mutants(QUICK, tmp_path)
    assert sum(ends.values()) >= QUICK
    assert ends["answered"] > 0
    assert ends["damaged"] > 0


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_predict_on_many_mutated_pictures(tmp_path: Path, record: Callable[..., None]) -> None:
    """Tens of thousands of them."""
    ends = predict_mutants(LONG, tmp_path)
    assert sum(ends.values()) >= LONG
    record(
        fault="a picture's bytes are damaged",
        cause="hypothesis: flips, cuts, splices and odd numbers in files of every format, given to `predict`",
        cases=sum(ends.values()),
        promised="an answer or an error row; no other exception, under 1 GB more, no picture over 20 s",
        happened=f"0 crashes; {ends['answered']} were still pictures",
    )


# --- trees ----------------------------------------------------------------------------------------


NAMES = [
    "a", "b", "train", "Test", "val", "x.jpg", "y.PNG", "z.tiff", ".hidden", "._x.jpg", "__MACOSX",
    "notes.txt",
    "é", unicodedata.normalize("NFD", "é"), "new\nline", "tab\t.png", "=1+1", "-rf", "$(x)", "'\".jpg", " ",
    "\x1b[31m", "\u202egpj.exe", "\u2028", "사과", "🍎", "con.jpg", "%s%n", "..jpg", "...", "x.jpg.part",
    os.fsdecode(b"\xff\xfe"), os.fsdecode(b"caf\xe9.jpg"), "\\", "a\\b.png", "<b>.gif", "~", "*", "[x].jpg",
    "n" * 240 + ".jpg",
]  # fmt: skip
names = st.one_of(
    st.sampled_from(NAMES),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12),
    st.builds(lambda n: f"{n % 7}.png", st.integers(0, 99)),
)
contents = st.one_of(
    st.integers(0, 10**6).map(lambda i: originals()[i % len(originals())]),
    st.integers(0, 60).map(lambda i: save(Image.new("RGB", (9, 8), (4 * i, 99, 7)), "PNG")),
    st.binary(max_size=60),
    mutants.map(lambda m: mutated(*m)),
)
links = st.sampled_from([".", "..", "../..", "a", "../a", "x.jpg", "itself", "/", "/dev/null", "n" * 300])
leaves = st.one_of(
    contents.map(lambda c: ("file", c)),
    links.map(lambda target: ("link", target)),
    st.sampled_from([("pipe", None), ("shut", b"")]),
)
trees = st.dictionaries(
    names,
    st.one_of(
        leaves,
        st.dictionaries(
            names,
            st.one_of(leaves, st.dictionaries(names, leaves, max_size=4).map(lambda d: ("folder", d))),
            max_size=6,
        ).map(lambda d: ("folder", d)),
    ),
    max_size=6,
)


def whole(green: int) -> dict[str, Any]:
    """Pictures enough for a class."""
    images = (Image.new("RGB", (9, 8), (60 * red, green, 7)) for red in range(4))
    return {f"{number}.png": ("file", save(image, "PNG")) for number, image in enumerate(images)}


def grow(root: Path, tree: Mapping[str, Any]) -> None:
    """Write a tree; what this file system does not take is left out."""
    root.mkdir()
    for name, (kind, what) in tree.items():
        path = root / name
        if name in (".", "..") or len(os.fsencode(name)) > 255 or os.path.lexists(path):
            continue
        if kind == "folder":
            grow(path, what)
        elif kind == "link":
            path.symlink_to("/dev/null" if what == "/" else what)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(what)
            path.chmod(0 if kind == "shut" else 0o644)


def state(root: Path) -> list[tuple[str, int, int]]:
    found = (Path(folder) / name for folder, dirs, names in os.walk(root) for name in (*dirs, *names))
    return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in found)


def look_through(root: Path, near: bool) -> str:
    """What check, train's plan and predict make of a tree; how it ended, in a word."""
    try:
        images = scan_folder(root, skip_bad=True, near=near)
        assert all((root / picture.path).is_file() for picture in images.pictures)
        for line in check_report(images).splitlines():
            assert_line(line)
        files.csv_text(["path", "label"], ({"path": p.path, "label": p.label} for p in images.pictures))
        for note in (*images.notes, *images.warnings):
            note.encode("utf-8", "surrogateescape")
        for row in split_images(images).rows():
            assert row["split"] in ("train", "val", "test")
        end = "split"
    except VitbenchError as error:
        assert_line(str(error))
        end = "refused"
    try:
        for said in answer(MODELS, itertools.islice(collect([str(root)]), 40), torch.device("cpu")):
            assert bool(said.error) != bool(said.predictions)
    except VitbenchError as error:
        assert_line(str(error))
    return end


def scan_trees(examples: int) -> Counter[str]:
    """How many random trees were split, and how many were refused."""
    ends: Counter[str] = Counter()

    @settings(max_examples=examples, derandomize=examples in (QUICK, QUICK_TREES), **USUAL)
    @given(trees, st.booleans(), st.booleans())
    def one(tree: Mapping[str, Any], inside: bool, near: bool) -> None:
        if inside:
            tree = {
                "cat": ("folder", {**whole(99), "more": ("folder", tree)}),
                "dog": ("folder", whole(9)),
            }
        with room() as folder:
            grow(folder / "data", tree)
            before = state(folder)
            ends[look_through(folder / "data", near)] += 1
            assert state(folder) == before

    before = peak_mb()
    one()
    assert peak_mb() - before < MOST_MEMORY_MB
    return ends


class room:  # noqa: N801  (used as a word, in a with statement)
    """A folder for one tree."""

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="vitbench-tree-"))
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_the_scanner_on_random_trees() -> None:
    """Hostile names, links, pipes, broken files: an image set or one line; nothing on the disk changes."""
    ends = scan_trees(QUICK_TREES)
    assert sum(ends.values()) >= QUICK_TREES
    assert ends["refused"] > 0


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_the_scanner_on_many_random_trees(record: Callable[..., None]) -> None:
    """Thousands of them, some of which can be split."""
    ends = scan_trees(LONG_TREES)
    assert ends["split"] > 0
    record(
        fault="a folder is full of hostile names, links, pipes and broken files",
        cause="hypothesis: random trees, through `data check`, the split and `predict`",
        cases=sum(ends.values()),
        promised="a checked image set or one line; nothing in the folder changes",
        happened=f"0 crashes; {ends['split']} could be split, {ends['refused']} were refused",
    )
