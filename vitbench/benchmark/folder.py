"""Benchmark folders: names, finding one, making one whole, and adding runs to it."""

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.errors import UsageError, VitbenchError, did_you_mean
from vitbench.locks import locked
from vitbench.records import Benchmark, Fingerprints, Run, Settings, Split, benchmarks_in
from vitbench.records.commands import command, going_on, training_from, verb_of
from vitbench.records.fingerprints import TESTED_ON
from vitbench.records.pictures import Leak
from vitbench.settings import ARM_FIELDS, LESSON_FIELDS
from vitbench.training.environment import changed_since, environment, refusal
from vitbench.training.recipes import shared

if TYPE_CHECKING:
    from vitbench.benchmark.plan import Plan
    from vitbench.training.jobs import Job

WAIT_SECONDS = 120
LONGEST_NAME = 100
"""Bytes of a benchmark's name: file systems end at 255, and names of files are made from it."""


def check_name(name: str) -> str:
    """`name` if it is a plain folder name; UsageError if it could leave the results folder, or is long."""
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise UsageError(f"--name {name[:20]}…: longer than {LONGEST_NAME} bytes; choose a shorter one")
    if not name or name.startswith(".") or re.search(r'[/\\:\0<>|"?*]', name):
        raise UsageError(f"--name {name!r}: not a plain folder name; use letters, digits, '.', '-' and '_'")
    return name


