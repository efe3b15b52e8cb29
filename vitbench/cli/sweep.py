"""`vitbench sweep`: accuracy over pictures per class, as an answer, a table, files and a page."""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitbench.cli.declared import CommandOptions, named_settings, parameter_of
from vitbench.cli.options import DATA, RESULTS, JsonOption, ResultsOption, option, status_of, text_option
from vitbench.defaults import DISTILLED
from vitbench.errors import UsageError
from vitbench.options import DIVIDING, LEARNING, RUNNING, Count, Folds, Points, read
from vitbench.settings import Settings

if TYPE_CHECKING:
    from vitbench.benchmark.sweep import Outcome, SweepRequest

Sizes = tuple[Count | Literal["all"], ...]
TAKEN = (
    "models", "weights", "seeds", "image_size", "quick", "epochs", "per_class", "batch_size", "lr", "recipe",
    "augment", "teacher", "group", "burst_seconds", "split_seed", "layout", "near_duplicates", "skip_bad",
    "pixel_range", "device", "jobs", "workers", "store", "store_dir",
)  # fmt: skip
"""The options of `train` that mean the same here."""
OF_TRAINING = ("epochs", "per_class", "batch_size", "lr", "recipe", "augment")
FOLDS = Folds | Literal["none"]
ENGINES = Literal["local", "ray"]


def _sweep(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Folder of class folders, or of train/ val/ test/. [default: data]",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        str | None,
        text_option("--shots", Sizes, "Groups of pictures per class. [default: 1,2,4,8,16,32,all]"),
    ] = None,
    draws: Annotated[
        int | None, option("--draws", Count, "Draws of each size, the same for all models. [default: 20]")
    ] = None,
    reach: Annotated[
        float | None,
        option(
            "--reach",
            Points,
            "How many each model needs for so many percent. [default: what all reach, in steps of 5]",
        ),
    ] = None,
    arms: Annotated[
        str | None,
        text_option(
            "--arms",
            tuple[str, ...],
            "Train too, at fewer sizes: finetune, distill (DeiT's), scratch, pretrained, simmim, or those of "
            "--config. [default: frozen features and a head alone]",
            metavar="NAME,…",
        ),
    ] = None,
    trained_shots: Annotated[
        str | None, text_option("--trained-shots", Sizes, "Sizes for what is trained. [default: 4,16,all]")
    ] = None,
    trained_draws: Annotated[
        int | None, option("--trained-draws", Count, "Draws for what is trained. [default: 3]")
    ] = None,
    folds: Annotated[
        str | None,
        text_option(
            "--folds",
            FOLDS,
            "Test every picture once, in so many folds, auto (where the test part is small) or none. "
            "[default: 5 where DATA has no test/ of its own]",
            panel=DIVIDING,
        ),
    ] = None,
    config: Annotated[
        str | None,
        text_option(
            "--config",
            Path,
            "TOML file with options of train, arms too.",
            metavar="FILE.toml",
            panel=LEARNING,
        ),
    ] = None,
    engine: Annotated[
        str,
        text_option(
            "--engine",
            ENGINES,
            "local, or ray: features of a network and each training are tasks of a Ray cluster, or of a Ray "
            "started here (`pip install 'vitbench[ray]'`); heads take milliseconds and are fitted here.",
            panel=RUNNING,
        ),
    ] = "local",
    name: Annotated[
        str | None,
        text_option("--name", str, "The folder. [default: FOLDER-sweep]", metavar="NAME", panel=RUNNING),
    ] = None,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
    **given: Any,
) -> None:
    """What more photos per class are worth, and which model needs fewest: accuracy over how many there are.

    Examples:
    vitbench sweep photos
    vitbench sweep photos --models vit,swin --reach 90
    vitbench sweep photos --arms finetune,scratch --trained-shots 4,16

    Every cell is kept: the same call goes on where it was stopped, and more --draws reuse what is there.
    """
    from vitbench.benchmark.engines import Where
    from vitbench.benchmark.sweep import DRAWS, SHOTS, TRAINED_DRAWS, TRAINED_SHOTS, SweepRequest

    where = Where(read("--engine", ENGINES, engine), given.pop("address", None))
    request = SweepRequest(
        settings=_settings(given, arms, config),
        data=data or DATA,
        shots=_sizes("--shots", shots) or SHOTS,
        draws=DRAWS if draws is None else draws,
        trained_shots=_sizes("--trained-shots", trained_shots) or TRAINED_SHOTS,
        trained_draws=TRAINED_DRAWS if trained_draws is None else trained_draws,
        reach=reach,
        folds=None if folds is None else read("--folds", FOLDS, folds),
        name=name,
        results=results,
        where=where,
    )
    where.refuse(request.settings.jobs)
    told = {"--trained-shots": trained_shots, "--trained-draws": trained_draws}
    told |= {Settings.flags(one)[0]: given.get(one) for one in OF_TRAINING}
    idle = [flag for flag, value in told.items() if value is not None]
    if idle and not request.settings.arms:
        raise UsageError(f"{idle[0]}: nothing is trained without --arms; add --arms finetune")
    raise typer.Exit(_show(request, as_json=json))


