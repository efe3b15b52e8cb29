"""`vitbench data check` in words: what an image folder holds and what is odd about it."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from vitbench.data.duplicates.likeness import shown_pair
from vitbench.data.groups import TOGETHER
from vitbench.files import printable
from vitbench.records import ImageSet, Part, Picture, counted
from vitbench.records.pictures import Likeness

MOST_SHOWN = 10
MOST_NAMES = 5


def check_report(image_set: ImageSet, kept: ImageSet | None = None) -> str:
    """Classes with counts, sizes, bad and ignored files, duplicates and warnings, as lines of text.

    `kept`: the same set after `keep_together`, whose groups and notes are then shown too.
    """
    pictures = image_set.pictures
    lines = [
        f"{printable(image_set.root)}: {counted(len(pictures), 'picture')}, "
        f"{len(image_set.classes)} classes, "
        + ("class folders" if image_set.layout == "flat" else "split into " + ", ".join(_parts(image_set)))
    ]
    lines += ["", *_class_table(image_set), "", _sizes(pictures), *_duplicates(pictures)]
    lines += _near(image_set)
    if kept is not None:
        lines += _together(kept.pictures)
    if image_set.ignored:
        passed = ", ".join(f"{count} × {reason}" for reason, count in image_set.ignored.items())
        lines.append(f"passed over: {passed}")
    lines.append(f"cannot be read: {len(image_set.bad) or 'none'}")
    lines += [f"  {printable(entry.path)}: {entry.reason}" for entry in image_set.bad[:MOST_SHOWN]]
    if len(image_set.bad) > MOST_SHOWN:
        lines.append(f"  … and {len(image_set.bad) - MOST_SHOWN} more")
    lines += [f"note: {printable(note)}" for note in (kept or image_set).notes]
    return "\n".join(lines)


def _parts(image_set: ImageSet) -> list[Part]:
    order: list[Part] = ["train", "val", "test"]
    return [part for part in order if image_set.part(part)]


def _class_table(image_set: ImageSet) -> list[str]:
    """A line per class: its name and a count per part."""
    columns: list[Part | None] = [*_parts(image_set)] if image_set.layout == "split" else [None]
    counts = Counter((p.label, p.part) for p in image_set.pictures)
    names = {label: printable(label) for label in image_set.classes}
    width = max(len("class"), *(len(name) for name in names.values()))
    head = "".join(f"{column or 'pictures':>10}" for column in columns)
    rows = [
        f"{name:<{width}}" + "".join(f"{counts[label, column]:>10}" for column in columns)
        for label, name in names.items()
    ]
    return [f"{'class':<{width}}{head}", *rows]


def _sizes(pictures: Sequence[Picture]) -> str:
    """Smallest, median and largest shorter and longer side."""
    shorter = sorted(min(p.width, p.height) for p in pictures)
    longer = sorted(max(p.width, p.height) for p in pictures)
    return (
        f"shorter side {shorter[0]} / {median(shorter):.0f} / {shorter[-1]} px, "
        f"longer side {longer[0]} / {median(longer):.0f} / {longer[-1]} px (min / median / max)"
    )


def _duplicates(pictures: Sequence[Picture]) -> list[str]:
    """Groups of pictures with equal pixels, the first ones named."""
    counts = Counter(picture.pixel_digest for picture in pictures)
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        if counts[picture.pixel_digest] > 1:
            groups.setdefault(picture.pixel_digest, []).append(printable(picture.path))
    several = list(groups.values())
    copies = sum(len(names) - 1 for names in several)
    if not several:
        return ["duplicates: none with equal pixels"]
    lines = [f"duplicates: {counted(copies, 'picture')} with the pixels of another one"]
    lines += [f"  {' = '.join(names)}" for names in several[:MOST_SHOWN]]
    if len(several) > MOST_SHOWN:
        lines.append(f"  … and {len(several) - MOST_SHOWN} more groups")
    return lines


def _near(image_set: ImageSet) -> list[str]:
    """What was looked for, and the first pairs found: those in two parts, two classes, then the others."""
    by_path = {p.path: p for p in image_set.pictures}

    def rank(pair: Likeness) -> tuple[bool, bool, str]:
        one, other = by_path[pair.path], by_path[pair.other]
        return (one.part == other.part, one.label == other.label, pair.path)

    lines = [image_set.searched] if image_set.searched else []
    near = sorted((pair for pair in image_set.alike if pair.kind == "near"), key=rank)
    lines += [f"  {printable(shown_pair(pair))}" for pair in near[:MOST_SHOWN]]
    if len(near) > MOST_SHOWN:
        lines.append(f"  … and {len(near) - MOST_SHOWN} more pairs (all with --out)")
    leaking = {pair.path for pair in image_set.alike if by_path[pair.path].part != by_path[pair.other].part}
    if leaking:
        noun = "picture that is" if len(leaking) == 1 else "pictures that are"
        lines.append(f"leaks: {len(leaking)} {noun} in another part too, equal or nearly so")
    return lines


def _together(pictures: Sequence[Picture]) -> list[str]:
    """Groups that were joined for more than equal pixels, the largest ones named."""
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.group.startswith(TOGETHER):
            groups.setdefault(picture.group, []).append(printable(picture.path))
    largest = sorted(groups.values(), key=lambda names: (-len(names), names))
    lines = [f"kept together: {counted(len(groups), 'group')} of different pictures"]
    for names in largest[:MOST_SHOWN]:
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        lines.append(f"  {', '.join(names[:MOST_NAMES])}{more}")
    if len(largest) > MOST_SHOWN:
        lines.append(f"  … and {len(largest) - MOST_SHOWN} more groups")
    return lines
