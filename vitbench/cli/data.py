"""`vitbench data …`: looks after image folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from vitbench.cli.options import DATA
from vitbench.errors import UsageError, VitbenchError

if TYPE_CHECKING:
    from vitbench.records import Augment

Layout = Literal["auto", "flat", "split"]

data_app = typer.Typer(
    help="Check, split, augment image folders; write the built-in pictures.", no_args_is_help=True
)

DataArgument = Annotated[Path, typer.Argument(help="Folder of class folders, or of train/ val/ test/.")]
LayoutOption = Annotated[str, typer.Option(help="auto, flat or split.")]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")]
LAYOUTS = ("auto", "flat", "split")
LEVELS = ("none", "geometry", "light", "strong")


@data_app.command()
def check(data: DataArgument = DATA, layout: LayoutOption = "auto") -> None:
    """Decode every picture once; print classes, counts, sizes, bad files, duplicates. Status 1 if any is bad.

    Example: `vitbench data check photos`
    """
    from vitbench.cli.progress import watch
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images
    from vitbench.data.summary import check_report

    with watch() as display:
        images = scan_folder(data, _layout(layout), skip_bad=True, on_progress=display.checking)
    print(check_report(images))
    try:
        split_images(images)
    except VitbenchError as error:
        print(f"note: as it stands, train would refuse this: {error}")
    if images.bad:
        raise typer.Exit(1)


@data_app.command()
def split(
    data: DataArgument = DATA,
    out: Annotated[Path | None, typer.Argument(help="New folder for copies; none: only the counts.")] = None,
    split_seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    layout: LayoutOption = "auto",
    skip_bad: SkipOption = False,
) -> None:
    """Show or write the split that `train` would use.

    Examples: `vitbench data split photos` · `vitbench data split photos photos-split --split-seed 1`
    """
    from vitbench.cli.progress import watch
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images, write_split

    with watch() as display:
        images = scan_folder(data, _layout(layout), skip_bad, display.checking)
        found = split_images(images, split_seed)
        for note in (*images.notes, *found.notes):
            display.message(f"note: {note}")
    print(f"{data}: {found.rule}")
    for name, pictures in (("train", found.train), ("val", found.val), ("test", found.test)):
        counts = ", ".join(f"{c} {sum(p.label == c for p in pictures)}" for c in found.classes)
        print(f"{name}: {len(pictures)} ({counts})")
    if out is not None:
        write_split(found, out)
        print(f"written to {out}")


@data_app.command()
def augment(
    data: Annotated[Path, typer.Argument(help="Folder of class folders, or of train/ val/ test/.")],
    out: Annotated[Path, typer.Argument(help="New folder for the views.")],
    per_class: Annotated[int, typer.Option(min=1, help="Views per class.")] = 200,
    level: Annotated[str, typer.Option("--augment", help="none, geometry, light or strong.")] = "light",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror views.")] = True,
    image_size: Annotated[int, typer.Option(min=8, help="Side of a view, px.")] = 224,
    seed: Annotated[int, typer.Option(help="Seed of the views.")] = 0,
    split_seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    layout: LayoutOption = "auto",
    skip_bad: SkipOption = False,
) -> None:
    """Write the first epoch's augmented training views as files; val and test pictures have none.

    Example: `vitbench data augment photos views --per-class 200`
    """
    from vitbench.cli.progress import watch
    from vitbench.data.augment import write_views
    from vitbench.data.scan import scan_folder
    from vitbench.data.split import split_images

    with watch() as display:
        images = scan_folder(data, _layout(layout), skip_bad, display.checking)
        found = split_images(images, split_seed)
        count = write_views(
            found,
            out,
            per_class=per_class,
            augment=_level(level),
            flip=flip,
            size=image_size,
            seed=seed,
            on_progress=display.checking,
        )
    print(f"{count} views of {len(found.train)} training pictures written to {out}")
    if count > per_class * len(found.classes):
        print(f"a class with more than {per_class} training pictures shows each of them once")


@data_app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="New folder.")] = Path("demo-pictures"),
) -> None:
    """Write the built-in pictures as an image folder: 10 classes, `train/` and `test/`.

    Example: `vitbench data demo` then `vitbench train demo-pictures --quick --weights auto`
    """
    from vitbench.data.demo import write_demo

    write_demo(folder)
    print(f"{folder}: 10 classes of product photos, train/ and test/")


def _layout(text: str) -> "Layout":
    if text in LAYOUTS:
        return cast("Layout", text)
    raise UsageError(f"--layout {text}: auto, flat or split")


def _level(text: str) -> "Augment":
    if text in LEVELS:
        return cast("Augment", text)
    raise UsageError(f"--augment {text}: none, geometry, light or strong")
