"""Looks at test pictures after training, counted where the runs are."""

from collections.abc import Iterable

from vitbench.files import printable
from vitbench.records import Run
from vitbench.records.results import EvaluatedBy


def count_evaluation(runs: Iterable[Run], by: EvaluatedBy, pictures: int) -> list[str]:
    """Note in every run that so many test pictures were looked at; what could not be noted, in lines."""
    failed = []
    for run in runs:
        try:
            run.add_evaluation(by, pictures)
        except OSError as error:
            place = printable(run.folder / "test_evaluations.csv")
            failed.append(f"{place} cannot be written ({error.strerror})")
    return failed
