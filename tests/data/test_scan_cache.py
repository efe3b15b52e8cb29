"""An unchanged folder is not decoded a second time, a changed file is, and no fault of the memory shows."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from painted import paint
from typer.testing import CliRunner

from vitbench.cli.data import data_app
from vitbench.data import scan, scan_cache
from vitbench.data.cache_listing import cache_entries, clear_cache
from vitbench.data.scan import scan_folder
from vitbench.data.scan_cache import database, open_scan_cache, stamp_of
from vitbench.errors import VitbenchError
from vitbench.records import Benchmark, ImageSet

Decoded = list[Path]


@pytest.fixture
def decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """The files that scans read, with a memory of their own that trusts files at once."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan_cache, "RACY_SECONDS", -1.0)
    read: Decoded = []
    original = scan.read_file

    def reads(path: Path, *meant: object) -> object:
        read.append(path)
        return original(path, *meant)

    monkeypatch.setattr(scan, "read_file", reads)
    return read


@pytest.fixture
def near_copies(coloured: Path) -> Path:
    """3 × 12 pictures, one of them with a resized copy in another class, and one broken file."""
    paint(coloured / "red" / "large.png", (200, 40, 40), 5, (90, 80))
    shutil.copy(coloured / "red" / "large.png", coloured / "green" / "equal.png")
    (coloured / "blue" / "broken.png").write_bytes((coloured / "blue" / "00.png").read_bytes()[:200])
    return coloured


def scanned(folder: Path, **options: bool) -> ImageSet:
    return scan_folder(folder, skip_bad=True, **options)


def test_an_unchanged_folder_is_not_decoded_again(near_copies: Path, decoded: Decoded) -> None:
    """The second scan reads no file and finds the same: pictures, bad files, copies, notes."""
    first = scanned(near_copies)
    assert len(decoded) == 39
    assert first.bad
    assert first.warnings
    decoded.clear()
    assert scanned(near_copies) == first
    assert decoded == []


