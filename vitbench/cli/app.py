"""The commands. Nothing heavy is imported before a command runs: `--help` never loads torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitbench.cli.data import data_app
from vitbench.cli.options import (
    DATA,
    EXIT_PARTLY,
    RESULTS,
    AnonymousOption,
    JsonOption,
    NoImagesOption,
    Output,
    Outputs,
    ResultsOption,
    explicit_settings,
)
from vitbench.errors import UsageError

if TYPE_CHECKING:
    from vitbench.records import Benchmark

LEARNING, DIVIDING, RUNNING = "How it learns", "How the pictures are divided", "How it runs"

DataArgument = Annotated[
    Path | None, typer.Argument(help="Folder of class folders, or of train/ val/ test/. [default: data]")
]
SplitSeedOption = Annotated[
    int | None, typer.Option(help="Seed of the split. [default: 0]", rich_help_panel=DIVIDING)
]
LayoutOption = Annotated[
    str | None, typer.Option(help="auto, flat or split. [default: auto]", rich_help_panel=DIVIDING)
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="What keeps pictures on one side: a pattern over paths, such as 'scene(\\d+)', or a csv with "
        "the columns path and group.",
        rich_help_panel=DIVIDING,
    ),
]
BurstOption = Annotated[
    float | None,
    typer.Option(
        help="Keep pictures of a class on one side that were taken within so many seconds (EXIF).",
        rich_help_panel=DIVIDING,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]", rich_help_panel=RUNNING),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0, help="Threads that prepare pictures ahead. [default: by device]", rich_help_panel=RUNNING
    ),
]
StoreDirOption = Annotated[
    Path | None,
    typer.Option(
        "--store-dir",
        help="Folder that keeps decoded pictures for later epochs, models and benchmarks. "
        "[default: pictures/ in $VITBENCH_CACHE or the user's cache folder]",
        rich_help_panel=RUNNING,
    ),
]
StoreOption = Annotated[
    bool | None,
    typer.Option("--store/--no-store", help="Keep decoded pictures. [default: yes]", rich_help_panel=RUNNING),
]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(help="pretrained, random, auto, PATH, or MODEL=PATH; repeatable. [default: pretrained]"),
]
ImageSizeOption = Annotated[
    str | None,
    typer.Option(help="Pixels, or native for each model's own. [default: 224]", rich_help_panel=LEARNING),
]
NameOption = Annotated[str | None, typer.Option(help="The benchmark's folder. [default: FOLDER-DATE-N]")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")]
AnywayOption = Annotated[
    bool,
    typer.Option(
        "--resume-anyway",
        help="Go on also where torch and its kin, or the number of threads, have changed since: the weights "
        "are then not equal to the last bit to those of an uninterrupted run, and the table says so.",
    ),
]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")]
NearOption = Annotated[
    bool | None,
    typer.Option(
        "--near-duplicates/--no-near-duplicates",
        help="Look for near-copies (encoded again, resized, mirrored …) and keep them on one side. "
        "[default: yes]",
        rich_help_panel=DIVIDING,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse leaks, clashing labels and signs of augmented copies.",
        rich_help_panel=DIVIDING,
    ),
]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML file with these options; options beat it.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Carry out every N-th run only, from the K-th on: N such calls with one --name fill one "
        "benchmark, at the same time or not; each can be started again as it was.",
        rich_help_panel=RUNNING,
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan, write nothing.")]

app = typer.Typer(
    name="vitbench",
    help="Which vision transformer is best on my pictures, and how sure can I be?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the built-in pictures go.")] = Path("demo-pictures"),
    results: ResultsOption = RESULTS,
) -> None:
    """Train, compare and predict on the built-in pictures: the whole way in minutes.

    Example: `vitbench demo`
    """
    from vitbench.cli.demo import run_demo

    raise typer.Exit(run_demo(folder, results))


@app.command()
def train(
    ctx: typer.Context,
    data: DataArgument = None,
    models: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: vit, deit, deit-distilled, swin, swinv2, swinv2-w16, swinv2-cr, "
            "any timm name, or all. [default: vit,swin,swinv2]"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 30]", rich_help_panel=LEARNING)] = None,
    per_class: Annotated[
        str | None,
        typer.Option(
            help="Augmented views per class and epoch, or all. [default: 200]", rich_help_panel=LEARNING
        ),
    ] = None,
    image_size: ImageSizeOption = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Global batch. [default: 32]", rich_help_panel=LEARNING)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate. [default: the recipe's]", rich_help_panel=LEARNING)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="finetune or slides. [default: finetune]", rich_help_panel=LEARNING)
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none, geometry (crop, mirror), light (and some colour), strong. [default: the recipe's]",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Mirror views; not where left and right differ.",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    mixup: Annotated[
        float | None, typer.Option(help="Mixup's alpha. [default: 0, off]", rich_help_panel=LEARNING)
    ] = None,
    cutmix: Annotated[
        float | None, typer.Option(help="Cutmix's alpha. [default: 0, off]", rich_help_panel=LEARNING)
    ] = None,
    drop_path: Annotated[
        float | None, typer.Option(help="Stochastic depth. [default: the recipe's]", rich_help_panel=LEARNING)
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            "--ema", help="Decay of a moving average of the weights. [default: off]", rich_help_panel=LEARNING
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after so many epochs without a better val score.", rich_help_panel=LEARNING
        ),
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=6,
            help="Train so many settings (lr × 1, 1/3, 3, then another augmentation) and keep the one that "
            "is best on val.",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    weights: WeightsOption = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated, e.g. 0,1,2. [default: 0]")] = None,
    with_probe: Annotated[
        bool | None,
        typer.Option(
            "--with-probe/--no-probe",
            help="Show each model's own frozen probe beside it. [default: where it costs little]",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            help="Cross-validate, so that every picture is a test picture: how many folds, or auto (5 where "
            "the test part would have fewer than 100 pictures). [default: one split]",
            rich_help_panel=DIVIDING,
        ),
    ] = None,
    final: Annotated[
        str | None,
        typer.Option(
            help="What answers for a model with folds: folds (its folds' models together) or retrain (one "
            "more model, on all pictures). [default: folds]",
            rich_help_panel=DIVIDING,
        ),
    ] = None,
    group: GroupOption = None,
    burst_seconds: BurstOption = None,
    split_seed: SplitSeedOption = None,
    layout: LayoutOption = None,
    device: DeviceOption = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32, bf16, fp16. [default: auto]", rich_help_panel=RUNNING)
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures per forward pass. [default: the batch]", rich_help_panel=RUNNING),
    ] = None,
    workers: WorkersOption = None,
    store: StoreOption = None,
    store_dir: StoreDirOption = None,
    track: Annotated[
        str | None,
        typer.Option(
            help="Show every epoch in tensorboard, wandb or trackio too (`pip install 'vitbench[track]'`).",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    shard: ShardOption = None,
    results: ResultsOption = RESULTS,
    name: NameOption = None,
    resume: ResumeOption = False,
    resume_anyway: AnywayOption = False,
    skip_bad: SkipOption = False,
    near: NearOption = None,
    strict: StrictOption = False,
    config: ConfigOption = None,
    dry_run: DryRunOption = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="64 px, few views and epochs: the whole way in minutes.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fine-tune several models on DATA and compare them.

    Examples:

    - `vitbench train photos`
    - `vitbench train photos --models vit,deit --image-size 96`
    - `vitbench train photos --folds 5 --group 'scene(\\d+)'`
    - `vitbench train --resume`
    - `vitbench train --name photos-1 --models swinv2-cr`
    - `vitbench train photos --name photos-1 --seeds 0,1,2 --shard 2/8`
    """
    explicit = explicit_settings(ctx.params)
    _benchmark(explicit, _Call(data, name, results, resume, resume_anyway, dry_run, json, track, shard))


