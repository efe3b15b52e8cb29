"""Which pictures are near-copies of one another, decided on their descriptors.

Three steps. Candidates: 64-bit perceptual hashes at most 10 bits apart, under any of 8 flips and
rotations, of the whole pictures or of one's centre. Then both are laid on one another and the slopes of
their gray levels correlated: at once, then with one's tone curve given to the other, then aligned by an
affine map (Gauss-Newton, Baker and Matthews 2004). And their colours must agree. Nothing is claimed of a
picture with little detail, nor by way of a third picture. The result depends on the pixels alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap

import numpy as np

from vitbench.data.duplicates.align import align, correlation, warp
from vitbench.data.duplicates.descriptors import (
    COLOUR_SIDE,
    SIDE,
    TURNS,
    Descriptors,
    centre_crop,
    dihedral,
    hashes,
    slopes,
)
from vitbench.records import Array
from vitbench.records.buckets import Buckets

MOST_BITS = 10
"""Of 64, by which the hashes of candidates may differ."""
LEAST_CORRELATION = 0.96
"""Of the slopes. Copies have 0.97 to 1, unlike pictures that pass for candidates at most 0.94."""
MOST_COLOUR = 12.0
"""Levels of Cb and Cr, root mean square, by which colours may differ once saturation is evened out."""
MOST_SATURATION = 2.5
LEAST_ALIGNED = 64
"""px: a picture with a shorter side has no more detail than its descriptor, and is not aligned."""
MOST_CANDIDATES = 32
"""Per picture, the nearest ones: whatever the set, work and memory grow with the number of pictures."""
MOST_LOOKS = 4
"""Per picture: candidates looked at twice, the best first."""
MOST_PICTURES = 200_000
"""Beyond, none is looked for: work and memory grow faster than the set."""
FEW = 2000
"""So many are compared all with all, which is faster there."""
ASKED = 64
"""Pictures that are looked up at once."""
ROWS, CELLS = 64, 1 << 21
"""Pictures compared with all others at once, and the most pairs of hashes that lie in memory then."""
PAIRS = 64
"""Candidates that are laid on one another at once."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two pictures that are near-copies, and how `other` looks beside `one`."""

    one: int
    other: int
    turn: int
    """Which of `descriptors.TURNS` lays `other` on `one`."""
    similarity: float
    """Correlation of the slopes."""
    zoom: float
    """Below 1, `other` shows so much of each side of `one`; above 1, it shows more."""
    tilt: float
    """Degrees."""
    shift: float
    """Share of the side by which the centre lies elsewhere."""
    light: float
    """Gray levels by which `other` is brighter."""
    contrast: float
    """Times that of `one`."""
    colour: float
    """Times the saturation of `one`."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search among different pictures found."""

    matches: tuple[Match, ...]
    """By the places of the pictures in the order of their digests."""
    plain: int
    """Pictures with too little detail to claim anything."""
    count: int
    """All of them."""


