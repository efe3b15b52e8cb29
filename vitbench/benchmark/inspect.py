"""`inspect`: networks looked into side by side, on pictures that they disagree on, and what is kept of it."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vitbench import files
from vitbench.analysis.inspect import MAP_COLUMNS, Inspection, Seen, ShownPicture
from vitbench.analysis.inspect import inspect as look_into
from vitbench.analysis.nouns import Pictures, Subject
from vitbench.benchmark.evaluations import count_evaluation
from vitbench.benchmark.folder import as_newest, writing
from vitbench.benchmark.subjects import Lookers, of_homes, of_models, sorted_words
from vitbench.comparison.disputed import most_telling
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import aligned
from vitbench.data.batches import Evaluation, pixels_of
from vitbench.data.decode import decode
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.inference.devices import choose_device
from vitbench.inference.stream import collect
from vitbench.records import Benchmark, Predictions, Preprocessing
from vitbench.records.commands import command
from vitbench.records.frames import write_frames
from vitbench.records.watch import Watch
from vitbench.reports.inspection import write_inspection

MOST_SHOWN = 12
"""Disputed test pictures that are shown where none are named."""


def inspect(
    *words: Path | str,
    results: Path | str = "results",
    weights: str | Sequence[str] = "pretrained",
    image_size: int | Literal["native"] | None = None,
    device: str = "auto",
    check_pictures: int | None = None,
    watch: Watch | None = None,
) -> Inspection:
    """Look into networks; nothing is written. `Inspection.frames` and `.arrays` hold what was found.

    words: benchmarks, runs, saved models (by name in `results` or by path), families and timm names, and
    pictures, folders and globs of them, in any order. No network: those of the newest finished benchmark. No
    picture: its test pictures on which they disagree, at most 12. `weights` and `image_size` are for networks
    named by family or timm name. `check_pictures`: maps are checked on so many test pictures; None: all.
    """
    specs = (weights,) if isinstance(weights, str) else tuple(weights)
    asked = Asked.of([str(word) for word in words], Path(results), specs, image_size)
    return carried_out(asked, choose_device(device), check_pictures, watch or Watch())


@dataclass(frozen=True)
class Asked:
    """What a call means."""

    lookers: Lookers
    shown: tuple[ShownPicture, ...]
    test: TestSet | None
    """Of the benchmark; None: there is none, or its pictures are gone."""
    root: Path
    """Where the test pictures are."""
    folder: Path
    """Where findings go."""
    notes: tuple[str, ...]
    """How words were understood, each one line."""
    unreadable: tuple[tuple[str, str], ...]
    """(picture that was to be shown, why it cannot be read)."""
    lost: tuple[tuple[str, str], ...]
    """(test picture, why it is left out)."""

    @classmethod
    def of(
        cls,
        words: Sequence[str],
        results: Path,
        weights: tuple[str, ...],
        image_size: int | Literal["native"] | None,
    ) -> "Asked":
        """VitbenchError where there is nothing to look into or at, UsageError for what cannot be meant."""
        meant = sorted_words(words, results)
        lookers = Lookers((), None, ())
        notes: list[str] = []
        if meant.homes or not meant.models:
            lookers = of_homes(meant.homes, results)
            if not meant.homes and lookers.benchmark is not None:
                notes.append(f"looking into {as_newest(lookers.benchmark, results)}")
        lookers = replace(
            lookers, subjects=(*lookers.subjects, *of_models(meant.models, weights, image_size))
        )
        test, root, lost = _tests(lookers)
        shown, unreadable = _readable(
            _named(meant.pictures) if meant.pictures else _disputed(lookers, test, root)
        )
        if not shown:
            raise VitbenchError(_nothing_to_show(meant.pictures, unreadable, lookers))
        place = _folder(lookers, results)
        return cls(lookers, shown, test, root, place, (*notes, *lookers.notes), unreadable, lost)


def _folder(lookers: Lookers, results: Path) -> Path:
    if lookers.benchmark is not None:
        return lookers.benchmark.folder / "inspect"
    first = lookers.subjects[0].name.replace("/", "_")
    return results / f"{first}-inspect"


def _tests(lookers: Lookers) -> tuple[TestSet | None, Path, tuple[tuple[str, str], ...]]:
    """The benchmark's test pictures that are there as they were, where they are, and those that are not."""
    if lookers.benchmark is None:
        return None, Path(), ()
    root = Path(lookers.benchmark.manifest["data"])
    rows = lookers.benchmark.split_rows()
    tests = TestSet.of([row for row in rows if not lookers.fold or row["fold"] == str(lookers.fold)])
    there = np.array(
        [_unchanged(root / path, sha) for path, sha in zip(tests.paths, tests.contents, strict=True)]
    )
    lost = tuple((tests.paths[place], "is not there as it was tested") for place in np.flatnonzero(~there))
    return (tests.only(there) if there.any() else None), root, lost


