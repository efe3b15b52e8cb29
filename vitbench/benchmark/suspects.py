"""`data suspects`: the pictures of a benchmark whose label looks wrong, with what lies near them."""

import csv
from pathlib import Path

import numpy as np

from vitbench import files
from vitbench.benchmark.compare import Named, find_all
from vitbench.benchmark.folder import writing
from vitbench.comparison.results import Results, read_results
from vitbench.comparison.suspects import NEITHER, Suspects, suspects_of
from vitbench.errors import UsageError, VitbenchError, did_you_mean, first_line
from vitbench.files import printable
from vitbench.records import Array, Benchmark
from vitbench.records.commands import command
from vitbench.records.watch import Watch
from vitbench.reports.suspects import LIST, Nearest, Neighbour, write_suspects

FOLDER = "suspects"
NEAR = 3
"""Pictures beside a suspect, of each class."""


def suspects(benchmark: Named | None = None, *, results: Path | str = "results") -> Suspects:
    """The pictures whose label looks wrong to a benchmark's models, the most suspicious first.

    By name in `results`, by path or as it is; None: the newest finished one. Nothing is written; labels that
    were noted in its `suspects.csv` are counted in. Needs no torch.
    """
    home = find_all([] if benchmark is None else [benchmark], Path(results))[0]
    return found_in(home)[1]


def found_in(home: Benchmark) -> tuple[Results, Suspects]:
    """What was read of a benchmark, and its suspects."""
    results = read_results(home)
    return results, suspects_of(results, noted_labels(home, results))


def noted_labels(home: Benchmark, results: Results) -> dict[str, str]:
    """What a person has written into `right_label` of the benchmark's `suspects.csv`, by path.

    UsageError, naming the row, for what is no class of it and for a picture that it does not have.
    """
    path = home.folder / FOLDER / LIST
    if not path.exists():
        return {}
    try:
        head, *rows = files.csv_rows(files.text_of(path)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{printable(path)}: not a CSV file in UTF-8 ({error}); save it as one") from error
    if not {"path", "right_label"} <= set(head):
        raise UsageError(
            f"{printable(path)}: needs the columns path and right_label, comma between; save it so, or "
            "move it away to begin anew"
        )
    at, right = head.index("path"), head.index("right_label")
    noted = {row[at]: row[right].strip() for row in rows if len(row) > max(at, right) and row[right].strip()}
    meant = {cell: one for one in results.test.paths for cell in files.cells(one)}
    named = {cell: one for one in results.first.classes for cell in files.cells(one)} | {NEITHER: NEITHER}
    for picture, label in noted.items():
        if picture not in meant:
            raise UsageError(f"{printable(path)}: {printable(picture)} is no picture that was asked about")
        if label not in named:
            raise UsageError(
                f"{printable(path)}: {printable(picture)} has the right_label {printable(label)!r}, no class"
                f"{did_you_mean(label, named) or f'; a class, or {NEITHER} for none of them'}"
            )
    return {meant[picture]: named[label] for picture, label in noted.items()}


def write(
    home: Benchmark, results: Results, found: Suspects, device: str, watch: Watch
) -> tuple[Path, Nearest]:
    """Write the list, its page and its numbers into `suspects/` of the benchmark's folder."""
    nearest = nearest_of(home, results, found, device, watch)
    place = home.folder / FOLDER
    again = command("data suspects", home.name, results=home.folder.parent)
    root = Path(str(home.manifest["data"]))
    with writing(home), files.whole_folder(place) as new:
        write_suspects(found, nearest, root, new, again, home.pixel_range)
    return place, nearest


# --- what lies near -------------------------------------------------------------------------------


def nearest_of(home: Benchmark, results: Results, found: Suspects, device: str, watch: Watch) -> Nearest:
    """Of each suspect the nearest pictures of the class suspected and of its own; why not, where that fails.

    By the frozen features of a network of the benchmark, from the store where a probe has left them there.
    """
    if not found.ranked:
        return Nearest("no picture is named", {}, {})
    from vitbench.benchmark.near_features import features_by

    try:
        by, features = features_by(home, results, device, watch)
    except VitbenchError as error:
        return Nearest(first_line(error), {}, {})
    rows = results.first.rows
    units = unit_vectors(features)
    place = {row["path"]: i for i, row in enumerate(rows)}
    classes, groups = (np.array([row[name] for row in rows], dtype=object) for name in ("class", "group"))

    def near(path: str, label: str) -> tuple[Neighbour, ...]:
        among = np.flatnonzero((classes == label) & (groups != groups[place[path]]))
        alike = units[among] @ units[place[path]]
        best = np.argsort(-alike, kind="stable")[:NEAR]
        return tuple(Neighbour(rows[among[i]]["path"], float(alike[i])) for i in best)

    return Nearest(
        by,
        {one.path: near(one.path, one.suspected) for one in found.ranked},
        {one.path: near(one.path, one.label) for one in found.ranked},
    )


def unit_vectors(features: Array) -> Array:
    """(N, D) features less their mean, each of length 1; 0 where it is the mean itself."""
    centred = features - features.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, np.finfo(np.float32).tiny))
