"""Commands that go deeper: what networks look at, what they cost, and how they go elsewhere."""

from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from vitbench.cli.options import (
    READING,
    RESULTS,
    BenchmarkArgument,
    DeviceOption,
    JsonOption,
    ResultsOption,
    option,
    text_option,
)
from vitbench.defaults import DEFAULT_MODELS
from vitbench.errors import UsageError
from vitbench.options import Count, Drop, Pixels, Positive, Seed, read

Sizes = tuple[Pixels, ...]
Levels = tuple[Count, ...]
Epochs = Annotated[int, Field(ge=0)]


def inspect(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|RUN|MODEL|IMAGE",
            help="Benchmarks, runs, saved models, families or timm names; and pictures. [default: the newest "
            "benchmark, and its test pictures on which the models disagree]",
        ),
    ] = None,
    check_pictures: Annotated[
        int | None,
        option("--check-pictures", Count, "Check maps on so many of the test pictures. [default: all]"),
    ] = None,
    weights: Annotated[
        str | None,
        option(
            "--weights", str, "Of networks by name alone: pretrained, random or a PATH. [default: pretrained]"
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        text_option("--image-size", Pixels | Literal["native"], "Of networks by name alone. [default: 224]"),
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Look into models side by side: what they look at, whether the maps are true, what they learned.

    Examples:
    vitbench inspect
    vitbench inspect photos-1 holiday/dog.jpg
    vitbench inspect swin swinv2 dog.jpg --weights random

    More examples:
    vitbench inspect photos-1/swin-s0 --check-pictures 50
    """
    from vitbench.cli.declared import named_settings
    from vitbench.cli.inspect import inspect_models

    given = {"weights": weights and [weights], "image_size": image_size, "device": device}
    asked = named_settings({name: value for name, value in given.items() if value is not None})
    raise typer.Exit(inspect_models(words or [], results, asked, check_pictures, as_json=json))


def cost(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Families or timm names. [default: vit swin swinv2]"),
    ] = None,
    sizes: Annotated[
        str | None, text_option("--sizes", Sizes, "Image sizes, px. [default: 224,384,512,768,1024]")
    ] = None,
    latency: Annotated[
        float | None,
        option("--latency", Positive, "Find the largest size that needs so many milliseconds at most."),
    ] = None,
    memory: Annotated[
        float | None,
        option("--memory", Positive, "Find the largest size that holds so many megabytes at most."),
    ] = None,
    windows: Annotated[
        Literal["own", "fitted"],
        option(
            "--windows",
            Literal["own", "fitted"],
            "own: a Swin's windows at every size, maps padded; fitted: as train takes them. [default: own]",
        ),
    ] = "own",
    batch: Annotated[int, option("--batch", Count, "Pictures at a time. [default: 1]", panel=READING)] = 1,
    no_times: Annotated[
        bool, typer.Option("--no-times", help="Count only; takes seconds.", rich_help_panel=READING)
    ] = False,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """What models cost over image sizes: multiply-adds, time, memory, and where they cross.

    Examples:
    vitbench cost
    vitbench cost vit swin --sizes 224,448,896 --no-times
    vitbench cost swin --latency 100 --memory 200
    """
    from vitbench.analysis.cost import SIZES
    from vitbench.cli.cost import Asked, show_cost

    asked = Asked(
        models=tuple(models or DEFAULT_MODELS),
        sizes=SIZES if sizes is None else read("--sizes", Sizes, sizes),
        batch=batch,
        windows=windows,
        latency=latency,
        memory=memory,
        no_times=no_times,
    )
    raise typer.Exit(show_cost(asked, device, results, as_json=json))


def suspects(
    name: BenchmarkArgument = None,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """List pictures whose label looks wrong to a benchmark's models that did not learn from them.

    Examples:
    vitbench probe photos --folds 5 && vitbench data suspects
    vitbench data suspects photos-1
    vitbench data suspects photos-1 --json

    Leaves suspects/ in the benchmark's folder: a page of the pictures with every model's answer and the
    nearest pictures of the other class, and suspects.csv, whose column right_label is yours to fill in.
    With folds every picture is asked about, else the test pictures alone.
    """
    from vitbench.cli.suspects import show_suspects

    raise typer.Exit(show_suspects(name, results, device, as_json=json))


def export(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|RUN",
            help="A run (photos-1/swin-s0), or a benchmark, of which the best model is taken. [default: the "
            "newest benchmark]",
        ),
    ] = None,
    to: Annotated[
        Literal["onnx", "pt2"],
        option("--to", Literal["onnx", "pt2"], "onnx, or pt2 of torch.export. [default: onnx]"),
    ] = "onnx",
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Weights of a transformer in a byte each, tested against fp32; refused where worse.",
        ),
    ] = False,
    max_drop: Annotated[
        float | None,
        option("--max-drop", Drop, "Points of accuracy that --int8 may lose at most. [default: 1]"),
    ] = None,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Make a trained model one ONNX file that answers as here, checked on the whole test set.

    Examples:
    vitbench export
    vitbench export photos-1/swin-s0
    vitbench export photos-1 --int8 --max-drop 0.5

    Into results/NAME/export/: the model with normalisation and softmax inside, a model card, a test vector
    and a script that needs numpy, Pillow and onnxruntime only. Needs `pip install 'vitbench[onnx]'`.

    More examples:
    vitbench export --to pt2
    """
    if max_drop is not None and not int8:
        raise UsageError("--max-drop: is of --int8; add that, or leave it away")
    from vitbench.benchmark.export import Wanted
    from vitbench.cli.export import export_model

    raise typer.Exit(export_model(name, results, Wanted.of(to, int8, max_drop), as_json=json))


def transfer(
    name: BenchmarkArgument = None,
    sizes: Annotated[
        str | None,
        text_option(
            "--sizes", Sizes, "Image sizes, px. [default: 1.5 and 2 times the own one, where nothing pads]"
        ),
    ] = None,
    windows: Annotated[
        str | None,
        text_option(
            "--windows",
            Sizes,
            "Swin's windows in its first stage, one per size or one for all. [default: as much larger as the "
            "pictures]",
        ),
    ] = None,
    epochs: Annotated[
        int, option("--epochs", Epochs, "Of further training at each size; 0: none. [default: 3]")
    ] = 3,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """The paper's window and resolution table on one's own models and pictures.

    Examples:
    vitbench transfer
    vitbench transfer photos-1 --sizes 336,448 --epochs 0
    vitbench transfer photos-1 --sizes 128,128 --windows 4,8
    """
    from vitbench.cli.transfer import show_transfer

    given_sizes, given_windows = (
        () if text is None else read(flag, Sizes, text)
        for flag, text in (("--sizes", sizes), ("--windows", windows))
    )
    raise typer.Exit(show_transfer(name, given_sizes, given_windows, epochs, device, results, as_json=json))


def stress(
    name: BenchmarkArgument = None,
    corruptions: Annotated[
        str | None,
        text_option(
            "--corruptions",
            tuple[str, ...],
            "Of gaussian, shot, impulse, defocus, motion, zoom, brightness, contrast, saturation, jpeg, "
            "pixelation, elastic; all; or none. [default: eight of them]",
            metavar="NAME,…",
        ),
    ] = None,
    severities: Annotated[
        str | None, text_option("--severities", Levels, "Of 1 to 5, ImageNet-C's. [default: 1,3,5]")
    ] = None,
    shifts: Annotated[
        str | None,
        text_option(
            "--shifts",
            Levels,
            "How far pictures are shifted, px, in eight directions; or none. [default: 1,8]",
        ),
    ] = None,
    seed: Annotated[int, option("--seed", Seed, "Of what is drawn. [default: 0]", panel=READING)] = 0,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """What trained models bear: accuracy on damaged and shifted test pictures, against each other.

    Examples:
    vitbench stress
    vitbench stress photos-1 --corruptions motion,jpeg --severities 1,2,3,4,5
    vitbench stress photos-1 --corruptions none --shifts 1,4,8,16

    A call that was stopped goes on where it was; one with more conditions answers only those.
    """
    from vitbench.analysis.corruptions import DEFAULT, DEFAULT_SEVERITIES
    from vitbench.analysis.shifts import DEFAULT as DEFAULT_SHIFTS
    from vitbench.cli.stress import stress_models

    kinds = DEFAULT if corruptions is None else _listed("--corruptions", tuple[str, ...], corruptions)
    levels = DEFAULT_SEVERITIES if severities is None else _listed("--severities", Levels, severities)
    far = DEFAULT_SHIFTS if shifts is None else _listed("--shifts", Levels, shifts)
    raise typer.Exit(stress_models(name, results, kinds, levels, far, seed, device, as_json=json))


def _listed(flag: str, kind: Any, text: str) -> Any:
    """What a comma-separated option names; "none": nothing."""
    return () if text == "none" else read(flag, kind, text)
