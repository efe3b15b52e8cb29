"""Which networks a call of `inspect` names, and which of its words are pictures."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vitbench import files
from vitbench.analysis.before import before_training
from vitbench.analysis.nouns import Subject, Weights
from vitbench.analysis.pooling import split_of
from vitbench.benchmark.predict import ModelSet, model_set_for
from vitbench.data.formats import SUFFIXES
from vitbench.errors import UsageError
from vitbench.models import families
from vitbench.models.create import create
from vitbench.models.folder import LoadedModel
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import resolve_weights, tag_asked
from vitbench.records import Benchmark, Run

NO_CLASSES = 2
"""Outputs of a new head, which nobody reads."""


@dataclass(frozen=True)
class Words:
    """What stands on a command line, by what it is."""

    homes: tuple[str, ...]
    """Benchmarks, runs and folders of saved models."""
    models: tuple[str, ...]
    """Families and timm names."""
    pictures: tuple[str, ...]


def sorted_words(words: Sequence[str], results: Path) -> Words:
    """Each word as a home, else as files, folders and globs of pictures, else as a model.

    UsageError for what is none of them.
    """
    homes, models, pictures = [], [], []
    for word in words:
        if _is_home(word, results):
            homes.append(word)
        elif files.is_there(Path(word)) or glob.has_magic(word) or Path(word).suffix.lower() in SUFFIXES:
            pictures.append(word)
        else:
            try:
                models += families.expand([word])
            except UsageError as error:
                raise UsageError(
                    f"{word}: neither a benchmark, run or saved model in {results} or there, nor a picture; "
                    f"and {error}"
                ) from error
    return Words(tuple(homes), tuple(models), tuple(pictures))


def _is_home(word: str, results: Path) -> bool:
    return any(
        files.is_there(place / name)
        for place in (results / word, Path(word))
        for name in ("benchmark.json", "recipe.json", "config.json")
    )


@dataclass(frozen=True)
class Lookers:
    """The networks that are looked into."""

    subjects: tuple[Subject, ...]
    benchmark: Benchmark | None
    """The first that one of them belongs to."""
    runs: tuple[Run, ...]
    """Those of its runs that are among them."""
    fold: int = 0
    """The fold whose models they are, from 1; 0: without folds."""
    notes: tuple[str, ...] = ()


def of_homes(homes: Sequence[str], results: Path) -> Lookers:
    """The models of benchmarks, runs and saved folders; none named: of the newest finished benchmark."""
    sets = [model_set_for(name, (), results) for name in homes or (None,)]
    benchmark = next((one.benchmark for one in sets if one.benchmark), None)
    fold = next((one.fold for one in sets if one.fold), 0)
    several = any(len(together) > 1 for one in sets for together in one.models.values())
    notes = []
    if several and not fold:
        fold = 1
        notes.append(
            "each fold has models of its own: those of fold 1 are looked into, with its test pictures"
        )
    subjects = [subject for one in sets for subject in _subjects(one, several)]
    runs = tuple(run for one in sets if one.benchmark == benchmark for run in one.runs)
    return Lookers(_named_apart(subjects), benchmark, runs, fold, tuple(notes))


def _subjects(found: ModelSet, folds: bool) -> list[Subject]:
    runs = dict(zip(found.models, found.runs, strict=True)) if found.runs else {}
    subjects = []
    for name, together in found.networks().items():
        run = runs.get(name)
        called, part = (
            (f"{name}/fold-1", run and run.part("fold-1")) if folds and len(together) > 1 else (name, run)
        )
        subjects.append(_trained(called, together[0], part, found.benchmark))
    return subjects


def _trained(name: str, loaded: LoadedModel, run: Run | None, home: Benchmark | None) -> Subject:
    subject = Subject(name, loaded.module, loaded.classes, loaded.preprocessing, "trained")
    if run is None:
        return replace(subject, before=lambda: "it lies apart from its run, which knows what it began from")
    return replace(
        subject,
        before=before_training(run, home),
        from_scratch=run.recipe().init.from_scratch,
        split=split_of(home, run.fold) if home is not None else None,
    )


def _named_apart(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """UsageError where two networks would stand under one name."""
    names = [subject.name for subject in subjects]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UsageError(f"{twice}: two networks of that name; look into one benchmark at a time")
    return tuple(subjects)


def of_models(
    names: Sequence[str], weights: tuple[str, ...], image_size: int | Literal["native"] | None
) -> tuple[Subject, ...]:
    """Networks by name alone, with weights as `--weights` has them; their heads mean nothing."""
    plans = [plan_model(name, image_size, tag_asked(weights, name)) for name in names]
    found = resolve_weights(weights, plans)
    return tuple(_bare(plan, found[plan.alias]) for plan in plans)


def _bare(plan: ModelPlan, weights: InitialWeights) -> Subject:
    module = create(plan, len(weights.classes) or NO_CLASSES, weights, 0, classes=weights.classes)
    origin: Weights = "random" if weights.path is None else "pretrained"
    return Subject(plan.alias, module.eval(), weights.classes, plan.preprocessing, origin)