@dataclass(frozen=True)
class _Pairs:
    """Candidates as columns; `frame`: 0 both whole, 1 the core of `one` on `other`, 2 that of `other`."""

    one: Array
    other: Array
    turn: Array
    frame: Array
    bits: Array

    def __getitem__(self, chosen: object) -> "_Pairs":
        return _Pairs(*(column[chosen] for column in vars(self).values()))

    def __len__(self) -> int:
        return len(self.one)

    @classmethod
    def joined(cls, many: "list[_Pairs]") -> "_Pairs":
        columns = zip(*(vars(pairs).values() for pairs in many), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def find_near(
    descriptors: Descriptors,
    threads: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Match]:
    """All pairs of near-copies among N pictures, by their places; the number of threads plays no part.

    `on_progress(done, total)` counts those whose likes are looked for, which takes longest.

    Of pictures that resemble more than MOST_CANDIDATES others, only the nearest ones are compared. Memory:
    2.6 KB a picture for descriptors, 1 KB for hashes and their buckets, 40 bytes a candidate. None is looked
    for in sets beyond MOST_PICTURES.
    """
    known = np.flatnonzero(descriptors.detail)
    if len(known) < 2 or len(descriptors) > MOST_PICTURES:
        return []
    whole, cores = hashes(descriptors.luma[known]), hashes(centre_crop(descriptors.luma[known]))
    with ThreadPoolExecutor(threads) as pool:
        blocks, step = [], ROWS if len(whole) <= FEW else ASKED
        for block in _all_candidates(whole, cores, pool):
            blocks.append(block)
            on_progress(min(len(blocks) * step, len(whole)), len(whole))
        pairs = _Pairs.joined(blocks)
        pairs = _Pairs(known[pairs.one], known[pairs.other], pairs.turn, pairs.frame, pairs.bits)
        first = list(pool.map(lambda part: _as_they_are(descriptors, part), _parts(pairs)))
        at_once = np.concatenate([scores for scores, _ in first]) if first else np.empty(0)
        rest = _worth_a_look(pairs[at_once < LEAST_CORRELATION], at_once[at_once < LEAST_CORRELATION])
        again = pool.map(lambda part: _look_again(descriptors, part), _parts(rest))
        found = [match for _, matches in first for match in matches]
        found += [match for matches in again for match in matches]
    return sorted(found, key=lambda match: (match.one, match.other))


def _parts(pairs: _Pairs) -> Iterator[_Pairs]:
    return (pairs[start : start + PAIRS] for start in range(0, len(pairs), PAIRS))


# --- candidates -----------------------------------------------------------------------------------


def _all_candidates(whole: Array, cores: Array, pool: ThreadPoolExecutor) -> Iterator[_Pairs]:
    """The candidates among all pictures, block by block; both ways find the same."""
    if len(whole) <= FEW:
        yield from pool.map(
            lambda start: _compared(whole, cores, start, ROWS), range(0, len(whole) - 1, ROWS)
        )
        return
    buckets = [Buckets(hashes.reshape(-1, 1), MOST_BITS) for hashes in (whole, cores)]
    starts = range(0, len(whole) - 1, ASKED)
    yield from pool.map(lambda start: _looked_up(whole, cores, buckets, start), starts)


def _looked_up(whole: Array, cores: Array, buckets: Sequence[Buckets], start: int) -> _Pairs:
    """As `_compared`, for ASKED pictures by way of buckets; pictures that resemble very many are compared."""
    stop = min(start + ASKED, len(whole))
    asked = [(whole, buckets[0]), (cores, buckets[0]), (whole, buckets[1])]
    work = sum(theirs.work(mine[start:stop, :1]) for mine, theirs in asked)
    if work > (stop - start) * (len(whole) - start):  # comparing all is no slower then, and takes less memory
        rows = max(1, min(ROWS, CELLS // len(whole)))
        blocks = [
            _compared(whole, cores, first, min(rows, stop - first)) for first in range(start, stop, rows)
        ]
        return _Pairs.joined(blocks)
    found = []
    for frame, (mine, theirs) in enumerate(asked):
        one, place, bits = theirs.within(mine[start:stop, :1])
        other, turn = np.divmod(place.astype(np.int64), TURNS)
        one = one.astype(np.int64) + start
        pairs = _Pairs(one, other, turn, np.full(len(one), frame), bits.astype(np.int64))
        found.append(pairs[other > one])
    pairs = _Pairs.joined(found)
    pairs = pairs[np.lexsort((pairs.turn, pairs.frame, pairs.bits, pairs.other, pairs.one))]
    first_of_pair = np.ones(len(pairs), dtype=bool)
    first_of_pair[1:] = (np.diff(pairs.one) != 0) | (np.diff(pairs.other) != 0)
    return _nearest(pairs[first_of_pair])


def _compared(whole: Array, cores: Array, start: int, count: int) -> _Pairs:
    """The candidates of `count` pictures among those behind them, each pair once, by its nearest hashes.

    whole, cores: (N, TURNS) uint64; the turned hashes of `other` are compared with the plain ones of `one`.
    """
    rows = slice(start, min(start + count, len(whole)))
    least = np.full((rows.stop - start, len(whole) - start), MOST_BITS + 1, dtype=np.uint8)
    code = np.zeros_like(least)
    for frame, (mine, theirs) in enumerate(((whole, whole), (cores, whole), (whole, cores))):
        for turn in range(TURNS):
            bits = np.bitwise_count(mine[rows, None, 0] ^ theirs[None, start:, turn])
            nearer = bits < least
            np.copyto(least, bits, where=nearer)
            np.copyto(code, np.uint8(frame * TURNS + turn), where=nearer)
    place = np.flatnonzero(np.triu(least <= MOST_BITS, 1))
    one, other = np.divmod(place, least.shape[1])
    frame_of, turn_of = np.divmod(code.ravel()[place].astype(np.int64), TURNS)
    pairs = _Pairs(one + start, other + start, turn_of, frame_of, least.ravel()[place].astype(np.int64))
    return _nearest(pairs)


def _nearest(pairs: _Pairs) -> _Pairs:
    """The MOST_CANDIDATES nearest of each `one`, in order."""
    pairs = pairs[np.lexsort((pairs.other, pairs.bits, pairs.one))]
    return pairs[_rank(pairs.one) < MOST_CANDIDATES]


def _rank(sorted_names: Array) -> Array:
    """(M,) the place of each entry among the equal ones, of (M,) sorted names."""
    return np.arange(len(sorted_names)) - np.searchsorted(sorted_names, sorted_names)


def _worth_a_look(pairs: _Pairs, scores: Array) -> _Pairs:
    """The pairs that are among the MOST_LOOKS best of one of their pictures."""
    worth = np.zeros(len(pairs), dtype=bool)
    for name in (pairs.one, pairs.other):
        order = np.lexsort((pairs.other, pairs.one, -scores, name))
        worth[order[_rank(name[order]) < MOST_LOOKS]] = True
    return pairs[worth]


# --- confirmed ------------------------------------------------------------------------------------


def _as_they_are(descriptors: Descriptors, pairs: _Pairs) -> tuple[Array, list[Match]]:
    """(M,) correlations of pairs laid on one another, and the matches among them."""
    one, other = _laid(descriptors, pairs)
    scores = correlation(slopes(one), slopes(other), None)
    return scores, _matches(descriptors, pairs, scores, _still(len(pairs)))


def _look_again(descriptors: Descriptors, pairs: _Pairs) -> list[Match]:
    """The matches among pairs once tone curves are evened out and, where there's detail for it, aligned."""
    one, other = _laid(descriptors, pairs)
    scores = _toned(one, other, np.ones(one.shape, dtype=bool))
    still = _still(len(pairs))
    found = _matches(descriptors, pairs, scores, still)
    large = np.minimum(descriptors.sizes[pairs.one].min(axis=1), descriptors.sizes[pairs.other].min(axis=1))
    least = np.minimum(descriptors.detail[pairs.one], descriptors.detail[pairs.other])
    left = (scores < LEAST_CORRELATION) & (large >= LEAST_ALIGNED) & (least > 1)
    if not left.any():
        return found
    pairs, one, other = pairs[left], one[left], other[left]
    zoom = np.choose(pairs.frame, [1.0, SIDE / centre_crop(one).shape[1], centre_crop(one).shape[1] / SIDE])
    maps, near = align(one, other, still[left] * zoom[:, None, None])
    pairs, one, other, maps = pairs[near], one[near], other[near], maps[near]
    laid, inside = warp(other, maps)
    return found + _matches(descriptors, pairs, _toned(one, laid, inside), maps)


def _laid(descriptors: Descriptors, pairs: _Pairs) -> tuple[Array, Array]:
    """Two (M, S, S) float32: the gray levels of `one`, and of `other` turned as `one` is."""
    return descriptors.luma[pairs.one].astype(np.float32), _turned(descriptors.luma, pairs).astype(np.float32)


def _turned(pictures: Array, pairs: _Pairs) -> Array:
    """The pictures of `other`, each turned as its pair says."""
    found = pictures[pairs.other]
    for turn in range(1, TURNS):
        chosen = pairs.turn == turn
        found[chosen] = dihedral(found[chosen], turn)
    return found


def _still(count: int) -> Array:
    """(count, 2, 3) maps that move nothing."""
    return np.tile(np.eye(2, 3), (count, 1, 1))


def _toned(one: Array, other: Array, inside: Array) -> Array:
    """(M,) correlations, the better one of two: each time one picture has the other's tone curve."""
    return np.array(list(starmap(_toned_pair, zip(one, other, inside, strict=True))), dtype=np.float64)


def _toned_pair(one: Array, other: Array, inside: Array) -> float:
    """What stands behind brightness, contrast and blown-out skies is the order of the gray levels."""
    a, b = one[inside], other[inside]
    ways = np.stack([one, one, other, other]).astype(np.float32)
    ways[0][inside] = _with_levels_of(b, a)
    ways[2][inside] = _with_levels_of(a, b)
    each = slopes(ways)
    return float(correlation(each[[0, 1]], each[[3, 2]], np.stack([inside, inside])).max())


def _with_levels_of(levels: Array, order: Array) -> Array:
    """`levels` brought into the order of another (n,) array."""
    found = np.empty_like(levels)
    found[np.argsort(order, kind="stable")] = np.sort(levels)
    return found


# --- matches --------------------------------------------------------------------------------------


def _matches(descriptors: Descriptors, pairs: _Pairs, scores: Array, maps: Array) -> list[Match]:
    """The pairs whose slopes correlate and whose colours agree; maps (M, 2, 3) lay `one` on `other`."""
    good = scores >= LEAST_CORRELATION
    pairs, scores, maps = pairs[good], scores[good], maps[good]
    if not len(pairs):
        return []
    one, other = _laid(descriptors, pairs)
    laid, inside = warp(other, maps)
    colour, differ = _colours(descriptors, pairs, maps)
    found = []
    for i in np.flatnonzero(differ <= MOST_COLOUR):
        a, b = one[i][inside[i]], laid[i][inside[i]]
        shown = descriptors.sizes[pairs.other[i]][:: -1 if pairs.turn[i] & 4 else 1]
        linear = maps[i, :, :2] * shown[:, None] / descriptors.sizes[pairs.one[i]]  # in their own px
        found.append(
            Match(
                one=int(pairs.one[i]),
                other=int(pairs.other[i]),
                turn=int(pairs.turn[i]),
                similarity=float(scores[i]),
                zoom=float(1 / np.sqrt(np.linalg.det(maps[i, :, :2]))),
                tilt=float(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], np.trace(linear)))),
                shift=float(np.abs(maps[i, :, 2]).max() / SIDE),
                light=float(b.mean() - a.mean()),
                contrast=float((b.std() + 1) / (a.std() + 1)),
                colour=float(colour[i]),
            )
        )
    return found