def _unchanged(path: Path, sha256: str) -> bool:
    return files.is_there(path) and files.sha256_of(path) == sha256


def _disputed(lookers: Lookers, test: TestSet | None, root: Path) -> tuple[ShownPicture, ...]:
    """The test pictures on which the runs disagree, at most 12; those that tell most where they never do."""
    if test is None or not lookers.runs:
        return ()
    runs = [run.predictions() for run in lookers.runs]
    paths = [path for path in test.paths if all(path in run.paths for run in runs)]
    if not paths:
        return ()
    among = [aligned(_only(run, paths), paths, runs[0].classes) for run in runs]
    order, disputed = most_telling(among)
    chosen = [place for place in order.tolist() if disputed[place]] or order.tolist()
    labels = dict(zip(test.paths, test.labels, strict=True))
    return tuple(ShownPicture(root / paths[i], paths[i], labels[paths[i]]) for i in chosen[:MOST_SHOWN])


def _only(predictions: Predictions, paths: Sequence[str]) -> Predictions:
    place = {path: i for i, path in enumerate(predictions.paths)}
    return predictions.only(np.array([place[path] for path in paths]))


def _named(sources: Sequence[str]) -> tuple[ShownPicture, ...]:
    return tuple(ShownPicture(Path(one.path), one.path, one.label or "") for one in collect(sources))


def _readable(
    pictures: Iterable[ShownPicture],
) -> tuple[tuple[ShownPicture, ...], tuple[tuple[str, str], ...]]:
    """Those that can be read, and why others cannot."""
    good, bad = [], []
    for picture in pictures:
        try:
            decode(picture.path)
            good.append(picture)
        except UnreadableImageError as error:
            bad.append((picture.name, str(error)))
    return tuple(good), tuple(bad)


def _nothing_to_show(named: Sequence[str], unreadable: Sequence[tuple[str, str]], lookers: Lookers) -> str:
    if unreadable:
        name, reason = unreadable[0]
        more = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        return f"{files.printable(name)}: {reason}{more}; name pictures that can be read"
    if lookers.benchmark is not None:
        way_on = command("compare", lookers.benchmark.name, data="FOLDER")
        return (
            f"{lookers.benchmark.folder}: its test pictures are not where they were; `{way_on}` "
            "says where they are now, or name pictures"
        )
    return f"{lookers.subjects[0].name}: belongs to no benchmark with test pictures; name pictures to look at"


# --- looking --------------------------------------------------------------------------------------


def carried_out(asked: Asked, device: torch.device, check_pictures: int | None, watch: Watch) -> Inspection:
    """Look into every network, one after the other; only one is on the device at a time."""
    cuts: dict[tuple[Preprocessing, str], torch.Tensor] = {}

    def seen() -> Iterable[Seen]:
        for subject in asked.lookers.subjects:
            subject.module.to(device)
            shown = _pictures(
                subject, [p.path for p in asked.shown], [p.label for p in asked.shown], device, cuts
            )
            shown = replace(shown, names=tuple(picture.name for picture in asked.shown))
            yield Seen(subject, shown, _checked(asked, subject, shown, device, check_pictures, watch))
            subject.module.to("cpu")

    found = look_into(seen(), watch.message)
    notes = [
        ("", "pictures", f"{files.printable(name)}: {reason}")
        for name, reason in (*asked.unreadable, *asked.lost)
    ]
    if asked.test is None:
        notes.append(("", "deletion", "no test pictures: maps are checked on the pictures named"))
    return replace(found, pictures=asked.shown, refusals=(*found.refusals, *notes))


