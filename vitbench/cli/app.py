"""The commands, one after the other; those that train, and `data`, have modules of their own.

Nothing heavy is imported before a command runs: `--help` never loads torch.
"""

from pathlib import Path
from typing import Annotated

import typer

from vitbench.cli.commands import App, Group
from vitbench.cli.data import data_app
from vitbench.cli.options import (
    OUTPUTS,
    READING,
    RESULTS,
    AnonymousOption,
    DeviceOption,
    Format,
    JsonOption,
    NoImagesOption,
    Output,
    Outputs,
    ResultsOption,
    option,
    two_ends,
)
from vitbench.cli.studies import cost, export, inspect, stress, suspects, transfer
from vitbench.cli.sweep import sweep
from vitbench.cli.train import pretrain, probe, train
from vitbench.errors import UsageError
from vitbench.options import Count, Points, Positive

app = App(
    name="vitbench",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
data_app.command()(suspects)
app.add_typer(data_app, name="data")


@app.command()
def demo(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Where the built-in pictures go. [default: demo-pictures]",
            show_default=False,
        ),
    ] = Path("demo-pictures"),
    results: ResultsOption = RESULTS,
) -> None:
    """Train, compare and predict on the built-in pictures: the whole way in minutes.

    Examples:
    vitbench demo
    vitbench demo pictures --results trials
    vitbench compare               the table of it once more
    """
    from vitbench.cli.demo import run_demo

    raise typer.Exit(run_demo(folder, results))


app.command()(train)
app.command()(probe)
app.command()(pretrain)


@app.command()
def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Benchmarks, and exported models. [default: the newest]"),
    ] = None,
    baseline: Annotated[
        str,
        option("--baseline", str, "Compare every model with this one only: fewer pairs, sharper tests."),
    ] = "",
    margin: Annotated[
        float | None,
        option("--margin", Points, "Call models equivalent whose difference lies within ± so many points."),
    ] = None,
    detect: Annotated[
        float | None,
        option("--detect", Points, "Say how many test pictures a difference of so many points would need."),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Benchmarks on different pictures: a row per data set.")
    ] = False,
    form: Annotated[
        Format | None,
        option("--format", Format, "Print the table as md, csv, latex or json.", panel=OUTPUTS),
    ] = None,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Print every number, test and note, and what each means.",
            rich_help_panel=OUTPUTS,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        option(
            "--report", Path, "Write the report to FILE.html, its data to FILE.json.", metavar="FILE.html"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        option("--data", Path, "Where the pictures of the benchmark are now; their content is compared."),
    ] = None,
    no_images: NoImagesOption = False,
    anonymous: AnonymousOption = False,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Show the comparison of one benchmark, its files written anew, or of several on the same test set.

    Examples:
    vitbench compare
    vitbench compare photos-1 --details
    vitbench compare photos-1 --report for-you.html

    More examples:
    vitbench compare photos-1 photos-2
    vitbench compare --baseline swin --margin 2 --detect 3
    vitbench compare photos-1 --report for-you.html --anonymous --no-images
    vitbench compare --format latex > table.tex
    vitbench compare photos-1 --data /mnt/photos
    vitbench compare --across pets-1 flowers-1 tools-1
    """
    output = Output("json" if json and form is None else form, report, not no_images, anonymous, details)
    output.check()
    from vitbench.cli.compare import compare_across, compare_benchmarks

    if across:
        if report or baseline or margin or detect or data or details:
            raise UsageError(
                "--across: knows no --report, --details, --baseline, --margin, --detect or --data; leave "
                "them away"
            )
        raise typer.Exit(compare_across(names or [], results, output))
    from vitbench.comparison.measured import CompareOptions

    points = {name: value and value / 100 for name, value in (("margin", margin), ("detect", detect))}
    raise typer.Exit(
        compare_benchmarks(names or [], results, CompareOptions(baseline, **points), output, data)
    )


@app.command()
def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="Pictures, folders of them, patterns ('*.jpg'); - reads paths from stdin."
        ),
    ],
    run: Annotated[
        str | None,
        option(
            "--run",
            str,
            "A benchmark, a run of it (NAME/vit-s0), or the path of a saved model. "
            "[default: the newest benchmark]",
            metavar="NAME",
        ),
    ] = None,
    models: Annotated[
        str | None,
        option("--models", str, "Only these of its models, comma-separated.", metavar="MODEL,…"),
    ] = None,
    top_k: Annotated[int, option("--top-k", Count, "Answers per model. [default: 1]")] = 1,
    every: Annotated[
        bool, typer.Option("--all", help="Print every picture, also where they are more than a screen.")
    ] = False,
    sheet: Annotated[
        Path | None,
        option("--sheet", Path, "Write a picture of photos and answers.", metavar="FILE.png"),
    ] = None,
    report: Annotated[
        Path | None,
        option(
            "--report",
            Path,
            "Write a page of photos and answers, its data to FILE.json.",
            metavar="FILE.html",
        ),
    ] = None,
    out: Annotated[
        Path | None, option("--out", Path, "Write the answers to FILE.csv or FILE.json.", metavar="FILE")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Maps of what each answer rests on, in --sheet, --report, --json and --out."
        ),
    ] = False,
    no_images: NoImagesOption = False,
    anonymous: AnonymousOption = False,
    device: DeviceOption = "auto",
    pixel_range: Annotated[
        str | None,
        option(
            "--pixel-range",
            str,
            "What is black and what is white in pictures of more than 8 bits. [default: as in training]",
            metavar="LOW,HIGH",
            panel=READING,
        ),
    ] = None,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Ask every model what a picture shows.

    Examples:
    vitbench predict photo.jpg
    vitbench predict holiday/ --sheet answers.png
    vitbench predict holiday/ --report answers.html --explain

    More examples:
    find . -name '*.jpg' | vitbench predict - --json
    """
    outputs = Outputs(json, out, sheet, report, not no_images, anonymous, every, explain)
    outputs.check()
    from vitbench.cli.predict import predict_images

    wanted = [name.strip() for name in models.split(",")] if models else []
    raise typer.Exit(
        predict_images(images, run, wanted, results, device, top_k, outputs, two_ends(pixel_range))
    )


