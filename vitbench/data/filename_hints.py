"""Signs of copies that augmentation left in a folder: in file names, and in classes of equal size.

A name alone proves nothing, so it counts only where the picture that it would be a copy of is there too, in
the same class; `_aug` may be August. What the pictures themselves show is found by `data.duplicates.near`.
"""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitbench.files import printable
from vitbench.records import Part, Picture

EDITS = re.compile(
    r"(?:aug(?:ment(?:ed|ation)?)?s?|[hv]?flip(?:ped|lr|ud)?|mirror(?:ed)?|rot(?:at(?:ed?|ion))?|bright(?:er|ness)?"
    r"|dark(?:er)?|blur(?:red|ry)?|nois[ey]|crop(?:ped)?|zoom(?:ed)?|shear(?:ed)?|shift(?:ed)?|jitter(?:ed)?"
    r"|contrast|gamma|hue|saturat(?:ed|ion)|transformed|copy|kopie|copie|copia)(?:\d*|\(\d+\))"
)
"""A word of a file name that says what was done to a picture."""
UNMISTAKABLE = re.compile(r"(?:augmented|augmentation|[hv]flip(?:ped)?|fliplr|flipud)\d*")
"""Words that need no original beside them."""
WORDS = re.compile(r"[^\s_.\-]+")
ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{16,}")
"""Roboflow exports `<name>.rf.<hash>.jpg`, one for each augmented version."""
NUMBERED = re.compile(r"(.+?) ?\((\d+)\)")
MOST_NUMBERED = 3
"""`a (1)` … `a (3)` beside `a` are copies, more of them a series."""
LEAST_EQUAL = 10
"""Pictures: smaller classes are of equal size by chance."""
LEAST_SHARE = 0.1
"""Of the pictures that must look or be named like copies before equal counts are suspicious."""


def filename_hints(pictures: Sequence[Picture]) -> list[str]:
    """Warnings about names of augmented copies, and about classes that copies fill up to equal size.

    Copies that are in one group with their original are kept together anyway, and not warned of.
    """
    named = named_copies(pictures)
    apart = [(copy, of) for copy, of in named.items() if of is None or copy.group != of.group]
    notes = []
    if apart:
        copy, of = min(apart, key=lambda pair: (pair[1] is None, pair[0].path))
        example = printable(Path(copy.path)) + (f" of {printable(Path(of.path))}" if of else "")
        verb = "picture is named as an augmented copy" if len(apart) == 1 else "pictures are named as copies"
        notes.append(
            f"{len(apart)} {verb}, e.g. {example}: on another side than the original, a copy makes scores "
            "too good; leave copies out, or keep them with their originals by --group"
        )
    return notes + _equal_counts(pictures, named)


def named_copies(pictures: Sequence[Picture]) -> dict[Picture, Picture | None]:
    """The pictures named as copies, each with the one that it is a copy of; None where that isn't there."""
    by_name: dict[tuple[str, str], Picture] = {}
    for picture in sorted(pictures, key=lambda p: p.path):
        by_name.setdefault((picture.label, _stem(picture)), picture)
    found = {**_series(pictures), **_numbered(pictures, by_name)}
    for picture in pictures:
        words = list(WORDS.finditer(_stem(picture)))
        for word in words:
            if not EDITS.fullmatch(word[0]):
                continue
            of = by_name.get((picture.label, _without(_stem(picture), word)))
            if of is not None or UNMISTAKABLE.fullmatch(word[0]):
                found.setdefault(picture, of)
                break
    return found


def _stem(picture: Picture) -> str:
    """A file's name in lower case, without its ending."""
    return posixpath.splitext(posixpath.basename(picture.path))[0].lower()


def _without(stem: str, word: re.Match[str]) -> str:
    """What comes before a word, or behind it where it comes first, without the characters between."""
    before = stem[: word.start()]
    return (before or stem[word.end() :]).strip(" _.-")


def _series(pictures: Sequence[Picture]) -> dict[Picture, Picture | None]:
    """Roboflow's versions of one picture: all but the first by path."""
    versions: dict[tuple[str, str], list[Picture]] = defaultdict(list)
    for picture in sorted(pictures, key=lambda p: p.path):
        if match := ROBOFLOW.fullmatch(_stem(picture)):
            versions[picture.label, match[1]].append(picture)
    return {copy: several[0] for several in versions.values() for copy in several[1:]}


def _numbered(
    pictures: Sequence[Picture], by_name: Mapping[tuple[str, str], Picture]
) -> dict[Picture, Picture | None]:
    """`a (1)` beside `a`, as file managers name copies; more than a few are a series."""
    copies: dict[Picture, list[Picture]] = defaultdict(list)
    for picture in pictures:
        match = NUMBERED.fullmatch(_stem(picture))
        of = by_name.get((picture.label, match[1])) if match else None
        if of is not None:
            copies[of].append(picture)
    return {copy: of for of, many in copies.items() if len(many) <= MOST_NUMBERED for copy in many}


def _equal_counts(pictures: Sequence[Picture], named: Mapping[Picture, Picture | None]) -> list[str]:
    """The warning where every class has as many pictures as the others and a tenth of them are copies.

    Curated sets have equal classes too, so these alone say nothing.
    """
    main: Part | None = "train" if any(p.part == "train" for p in pictures) else None
    members = [p for p in pictures if p.part == main]
    counts = Counter(p.label for p in members)
    sizes = set(counts.values())
    if len(counts) < 2 or len(sizes) > 1 or min(sizes) < LEAST_EQUAL:
        return []
    groups = Counter(p.group for p in members)
    alike = sum(count - 1 for count in groups.values())
    marked = sum(p.group in groups and groups[p.group] == 1 for p in named if p.part == main)
    if alike + marked < LEAST_SHARE * len(members):
        return []
    return [
        f"all {len(counts)} classes have exactly {min(sizes)} pictures, and {alike + marked} of "
        f"{len(members)} look or are named like copies of others: classes that augmentation filled up hold "
        "less than they seem to"
    ]
