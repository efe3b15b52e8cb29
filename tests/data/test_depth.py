"""Pictures of more than 8 bits: one black and white for a whole folder, from the check to `predict`."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import TINY, Sees, paint
from PIL import Image

from vitbench.benchmark.predict import ask, model_set_for, predict
from vitbench.benchmark.train import train
from vitbench.data import scan, scan_cache
from vitbench.data.batches import cut_way
from vitbench.data.decode import decode
from vitbench.data.depth import folder_range, own_range
from vitbench.data.made import MADE, training_picture, training_way
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.data.store import Store
from vitbench.errors import UnreadableImageError, UsageError, VitbenchError
from vitbench.inference.stream import Question, answer
from vitbench.models.create import create
from vitbench.models.folder import LoadedModel, load_model, save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import PixelRange, Preprocessing, Settings
from vitbench.reports.thumbnails import small

PLAIN = Preprocessing(256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear", 1.0)
"""A picture of 256 × 256 px arrives as it is."""


def ramp(top: float, low: float = 0) -> np.ndarray:
    """256 × 256 values that rise from `low` to `top`."""
    return np.linspace(low, top, 65536).reshape(256, 256)


def series(root: Path, top: float, kind: type, ending: str = "tif") -> Path:
    """Two classes of three ramps up to `top`; one of them ends at half of it."""
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            half = 0.5 if (label, number) == ("cat", 0) else 1
            moved = np.roll(ramp(top * half), 60 * number + 30 * (label == "dog"), axis=0)
            Image.fromarray(moved.astype(kind)).save(root / label / f"{number}.{ending}")
    return root


def levels(image: Image.Image) -> int:
    return len(np.unique(np.asarray(image)))


def png(values: np.ndarray, colour_type: int) -> io.BytesIO:
    """A 16-bit PNG of (H, W, C) values, which Pillow can read and not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def tiff(values: np.ndarray, order: str = "<", **tags: int | Sequence[int]) -> io.BytesIO:
    """An uncompressed TIFF of (H, W) or (H, W, C) values, written by hand."""
    height, width, *rest = values.shape
    channels, bits = (rest or [1])[0], values.dtype.itemsize * 8
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    entries: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * channels, 259: (1,), 262: (2 if channels > 1 else 1,),
        273: (8,), 277: (channels,), 278: (height,), 279: (len(content),), 339: (form,) * channels,
    }  # fmt: skip
    entries |= {
        int(tag[1:]): (value,) if isinstance(value, int) else tuple(value) for tag, value in tags.items()
    }
    at = 8 + len(content)
    directory, extra = struct.pack(order + "H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed) > 4:
            place, extra = struct.pack(order + "I", behind + len(extra)), extra + packed
            packed = place
        directory += struct.pack(order + "HHI", tag, 4, len(numbers)) + packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return io.BytesIO(mark + struct.pack(order + "I", at) + content + directory + b"\0\0\0\0" + extra)


# --- one range ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "meant"),
    [
        ((0, 1), (0, 1)), ((0.1, 0.9), (0, 1)), ((0, 200), (0, 255)), ((3, 900), (0, 1023)),
        ((12, 3987), (0, 4095)), ((0, 16000), (0, 16383)), ((0, 17000), (0, 65535)),
        ((0, 900_000), (0, 2**20 - 1)), ((0, 4e9), (0, 2**32 - 1)), ((0, 1e12), (0, 1e12)),
        ((29000, 31000), (29000, 31000)), ((20.5, 37.5), (20.5, 37.5)), ((0, 7), (0, 7)),
        ((37, 37), (0, 255)), ((0, 0), (0, 1)),
    ],
)  # fmt: skip
def test_the_range_that_values_are_meant_in(held: tuple[float, float], meant: tuple[float, float]) -> None:
    """The least bit depth that holds them; where they fill less than a quarter of it, just theirs."""
    assert own_range(PixelRange(*held)) == PixelRange(*meant)


def test_a_folder_has_one_range() -> None:
    """A dark picture of a series does not get a range of its own."""
    held = [("a.png", PixelRange(0, 700)), ("b.png", PixelRange(40, 4000))]
    assert folder_range("photos", held) == PixelRange(0, 4095)


