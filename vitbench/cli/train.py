"""`vitbench train`: its options, and what it shares with `probe` and `pretrain`."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitbench.cli.options import (
    DATA,
    DIVIDING,
    LEARNING,
    RESULTS,
    RUNNING,
    TEACHING,
    AnywayOption,
    BurstOption,
    ConfigOption,
    DataArgument,
    DeviceOption,
    DryRunOption,
    GroupOption,
    ImageSizeOption,
    JsonOption,
    LayoutOption,
    MaskRatioOption,
    MaskSizeOption,
    MaskTargetOption,
    NameOption,
    NearOption,
    PixelRangeOption,
    PrecisionOption,
    ResultsOption,
    ResumeOption,
    ShardOption,
    SkipOption,
    SplitSeedOption,
    StoreDirOption,
    StoreOption,
    StrictOption,
    TrackOption,
    WeightsOption,
    WorkersOption,
    explicit_settings,
    status_of,
)

if TYPE_CHECKING:
    from vitbench.benchmark.train import Request
    from vitbench.records import Benchmark


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
            help="Augmented views per class and epoch, or all (each picture once); a class with more "
            "pictures shows each once. [default: 200]",
            rich_help_panel=LEARNING,
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
        str | None,
        typer.Option(
            help="finetune, deit (its regularisation) or slides. [default: finetune]",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none, geometry (crop, mirror), light (and some colour), strong, deit. "
            "[default: the recipe's: geometry, or light from random weights]",
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
        float | None, typer.Option(help="Mixup's alpha. [default: 0, off; deit .8]", rich_help_panel=LEARNING)
    ] = None,
    cutmix: Annotated[
        float | None, typer.Option(help="Cutmix's alpha. [default: 0, off; deit 1]", rich_help_panel=LEARNING)
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
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Teach every model what another one knows: a timm name (fine-tuned first, its own row), "
            "a run (NAME/resnet50-s0) or a saved model's folder.",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    distill: Annotated[
        str | None,
        typer.Option(help="hard or soft (DeiT's, both). [default: hard]", rich_help_panel=TEACHING),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="The teacher's weight. [default: .5 hard, .1 soft]", rich_help_panel=TEACHING),
    ] = None,
    tau: Annotated[
        float | None, typer.Option(help="Temperature, soft. [default: 3]", rich_help_panel=TEACHING)
    ] = None,
    distill_through: Annotated[
        str | None,
        typer.Option(
            help="token or logits. [default: the token where a model has one]", rich_help_panel=TEACHING
        ),
    ] = None,
    plain: Annotated[
        bool | None,
        typer.Option(
            "--plain/--no-plain",
            help="Train every model without the teacher too. [default: yes]",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Train the same models in several ways: scratch, pretrained, simmim, distill, or those that "
            "a --config file names ([arms.NAME]).",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    pretrain: Annotated[
        bool,
        typer.Option(
            "--pretrain",
            help="Masked pre-training (SimMIM) on the training pictures first.",
            rich_help_panel=TEACHING,
        ),
    ] = False,
    pretrain_epochs: Annotated[
        int | None, typer.Option(min=1, help="Of that. [default: 100]", rich_help_panel=TEACHING)
    ] = None,
    mask_ratio: MaskRatioOption = None,
    mask_size: MaskSizeOption = None,
    mask_target: MaskTargetOption = None,
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
    precision: PrecisionOption = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures per forward pass. [default: the batch]", rich_help_panel=RUNNING),
    ] = None,
    workers: WorkersOption = None,
    store: StoreOption = None,
    store_dir: StoreDirOption = None,
    track: TrackOption = None,
    shard: ShardOption = None,
    results: ResultsOption = RESULTS,
    name: NameOption = None,
    resume: ResumeOption = False,
    resume_anyway: AnywayOption = False,
    skip_bad: SkipOption = False,
    near: NearOption = None,
    pixel_range: PixelRangeOption = None,
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
    - `vitbench train photos --models deit-distilled --teacher resnet50`
    - `vitbench train photos --models vit --arms scratch,simmim,distill --seeds 0,1,2`
    - `vitbench train --resume`
    - `vitbench train --name photos-1 --models swinv2-cr`
    - `vitbench train photos --name photos-1 --seeds 0,1,2 --shard 2/8`
    """
    explicit = explicit_settings(ctx.params)
    conduct(explicit, Call(data, name, results, resume, resume_anyway, dry_run, json, track, shard))


@dataclass(frozen=True, slots=True)
class Call:
    """What a call of `train`, `probe` or `pretrain` says besides its `Settings`."""

    data: Path | None
    name: str | None
    results: Path
    resume: bool
    resume_anyway: bool
    dry_run: bool
    as_json: bool
    track: str | None = None
    shard: str | None = None


def conduct(explicit: dict[str, Any], call: Call) -> None:
    """`train`, `probe` and `pretrain`: plan, carry out, show."""
    from vitbench.cli import supervise
    from vitbench.data.scan import refuse_unusable
    from vitbench.errors import ClassesError, DeviceLostError

    if call.track is not None:
        from vitbench.training.track import check

        check(call.track)
    resume = call.resume or call.resume_anyway
    if not (resume or call.name):
        # What can be said in half a second is said before torch is loaded.
        unread = (ClassesError,) if explicit.get("recipe") == "simmim" else ()
        with contextlib.suppress(*unread):
            refuse_unusable(call.data or DATA, explicit.get("layout", "auto"))
    from vitbench.benchmark.shard import Shard
    from vitbench.benchmark.train import Request, carry_out
    from vitbench.cli.progress import watch

    shard = None if call.shard is None else Shard.of(call.shard)
    request = Request(explicit, call.data, call.name, call.results, resume, shard, call.resume_anyway)
    if (left := supervise.inherited) is not None:
        request = dataclasses.replace(request, crashed=left.crashed)
        if left.benchmark is not None:
            request = request.after(left.benchmark, left.leave)
    if call.dry_run:
        raise typer.Exit(_show_plan(request, as_json=call.as_json))
    with watch(call.results, shard=call.shard, track=call.track) as display:
        try:
            benchmark = carry_out(request, display, call.track)
        except DeviceLostError as error:
            supervise.tell(lost=error.run)
            raise
    runs = shard.share(benchmark.runs) if shard else benchmark.runs
    if shard is None or benchmark.finished:
        _show(benchmark, as_json=call.as_json)
    raise typer.Exit(status_of(sum(run.status == "finished" for run in runs), len(runs)))


def _show_plan(request: "Request", *, as_json: bool) -> int:
    """`--dry-run`: the plan is the result, on stdout; how it comes about is progress. The exit status."""
    from vitbench.benchmark.described import described, plan_json
    from vitbench.benchmark.estimate import estimate_jobs
    from vitbench.benchmark.train import prepare
    from vitbench.cli.progress import watch
    from vitbench.files import shown

    with watch(request.results) as display:
        plan, _ = prepare(request, display, dry_run=True)
        estimates = estimate_jobs(plan, display)
    if as_json:
        print(plan_json(plan, estimates))
    else:
        for line in described(plan, estimates):
            print(shown(line))
    done = len(plan.jobs) + len(plan.finished)
    return status_of(done, done + len(plan.unfit))


def _show(benchmark: "Benchmark", *, as_json: bool) -> None:
    from vitbench.cli.compare import show
    from vitbench.cli.show import show_encoders, show_files
    from vitbench.comparison.table import compare_many

    if benchmark.pretrains:
        show_encoders(benchmark, as_json=as_json)
        return
    comparison = compare_many([benchmark])
    show(comparison, "json" if as_json else None)
    show_files(benchmark, comparison)
