"""Which of many hashes differ from given ones by a few bits, without comparing all with all.

Multi-index hashing (Norouzi et al. 2012): a hash is cut into words of 16 bits. With four words, two hashes
that differ by at most 10 bits differ by at most 2 in one of the first three words, or by at most 1 in the
last: else they would differ by 3 + 3 + 3 + 2. So for each word the values around it are looked up, and
whoever stands there is compared in full. Exact: nothing is missed.
"""

from itertools import combinations

import numpy as np

from vitbench.records.pictures import Array

BITS = 16
"""Of a word."""


class Buckets:
    """(M, W) uint64 hashes of 64 W bits, to be found by their words; 16 W + 32 W² bytes each."""

    def __init__(self, hashes: Array, bits: int) -> None:
        """`bits`: by how many what is found may differ."""
        words = _words(hashes)
        self.bits = bits
        radius, rest = divmod(bits, words.shape[1])
        self._around = [around(radius - (place > rest)) for place in range(words.shape[1])]
        self._order, self._sorted, self._starts = [], [], []
        for word in words.T:
            order = np.argsort(word, kind="stable").astype(np.int32)
            self._order.append(order)
            self._sorted.append(hashes[order])
            self._starts.append(np.concatenate([[0], np.bincount(word, minlength=1 << BITS).cumsum()]))

    def work(self, asked: Array) -> int:
        """How many comparisons `within` makes for these hashes."""
        total = 0
        for place, word in enumerate(_words(asked).T):
            starts = self._starts[place]
            near = (word[:, None] ^ self._around[place]).astype(np.int64)
            total += int((starts[near + 1] - starts[near]).sum())
        return total

    def within(self, asked: Array) -> tuple[Array, Array, Array]:
        """(K,) places in (m, W) `asked`, places among the hashes, distances ≤ `bits`.

        In no particular order; a pair that agrees in several words may come as often.
        """
        found = [self._by_word(place, word, asked) for place, word in enumerate(_words(asked).T)]
        mine, theirs, distance = (np.concatenate(column) for column in zip(*found, strict=True))
        return mine, theirs, distance

    def _by_word(self, place: int, word: Array, asked: Array) -> tuple[Array, Array, Array]:
        near = (word[:, None] ^ self._around[place]).ravel().astype(np.int64)
        starts = self._starts[place]
        first, count = starts[near], starts[near + 1] - starts[near]
        who = np.repeat(np.arange(len(near), dtype=np.int32), count)
        # Of all comparisons the k-th looks into its bucket, as far in as it stands behind the bucket's first.
        at = np.arange(len(who)) + np.repeat(first - (np.cumsum(count) - count), count)
        mine = who // max(1, len(self._around[place]))
        distance = np.bitwise_count(asked[mine] ^ self._sorted[place][at]).sum(axis=1, dtype=np.uint16)
        close = np.flatnonzero(distance <= self.bits)
        return mine[close], self._order[place][at[close]], distance[close]


def around(radius: int) -> Array:
    """What turns a word into each one within `radius` bits; nothing for −1."""
    every = [bits for n in range(radius + 1) for bits in combinations(range(BITS), n)]
    return np.array([sum(1 << bit for bit in bits) for bits in every], np.uint16)


def _words(hashes: Array) -> Array:
    """(M, 4 W) uint16."""
    return np.ascontiguousarray(hashes).view(np.uint16)
