"""`vitbench data fetch`: known public sets as image folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitbench.cli.options import option
from vitbench.options import Count

if TYPE_CHECKING:
    from vitbench.data.public.fetch import Fetched


def fetch(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A set of the list, or OWNER/NAME of the Hugging Face hub. [default: list them]",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="New folder. [default: the set's name]", show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        option(
            "--limit",
            Count,
            "At most so many pictures, every class of every part with its share; the same ones each time.",
        ),
    ] = None,
) -> None:
    """Fetch a known public set as an image folder with its official split; a call that is cut short goes on.

    Examples:
    vitbench data fetch
    vitbench data fetch oxford-iiit-pet
    vitbench data fetch food-101 food --limit 2000
    """  # fmt: skip
    if name is None:
        _list_sets()
        return
    from vitbench.cli.progress import watch
    from vitbench.data.public.fetch import fetch as fetched

    with watch() as display:
        found = fetched(name, folder, limit=limit, watch=display)
    _show(found)


def _show(found: "Fetched") -> None:
    """What is there now, in one sentence; where it comes from; what to type next."""
    from vitbench.cli.show import console, show_lines
    from vitbench.records.commands import command
    from vitbench.reports.lines import Line, wrapped

    parts = ", ".join(f"{part}/ {count}" for part, count in found.counts.items())
    part_of = f", --limit {found.limit} of its official split" if found.limit else ", its official split"
    there = "" if found.new else " (there already)"
    sentences = [
        f"{found.folder}{there}: {sum(found.counts.values())} pictures of {found.classes} classes, "
        f"{parts}{part_of}",
        f"licence: {found.licence or 'none stated'} ({found.page})",
    ]
    sentences += [f"note: {note}" for note in (found.note, found.complaint) if note]
    if found.new:
        size = sum(int(one["bytes"]) for one in found.files) / 1e6
        sentences.append(
            f"downloads, {size:.1f} MB, stay in {found.kept}; `vitbench data store --clear` removes them"
        )
    width = console().width
    lines = [line for sentence in sentences for line in wrapped(sentence, width, then="  ")]
    show_lines([*lines, Line(f"next: {command('train', found.folder)}")])


def _list_sets() -> None:
    """A row per set."""
    from vitbench.cli.show import show_table
    from vitbench.data.public.sets import SETS

    rows = [
        [
            one.name,
            str(one.classes),
            *(f"{one.counts[part]:,}" if part in one.counts else "" for part in ("train", "val", "test")),
            f"{one.megabytes:,}",
            one.licence,
        ]
        for one in SETS.values()
    ]
    right = ["classes", "train", "val", "test", "MB"]
    show_table(["name", *right, "licence"], rows, right, "a wider terminal has all, and fetch says it first")