@app.command()
def probe(
    ctx: typer.Context,
    data: DataArgument = None,
    models: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: as for train, or tiny (timm's tiny networks), or patterns of timm names "
            "('convnext_*'). [default: vit,swin,swinv2]"
        ),
    ] = None,
    max_params: Annotated[
        float | None, typer.Option(help="Only models of at most so many million parameters.")
    ] = None,
    max_gmacs: Annotated[float | None, typer.Option(help="Only models of at most so many GMACs.")] = None,
    image_size: ImageSizeOption = None,
    weights: WeightsOption = None,
    folds: Annotated[
        str | None,
        typer.Option(
            help="How many folds. [default: 5 where DATA has no test/ of its own]", rich_help_panel=DIVIDING
        ),
    ] = None,
    group: GroupOption = None,
    burst_seconds: BurstOption = None,
    split_seed: SplitSeedOption = None,
    layout: LayoutOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    store: StoreOption = None,
    store_dir: StoreDirOption = None,
    shard: ShardOption = None,
    results: ResultsOption = RESULTS,
    name: NameOption = None,
    resume: ResumeOption = False,
    resume_anyway: AnywayOption = False,
    skip_bad: SkipOption = False,
    near: NearOption = None,
    strict: StrictOption = False,
    config: ConfigOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Rank pretrained models on DATA in minutes: frozen features and a linear head, nothing is trained.

    Examples:

    - `vitbench probe photos`
    - `vitbench probe photos --models vit,swin,resnet50,'convnext_*' --max-params 30`
    - `vitbench probe photos --models tiny --group 'scene(\\d+)'`
    """
    explicit = {**explicit_settings(ctx.params), "recipe": "probe"}
    if max_params is not None or max_gmacs is not None or "models" in explicit:
        from vitbench.cli.show import say
        from vitbench.models.listing import selected
        from vitbench.records import DEFAULT_MODELS

        explicit["models"] = selected(
            explicit.get("models", DEFAULT_MODELS), max_params, max_gmacs, explicit.get("image_size"), say
        )
    _benchmark(explicit, _Call(data, name, results, resume, resume_anyway, dry_run, json, shard=shard))


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call of `train` or `probe` says besides its `Settings`."""

    data: Path | None
    name: str | None
    results: Path
    resume: bool
    resume_anyway: bool
    dry_run: bool
    as_json: bool
    track: str | None = None
    shard: str | None = None


