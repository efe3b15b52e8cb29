"""Checkpoints by themselves: whole, damaged in any place, or not to be read just now."""

import errno
from pathlib import Path

import pytest
import torch

from vitbench import files
from vitbench.records import Epoch
from vitbench.training import checkpoint

ROWS = tuple(Epoch(n, 1.0, 0.5, 0.9, 0.5, 1e-3, 1.0, 9.0, 5.0) for n in (1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints after epochs 1 and 2 and inside epoch 3; the weights are 1, 2 and 3."""
    digest = checkpoint.write_tensors(checkpoint.best_path(tmp_path, 1), {"w": torch.zeros(8)})
    for done, inside in ((1, None), (2, None), (2, {"step": 7})):
        weights = checkpoint.pack({"model.w": torch.full((8,), float(done + bool(inside)))})
        checkpoint.save(tmp_path, ROWS[:done], (1, digest), weights, {}, inside)
    return tmp_path


def newest(folder: Path) -> tuple[float | None, list[str]]:
    """The weights of the checkpoint that is taken (None: none is), and what is said."""
    said: list[str] = []
    found = checkpoint.load_newest(folder, said.append)
    return (None if found is None else float(found.part("model")["w"][0])), said


def test_the_last_two_are_kept_and_the_newest_is_taken(folder: Path) -> None:
    """Inside epoch 3 is newer than after epoch 2; what its steps added up to comes back."""
    stems = [path.stem for path in sorted(folder.glob("epoch-*.json"))]
    assert stems == ["epoch-0002", "epoch-0003-step-000007"]
    assert newest(folder) == (3.0, [])
    found = checkpoint.load_newest(folder, print)
    assert found is not None
    assert found.inside == {"step": 7}
    assert len(found.rows) == 2


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("place", [0.0, 0.2, 0.45, 0.7, 0.99])
@pytest.mark.parametrize("damage", ["flipped", "cut off"])
def test_a_damaged_newest_falls_back_to_the_one_before(
    folder: Path, suffix: str, place: float, damage: str
) -> None:
    """One flipped bit, or the end missing, anywhere in either file: it is named, the one before is taken."""
    path = (folder / "epoch-0003-step-000007").with_suffix(suffix)
    content = bytearray(path.read_bytes())
    at = int(len(content) * place)
    if damage == "flipped":
        content[at] ^= 1
    path.write_bytes(content[:at] if damage == "cut off" else content)
    weights, said = newest(folder)
    assert weights == 2.0
    assert len(said) == 1
    assert "epoch-0003-step-000007.json: damaged" in said[0]


def test_a_newest_without_its_tensors_falls_back(folder: Path) -> None:
    """The JSON alone is no checkpoint."""
    (folder / "epoch-0003-step-000007.safetensors").unlink()
    assert newest(folder)[0] == 2.0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES])
def test_what_cannot_be_read_just_now_is_not_taken_for_damaged(
    folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, or permissions: an error, and every checkpoint stays."""

    def refused(path: Path) -> bytes:
        raise OSError(number, "no", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused)
        with pytest.raises(OSError, match="no"):
            checkpoint.load_newest(folder, print)
    assert newest(folder) == (3.0, [])


def test_a_write_that_fails_leaves_the_checkpoints_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up at the JSON: what was the newest still is, and nothing is damaged."""

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "full", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", full)
        with pytest.raises(OSError, match="full"):
            checkpoint.save(folder, ROWS, (1, ""), checkpoint.pack({"model.w": torch.zeros(8)}), {})
    assert newest(folder) == (3.0, [])
