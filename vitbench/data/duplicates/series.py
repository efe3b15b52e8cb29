"""Long series of near-copies, such as the frames of a slow pan: whole where a split can hold them, else cut.

Neighbours in a series look alike, its ends need not. A series on one side of a split leaks nothing; where no
side can hold it, it is cut into consecutive pieces, and the pictures that are near to another side are left
out of the earlier one: of train before val, of val before test.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from vitbench.records import ImageSet, Picture
from vitbench.records.pictures import SERIES

Near = Mapping[str, Collection[str]]
"""The near-copies of pictures, all by their pixel digests."""
ROOM = 0.5
"""A series is cut where the other pictures of its class would fill less than so much of the other sides."""


def near_of(image_set: ImageSet) -> Near:
    """What is near to what in a set."""
    digest = {p.path: p.pixel_digest for p in image_set.pictures}
    near: dict[str, set[str]] = defaultdict(set)
    for pair in image_set.alike:
        one, other = digest[pair.path], digest[pair.other]
        if one != other:
            near[one].add(other)
            near[other].add(one)
    return near


def is_series(group: Sequence[Picture]) -> bool:
    return group[0].group.startswith(SERIES)


def weight(group: Sequence[Picture]) -> int:
    """Different pictures in a group."""
    return len({p.pixel_digest for p in group})


def cut_series(
    groups: Sequence[list[Picture]], shares: Sequence[int], weights: Sequence[int], near: Near
) -> list[list[Picture]]:
    """A class's groups, the largest series among them in a piece per side where it has to be cut.

    `shares` are those of the sides, `weights` what each group counts for.
    """
    series = [i for i, group in enumerate(groups) if is_series(group) and weights[i] >= len(shares)]
    if not series:
        return list(groups)
    longest = max(series, key=lambda i: (weights[i], groups[i][0].group))
    others, total = sum(weights) - weights[longest], sum(weights)
    room = ROOM * total * (1 - max(shares) / sum(shares))
    if len(groups) >= len(shares) and others >= room:
        return list(groups)
    rest = [group for i, group in enumerate(groups) if i != longest]
    return rest + _pieces(groups[longest], shares, near)


def apart(sides: Sequence[Sequence[Picture]], near: Near) -> tuple[list[list[Picture]], list[Picture]]:
    """The sides without those pictures of series that are near to one of a later side, and these pictures."""
    later: set[str] = set()
    kept: list[list[Picture]] = []
    left_out: list[Picture] = []
    for side in reversed(sides):
        close = [p for p in side if is_series([p]) and not later.isdisjoint(near.get(p.pixel_digest, ()))]
        left_out += close
        gone = set(close)
        kept.append([p for p in side if p not in gone])
        later |= {p.pixel_digest for p in kept[-1]}
    return kept[::-1], left_out


def _pieces(group: Sequence[Picture], shares: Sequence[int], near: Near) -> list[list[Picture]]:
    """A series in consecutive pieces of these shares, each at least one picture, the largest in the middle.

    So what is left out at the cuts is taken from the largest.
    """
    order, sizes = _along(sorted({p.pixel_digest for p in group}), near), sorted(shares)
    arranged = sizes[0::2] + sizes[1::2][::-1]
    bounds = [round(len(order) * part / sum(shares)) for part in accumulate(arranged)]
    for i in range(len(bounds) - 1):  # each piece at least one
        bounds[i] = max(bounds[i], i + 1)
    for i in range(len(bounds) - 2, -1, -1):
        bounds[i] = min(bounds[i], bounds[i + 1] - 1)
    piece_of = {}
    for place, digest in enumerate(order):
        piece_of[digest] = next(i for i, bound in enumerate(bounds) if place < bound)
    pieces: list[list[Picture]] = [[] for _ in shares]
    for picture in group:
        pieces[piece_of[picture.pixel_digest]].append(picture)
    return pieces


def _along(digests: Sequence[str], near: Near) -> list[str]:
    """The pictures of a series from one of its ends to the other, each part of it that hangs together."""
    left, order = set(digests), []
    while left:
        start = min(left)
        end = _reached(start, left, near)[-1]  # as far from the start as can be: an end
        found = _reached(end, left, near)
        order += found
        left -= set(found)
    return order


def _reached(start: str, among: Collection[str], near: Near) -> list[str]:
    """What hangs together with a picture, nearest first (breadth first, ties by digest)."""
    found, ring = [start], [start]
    known = {start}
    while ring:
        ring = sorted({other for digest in ring for other in near.get(digest, ())} & set(among) - known)
        known |= set(ring)
        found += ring
    return found
