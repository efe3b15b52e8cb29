"""Labels that look wrong: which are named, what is said beside them, and what a person may note."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricate import CLASSES, make_benchmark

from vitbench import files
from vitbench.benchmark.suspects import suspects
from vitbench.comparison.suspects import Suspects
from vitbench.errors import UsageError, VitbenchError
from vitbench.records import Array, Benchmark
from vitbench.records.pictures import Leak
from vitbench.reports.suspects import answer

N, FLIPPED = 60, (3, 25, 47)
TRUTH = np.arange(N) % 3


def labels(flipped: tuple[int, ...] = FLIPPED) -> list[int]:
    """The truth, of which a few are turned into the next class."""
    found = TRUTH.copy()
    found[list(flipped)] = (found[list(flipped)] + 1) % 3
    return found.tolist()


def sure(seed: int, right: float = 0.9) -> Array:
    """(N, 3) probabilities of a model that mostly knows the truth."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.normal(right, 0.005, N), 0.4, 0.98)
    table = np.repeat((1 - p)[:, None] / 2, 3, axis=1)
    table[np.arange(N), TRUTH] = p
    return table


def made(folder: Path, flipped: tuple[int, ...] = FLIPPED, **more: Any) -> Benchmark:
    runs = more.pop("runs", {"vit-probe-s0": sure(0), "swin-probe-s0": sure(1)})
    return make_benchmark(folder, runs, labels(flipped), probe=True, **{"folds": 5, **more})


def test_planted_labels_are_named_and_nothing_else(tmp_path: Path) -> None:
    """Two models, five folds: three flipped labels of 60, each with its true class, most suspicious first."""
    found = suspects(made(tmp_path / "a"))
    assert sorted(int(Path(one.path).stem) for one in found.ranked) == list(FLIPPED)
    assert all(one.suspected == CLASSES[TRUTH[int(Path(one.path).stem)]] for one in found.ranked)
    assert [one.number for one in found.ranked] == [1, 2, 3]
    assert [one.mean_rank for one in found.ranked] == sorted(one.mean_rank for one in found.ranked)
    assert {one.doubters for one in found.ranked} == {2}
    assert (found.n, found.unasked, found.folds) == (60, 0, 5)


def test_scores_stand_with_and_without(tmp_path: Path) -> None:
    """57 of 60 right as labelled, all 57 without the three: both are there, the first is untouched."""
    found = suspects(made(tmp_path / "a"))
    for one in found.scores:
        assert one.labelled.value == pytest.approx(57 / 60)
        assert one.without is not None
        assert one.without.value == 1
        assert one.labelled.low < one.labelled.value < one.labelled.high  # type: ignore[operator]
        assert one.corrected is None
    assert found.scores_frame["labelled"].tolist() == [57 / 60] * 2


def test_a_label_that_one_of_two_doubts_is_not_named(tmp_path: Path) -> None:
    """A second model that agrees with a wrong label keeps it behind those that are named."""
    other = sure(1)
    other[3] = [0.40, 0.55, 0.05]
    found = suspects(made(tmp_path / "a", runs={"vit-probe-s0": sure(0), "swin-probe-s0": other}))
    assert sorted(int(Path(one.path).stem) for one in found.named) == [25, 47]
    assert [(Path(one.path).stem, one.doubters) for one in found.ranked[2:]] == [("3", 1)]
    assert "1 more to fewer of them" in answer(found)[0]


def test_what_is_said_beside_the_list(tmp_path: Path) -> None:
    """How many clean labels would give, few pictures per class, that it is no verdict."""
    told = " ".join(answer(suspects(made(tmp_path / "a"))))
    assert "3 of 60 labels look wrong to both models" in told
    assert "if every label were right" in told
    assert "20 or fewer in" in told
    assert "half of the labels that are named are right, with 10 pictures most of them" in told
    assert "no verdict and no count of errors" in told


def test_clean_labels_name_none(tmp_path: Path) -> None:
    found = suspects(made(tmp_path / "a", ()))
    assert found.ranked == ()
    assert answer(found)[0].startswith("0 of 60 labels look wrong")


def test_without_folds_only_test_pictures_are_asked_about(tmp_path: Path) -> None:
    found = suspects(made(tmp_path / "a", folds=0, train=(0, 1, 2) * 30))
    assert (found.n, found.unasked) == (60, 90)
    assert found.small == {}
    assert any("--folds 5" in line for line in answer(found))