def _benchmark(explicit: dict[str, Any], call: _Call) -> None:
    """`train` and `probe`: plan, carry out, show."""
    from vitbench.cli import supervise
    from vitbench.data.scan import refuse_unusable

    if call.track is not None:
        from vitbench.training.track import check

        check(call.track)
    resume = call.resume or call.resume_anyway
    if not (resume or call.name):
        # What can be said in half a second is said before torch is loaded.
        refuse_unusable(call.data or DATA, explicit.get("layout", "auto"))
    from vitbench.benchmark.shard import Shard
    from vitbench.benchmark.train import Request, announce, carry_out, prepare
    from vitbench.cli.progress import watch
    from vitbench.cli.show import PlanWatch

    shard = None if call.shard is None else Shard.of(call.shard)
    request = Request(explicit, call.data, call.name, call.results, resume, shard, call.resume_anyway)
    if (left := supervise.inherited) is not None:
        request = request.after(left.benchmark, left.leave)
    if call.dry_run:
        plan, _ = prepare(request, PlanWatch(), dry_run=True)
        announce(plan, PlanWatch())
        return
    with watch(call.results) as display:
        benchmark = carry_out(request, display, call.track)
    runs = shard.share(benchmark.runs) if shard else benchmark.runs
    if shard is None or benchmark.finished:
        _show(benchmark, as_json=call.as_json)
    if any(run.status != "finished" for run in runs):
        raise typer.Exit(EXIT_PARTLY)


def _show(benchmark: "Benchmark", *, as_json: bool) -> None:
    from vitbench.cli.compare import show
    from vitbench.cli.show import show_files
    from vitbench.comparison.table import compare_many

    show(compare_many([benchmark]), "json" if as_json else None)
    show_files(benchmark)


