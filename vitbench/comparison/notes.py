"""What a reader must know to trust a comparison: approximations, confounds, fallbacks, gaps."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vitbench.comparison.candidates import Candidate
from vitbench.comparison.words import listed
from vitbench.records import Benchmark

if TYPE_CHECKING:
    from vitbench.comparison.table import Row


def notes_of(
    benchmarks: Sequence[Benchmark],
    candidates: Sequence[Candidate],
    rows: Sequence["Row"],
    floor: "Row | None",
) -> tuple[str, ...]:
    """One line each, most important first, none twice."""
    tested = [row for row in rows if row.top1 is not None]
    lines = [
        *_gaps(rows),
        *_floor(tested, floor),
        *_seeds(tested),
        *_confounds(tested),
        *_budgets(candidates),
        *_splits(benchmarks),
        *_said_by_runs(candidates),
    ]
    return tuple(dict.fromkeys(lines))


ALIKE = {
    "epochs": "epochs",
    "per_class": "views per class",
    "augment": "augmentation",
    "flip": "mirroring",
    "batch_size": "batch size",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "ema_decay": "moving average",
    "precision": "precision",
    "seed": "seeds",
}
"""Fields of `Recipe` that a fair comparison holds equal; lr and decay are each family's own."""


def _budgets(candidates: Sequence[Candidate]) -> list[str]:
    """What the runs were trained with differently, beside the model."""
    lines = []
    for name, words in ALIKE.items():
        values: dict[str, list[str]] = {}
        for candidate in candidates:
            used = sorted({str(getattr(run.recipe(), name)) for run in candidate.answered})
            if used:
                values.setdefault(" and ".join(used), []).append(candidate.model)
        if len(values) > 1:
            named = "; ".join(f"{listed(models)}: {value}" for value, models in values.items())
            lines.append(f"Trained with different {words} ({named}): a difference can come from that")
    return lines


def _gaps(rows: Sequence["Row"]) -> list[str]:
    """Models and seeds without a score."""
    words = {
        "failed": "failed",
        "interrupted": "is unfinished",
        "new": "was not started",
        "partial": "lacks seeds",
    }
    return [f"{row.model} {words[row.status]}: {row.reason}" for row in rows if row.status in words]


def _floor(tested: Sequence["Row"], floor: "Row | None") -> list[str]:
    if floor is None or floor.top1 is None:
        return []
    low = [row.model for row in tested if row.top1_low is not None and row.top1_low <= floor.top1]
    if not low:
        return []
    return [
        f"{listed(low)}: no proof of having learned anything; the interval reaches down to "
        f"{100 * floor.top1:.1f} %, what naming the most frequent training class gives"
    ]


def _seeds(tested: Sequence["Row"]) -> list[str]:
    numbers = {len(row.seeds) for row in tested}
    if not tested:
        return []
    if numbers == {1}:
        return ["One run each: seed variation is not included; another seed can change the order"]
    lines = [
        "Several seeds: scores are means over seeds; intervals and tests are t over images × seeds "
        "(Satterthwaite), an approximation, poor where nearly all pictures are right or wrong"
    ]
    if 1 in numbers:
        single = [row.model for row in tested if len(row.seeds) == 1]
        lines.append(
            f"{listed(single)}: one run only; its pairs compare first runs and leave seed variation out"
        )
    elif len(numbers) > 1:
        lines.append("The models have different numbers of seeds")
    return lines


def _confounds(tested: Sequence["Row"]) -> list[str]:
    """What differs between the models beside the model."""
    lines = []
    random = [row.model for row in tested if row.init.startswith("random")]
    if random:
        lines.append(f"{listed(random)}: trained from random weights, not from pretrained ones")
    sources: dict[str, list[str]] = {}
    for row in tested:
        if row.model not in random and row.pretrained_on:
            sources.setdefault(row.pretrained_on, []).append(row.model)
    if len(sources) > 1:
        named = "; ".join(f"{listed(models)} on {source}" for source, models in sources.items())
        lines.append(f"Pretrained on different pictures ({named}): a difference can come from that")
    off = [
        f"{row.model} ({row.image_size} px, made for {row.native_size})"
        for row in tested
        if row.native_size and row.image_size and row.native_size != row.image_size
    ]
    if off:
        lines.append(f"Off their native size: {', '.join(off)}")
    lines += [
        f"The models differ in {what} ({', '.join(values)}): {so}"
        for what, values, so in (
            (
                "input size",
                _distinct(f"{r.image_size} px" for r in tested if r.image_size),
                "not the model alone",
            ),
            ("recipe", _distinct(r.recipe for r in tested), "not the model alone"),
            (
                "device",
                _distinct(r.device for r in tested),
                "speeds, latencies and memory are not comparable",
            ),
        )
        if len(values) > 1
    ]
    return lines


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(v for v in values if v))


def _splits(benchmarks: Sequence[Benchmark]) -> list[str]:
    """Notes of the splits and benchmarks; a warning where training pictures differ."""
    lines = [
        str(note)
        for benchmark in benchmarks
        for note in [*benchmark.manifest["split"].get("notes", ()), *benchmark.manifest.get("notes", ())]
    ]
    if len({benchmark.manifest["split"].get("digest") for benchmark in benchmarks}) > 1:
        lines.append("The benchmarks share their test pictures, not their training and validation pictures")
    return lines


def _said_by_runs(candidates: Sequence[Candidate]) -> list[str]:
    """Approximations and fallbacks that runs recorded, each once with the models that it holds for."""
    said: dict[str, list[str]] = {}
    for candidate in candidates:
        for run in candidate.answered:
            for note in [*run.about().get("notes", ()), *run.metrics().get("notes", ())]:
                models = said.setdefault(str(note), [])
                if candidate.model not in models:
                    models.append(candidate.model)
    return [f"{listed(models)}: {note}" for note, models in said.items()]