@pytest.mark.parametrize(
    ("highs", "said"),
    [
        (
            [0.9, 1.0, 65535],
            r"2 pictures up to 1, 1 picture from 65535 up, .*the few: 2\.png .*0,65535$",
        ),
        ([4000, 255, 3900, 4095], r"1 picture up to 255, 3 pictures from 3900 up, .*\(the few: 1\.png …\)"),
        ([65535, 65535, 4095], r"1 picture up to 4095, 2 pictures from 65535 up.*--pixel-range 0,65535$"),
    ],
)
def test_two_kinds_of_values_are_an_error(highs: list[float], said: str) -> None:
    """Fractions beside 16 bits, or one file of another depth: one line names the few and the option."""
    held = [(f"{number}.png", PixelRange(0, high)) for number, high in enumerate(highs)]
    with pytest.raises(VitbenchError, match=said):
        folder_range("photos", held)


def test_values_below_0_are_an_error() -> None:
    """One line for the folder, with the range of all of it as the option has it."""
    held = [("a.tif", PixelRange(-1000, 2000)), ("b.tif", PixelRange(0, 3071))]
    with pytest.raises(VitbenchError, match=r"1 picture with values below 0 .* --pixel-range -1000,3071$"):
        folder_range("photos", held)


def test_black_pictures_are_of_no_other_kind() -> None:
    """A picture of one value says nothing of its depth."""
    held = [("a.tif", PixelRange(0, 0)), ("b.tif", PixelRange(0, 4000))]
    assert folder_range("photos", held) == PixelRange(0, 4095)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [1023, 4095, 16383, 65535])
@pytest.mark.parametrize("colour_type", [2, 6])
def test_16_bit_colours_keep_their_levels(top: int, colour_type: int) -> None:
    """Each channel of a 16-bit RGB or RGBA PNG comes from both of its bytes: 10 bits have 256 levels."""
    gray = ramp(top).round()
    values = np.stack(
        [gray, top - gray, np.full_like(gray, top), *[np.full_like(gray, 65535)][: colour_type // 6]]
    )
    found = np.asarray(decode(png(values.transpose(1, 2, 0), colour_type)))
    expected = np.rint(gray * (255 / top))
    assert np.array_equal(found[..., 0], expected)
    assert np.array_equal(found[..., 1], np.rint((top - gray) * (255 / top)))
    assert (found[..., 2] == 255).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colours_of_a_tiff(order: str) -> None:
    """In either byte order."""
    gray = ramp(4095).round().astype(np.uint16)
    found = np.asarray(decode(tiff(np.stack([gray, gray, gray], -1), order)))
    assert np.array_equal(found[..., 1], np.rint(gray * (255 / 4095)))


def test_16_bit_gray_with_alpha() -> None:
    """Both bytes of gray count, and what is transparent lies on white."""
    gray = ramp(4095).round()
    alpha = np.where(np.arange(256) < 128, 65535, 0) * np.ones((256, 1))
    found = np.asarray(decode(png(np.stack([gray, alpha], -1), 4)))
    assert np.array_equal(found[:, :128, 0], np.rint(gray * (255 / 4095))[:, :128])
    assert (found[:, 128:] == 255).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32])
def test_gray_tiffs(order: str, kind: type) -> None:
    """A 12-bit ramp is the same picture in words of any kind and order."""
    values = ramp(4095).round().astype(kind)
    assert np.array_equal(
        np.asarray(decode(tiff(values, order)))[..., 0], np.rint(ramp(4095).round() * (255 / 4095))
    )


def test_32_bits_without_sign() -> None:
    """The upper half of 32-bit values is not taken for negative ones."""
    found = np.asarray(decode(tiff(ramp(2**32 - 1).astype(np.uint32))))
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_signed_values_are_seen_as_such(kind: type, tmp_path: Path) -> None:
    """-100 … 100 is an error of the folder, 8 bits too; with --pixel-range it is black to white."""
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.tif").write_bytes(tiff(ramp(100, -100).astype(kind)).getvalue())
    with pytest.raises(VitbenchError, match=r"2 pictures with values below 0 .* --pixel-range -100,100$"):
        scan_folder(tmp_path)
    images = scan_folder(tmp_path, pixel_range=PixelRange(-100, 100))
    found = np.asarray(decode(tmp_path / "cat" / "a.tif", meant=images.pixel_range))
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


def test_16_bits_whose_0_is_white() -> None:
    """A TIFF that says so is turned round, as Pillow does with 8 bits."""
    found = np.asarray(decode(tiff(ramp(65535).astype(np.uint16), t262=0)))
    assert (found[0, 0, 0], found[-1, -1, 0]) == (255, 0)


@pytest.mark.parametrize(("mark", "channels"), [(b"P5", 1), (b"P6", 3)])
def test_netpbm_of_more_than_8_bits(mark: bytes, channels: int) -> None:
    """The values are taken as they stand there, in colour too: 12 bits in a file that allows 16."""
    values = np.repeat(ramp(4095).round().astype(">u2")[..., None], channels, -1)
    content = mark + b" 256 256 65535\n" + values.tobytes()
    found = np.asarray(decode(io.BytesIO(content)))
    assert np.array_equal(found[..., 2], np.rint(ramp(4095).round() * (255 / 4095)))
    with pytest.raises(UnreadableImageError):
        decode(io.BytesIO(content[:-100]))


