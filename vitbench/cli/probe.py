"""`vitbench probe`: its options, and which models it takes."""

from typing import Annotated

import typer

from vitbench.cli.options import (
    DIVIDING,
    RESULTS,
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
    NameOption,
    NearOption,
    PixelRangeOption,
    ResultsOption,
    ResumeOption,
    ShardOption,
    SkipOption,
    SplitSeedOption,
    StoreDirOption,
    StoreOption,
    StrictOption,
    WeightsOption,
    WorkersOption,
    explicit_settings,
)
from vitbench.cli.train import Call, conduct


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
    pixel_range: PixelRangeOption = None,
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
    conduct(explicit, Call(data, name, results, resume, resume_anyway, dry_run, json, shard=shard))
