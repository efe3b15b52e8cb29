"""Which class was taken for which."""

from pathlib import Path

import numpy as np
from fabricate import make_benchmark

from vitbench.comparison.candidates import read_candidates
from vitbench.comparison.confusion import confusion_counts, most_confused


def test_confusions_by_hand(tmp_path: Path) -> None:
    """swin takes class 0 for 1 and 3 for 0; the rows are true, the columns answered; seeds are summed."""
    runs = {"vit-s0": [0, 1, 2, 3], "vit-s1": [0, 1, 2, 3], "swin-s0": [1, 1, 2, 0]}
    vit, swin = read_candidates([make_benchmark(tmp_path / "b", runs, range(4), "abcd", train=range(4))])
    assert (confusion_counts(vit) == 2 * np.eye(4)).all()
    assert confusion_counts(swin).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
    counts = np.array([[5, 1, 0], [3, 5, 0], [0, 2, 5]])
    assert most_confused(counts, "abc", 2) == [("b", "a", 3), ("c", "b", 2)]
