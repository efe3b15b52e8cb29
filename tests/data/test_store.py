"""The store holds what would be made, whatever happens to its files, and stays in its limit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitbench.data import store as stores
from vitbench.data.store import HALF, HEADER, Store, clear, contents


def noise(seed: int, width: int = 7, height: int = 5) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def refuse() -> Image.Image:
    raise AssertionError("made again")


def key(number: int) -> str:
    return f"{number:064x}"


def the_file(folder: Path) -> Path:
    [one] = contents(folder)
    return one.path


def test_a_second_process_reads_what_the_first_one_made(tmp_path: Path) -> None:
    Store(str(tmp_path)).picture("train-w", key(1), lambda: noise(1))
    again = Store(str(tmp_path)).picture("train-w", key(1), refuse)
    assert (again.mode, again.size, again.tobytes()) == ("RGB", (7, 5), noise(1).tobytes())


def test_ways_and_contents_are_kept_apart(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = {(w, k): noise(10 * k + i) for i, w in enumerate(("train-a", "eval-b")) for k in (1, 2)}
    for (way, k), image in made.items():
        store.picture(way, key(k), lambda image=image: image)  # type: ignore[misc]
    for (way, k), image in made.items():
        assert store.picture(way, key(k), refuse).tobytes() == image.tobytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: b"",
        lambda content: content[: HEADER.size - 1],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"other..." + content[8:],
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "half a header", "cut", "longer", "one bit", "another mark", "zeros after a power cut"],
)
def test_a_damaged_file_is_made_again(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    Store(str(tmp_path)).picture("train-w", key(1), lambda: noise(1))
    path = the_file(tmp_path)
    path.write_bytes(harm(path.read_bytes()))
    assert Store(str(tmp_path)).picture("train-w", key(1), lambda: noise(2)).tobytes() == noise(2).tobytes()
    assert Store(str(tmp_path)).picture("train-w", key(1), refuse).tobytes() == noise(2).tobytes()


def test_the_oldest_is_thrown_out_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = HEADER.size + 3 * 7 * 5
    monkeypatch.setenv("VITBENCH_STORE_GB", str(4.5 * size / 1e9))
    for number in range(4):
        Store(str(tmp_path)).picture("train-w", key(number), lambda: noise(1))
        os.utime(tmp_path / "train-w" / "00" / key(number), (number, number))
    Store(str(tmp_path)).picture("train-w", key(0), refuse)  # used again: the oldest is now number 1
    Store(str(tmp_path)).picture("train-w", key(9), lambda: noise(9))
    kept = {int(one.path.name, 16) for one in contents(tmp_path)}
    assert {0, 9} <= kept
    assert 1 not in kept
    assert sum(one.size for one in contents(tmp_path)) <= 4.5 * size


def test_a_full_store_keeps_what_is_in_use_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = HEADER.size + 3 * 7 * 5
    monkeypatch.setenv("VITBENCH_STORE_GB", str(2.5 * size / 1e9))
    store = Store(str(tmp_path))
    for number in range(4):
        assert store.picture("train-w", key(number), lambda: noise(1)).tobytes() == noise(1).tobytes()
    assert sorted(int(one.path.name, 16) for one in contents(tmp_path)) == [0, 1]
    said = store.complaint()
    assert "full" in said
    assert str(tmp_path) in said
    assert store.complaint() == ""


def test_several_writers_of_one_training_stay_in_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a share of the room at a time; what one has used, another does not throw out."""
    size = HEADER.size + 3 * 7 * 5
    monkeypatch.setenv("VITBENCH_STORE_GB", str(9.5 * size / 1e9))
    Store(str(tmp_path)).picture("train-old", key(99), lambda: noise(1))
    os.utime(tmp_path / "train-old" / "00" / key(99), (1, 1))
    began = time.time() - 1
    writers = [Store(str(tmp_path), 3, began) for _ in range(3)]
    for number in range(30):
        writers[number % 3].picture("train-w", key(number), lambda: noise(1))
    kept = {int(one.path.name, 16) for one in contents(tmp_path)}
    assert sum(one.size for one in contents(tmp_path)) <= 9.5 * size
    assert set(range(6)) <= kept  # what came first is still there: it is in use
    assert 99 not in kept
    assert all("full" in one.complaint() for one in writers)


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file" / "store"))
    assert store.picture("train-w", key(1), lambda: noise(1)).tobytes() == noise(1).tobytes()
    assert "cannot be kept" in store.complaint()


def test_without_a_folder_nothing_is_kept() -> None:
    store = Store("")
    assert store.picture("train-w", key(1), lambda: noise(1)).tobytes() == noise(1).tobytes()
    assert store.lacking("train-w", key(1))


WRITE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from vitbench.data.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
for turn in range(10**9):
    for number in range(50):
        pixels = np.full((200, 300, 3), number, dtype=np.uint8)
        store.picture(f"train-{turn}", f"{number:064x}", lambda: Image.fromarray(pixels))
"""


@pytest.mark.slow
def test_two_processes_killed_leave_only_whole_pictures(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    while sum(1 for _ in contents(tmp_path)) < 200:
        time.sleep(0.01)
    for process in both:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store = Store(str(tmp_path))
    whole = [one.path for one in contents(tmp_path) if not one.path.name.startswith(HALF)]
    assert len(whole) >= 190
    for path in whole:
        number = int(path.name, 16)
        found = store.picture(path.parts[-3], path.name, refuse)
        assert found.tobytes() == bytes([number]) * (200 * 300 * 3)


def test_the_limit_leaves_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_free", lambda folder: 300 - sum(one.size for one in contents(folder)))
    store = Store(str(tmp_path))
    for number in range(3):
        store.picture("train-w", key(number), lambda: noise(1))  # 125 bytes each, 150 are to be had
    assert len(list(contents(tmp_path))) == 1


def test_what_others_keep_in_the_folder_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = [
        tmp_path / "IMG_1.jpg",
        tmp_path / "train-w" / "00" / "photo",
        tmp_path / "ab" / ("ab" + 62 * "0"),
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (1, 1))
    monkeypatch.setenv("VITBENCH_STORE_GB", "2e-7")  # 200 bytes: room for one
    for number in range(3):
        Store(str(tmp_path)).picture("train-w", key(number), lambda: noise(1))
    assert len(list(contents(tmp_path))) == 1
    clear(tmp_path)
    assert list(contents(tmp_path)) == []
    assert all(path.stat().st_size == 1000 for path in mine)