def _with_options_of_train() -> Any:
    """`sweep`, with the options of `train` that it takes."""

    def sweep(**given: Any) -> None:
        _sweep(**given)

    own = [one for one in inspect.signature(_sweep).parameters.values() if one.name != "given"]
    first, behind = own[:7], own[7:]
    taken = [parameter_of(Settings, name, "train") for name in TAKEN]
    taken.append(parameter_of(CommandOptions, "address", "train"))
    every = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*first, *taken, *behind)]
    sweep.__doc__ = _sweep.__doc__
    sweep.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    sweep.__annotations__ = {}
    return sweep


sweep = _with_options_of_train()


def _sizes(flag: str, text: str | None) -> Any:
    return None if text is None else read(flag, Sizes, text)


def _settings(given: dict[str, Any], arms: str | None, config: str | None) -> Settings:
    """What the call names, arms with what they set."""
    from vitbench.benchmark.sweep import arms_of

    said = {name: value for name, value in given.items() if value is not None}
    teacher = said.pop("teacher", None)
    settings = named_settings({**said, "config": config})
    if arms is None:
        if teacher:
            raise UsageError(f"--teacher {teacher}: no arm learns from it; add --arms distill")
        return settings.model_copy(update={"arms": {}}) if settings.arms else settings
    named = [one.strip() for one in arms.split(",") if one.strip()]
    own = [one for one in named if one in settings.arms]
    usual = arms_of([one for one in named if one not in own], teacher)
    if teacher and DISTILLED not in usual:
        raise UsageError(f"--teacher {teacher}: no arm learns from it; add distill to --arms")
    asked = settings.model_dump(exclude_unset=True)
    return Settings.of({**asked, "arms": {one: settings.arms.get(one, usual.get(one)) for one in named}})


def _show(request: "SweepRequest", *, as_json: bool) -> int:
    """Carry out and print; the exit status: 3 where a cell failed."""
    from vitbench.benchmark.beside import apart
    from vitbench.benchmark.sweep import carry_out
    from vitbench.cli.progress import watch
    from vitbench.cli.show import say
    from vitbench.data.scan import refuse_unusable
    from vitbench.errors import StoppedError

    refuse_unusable(request.data, request.settings.layout)
    try:
        with watch(request.results) as board:
            done = carry_out(request, board, apart=apart())
    except StoppedError as error:
        way_on = f"stopped; every finished cell is kept; `{request.again}` goes on"
        raise StoppedError(way_on, error.exit_code - 128) from None
    for note in done.notes:
        say(f"note: {note}")
    if as_json:
        content = json.loads((done.folder / "numbers.json").read_text(encoding="utf-8"))
        print(json.dumps({"folder": str(done.folder), **content}, ensure_ascii=False))
    else:
        _print(done)
    there = sum(int(count) for count in done.found.curve["draws"])
    return status_of(there, there + done.missing)


def _print(done: "Outcome") -> None:
    """The answer, the curve, what the last doubling brought, where the page is."""
    from vitbench.cli.show import show_sentences, show_table
    from vitbench.reports.sweep import curve_table, gain_table
    from vitbench.reports.sweep_words import answer

    show_sentences(answer(done.found))
    print("Accuracy in percent ± standard deviation of single draws")
    show_table(*curve_table(done.found), ["photos"])
    print()
    show_table(*gain_table(done.found), ["points"])
    print(f"page: {done.folder / 'report.html'}, every number beside it")