def fresh_name(data: Path, results: Path) -> str:
    """`<folder>-<date>-<n>`, the first n that is free."""
    base = re.sub(r"[^\w.-]+", "_", data.resolve().name).strip("._") or "data"
    stem = f"{base}-{time.strftime('%Y-%m-%d')}"
    number = 1
    while (results / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def find(name: str, results: Path) -> Benchmark:
    """The benchmark called `name` in the results folder, or at that path."""
    for folder in (results / name, Path(name)):
        if files.is_there(folder / "benchmark.json"):
            return Benchmark(folder)
    there = benchmarks_in(results)
    runs = [f"{b.name}/{run.name}" for b in there[:5] for run in b.runs] if "/" in name else []
    if near := did_you_mean(name, [*(b.name for b in there), *runs]):
        raise VitbenchError(f"{results}: no benchmark called {name!r}{near}")
    known = ", ".join(b.name for b in there[:5]) or "none yet"
    making = command("train", "DATA", name=name, results=results) if "/" not in name else "vitbench train"
    raise VitbenchError(f"{results}: no benchmark called {name!r} (there: {known}); `{making}` makes one")


def refuse_encoders(benchmark: Benchmark) -> None:
    """UsageError for a benchmark of `pretrain`, where answers are asked for."""
    if benchmark.pretrains:
        raise UsageError(
            f"{benchmark.folder}: holds pre-trained encoders, which name no classes; "
            f"next: {training_from(benchmark)}"
        )


def newest(results: Path) -> Benchmark:
    """The benchmark started last whose runs have all ended, one of them well; VitbenchError if none.

    Those of `pretrain` answer nothing and are passed over.
    """
    every = benchmarks_in(results)
    found = [benchmark for benchmark in every if not benchmark.pretrains]
    if every and not found:
        refuse_encoders(every[0])
    for benchmark in found:
        if benchmark.finished and any(run.status == "finished" for run in benchmark.runs):
            return benchmark
    if found:
        raise VitbenchError(
            f"{results}: no finished benchmark, {found[0].name} was interrupted or failed; "
            f"`{going_on(found[0])}` goes on with it"
        )
    making = [command("train", "DATA", results=results), command("demo", results=results)]
    raise VitbenchError(f"{results}: no benchmark there yet; `{making[0]}` or `{making[1]}` makes one")


def named_or_newest(name: str | None, results: Path) -> Benchmark:
    """The benchmark called `name` (`find`); None: the newest finished one."""
    return newest(results) if name is None else find(name, results)


def as_newest(benchmark: Benchmark, results: Path) -> str:
    """How it is said which benchmark is meant where none was named."""
    return f"{benchmark.name}, the newest finished benchmark in {results}"


def finished_runs(benchmark: Benchmark, *, probes: bool = True) -> list[Run]:
    """Its runs that can answer, at least one; VitbenchError for none, or for a benchmark of `pretrain`.

    probes: those beside fine-tuned models too.
    """
    refuse_encoders(benchmark)
    finished = [run for run in benchmark.runs if run.status == "finished"]
    if found := [run for run in finished if probes or not run.planned.probe_of]:
        return found
    raise VitbenchError(f"{benchmark.folder}: no finished run in it; `{going_on(benchmark)}` goes on")


def newest_interrupted(results: Path, verb: str) -> Benchmark:
    """The benchmark a bare `--resume` means: the last one cut off, else the last one with a failed run.

    Of those that the command `verb` makes; VitbenchError, others named, where none is unfinished.
    """
    every = [b for b in benchmarks_in(results) if _whole(b)]
    found = [b for b in every if verb_of(b.settings.recipe) == verb]
    failed = [b for b in found if any(run.status == "failed" for run in b.runs)]
    for benchmark in [*(b for b in found if not b.finished), *failed]:
        return benchmark
    others = [f"`{going_on(b)}`" for b in every if b not in found and not b.finished]
    also = f"; unfinished of another kind: {others[0]}" if others else ""
    what = (
        f"every benchmark of `vitbench {verb}` there is finished"
        if found
        else f"no benchmark of `vitbench {verb}` there"
    )
    raise VitbenchError(f"{results}: nothing to resume, {what}{also}")


def _whole(benchmark: Benchmark) -> bool:
    """Its manifest can be understood; a benchmark that is named says why not."""
    try:
        return bool(benchmark.settings and benchmark.runs)
    except (KeyError, TypeError, ValueError, VitbenchError):
        return False


class TakenError(UsageError):
    """Another process has made a benchmark of that name meanwhile."""


OURS = (
    "split.csv", "leaks.csv", TESTED_ON, ".split.csv.", ".leaks.csv.", f".{TESTED_ON}.", ".benchmark.json.",
    ".lock",
)  # fmt: skip
"""What a process that was killed while it made a benchmark leaves in its folder."""


def create(plan: "Plan", name: str, results: Path) -> Benchmark:
    """Make `results/<name>` with `split.csv` and, last, `benchmark.json`.

    Of several processes one makes it, the others get a TakenError. What a killed one had begun is made
    whole; a folder with anything else in it raises UsageError.
    """
    folder = results / name
    for path in (results, folder):
        try:
            path.mkdir(parents=path == results, exist_ok=True)
        except OSError as error:
            raise VitbenchError(
                f"{path}: cannot be made ({error.strerror}); choose another --results"
            ) from error
    if not (folder / "benchmark.json").exists() and _holds_something_else(folder):
        raise UsageError(f"{folder}: exists and is no benchmark; choose another --name")
    with locked(folder, WAIT_SECONDS):
        if (folder / "benchmark.json").exists():
            raise TakenError(f"{folder}: another process has just made it; choose another --name")
        _write(plan, folder)
    return Benchmark(folder)


def _holds_something_else(folder: Path) -> bool:
    return any(not path.name.startswith(OURS) for path in folder.iterdir())


def _write(plan: "Plan", folder: Path) -> None:
    files.write_csv(folder / "split.csv", Split.COLUMNS, plan.split.rows())
    files.write_csv(folder / "leaks.csv", Leak.columns(), plan.split.leak_rows())
    Fingerprints.of(("test", picture) for picture in plan.split.test).write(folder / TESTED_ON)
    one = plan.split.folds[0] if plan.split.folds else plan.split
    manifest = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "data": str(plan.images.root.resolve()),
        "data_digest": plan.images.digest,
        "pixel_range": plan.split.pixel_range and list(dataclasses.astuple(plan.split.pixel_range)),
        "layout": plan.images.layout,
        "classes": list(plan.split.classes),
        "split": {
            "rule": plan.split.rule,
            "seed": plan.split.seed,
            "digest": plan.split.digest,
            "test_drawn": plan.split.test_drawn,
            "n_train": len(one.train),
            "n_val": len(one.val),
            "n_test": len(plan.split.test),
            "folds": len(plan.split.folds),
            "notes": list(plan.split.notes),
        },
        "settings": plan.settings.model_dump(mode="json"),
        "runs": [dataclasses.asdict(run) for run in plan.planned],
        "notes": [note for note in plan.notes if note not in plan.split.proposals],
        "skipped": [dataclasses.asdict(bad) for bad in plan.images.bad],
        **_versions(plan),
    }
    files.write_json(folder / "benchmark.json", manifest)


