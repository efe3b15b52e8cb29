"""Whether classes can be trained, chosen on and scored, and told apart by who reads their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from vitbench.data.kinds import what_lies_in
from vitbench.data.shape import Shape, main_part, quoted
from vitbench.data.walk import some
from vitbench.errors import ClassesError
from vitbench.files import printable
from vitbench.records import Part, Picture

LEAST_CHOOSING = 2
"""Classes that val/ must hold to choose an epoch: of one class, the best model answers nothing else."""
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f]")
"""What no font shows, beside the format characters (zero-width spaces and the like)."""
LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοıοѵ", "ABESIJKMHOPCTYXaesijopcyxhdlABEZHIKMNOPTYXoiov"
)
"""Cyrillic and Greek letters that look like Latin ones."""


def _visible(name: str) -> str:
    return UNSEEN.sub("", "".join(c for c in name if unicodedata.category(c) != "Cf"))


FOLDS: Mapping[str, Callable[[str], str]] = {
    "characters that are not shown": _visible,
    "Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "letters of another alphabet": lambda name: name.translate(LATIN),
    "spaces and signs": lambda name: " ".join(re.findall(r"[^\s_.\-]+", name)) or name,
    "case": str.casefold,
}
"""What makes two names look alike, and how a name is without it; in the order in which it is taken away."""


def look_alike(names: Iterable[str]) -> list[tuple[str, str, str]]:
    """Pairs of names that are hard to tell apart, and what they differ in: ("Dog", "dog", "case")."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[_folded(name)].append(name)
    return [
        (one, other, _difference(one, other))
        for group in groups.values()
        for one, other in combinations(group, 2)
    ]


def check_classes(root: Path, shape: Shape, pictures: Sequence[Picture]) -> list[str]:
    """Notes on classes that val or test lack and on names that look alike.

    Raises `ClassesError` where the classes cannot be trained or scored.
    """
    if shape.layout == "loose":
        return []
    main = main_part(shape)
    classes = {label for part, label, _ in shape.folders if part == main}
    where = f"{printable(root)}{'/train' if main else ''}"
    empty = classes - {p.label for p in pictures if p.part == main}
    if empty:
        lies_in = what_lies_in([path for _, label, path in shape.folders if label in empty])
        raise ClassesError(
            f"{where}: no readable picture of class {quoted(empty)}{lies_in}; add some or remove the folder"
        )
    if len(classes) < 2:
        raise ClassesError(f"{where}: only class {quoted(classes)}; a comparison needs two or more")
    have: dict[Part | None, set[str]] = defaultdict(set)
    for picture in pictures:
        have[picture.part].add(picture.label)
    notes = []
    for part in [part for part in ("val", "test") if any(p == part for p, _, _ in shape.folders)]:
        if unknown := have[part] - classes:
            raise ClassesError(f"{printable(root)}/{part}: {_not_in_train(unknown, classes)}")
        if not have[part]:
            notes.append(f"{part}/ holds no pictures: left out")
        elif missing := classes - have[part]:
            chooses = part == "val" and bool(have["test"])
            notes.append(f"{part}/ lacks class {quoted(missing)}" + (_choice(have[part]) if chooses else ""))
    return notes + _alike_note(classes)


def can_choose(classes: Iterable[str]) -> bool:
    """True where pictures of so many classes can say which epoch is best."""
    return len(set(classes)) >= LEAST_CHOOSING


def _choice(have: set[str]) -> str:
    if can_choose(have):
        return f": what val decides (epoch, temperature, tuning) rests on the other {len(have)}"
    return f" and holds {quoted(have)} alone, which can choose no epoch: 15 % of train/ takes its place"


def _not_in_train(unknown: set[str], classes: set[str]) -> str:
    """What is said of classes that train/ lacks."""
    for one, other, how in look_alike(unknown | classes):
        if (one in unknown) != (other in unknown):
            strange, known = (one, other) if one in unknown else (other, one)
            return (
                f"class '{_spelled(strange)}' is not in train/, whose '{_spelled(known)}' differs in {how} "
                "only; rename one of the folders"
            )
    return f"class {quoted(unknown)} is not in train/; add it there or remove it here"


def _alike_note(classes: set[str]) -> list[str]:
    pairs = [f"'{_spelled(one)}' and '{_spelled(other)}' ({how})" for one, other, how in look_alike(classes)]
    if not pairs:
        return []
    return [f"classes whose names look alike: {some(pairs)}; merge the folders of those that are one class"]


def _folded(name: str, but: str = "") -> str:
    for what, fold in FOLDS.items():
        if what != but:
            name = fold(name)
    return name


def _difference(one: str, other: str) -> str:
    """In what two names differ that look alike, as words."""
    needed = [what for what in FOLDS if _folded(one, what) != _folded(other, what)]
    enough = [what for what, fold in FOLDS.items() if fold(one) == fold(other)]
    return " and ".join(needed or enough[:1]) or "how they are written"


def _spelled(name: str) -> str:
    """A name with what cannot be seen in it spelled out."""
    unseen = {c for c in name if _visible(c) != c or (c.isspace() and c != " ")}
    return printable("".join(c.encode("unicode_escape").decode() if c in unseen else c for c in name))