app.command()(inspect)
app.command()(cost)
app.command()(transfer)
app.command()(export)
app.command()(stress)
app.command()(sweep)


@app.command("models")
def list_models(
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", help="timm's own names that match instead, e.g. 'convnext*'."),
    ] = None,
    models: Annotated[
        str | None,
        option("--models", str, "Only these, comma-separated. [default: all aliases]", metavar="MODEL,…"),
    ] = None,
    max_params: Annotated[
        float | None, option("--max-params", Positive, "Millions of parameters at most.")
    ] = None,
    max_gmacs: Annotated[
        float | None, option("--max-gmacs", Positive, "GMACs at the native size at most.")
    ] = None,
    download: Annotated[
        Path | None,
        option(
            "--download",
            Path,
            "Fetch pretrained weights into DIR, for --weights DIR without a network.",
            metavar="DIR",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models: names, sizes, what they were pretrained on, licence of the weights.

    Examples:
    vitbench models --max-params 10
    vitbench models 'convnext_*'
    vitbench models --download weights --models vit,swin
    """
    from vitbench.cli.show import download_models, show_models

    if pattern is not None and models is not None:
        raise UsageError(f"--models {models}: names models, as the pattern {pattern} does; give one of them")
    if download is not None and any(given is not None for given in (pattern, max_params, max_gmacs)):
        raise UsageError("--download: fetches what --models says; leave the other options away")
    if download is not None:
        download_models(download, models)
        return
    show_models(pattern, max_params, max_gmacs, models, as_json=json)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"vitbench {version('vitbench')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which vision transformer is best on my pictures, and how sure can I be?

    Examples:
    vitbench demo                  the whole way in minutes, on built-in pictures
    vitbench train photos          photos/ has a sub-folder per class
    vitbench predict holiday.jpg   what every model says
    """
