"""First weights: from the hub, a file, a saved model, a filled folder, or random ones.

All of a benchmark's weights are found before anything else starts, and what was asked for and is not
to be had is an error: random weights are never slipped in (`auto` says so, loudly).
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vitbench import files
from vitbench.errors import UsageError, VitbenchError, WeightsError, did_you_mean
from vitbench.models import families, hub
from vitbench.models.create import create
from vitbench.models.folder import label_names
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.plan import ModelPlan
from vitbench.models.tensors import check_safetensors
from vitbench.records import Benchmark, Origin, Run
from vitbench.records.commands import command

WAYS_ON = "give --weights PATH, fill the cache (HF_HOME) where there is a network, or use --weights random"
WORDS = ("pretrained", "random", "auto")
UNKNOWN_ORIGIN = "what these weights learned from is not known: test pictures may be among it"
TAGGED = "pretrained:"
"""Before the tag of timm's weights that are not a model's default ones: "pretrained:augreg_in21k"."""


def resolve_weights(
    specs: tuple[str, ...],
    plans: Sequence[ModelPlan],
    timeout_seconds: float = 15.0,
    on_event: Callable[[str], None] = lambda _: None,
    ways_on: str = WAYS_ON,
) -> dict[str, InitialWeights]:
    """What each plan starts from, by alias; everything is on this machine and whole when it returns.

    `specs` are `Settings.weights`: "pretrained" (or "pretrained:TAG"), "random", "auto", a PATH (a
    safetensors file, a saved model's folder, a run, a benchmark with one run of the model, a folder filled
    by `download_weights`), or any of these after "MODEL=" for one model. A hub that makes no progress for
    `timeout_seconds` is given up; a download that moves is never cut. Failures are a one-line
    `WeightsError` that ends in `ways_on`, misuse is a `UsageError`.
    """
    asked = asked_of_each(specs, plans)
    _refuse_shared_file(specs, plans)
    found = {p.alias: _from_path(p, asked[p.alias]) for p in plans if asked[p.alias] not in WORDS}
    _check_fit(plans, found)
    wanted = [p for p in plans if asked[p.alias] in ("pretrained", "auto")]
    required = {p.alias for p in wanted if asked[p.alias] == "pretrained"}
    got = hub.fetch({p.alias: p.timm_name for p in wanted}, required, timeout_seconds, on_event)
    _refuse_failures(got, required, ways_on)
    for plan in wanted:
        outcome = got[plan.alias]
        if isinstance(outcome, Path):
            found[plan.alias] = _pretrained(plan, outcome)
        else:
            note = f"RANDOM first weights, for the pretrained ones are not to be had: {outcome}"
            on_event(f"{plan.alias}: {note}")
            found[plan.alias] = dataclasses.replace(RANDOM, note=note)
    return {p.alias: found.get(p.alias, RANDOM) for p in plans}


def asked_of_each(specs: tuple[str, ...], plans: Sequence[ModelPlan]) -> dict[str, str]:
    """Alias → "pretrained", "random", "auto" or a path; of several for one model the last counts."""
    general = [spec for spec in specs if _split(spec) is None]
    if len(general) > 1:
        raise UsageError(f"--weights {general[0]} and {general[1]}: give one, and MODEL=… for single models")
    asked = {plan.alias: general[0] if general else "pretrained" for plan in plans}
    for spec in specs:
        model, value = _split(spec) or ("", "")
        for plan in plans:
            if model in (plan.alias, plan.timm_name, plan.timm_name.partition(".")[0]):
                asked[plan.alias] = value
    # The plan of a model has the tag in its name already.
    return {alias: "pretrained" if value.startswith(TAGGED) else value for alias, value in asked.items()}


def tag_asked(specs: tuple[str, ...], model: str) -> str:
    """ "augreg_in21k" where "pretrained:augreg_in21k" is asked for a model; "" for its default weights."""
    found = ""
    for spec in specs:
        named, value = _split(spec) or (model, spec)
        if _same(named, model) and value.startswith(TAGGED):
            found = value.removeprefix(TAGGED)
    return found


def weights_for(specs: tuple[str, ...], teacher: str) -> tuple[str, ...]:
    """What a teacher begins with: the specs that name it, and in general pretrained weights.

    Those of a filled folder where it has them; what holds for students in general (random weights, an
    encoder) does not for it.
    """
    mine = [spec for spec in specs if (named := _split(spec)) and _same(named[0], teacher)]
    file = f"{hub.tagged_name(families.timm_name_of(teacher))}.safetensors"
    general = [spec for spec in specs if _split(spec) is None]
    fitting = [spec for spec in general if spec in ("pretrained", "auto") or _is_there(Path(spec) / file)]
    return (*(fitting or ["pretrained"]), *mine)


def _same(name: str, other: str) -> bool:
    """Two names, aliases or timm's, of one architecture, whatever weights they are tagged with."""
    one, two = (families.timm_name_of(each).partition(".")[0] for each in (name, other))
    return one == two


