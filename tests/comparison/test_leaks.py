"""Test pictures that training knows: counted, named, and left out of a second score."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fabricate import make_benchmark

from vitbench import files
from vitbench.comparison.compare import compare
from vitbench.inference.metrics import wilson
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.records.pictures import Leak

LABELS = [0, 1, 2] * 4
ANSWERS = [0, 1, 2, 0, 1, 2, 1, 1, 1, 1, 1, 1]


def leaking(folder: Path, leaks: Sequence[tuple[str, str, str, str]], **more: object) -> Benchmark:
    """12 test pictures, of which the model knows the first six; leaks: (path, part, other, other part)."""
    benchmark = make_benchmark(folder / "b", {"vit-s0": ANSWERS}, LABELS, **more)  # type: ignore[arg-type]
    rows = [Leak(*leak, "near", "mirrored") for leak in leaks]
    files.write_csv(benchmark.folder / "leaks.csv", Leak.columns(), ({**vars_of(row)} for row in rows))
    return benchmark


def vars_of(leak: Leak) -> dict[str, str]:
    return {name: getattr(leak, name) for name in Leak.columns()}


def path_of(i: int) -> str:
    return f"{('daisy', 'roses', 'tulips')[LABELS[i]]}/{i}.jpg"


def test_the_score_without_known_pictures_stands_beside_the_other(tmp_path: Path) -> None:
    """All six known ones are right, of the other six two: 66.7 % falls to 33.3 %, with its interval."""
    found = compare(leaking(tmp_path, [(path_of(i), "test", "t0.jpg", "train") for i in range(6)]))
    (clean,) = found.leak_free
    assert (clean.n_test, clean.correct, clean.top1) == (6, 2, pytest.approx(1 / 3))
    assert (clean.top1_low, clean.top1_high) == pytest.approx(wilson(2, 6))
    assert found.rows[0].top1 == pytest.approx(8 / 12)
    assert narrate(found).notes[0].startswith("6 of 12 test pictures are copies or near-copies")
    assert narrate(found).notes[0].endswith("On the other 6: vit 33 % [10, 70]")
    assert narrate(found).advice.startswith(
        "6 of 12 test pictures have a copy among those that were learned from"
    )


def test_a_picture_known_twice_counts_once(tmp_path: Path) -> None:
    """Two training pictures like one test picture are two pairs and one picture."""
    leaks = [(path_of(0), "test", other, "train") for other in ("t0.jpg", "t1.jpg")]
    found = compare(leaking(tmp_path, leaks))
    assert len(found.leaks) == 2
    assert found.leak_free[0].n_test == 11


def test_copies_between_train_and_val_are_no_matter_of_the_test(tmp_path: Path) -> None:
    """They make the choice of the epoch too hopeful, not the test score."""
    found = compare(leaking(tmp_path, [("t1.jpg", "val", "t0.jpg", "train")]))
    assert found.leaks == found.leak_free == ()


def test_cautions_lead_with_what_could_change_the_answer_most(tmp_path: Path) -> None:
    """A leak before anything else; what is only to be known is not among them."""
    found = narrate(compare(leaking(tmp_path, [(path_of(i), "test", "t0.jpg", "train") for i in range(6)])))
    assert 1 < len(found.cautions) <= 3
    assert found.cautions[0].startswith(
        "6 of 12 test pictures are copies or near-copies of training pictures"
    )
    assert not any("Looks at the test pictures" in caution for caution in found.cautions)


def test_no_picture_left_is_said(tmp_path: Path) -> None:
    """Where training knows them all there is no second score."""
    found = compare(leaking(tmp_path, [(path_of(i), "test", "t0.jpg", "train") for i in range(12)]))
    assert found.leak_free == ()
    assert narrate(found).notes[0].endswith("no test picture is left without them")


def test_with_folds_both_pictures_of_a_pair_are_known(tmp_path: Path) -> None:
    """Each is tested in its fold and learned from in the other one's."""
    found = compare(leaking(tmp_path, [(path_of(1), "fold 2", path_of(0), "fold 1")], folds=3))
    assert {(one.path, one.other) for one in found.leaks} == {
        (path_of(0), path_of(1)),
        (path_of(1), path_of(0)),
    }
    assert found.leak_free[0].n_test == 10


def test_without_leaks_nothing_is_said(tmp_path: Path) -> None:
    """An empty leaks.csv, and none at all, as in older benchmarks."""
    assert compare(leaking(tmp_path, [])).leak_free == ()
    assert compare(make_benchmark(tmp_path / "old", {"vit-s0": ANSWERS}, LABELS)).leaks == ()


def test_equal_test_pictures_are_known_together(tmp_path: Path) -> None:
    """Two test files of the same bytes, one of them listed: training knows both."""
    benchmark = leaking(tmp_path, [(path_of(0), "test", "t0.jpg", "train")])
    rows = benchmark.split_rows()
    same = next(row["sha256"] for row in rows if row["path"] == path_of(0))
    next(row for row in rows if row["path"] == path_of(3))["sha256"] = same
    files.write_csv(benchmark.folder / "split.csv", list(rows[0]), rows)
    found = compare(benchmark)
    assert {one.path for one in found.leaks} == {path_of(0), path_of(3)}
    assert found.leak_free[0].n_test == 10