@contextlib.contextmanager
def writing(benchmark: Benchmark) -> Iterator[None]:
    """What belongs to no single run, for this process alone; waits for another one, which takes seconds."""
    with locked(benchmark.folder, WAIT_SECONDS):
        yield


def add_runs(benchmark: Benchmark, plan: "Plan") -> None:
    """Note further runs in `benchmark.json`, behind those that are there."""
    with writing(benchmark):
        _add_runs(benchmark, plan)


def _add_runs(benchmark: Benchmark, plan: "Plan") -> None:
    manifest, stored, asked = benchmark.manifest, benchmark.settings, plan.settings
    known = {run.name for run in benchmark.runs}
    new = [dataclasses.asdict(run) for run in plan.planned if run.name not in known]
    if not new:
        return
    # A general `--weights` of this call is meant for its models only.
    weights = [
        spec
        for given in asked.weights
        for spec in ([given] if "=" in given else [f"{model}={given}" for model in asked.models])
        if given not in stored.weights
    ]
    update = {
        "models": tuple(dict.fromkeys((*stored.models, *asked.models))),
        "seeds": tuple(dict.fromkeys((*stored.seeds, *asked.seeds))),
        "weights": (*stored.weights, *weights),
        **_further_ways(stored, asked),
    }
    manifest["runs"] = [*manifest["runs"], *new]
    manifest["notes"] = list(dict.fromkeys([*manifest["notes"], *plan.warnings]))
    manifest["settings"] = stored.model_copy(update=update).model_dump(mode="json")
    files.write_json(benchmark.folder / "benchmark.json", manifest)


def _further_ways(stored: Settings, asked: Settings) -> dict[str, Any]:
    """The settings that say in which ways its models are trained, those of this call behind the others."""
    if asked.arms or stored.arms:
        before = stored.given_arms or {"": {"pretrain": stored.pretrain}}
        told = asked.model_dump(include=set(LESSON_FIELDS & ARM_FIELDS - {"teacher", "pretrain"}))
        now = {arm: {**told, **fields} for arm, fields in asked.given_arms.items() if arm not in before}
        return {"arms": {**before, **now}, "teacher": None, "pretrain": False}
    return asked.model_dump(include=set(LESSON_FIELDS))


def merge(benchmark: Benchmark, named: Settings) -> Settings:
    """The benchmark's settings with what this call names on top.

    All runs of a benchmark share their settings, so that they can be compared: only which runs, from
    which weights and on which device may differ. UsageError names any other difference.
    """
    stored = benchmark.settings
    asked = named.on_top_of(stored)
    before, now = ({**s.model_dump(), **shared(s)} for s in (stored, asked))
    different = [
        f"{field} {_shown(before[field])} → {_shown(now[field])}"
        for field in Settings.model_fields
        if Settings.option(field).between_calls == "same"
        and before[field] != now[field]
        and not (field == "group" and _gone(stored.group))  # its split tells whether it says the same
    ]
    if not different:
        different = _other_lessons(stored, asked)
    if different:
        raise UsageError(
            f"{benchmark.folder}: its runs share their settings, and this call differs in "
            f"{'; '.join(different)}; leave that away or use a new --name"
        )
    return asked


def _gone(group: str | None) -> bool:
    """Whether it names a file that is not there any more."""
    return group is not None and Path(group).is_absolute() and not Path(group).exists()