def test_channels_that_lie_apart_are_refused() -> None:
    """Pillow would read 8 of their 16 bits."""
    with pytest.raises(UnreadableImageError, match=r"16-bit channels lie apart"):
        decode(tiff(np.zeros((8, 8, 3), np.uint16), t284=2, t273=(8, 8, 8), t279=(128, 128, 128)))


def test_a_palette_of_8_bit_values_is_not_black() -> None:
    """A TIFF's palette should hold 16-bit values; where all are below 256 they are meant as 8-bit ones."""
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for step in (1, 257):
        found = decode(tiff(index, t262=3, t320=[value * step for value in range(256)] * 3))
        assert np.array_equal(np.asarray(found)[..., 0], index)


def test_values_beyond_the_range_are_cut_off() -> None:
    """Below black is black, beyond white is white."""
    values = np.array([[-5, 0, 60, 100, 300]], np.int32)
    found = decode(tiff(values), meant=PixelRange(0, 100))
    assert np.asarray(found)[0, :, 0].tolist() == [0, 0, 153, 255, 255]


# --- the way through --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "kind"), [(10, np.uint16), (12, np.uint16), (14, np.float32), (16, np.uint16)]
)
def test_a_ramp_keeps_256_levels_everywhere(bits: int, kind: type, tmp_path: Path) -> None:
    """In training, as a model saved on it says, and in predict; a picture of half brightness keeps 128."""
    top = 2**bits - 1
    split = split_images(scan_folder(series(tmp_path / "data", top, kind), near=False))
    assert split.pixel_range == PixelRange(0, top)
    for picture in split.train:
        dark = picture.path == "cat/0.tif"
        image = training_picture(split.root, picture, 256, meant=split.pixel_range)
        assert levels(image) in ((128, 129) if dark else (256,))
    plan = plan_model("test_vit", 32)
    saved = Preprocessing(*[getattr(PLAIN, name) for name in PLAIN.__slots__][:6], split.pixel_range)
    save_model(create(plan, 2, RANDOM, seed=0), tmp_path / "model", ("cat", "dog"), saved)
    told = load_model(tmp_path / "model")
    assert told.preprocessing == saved
    model = LoadedModel(Sees(), told.classes, told.preprocessing, "fake")
    questions = [Question(str(split.root / name)) for name in ("cat/0.tif", "cat/1.tif")]
    said = list(answer({"fake": [model]}, questions, torch.device("cpu")))
    half, full = (len(torch.unique(shown)) for shown in model.module.shown)
    assert (half in (128, 129), full) == (True, 256)
    assert not any(one.assumed or one.cut_off for one in said)


def test_one_series_is_one_range_with_8_bit_pictures_beside_it(tmp_path: Path) -> None:
    """Those of 8 bits are as they are; the note says what is black and white and on what it rests."""
    series(tmp_path, 4095, np.uint16, "png")
    gray = Image.fromarray(np.rint(ramp(100)).astype(np.uint8))
    gray.save(tmp_path / "dog" / "plain.png")
    images = scan_folder(tmp_path, near=False)
    assert images.pixel_range == PixelRange(0, 4095)
    assert images.notes == (
        "6 of 7 pictures are stored in more than 8 bits: 0…4095 is black to white in each, by the values of "
        "all of them: 0…4095; 8-bit ones as they are",
    )
    assert np.array_equal(
        np.asarray(decode(tmp_path / "dog" / "plain.png", meant=images.pixel_range))[..., 0], gray
    )


def test_plain_folders_know_no_range(tmp_path: Path) -> None:
    """Without such pictures nothing is said, and every name in a store is what it was."""
    for label in ("cat", "dog"):
        paint(tmp_path / label / "a.png", (9, 9, 9), len(label))
    assert scan_folder(tmp_path).pixel_range is None
    assert (training_way(224, "none"), cut_way(PLAIN)) == (
        f"train-224-{MADE}",
        f"eval-256-bilinear-1-center-{MADE}",
    )


def test_another_range_is_another_picture_in_the_store(tmp_path: Path) -> None:
    """What was kept for one range is not read for another."""
    split = split_images(scan_folder(series(tmp_path / "data", 4095, np.uint16), near=False))
    store = Store(str(tmp_path / "store"))
    picture = next(p for p in split.train if p.path != "cat/0.tif")
    found = [
        np.asarray(training_picture(split.root, picture, 256, store, PixelRange(0, top))).max()
        for top in (4095, 65535)
    ]
    assert found == [255, 16]


