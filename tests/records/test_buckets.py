"""Looking hashes up finds what comparing all with all finds, and the search for near-copies is the same."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vitbench.data.duplicates import near
from vitbench.records import Array
from vitbench.records.buckets import Buckets, around


def families(count: int, members: int, seed: int = 0) -> Array:
    """(count × members, TURNS) hashes; those of a family differ by 0 to 15 bits from its first."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 1 << 63, (count, near.TURNS), dtype=np.uint64)
    all_of_them = np.repeat(first, members, axis=0)
    for row in all_of_them:
        for turn in range(near.TURNS):
            for bit in rng.choice(64, rng.integers(0, 16), replace=False):
                row[turn] ^= np.uint64(1) << np.uint64(bit)
    return all_of_them


def test_the_neighbours_of_a_word() -> None:
    """Itself, 16 with one other bit, 120 with two."""
    assert [len(set(around(radius).tolist())) for radius in (-1, 0, 1, 2)] == [0, 1, 17, 137]


@pytest.mark.parametrize(("bits", "wide"), [(0, 1), (2, 1), (4, 1), (10, 1), (11, 1), (24, 4), (31, 4)])
def test_nothing_within_so_many_bits_is_missed(bits: int, wide: int) -> None:
    """All pairs, and no others, with their true distances; hashes of 64 bits and of 256."""
    hashes = families(40, 6).reshape(-1, wide)
    asked = hashes[::7]
    distance = np.bitwise_count(asked[:, None] ^ hashes[None]).sum(axis=2)
    want = {(i, j, distance[i, j]) for i, j in zip(*np.nonzero(distance <= bits), strict=True)}
    buckets = Buckets(hashes, bits)
    found = buckets.within(asked)
    assert set(zip(*(column.tolist() for column in found), strict=True)) == want
    assert len(want) >= len(asked)
    assert buckets.work(asked) >= len(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3, 50])
def test_both_ways_find_the_same_candidates(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pictures resemble more others than are kept, and where nothing resembles anything."""
    whole, cores = families(600 // members, members, 1), families(600 // members, members, 2)
    cores[::5, 0] = whole[1::5, 3]
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(near, "FEW", 10**6)
        compared = near._Pairs.joined(list(near._all_candidates(whole, cores, pool)))
        monkeypatch.setattr(near, "FEW", 0)
        monkeypatch.setattr(near, "ASKED", 64)
        looked_up = near._Pairs.joined(list(near._all_candidates(whole, cores, pool)))
    assert len(compared) > 100
    for column, values in vars(compared).items():
        assert np.array_equal(values, vars(looked_up)[column]), column


def test_pictures_that_resemble_very_many_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one bucket holds everybody, looking up would be slower and take more memory."""
    whole = np.zeros((300, near.TURNS), dtype=np.uint64)
    blocks = []
    original = near._compared
    monkeypatch.setattr(near, "FEW", 0)
    monkeypatch.setattr(near, "_compared", lambda *args: blocks.append(args[2:]) or original(*args))
    with ThreadPoolExecutor(1) as pool:
        pairs = near._Pairs.joined(list(near._all_candidates(whole, whole, pool)))
    assert blocks
    assert np.bincount(pairs.one).max() == near.MOST_CANDIDATES
