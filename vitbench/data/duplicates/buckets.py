"""Which of many 64-bit hashes differ from given ones by a few bits, without comparing all with all.

Multi-index hashing (Norouzi et al. 2012): a hash is cut into four words of 16 bits. Two hashes that differ by
at most 11 bits differ by at most 2 in one of their words, so for each word the 137 values within 2 bits of it
are looked up, and whoever stands there is compared in full. Exact: nothing is missed.
"""

from itertools import combinations

import numpy as np

from vitbench.records import Array

WORDS, BITS, RADIUS = 4, 16, 2
MOST_BITS = WORDS * (RADIUS + 1) - 1
"""The largest distance for which nothing is missed: 11."""
AROUND = np.array(
    [sum(1 << bit for bit in bits) for n in range(RADIUS + 1) for bits in combinations(range(BITS), n)],
    np.uint16,
)
"""(137,) what turns a word into each one within RADIUS bits."""


class Buckets:
    """(M,) uint64 hashes, to be found by their words; 48 bytes each."""

    def __init__(self, hashes: Array) -> None:
        self._order, self._sorted, self._starts = [], [], []
        for place in range(WORDS):
            word = _word(hashes, place)
            order = np.argsort(word, kind="stable").astype(np.int32)
            self._order.append(order)
            self._sorted.append(hashes[order])
            self._starts.append(np.concatenate([[0], np.bincount(word, minlength=1 << BITS).cumsum()]))

    def work(self, asked: Array) -> int:
        """How many comparisons `within` makes for these hashes."""
        total = 0
        for place in range(WORDS):
            starts = self._starts[place]
            near = _word(asked, place)[:, None] ^ AROUND
            total += int((starts[near.astype(np.int64) + 1] - starts[near]).sum())
        return total

    def within(self, asked: Array, bits: int) -> tuple[Array, Array, Array]:
        """(K,) places in (m,) `asked`, places among the hashes, distances ≤ `bits` ≤ MOST_BITS.

        In no particular order; a pair that agrees in several words may come as often.
        """
        found = [self._by_word(place, asked, bits) for place in range(WORDS)]
        mine, theirs, distance = (np.concatenate(column) for column in zip(*found, strict=True))
        return mine, theirs, distance

    def _by_word(self, place: int, asked: Array, bits: int) -> tuple[Array, Array, Array]:
        near = (_word(asked, place)[:, None] ^ AROUND).ravel().astype(np.int64)
        starts = self._starts[place]
        first, count = starts[near], starts[near + 1] - starts[near]
        who = np.repeat(np.arange(len(near), dtype=np.int32), count)
        # Of all comparisons the k-th looks into its bucket, as far in as it stands behind the bucket's first.
        at = np.arange(len(who)) + np.repeat(first - (np.cumsum(count) - count), count)
        mine = who // len(AROUND)
        distance = np.bitwise_count(asked[mine] ^ self._sorted[place][at])
        close = np.flatnonzero(distance <= bits)
        return mine[close], self._order[place][at[close]], distance[close]


def _word(hashes: Array, place: int) -> Array:
    return (hashes >> np.uint64(BITS * place)).astype(np.uint16)