def test_the_memory_of_the_check_knows_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged folder is not decoded again; in another range it is, and so is one that grew deeper."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan_cache, "RACY_SECONDS", -1.0)
    decoded: list[Path] = []
    original = scan.read_file
    monkeypatch.setattr(scan, "read_file", lambda *a: decoded.append(a[0]) or original(*a))
    root = series(tmp_path / "data", 700, np.uint16)
    first = scan_folder(root)
    decoded.clear()
    assert (scan_folder(root), decoded) == (first, [])
    narrow = scan_folder(root, pixel_range=PixelRange(0, 700))
    assert len(decoded) == 6
    assert {p.pixel_digest for p in narrow.pictures}.isdisjoint(p.pixel_digest for p in first.pictures)
    decoded.clear()
    Image.fromarray(ramp(4095).astype(np.uint16)).save(root / "cat" / "deeper.tif")
    assert scan_folder(root) == scan_folder(root, remember=False)
    assert len(decoded) == 1 + 6 + 7 + 6  # the new one, the others in 0…4095; without memory, all; the six
    assert scan_folder(root).pixel_range == PixelRange(0, 4095)


@pytest.mark.parametrize("asked", [[True, 5], "4095", "4095,0", "0,inf", "nan,1", "a,b", "1,2,3", ""])
def test_a_range_has_two_ends(asked: object) -> None:
    """Anything else is refused in one line that names the option and an example."""
    with pytest.raises(
        UsageError, match=r"^--pixel-range .*two numbers, the smaller one first, such as 0,4095"
    ):
        Settings.of({"pixel_range": asked})


@pytest.mark.slow
def test_train_and_predict_far_from_the_data(tmp_path: Path) -> None:
    """The benchmark, its recipe and the model know the range; predict keeps to it without the dataset."""
    root = series(tmp_path / "data", 4095, np.uint16)
    results = tmp_path / "results"
    benchmark = train(root, name="deep", results=results, near_duplicates=False, **TINY)
    (run,) = benchmark.runs
    assert benchmark.pixel_range == run.recipe().preprocessing.pixel_range == PixelRange(0, 4095)
    assert any(note.startswith("6 of 6 pictures are stored in more") for note in benchmark.manifest["notes"])
    assert load_model(run.model_folder).preprocessing.pixel_range == PixelRange(0, 4095)
    alone = tmp_path / "dim.tif"
    Image.fromarray(ramp(300).astype(np.uint16)).save(alone)
    Image.fromarray(ramp(5000).astype(np.uint16)).save(tmp_path / "bright.tif")
    root.rename(tmp_path / "gone")
    dim, bright = predict(alone, tmp_path / "bright.tif", run=run.model_folder)
    assert (dim.shown, dim.assumed, dim.cut_off, dim.dim) == (PixelRange(0, 4095), False, False, True)
    lines: list[str] = []
    model_set = model_set_for(str(run.model_folder), (), results)
    list(ask(model_set, [Question(str(alone), None)], torch.device("cpu"), 1, lines.append))
    assert lines == [
        f"1 picture all but black where 0…4095 is black to white, as in the training pictures (e.g. {alone}: "
        "0…300); convert to their values, or --pixel-range LOW,HIGH says what is meant"
    ]
    assert (bright.held, bright.cut_off, bright.dim) == (PixelRange(0, 5000), True, False)
    (told,) = predict(alone, run=run.model_folder, pixel_range=(0, 300))
    assert told.shown == PixelRange(0, 300)
    assert np.asarray(small(alone, 256, benchmark.pixel_range)).max() == 19  # 300 of 4095


def test_predict_says_what_it_assumes(tmp_path: Path) -> None:
    """A model of 8-bit photos is shown a 12-bit picture by that picture's own values, which is said; values
    below 0 are an error with the option.
    """
    model = LoadedModel(Sees(), ("cat", "dog"), PLAIN, "fake")
    Image.fromarray(ramp(4000).astype(np.uint16)).save(tmp_path / "a.tif")
    Image.fromarray(ramp(4000, -10).astype(np.int32)).save(tmp_path / "b.tif")
    questions = [Question(str(tmp_path / name)) for name in ("a.tif", "b.tif")]
    first, second = answer({"fake": [model]}, questions, torch.device("cpu"))
    assert (first.assumed, first.shown) == (True, PixelRange(0, 4095))
    assert second.error == "values from -10; say what is black and white: --pixel-range -10,4000"
