"""Exit statuses as the README has them: 0 done, 1 failed, 2 wrong usage, 3 done in part."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.cli.options import status_of

Call = Callable[..., tuple[int, str]]
SMALL = ["--weights", "random", "--image-size", "32", "--epochs", "1", "--per-class", "6", "--no-probe"]


@pytest.mark.parametrize(
    ("done", "wanted", "status"), [(2, 2, 0), (0, 1, 1), (0, 3, 1), (1, 3, 3), (0, 0, 0)]
)
def test_what_is_there_decides(done: int, wanted: int, status: int) -> None:
    """All 0, none 1, some 3; a shard that has nothing to do has done it."""
    assert status_of(done, wanted) == status


def test_the_only_model_fails(call: Call) -> None:
    """Status 1; its name stands once in a line, and what is advised is not to predict."""
    status, text = call("train", "my photos", "--models", "test_vit", "--lr", "1e30", "--name", "nan", *SMALL)
    assert status == 1
    failed = [line for line in text.splitlines() if "the loss is nan" in line]
    assert any(line.startswith("test_vit-s0: failed: the loss is nan") for line in failed)
    assert all(line.count("test_vit") == 1 for line in failed)
    assert "vitbench predict" not in text
    assert "to try again: vitbench train --resume --name nan" in text
    assert call("compare", "nan")[0] == 1
    assert call("predict", "my photos", "--run", "nan")[0] == 1


@pytest.mark.slow
def test_one_of_two_fails_and_some_pictures_cannot_be_read(call: Call) -> None:
    """Status 3 for what is there in part: of the training, of its comparison, of the pictures asked about."""
    words = ["train", "my photos", "--name", "two", *SMALL]
    assert call(*words, "--models", "test_vit")[0] == 0
    failing = Path("results/two/test_vit2-s0")
    assert call("train", "--name", "two", "--models", "test_vit2")[0] == 0
    (failing / "metrics.json").unlink()
    (failing / "failure.json").write_text('{"reason": "out of memory"}')
    assert call("compare", "two")[0] == 3
    Path("bad.png").write_bytes(b"no picture")
    assert call("predict", "bad.png", "--run", "two")[0] == 1
    assert call("predict", "bad.png", "my photos/red/00.png", "--run", "two")[0] == 3
    assert call("compare", "--format", "pdf")[0] == 2
