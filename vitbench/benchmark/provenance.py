"""What teachers and first weights have seen before: test pictures among it are said, or refused."""

import re
from pathlib import Path

from vitbench.records import Benchmark, Split
from vitbench.training.jobs import Job


def seen_lines(job: Job, split: Split) -> list[str]:
    """A warning for the teacher, and for first weights of one's own, that learned from test pictures here."""
    own = job.weights.path if job.weights.kind in ("file", "folder") else None
    first = None if own is None else own.parent
    known = (
        ("its teacher", job.teacher.folder if job.teacher else None, "what it teaches is known of them"),
        ("its first weights", first, "they saw them"),
    )
    lines = []
    for what, place, so in known:
        if place is not None and (seen := learned_from(place) & {p.sha256 for p in split.test}):
            lines.append(
                f"{job.model}: {what} ({place.parent.name}) learned from {len(seen)} of the "
                f"{len(split.test)} test pictures: {so}, so its score there is too good"
            )
    return lines


def learned_from(place: Path) -> set[str]:
    """sha256 of the pictures that the run in which a model lies has learned from; unknown elsewhere: none."""
    for folder in list(place.resolve().parents)[:5]:
        if (folder / "benchmark.json").exists():
            fold = next((name[5:] for name in place.parts if re.fullmatch(r"fold-\d+", name)), "")
            rows = Benchmark(folder).rows_of("train")
            return {row["sha256"] for row in rows if not fold or row["fold"] != fold}
    return set()