def absolute(spec: str, results: Path) -> str:
    """`spec` with its path made absolute, so that it means the same from every folder.

    A benchmark or run of the results folder may be called by its name alone.
    """
    model, value = _split(spec) or ("", spec)
    path = next((place for place in (_place(value), results / value) if _is_there(place)), None)
    if value in WORDS or path is None:
        return spec
    return f"{model}={path.resolve()}" if model else str(path.resolve())


def download_weights(
    names: Sequence[str],
    folder: Path,
    on_event: Callable[[str], None] = lambda _: None,
    timeout_seconds: float = 15.0,
) -> list[Path]:
    """Fill `folder` with pretrained weights that `--weights FOLDER` reads without a network.

    Per model `<timm_name>.safetensors` and `<timm_name>.json` (source, sha256, licence). What is
    there and whole is left alone. Raises `WeightsError`, before writing, if any is not to be had.
    """
    aliases = families.expand(names)
    targets = {name: hub.tagged_name(families.timm_name_of(name)) for name in aliases}
    lacking = {n: t for n, t in targets.items() if not _is_whole(folder / f"{t}.safetensors")}
    got = hub.fetch(lacking, set(lacking), timeout_seconds, on_event)
    _refuse_failures(got, set(lacking), "try again with a network")
    folder.mkdir(parents=True, exist_ok=True)
    for name, timm_name in lacking.items():
        source = got[name]
        assert isinstance(source, Path)
        files.write_bytes(folder / f"{timm_name}.safetensors", source.read_bytes())
        about = {**hub.about(timm_name), "sha256": files.sha256_of(source)}
        files.write_json(folder / f"{timm_name}.json", about)
        on_event(f"{timm_name}: in {folder}")
    return [folder / f"{timm_name}.safetensors" for timm_name in targets.values()]


def _refuse_failures(got: Mapping[str, Path | str], required: set[str], ways_on: str) -> None:
    """Raise for the required model that failed, not for one that was left alone because of it."""
    failed = [(outcome == hub.NOT_TRIED, key, outcome) for key, outcome in got.items() if key in required]
    for _, key, outcome in sorted(failed, key=lambda item: item[0]):
        if isinstance(outcome, str):
            raise WeightsError(f"{key}: no pretrained weights: {outcome}; {ways_on}")


def _split(spec: str) -> tuple[str, str] | None:
    """("vit", "PATH") for "vit=PATH"; None for a spec that holds for every model."""
    model, equals, value = spec.partition("=")
    if not equals or _is_there(Path(spec)):
        return None
    if not value:
        raise UsageError(f"--weights {spec}: nothing after the =; say MODEL=PATH or MODEL=random")
    families.expand([model])
    return model, value


def _refuse_shared_file(specs: tuple[str, ...], plans: Sequence[ModelPlan]) -> None:
    names = {plan.timm_name for plan in plans}
    for spec in specs:
        if len(names) > 1 and spec not in WORDS and _split(spec) is None and _is_one_model(Path(spec)):
            raise UsageError(
                f"--weights {spec}: one model's, but {len(names)} are asked for; say MODEL={spec}"
            )


def _is_one_model(path: Path) -> bool:
    """A file, a saved model or a run; a benchmark has one for each."""
    folders = (path, path / "model")
    return _is_there(path) and (path.is_file() or any((f / "config.json").exists() for f in folders))


