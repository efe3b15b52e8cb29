"""`vitbench data …`: looks after image folders."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from vitbench import files
from vitbench.cli.commands import App, Group
from vitbench.cli.fetch import fetch
from vitbench.cli.options import DATA, READING, PixelRangeOption, option, two_ends
from vitbench.defaults import IMAGE_SIZE, PER_CLASS, Augment, Layout
from vitbench.errors import UsageError, VitbenchError
from vitbench.options import MOST_PIXELS, Count, Folds, Positive, Seed, Whole
from vitbench.settings import Settings

if TYPE_CHECKING:
    from vitbench.data.cache_listing import CacheEntry
    from vitbench.records import PixelRange, Split

data_app = App(
    cls=Group,
    help="""Check, split, augment image folders; fetch public sets; show what is kept.

    Examples:
    vitbench data check photos
    vitbench data split photos
    vitbench data demo
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)

DATA_HELP = "Folder of class folders, or of train/ val/ test/."
DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help=f"{DATA_HELP} [default: data]", show_default=False)
]
LayoutOption = Annotated[
    Layout, option("--layout", Layout, f"{Settings.meaning('layout')} [default: auto]", panel=READING)
]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad", help=Settings.meaning("skip_bad"), rich_help_panel=READING)
]
GroupOption = Annotated[str | None, option("--group", str, Settings.meaning("group"))]
BurstOption = Annotated[
    float | None, option("--burst-seconds", Positive, Settings.meaning("burst_seconds"), panel=READING)
]
NearOption = Annotated[
    bool,
    typer.Option(
        "--near-duplicates/--no-near-duplicates",
        help=f"{Settings.meaning('near_duplicates')} [default: yes]",
        show_default=False,
        rich_help_panel=READING,
    ),
]
RememberOption = Annotated[
    bool,
    typer.Option(
        "--store/--no-store",
        help="Remember what was learnt of each file, and decode no unchanged one again. [default: yes]",
        show_default=False,
        rich_help_panel=READING,
    ),
]
SplitSeedOption = Annotated[int, option("--split-seed", Seed, "Seed of the split. [default: 0]")]


@data_app.command()
def check(
    data: DataArgument = DATA,
    layout: LayoutOption = "auto",
    group: GroupOption = None,
    burst_seconds: BurstOption = None,
    near: NearOption = True,
    pixel_range: PixelRangeOption = None,
    store: RememberOption = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Status 1 too for leaks, clashing labels and signs of copies.")
    ] = False,
    out: Annotated[
        Path | None,
        option(
            "--out", Path, "New CSV file with all pairs of pictures that show the same.", metavar="FILE.csv"
        ),
    ] = None,
) -> None:
    """Decode every new picture; print classes, counts, sizes, bad files, duplicates. Status 1 if any is bad.

    Examples:
    vitbench data check photos
    vitbench data check photos --strict
    vitbench data check photos --out pairs.csv
    """
    from vitbench.cli.progress import watch
    from vitbench.data.bad import SHOWN_BAD, list_bad
    from vitbench.data.duplicates.likeness import refuse_warnings, write_pairs
    from vitbench.data.groups import keep_together, refuse_grouping
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images
    from vitbench.data.summary import check_report

    refuse_grouping(group, burst_seconds)
    meant = _meant(pixel_range)
    _refuse_taken(out)
    with watch() as display:
        images = scan_folder(data, layout, True, display.work, near, store, meant)
    kept = keep_together(images, group, burst_seconds)
    print(check_report(images, kept if kept is not images else None))
    if len(images.bad) > SHOWN_BAD and (listed := list_bad(data, images.bad)):
        print(f"all {len(images.bad)} that cannot be read: {files.printable(listed)}")
    try:
        split_images(kept)
    except VitbenchError as error:
        print(f"note: as it stands, train would refuse this: {error}")
    if out is not None:
        count = write_pairs(images, out)
        print(f"{count} {'pair' if count == 1 else 'pairs'} written to {files.printable(out)}")
    if strict:
        refuse_warnings(images)
    if images.bad:
        raise typer.Exit(1)


@data_app.command()
def split(
    data: DataArgument = DATA,
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="New folder for copies; none: only the counts.")
    ] = None,
    split_seed: SplitSeedOption = 0,
    folds: Annotated[
        Any,
        option(
            "--folds",
            Folds,
            "Show so many folds instead (auto: 5 where the test part is small); not written.",
        ),
    ] = None,
    group: GroupOption = None,
    burst_seconds: BurstOption = None,
    layout: LayoutOption = "auto",
    skip_bad: SkipOption = False,
    near: NearOption = True,
    pixel_range: PixelRangeOption = None,
    store: RememberOption = True,
) -> None:
    """Show or write the split that `train` would use.

    Examples:
    vitbench data split photos
    vitbench data split photos photos-split --split-seed 1
    vitbench data split photos --folds 5 --group 'scene(\\d+)'
    """
    from vitbench.cli.progress import watch
    from vitbench.data.groups import keep_together, refuse_grouping
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images, write_split

    refuse_grouping(group, burst_seconds)
    meant = _meant(pixel_range)
    with watch() as display:
        images = scan_folder(data, layout, skip_bad, display.work, near, store, meant)
        images = keep_together(images, group, burst_seconds)
        found = split_images(images, split_seed, folds)
        for note in (*images.notes, *found.notes, *found.proposals, images.searched):
            display.message(f"note: {note}")
    print(files.printable(f"{data}: {found.rule}"))
    for line in _counts(found):
        print(files.printable(line))
    if out is not None:
        write_split(found, out)
        print(f"written to {files.printable(out)}")