@app.command()
def compare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Benchmarks. [default: the newest]")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Compare every model with this one only: fewer pairs, sharper tests.")
    ] = "",
    margin: Annotated[
        float | None,
        typer.Option(help="Call models equivalent whose difference lies within ± so many points."),
    ] = None,
    detect: Annotated[
        float | None,
        typer.Option(help="Say how many test pictures a difference of so many points would need."),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Benchmarks on different pictures: a row per data set.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="md|csv|latex|json", help="Print the table so. [default: a screen]"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report to FILE.html, its data to FILE.json beside it.")
    ] = None,
    no_images: NoImagesOption = False,
    anonymous: AnonymousOption = False,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Show the comparison of one benchmark, its files written anew, or of several on the same test set.

    Examples:

    - `vitbench compare`
    - `vitbench compare --baseline swin --margin 2 --detect 3`
    - `vitbench compare photos-1 photos-2`
    - `vitbench compare photos-1 --report for-you.html --anonymous --no-images`
    - `vitbench compare --format latex > table.tex`
    - `vitbench compare --across pets-1 flowers-1 tools-1`
    """
    output = Output("json" if json and form is None else form, report, not no_images, anonymous)
    output.check()
    from vitbench.cli.compare import compare_across, compare_benchmarks

    if across:
        if report or baseline or margin or detect:
            raise UsageError("--across: knows no --report, --baseline, --margin or --detect; leave them away")
        compare_across(names or [], results, output)
        return
    from vitbench.comparison.basis import Terms

    points = {name: value and value / 100 for name, value in (("margin", margin), ("detect", detect))}
    compare_benchmarks(names or [], results, Terms(baseline, **points), output)


@app.command()
def predict(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|DIR|GLOB|-...", help="Pictures; - reads paths from stdin.")
    ],
    run: Annotated[
        str | None,
        typer.Option(
            help="A benchmark, a run of it (NAME/vit-s0), or the path of a saved model. "
            "[default: the newest benchmark]"
        ),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Only these of its models, comma-separated.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Answers per model.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the answers to FILE.csv or FILE.json.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a picture of photos and answers, FILE.png.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page of photos and answers, FILE.html, and its data, FILE.json."),
    ] = None,
    no_images: NoImagesOption = False,
    anonymous: AnonymousOption = False,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Ask every model what a picture shows.

    Examples:

    - `vitbench predict photo.jpg`
    - `vitbench predict holiday/ --sheet answers.png`
    - `vitbench predict holiday/ --report answers.html`
    - `find . -name '*.jpg' | vitbench predict - --json`
    """
    outputs = Outputs(json, out, sheet, report, not no_images, anonymous)
    outputs.check()
    from vitbench.cli.predict import predict_images

    wanted = [name.strip() for name in models.split(",")] if models else []
    raise typer.Exit(predict_images(images, run, wanted, results, device, top_k, outputs))


@app.command("models")
def list_models(
    pattern: Annotated[
        str | None, typer.Argument(help="Also timm's own names that match, e.g. 'convnext*'.")
    ] = None,
    max_params: Annotated[float | None, typer.Option(help="Millions of parameters at most.")] = None,
    max_gmacs: Annotated[float | None, typer.Option(help="GMACs at the native size at most.")] = None,
    download: Annotated[
        Path | None,
        typer.Option(help="Fetch pretrained weights into DIR, for --weights DIR without a network."),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="What --download fetches. [default: all aliases]")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models: names, sizes, what they were pretrained on, licence of the weights.

    Examples:

    - `vitbench models --max-params 10`
    - `vitbench models 'convnext_*'`
    - `vitbench models --download weights --models vit,swin`
    """
    from vitbench.cli.show import download_models, show_models

    if download is not None:
        download_models(download, models)
        return
    show_models(pattern, max_params, max_gmacs, as_json=json)


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
    """Which vision transformer is best on my pictures, and how sure can I be?"""