def count_looks(asked: Asked, check_pictures: int | None) -> list[str]:
    """Note in every run that so many test pictures were looked at; what could not be noted, in lines."""
    if asked.test is None:
        return []
    pictures = min(len(asked.test.paths), check_pictures or len(asked.test.paths))
    failed = count_evaluation(asked.lookers.runs, "inspect", pictures)
    return [f"{reason}: this look is not counted" for reason in failed]


def _checked(
    asked: Asked,
    subject: Subject,
    shown: Pictures,
    device: torch.device,
    most: int | None,
    watch: Watch,
) -> Pictures:
    """The pictures that maps are checked on: the test pictures, or `most` of them spread over all."""
    test = asked.test
    if test is None:
        return shown if most is None else _only_places(shown, range(min(most, len(shown.names))))
    n = len(test.paths)
    places = np.linspace(0, n - 1, min(n, most), dtype=int) if most is not None else np.arange(n)
    chosen = test.only(places)
    found = _pictures(subject, [asked.root / path for path in chosen.paths], chosen.labels, device)
    done = 0

    def load(some: Sequence[int]) -> torch.Tensor:
        nonlocal done
        done += len(some)
        watch.work(f"checking maps of {subject.name}", done, len(places))
        return found.load(some)

    return replace(found, names=chosen.paths, load=load, groups=chosen.group_numbers)


def _only_places(pictures: Pictures, places: Sequence[int]) -> Pictures:
    return replace(
        pictures,
        names=tuple(pictures.names[i] for i in places),
        labels=pictures.labels[list(places)],
        load=lambda some: pictures.load([places[i] for i in some]),
    )


def _pictures(
    subject: Subject,
    paths: Sequence[Path],
    labels: Sequence[str],
    device: torch.device,
    cuts: "dict[tuple[Preprocessing, str], torch.Tensor] | None" = None,
) -> Pictures:
    """Pictures as a network takes them; `cuts` keeps what was decoded, uint8."""
    way = subject.preprocessing
    evaluation = Evaluation(way)

    def cut(path: Path) -> torch.Tensor:
        if cuts is None or (found := cuts.get((way, str(path)))) is None:
            found = pixels_of(evaluation.cut(decode(path, meant=way.pixel_range)))
            if cuts is not None:
                cuts[way, str(path)] = found
        return found

    index = {name: place for place, name in enumerate(subject.classes)}
    return Pictures(
        tuple(map(str, paths)),
        np.array([index.get(label, -1) for label in labels], dtype=np.int64),
        lambda places: evaluation.inputs([cut(paths[place]) for place in places], device),
    )


# --- writing --------------------------------------------------------------------------------------


def write(
    found: Inspection,
    place: Path,
    benchmark: Benchmark | None = None,
    ways: Mapping[str, Preprocessing] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the page and every number into the folder `place`, in the place of what was there, or nothing.

    `report.html` with its figures; a csv per frame; `maps.csv` with a row per map, its values row by row.
    ways: how networks take pictures: of those named the page has maps over what they saw. `report` hears
    what could not be drawn.
    """
    with (
        writing(benchmark) if benchmark is not None else contextlib.nullcontext(),
        files.whole_folder(place) as new,
    ):
        write_frames(found.frames, new)
        files.write_csv(new / "maps.csv", MAP_COLUMNS, found.map_rows())
        name = benchmark.name if benchmark is not None else ""
        for note in write_inspection(found, ways or {}, new, name):
            report(note)
    return place