def _colours(descriptors: Descriptors, pairs: _Pairs, maps: Array) -> tuple[Array, Array]:
    """(M,) times the saturation, and (M,) levels by which colours differ apart from that."""
    scale = np.array([1, 1, COLOUR_SIDE / SIDE])
    one = descriptors.chroma[pairs.one].astype(np.float32) - 128
    other = _turned(descriptors.chroma, pairs).astype(np.float32) - 128
    laid = [warp(other[:, channel], maps * scale) for channel in (0, 1)]
    inside = laid[0][1][:, None]
    a = (one * inside).reshape(len(pairs), -1)
    b = (np.stack([picture for picture, _ in laid], axis=1) * inside).reshape(len(pairs), -1)
    both, count = (a * b).sum(axis=1), 2 * inside.reshape(len(pairs), -1).sum(axis=1)
    ways = []
    for x, y in ((a, b), (b, a)):  # so a grayed copy is explained by the coloured one
        times = np.clip(both / (np.square(x).sum(axis=1) + 1e-6), 0, MOST_SATURATION)
        differ = np.sqrt(np.square(y - times[:, None] * x).sum(axis=1) / np.maximum(count, 1))
        ways.append(differ)
    ratio = np.sqrt((np.square(b).sum(axis=1) + count) / (np.square(a).sum(axis=1) + count))
    return ratio, np.minimum(*ways)