def test_the_search_for_near_copies_is_remembered_too(
    near_copies: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same pictures it is not made again; a picture more: from remembered descriptors."""
    first = scanned(near_copies)
    assert first == scanned(near_copies, remember=False)
    searches = []
    original = scan.search_near
    monkeypatch.setattr(scan, "search_near", lambda *args: searches.append(len(args[0])) or original(*args))
    assert scanned(near_copies) == first
    assert searches == []
    paint(near_copies / "blue" / "new.png", (50, 60, 200), 77)
    decoded.clear()
    more = scanned(near_copies)
    assert decoded == [near_copies / "blue" / "new.png"]
    assert searches == [38]
    assert more == scanned(near_copies, remember=False)


@pytest.mark.parametrize("near", [True, False])
def test_a_scan_without_the_search_helps_one_with_it(coloured: Path, decoded: Decoded, near: bool) -> None:
    """Descriptors are remembered either way."""
    scanned(coloured, near=near)
    decoded.clear()
    scanned(coloured, near=not near)
    assert decoded == []


def test_other_content_of_the_same_size_and_time_is_noticed(coloured: Path, decoded: Decoded) -> None:
    """Whoever sets a file's time back cannot set back when it was changed (ctime)."""
    path = coloured / "red" / "00.png"
    before, was = scanned(coloured), path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # behind the last checksum that a decoder looks at
    path.write_bytes(content)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    decoded.clear()
    after = scanned(coloured)
    assert decoded == [path]
    assert [p.sha256 for p in after.pictures] != [p.sha256 for p in before.pictures]


def test_a_file_put_in_its_place_is_noticed(coloured: Path, decoded: Decoded) -> None:
    """Another file under the same name, as `mv` leaves it, is read."""
    scanned(coloured)
    decoded.clear()
    os.replace(coloured / "red" / "00.png", coloured / "red" / "01.png")
    assert len(scanned(coloured).pictures) == 35
    assert decoded == [coloured / "red" / "01.png"]


def test_a_file_that_has_just_changed_is_not_trusted(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could change again within one tick of the file system's clock, unseen."""
    monkeypatch.setattr(scan_cache, "RACY_SECONDS", 60.0)
    scanned(coloured)
    decoded.clear()
    scanned(coloured)
    assert len(decoded) == 36


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read may belong to neither state."""
    path, original = coloured / "red" / "00.png", scan.read_file

    def meddles(one: Path, *meant: object) -> object:
        found = original(one)
        if one == path:
            paint(path, (200, 40, 40), 999)
        return found

    monkeypatch.setattr(scan, "read_file", meddles)
    scanned(coloured)
    monkeypatch.setattr(scan, "read_file", original)
    decoded.clear()
    assert scanned(coloured) == scanned(coloured, remember=False)
    assert path in decoded


def test_a_reason_that_may_go_away_is_not_remembered(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that could not be read for want of memory is tried again."""
    original = scan.decode_in_full

    def fails(content: bytes, *meant: object) -> object:
        raise scan.UnreadableImageError("not enough memory to decode it") from MemoryError()

    monkeypatch.setattr(scan, "decode_in_full", fails)
    with pytest.raises(VitbenchError):
        scanned(coloured)
    monkeypatch.setattr(scan, "decode_in_full", original)
    assert len(scanned(coloured).pictures) == 36


def test_nothing_is_kept_if_not_wanted(coloured: Path, decoded: Decoded, tmp_path: Path) -> None:
    """`--no-store` neither writes nor reads, and nothing is ever put beside the pictures."""
    before = sorted(coloured.rglob("*"))
    scanned(coloured, remember=False)
    assert not (tmp_path / "cache").exists()
    scanned(coloured)
    decoded.clear()
    scanned(coloured, remember=False)
    assert len(decoded) == 36
    assert sorted(coloured.rglob("*")) == before


def test_another_version_of_the_decoder_reads_again(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt with other libraries is left alone, and goes when it was not used for a month."""
    scanned(coloured)
    old = database()
    monkeypatch.setattr(scan_cache, "_version", lambda _: "another")
    decoded.clear()
    scanned(coloured)
    assert len(decoded) == 36
    assert old.exists()
    month = time.time() - scan_cache.OLD_SECONDS - 60
    os.utime(old, (month, month))
    scanned(coloured)
    assert not old.exists()


def test_every_module_that_decides_is_there() -> None:
    """One that has moved would be no database at all, in silence."""
    package = Path(scan_cache.__file__).parents[1]
    assert [name for name in scan_cache.DECIDING if not (package / name).is_file()] == []


def damage_all(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def damage_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content), 512):
        content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)


def damage_rows(path: Path) -> None:
    """A digit of every digest, which SQLite cannot notice."""
    connection = sqlite3.connect(path)
    with connection:
        for name, value in connection.execute("select name, value from files").fetchall():
            flipped = value[:-1] + bytes([value[-1] ^ 1])
            connection.execute("update files set value = ? where name = ?", (flipped, name))
    connection.close()


def damage_to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [damage_all, damage_pages, damage_rows, damage_to_folder])
def test_a_damaged_memory_is_passed_over(
    damage: Callable[[Path], None], coloured: Path, decoded: Decoded
) -> None:
    """The pictures are decoded again, without an error, and what comes out is right."""
    first = scanned(coloured)
    damage(database())
    decoded.clear()
    assert scanned(coloured) == first
    assert len(decoded) == 36
    assert scanned(coloured) == first


def test_a_damaged_memory_is_begun_anew(coloured: Path, decoded: Decoded) -> None:
    """Not for ever without one: the scan after the next is quick again."""
    scanned(coloured)
    damage_all(database())
    scanned(coloured)
    scanned(coloured)
    decoded.clear()
    scanned(coloured)
    assert decoded == []


def test_a_cache_that_cannot_be_written_is_no_error(
    coloured: Path, decoded: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a read-only home: here a file stands where the folder should be."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert len(scanned(coloured).pictures) == 36
    assert len(scanned(coloured).pictures) == 36
    assert len(decoded) == 72


def test_a_locked_memory_is_passed_over(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process writes for long, the scan goes on without."""
    scanned(coloured)
    monkeypatch.setattr(scan_cache, "WAIT_SECONDS", 0.05)
    paint(coloured / "red" / "new.png", (200, 40, 40), 99)
    other = sqlite3.connect(database(), isolation_level=None)
    other.execute("begin immediate")
    assert len(scanned(coloured).pictures) == 37
    other.execute("rollback")
    other.close()
    assert database().exists()


SCAN = """
import sys
from pathlib import Path
from vitbench.data import scan_cache
scan_cache.RACY_SECONDS, scan_cache.BATCH = -1.0, 3
from vitbench.data.scan import scan_folder
print(scan_folder(Path(sys.argv[1])).digest)
"""


@pytest.mark.slow
def test_two_scans_at_once_and_one_that_is_killed(coloured: Path, decoded: Decoded) -> None:
    """All agree, and what was written can be read."""
    want = scanned(coloured, remember=False).digest
    both = [
        subprocess.Popen([sys.executable, "-c", SCAN, str(coloured)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    both[2].kill()
    outputs = [process.communicate(timeout=60)[0].strip() for process in both]
    assert outputs[:2] == [want, want]
    decoded.clear()
    assert scanned(coloured).digest == want
    assert decoded == []
    connection = sqlite3.connect(database())
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_files_are_found_by_their_absolute_path(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named from another working folder, they are the same files."""
    scanned(coloured)
    decoded.clear()
    monkeypatch.chdir(coloured.parent)
    assert len(scanned(Path(coloured.name)).pictures) == 36
    assert decoded == []


def test_a_memory_that_has_grown_too_large_is_begun_anew(
    coloured: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a limit, and no more is needed to keep within it."""
    scanned(coloured)
    monkeypatch.setattr(scan_cache, "MOST_BYTES", 1000)
    decoded.clear()
    scanned(coloured)
    assert len(decoded) == 36


@pytest.mark.slow
def test_training_without_a_store_remembers_nothing_either(
    trained: Callable[..., Benchmark], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train --no-store` leaves neither decoded pictures nor what the check learnt."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    trained(name="without", models="test_vit", epochs=1, store=False)
    assert not database().exists()
    trained(name="with", models="test_vit", epochs=1)
    assert database().exists()


def test_the_store_is_listed_and_cleared(coloured: Path, decoded: Decoded, tmp_path: Path) -> None:
    """`data store` names every entry with files and size; `--clear` leaves nothing."""

    def said(*words: str) -> str:
        return CliRunner().invoke(data_app, ["store", *words], catch_exceptions=False).stdout

    assert "nothing kept" in said()
    scanned(coloured)
    one = tmp_path / "cache" / "decoded" / "train-9-1" / "ab" / ("ab" + 62 * "0")
    one.parent.mkdir(parents=True)
    one.write_bytes(b"1" * 1_500_000)
    (tmp_path / "cache" / "photo.jpg").write_bytes(b"mine")
    assert ("decoded", 1, 1_500_000) in [(kept.name, kept.files, kept.size) for kept in cache_entries()]
    text = said()
    assert "decoded: 1 file, 1.5 MB\n" in text
    assert "36 pictures known" in text
    assert "MB removed" in said("--clear")
    assert "nothing kept" in said()
    assert clear_cache() == 0
    assert (tmp_path / "cache" / "photo.jpg").read_bytes() == b"mine"


def test_a_store_of_ones_own_folder_is_listed_and_cleared(tmp_path: Path) -> None:
    """`--store-dir`: only what is a store's; nothing else in the folder counts, or goes."""

    def said(*words: str) -> str:
        asked = ["store", "--store-dir", str(tmp_path), *words]
        return CliRunner().invoke(data_app, asked, catch_exceptions=False).stdout

    one = tmp_path / "train-9-1" / "ab" / ("ab" + 62 * "0")
    one.parent.mkdir(parents=True)
    one.write_bytes(b"1" * 1_500_000)
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    assert said() == f"{tmp_path}: 1 decoded picture, 1.5 MB\n"
    assert said("--clear") == f"{tmp_path}: 1 decoded picture, 1.5 MB removed\n"
    assert said() == f"{tmp_path}: 0 decoded pictures, 0.0 MB\n"
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_a_name_of_any_bytes_is_remembered(coloured: Path, decoded: Decoded) -> None:
    """File names need not be UTF-8."""
    path = coloured / "red" / os.fsdecode(b"caf\xe9.png")
    try:
        paint(path, (200, 40, 40), 55)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    first = scanned(coloured)
    decoded.clear()
    assert scanned(coloured) == first
    assert decoded == []


def test_nothing_is_known_of_what_is_not_there(tmp_path: Path, decoded: Decoded) -> None:
    """Neither stamp nor entry, and no error."""
    assert stamp_of(tmp_path / "none") is None
    with open_scan_cache() as memory:
        assert memory.find([tmp_path / "none"]) == [None]
