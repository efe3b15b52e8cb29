"""Ray itself, without it: what a killed process left."""

import os
from pathlib import Path

from vitbench.benchmark import rays
from vitbench.locks import locked


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path: Path) -> None:
    """A folder that a living process has locked stays, and one that may be about to be locked."""
    left, used, young, another = (
        tmp_path / name for name in ("vitbench-ray-left", "vitbench-ray-used", "vitbench-ray-young", "other")
    )
    for folder in (left, used, young, another):
        (folder / "session").mkdir(parents=True)
    with locked(used):
        for folder in (left, used, another):
            os.utime(folder, (1e9, 1e9))
        rays._remove_left(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([used, young, another])
