"""`vitbench pretrain`: its options; the rest is `train`'s."""

from typing import Annotated

import typer

from vitbench.cli.options import (
    DIVIDING,
    LEARNING,
    RESULTS,
    RUNNING,
    AnywayOption,
    BurstOption,
    ConfigOption,
    DeviceOption,
    DryRunOption,
    GroupOption,
    ImageSizeOption,
    JsonOption,
    MaskRatioOption,
    MaskSizeOption,
    MaskTargetOption,
    NameOption,
    NearOption,
    PicturesArgument,
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
    WorkersOption,
    explicit_settings,
)
from vitbench.cli.train import Call, conduct


def pretrain(
    ctx: typer.Context,
    data: PicturesArgument = None,
    models: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: vit, deit, deit-distilled, swin, swinv2, swinv2-w16, swinv2-cr, or timm "
            "names of their kinds. [default: vit,swin,swinv2]"
        ),
    ] = None,
    mask_ratio: MaskRatioOption = None,
    mask_size: MaskSizeOption = None,
    mask_target: MaskTargetOption = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="[default: 100]", rich_help_panel=LEARNING)
    ] = None,
    image_size: ImageSizeOption = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Global batch. [default: 32]", rich_help_panel=LEARNING)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate. [default: 5e-4]", rich_help_panel=LEARNING)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Mirror views. [default: yes]", rich_help_panel=LEARNING),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="What to begin with: random, pretrained, PATH, or MODEL=PATH; repeatable. [default: random]"
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated, e.g. 0,1,2. [default: 0]")] = None,
    with_test: Annotated[
        bool,
        typer.Option(
            "--with-test",
            help="Learn from the pictures too that `train` would test on.",
            rich_help_panel=DIVIDING,
        ),
    ] = False,
    group: GroupOption = None,
    burst_seconds: BurstOption = None,
    split_seed: SplitSeedOption = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="auto, flat, split, or loose: all pictures, whatever folders they lie in. [default: auto]",
            rich_help_panel=DIVIDING,
        ),
    ] = None,
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
    quick: Annotated[bool, typer.Option("--quick", help="64 px and 3 epochs: a look at the way.")] = False,
    json: JsonOption = False,
) -> None:
    """Pre-train encoders on any pictures, labels unread: most of each is hidden, to be rebuilt (SimMIM).

    The pictures that `train` would test on are left out. `train --weights NAME` goes on from the encoders.

    Examples:

    - `vitbench pretrain photos --name first`, then `vitbench train photos --weights first`
    - `vitbench pretrain unsorted --models vit,swin --image-size 96 --mask-size 16`
    - `vitbench pretrain photos --mask-ratio 0.5 --mask-target normalised`
    - `vitbench pretrain --resume`
    """
    explicit = {**explicit_settings({**ctx.params, "recipe": "simmim"}), "recipe": "simmim"}
    conduct(explicit, Call(data, name, results, resume, resume_anyway, dry_run, json, track, shard))