def _other_lessons(stored: Settings, asked: Settings) -> list[str]:
    """What an arm that is there would do differently by this call: "arm distill: tau 3.0 → 2.0"."""
    lines = []
    for arm in [arm for arm in stored.by_arm if arm in asked.by_arm]:
        both = stored.by_arm[arm], asked.by_arm[arm]
        before, now = ({**one.model_dump(), **shared(one)} for one in both)
        for field in sorted(ARM_FIELDS - {"weights"}):
            if before[field] != now[field] and any(one.means(field) for one in both):
                change = f"{field} {_shown(before[field])} → {_shown(now[field])}"
                lines.append(f"arm {arm}: {change}" if arm else change)
    return lines


def _shown(value: Any) -> str:
    return "its default" if value is None else str(value)


def refuse_changes(benchmark: Benchmark, plan: "Plan", *, resume: bool, anyway: bool = False) -> None:
    """Raise UsageError, the difference named, where the plan would change what is there.

    `anyway`: what only costs that weights are equal to the last bit is accepted.
    """
    manifest = benchmark.manifest
    if plan.images.digest != manifest["data_digest"]:
        raise UsageError(f"{benchmark.folder}: {_data_difference(benchmark, plan)}; use a new --name")
    if plan.split.digest != manifest["split"]["digest"]:
        was, now = manifest["split"]["rule"], plan.split.rule
        grouped = "its pictures are grouped otherwise than then, by --group or as near-copies"
        what = f"{was} → {now}" if was != now else grouped
        raise UsageError(f"{benchmark.folder}: another split ({what}); use a new --name")
    started = {run.name: run for run in benchmark.runs if (run.folder / "recipe.json").exists()}
    for job in plan.jobs:
        _refuse_other_weights(job, started)
        run = started.get(job.run_name)
        if run is None:
            continue
        stored = run.recipe()
        # A tuned run that was cut off at its very end carries the recipe that val chose.
        asked = [recipe.started_as(stored) for recipe in (job.recipe, *job.trials)]
        if different := min((stored.differences(recipe) for recipe in asked), key=len):
            raise UsageError(
                f"{run.folder}: is {run.status} with another recipe ({'; '.join(different[:4])}); "
                "use a new --name, or what it was started with"
            )
        if run.status == "interrupted" and not resume:
            raise UsageError(f"{run.folder}: was interrupted; add --resume to go on with it")
        if not anyway and (changed := changed_since(run, job.machine)):
            raise UsageError(refusal(run, changed))


def _refuse_other_weights(job: "Job", started: Mapping[str, Run]) -> None:
    """Seeds of one model share a row: they must start from the same kind of weights."""
    for run in started.values() if job.recipe.name != "probe" else ():
        if run.model != job.model:
            continue
        before, now = run.recipe(), job.recipe
        if (before.init, before.model) != (now.init, now.model):
            was, asked = str(run.about()["init"]), job.begins_with
            if was == asked:
                other = before.model != now.model
                was, asked = (f"{was}, {one.model if other else one.init}" for one in (before, now))
            raise UsageError(
                f"{run.folder}: the same model from other weights ({was} → {asked}); use a new --name"
            )


def _data_difference(benchmark: Benchmark, plan: "Plan") -> str:
    before = {row["path"]: row["sha256"] for row in benchmark.split_rows()}
    now = {files.readable(p.path): p.sha256 for p in plan.images.pictures}
    parts = [
        f"{len(found)} {what} (first: {sorted(found)[0]})"
        for what, found in (
            ("pictures are gone", before.keys() - now.keys()),
            ("pictures changed", {p for p in before.keys() & now.keys() if before[p] != now[p]}),
            ("pictures are new", now.keys() - before.keys()),
        )
        if found
    ]
    there, known = plan.images.root, Path(benchmark.manifest["data"])
    what = f"the data in {there} changed"
    if there.resolve() != known:
        what = f"the data in {there} are not those that it was made of (in {known})"
    return f"{what}: " + (", ".join(parts) or "classes or parts moved")


def _versions(plan: "Plan") -> dict[str, Any]:
    if not plan.jobs:
        return {}
    known = environment(plan.jobs[0].machine)
    return {"versions": known["versions"], "machine": dataclasses.asdict(plan.jobs[0].machine)}
