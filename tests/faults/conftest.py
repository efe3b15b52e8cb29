"""What the fault tests share: a warm process to fork cases from, and rows for the page of evidence."""

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from faults.forking import Warm

EVIDENCE = os.environ.get("VITBENCH_EVIDENCE")
"""Where the rows go, a JSON object per line; nowhere where it is not set."""
STARTED = time.monotonic()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that has loaded torch and everything else, once for all cases."""
    process = Warm(tmp_path_factory.mktemp("warm"))
    yield process
    process.close()


def _write(row: Mapping[str, Any]) -> None:
    if EVIDENCE:
        with Path(EVIDENCE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


@pytest.fixture(scope="session")
def record() -> Callable[..., None]:
    """`record(fault=…, cause=…, cases=…, promised=…, happened=…)` writes a row of evidence."""

    def note(**row: Any) -> None:
        _write(row)

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A fault test that fails is a row too: the page hides nothing."""
    report = yield
    if report.failed and item.get_closest_marker("faults"):
        promised = str(getattr(item, "function", item).__doc__ or "").splitlines()[0]
        happened = (
            f"NOT as promised: {str(call.excinfo.value).splitlines()[0] if call.excinfo else report.when}"
        )
        _write(
            {"fault": item.name, "cause": item.nodeid, "cases": 1, "promised": promised, "happened": happened}
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where and when the rows before this one were made."""
    _write(
        {
            "made": time.strftime("%Y-%m-%d"),
            "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "torch": version("torch"),
            "minutes": round((time.monotonic() - STARTED) / 60),
        }
    )