def _place(text: str) -> Path:
    """A path as the user typed it, `~` put in full where that is somebody's home."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path's own raises for an unknown user)


def _is_there(path: Path) -> bool:
    """Something lies at a path; False also for what can be no path, such as a name that is too long."""
    return os.path.exists(path)  # noqa: PTH110  (Path's own raises then)


def _from_path(plan: ModelPlan, spec: str) -> InitialWeights:
    path = _place(spec)
    if not _is_there(path):
        takes = f"; --weights takes {', '.join(WORDS)} or a path"
        way_on = did_you_mean(spec, WORDS) or files.near_path(path)
        raise WeightsError(f"{path}: no such file or folder{way_on or takes}")
    if path.is_file():
        check_safetensors(path)
        origin = Origin(kind="file", sha256=files.sha256_of(path))
        return _noted(InitialWeights(origin, path, f"file {path.name}"))
    for folder in (path, path / "model"):
        if (folder / "config.json").exists():
            return saved_weights(folder)
    if (path / "benchmark.json").exists():
        return _from_benchmark(plan, path)
    file = path / f"{plan.timm_name}.safetensors"
    if not file.exists():
        filling = command("models", download=path, models=plan.alias)
        raise WeightsError(f"{path}: holds no {file.name}; `{filling}` fills it")
    return _from_filled_folder(plan, file)


def _from_benchmark(plan: ModelPlan, folder: Path) -> InitialWeights:
    """Those of the benchmark's run of this model; of several (seeds, arms) one has to be named."""
    runs = [run for run in Benchmark(folder).runs if (run.model_folder / "config.json").exists()]
    alike = [run for run in runs if _same(run.about().get("timm_name", ""), plan.timm_name)]
    if len(alike) != 1:
        names = [run.name for run in alike or runs]
        why = "several runs" if alike else "no run"
        raise WeightsError(
            f"{folder}: has {why} of {plan.alias}; name one: --weights {plan.alias}={folder}/RUN "
            f"(there: {', '.join(names[:4]) or 'none'})"
        )
    return saved_weights(alike[0].model_folder)


def saved_weights(folder: Path) -> InitialWeights:
    """The weights in a saved model's folder; WeightsError where it is not a whole one."""
    file = folder / "model.safetensors"
    if not file.exists():
        raise WeightsError(f"{folder}: has no model.safetensors; give a whole saved model")
    check_safetensors(file)
    try:
        config = files.read_json(folder / "config.json")
        classes = tuple(label_names(folder, {"pretrained_cfg": {}, **config}).values())
    except (OSError, VitbenchError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{folder / 'config.json'}: not readable; give a saved model's folder") from error
    place = folder.resolve().parent if folder.name == "model" else folder.resolve()
    origin, label = Origin(kind="model", sha256=files.sha256_of(file)), f"model {place.name}"
    if (place / "recipe.json").exists() and (recipe := Run(place).recipe()).masking is not None:
        origin, label = recipe.init.masked(origin.sha256), f"simmim {place.parent.name}/{place.name}"
        label += "" if origin.from_scratch else f" from {Run(place).about()['init']}"
    return _noted(InitialWeights(origin, file, label, classes=classes))


def _noted(weights: InitialWeights) -> InitialWeights:
    """The weights with a note where nobody can say what they learned from."""
    return weights if weights.learned_from().complete else dataclasses.replace(weights, note=UNKNOWN_ORIGIN)


def _from_filled_folder(plan: ModelPlan, file: Path) -> InitialWeights:
    check_safetensors(file)
    if not _is_whole(file):
        raise WeightsError(f"{file}: not what was downloaded (sha256 differs); delete it, download again")
    return _pretrained(plan, file)


def _is_whole(file: Path) -> bool:
    """The file agrees with the sha256 in the json beside it; True without a json to compare with."""
    if not file.exists():
        return False
    try:
        about: Mapping[str, str] = files.read_json(file.with_name(f"{file.stem}.json"))
        return bool(about["sha256"] == files.sha256_of(file))
    except FileNotFoundError:
        return True
    except (OSError, VitbenchError, KeyError, TypeError, RecursionError):
        return False


def _pretrained(plan: ModelPlan, file: Path) -> InitialWeights:
    label = f"pretrained ({plan.pretrained_on})"
    return InitialWeights(Origin(kind="hub", sha256=files.sha256_of(file)), file, label)


def _check_fit(plans: Sequence[ModelPlan], found: Mapping[str, InitialWeights]) -> None:
    """Load files that the user brought once, so that a wrong one is found before anything starts."""
    for plan in plans:
        if plan.alias not in found:
            continue
        try:
            create(plan, 2, found[plan.alias], seed=0)
        except WeightsError as error:
            other = _other_network(found[plan.alias], plan)
            if not other:
                raise
            raise WeightsError(
                f"--weights {found[plan.alias].path}: of {other}, which does not fit {plan.alias} "
                f"({plan.timm_name}); give {plan.alias} weights of its own, or leave it out of --models"
            ) from error


def _other_network(weights: InitialWeights, plan: ModelPlan) -> str:
    """The timm name in a saved model's folder where it is not the plan's; "" elsewhere."""
    if weights.origin.kind not in ("model", "masked") or weights.path is None:
        return ""
    name = str(files.read_json(weights.path.with_name("config.json")).get("architecture") or "")
    return "" if _same(name, plan.timm_name) else name