def test_copies_that_vouch_or_contradict_are_said(tmp_path: Path) -> None:
    """A leak's training picture stands beside the suspect; so do other labels in its group."""
    groups = [str(i) for i in range(N)]
    groups[5] = groups[25]
    home = made(tmp_path / "a", folds=0, groups=groups)
    path = next(row["path"] for row in home.split_rows() if row["path"].endswith("/3.jpg"))
    leak = Leak(path, "test", "t0.jpg", "train", "near", "mirrored")
    files.write_csv(home.folder / "leaks.csv", Leak.columns(), [dataclasses.asdict(leak)])
    found = {int(Path(one.path).stem): one for one in suspects(home).ranked}
    assert found[3].known == "t0.jpg"
    assert found[25].known == ""
    assert CLASSES[labels()[25]] == found[25].label
    assert found[25].other_labels == tuple({CLASSES[labels()[5]]} - {found[25].label})
    assert "training knows a copy" in " ".join(answer(suspects(home)))


def test_models_that_guess_have_no_say(tmp_path: Path) -> None:
    """A model of noise is named and left out; where all guess there is one line."""
    noise = np.random.default_rng(0).dirichlet([1, 1, 1], N)
    found = suspects(made(tmp_path / "a", runs={"vit-probe-s0": sure(0), "swin-probe-s0": noise}))
    assert (found.models, found.guessing) == (("vit-probe",), ("swin-probe",))
    with pytest.raises(VitbenchError, match="none of its models can be told from guessing"):
        suspects(made(tmp_path / "b", runs={"swin-probe-s0": noise}))


# --- what a person notes --------------------------------------------------------------------------


def noted(home: Benchmark, found: Suspects, *right: str) -> None:
    """`suspects.csv` of the benchmark with the first rows filled in."""
    table = found.frame
    for place, one in enumerate(right):
        table.loc[place, "right_label"] = one
    (home.folder / "suspects").mkdir(exist_ok=True)
    table.to_csv(home.folder / "suspects" / "suspects.csv", index=False)


def test_noted_labels_are_counted_in(tmp_path: Path) -> None:
    """One mended, one found right, one of no class: 58 of the 59 others are right with these labels."""
    home = made(tmp_path / "a")
    found = suspects(home)
    first, second, third = found.ranked
    noted(home, found, first.suspected, second.label, "-")
    again = suspects(home)
    assert [one.right_label for one in again.ranked] == [first.suspected, second.label, "-"]
    assert (again.noted, again.mended) == (3, 2)
    for one in again.scores:
        assert one.corrected is not None
        assert one.corrected.value == pytest.approx(58 / 59)
        assert one.labelled.value == pytest.approx(57 / 60)
    assert third.path in again.frame["path"].tolist()


def test_what_is_noted_stays_when_the_picture_is_named_no_more(tmp_path: Path) -> None:
    """A note on a picture that the models agree with is kept at the end of the table."""
    home = made(tmp_path / "a")
    table = suspects(home).frame.head(1).copy()
    table.loc[0, "path"] = home.split_rows()[0]["path"]
    table.loc[0, "right_label"] = CLASSES[2]
    (home.folder / "suspects").mkdir()
    table.to_csv(home.folder / "suspects" / "suspects.csv", index=False)
    found = suspects(home)
    assert len(found.ranked) == 3
    assert [one.right_label for one in found.besides] == [CLASSES[2]]
    assert found.frame["path"].tolist()[-1] == home.split_rows()[0]["path"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("right_label", "rosse", "did you mean roses"), ("path", "no.jpg", "no picture that was asked about")],
)
def test_a_slip_is_named_and_the_file_stays(tmp_path: Path, column: str, value: str, said: str) -> None:
    home = made(tmp_path / "a")
    noted(home, suspects(home), "roses")
    place = home.folder / "suspects" / "suspects.csv"
    lines = place.read_text(encoding="utf-8").splitlines()
    head, row = lines[0].split(","), lines[1].split(",")
    row[head.index(column)] = value
    place.write_text("\n".join([lines[0], ",".join(row), *lines[2:]]) + "\n", encoding="utf-8")
    before = place.read_bytes()
    with pytest.raises(UsageError, match=said):
        suspects(home)
    assert place.read_bytes() == before


@pytest.mark.slow
def test_no_torch_is_needed(tmp_path: Path) -> None:
    """`vitbench.suspects` reads predictions.csv, and loads no torch."""
    home = made(tmp_path / "a")
    code = (
        f"import sys, vitbench; vitbench.suspects({str(home.folder)!r}).frame; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
