"""`vitbench train`, `probe` and `pretrain`: what each is for, and how a call of them is carried out."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from vitbench.cli.declared import CommandOptions, declares
from vitbench.cli.options import DATA, status_of
from vitbench.settings import Settings

if TYPE_CHECKING:
    from vitbench.benchmark.train import TrainRequest
    from vitbench.comparison.nouns import Comparison
    from vitbench.records import Benchmark


@declares("train")
def train(asked: Settings, call: CommandOptions) -> None:
    """Fine-tune several models on DATA and compare them.

    Examples:
    vitbench train photos
    vitbench train photos --models vit,deit --image-size 96
    vitbench train --resume

    More examples:
    vitbench train photos --folds 5 --group 'scene(\\d+)'
    vitbench train photos --models deit-distilled --teacher resnet50
    vitbench train photos --models vit --arms scratch,simmim,distill
    vitbench train --name photos-1 --models swinv2-cr
    vitbench train photos --name photos-1 --seeds 0,1,2 --shard 2/8
    """
    conduct(asked, call)


@declares("probe")
def probe(asked: Settings, call: CommandOptions) -> None:
    """Rank pretrained models on DATA in minutes: frozen features and a linear head, nothing is trained.

    Examples:
    vitbench probe photos
    vitbench probe photos --models tiny
    vitbench probe photos --models 'vit,resnet50,convnext_*' --max-params 30
    """
    if call.max_params is not None or call.max_gmacs is not None or "models" in asked.model_fields_set:
        from vitbench.cli.show import say
        from vitbench.models.listing import selected

        found = selected(asked.models, call.max_params, call.max_gmacs, asked.image_size, say)
        asked = asked.model_copy(update={"models": tuple(found)})
    conduct(asked, call)


@declares("pretrain")
def pretrain(asked: Settings, call: CommandOptions) -> None:
    """Pre-train encoders on any pictures, labels unread: most of each is hidden, to be rebuilt (SimMIM).

    Examples:
    vitbench pretrain photos --name first
    vitbench train photos --weights first      goes on from its encoders
    vitbench pretrain --resume

    The pictures that `train` would test on are left out.

    More examples:
    vitbench pretrain unsorted --models vit,swin --image-size 96 --mask-size 16
    vitbench pretrain photos --mask-ratio 0.5 --mask-target normalised
    """
    conduct(asked, call)


def conduct(asked: Settings, call: CommandOptions) -> None:
    """`train`, `probe` and `pretrain`: plan, carry out, show."""
    from vitbench.benchmark.beside import apart
    from vitbench.data.scan import refuse_unusable
    from vitbench.errors import ClassesError

    if call.track is not None:
        from vitbench.training.track import check

        check(call.track)
    from vitbench.benchmark.engines import Where

    where = Where(call.engine, call.address)
    where.refuse(asked.jobs, dry_run=call.dry_run)
    resume = call.resume or call.allow_changed
    if not (resume or call.name):
        # What can be said in half a second is said before torch is loaded.
        unread = (ClassesError,) if asked.recipe == "simmim" else ()
        with contextlib.suppress(*unread):
            refuse_unusable(call.data or DATA, asked.layout)
    from vitbench.benchmark.shard import Shard
    from vitbench.benchmark.train import TrainRequest, carry_out
    from vitbench.cli.progress import watch

    shard = None if call.shard is None else Shard.of(call.shard)
    request = TrainRequest(
        asked, call.data, call.name, call.results, resume, shard, call.allow_changed, where
    )
    if call.dry_run:
        raise typer.Exit(_show_plan(request, as_json=call.as_json))
    made: list[Comparison] = []
    jobs = asked.jobs if "jobs" in asked.model_fields_set else None
    again = {"shard": call.shard, "track": call.track, "jobs": jobs, **where.options}
    with watch(call.results, **again) as display:
        benchmark = carry_out(request, display, call.track, made.append, apart=apart())
    runs = shard.share(benchmark.runs) if shard else benchmark.runs
    if shard is None or benchmark.finished:
        _show(benchmark, made, as_json=call.as_json)
    raise typer.Exit(status_of(sum(run.status == "finished" for run in runs), len(runs)))


def _show_plan(request: "TrainRequest", *, as_json: bool) -> int:
    """`--dry-run`: the plan is the result, on stdout; how it comes about is progress. The exit status."""
    from vitbench.benchmark.auto import equipped
    from vitbench.benchmark.beside import apart
    from vitbench.benchmark.described import described, plan_json
    from vitbench.benchmark.estimate import estimate_jobs
    from vitbench.benchmark.train import prepare
    from vitbench.cli.progress import watch
    from vitbench.files import printable

    with watch(request.results) as display:
        plan, benchmark = prepare(request, display, dry_run=True)
        with equipped(plan, benchmark, display, apart=apart()) as (plan, engine):
            plan, estimates = estimate_jobs(plan, engine, display)
    if as_json:
        print(plan_json(plan, estimates))
    else:
        for line in described(plan, estimates, display.width):
            print(printable(line))
    done = len(plan.jobs) + len(plan.finished)
    return status_of(done, done + len(plan.unfit))


def _show(benchmark: "Benchmark", made: Sequence["Comparison"], *, as_json: bool) -> None:
    """Print what came of it; made: the comparison that its reports were made of, if they were."""
    from vitbench.cli.compare import show
    from vitbench.cli.show import PIPE_WIDTH, closing, say, show_encoders
    from vitbench.comparison.compare import compare

    if benchmark.pretrains:
        show_encoders(benchmark, as_json=as_json)
        return
    comparison = made[-1] if made else compare(benchmark)
    show(comparison, [benchmark], "json" if as_json else None)
    for line in closing(benchmark, comparison, PIPE_WIDTH) if as_json else ():
        say(line.text)
