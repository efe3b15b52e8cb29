"""Near-copies as a user meets them: groups for the split, pairs in words, leaks, and warnings."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from vitbench import files
from vitbench.data.duplicates.descriptors import Descriptor, Descriptors
from vitbench.data.duplicates.near import MOST_PICTURES, Match, Search, find_near
from vitbench.errors import VitbenchError
from vitbench.files import printable
from vitbench.records import ImageSet, Part, Picture, Split, counted
from vitbench.records.joining import joined
from vitbench.records.pictures import NEAR, SERIES, Leak, Likeness

MOST_ALIKE = 10
"""Pictures that hang together by way of others; more, without one that all resemble, are a series."""
ORDER: Mapping[Part | None, int] = {None: 0, "train": 0, "val": 1, "test": 2}
TURNED = (
    "", "mirrored", "upside down and mirrored", "turned by 180°",
    "mirrored and turned by 90°", "turned by 90°", "turned by 90°", "mirrored and turned by 90°",
)  # fmt: skip
"""In words, which of `descriptors.TURNS` it was."""
TESTED = (
    "looked for: re-encoded, resized, brighter or darker, gray, mirrored or by 90° turned copies, slight "
    "crops and shifts; may have escaped: crops below 95 % of a side (centred ones: 90 %), tilts beyond 2°, "
    "strong or colour-changing edits, other shots of a scene"
)
NOT_LOOKED_FOR = "near-duplicates: not looked for; pictures with equal pixels were"


@dataclasses.dataclass(frozen=True)
class Alike:
    """What a search for near-copies among pictures found."""

    pictures: tuple[Picture, ...]
    """The same ones, near-copies now in one group."""
    pairs: tuple[Likeness, ...]
    searched: str


def search_near(
    digests: Sequence[str],
    lookup: Callable[[str], Descriptor],
    threads: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Search:
    """The near-copies among the descriptors of these pixel digests; `on_progress` as of `find_near`.

    Each descriptor is asked for once, and none where there are more than `MOST_PICTURES`. Their order, which
    decides on ties, is that of their sorted digests: names play no part.
    """
    if len(digests) > MOST_PICTURES:
        return Search((), 0, len(digests))
    packed = Descriptors.of(map(lookup, digests), len(digests))
    plain = int((packed.detail == 0).sum())
    return Search(tuple(find_near(packed, threads, on_progress)), plain, len(digests))


def group_alike(pictures: Sequence[Picture], digests: Sequence[str], search: Search) -> Alike:
    """Pictures grouped by what a search among their pixel digests found; () where none was looked for."""
    groups = _groups(digests, search.matches)
    counts = Counter(picture.pixel_digest for picture in pictures)
    matched = {digests[place] for match in search.matches for place in (match.one, match.other)}
    by_digest: dict[str, list[Picture]] = defaultdict(list)
    for picture in sorted(pictures, key=lambda p: p.path):
        if counts[picture.pixel_digest] > 1 or picture.pixel_digest in matched:
            by_digest[picture.pixel_digest].append(picture)
    pairs = [*_equal(by_digest.values()), *_near(by_digest, digests, search.matches)]
    near = sum(pair.kind == "near" for pair in pairs)
    return Alike(
        pictures=tuple(_regrouped(p, groups) for p in pictures),
        pairs=tuple(sorted(pairs, key=lambda pair: (pair.path, pair.other))),
        searched=_searched(near, search) if digests else NOT_LOOKED_FOR,
    )


def _regrouped(picture: Picture, groups: Mapping[str, str]) -> Picture:
    group = groups.get(picture.group)
    return dataclasses.replace(picture, group=group, pixels=picture.group) if group else picture


def _searched(near: int, search: Search) -> str:
    """The sentence on what was looked for."""
    if search.count > MOST_PICTURES:
        return f"near-duplicates: not looked for among more than {MOST_PICTURES} different pictures"
    passed = f" ({counted(search.plain, 'picture')} with too little detail left out)" if search.plain else ""
    return (
        f"near-duplicates: {counted(near, 'pair')}{passed}; {TESTED}"
        if near
        else f"near-duplicates: none{passed}"
    )


# --- groups ---------------------------------------------------------------------------------------


def _groups(digests: Sequence[str], matches: Sequence[Match]) -> dict[str, str]:
    """The group of each picture that has near-copies: what hangs together, directly or through others.

    The ends of a series may have nothing in common. It is a group like any other as long as a split can hold
    it (`duplicates.series`).
    """
    near: dict[int, set[int]] = defaultdict(set)
    for match in matches:
        near[match.one].add(match.other)
        near[match.other].add(match.one)
    tops = joined((match.one, match.other) for match in matches)
    wholes: dict[int, list[int]] = defaultdict(list)
    for i, least in tops.items():
        wholes[least].append(i)
    groups: dict[str, str] = {}
    for least, whole in wholes.items():
        centred = any(len(near[i]) == len(whole) - 1 for i in whole)
        kind = NEAR if centred or len(whole) <= MOST_ALIKE else SERIES
        groups |= dict.fromkeys((digests[i] for i in whole), kind + digests[least])
    return groups


# --- pairs ----------------------------------------------------------------------------------------


def _equal(groups: Iterable[Sequence[Picture]]) -> Iterator[Likeness]:
    """Pictures with equal pixels in two classes or parts: one pair for two of these."""
    for group in groups:
        for first, second in combinations(_one_each(group), 2):
            other, path = _in_order(first, second)
            yield Likeness(path.path, other.path, "equal pixels", "", "")


def _near(
    by_digest: Mapping[str, Sequence[Picture]], digests: Sequence[str], matches: Sequence[Match]
) -> Iterator[Likeness]:
    """Near-copies; of several with equal pixels, one of each class and part."""
    for match in matches:
        for first in _one_each(by_digest[digests[match.one]]):
            for second in _one_each(by_digest[digests[match.other]]):
                there, back = how(match, first, second), how(_reversed(match), second, first)
                if _in_order(first, second) == (first, second):
                    yield Likeness(second.path, first.path, "near", there, back)
                else:
                    yield Likeness(first.path, second.path, "near", back, there)


def _one_each(group: Sequence[Picture]) -> list[Picture]:
    """The first picture of each class and part."""
    found: dict[tuple[str, str | None], Picture] = {}
    for picture in group:
        found.setdefault((picture.label, picture.part), picture)
    return list(found.values())


def _in_order(first: Picture, second: Picture) -> tuple[Picture, Picture]:
    """The one that trains first, then by path."""
    one, two = sorted((first, second), key=lambda p: (ORDER[p.part], p.path))
    return one, two


def how(match: Match, one: Picture, other: Picture) -> str:
    """In words, how `other` was made of `one`, or would have been."""
    scale = other.width * other.height / (one.width * one.height) / match.zoom**2
    whole = 0.97 <= match.zoom <= 1.03
    lit = abs(match.light) > 8
    signs = (
        (match.turn > 0, TURNED[match.turn]),
        (match.zoom < 0.97, f"cropped to {100 * match.zoom:.0f} % of a side"),
        (match.zoom > 1.03, f"a wider view, {100 * match.zoom:.0f} % of a side"),
        (abs(match.tilt) > 0.7, "tilted"),
        (whole and match.shift > 0.015, "shifted"),
        (lit, "brighter" if match.light > 0 else "darker"),
        (not lit and match.contrast > 1.15, "more contrast"),
        (not lit and match.contrast < 1 / 1.15, "less contrast"),
        (match.colour < 0.3, "without its colour"),
        (match.colour > 3.3, "in colour"),
        (scale < 0.9, "smaller"),
        (scale > 1.1, "larger"),
    )
    return ", ".join(word for true, word in signs if true) or "hardly changed"


def _reversed(match: Match) -> Match:
    """The match as seen from its other picture."""
    return dataclasses.replace(
        match,
        zoom=1 / match.zoom,
        light=-match.light,
        contrast=1 / match.contrast,
        colour=1 / max(match.colour, 1e-3),
    )


# --- leaks and warnings ---------------------------------------------------------------------------


def leaks(split: Split, pairs: Iterable[Likeness]) -> tuple[Leak, ...]:
    """The pairs whose pictures lie on two sides of a split, or in folds that learn from one another."""
    side: dict[str, tuple[int, str]] = {}
    learned: dict[int, set[str]] = {}
    if split.folds:
        for number, fold in enumerate(split.folds, start=1):
            side |= {p.path: (number, f"fold {number}") for p in fold.test}
            learned[number] = {p.path for p in (*fold.train, *fold.val)}
    else:
        side = {p.path: (ORDER[part], part) for part, p in split.assigned()}
    found = []
    for pair in pairs:
        if pair.path not in side or pair.other not in side or side[pair.path] == side[pair.other]:
            continue
        (here, part), (there, other_part) = side[pair.path], side[pair.other]
        if learned and pair.other not in learned[here] and pair.path not in learned[there]:
            continue
        if here > there:
            found.append(Leak(pair.path, part, pair.other, other_part, pair.kind, pair.how))
        else:
            found.append(Leak(pair.other, other_part, pair.path, part, pair.kind, pair.back))
    return tuple(sorted(found, key=lambda leak: (leak.part, leak.path, leak.other_part, leak.other)))


def near_notes(found: Alike) -> list[str]:
    """Warnings about near-copies in two of the user's own parts, and under two classes."""
    by_path = {p.path: p for p in found.pictures}
    near = [pair for pair in found.pairs if pair.kind == "near"]
    notes = []
    clashes = [pair for pair in near if by_path[pair.path].label != by_path[pair.other].label]
    if clashes:
        notes.append(
            f"{counted(len(clashes), 'pair')} of near-copies under two classes, e.g. {shown_pair(clashes[0])}"
        )
    for left, right in (("train", "test"), ("train", "val"), ("val", "test")):
        crossing = [p for p in near if (by_path[p.other].part, by_path[p.path].part) == (left, right)]
        count = len({pair.path for pair in crossing})
        if count:
            verb = "picture is a near-copy" if count == 1 else "pictures are near-copies"
            notes.append(
                f"{count} {right}/ {verb} of pictures in {left}/, e.g. {shown_pair(crossing[0])}: "
                "scores may be too good"
            )
    return notes


def refuse_warnings(image_set: ImageSet) -> None:
    """Raise VitbenchError, one line with all of them, where a set has what can make scores too good."""
    if image_set.warnings:
        raise VitbenchError(
            f"{printable(image_set.root)}: {'; '.join(image_set.warnings)}; mend that, or leave --strict away"
        )


def shown_pair(pair: Likeness | Leak) -> str:
    """ "test/a.jpg = train/b.jpg", or "test/a.jpg ≈ train/b.jpg (mirrored)"."""
    one, other = printable(Path(pair.path)), printable(Path(pair.other))
    return f"{one} = {other}" if pair.kind == "equal pixels" else f"{one} ≈ {other} ({pair.how})"


def write_pairs(image_set: ImageSet, path: Path) -> int:
    """Write all pairs of a set, columns as in `leaks.csv`, parts as they are on disk; returns how many."""
    part = {p.path: p.part or "" for p in image_set.pictures}
    rows = [
        {
            "path": pair.path,
            "part": part[pair.path],
            "other": pair.other,
            "other_part": part[pair.other],
            "kind": pair.kind,
            "how": pair.how,
        }
        for pair in image_set.alike
    ]
    files.write_csv(path, Leak.columns(), rows)
    return len(rows)
