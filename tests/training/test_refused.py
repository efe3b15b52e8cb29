"""What the system refuses: one line with the path and what next; nothing is lost and resume works."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitbench.cli.progress import explaining
from vitbench.errors import VitbenchError
from vitbench.files import fault_line, sha256_of
from vitbench.progress.lines import LineDisplay
from vitbench.records import Benchmark

pytestmark = pytest.mark.usefixtures("no_reports")

resource = pytest.importorskip("resource")  # Windows has no such limits
Trained = Callable[..., Benchmark]


@contextmanager
def limited(what: int, largest: int) -> Iterator[None]:
    """A limit of this process, as `ulimit` sets it."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def weights(benchmark: Benchmark) -> str:
    return sha256_of(benchmark.runs[0].model_folder / "model.safetensors")


@pytest.mark.slow
def test_a_checkpoint_that_may_not_be_written_is_one_line_and_resume_ends_equal(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of at most 2 MB: the weights fit, the checkpoint does not; without the limit it goes on."""
    monkeypatch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
    whole = trained(name="whole")
    watch = LineDisplay(tmp_path / "results")
    words = (
        r"epoch-0001\.safetensors: a file may not become that large .*`vitbench train --resume --name cut "
        r"--results .*` goes on"
    )
    with (
        limited(resource.RLIMIT_FSIZE, 2_000_000),
        pytest.raises(VitbenchError, match=words),
        explaining(watch),
    ):
        trained(watch, name="cut")
    assert not list((tmp_path / "results" / "cut").rglob("*.tmp"))
    assert weights(trained(name="cut", resume=True)) == weights(whole)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EROFS, "read-only"),
        (errno.EMFILE, "too many open files"),
        (errno.EIO, "input/output error"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_each_refusal_has_its_words(number: int, words: str) -> None:
    """The path comes first, then what happened and what to do."""
    line = fault_line(OSError(number, "x", "results/a/epochs.csv"))
    assert re.match(rf"results/a/epochs\.csv: .*{words}", line)
    assert ";" in line


def test_an_error_of_ours_keeps_its_traceback() -> None:
    """A file that should be there and is not is a bug, not the system's refusal."""
    watch = LineDisplay(Path("results"))
    watch.benchmark_started("a", {})
    with pytest.raises(FileNotFoundError), explaining(watch):
        Path("/nowhere/at all").read_bytes()