@data_app.command()
def augment(
    data: Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the views.")],
    per_class: Annotated[
        int,
        option(
            "--per-class",
            Count,
            "Views per class; one with more training pictures shows each once. [default: 200]",
        ),
    ] = PER_CLASS,
    level: Annotated[
        Augment,
        option(
            "--augment",
            Augment,
            "none, geometry (as `train` does from pretrained weights), masked (as `pretrain` does), "
            "light (as from random ones), strong or deit. [default: geometry]",
        ),
    ] = "geometry",
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror views. [default: yes]", show_default=False)
    ] = True,
    image_size: Annotated[
        int,
        option(
            "--image-size",
            Annotated[Whole, Field(ge=8, le=MOST_PIXELS)],
            "Side of a view, px. [default: 224]",
        ),
    ] = IMAGE_SIZE,
    seed: Annotated[int, option("--seed", Seed, "Seed of the views. [default: 0]")] = 0,
    split_seed: SplitSeedOption = 0,
    layout: LayoutOption = "auto",
    skip_bad: SkipOption = False,
    pixel_range: PixelRangeOption = None,
    store: RememberOption = True,
) -> None:
    """Write the first epoch's augmented training views as files; val and test pictures have none.

    Examples:
    vitbench data augment photos views
    vitbench data augment photos views --per-class 20 --augment strong
    vitbench data augment photos views --image-size 96
    """
    from vitbench.cli.progress import watch
    from vitbench.data.augment import write_views
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images

    meant = _meant(pixel_range)
    with watch() as display:
        images = scan_folder(data, layout, skip_bad, display.work, True, store, meant)
        found = split_images(images, split_seed)
        count = write_views(
            found,
            out,
            per_class=per_class,
            augment=level,
            flip=flip,
            size=image_size,
            seed=seed,
            on_progress=partial(display.work, "writing views"),
        )
    print(f"{count} views of {len(found.train)} training pictures written to {files.printable(out)}")
    if count > per_class * len(found.classes):
        print(f"a class with more than {per_class} training pictures shows each of them once")


@data_app.command("store")
def show_store(
    clear: Annotated[bool, typer.Option("--clear", help="Empty it.")] = False,
    store_dir: Annotated[
        Path | None,
        option("--store-dir", Path, "The decoded pictures in this folder instead.", metavar="DIR"),
    ] = None,
) -> None:
    """List what is kept to save time: known pictures, decoded pictures, features; all can be made again.

    Examples:
    vitbench data store
    vitbench data store --clear
    vitbench data store --store-dir /fast
    """
    from vitbench.data.cache import cache_folder
    from vitbench.data.cache_listing import cache_entries, clear_cache, decoded_in
    from vitbench.data.scan_cache import open_scan_cache

    if store_dir is not None:
        _show_decoded(store_dir, decoded_in(store_dir, clear), "removed" if clear else "")
        return
    if clear:
        print(f"{cache_folder()}: {_megabytes(clear_cache())} removed")
        return
    things = cache_entries()
    total = sum(thing.size for thing in things)
    print(f"{cache_folder()}: {_megabytes(total) if things else 'nothing kept'} (VITBENCH_CACHE moves it)")
    for thing in things:
        print(
            f"{thing.name}: {thing.files} {'file' if thing.files == 1 else 'files'}, {_megabytes(thing.size)}"
        )
    if things:
        with open_scan_cache() as known:
            count = known.count()
        print(f"{count} {'picture' if count == 1 else 'pictures'} known, not decoded again while unchanged")


def _show_decoded(folder: Path, kept: "CacheEntry", what: str) -> None:
    files = f"{kept.files} decoded {'picture' if kept.files == 1 else 'pictures'}"
    print(f"{folder}: {files}, {_megabytes(kept.size)} {what}".rstrip())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@data_app.command()
def demo(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="New folder. [default: demo-pictures]", show_default=False),
    ] = Path("demo-pictures"),
) -> None:
    """Write the built-in pictures as an image folder: 10 classes, `train/` and `test/`.

    Examples:
    vitbench data demo
    vitbench data demo pictures
    vitbench train demo-pictures --quick --weights auto
    """
    from vitbench.data.demo import write_demo

    write_demo(folder)
    print(f"{folder}: 10 classes of product photos, train/ and test/")


data_app.command()(fetch)


def _counts(split: "Split") -> list[str]:
    """A line per side, or per fold, with its pictures by class."""
    if split.folds:
        sides = [
            (f"fold {number}", fold.test, f"tested; {len(fold.train)} train, {len(fold.val)} val")
            for number, fold in enumerate(split.folds, start=1)
        ]
    else:
        sides = [("train", split.train, ""), ("val", split.val, ""), ("test", split.test, "")]
    lines = []
    for name, pictures, more in sides:
        counts = ", ".join(f"{c} {sum(p.label == c for p in pictures)}" for c in split.classes)
        lines.append(f"{name}: {len(pictures)} ({counts}) {more}".rstrip())
    return lines


def _refuse_taken(out: Path | None) -> None:
    """Raise where a file that is to be new is there, or its folder isn't: before minutes of decoding."""
    if out is not None and (out.exists() or not out.parent.is_dir()):
        raise UsageError(f"--out {out}: {'exists' if out.exists() else 'no such folder'}; name a new file")


def _meant(text: str | None) -> "PixelRange | None":
    from vitbench.records import PixelRange

    ends = two_ends(text)
    return PixelRange(*ends) if ends else None
