"""However a test ends, what it started ends with it."""

import contextlib
import os
import uuid
from collections.abc import Iterator

import psutil
import pytest

MARK = "VITBENCH_TEST"
"""In the environment of processes: by which test they were started, by whatever hands."""


def processes() -> Iterator[psutil.Process]:
    """All that run now; psutil's `process_iter` remembers who had a number before, and then kills nobody."""
    for number in psutil.pids():
        with contextlib.suppress(psutil.Error):
            yield psutil.Process(number)


@contextlib.contextmanager
def leaving_nobody() -> Iterator[None]:
    """In the end every process that was started inside is killed, whose parent and session are gone too."""
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        try:
            yield
        finally:
            for process in processes():
                with contextlib.suppress(psutil.Error):
                    if process.environ().get(MARK) == mark and process.pid != os.getpid():
                        process.kill()
